"""Signatures and digests that cannot be mistaken for each other.

Problem. One key signs messages of several kinds. A signature of one kind, or of one network, must
never pass for another, and two different messages must never be signed as the same bytes.

Rules. What is signed is ``digest(domain, network, message)``. A digest is BLAKE2b-256 (RFC 7693) of
its parts, the tag first, each preceded by its length in eight little-endian bytes: the sequence of
parts can be read back from the framed bytes, so different parts are never framed alike. Signatures
are Ed25519 (RFC 8032).

Deviations. Stricter than RFC 8032: an account of low order is refused, and one whose y coordinate
is not reduced. For an account of low order anybody can make a signature that fits many messages,
and OpenSSL accepts it ("Taming the many EdDSAs", eprint 2020/1244).

Properties. Pure, deterministic, and :func:`verify` is total. A third party cannot turn a signature
into another one of the same message; the owner of the key can make as many as it likes, so a
signature is no identifier and no randomness.
"""

from __future__ import annotations

import hashlib
from enum import Enum, unique
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.types import LENGTHS, Account, Digest, NetworkId, Signature

_FIELD_PRIME: Final = 2**255 - 19
_SIGN_BIT: Final = 1 << 255
_ORDER_8_Y: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_LOW_ORDER_YS: Final = frozenset({0, 1, _FIELD_PRIME - 1, _ORDER_8_Y, _FIELD_PRIME - _ORDER_8_Y})
"""The y coordinates of the eight points whose order divides the cofactor."""

_LENGTH_BYTES: Final = 8
_DIGEST_BYTES: Final = LENGTHS[Digest]


@unique
class Domain(Enum):
    """What a signature is for; the value is the tag of the digest that is signed."""

    OPERATION = b"provnet/operation/1"
    LOG_PROPOSAL = b"provnet/log-proposal/1"
    LOG_VOTE = b"provnet/log-vote/1"
    TRANSFER = b"provnet/transfer/1"
    ANNOUNCEMENT = b"provnet/announcement/1"
    BID = b"provnet/bid/1"
    FAUCET = b"provnet/faucet/1"


def digest(tag: bytes, *parts: bytes) -> Digest:
    """BLAKE2b-256 of ``tag`` and ``parts``; injective up to collisions of the hash.

    :param tag: says what is hashed; unique to its use throughout the protocol.
    """
    hashed = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in (tag, *parts):
        hashed.update(len(part).to_bytes(_LENGTH_BYTES, "little"))
        hashed.update(part)
    return Digest(hashed.digest())


def public_key(seed: bytes) -> Account:
    """The account whose signatures ``seed`` makes.

    :param seed: 32 secret bytes.
    :raises ValueError: when ``seed`` is not 32 bytes.
    """
    return Account(Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


def sign(seed: bytes, domain: Domain, network: NetworkId, message: bytes) -> Signature:
    """Sign ``message`` for one domain and one network.

    :raises ValueError: when ``seed`` is not 32 bytes.
    """
    signed = digest(domain.value, network, message)
    return Signature(Ed25519PrivateKey.from_private_bytes(seed).sign(signed))


def verify(
    account: Account, domain: Domain, network: NetworkId, message: bytes, signature: Signature
) -> bool:
    """Whether ``signature`` is ``account``'s for this domain, network and message.

    Total: False, never an exception, for any bytes as account and signature. False also for
    accounts of low order and accounts whose y coordinate is not reduced.
    """
    if not _is_account(account):
        return False
    signed = digest(domain.value, network, message)
    try:
        Ed25519PublicKey.from_public_bytes(account).verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _is_account(account: bytes) -> bool:
    """Whether the bytes have the form of an account that a signature can bind."""
    if len(account) != LENGTHS[Account]:
        return False
    y = int.from_bytes(account, "little") & ~_SIGN_BIT
    return y < _FIELD_PRIME and y not in _LOW_ORDER_YS

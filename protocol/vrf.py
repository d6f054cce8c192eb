"""Verifiable randomness: outputs that their owner cannot choose and everybody can check.

Problem. The proposer of a log block must contribute randomness that it could not pick freely. An
Ed25519 signature does not serve, because a signer can make many valid signatures of one message; an
ECVRF output is unique for a key and an input.

Rules. ECVRF-EDWARDS25519-SHA512-TAI, RFC 9381 (section 5, cipher suite 0x03 of section 5.5), on the
group operations of libsodium. Only the output is randomness: a proof can be remade by its owner.

Deviations. Stricter than the RFC in what :func:`verify` accepts, never in what it returns:

* Keys and Gammas outside the prime-order group are refused, where the RFC refuses only keys of low
  order. Honest keys and proofs are always inside.
* A challenge or response of zero is refused; an honest one is zero with probability below 2^-127.

PyNaCl before 1.6.2 bundles a libsodium that overlooks an order-2 component (CVE-2025-69277); nodes
that differ in this disagree on proofs, so that version is the oldest allowed and a test holds it.

Properties. Pure and deterministic. Hashing to the curve takes a number of tries that depends on the
input, which is public here, so its timing reveals nothing.
"""

from __future__ import annotations

import hashlib
from typing import Final

from nacl import bindings
from nacl.exceptions import RuntimeError as GroupError

from protocol.types import LENGTHS, VrfKey, VrfOutput, VrfProof

_SUITE: Final = b"\x03"
_HASH_TO_CURVE: Final = b"\x01"
_CHALLENGE: Final = b"\x02"
_OUTPUT: Final = b"\x03"
_END: Final = b"\x00"

_GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_IDENTITY: Final = (1).to_bytes(32, "little")
_COFACTOR_DOUBLINGS: Final = 3

_SEED_BYTES: Final = 32
_POINT_BYTES: Final = 32
_CHALLENGE_BYTES: Final = 16


def public_key(seed: bytes) -> VrfKey:
    """The key under which proofs made with ``seed`` verify.

    :param seed: 32 secret bytes, used for nothing else: not the seed of a signing key.
    :raises ValueError: when ``seed`` is not 32 bytes.
    """
    scalar, _ = _expand(seed)
    return VrfKey(_multiply_base(scalar))


def prove(seed: bytes, alpha: bytes) -> tuple[VrfProof, VrfOutput]:
    """The proof and the output of ``seed``'s key for the input ``alpha`` (RFC 9381, section 5.1).

    :raises ValueError: when ``seed`` is not 32 bytes.
    """
    scalar, nonce_prefix = _expand(seed)
    key = _multiply_base(scalar)
    hashed = _hash_to_curve(key, alpha)
    gamma = _multiply(scalar, hashed)
    nonce = int.from_bytes(hashlib.sha512(nonce_prefix + hashed).digest(), "little") % _GROUP_ORDER
    challenge = _challenge(key, hashed, gamma, _multiply_base(nonce), _multiply(nonce, hashed))
    response = (nonce + int.from_bytes(challenge, "little") * scalar) % _GROUP_ORDER
    return VrfProof(gamma + challenge + _scalar_bytes(response)), _output(gamma)


def verify(key: VrfKey, alpha: bytes, proof: VrfProof) -> VrfOutput | None:
    """The output which ``proof`` proves for this key and input (RFC 9381, section 5.3), or None.

    Total: any bytes may be given. None for a wrong length, a key or Gamma that is not the canonical
    encoding of a point of prime order, a response of the group order or more, and a false proof.
    """
    if len(key) != LENGTHS[VrfKey] or len(proof) != LENGTHS[VrfProof]:
        return None
    gamma, challenge = proof[:_POINT_BYTES], proof[_POINT_BYTES : _POINT_BYTES + _CHALLENGE_BYTES]
    response = int.from_bytes(proof[_POINT_BYTES + _CHALLENGE_BYTES :], "little")
    if response >= _GROUP_ORDER:
        return None
    hashed = _hash_to_curve(key, alpha)
    try:
        commitments = _commitments(
            key, hashed, gamma, int.from_bytes(challenge, "little"), response
        )
    except GroupError:
        return None
    return _output(gamma) if _challenge(key, hashed, gamma, *commitments) == challenge else None


def _expand(seed: bytes) -> tuple[int, bytes]:
    """Secret scalar and prefix of nonces, as in Ed25519 (RFC 8032, section 5.1.5)."""
    if len(seed) != _SEED_BYTES:
        raise ValueError(f"a VRF seed has {_SEED_BYTES} bytes, not {len(seed)}")
    expanded = hashlib.sha512(seed).digest()
    clamped = int.from_bytes(expanded[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    return clamped, expanded[32:]


def _hash_to_curve(key: bytes, alpha: bytes) -> bytes:
    """A point of prime order that depends on ``key`` and ``alpha``: try and increment (5.4.1.1)."""
    salted = _SUITE + _HASH_TO_CURVE + key + alpha
    return next(
        point
        for counter in range(256)
        if (point := _candidate(hashlib.sha512(salted + bytes((counter,)) + _END).digest()[:32]))
    )


def _candidate(encoded: bytes) -> bytes | None:
    """Eight times the point that ``encoded`` names; None when there is none, or of low order."""
    try:
        canonical = bindings.crypto_core_ed25519_add(encoded, _IDENTITY)
    except GroupError:
        return None
    point = _clear_cofactor(encoded)
    return point if canonical == encoded and point != _IDENTITY else None


def _clear_cofactor(point: bytes) -> bytes:
    """Eight times ``point``, by additions: multiplication refuses points not of prime order."""
    for _ in range(_COFACTOR_DOUBLINGS):
        point = bindings.crypto_core_ed25519_add(point, point)
    return point


def _commitments(
    key: bytes, hashed: bytes, gamma: bytes, challenge: int, response: int
) -> tuple[bytes, bytes]:
    """``U = sB - cY`` and ``V = sH - c Gamma``; raises GroupError for what libsodium refuses."""
    return (
        bindings.crypto_core_ed25519_sub(_multiply_base(response), _multiply(challenge, key)),
        bindings.crypto_core_ed25519_sub(_multiply(response, hashed), _multiply(challenge, gamma)),
    )


def _challenge(*points: bytes) -> bytes:
    return hashlib.sha512(_SUITE + _CHALLENGE + b"".join(points) + _END).digest()[:_CHALLENGE_BYTES]


def _output(gamma: bytes) -> VrfOutput:
    return VrfOutput(hashlib.sha512(_SUITE + _OUTPUT + _clear_cofactor(gamma) + _END).digest())


def _multiply(scalar: int, point: bytes) -> bytes:
    return bindings.crypto_scalarmult_ed25519_noclamp(_scalar_bytes(scalar), point)


def _multiply_base(scalar: int) -> bytes:
    return bindings.crypto_scalarmult_ed25519_base_noclamp(_scalar_bytes(scalar))


def _scalar_bytes(scalar: int) -> bytes:
    return scalar.to_bytes(32, "little")

"""An account is an Ed25519 public key, and so is a libp2p peer: the same 32 bytes in two spellings.

A peer id is the identity multihash of the key's protobuf encoding, which for Ed25519 is a fixed
prefix and the key (libp2p specification, peer-ids). Any other peer id (RSA, secp256k1, hashed keys)
is not an account and is refused by its length and prefix, before anything is parsed.
"""

from __future__ import annotations

from typing import Final

import base58

from protocol.types import LENGTHS, Account

_PREFIX: Final = bytes([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])
_TEXT_CHARACTERS_MAX: Final = 64


def peer_id_of(account: Account) -> bytes:
    """The peer id's bytes. Raises ValueError when ``account`` has not 32 bytes."""
    if len(account) != LENGTHS[Account]:
        raise ValueError("an account has 32 bytes")
    return _PREFIX + account


def account_of(peer_id: bytes) -> Account:
    """The account of a peer id. Raises ValueError when it is not an Ed25519 identity."""
    if len(peer_id) != len(_PREFIX) + LENGTHS[Account] or not peer_id.startswith(_PREFIX):
        raise ValueError("not the peer id of an Ed25519 key")
    return Account(bytes(peer_id[len(_PREFIX) :]))


def peer_text(account: Account) -> str:
    """The peer id as it stands in addresses (``12D3KooW...``)."""
    return base58.b58encode(peer_id_of(account)).decode("ascii")


def account_of_text(text: str) -> Account:
    """The account of a peer id in text. Raises ValueError."""
    if len(text) > _TEXT_CHARACTERS_MAX:
        raise ValueError("too long for a peer id")
    return account_of(base58.b58decode(text.encode("ascii")))

"""Snapshots between nodes: offered by name, fetched in pieces, believed only when proven.

The problem: a newcomer wants a state of many megabytes from peers that may lie, stall or vanish.

The rules:

- A node offers what its store keeps: the snapshots of the newest two borders, each with its name,
  the digest of its bytes. A piece is asked for by name and number and has :data:`PIECE_BYTES`.
- The newcomer asks one peer after the other, for the newest offer first. Bytes that do not have
  their name, are no snapshot, or whose accounts do not have the root that the state names, end with
  a reason and are held against the peer.
- What is left to prove, that the state is that of the log, the replica proves with the blocks that
  follow (``protocol.handover``).

Properties. Both sides are bounded: an offer names no more pieces than the largest snapshot has, an
answer no more bytes than a piece. Nothing a peer sends raises but :class:`~protocol.errors.Refused`
and :class:`~protocol.ports.RequestFailed`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from p2p.limits import MIB
from p2p.store import Store
from protocol.codec import decode, encode
from protocol.errors import Reason, Refused
from protocol.handover import SNAPSHOT_BYTES_MAX, snapshot_name
from protocol.ports import Network
from protocol.types import LENGTHS, Account, Count, Digest, Milliseconds, Tick

OFFERS_REQUEST: Final = "snapshots"
"""Name of the request for what a node offers; it has no body."""

PIECE_REQUEST: Final = "snapshot-piece"
"""Name of the request for a piece: the name, then the number in two big-endian bytes."""

PIECE_BYTES: Final = 1 * MIB
"""Bytes of every piece but the last."""

PIECES_MAX: Final = SNAPSHOT_BYTES_MAX // PIECE_BYTES
"""Most pieces of a snapshot."""

OFFERS_MAX: Final = 2
"""Most snapshots that a node keeps and offers."""

OFFERS_BYTES_MAX: Final = 256
"""Largest answer with offers, in bytes."""

PIECE_TIMEOUT_MS: Final = Milliseconds(10_000)
"""Longest wait for an answer: a piece on a slow link."""

_NUMBER_BYTES: Final = 2
_NAME_BYTES: Final = LENGTHS[Digest]


@dataclass(frozen=True, slots=True)
class Offer:
    """A snapshot that a node serves, of the border at ``height``."""

    height: Tick
    name: Digest
    pieces: Count


# --- serving ---


def encode_offers(store: Store) -> bytes:
    """What the store keeps, newest first."""
    offers = tuple(
        Offer(Tick(height), Digest(name), Count(-(-length // PIECE_BYTES)))
        for height, name, length in store.snapshots()
    )
    return encode(offers, tuple[Offer, ...])


def read_piece(store: Store, request: bytes) -> bytes | None:
    """The piece that a request names, or None."""
    if len(request) != _NAME_BYTES + _NUMBER_BYTES:
        return None
    name, number = request[:_NAME_BYTES], int.from_bytes(request[_NAME_BYTES:], "big")
    return store.snapshot_piece(name, number * PIECE_BYTES, PIECE_BYTES) or None


# --- fetching ---


async def fetch_offers(network: Network, peer: Account) -> tuple[Offer, ...]:
    """What a peer offers, newest first. Raises RequestFailed and Refused."""
    answer = await network.request(
        peer, OFFERS_REQUEST, b"", size_max=OFFERS_BYTES_MAX, timeout_ms=PIECE_TIMEOUT_MS
    )
    offers: tuple[Offer, ...] = decode(tuple[Offer, ...], answer, size_max=OFFERS_BYTES_MAX)
    if len(offers) > OFFERS_MAX or any(one.pieces > PIECES_MAX for one in offers):
        raise Refused(Reason.TOO_LARGE, f"{len(offers)} snapshots")
    return tuple(sorted(offers, key=lambda one: one.height, reverse=True))


async def fetch_snapshot(network: Network, peer: Account, offer: Offer) -> bytes:
    """The bytes of an offered snapshot. Raises RequestFailed, and Refused for other bytes."""
    payload = b"".join([piece async for piece in _pieces(network, peer, offer)])
    if snapshot_name(payload) != offer.name:
        raise Refused(Reason.WRONG_BODY, "a snapshot has another name")
    return payload


async def _pieces(network: Network, peer: Account, offer: Offer) -> AsyncIterator[bytes]:
    for number in range(offer.pieces):
        request = offer.name + number.to_bytes(_NUMBER_BYTES, "big")
        yield await network.request(
            peer, PIECE_REQUEST, request, size_max=PIECE_BYTES, timeout_ms=PIECE_TIMEOUT_MS
        )

"""Snapshots between nodes: offered by name, fetched in pieces, believed only when proven.

The problem: a newcomer wants a state of many megabytes from peers that may lie, stall or vanish.

The rules:

- A node offers what its store keeps: the snapshots of the newest two borders, each with its name,
  the digest of its bytes. A piece is asked for by name and number and has :data:`PIECE_BYTES`.
- The newcomer asks all peers that offer a snapshot for its pieces at once (``p2p.ranges``). What
  arrived is in the store, so that whoever was interrupted asks for the rest only, of whoever
  offers it then.
- A piece shows nothing of itself but its length; only the whole has a name. When it has another,
  all pieces are thrown away. If one peer sent all of them, that is its fault. If several did, or
  some are from an earlier life, nobody knows who lied: then the whole is fetched of one peer after
  the other, until one sends it, and each that sends another is blamed.
- Bytes that are no snapshot, or whose accounts do not have the root that the state names, are held
  against all who offer them: honest nodes offer what they made or proved themselves.
- What is left to prove, that the state is that of the log, the replica proves with the blocks that
  follow (``protocol.handover``).

Properties. Both sides are bounded: an offer names no more pieces than the largest snapshot has, an
answer no more bytes than a piece. Nothing a peer sends raises but :class:`~protocol.errors.Refused`
and :class:`~protocol.ports.RequestFailed`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import trio

from p2p.limits import MIB
from p2p.ranges import Plan, Range
from p2p.store import Store
from protocol.codec import decode, encode
from protocol.errors import Reason, Refused
from protocol.handover import SNAPSHOT_BYTES_MAX, snapshot_name
from protocol.ports import Network, RequestFailed
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


Blame: TypeAlias = Callable[[Account, Refused], None]
"""Told what a peer sent that is refused."""


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


async def fetch_snapshot(
    network: Network, store: Store, offer: Offer, holders: Sequence[Account], blame: Blame
) -> bytes | None:
    """The bytes of an offered snapshot; None when they are not to be had of those who offer it.

    :param holders: who offers it.
    :param blame: told of a peer that sent something else.
    """
    hands: list[Sequence[Account]] = [holders]
    while hands:
        givers = hands.pop(0)
        is_of_one = len(givers) == 1 and not store.piece_count(offer.name)
        if not await _gather(network, store, offer, givers, blame):
            if givers == holders:
                return None
            store.forget_pieces()
            continue
        payload = b"".join(store.pieces(offer.name))
        if snapshot_name(payload) == offer.name:
            return payload
        store.forget_pieces()
        if is_of_one:
            blame(givers[0], Refused(Reason.WRONG_BODY, "a snapshot has another name"))
        else:
            hands += [(one,) for one in holders]
    return None


async def _gather(
    network: Network, store: Store, offer: Offer, givers: Sequence[Account], blame: Blame
) -> bool:
    """Fetch the pieces that are not here, each from whoever is free. Whether all are here."""
    first = store.piece_count(offer.name)
    plan: Plan[bytes] = Plan(Range(first, offer.pieces - 1), 1)
    changed = trio.Event()

    async def ask(peer: Account, number: int) -> None:
        try:
            plan.arrive(peer, number, await _fetch_piece(network, peer, offer, number))
        except RequestFailed:
            plan.fail(peer)
        except Refused as refusal:
            plan.fail(peer)
            blame(peer, refusal)
        changed.set()

    async with trio.open_nursery() as nursery:
        while not plan.is_complete:
            for peer, part in plan.ask(givers):
                nursery.start_soon(ask, peer, part.first)
            arrived = plan.take()
            if arrived is not None:
                store.put_piece(offer.name, arrived.range.first, arrived.payload)
            elif plan.is_idle:
                break
            else:
                await changed.wait()
                changed = trio.Event()
    return plan.is_complete


async def _fetch_piece(network: Network, peer: Account, offer: Offer, number: int) -> bytes:
    """One piece. Raises RequestFailed, and Refused for one that is too short."""
    request = offer.name + number.to_bytes(_NUMBER_BYTES, "big")
    piece = await network.request(
        peer, PIECE_REQUEST, request, size_max=PIECE_BYTES, timeout_ms=PIECE_TIMEOUT_MS
    )
    is_last = number == offer.pieces - 1
    if not piece or (len(piece) < PIECE_BYTES and not is_last):
        raise Refused(Reason.WRONG_BODY, f"piece {number} has {len(piece)} bytes")
    return piece

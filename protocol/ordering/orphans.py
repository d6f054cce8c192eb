"""Blocks that wait for their parent.

Bounded: at most :data:`ORPHANS_PER_PROPOSER` of each proposer, the oldest makes room; so a hostile
proposer displaces nobody's blocks but its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protocol.messages import Certificate, LogBlock
from protocol.types import Account, BlockHash

ORPHANS_PER_PROPOSER: Final = 4
"""Waiting blocks of one proposer. Whoever is further behind fetches by height and needs none."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A block on its way into the tree.

    :ivar certificate: its own, when it came with one.
    """

    hash: BlockHash
    block: LogBlock
    certificate: Certificate | None
    in_time: bool


class Orphans:
    """Waiting blocks in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: dict[BlockHash, Arrival] = {}

    def __iter__(self) -> Iterator[Arrival]:
        return iter(self._waiting.values())

    def get(self, block: BlockHash) -> Arrival | None:
        """The waiting block with this hash."""
        return self._waiting.get(block)

    def hold(self, arrival: Arrival) -> None:
        """Let a block wait; one that waits already is replaced, to gain a certificate."""
        self._waiting[arrival.hash] = arrival
        siblings = self._of(arrival.block.header.proposer)
        if len(siblings) > ORPHANS_PER_PROPOSER:
            del self._waiting[siblings[0].hash]

    def release(self, parent: BlockHash) -> list[Arrival]:
        """Take out the blocks that waited for ``parent``."""
        released = [one for one in self if one.block.header.parent == parent]
        for arrival in released:
            del self._waiting[arrival.hash]
        return released

    def forget_up_to(self, height: int) -> None:
        """Drop blocks that claim heights whose parents are final: the right one is not waiting."""
        self._waiting = {one.hash: one for one in self if one.block.header.height > height}

    def _of(self, proposer: Account) -> list[Arrival]:
        return [one for one in self if one.block.header.proposer == proposer]

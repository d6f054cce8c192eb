"""When things happen in the log: slots of wall-clock time and epochs of heights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from protocol.beacon import genesis_beacon
from protocol.ordering.validators import RANK_BITS
from protocol.signing import digest
from protocol.types import Beacon, BlockHash, Epoch, Milliseconds, NetworkId, Slot, Tick

PROPOSING_TENTHS: Final = 3
"""Tenths of a slot over which proposals are spread; in the rest they and the votes travel."""


@dataclass(frozen=True)
class Settings:
    """What all validators of a network agree on before its first block.

    :ivar network: keeps networks apart; it also names the genesis block.
    :ivar genesis_time_ms: when slot 0 begins; slot 0 is the genesis' own and has no proposals.
    :ivar slot_ms: length of a slot; twice what a message may take, in the terms of the paper.
    :ivar epoch_ticks: heights in an epoch.
    """

    network: NetworkId
    genesis_time_ms: Milliseconds
    slot_ms: Milliseconds
    epoch_ticks: int

    @cached_property
    def genesis_hash(self) -> BlockHash:
        """Name of the block before the first; it has no header."""
        return BlockHash(digest(b"provnet/log-genesis/1", self.network))

    @cached_property
    def genesis_beacon(self) -> Beacon:
        """The beacon before the first block."""
        return genesis_beacon(self.network)

    def epoch_after(self, height: Tick) -> Epoch:
        """The epoch of the blocks above a final one of this height."""
        return Epoch(height // self.epoch_ticks)

    def slot_at(self, now_ms: int) -> Slot:
        """The slot at a time; 0 before the genesis."""
        return Slot(max(0, now_ms - self.genesis_time_ms) // self.slot_ms)

    def starts_at(self, slot: int) -> Milliseconds:
        """When a slot begins."""
        return Milliseconds(self.genesis_time_ms + slot * self.slot_ms)

    def publishes_at(self, slot: Slot, rank: int) -> Milliseconds:
        """When a proposer of this rank may publish: the best possible at once, the worst last."""
        window_ms = self.slot_ms * PROPOSING_TENTHS // 10
        return Milliseconds(self.starts_at(slot) + (window_ms * rank >> RANK_BITS))

    def votes_at(self, slot: Slot) -> Milliseconds:
        """When validators vote: the middle of the slot. What arrives then or later is late."""
        return Milliseconds(self.starts_at(slot) + self.slot_ms // 2)

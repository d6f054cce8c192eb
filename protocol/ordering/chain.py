"""What a log block inherits from its own ancestors, and nothing else.

A :class:`Link` holds all that later blocks and readers need to know of a block and its ancestors,
so that they need not be walked, nor kept. Every field is a function of the chain: it depends on
slots and VRF outputs of the block and its ancestors, never on what somebody has seen, nor on
contents.

- *run*: how many blocks of consecutive slots end here. Three notarised ones finalise the middle
  one, so a notarised block with a run of three finalises up to its parent.
- *settled*: the height that the block's own ancestors finalise. All of them are notarised, because
  a block carries its parent's certificate.
- *beacon*: ``advance(beacon of the parent, slot, VRF output of the proposer)``.
- *borders*: the beacons at the ends of the two epochs before the block's own. The older is the seed
  of its epoch; epochs 0 to 2 use the beacon of the genesis.

The genesis is notarised in slot 0 and takes part like any other block: notarised blocks in slots 1
and 2 finalise the first. The paper's argument holds for it, since no block has an earlier slot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from protocol.beacon import advance
from protocol.messages import Certificate
from protocol.ordering.settings import Settings
from protocol.types import Beacon, BlockHash, Count, Slot, Tick, VrfOutput

RUN_THAT_FINALISES: Final = Count(3)
"""Notarised blocks of consecutive slots that finalise the middle one. Runs are counted to here."""

LAST_EPOCH_OF_GENESIS: Final = 2
"""Epochs up to this one take their seed from the genesis."""


@dataclass(frozen=True, slots=True)
class Link:
    """A block's place in its chain."""

    block: BlockHash
    height: Tick
    slot: Slot
    run: Count
    settled: Tick
    beacon: Beacon
    borders: tuple[Beacon, Beacon]

    @property
    def settles(self) -> Tick:
        """The height that is final once this block is notarised; what its children call settled."""
        return Tick(self.height - 1) if self.run == RUN_THAT_FINALISES else self.settled

    @property
    def rooted(self) -> Link:
        """The same place as the root of a new epoch: final, and the first of a run."""
        return replace(self, run=Count(1), settled=self.height)

    def child(self, block: BlockHash, slot: Slot, output: VrfOutput, settings: Settings) -> Link:
        """The place of a block on top of this one, whose proposer's VRF output is ``output``."""
        follows = slot == self.slot + 1
        return Link(
            block=block,
            height=Tick(self.height + 1),
            slot=slot,
            run=Count(min(self.run + 1, RUN_THAT_FINALISES) if follows else 1),
            settled=self.settles,
            beacon=advance(self.beacon, slot, output),
            borders=self._borders_of_child(settings),
        )

    def seed_of_child(self, settings: Settings) -> Beacon:
        """Seed of the epoch to which a block on top of this one belongs."""
        if self.height // settings.epoch_ticks <= LAST_EPOCH_OF_GENESIS:
            return settings.genesis_beacon
        return self._borders_of_child(settings)[0]

    def _borders_of_child(self, settings: Settings) -> tuple[Beacon, Beacon]:
        begins_epoch = self.height % settings.epoch_ticks == 0
        return (self.borders[1], self.beacon) if begins_epoch else self.borders


@dataclass(frozen=True, slots=True)
class Anchor:
    """A notarised block to build on, with what proves it; the genesis needs no proof."""

    link: Link
    certificate: Certificate | None


def genesis(settings: Settings) -> Anchor:
    """Where a log begins."""
    beacon = settings.genesis_beacon
    link = Link(
        settings.genesis_hash, Tick(0), Slot(0), Count(1), Tick(0), beacon, (beacon, beacon)
    )
    return Anchor(link, None)

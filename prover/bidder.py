"""Acts for a prover where provers are chosen: offers to prove the blocks that are to come.

Rules, upon any event:

- For every block that the proving rule asks bids for, offer once, and again when what is asked has
  changed: the bond or the size of the block.
- The *price* is what the block's work costs, and a margin on it. The *bond* is the least that is
  accepted. The offer holds as long as the block may be promised. The *time* is what the settings
  say; else what :mod:`prover.forecast` predicts behind all that is owed, won blocks included; as
  long as nothing can be predicted, all the time there is. A prediction that changes is no reason to
  offer again.
- No offer while so many blocks as the prover wants are its own, none that it could not keep, none
  if it takes longer than there is time, and none while the node is paused.

Under a rule that asks nobody, nothing happens. Offers that were sent, and how long proofs took, are
forgotten by a restart; repeating an offer does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from protocol.agents import Action, AgentEvent, SendBid, View, is_paused
from protocol.events import Awarded
from protocol.happenings import BlockFinal
from protocol.messages import Bid
from protocol.rules import Ask
from protocol.types import FULL_SHARE, Account, Amount, BasisPoints, Count, Round, Tick
from prover.forecast import UNTIMED, Capacity, owed_load, tree_layers, whole_tree


@dataclass(frozen=True, slots=True)
class BidderSettings:
    """What a prover decides for itself.

    :ivar cost_per_work: what a compute unit costs it, in micro-units.
    :ivar margin_bps: what it adds to its cost.
    :ivar latency_ticks: how long it expects to take for a block; 0: as predicted.
    :ivar blocks_max: it offers nothing while so many blocks are its own.
    :ivar capacity: workers, cores and what is known of their speed, to begin with.
    """

    cost_per_work: Amount = Amount(1)
    margin_bps: BasisPoints = BasisPoints(2_000)
    latency_ticks: Tick = Tick(0)
    blocks_max: Count = Count(2)
    capacity: Capacity = UNTIMED


class BidderAgent:
    """The agent of this module."""

    def __init__(self, settings: BidderSettings) -> None:
        self.settings = settings
        self.capacity = settings.capacity
        self._offered: dict[tuple[Round, Account], Bid] = {}
        self._won: dict[tuple[Round, Account], None] = {}

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        """Offers upon an event; see the module."""
        self.capacity = self.capacity.learned(event)
        if isinstance(event, BlockFinal):
            self._note_awards(view, event)
        return () if is_paused(view) else tuple(self._offer(view))

    def price(self, ask: Ask) -> Amount:
        """What it asks for a block, rounded up."""
        cost = self.settings.cost_per_work * ask.work
        return Amount(-(-cost * (FULL_SHARE + self.settings.margin_bps) // FULL_SHARE))

    def predicted_ticks(self, view: View, ask: Ask) -> Tick | None:
        """How long a block would take behind what is owed; None when that cannot be told."""
        behind = owed_load(view)
        for block in view.machine.sequencing.awaited():
            if (block.round, block.sequencer) in self._won:
                behind = behind.plus(whole_tree(block.leaf_count))
        slot_ms = view.machine.genesis.network.slot_ms
        return self.capacity.ticks(tree_layers(ask.block.leaf_count), behind, slot_ms)

    def _offer(self, view: View) -> Iterator[Action]:
        asks = {(one.block.round, one.block.sequencer): one for one in view.machine.asks()}
        self._offered = {block: bid for block, bid in self._offered.items() if block in asks}
        for block, ask in asks.items():
            latency = self.settings.latency_ticks or self.predicted_ticks(view, ask) or ask.ticks
            bid = Bid(view.account, *block, self.price(ask), ask.bond, latency, ask.block.until)
            before = self._offered.get(block)
            if (
                (before is None or replace(bid, latency_ticks=before.latency_ticks) != before)
                and latency <= ask.ticks
                and self._blocks(view) < self.settings.blocks_max
                and view.machine.bid_objection(bid) is None
            ):
                self._offered[block] = bid
                yield SendBid(bid)

    def _blocks(self, view: View) -> int:
        """Blocks that are to be proven, and that were promised and may yet open."""
        return len({duty.job for duty in view.machine.proving.duties(view.account)}) + len(
            self._won
        )

    def _note_awards(self, view: View, final: BlockFinal) -> None:
        for event in final.applied.events:
            if isinstance(event, Awarded) and event.prover == view.account:
                self._won[event.round, event.sequencer] = None
        awaited = [(one.round, one.sequencer) for one in view.machine.sequencing.awaited()]
        self._won = {block: None for block in self._won if block in awaited}

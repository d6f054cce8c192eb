"""Acts for a prover where provers are chosen: offers to prove the blocks that are to come.

Rules, upon any event:

- For every block that the proving rule asks bids for, offer once, and again when what is asked has
  changed: the bond or the size of the block.
- The *price* is what the block's work costs, and a margin on it. The *bond* is the least that is
  accepted. The offer holds as long as the block may be promised.
- No offer while so many blocks as the prover wants are its own, none that it could not keep, and
  none if it takes longer than there is time.

Under a rule that asks nobody, nothing happens. Offers that were sent are forgotten by a restart;
repeating one does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from protocol.agents import Action, AgentEvent, SendBid, View
from protocol.events import Awarded
from protocol.happenings import BlockFinal
from protocol.messages import Bid
from protocol.rules import Ask
from protocol.types import FULL_SHARE, Account, Amount, BasisPoints, Count, Round, Tick


@dataclass(frozen=True, slots=True)
class BidderSettings:
    """What a prover decides for itself.

    :ivar cost_per_work: what a compute unit costs it, in micro-units.
    :ivar margin_bps: what it adds to its cost.
    :ivar latency_ticks: how long it expects to take for a block; 0: all the time there is.
    :ivar blocks_max: it offers nothing while so many blocks are its own.
    """

    cost_per_work: Amount = Amount(1)
    margin_bps: BasisPoints = BasisPoints(2_000)
    latency_ticks: Tick = Tick(0)
    blocks_max: Count = Count(2)


class BidderAgent:
    """The agent of this module."""

    def __init__(self, settings: BidderSettings) -> None:
        self.settings = settings
        self._offered: dict[tuple[Round, Account], Bid] = {}
        self._won: dict[tuple[Round, Account], None] = {}

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        """Offers upon an event; see the module."""
        if isinstance(event, BlockFinal):
            self._note_awards(view, event)
        return tuple(self._offer(view))

    def price(self, ask: Ask) -> Amount:
        """What it asks for a block, rounded up."""
        cost = self.settings.cost_per_work * ask.work
        return Amount(-(-cost * (FULL_SHARE + self.settings.margin_bps) // FULL_SHARE))

    def _offer(self, view: View) -> Iterator[Action]:
        asks = {(one.block.round, one.block.sequencer): one for one in view.machine.asks()}
        self._offered = {block: bid for block, bid in self._offered.items() if block in asks}
        for block, ask in asks.items():
            latency = self.settings.latency_ticks or ask.ticks
            bid = Bid(view.account, *block, self.price(ask), ask.bond, latency, ask.block.until)
            if (
                self._offered.get(block) != bid
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

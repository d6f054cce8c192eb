"""Acts for a sequencer where provers are chosen: listens to bids and awards its block to one.

Rules. While the proving rule asks bids for a block of this account,

- keep the bids that could be awarded, at most :data:`BIDS_MAX`, the best;
- wait until the block is revealed, because only then bidders know how much work it is, and listen
  for ``bid_slots`` from then on; but award at the latest ``lead_ticks`` before it is too late;
- award the *cheapest* bid that fits into the window, whatever its latency; of equals the one with
  the highest bond, then the smallest hash. Never pay more than ``price_max_percent`` of what the
  block brings.

An award that was refused is followed by the next best bid. Bids that were heard are forgotten by a
restart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from protocol.agents import Action, AgentEvent, BidHeard, SlotBegan, Submit, View
from protocol.codec import encode
from protocol.messages import Award, SignedBid
from protocol.rules import Ask, RevealDuty
from protocol.signing import digest
from protocol.types import Amount, Count, Round, Slot, Tick
from sequencer.agent import kept_reveal

BIDS_MAX: Final = 64
"""Most bids that are kept."""


@dataclass(frozen=True, slots=True)
class AwardSettings:
    """What a sequencer decides for itself.

    :ivar bid_slots: for how many slots it listens to bids for a block whose size is known.
    :ivar lead_ticks: it awards when so few ticks are left: finality lags, and an award has to be
        ordered.
    :ivar price_max_percent: most that it pays, of what the block brings it.
    """

    bid_slots: Count = Count(2)
    lead_ticks: Tick = Tick(4)
    price_max_percent: Count = Count(100)


class AwardAgent:
    """The agent of this module."""

    def __init__(self, settings: AwardSettings) -> None:
        self.settings = settings
        self._slot = Slot(0)
        self._bids: tuple[SignedBid, ...] = ()
        self._listening: tuple[Round, Slot] | None = None

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        """An award upon an event; see the module."""
        if isinstance(event, SlotBegan):
            self._slot = event.slot
        ask = own_ask(view)
        if ask is None:
            self._bids = ()
            return ()
        if isinstance(event, BidHeard):
            self._bids = ranked((*self._bids, event.signed), view, ask)[:BIDS_MAX]
        if not self._is_time(view, ask) or any(
            isinstance(payload, Award) for payload in view.own_pending()
        ):
            return ()
        limit = self._limit(view, ask)
        bids = [one for one in ranked(self._bids, view, ask) if one.bid.price <= limit]
        return tuple(Submit(Award(one)) for one in bids[:1])

    def _is_time(self, view: View, ask: Ask) -> bool:
        if view.machine.tick + self.settings.lead_ticks >= ask.block.until:
            return True
        if not _is_revealed(view):
            return False
        if self._listening is None or self._listening[0] != ask.block.round:
            self._listening = ask.block.round, self._slot
        return self._slot >= self._listening[1] + self.settings.bid_slots

    def _limit(self, view: View, ask: Ask) -> Amount:
        reveal = kept_reveal(view, ask.block.round)
        fees = 0 if reveal is None else sum(leaf.fees for leaf in reveal.content.leaves)
        income = fees + view.machine.genesis.network.block_reward
        return Amount(income * self.settings.price_max_percent // 100)


def own_ask(view: View) -> Ask | None:
    """What is asked for a block of the account, if bids for one are wanted."""
    asks = (one for one in view.machine.asks() if one.block.sequencer == view.account)
    return next(asks, None)


def ranked(bids: Iterable[SignedBid], view: View, ask: Ask) -> tuple[SignedBid, ...]:
    """Bids that could be awarded and fit into the window: the cheapest first, each once."""
    fit = {
        digest(b"provnet/bid-rank/1", encode(one)): one
        for one in bids
        if one.bid.round == ask.block.round
        and one.bid.sequencer == ask.block.sequencer
        and one.bid.latency_ticks <= ask.ticks
        and view.machine.bid_objection(one.bid) is None
    }
    order = sorted(fit, key=lambda name: (fit[name].bid.price, -fit[name].bid.bond, name))
    return tuple(fit[name] for name in order)


def _is_revealed(view: View) -> bool:
    machine = view.machine
    duties = machine.sequencing.duties(view.account, machine.epoch_seed, Tick(machine.tick + 1))
    return not any(isinstance(duty, RevealDuty) for duty in duties)

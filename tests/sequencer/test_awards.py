"""Which bid a sequencer awards, and when, on the final state of a story."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings, strategies as st

from protocol.agents import BidHeard, SlotBegan, Submit
from protocol.codec import encode
from protocol.messages import Award, Bid, BlockReveal, SignedBid, sign_bid
from protocol.testing import Scenario, World, actor
from protocol.testing.moves import commit, reveal
from protocol.testing.scenario import BONDED
from protocol.types import Account, Amount, Count, Round, Slot, Tick
from sequencer.awards import BIDS_MAX, AwardAgent, AwardSettings, ranked

S0 = actor("s0").account
PROVERS = ("p0", "p1", "p2", "p3")
PATIENT = replace(
    BONDED,
    balance=50_000,
    sequencing_parameters=replace(BONDED.sequencing_parameters, reveal_ticks=Tick(12)),
)
FEES = 2 * 1_000 + 1
"""What the block brings."""


class Desk:
    """A sequencer's agent whose block is to come."""

    def __init__(self, like: Scenario = PATIENT, **wish: Any) -> None:
        self.world = World(like)
        commit(self.world, who="s0", height=1, split=0, fee=1_000, how="honest")
        self.world.wait(3)
        self.agent = AwardAgent(AwardSettings(**wish))
        self.pending: tuple[Any, ...] = ()
        self.slot = 0
        self.account = S0

    @property
    def machine(self) -> Any:
        return self.world.machine

    def own_pending(self) -> tuple[Any, ...]:
        return self.pending

    def note(self, name: str) -> bytes | None:
        content, salt = next(iter(self.world.secrets.values()))
        assert name == "reveal/0"
        return encode(BlockReveal(Round(0), content, salt))

    def bid(self, prover: str = "p1", **change: Any) -> SignedBid:
        (ask,) = self.machine.asks()
        fair = {"price": Amount(100), "bond": ask.bond, "latency_ticks": Tick(3)}
        values: dict[str, Any] = {**fair, "valid_until": ask.block.until, **change}
        bid = Bid(actor(prover).account, ask.block.round, S0, **values)
        return sign_bid(actor(prover).seed, self.machine.network, bid)

    def reveal(self) -> None:
        reveal(self.world, how="honest", who="s0")
        self.world.step()

    def hear(self, *bids: SignedBid) -> None:
        for one in bids:
            assert self.agent.decide(self, BidHeard(one)) == ()

    def slots(self, count: int) -> list[SignedBid]:
        """What is awarded in so many slots more."""
        awarded = []
        for _ in range(count):
            self.slot += 1
            for action in self.agent.decide(self, SlotBegan(Slot(self.slot))):
                assert isinstance(action, Submit)
                assert isinstance(action.payload, Award)
                awarded.append(action.payload.bid)
        return awarded

    def awarded(self, *bids: SignedBid) -> list[SignedBid]:
        """What is awarded of these once it has listened for long enough."""
        self.reveal()
        self.slots(1)
        self.hear(*bids)
        return self.slots(2)


def test_it_listens_from_the_reveal_on_and_awards_the_cheapest() -> None:
    desk = Desk()
    dear, cheap = desk.bid("p1", price=Amount(90)), desk.bid("p2", price=Amount(80))
    desk.hear(dear)
    assert desk.slots(5) == []
    desk.reveal()
    assert desk.slots(1) == []
    desk.hear(cheap)
    assert desk.slots(1) == []
    assert desk.slots(1) == [cheap]


def test_an_award_is_made_once() -> None:
    desk = Desk()
    (first,) = desk.awarded(desk.bid())
    desk.pending = (Award(first),)
    assert desk.slots(3) == []
    desk.pending = ()
    desk.world.say("s0", Award(first))
    desk.world.step()
    assert desk.slots(3) == []


def test_it_awards_what_it_has_before_it_is_too_late() -> None:
    desk = Desk(lead_ticks=Tick(4))
    bid = desk.bid()
    desk.hear(bid)
    (ask,) = desk.machine.asks()
    desk.world.wait(ask.block.until - 5 - desk.machine.tick)
    assert desk.slots(3) == []
    desk.world.step()
    assert desk.slots(1) == [bid]


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(PROVERS),
            st.integers(0, 30),
            st.integers(0, 3),
            st.integers(0, 14),
        ),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=30, deadline=None)
def test_the_cheapest_is_taken_whatever_its_latency(
    rows: list[tuple[str, int, int, int]],
) -> None:
    """C13.1: of equals the one with the highest bond."""
    desk = Desk()
    (ask,) = desk.machine.asks()
    bids = [
        desk.bid(
            prover, price=Amount(price), bond=Amount(ask.bond + more), latency_ticks=Tick(ticks)
        )
        for prover, price, more, ticks in rows
    ]
    (taken,) = desk.awarded(*bids)
    best = min((price, -more) for _, price, more, _ in rows)
    assert (taken.bid.price, ask.bond - taken.bid.bond) == best


def test_equal_bids_are_taken_in_an_order_that_does_not_depend_on_the_order_of_hearing() -> None:
    bids = [Desk().bid(prover) for prover in PROVERS]
    taken = {Desk().awarded(*order)[0].bid.prover for order in (bids, bids[::-1])}
    assert len(taken) == 1


def test_what_is_too_slow_too_dear_or_not_to_be_paid_is_passed_over() -> None:
    (window, *_) = [ask.ticks for ask in Desk().machine.asks()]
    for change in (
        {"latency_ticks": Tick(window + 1)},
        {"price": Amount(FEES + 1)},
        {"bond": Amount(1)},
        {"bond": Amount(50_001)},
        {"valid_until": Tick(3)},
    ):
        desk = Desk()
        assert desk.awarded(desk.bid(**change)) == []
    for change in ({"latency_ticks": window}, {"price": Amount(FEES)}):
        desk = Desk()
        bid = desk.bid(**change)
        assert desk.awarded(bid) == [bid]


def test_the_block_reward_counts_and_a_sequencer_may_want_a_share() -> None:
    for reward, percent, limit in ((0, 50, FEES // 2), (99, 100, FEES + 99), (0, 0, 0)):
        for price, is_taken in ((limit, True), (limit + 1, False)):
            desk = Desk(
                replace(PATIENT, block_reward=reward, treasury=reward),
                price_max_percent=Count(percent),
            )
            assert bool(desk.awarded(desk.bid(price=Amount(price)))) is is_taken


def test_bids_for_others_and_for_other_rounds_are_passed_over() -> None:
    desk = Desk()
    mine = desk.bid()
    foreign = [replace(mine.bid, round=Round(1)), replace(mine.bid, sequencer=Account(bytes(32)))]
    signed = [sign_bid(actor("p1").seed, desk.machine.network, one) for one in foreign]
    assert desk.awarded(*signed) == []


def test_it_keeps_the_best_of_very_many() -> None:
    desk = Desk()
    desk.hear(*(desk.bid(price=Amount(price)) for price in range(BIDS_MAX + 9, 0, -1)))
    assert len(desk.agent._bids) == BIDS_MAX
    desk.reveal()
    assert [one.bid.price for one in desk.slots(3)[:1]] == [1]


def test_each_bid_counts_once() -> None:
    desk = Desk()
    (ask,) = desk.machine.asks()
    bid = desk.bid()
    assert ranked((bid, bid), desk, ask) == (bid,)


def test_where_it_leads_nothing_it_awards_nothing() -> None:
    desk = Desk()
    desk.account = actor("s1").account
    bid = desk.bid()
    assert desk.agent.decide(desk, BidHeard(bid)) == ()
    assert desk.slots(9) == []

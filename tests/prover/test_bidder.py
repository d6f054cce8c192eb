"""What a bidding prover offers, on the final state of a story that the property kit tells."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from protocol.agents import (
    PAUSE_NOTE,
    PAUSED,
    Paused,
    ProofKey,
    ProofMade,
    SendBid,
    SlotBegan,
)
from protocol.happenings import BlockFinal
from protocol.messages import Award, Bid, sign_bid
from protocol.testing import Scenario, World, actor
from protocol.testing.moves import commit, reveal
from protocol.testing.scenario import BONDED
from protocol.types import (
    Amount,
    BasisPoints,
    Count,
    JobId,
    Milliseconds,
    Slot,
    Tick,
    TreeIndex,
    Work,
)
from prover.bidder import BidderAgent, BidderSettings
from prover.forecast import Capacity, Times

EVENT = SlotBegan(Slot(1))
S0, ME = actor("s0"), actor("p1")


def network(**rest: Any) -> World:
    """A network in which the first sequencer's block is to come."""
    world = World(replace(BONDED, balance=50_000, **rest))
    lead(world)
    return world


def lead(world: World) -> None:
    commit(world, who="s0", height=1, split=0, fee=7, how="honest")
    world.wait(3)


def view(world: World, pause: bytes = b"") -> Any:
    return SimpleNamespace(
        machine=world.machine,
        account=ME.account,
        note={PAUSE_NOTE: pause}.get,
        running=lambda: (),
    )


def offers(agent: BidderAgent, world: World, event: Any = EVENT) -> list[Bid]:
    actions = agent.decide(view(world), event)
    assert all(isinstance(one, SendBid) for one in actions)
    return [one.bid for one in actions if isinstance(one, SendBid)]


def win(agent: BidderAgent, world: World) -> None:
    """The block is awarded to the agent's account, and it learns of that."""
    (bid,) = offers(agent, world) or list(agent._offered.values())
    world.say("s0", Award(sign_bid(ME.seed, world.machine.network, bid)))
    applied = world.step()
    final: Any = BlockFinal(None, None, applied)
    assert offers(agent, world, final) == []


def test_it_offers_its_cost_with_a_margin_and_the_least_bond() -> None:
    world = network()
    (ask,) = world.machine.asks()
    settings = BidderSettings(Amount(2), BasisPoints(1_000))
    (bid,) = offers(BidderAgent(settings), world)
    assert ask.work == 8 * 15 + 7 * 33
    assert bid == Bid(
        ME.account,
        ask.block.round,
        S0.account,
        Amount(-(-2 * ask.work * 11 // 10)),
        ask.bond,
        ask.ticks,
        ask.block.until,
    )


@pytest.mark.parametrize(("work", "price"), [(0, 0), (1, 2), (10, 12), (11, 14)])
def test_a_price_is_rounded_up(work: int, price: int) -> None:
    ask = SimpleNamespace(work=Work(work))
    assert BidderAgent(BidderSettings()).price(ask) == price


def test_it_offers_once_and_again_when_the_block_is_known() -> None:
    world, agent = network(), BidderAgent(BidderSettings())
    (first,) = offers(agent, world)
    assert offers(agent, world) == []
    reveal(world, how="honest", who="s0")
    world.step()
    (second,) = offers(agent, world)
    assert first.price == -(-351 * 12 // 10)
    assert second == replace(first, price=Amount(-(-63 * 12 // 10)))
    assert offers(agent, world) == []


def test_it_offers_nothing_that_it_could_not_keep() -> None:
    world = network()
    assert offers(BidderAgent(BidderSettings(latency_ticks=Tick(14))), world)
    assert offers(BidderAgent(BidderSettings(latency_ticks=Tick(15))), world) == []
    poor = World(replace(BONDED, balance=30))
    lead(poor)
    assert offers(BidderAgent(BidderSettings()), poor) == []


def test_it_stops_while_so_many_blocks_are_its_own() -> None:
    world, agent = network(), BidderAgent(BidderSettings(blocks_max=Count(1)))
    win(agent, world)
    assert agent._blocks(view(world)) == 1
    reveal(world, how="honest", who="s0")
    world.wait(2)
    final: Any = BlockFinal(None, None, world.step())
    assert agent.decide(view(world), final) == ()
    assert (agent._won, agent._blocks(view(world))) == ({}, 1)
    lead(world)
    assert world.machine.asks()
    assert offers(agent, world) == []
    assert offers(BidderAgent(BidderSettings(blocks_max=Count(2))), world)


def test_a_block_that_somebody_else_won_is_not_its_own() -> None:
    world, agent = network(), BidderAgent(BidderSettings())
    (bid,) = offers(agent, world)
    other = replace(bid, prover=actor("p2").account)
    world.say("s0", Award(sign_bid(actor("p2").seed, world.machine.network, other)))
    final: Any = BlockFinal(None, None, world.step())
    assert offers(agent, world, final) == []
    assert agent._blocks(view(world)) == 0


def test_where_nobody_is_asked_it_offers_nothing() -> None:
    world = World(Scenario())
    lead(world)
    blocks = world.machine.sequencing.awaited()
    assert [one.sequencer for one in blocks] == [S0.account]
    assert offers(BidderAgent(BidderSettings()), world) == []


def capable(ms: int) -> Capacity:
    """One worker on one core."""
    times = Times(((Count(1), Milliseconds(ms)),))
    return Capacity(Count(1), Count(1), times, times)


def test_a_bid_says_how_long_the_block_is_predicted_to_take() -> None:
    world = network()
    slot_ms = world.machine.genesis.network.slot_ms
    (bid,) = offers(BidderAgent(BidderSettings(capacity=capable(slot_ms // 2))), world)
    assert bid.latency_ticks == 15 // 2 + 1 + 2
    assert offers(BidderAgent(BidderSettings(capacity=capable(slot_ms))), world) == []
    settled = BidderSettings(latency_ticks=Tick(9), capacity=capable(slot_ms))
    assert [one.latency_ticks for one in offers(BidderAgent(settled), world)] == [9]


def test_what_it_learns_changes_later_bids_and_repeats_none() -> None:
    world = network()
    slot_ms = world.machine.genesis.network.slot_ms
    agent = BidderAgent(BidderSettings(capacity=capable(slot_ms // 4)))
    (before,) = offers(agent, world)
    for level in (0, 1):
        key = ProofKey(JobId(bytes(32)), TreeIndex(Count(level), Count(0)))
        made = ProofMade(key, None, b"", Milliseconds(slot_ms), Count(1))
        assert offers(agent, world, made) == []
    reveal(world, how="honest", who="s0")
    world.step()
    (after,) = offers(agent, world)
    # of 15 proofs at a quarter of a slot to 3 at seven sixteenths
    assert (before.latency_ticks, after.latency_ticks) == (4 + 2, 2 + 2)


def test_blocks_that_it_won_are_proven_first() -> None:
    world = network()
    slot_ms = world.machine.genesis.network.slot_ms
    agent = BidderAgent(BidderSettings(capacity=capable(slot_ms // 3)))
    (ask,) = world.machine.asks()
    assert agent.predicted_ticks(view(world), ask) == 5 + 2
    win(agent, world)
    assert agent.predicted_ticks(view(world), ask) == 10 + 2


def test_while_paused_it_offers_nothing() -> None:
    world, agent = network(), BidderAgent(BidderSettings())
    assert agent.decide(view(world, PAUSED), Paused()) == ()
    assert len(offers(agent, world)) == 1

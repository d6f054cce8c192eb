"""Peers tell each other the time: whose clock is off is found out, and a liar moves nobody."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st

from p2p.memory import MemoryNetwork
from p2p.node import Node
from protocol.codec import encode
from protocol.ledger import Ledger
from protocol.params import network_id
from protocol.ports import Network, Topic, Verdict
from protocol.types import Account, Milliseconds, Slot, Tick
from scripts.greeting import HELLO, Greeter, Hello, Reading, clock_error_ms
from tests.p2p.town import VirtualClock
from tests.scripts.network import SLOT_MS, genesis

GENESIS = genesis("modelled")
VALIDATORS = [one.account for one in GENESIS.accounts if one.log_stake]
PROVER = next(one.account for one in GENESIS.accounts if not one.log_stake)
STAKES = dict.fromkeys(VALIDATORS, 100)


def reading(offset_ms: int, doubt_ms: int = 0) -> Reading:
    return Reading(Hello(Milliseconds(0), Tick(0), Slot(0)), offset_ms, doubt_ms)


@pytest.mark.parametrize(
    ("offsets", "error_ms"),
    [
        ([], 0),
        ([5_000], 0),
        ([5_000, 4_000], 4_000),
        ([5_000, 4_000, 1], 4_000),
        ([-5_000, -4_000, 0], -4_000),
        ([9_000, 3, 2], 3),
        ([-3, 2, 9_000], 2),
    ],
)
def test_more_than_a_third_of_the_stake_must_say_so(offsets: list[int], error_ms: int) -> None:
    readings = dict(zip(VALIDATORS, map(reading, offsets), strict=False))
    assert clock_error_ms(readings, STAKES, 400) == error_ms


def test_who_has_no_log_stake_moves_nothing_and_doubt_counts_for_us() -> None:
    strangers = {Account(bytes([at]) * 32): reading(60_000) for at in range(50)}
    assert clock_error_ms(strangers, STAKES, 400) == 0
    doubtful = {one: reading(5_000, 4_900) for one in VALIDATORS}
    assert clock_error_ms(doubtful, STAKES, 400) == 100
    unsure = {one: reading(5_000, 6_000) for one in VALIDATORS}
    assert clock_error_ms(unsure, STAKES, 400) == 0


@given(st.integers(-(10**7), 10**7), st.lists(st.integers(-(10**9), 10**9), max_size=1))
def test_one_liar_of_four_never_makes_it_worse(true_ms: int, lies: list[int]) -> None:
    honest = {one: reading(true_ms) for one in VALIDATORS[: 3 - len(lies)]}
    liars = dict(zip(reversed(VALIDATORS), map(reading, lies), strict=False))
    assert abs(clock_error_ms(honest | liars, STAKES, 400)) <= abs(true_ms)


class SkewedClock(VirtualClock):
    def __init__(self, skew_ms: int) -> None:
        self._skew_ms = skew_ms

    def now_ms(self) -> Milliseconds:
        return Milliseconds(10**9 + super().now_ms() + self._skew_ms)


def standing_at(height: int) -> Node:
    """A node that only stands there: its ledger, and its last final block."""
    link = SimpleNamespace(height=Tick(height), slot=Slot(height))
    engine = SimpleNamespace(anchor=SimpleNamespace(link=link))
    machine = SimpleNamespace(ledger=Ledger.of_genesis(GENESIS))
    node = SimpleNamespace(machine=machine, replica=SimpleNamespace(engine=engine))
    return cast(Node, node)


class Square:
    """Four validators that greet each other over the network in memory."""

    def __init__(self, *skews_ms: int) -> None:
        self.hub = MemoryNetwork(seed=3)
        self.told: list[tuple[int, str, dict[str, Any]]] = []
        self.hosts = [self.hub.node(one, network_id(GENESIS)) for one in VALIDATORS]
        self.greeters = [
            Greeter(SkewedClock(skew_ms), Milliseconds(SLOT_MS), self._teller(at))
            for at, skew_ms in enumerate(skews_ms)
        ]
        self.networks: list[Network] = [
            greeter.prudent(host) for greeter, host in zip(self.greeters, self.hosts, strict=True)
        ]
        self.heard: list[Account] = []

    def _teller(self, at: int) -> Callable[..., None]:
        return lambda sentence, **fields: self.told.append((at, sentence, fields))

    async def run(self, seconds: float, then: Callable[[], Any] | None = None) -> None:
        for host in self.hosts:
            for topic in (Topic.LOG_VOTES, Topic.LOG_PROPOSALS, Topic.OPERATIONS):
                host.join(topic, self._judge)
        async with AsyncExitStack() as stack:
            for host in self.hosts:
                await stack.enter_async_context(host.run())
            nursery = await stack.enter_async_context(trio.open_nursery())
            for at, greeter in enumerate(self.greeters):
                nursery.start_soon(greeter.run, standing_at(at + 1), self.networks[at])
            await trio.sleep(seconds)
            if then is not None:
                await then()
                await trio.sleep(1)
            nursery.cancel_scope.cancel()

    def _judge(self, peer: Account, _payload: bytes) -> Verdict:
        self.heard.append(peer)
        return Verdict.ACCEPT


def run(main: Callable[[], Any]) -> None:
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_right_clocks_are_told_of_by_nobody() -> None:
    square = Square(0, 40, -40, 0)
    run(lambda: square.run(30))
    assert square.told == []
    assert [greeter.height for greeter in square.greeters] == [3, 3, 2, 2]
    assert all(len(greeter.readings) == 3 for greeter in square.greeters)


def test_whose_clock_is_off_says_so_and_stays_silent() -> None:
    square = Square(0, 0, 0, 3_000)

    async def vote() -> None:
        for network in square.networks:
            await network.publish(Topic.LOG_VOTES, network.account)
            await network.publish(Topic.LOG_PROPOSALS, network.account)
        await square.networks[3].publish(Topic.OPERATIONS, b"not bound to a time")

    run(lambda: square.run(12, vote))
    assert [(at, fields["votes"]) for at, _, fields in square.told] == [(3, False)]
    assert "ahead of the clocks of the network" in square.told[0][1]
    assert square.greeters[3].is_off
    by_last = square.heard.count(VALIDATORS[3])
    assert 0 < by_last <= 3, "the operation alone was heard"


def test_a_clock_a_little_off_is_told_of_and_votes() -> None:
    square = Square(0, 0, 0, -600)
    run(lambda: square.run(12))
    ((at, sentence, fields),) = square.told
    assert (at, fields["votes"]) == (3, True)
    assert "behind the clocks" in sentence


def test_peers_of_another_network_are_strangers_and_nonsense_is_punished() -> None:
    hub = MemoryNetwork(seed=3)
    ours = hub.node(VALIDATORS[0], network_id(GENESIS))
    nonsense = hub.node(VALIDATORS[1], network_id(GENESIS))
    silent = hub.node(VALIDATORS[2], network_id(GENESIS))

    async def answer(_peer: Account, _body: bytes) -> bytes:
        return encode(Hello(Milliseconds(0), Tick(0), Slot(0)))[:-1]

    nonsense.serve(HELLO, answer)
    greeter = Greeter(VirtualClock(), Milliseconds(SLOT_MS), lambda *_: None)
    network = greeter.prudent(ours)

    async def main() -> None:
        async with ours.run(), nonsense.run(), silent.run(), trio.open_nursery() as nursery:
            nursery.start_soon(greeter.run, standing_at(1), network)
            await trio.sleep(60)
            assert ours.has_banned(VALIDATORS[1])
            nursery.cancel_scope.cancel()

    run(main)
    assert greeter.readings == {}
    assert not greeter.answered.is_set()
    assert greeter.strangers == {VALIDATORS[2]}

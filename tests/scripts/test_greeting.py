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
from protocol.types import Account, Milliseconds, Slot, Tick
from scripts.greeting import (
    FIRST_PAUSE_S,
    HELLO,
    PATIENCE_S,
    PAUSE_S,
    Greeter,
    Hello,
    Reading,
    clock_error_ms,
)
from scripts.simulation.scheduling import VirtualClock
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
        super().__init__()
        self.skew_ms = skew_ms

    def now_ms(self) -> Milliseconds:
        return Milliseconds(10**9 + super().now_ms() + self.skew_ms)


class Standing:
    """A node that only stands there: its ledger, its last final block, and what it is told."""

    def __init__(self, height: int) -> None:
        link = SimpleNamespace(height=Tick(height), slot=Slot(height))
        self.replica = SimpleNamespace(engine=SimpleNamespace(anchor=SimpleNamespace(link=link)))
        self.machine = SimpleNamespace(ledger=Ledger.of_genesis(GENESIS, lambda _: None))
        self.judged: list[bool] = []

    async def judge_clock(self, *, is_right: bool) -> None:
        self.judged.append(is_right)


class Square:
    """Four validators that greet each other over the network in memory."""

    def __init__(self, *skews_ms: int) -> None:
        self.hub = MemoryNetwork(seed=3)
        self.told: list[tuple[int, str, dict[str, Any]]] = []
        self.hosts = [self.hub.node(one, network_id(GENESIS)) for one in VALIDATORS]
        self.clocks = [SkewedClock(skew_ms) for skew_ms in skews_ms]
        self.greeters = [
            Greeter(clock, Milliseconds(SLOT_MS), self._teller(at))
            for at, clock in enumerate(self.clocks)
        ]
        self.nodes = [Standing(at + 1) for at in range(len(skews_ms))]

    def _teller(self, at: int) -> Callable[..., None]:
        return lambda sentence, **fields: self.told.append((at, sentence, fields))

    async def run(self, seconds: float, then: Callable[[], Any] | None = None) -> None:
        for host, greeter in zip(self.hosts, self.greeters, strict=True):
            greeter.serve(host)
        async with AsyncExitStack() as stack:
            for host in self.hosts:
                await stack.enter_async_context(host.run())
            nursery = await stack.enter_async_context(trio.open_nursery())
            for host, greeter, node in zip(self.hosts, self.greeters, self.nodes, strict=True):
                await greeter.begin(cast(Node, node))
                nursery.start_soon(greeter.run, node, host)
            await trio.sleep(seconds)
            if then is not None:
                then()
                await trio.sleep(2 * PAUSE_S)
            nursery.cancel_scope.cancel()


def run(main: Callable[[], Any]) -> None:
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_right_clocks_are_told_of_by_nobody() -> None:
    square = Square(0, 40, -40, 0)
    run(lambda: square.run(30))
    assert square.told == []
    assert [greeter.height for greeter in square.greeters] == [3, 3, 2, 2]
    assert all(len(greeter.readings) == 3 for greeter in square.greeters)


def test_whose_clock_is_off_says_so_and_signs_nothing_until_it_is_right() -> None:
    square = Square(0, 0, 0, 3_000)

    def set_right() -> None:
        assert [(at, fields["votes"]) for at, _, fields in square.told] == [(3, False)]
        assert "ahead of the clocks of the network" in square.told[0][1]
        assert square.greeters[3].is_off
        assert [node.judged for node in square.nodes] == [[False, True]] * 3 + [[False]]
        square.clocks[3].skew_ms = 0

    run(lambda: square.run(12, set_right))
    assert [sentence for at, sentence, _ in square.told if at == 3][1:] == ["the clock is right"]
    assert [node.judged for node in square.nodes] == [[False, True]] * 4


def test_a_clock_that_goes_wrong_ends_signing() -> None:
    square = Square(0, 0, 0, 0)

    def set_wrong() -> None:
        square.clocks[3].skew_ms = -3_000

    run(lambda: square.run(12, set_wrong))
    assert [node.judged for node in square.nodes] == [[False, True]] * 3 + [[False, True, False]]


def test_who_is_alone_signs_after_a_time() -> None:
    square = Square(0, 0, 0, 0)
    alone, node = square.hosts[0], square.nodes[0]

    async def main() -> None:
        async with alone.run(), trio.open_nursery() as nursery:
            await square.greeters[0].begin(cast(Node, node))
            nursery.start_soon(square.greeters[0].run, node, alone)
            await trio.sleep(PATIENCE_S - 0.1)
            assert node.judged == [False]
            await trio.sleep(2 * FIRST_PAUSE_S)
            nursery.cancel_scope.cancel()

    run(main)
    assert node.judged == [False, True]


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
    greeter.serve(ours)

    async def main() -> None:
        async with ours.run(), nonsense.run(), silent.run(), trio.open_nursery() as nursery:
            nursery.start_soon(greeter.run, Standing(1), ours)
            await trio.sleep(60)
            assert ours.has_banned(VALIDATORS[1])
            nursery.cancel_scope.cancel()

    run(main)
    assert greeter.readings == {}
    assert not greeter.answered.is_set()
    assert greeter.strangers == {VALIDATORS[2]}

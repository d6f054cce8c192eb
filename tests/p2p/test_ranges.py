"""The plan of who is asked for what: nobody's answers can make it ask twice, lose or hoard."""

from __future__ import annotations

import random

from hypothesis import given, strategies as st

from p2p.ranges import Plan, Range
from protocol.types import Account

PEERS = [Account(bytes([number]) * 32) for number in range(5)]


class World:
    """Peers that answer, in part or not at all, as a seed has it; and what must hold meanwhile."""

    def __init__(self, seed: int, wanted: Range, length: int, ahead: int) -> None:
        self.random = random.Random(seed)
        self.plan: Plan[list[int]] = Plan(wanted, length, ahead)
        self.length, self.ahead = length, ahead
        self.under_way: dict[Account, Range] = {}
        self.waiting: list[list[int]] = []
        self.taken: list[int] = []
        self.spent: set[Account] = set()

    def ask(self) -> None:
        for peer, part in self.plan.ask(PEERS):
            assert peer not in self.under_way
            assert peer not in self.spent
            assert 1 <= part.last - part.first + 1 <= self.length
            self.under_way[peer] = part
        asked = [one for part in self.under_way.values() for one in numbers(part)]
        here = [one for payload in self.waiting for one in payload]
        assert len({*asked, *here, *self.taken}) == len(asked) + len(here) + len(self.taken)
        assert len(self.under_way) + len(self.waiting) <= self.ahead + 1
        assert self.plan.is_idle == (not self.under_way)

    def answer(self, reliable: Account | None) -> None:
        peer = self.random.choice(sorted(self.under_way))
        part = numbers(self.under_way.pop(peer))
        kind = self.random.choice(["whole", "whole", "part", "nothing", "failure"])
        if peer == reliable and kind in ("nothing", "failure"):
            kind = "part"
        count = {"whole": len(part), "part": self.random.randint(1, len(part))}.get(kind, 0)
        if not count:
            self.spent.add(peer)
        if kind == "failure":
            self.plan.fail(peer)
            return
        self.plan.arrive(peer, part[0] + count - 1, part[:count])
        if count:
            self.waiting.append(part[:count])

    def take(self) -> None:
        while (arrived := self.plan.take()) is not None:
            assert numbers(arrived.range) == arrived.payload
            self.waiting.remove(arrived.payload)
            self.taken += arrived.payload

    def run(self, reliable: Account | None) -> None:
        while True:
            self.take()
            self.ask()
            if self.plan.is_idle:
                return
            self.answer(reliable)


def numbers(part: Range) -> list[int]:
    return list(range(part.first, part.last + 1))


SEEDS = st.integers(0, 2**32)
WANTED = st.tuples(st.integers(0, 50), st.integers(0, 200)).map(
    lambda pair: Range(pair[0], pair[0] + pair[1])
)


@given(SEEDS, WANTED, st.integers(1, 20), st.integers(1, 6))
def test_everything_is_taken_once_and_in_order_if_one_peer_answers(
    seed: int, wanted: Range, length: int, ahead: int
) -> None:
    world = World(seed, wanted, length, ahead)
    world.run(reliable=PEERS[2])
    assert world.taken == numbers(wanted)
    assert world.plan.is_complete


@given(SEEDS, WANTED, st.integers(1, 20), st.integers(1, 6))
def test_what_nobody_answers_ends_the_plan_and_nothing_is_taken_twice(
    seed: int, wanted: Range, length: int, ahead: int
) -> None:
    world = World(seed, wanted, length, ahead)
    world.run(reliable=None)
    assert world.taken == numbers(wanted)[: len(world.taken)]
    assert world.plan.is_complete == (world.taken == numbers(wanted))
    assert world.plan.is_complete or world.spent == set(PEERS)


def test_all_peers_are_asked_at_once_up_to_the_bound() -> None:
    for ahead, expected in ((3, 3), (9, 5)):
        plan: Plan[None] = Plan(Range(1, 1_000), 10, ahead)
        assert [part.first for _, part in plan.ask(PEERS)] == [
            1 + 10 * number for number in range(expected)
        ]


def test_what_a_peer_did_not_answer_is_asked_of_the_next_one_that_is_free() -> None:
    plan: Plan[str] = Plan(Range(1, 30), 10)
    plan.ask(PEERS[:3])
    plan.fail(PEERS[0])
    plan.arrive(PEERS[1], 15, "half")
    assert plan.take() is None
    assert plan.ask(PEERS[:2]) == ((PEERS[1], Range(1, 10)),)
    plan.arrive(PEERS[1], 10, "whole")
    assert [one.payload for one in iter(plan.take, None)] == ["whole", "half"]
    assert plan.ask(PEERS[:2]) == ((PEERS[1], Range(16, 20)),)

"""All schedules of three slots for four validators, one of whom exists twice with one key.

After Twins (Bano and others 2021, OPODIS): a faulty validator is two correct copies with one key,
and the scheduler decides who hears whom. Here nothing is sampled.

*A schedule* says for each of three slots

- how the five copies (A, its twin a, B, C, D) are parted into at most two groups. Votes and
  proposals of the slot reach the sender's group at once and nobody else ever. A quorum takes three
  validators, so among five copies one group at most can certify anything, however many there are;
- whose turn it is. A leader proposes; both copies of A do, each a block of its own;
- where both copies lead in one group: which of the two each other one hears first, proposal and
  vote. There the copies themselves hear their own first;
- whether those of one group first exchange all certified blocks, as nodes that are behind do.

That is 166 choices a slot, 166^3 = 4,574,296 schedules. They are explored slot by slot, and states
that differ by names only (a for A, any order of B, C and D) or not at all are continued once: what
an engine does next depends on the blocks it has, which of them it knows certified, and the quorums
it heard, and all three are in the state. 15,616 plays are left, the longest of three slots.

*What must hold.* No two copies ever call different blocks of one height final, and no slot has two
certified blocks. A quorum that is rounded down breaks both, and is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import permutations, product
from typing import NamedTuple

import pytest

from protocol.errors import Refused
from protocol.messages import CertifiedBlock, block_hash
from protocol.ordering import Finalised, Notarised, Streamlet
from protocol.types import Slot
from tests.protocol.streamlet_bench import Bench, at
from tests.protocol.streamlet_network import compose, quick_cryptography, vote_for

COPIES = 5
VALIDATOR_OF = (0, 0, 1, 2, 3)
"""The first two copies are of one validator."""

TWINS = (0, 1)
OTHERS = (2, 3, 4)
SLOTS = 3


@pytest.fixture(autouse=True)
def _quick():
    with quick_cryptography():
        yield


class Choice(NamedTuple):
    """What the scheduler decides for a slot.

    :ivar sides: the group of each copy, 0 or 1.
    :ivar hears: which twin each of the others hears first; of no account where one of them leads.
    """

    sides: tuple[int, ...]
    leader: int
    hears: tuple[int, ...]
    exchanges: bool


def choices() -> Iterator[Choice]:
    """Every decision for a slot, once."""
    for rest in product((0, 1), repeat=COPIES - 1):
        sides = (0, *rest)
        for leader, exchanges in product(range(4), (False, True)):
            both = leader == 0 and sides[0] == sides[1]
            near = [one for one in OTHERS if sides[one] == sides[0]] if both else []
            for order in product(TWINS, repeat=len(near)):
                heard = dict(zip(near, order, strict=True))
                hears = tuple(heard.get(one, 0) for one in OTHERS)
                yield Choice(sides, leader, hears, exchanges)


class Conflict(AssertionError):
    """Two blocks where only one may be."""


class Play:
    """Five engines and what became of them.

    :cvar lenient: two certified blocks of a slot are let pass, to see whether both become final.
    """

    lenient = False

    def __init__(self) -> None:
        self.bench = Bench((1, 1, 1, 1))
        self.engines: list[Streamlet] = [self.bench.engine(one) for one in VALIDATOR_OF]
        self.disks: list[dict[bytes, CertifiedBlock]] = [{} for _ in range(COPIES)]
        self.names: dict[bytes, tuple] = {self.bench.settings.genesis_hash: ()}
        self.final: dict[int, bytes] = {}
        self.certified: dict[int, bytes] = {}
        self.now = 0

    def slot(self, slot: int, choice: Choice) -> None:
        """Play one slot."""
        self.now = at(slot)
        for side in (0, 1):
            group = [copy for copy in range(COPIES) if choice.sides[copy] == side]
            if choice.exchanges:
                self._exchange(group)
            for copy in group:
                self._follow(copy, self.engines[copy].on_time, self.now)
            proposals = [
                (copy, self._proposal(copy, slot))
                for copy in group
                if VALIDATOR_OF[copy] == choice.leader
            ]
            self._tell(group, proposals, choice, "on_block")
        self.now = at(slot, 500)
        for side in (0, 1):
            group = [copy for copy in range(COPIES) if choice.sides[copy] == side]
            votes = [(copy, vote) for copy in group for vote in self._vote(copy, slot)]
            self._tell(group, votes, choice, "on_vote")

    def _exchange(self, group: list[int]) -> None:
        known = {name: one for copy in group for name, one in self.disks[copy].items()}
        for one in sorted(known.values(), key=lambda one: one.block.header.height):
            for copy in group:
                if block_hash(one.block.header) not in self.disks[copy]:
                    self._follow(copy, self.engines[copy].on_certified, one, self.now)

    def _proposal(self, copy: int, slot: int):
        draft = self.engines[copy].draft(Slot(slot))
        assert draft is not None
        block = compose(self.bench.identities[VALIDATOR_OF[copy]], draft, (copy, slot))
        self.names[block_hash(block.header)] = (slot, copy, self.names[draft.parent])
        return block

    def _vote(self, copy: int, slot: int):
        engine = self.engines[copy]
        self._follow(copy, engine.on_time, self.now)
        for candidate in engine.ballot(Slot(slot))[:1]:
            yield vote_for(self.bench.identities[VALIDATOR_OF[copy]], candidate.block.header)

    def _tell(self, group, messages, choice: Choice, call: str) -> None:
        """Everybody of the group hears its own first, then the twin chosen, then the others."""
        for copy in group:
            first = choice.hears[copy - 2] if copy in OTHERS else copy
            heard = sorted(messages, key=lambda one: (one[0] != copy, one[0] != first))
            for _, message in heard:
                self._follow(copy, getattr(self.engines[copy], call), message, self.now)

    def _follow(self, copy: int, call, *arguments) -> None:
        with suppress(Refused):
            for output in call(*arguments):
                if isinstance(output, Notarised):
                    self.disks[copy][output.link.block] = output.certified
                    self._once(self.certified, output.link.slot, output.link.block)
                if isinstance(output, Finalised):
                    self._once(self.final, output.link.height, output.link.block)

    def _once(self, known: dict[int, bytes], place: int, block: bytes) -> None:
        is_harmless = self.lenient and known is self.certified
        if known.setdefault(place, block) != block and not is_harmless:
            raise Conflict(self.names[block], self.names[known[place]])

    def state(self) -> tuple:
        """All that what happens next depends on, with structural names.

        Votes of a slot that is over are of account only where they are a quorum: more of them come
        in certificates alone, which hold a quorum by themselves. Likewise a block that nobody can
        show a certificate of stays without one.
        """
        quorums = [self._quorums(engine) for engine in self.engines]
        shown = {name for disk in self.disks for name in disk}.union(*quorums)
        return tuple(
            (
                frozenset(
                    (self.names[one.link.block], bool(one.certificate))
                    for one in engine._forks
                    if one.link.block in shown
                ),
                frozenset(self.names[one.hash] for one in engine._orphans if one.hash in shown),
                frozenset(self.names[name] for name in disk),
                frozenset(self.names[name] for name in quorum if name not in disk),
                frozenset({self.names[engine.anchor.link.block]}),
            )
            for engine, disk, quorum in zip(self.engines, self.disks, quorums, strict=True)
        )

    def _quorums(self, engine: Streamlet) -> set[bytes]:
        """Blocks for which an engine heard votes of a quorum."""
        votes = [one.vote for slot in engine._votes.slots() for one in engine._votes.of_slot(slot)]
        return {one.block for one in votes if engine._has_quorum(one.slot, one.block)}


def renamed(thing, order: tuple[int, ...]):
    """A part of a state under other names of the copies."""
    match thing:
        case frozenset():
            return tuple(sorted((renamed(one, order) for one in thing), key=repr))
        case (name, bool(is_certified)):
            return (renamed(name, order), is_certified)
        case (slot, copy, parent):
            return (slot, order[copy], renamed(parent, order))
    return thing


ORDERS = tuple(
    (*twins, *others) for twins, others in product(permutations(TWINS), permutations(OTHERS))
)
"""All names under which a schedule is the same: the new name of each copy."""


def texts(state: tuple) -> list[str]:
    """A state under each order of names."""
    found = []
    for order in ORDERS:
        parts = [()] * COPIES
        for copy, part in enumerate(state):
            parts[order[copy]] = tuple(renamed(one, order) for one in part)
        found.append(repr(parts))
    return found


def moved(choice: Choice, order: tuple[int, ...]) -> Choice:
    """The same choice under other names."""
    sides, hears = [0] * COPIES, [0] * len(OTHERS)
    for copy, side in enumerate(choice.sides):
        sides[order[copy]] = side
    for copy, first in zip(OTHERS, choice.hears, strict=True):
        hears[order[copy] - 2] = order[first]
    leader = VALIDATOR_OF[order[VALIDATOR_OF.index(choice.leader)]]
    both = choice.leader == 0 and choice.sides[0] == choice.sides[1]
    near = [both and sides[one] == sides[0] for one in OTHERS]
    heard = tuple(first if is_near else 0 for first, is_near in zip(hears, near, strict=True))
    return Choice(tuple(side ^ sides[0] for side in sides), leader, heard, choice.exchanges)


def distinct(state: tuple) -> list[Choice]:
    """One of all choices that mean the same because the state is the same under other names."""
    told = texts(state)
    same = [order for order, text in zip(ORDERS, told, strict=True) if text == told[0]]
    found = {min(moved(choice, order) for order in same): None for choice in choices()}
    return list(found)


def played(path: tuple[Choice, ...]) -> Play:
    play = Play()
    for slot, choice in enumerate(path, start=1):
        play.slot(slot, choice)
    return play


def explore() -> tuple[list[int], dict[int, int]]:
    """Try everything. Returns how many plays there were of so many slots, and how many of those of
    all slots ended with so many final blocks. Raises Conflict.
    """
    paths: list[tuple[Choice, ...]] = [()]
    plays, heights = [], {}
    for slot in range(1, SLOTS + 1):
        found: dict[str, tuple[Choice, ...]] = {}
        count = 0
        for path in paths:
            for choice in distinct(played(path).state()):
                play = played((*path, choice))
                count += 1
                if slot < SLOTS:
                    found.setdefault(min(texts(play.state())), (*path, choice))
                else:
                    reached = max(play.final, default=0)
                    heights[reached] = heights.get(reached, 0) + 1
        plays.append(count)
        paths = list(found.values())
    return plays, heights


def test_there_are_so_many_schedules():
    every = list(choices())
    assert len(every) == len(set(every)) == 166
    assert len(every) ** SLOTS == 4_574_296
    for order in ORDERS:
        assert {moved(choice, order) for choice in every} == set(every)


def test_no_schedule_makes_two_blocks_final_at_one_height():
    plays, heights = explore()
    assert sum(plays) == 15_616
    assert max(heights) == 2
    assert sorted(heights) == [0, 1, 2]


@pytest.mark.parametrize("lenient", [False, True])
def test_a_quorum_that_is_rounded_down_is_found(monkeypatch, lenient):
    begin = Play.__init__

    def rounded_down(self) -> None:
        begin(self)
        object.__setattr__(self.bench.validators, "quorum", self.bench.validators.total * 2 // 3)

    monkeypatch.setattr(Play, "__init__", rounded_down)
    monkeypatch.setattr(Play, "lenient", lenient)
    with pytest.raises(Conflict):
        explore()


def test_names_alone_make_no_other_state():
    def told(choice: Choice) -> str:
        return min(texts(played((choice,)).state()))

    for choice in list(choices())[::7]:
        assert {told(moved(choice, order)) for order in ORDERS} == {told(choice)}

"""Rules on trial: finds are made, shortened and repeated; what holds is counted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from protocol.messages import Intent
from protocol.proving.elected import Elected
from protocol.registry import PROVING, SEQUENCING
from protocol.rules import Promise
from protocol.testing import (
    MOVES,
    Oracle,
    Scenario,
    Turn,
    Violation,
    World,
    carry_on,
    grounds_of,
    machine_on,
    make,
    must,
    seek,
    shortened,
    try_many,
    turns,
)
from protocol.testing.oracles import said
from protocol.testing.trial import REPEATABLE
from protocol.testing.world import NOTHING_CHANGES, STANDS, property_of
from tests.properties.toys import Anybody, FirstCome

PLAIN = "one prover for a tree node"
TRIALS = (seek, try_many)


class Forgetful(Elected):
    """It writes an intent down before it refuses it."""

    def on_operation(self, frame, sender, payload, operation):
        if isinstance(payload, Intent) and payload.capacity == 0:
            self._intents[sender] = payload.until
        super().on_operation(frame, sender, payload, operation)


class Fragile(Elected):
    def on_operation(self, frame, sender, payload, operation):
        if isinstance(payload, Intent) and payload.capacity == 0:
            raise LookupError("no such intent")
        super().on_operation(frame, sender, payload, operation)


class Moody(Elected):
    """It complains once, whatever happens."""

    said = False

    def invariants(self):
        if not Moody.said and self._progress:
            Moody.said = True
            yield "in a bad mood"


def on(rule):
    return grounds_of("proving", rule)[PLAIN]


@pytest.mark.parametrize("trial", TRIALS)
def test_a_find_is_one_move_long_and_the_same_every_time(trial):
    found = [trial(on(Forgetful), 30, 3).find for _ in range(2)]
    assert found[0].broken == NOTHING_CHANGES
    assert found[0].why.startswith("a refused operation changed the state")
    (turn,) = found[0].world.turns
    assert (turn.name, turn.arguments["capacity"]) == ("intend", 0)
    assert turn.blocks
    assert [one.world.digests for one in found[:1]] == [one.world.digests for one in found[1:]]


@pytest.mark.parametrize("trial", TRIALS)
def test_a_rule_that_fails_is_a_find(trial):
    find = trial(on(Fragile), 30, 3).find
    assert (find.broken, find.why) == (STANDS, "LookupError: no such intent")


def test_a_rule_with_hidden_state_ends_the_same_story_differently():
    find = seek(on(Moody), 30, 3).find
    assert find.broken == REPEATABLE
    assert Moody.said


@pytest.mark.parametrize("trial", TRIALS)
def test_what_holds_is_counted_and_every_story_told(trial):
    told = []
    done = trial(machine_on(Scenario(), MOVES), 3, 1, lambda: told.append(1))
    assert done.find is None
    assert len(told) >= done.stories == 3
    assert done.judged[STANDS] == done.judged[NOTHING_CHANGES] == done.blocks > 0


def test_a_story_that_cannot_be_shortened_stays_as_it_is():
    world = World()
    world.judging = "something that no story breaks"
    failure = ValueError("as it was")
    assert shortened(world, failure, MOVES) == (world, failure)


class Unfriendly(Oracle):
    """Nothing may happen at all."""

    def conclude(self, page, machine):
        raise AssertionError("something happened")


class Jealous(Oracle):
    """Nobody has more stake than another."""

    def conclude(self, page, machine):
        must(set(self.scenario.cards) == {1}, "somebody has more")


def test_a_story_that_breaks_something_else_is_no_shorter_one():
    world = World()
    make(world, "wait", MOVES["wait"], {"ticks": 1, "lag": 1, "proposer": "s0"})
    world.judging = "something that no story breaks"
    failure = ValueError("as it was")
    assert shortened(world, failure, MOVES, (Unfriendly,)) == (world, failure)


class Old(Oracle):
    """No world grows older than eight ticks."""

    def conclude(self, page, machine):
        must(page.tick <= 8, "the world is too old")


def test_arguments_stay_as_they_are_where_the_story_needs_them():
    broken = World(Scenario(), (Old,))
    turn = Turn("wait", {"ticks": 8, "lag": 3, "proposer": "s0"})
    with pytest.raises(Violation) as failure:
        carry_on(broken, [turn], MOVES)
    world, _ = shortened(broken, failure.value, MOVES, (Old,))
    assert [one.arguments for one in world.turns] == [{"ticks": 8, "lag": 1, "proposer": "s0"}]


def test_provers_stay_as_they_are_where_the_story_needs_them():
    like = Scenario(cards=(1, 2))
    broken = World(like, (Jealous,))
    with pytest.raises(Violation) as failure:
        carry_on(broken, [], MOVES)
    world, why = shortened(broken, failure.value, MOVES, (Jealous,))
    assert world.scenario == like
    assert str(why) == "somebody has more"


def test_rules_of_somebody_else_are_tried_with_their_own_parameters():
    for part, rule in (("proving", Anybody), ("sequencing", FirstCome)):
        (kind,) = grounds_of(part, rule).values()
        assert getattr(kind.like(), part) is rule
        assert getattr(kind.like(), f"{part}_parameters") == rule.parameters_type()


@pytest.mark.parametrize(("part", "rules"), [("sequencing", SEQUENCING), ("proving", PROVING)])
def test_every_rule_of_the_project_has_grounds_and_holds_on_them(part, rules):
    for rule in rules.values():
        for title, kind in grounds_of(part, rule).items():
            for trial, examples in ((seek, 2), (try_many, 1)):
                done = trial(kind, examples, 11)
                assert done.find is None, (rule, title, done.find)
                assert getattr(kind().world.scenario, part) is rule


@given(turns())
@settings(max_examples=15)
def test_drawn_schedules_are_stories(drawn):
    carry_on(World(), drawn, MOVES)


def test_a_world_says_of_whatever_it_judges_what_it_is():
    class Nameless(Oracle):
        pass

    Nameless.__doc__ = None
    assert property_of(Nameless) == "Nameless"
    sentences = [property_of(type(one)) for one in World().oracles]
    assert all(one.endswith(".") for one in sentences)
    assert len(set(sentences)) == len(sentences)
    assert all(one.value.endswith(".") for one in Promise)


def test_what_a_judge_says_goes_without_its_kind():
    assert said(LookupError("one\ntwo")) == "LookupError: one"

"""The kit itself: a foreign rule in five lines, own judges and moves, equal digests elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings, strategies as st
from hypothesis.stateful import run_state_machine_as_test

from protocol import tree
from protocol.messages import Intent
from protocol.params import check_genesis
from protocol.proving.deal import deal, heirs
from protocol.proving.elected import Elected
from protocol.testing import (
    Dice,
    Oracle,
    RuleMachine,
    Scenario,
    Violation,
    World,
    any_scenario,
    found,
    must,
    tell,
)
from protocol.testing.moves import commit
from protocol.testing.oracle_elected import assignment, succession
from protocol.testing.scenario import QUICK_ELECTED
from protocol.testing.strategies import (
    actors,
    beacons,
    contents,
    genesis,
    leaf_counts,
    operations,
    pools,
    scenarios,
)
from tests.properties.toys import TOYS

ROOT = Path(__file__).resolve().parents[2]
QUIET = settings(
    max_examples=300,
    stateful_step_count=20,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
)


class Forgetful(Elected):
    """A rule with a flaw: it writes an intent down before it refuses it."""

    def on_operation(self, frame, sender, payload, operation):
        if isinstance(payload, Intent) and payload.capacity == 0:
            self._intents[sender] = payload.until
        super().on_operation(frame, sender, payload, operation)


class ForgetfulMachine(RuleMachine):
    proving = Forgetful


def test_a_flawed_rule_is_found_and_its_story_is_short():
    with pytest.raises(Violation, match="a refused operation changed the state") as refusal:
        run_state_machine_as_test(ForgetfulMachine, settings=QUIET)
    story = "\n".join(refusal.value.__notes__)
    assert "state.begin(" in story
    assert "state.intend(" in story
    assert story.count("state.") <= 5


class ComplainsOfThePast(Oracle):
    def conclude(self, page, machine):
        must(page.tick < 3, "the world is too old")


class WithOwnOracle(RuleMachine):
    oracles = (ComplainsOfThePast,)


def test_a_user_brings_judges_of_its_own():
    with pytest.raises(Violation, match="the world is too old"):
        run_state_machine_as_test(WithOwnOracle, settings=settings(QUIET, phases=[Phase.generate]))


def test_a_rule_may_bring_its_own_parameters():
    class Slow(RuleMachine):
        proving_parameters = QUICK_ELECTED
        sequencing_parameters = None

    assert Slow.like().proving_parameters is QUICK_ELECTED


def test_a_violation_tells_seed_and_story():
    with pytest.raises(Violation, match=r"(?s)^a refused.*\nseed \d+ of Scenario.*\nintend\("):
        for seed in range(20):
            tell(Scenario(proving=Forgetful), seed, 80)


def test_equal_logs_give_equal_digests_in_another_process_under_another_hash_seed():
    program = (
        "from protocol.snapshot import snapshot_digest\n"
        "from protocol.testing import *\n"
        "for seed in (3, 4):\n"
        "    world = tell(any_scenario(Dice(seed), Scenario()), seed, 60)\n"
        "    print(world.machine.digest.hex(), snapshot_digest(world.machine.snapshot()).hex())\n"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert len(told[0].split()) == 4


@given(beacons(), leaf_counts(32), pools())
def test_the_assignment_can_be_recomputed(seed, leaf_count, pool):
    ours = deal(seed, leaf_count, pool)
    theirs = assignment(seed, leaf_count, pool)
    assert {(at.level, at.position): who for at, who in ours.items()} == theirs
    lines = heirs(seed, leaf_count, ours)
    assert list(lines) == list(tree.indices(leaf_count))
    for at, line in lines.items():
        place = (at.level, at.position)
        assert list(line) == succession(seed, leaf_count, theirs, place)


@given(genesis())
@settings(max_examples=20)
def test_every_drawn_genesis_is_sound(drawn):
    check_genesis(drawn)


@given(contents(), operations(), actors(), scenarios(Scenario(rollup=1)))
@settings(max_examples=20)
def test_drawn_pieces_have_their_shapes(content, operation, who, scenario):
    assert tree.is_leaf_count(len(content.leaves))
    assert operation.sender
    assert repr(who) == who.name
    assert scenario.rollup == 1


@given(st.integers(0, 2**64 - 1), st.integers(1, 1000))
def test_dice_stay_below_their_bound(seed, bound):
    assert Dice(seed).below(bound) == Dice(seed).below(bound) < bound


def test_a_story_is_the_same_every_time():
    first, second = (tell(any_scenario(Dice(1), Scenario()), 1, 40) for _ in range(2))
    assert first.digests == second.digests


def test_a_commitment_that_nobody_calls_for_is_not_made():
    world = World(TOYS)
    commit(world, who="s0", height=0, split=0, fee=0, how="honest")
    assert world.waiting == []


def test_what_must_be_found_is_a_violation_when_missing():
    assert found(0, "a number") == 0
    with pytest.raises(Violation, match="a number: 7"):
        found(None, "a number", 7)


def test_a_world_begins_with_nothing():
    world = World()
    assert world.tick == 0
    assert list(world.board.open_jobs()) == []

"""The faults that a violation needs are found, and the run that is left can be repeated."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from p2p.journal import read_journal
from scripts.configuration import ConfigurationError
from scripts.simulation.aftermath import concerned, write_aftermath
from scripts.simulation.case import format_case, read_case
from scripts.simulation.checkers.checker import Violation
from scripts.simulation.command import Wishes, run
from scripts.simulation.faults import Crash, Fault, FaultPlan, Pause, draw_plan, read_plan
from scripts.simulation.mutants.hunt import named
from scripts.simulation.network import Size, planned
from scripts.simulation.run import Order, Outcome, simulate
from scripts.simulation.shrinking import FAULT_MS_MIN, shrink

NAMES = tuple(one.name for one in planned(Size(), 0).members)
FOUND = sorted((Path(__file__).parent / "found").glob("*.toml"))


def outcome(order: Order, *checkers: str) -> Outcome:
    violations = tuple(Violation(one, 1, "", "something") for one in checkers)
    return Outcome(order.seed, "", 0, 0, 0, 0, (), 0, (), violations)


class Bug:
    """Shows when all of these faults happen, each for long enough, and enough blocks are asked
    for; without them another checker speaks.
    """

    def __init__(self, *needed: Fault, least_ms: int = 0, blocks: int = 1) -> None:
        self.needed = {(type(one), one.at_ms) for one in needed}
        self.least_ms = least_ms
        self.blocks = blocks
        self.runs = 0

    def run(self, order: Order) -> Outcome:
        self.runs += 1
        faults = [one for one in order.plan().faults if one.for_ms >= self.least_ms]
        happened = {(type(one), one.at_ms) for one in faults}
        shows = self.needed <= happened and order.blocks >= self.blocks
        return outcome(order, "the bug" if shows else "another")


def drawn(seed: int) -> FaultPlan:
    lots = random.Random(seed)
    faults: dict[tuple[type, int], Fault] = {}
    while len(faults) < 12:
        for one in draw_plan(lots, NAMES, 60_000).faults:
            faults.setdefault((type(one), one.at_ms), one)
    chosen = sorted(faults.values(), key=lambda one: one.at_ms)
    return FaultPlan(60_000, tuple(chosen[:12]))


@pytest.mark.parametrize("seed", range(20))
def test_exactly_the_faults_that_are_needed_are_left(seed: int) -> None:
    plan = drawn(seed)
    needed = random.Random(seed).sample(plan.faults, seed % 4)
    bug = Bug(*needed, blocks=2)
    shrunk = shrink(Order(seed, blocks=4, faults=plan), "the bug", runs_max=1_000, run=bug.run)
    assert {(type(one), one.at_ms) for one in shrunk.faults} == bug.needed
    assert shrunk.order.blocks == 2
    assert shrunk.runs == bug.runs < 200


def test_faults_are_made_as_short_as_will_do() -> None:
    long = Pause(1_000, 20_000, "prover-1")
    bug = Bug(long, least_ms=4_000)
    order = Order(0, blocks=1, faults=FaultPlan(60_000, (long,)))
    shrunk = shrink(order, "the bug", run=bug.run)
    assert shrunk.faults == (Pause(1_000, 5_000, "prover-1"),)
    assert shrunk.order.plan().safety_ms == 6_000
    shortest = shrink(order, "the bug", run=Bug(long).run)
    assert FAULT_MS_MIN <= shortest.faults[0].for_ms < 2 * FAULT_MS_MIN


def test_another_violation_is_not_the_same() -> None:
    plan = drawn(1)
    shrunk = shrink(Order(0, blocks=1, faults=plan), "nobody", run=Bug().run)
    assert shrunk.faults == plan.faults


def test_no_more_runs_than_allowed_are_tried() -> None:
    plan = drawn(2)
    bug = Bug(plan.faults[3], plan.faults[9])
    shrunk = shrink(Order(0, faults=plan), "the bug", runs_max=5, run=bug.run)
    assert (shrunk.runs, bug.runs) == (5, 5)
    assert bug.run(shrunk.order).violations[0].checker == "the bug"


@pytest.fixture(scope="module")
def stormy() -> Order:
    """A run that shows a planted bug because a validator dies, among other troubles."""
    order = named("half is a quorum").order
    assert order.faults is not None
    pauses = (Pause(1_000, 400, "prover-1"), Pause(9_000, 500, "prover-2"))
    faults = (pauses[0], *order.faults.faults, pauses[1])
    return replace(order, faults=FaultPlan(30_000, faults))


def test_what_is_left_is_written_down_and_repeats_byte_for_byte(
    stormy: Order, tmp_path: Path
) -> None:
    with named("half is a quorum").planted():
        left = write_aftermath(stormy, "signed", tmp_path / "left")
        assert simulate(read_case(left.case)) == left.outcome
    assert [type(one) for one in left.shrunk.faults] == [Crash]
    assert left.drawn == 3
    assert read_case(left.case) == left.shrunk.order
    assert "signed" in {one.checker for one in left.outcome.violations}
    nodes = concerned(left.shrunk.order, left.outcome)
    assert "validator-2" in nodes
    assert "prover-3" not in nodes
    journals = {
        path.name: list(read_journal(path)) for path in (left.folder / "journals").iterdir()
    }
    assert set(journals) == set(nodes)
    assert all(journals.values())
    text = (left.folder / "timeline.txt").read_text()
    assert text.startswith("slot  validator-2")
    assert "begins: Crash" in text
    assert "VIOLATION signed" in text
    assert simulate(left.shrunk.order).violations == ()


def test_the_command_tells_how_to_repeat_it(stormy: Order, tmp_path: Path) -> None:
    plan = tmp_path / "faults.toml"
    plan.write_text(format_case(stormy))
    told = Console(record=True, width=400)
    with named("half is a quorum").planted():
        assert run(Wishes(stormy, str(plan)), told) == 1
        assert "hint: give --out" in told.export_text()
        assert run(Wishes(stormy, str(plan), out=str(tmp_path / "left")), told) == 1
        again = Console(record=True, width=400)
        case = tmp_path / "left" / "case.toml"
        assert run(Wishes(Order(0, Size(nodes=4)), str(case)), again) == 1
    text = told.export_text()
    digests = [line for line in text.splitlines() if line.startswith("digest")]
    assert digests[-1] in again.export_text()
    assert f"--faults {case}" in text
    assert "shrunk      3 faults to 1" in text


def test_a_case_is_an_order_and_a_plan(tmp_path: Path) -> None:
    size = Size(nodes=8, validators=4, leaves=2, sets=("proving.uncle_ticks=4",))
    order = Order(5, size, 2, faults=drawn(3))
    path = tmp_path / "case.toml"
    path.write_text(format_case(order))
    assert read_case(path) == order
    assert read_plan(path, NAMES) == order.faults


def test_a_case_without_an_order_is_none(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.write_text("safety_ms = 0\n")
    with pytest.raises(ConfigurationError, match="order must be a table"):
        read_case(path)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_was_found_once_is_not_found_again(path: Path) -> None:
    assert simulate(read_case(path)).violations == ()


def test_there_are_cases() -> None:
    assert FOUND

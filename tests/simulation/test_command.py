"""What a person at the terminal is told, and how seeds are repeated."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from scripts.configuration import ConfigurationError
from scripts.main import application
from scripts.simulation import command
from scripts.simulation.checkers.checker import Violation
from scripts.simulation.command import (
    Tally,
    Wishes,
    check_size,
    half_of,
    repeated_by,
    seeds_of,
    told,
)
from scripts.simulation.faults import FaultPlan, Pause, write_plan
from scripts.simulation.many import Timed
from scripts.simulation.network import Size
from scripts.simulation.run import Order, Outcome

OUTCOME = Outcome(
    seed=5,
    digest="ab" * 32,
    entries=1_234,
    virtual_ms=60_000,
    settled=3,
    height=41,
    faults=(("crash", 2), ("one_way", 1)),
    lives=10,
    refusals=(("FUTURE_SLOT", 4),),
    violations=(),
)
BROKEN = replace(
    OUTCOME, seed=6, violations=(Violation("one log", 12_300, "prover-1", "there are two"),)
)
SMALL = ("--nodes", "3", "--validators", "2", "--leaves", "1", "--blocks", "1", "--slot-ms", "1000")


def test_a_run_is_told_in_a_few_lines() -> None:
    lines = list(told(Order(5), OUTCOME, 2.0))
    assert "8 nodes, 4 validate" in lines[0]
    assert any("60.0 s of virtual time in 2.0 s of one core: 30.0 times" in one for one in lines)
    assert any(one.endswith("2 crash, 1 one way") for one in lines)
    assert any(one.endswith("4 future slot") for one in lines)
    assert lines[-2:] == ["violations  none", f"digest      {'ab' * 32} of 1234 entries"]
    broken = list(told(Order(6), BROKEN, 2.0))
    assert "VIOLATION   one log at prover-1 after 12.3 s: there are two" in broken


def test_many_runs_are_counted_in_any_order() -> None:
    one, other = Tally(), Tally()
    for tally, outcomes in ((one, (OUTCOME, BROKEN)), (other, (BROKEN, OUTCOME))):
        for outcome in outcomes:
            tally.add(Timed(outcome, 2.0))
    assert list(one.lines(10.0)) == list(other.lines(10.0))
    lines = list(one.lines(10.0))
    assert lines[0] == "runs        2, 6 blocks proven"
    assert "2.00 s for each seed, 30.0 times real time" in lines[2]
    assert lines[3].endswith("4 crash, 2 one way")
    assert lines[5] == "violations  in 1 seeds: 6"
    assert "2 of 9 seeds in 10 s: violations in 1" in one.line(9, 10.0)


@pytest.mark.parametrize("text", ["", "5", "a..b", "5..", "..5", "7..6", "-1..2"])
def test_what_is_no_range_of_seeds_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="these are no seeds"):
        seeds_of(text)
    assert list(seeds_of("3..5")) == [3, 4, 5]


def test_a_network_needs_somebody_to_order_and_somebody_to_prove() -> None:
    for validators in (0, 4):
        with pytest.raises(ConfigurationError, match="leave nobody to prove"):
            check_size(Size(nodes=4, validators=validators))
    check_size(Size(nodes=4, validators=half_of(4)))
    assert (half_of(2), half_of(8), half_of(256)) == (1, 4, 16)


def test_a_seed_is_repeated_by_a_command_that_says_what_is_unusual() -> None:
    assert (
        repeated_by(Wishes(Order(0, Size(slot_ms=1_600))), 7)
        == "./scripts/provnet simulate --seed 7"
    )
    size = Size(nodes=6, validators=2, slot_ms=900, sets=("network.epoch_ticks=16",))
    order = Order(0, size, 5)
    assert repeated_by(Wishes(replace(order, safety_ms=30_000), "drawn"), 7) == (
        "./scripts/provnet simulate --seed 7 --nodes 6 --validators 2 --blocks 5 --slot-ms 900 "
        "--faults drawn --minutes 0.5 --set network.epoch_ticks=16"
    )


def simulated(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(application, ["simulate", *words])
    return result.exit_code, result.output


def digest_in(text: str) -> str:
    found = re.search(r"digest +([0-9a-f]{64})", text)
    assert found, text
    return found[1]


def test_the_command_tells_the_seed_first_and_last_and_the_same_each_time() -> None:
    code, text = simulated(*SMALL, "--seed", "11")
    assert code == 0, text
    assert text.splitlines()[0] == text.splitlines()[-1] == "seed 11"
    assert digest_in(simulated(*SMALL, "--seed", "11")[1]) == digest_in(text)


def test_faults_of_a_file_are_told(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    write_plan(path, FaultPlan(5_000, (Pause(1_000, 2_000, "prover-1"),)))
    code, text = simulated(*SMALL, "--faults", str(path))
    assert code == 0, text
    assert "faults      1 pause" in text


def test_many_seeds_run_in_processes_and_each_is_what_it_is_alone() -> None:
    code, text = simulated(*SMALL, "--seeds", "11..12", "--jobs", "2")
    assert code == 0, text
    assert "runs        2, " in text
    alone = Tally()
    for seed in (11, 12):
        alone.add(command.timed(Order(seed, Size(nodes=3, validators=2, leaves=1), 1, FaultPlan())))
    assert digest_in("\n".join(alone.lines(1.0))) == digest_in(text)


def run_with(found: list[Timed], monkeypatch: pytest.MonkeyPatch, *, keep_going: bool) -> str:
    monkeypatch.setattr(command, "simulate_many", lambda *_: (one for one in found))
    text = io.StringIO()
    console = Console(file=text, highlight=False, soft_wrap=True)
    wishes = Wishes(Order(0), seeds="5..7", jobs=1, keep_going=keep_going)
    assert command.run(wishes, console) == 1
    return text.getvalue()


def test_the_first_violation_stops_or_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Timed(one, 1.0) for one in (OUTCOME, BROKEN, replace(OUTCOME, seed=7))]
    stopped = run_with(found, monkeypatch, keep_going=False)
    assert "runs        2, " in stopped
    assert "repeat it   ./scripts/provnet simulate --seed 6" in stopped
    assert "runs        3, " in run_with(found, monkeypatch, keep_going=True)

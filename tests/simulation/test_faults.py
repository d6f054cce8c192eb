"""Faults: as values, in files, and as what they do to a network."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from p2p.observing import MessageRefused
from protocol.errors import Reason
from protocol.events import JobSettled
from protocol.happenings import BlockFinal
from scripts.configuration import ConfigurationError
from scripts.simulation import faults
from scripts.simulation.checkers.checker import Checker
from scripts.simulation.draw import stream
from scripts.simulation.faults import (
    BadLinks,
    Crash,
    FaultPlan,
    NarrowLink,
    OneWay,
    Partition,
    Passing,
    Pause,
    SlowDisk,
    WrongClock,
    draw_plan,
    format_plan,
    read_plan,
    write_plan,
)
from scripts.simulation.happenings import Born, Died, Event, Healed, Published
from scripts.simulation.network import Cast, Size
from scripts.simulation.run import Order, Outcome, simulate

NAMES = ("validator-1", "validator-2", "validator-3", "prover-1", "prover-2")
SIZE = Size(nodes=5, validators=3, leaves=1)

Story = list[tuple[int, str, Event]]


@cache
def told(*happens: Passing, safety_ms: int = 25_000) -> tuple[Story, Outcome]:
    """All that was told of a run with these faults."""
    story: Story = []

    class Listener(Checker):
        name = "listener"

        def on(self, at_ms: int, node: str, event: Event):
            story.append((at_ms, node, event))
            yield from ()

    plan = FaultPlan(safety_ms, happens)
    outcome = simulate(Order(3, SIZE, 1, plan, cast=Cast(checkers=(Listener,))))
    return story, outcome


def of(story: Story, node: str, kind: type) -> list[tuple[int, Event]]:
    return [(at, event) for at, name, event in story if name == node and isinstance(event, kind)]


def test_every_kind_is_drawn_and_survives_a_file(tmp_path: Path) -> None:
    seen = set()
    for seed in range(40):
        plan = draw_plan(stream(seed, "faults"), NAMES, 60_000)
        seen |= {type(one) for one in plan.faults}
        assert all(0 <= one.at_ms < 60_000 for one in plan.faults)
        assert all(one.at_ms + one.for_ms <= 60_000 for one in plan.faults)
        write_plan(tmp_path / "faults.toml", plan)
        read = read_plan(tmp_path / "faults.toml", NAMES)
        assert read.safety_ms == plan.safety_ms
        assert sorted(map(repr, read.faults)) == sorted(map(repr, plan.faults))
        assert [one.at_ms for one in read.faults] == [one.at_ms for one in plan.faults]
    assert seen == set(get_args(Passing))


def test_a_plan_without_one_of_its_faults_keeps_the_others() -> None:
    plan = draw_plan(stream(1, "faults"), NAMES, 60_000)
    less = plan.without(0)
    assert less.faults == plan.faults[1:]
    assert less.safety_ms == plan.safety_ms


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "safety_ms must be"),
        ("safety_ms = -1", "safety_ms must be"),
        ("safety_ms = 1\n[[flood]]\nat_ms = 1", "there is no fault flood"),
        ("safety_ms = 1\n[[pause]]\nat_ms = 1\nfor_ms = 1", "with the entry node"),
        ('safety_ms = 1\n[[pause]]\nat_ms = 1\nfor_ms = 1\nnode = "x"', "there is no node x"),
        ('safety_ms = 1\n[[pause]]\nat_ms = "1"\nfor_ms = 1\nnode = "prover-1"', "whole number"),
        ("safety_ms = 1\npause = 3", "must be a table"),
        ("safety_ms =", "is not TOML"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=sentence):
        read_plan(path, NAMES)


def test_the_text_of_a_plan_is_for_people() -> None:
    plan = FaultPlan(9_000, (Crash(1_000, 2_000, "prover-1", "remember_own: written"),))
    assert format_plan(plan) == (
        "safety_ms = 9000\n\n[[crash]]\nat_ms = 1000\nfor_ms = 2000\n"
        'node = "prover-1"\npoint = "remember_own: written"\n'
    )


def test_a_crash_in_a_write_ends_the_node_there_and_it_comes_back() -> None:
    story, outcome = told(Crash(3_000, 6_000, "validator-1", "remember_own: written"))
    assert outcome.violations == ()
    ((died_ms, died),) = of(story, "validator-1", Died)
    assert died == Died(1, "remember_own: written")
    assert died_ms >= 5_000
    births = of(story, "validator-1", Born)
    assert [(at, one) for at, one in births] == [(0, Born(1)), (11_000, Born(2))]
    silent = [at for at, _ in of(story, "validator-1", Published) if died_ms < at < 11_000]
    assert silent == []
    assert any(at > 11_000 for at, _ in of(story, "validator-1", Published))


def test_what_was_committed_survives_a_crash_and_what_was_not_does_not() -> None:
    # a vote that is not committed is never seen; one that is committed is not sent by the dead
    for point in ("remember_own: written", "remember_own: committed"):
        story, outcome = told(Crash(3_000, 4_000, "validator-2", point))
        assert outcome.violations == ()
        assert of(story, "validator-2", Died)
        finals = [event for _, event in of(story, "validator-2", BlockFinal)]
        # the second life reads the log of the first from its disk before it hears anything
        heights = [one.applied.tick for one in finals]
        assert heights[0] == 1
        assert heights.count(1) == 2


def test_a_crash_between_two_writes_is_one_too() -> None:
    story, _ = told(Crash(3_000, 2_000, "prover-1", ""))
    assert of(story, "prover-1", Died) == [(5_000, Died(1, ""))]


def test_a_paused_node_says_nothing_and_goes_on() -> None:
    story, outcome = told(Pause(4_000, 8_000, "validator-1"))
    said = [at for at, _ in of(story, "validator-1", Published)]
    sent = [event for at, event in of(story, "validator-1", Published) if 6_000 < at < 14_000]
    assert len(sent) <= 1, "it says at most what it was about to say"
    assert any(at > 14_000 for at in said)
    assert outcome.violations == ()
    assert of(story, "validator-1", Died) == []


def test_a_partition_without_a_quorum_on_either_side_stops_the_log_until_it_ends() -> None:
    cut = Partition(4_000, 16_000, ("validator-1", "validator-2", "prover-1"))
    story, outcome = told(cut)
    finals = [at for at, _ in of(story, "validator-3", BlockFinal)]
    assert not [at for at in finals if 8_000 < at < 22_000]
    assert any(at > 22_000 for at in finals)
    assert outcome.violations == ()


def test_one_way_is_one_way() -> None:
    others = tuple(name for name in NAMES if name != "validator-1")
    story, _ = told(OneWay(2_000, 18_000, ("validator-1",), others))
    mute = [at for at, _ in of(story, "validator-2", BlockFinal)]
    # a third of the stake is not heard, and no quorum is more than two thirds without it
    assert not [at for at in mute if 6_000 < at < 20_000]
    # but it hears the others vote: nothing keeps it from following once it is heard again
    assert any(at > 22_000 for at, _ in of(story, "validator-1", BlockFinal))


def test_a_wrong_clock_is_noticed_by_those_who_are_right() -> None:
    story, outcome = told(WrongClock(2_000, 15_000, "validator-1", 5_000, 0, 0))
    refused = [event for _, event in of(story, "validator-2", MessageRefused)]
    assert any(one.reason is Reason.FUTURE_SLOT for one in refused)
    assert outcome.violations == ()


def test_a_slow_disk_makes_a_late_voter() -> None:
    def final_in_time(*happens: Passing) -> int:
        story, _ = told(*happens)
        return len([at for at, _ in of(story, "validator-2", BlockFinal) if 5_000 < at < 20_000])

    slow = final_in_time(SlowDisk(1_000, 22_000, "validator-1", 900))
    assert slow < final_in_time(), "without it there are not more than two thirds of the stake"


def test_bad_and_narrow_links_make_the_log_slower() -> None:
    def finals(*happens: Passing) -> int:
        story, _ = told(*happens)
        return len([at for at, _ in of(story, "validator-2", BlockFinal) if at < 25_000])

    calm = finals()
    assert finals(BadLinks(0, 25_000, NAMES, 60, 20, 50, 3_000, 200)) < calm
    assert finals(NarrowLink(0, 25_000, "validator-1", 300)) < calm


def test_healing_comes_after_all_faults_and_before_the_end() -> None:
    story, outcome = told(Pause(24_000, 60_000, "prover-1"))
    ((healed_ms, _),) = of(story, "", Healed)
    assert healed_ms == 27_000
    assert outcome.virtual_ms > healed_ms
    assert any(
        isinstance(one, JobSettled)
        for at, event in of(story, "validator-1", BlockFinal)
        if at > healed_ms
        for one in event.applied.events
    )


def test_every_kind_has_a_name_of_its_own() -> None:
    assert list(faults.KINDS) == [
        "crash",
        "pause",
        "partition",
        "one_way",
        "bad_links",
        "narrow_link",
        "slow_disk",
        "wrong_clock",
        "hostile",
    ]

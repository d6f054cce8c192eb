"""Takeover completes as many trees as the rule says, which is fewer than a generous one would."""

from __future__ import annotations

import random

import pytest
from rich.console import Console

from protocol.events import Assigned, ProofRecorded, TakenOver
from protocol.types import Account, Beacon, Claim, Count, JobId, TreeIndex
from scripts.simulation.completion import (
    Measurement,
    Share,
    Table,
    closed_form,
    depth_needed,
    form_of_the_rule,
    measured_by_rule,
    run,
    shares,
)

JOB, CLAIM = JobId(bytes(32)), Claim(bytes(32))
WHO = [Account(bytes([one]) * 32) for one in range(4)]


@pytest.mark.parametrize(
    ("leaves", "depth", "failing", "share"),
    [(16, 0, 0.05, 0.440), (16, 1, 0.1, 0.923), (64, 1, 0.2, 0.271), (64, 3, 0.3, 0.9995)],
)
def test_the_closed_form(leaves: int, depth: int, failing: float, share: float) -> None:
    assert closed_form(leaves, depth, failing) == pytest.approx(share, abs=0.0005)


def test_the_form_of_the_rule_is_the_closed_one_for_siblings_and_less_beyond() -> None:
    for failing in (0.02, 0.1, 0.3):
        for depth in (0, 1):
            assert form_of_the_rule(16, depth, failing) == pytest.approx(
                closed_form(16, depth, failing)
            )
        quad = 1 - 2 * failing**3 + failing**4
        assert form_of_the_rule(16, 2, failing) == pytest.approx(quad**4)
        assert form_of_the_rule(16, 3, failing) < closed_form(16, 3, failing)


def place(level: int, position: int) -> TreeIndex:
    return TreeIndex(Count(level), Count(position))


def dealt() -> list[Assigned]:
    leaves = [Assigned(JOB, place(0, one), WHO[one]) for one in range(4)]
    return [*leaves, *(Assigned(JOB, place(1, one), WHO[2 * one]) for one in range(2)),
            Assigned(JOB, place(2, 0), WHO[0])]  # fmt: skip


@pytest.mark.parametrize(
    ("leaf", "prover", "depth"), [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 2, 2), (3, 2, 1)]
)
def test_the_depth_is_how_far_up_the_tree_the_heir_is_found(
    leaf: int, prover: int, depth: int
) -> None:
    events = [*dealt(), ProofRecorded(JOB, place(0, leaf), WHO[prover], CLAIM)]
    assert depth_needed(events, JOB) == depth


def test_the_depth_is_beyond_the_tree_where_nobody_was_left_but_anybody() -> None:
    opened = TakenOver(JOB, place(0, 0), WHO[0], None)
    events = [*dealt(), opened, ProofRecorded(JOB, place(0, 0), WHO[1], CLAIM)]
    assert depth_needed(events, JOB) == 3


@pytest.mark.parametrize(("failing", "seed"), [(0.1, 1), (0.3, 2)])
def test_measured_shares_of_sixteen_leaves_are_those_of_the_rule(failing: float, seed: int) -> None:
    """Fixed seeds, so that nothing is left to chance here."""
    found = shares(16, failing, measured_by_rule(16, failing, jobs=300, seed=seed))
    assert [one.depth for one in found] == [0, 1, 2, 3]
    for one in found:
        assert one.is_as_expected, one.line()


@pytest.mark.parametrize("seed", range(60))
def test_a_job_needs_the_depth_that_its_failures_say(seed: int) -> None:
    """Each leaf looks up the tree for the first owner of a sibling that lives."""
    lots, table = random.Random(seed), Table(16)
    alive = [one for one in table.provers if lots.random() >= 0.4] or list(table.provers[:1])
    job, events = table.prove(alive, Beacon(lots.randbytes(32)))
    owners = {one.index: one.prover for one in events if isinstance(one, Assigned)}
    needed = [
        next((level for level, one in enumerate(line) if one in alive), 5)
        for leaf in range(16)
        for line in (
            [
                owners[place(0, leaf)],
                *(owners[place(level, (leaf >> level) ^ 1)] for level in range(4)),
            ],
        )
    ]
    assert depth_needed(events, job) == max(needed)


def test_nobody_fails_and_nobody_is_needed() -> None:
    assert measured_by_rule(4, 0.0, jobs=5, seed=0) == [0] * 5


def test_the_measurement_is_a_function_of_the_seed() -> None:
    assert measured_by_rule(8, 0.4, 20, 1) == measured_by_rule(8, 0.4, 20, 1)
    assert measured_by_rule(8, 0.4, 20, 1) != measured_by_rule(8, 0.4, 20, 2)


def test_an_interval_holds_what_was_measured() -> None:
    low, high = Share(0, 100, 50, 0.5, 0.5).within()
    assert (low, high) == pytest.approx((0.4038, 0.5962), abs=0.0005)
    assert not Share(0, 100, 50, 0.5, 0.7).is_as_expected


def test_the_command_tells_both_forms_and_a_network() -> None:
    console = Console(record=True, width=200)
    assert run(Measurement(2, 0.0, 20, networks=1), console) == 0
    lines = console.export_text().splitlines()

    assert "measured 1.000 (0.839 to 1.000)  rule 1.000  closed form 1.000" in lines[2]
    assert "1 networks of 2 provers" in lines[4]
    assert "depth 1  measured 1.000" in lines[6]

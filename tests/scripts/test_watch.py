"""What the launcher knows of a node from what it tells."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.launcher.watch import NodeState

STARTED = {"kind": "Stage", "stage": "reading the configuration", "process": 7}


def state(*records: dict[str, Any]) -> NodeState:
    found = NodeState("prover-1")
    for one in records:
        found.take(one)
    return found


def opened(job: str, round: int) -> dict[str, Any]:
    return {"kind": "JobOpened", "job": job, "header": {"round": round}}


ROUND = {"kind": "RoundOpened", "round": 3}


@pytest.mark.parametrize(
    ("records", "is_open"),
    [
        ([], False),
        ([ROUND], True),
        ([ROUND, {"kind": "RoundSkipped", "round": 3}], False),
        ([ROUND, {"kind": "RoundSkipped", "round": 2}], True),
        ([ROUND, opened("a", 3)], True),
        ([ROUND, opened("a", 3), {"kind": "JobSettled", "job": "a"}], False),
        ([ROUND, opened("a", 3), {"kind": "JobVoided", "job": "a"}], False),
        ([opened("a", 3), opened("b", 4), {"kind": "JobSettled", "job": "a"}], True),
        ([ROUND, opened("a", 4), STARTED], False),
    ],
)
def test_rounds_and_jobs_are_open_until_they_end(
    records: list[dict[str, Any]], is_open: bool
) -> None:
    assert bool(state(*records).open) == is_open


def test_a_node_that_starts_again_has_everything_to_tell_again() -> None:
    told = [{"kind": "Final", "tick": 9}, {"kind": "JobSettled", "job": "a"}]
    before = state(*told)
    assert (before.height, before.settled) == (9, 1)
    after = state(*told, STARTED, {"kind": "Final", "tick": 1})
    assert (after.height, after.settled) == (1, 0)

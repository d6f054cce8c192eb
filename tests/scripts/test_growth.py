"""What is called growth, and what is not."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.launcher.growth import (
    ALLOWED,
    MIB,
    READINGS_MIN,
    Growth,
    judge_readings,
    judge_run,
    last_life,
    sentences,
    slope,
)

READINGS = 120
PAUSE_MS = 10_000

Curve = Callable[[int], int]


def reading(at: int, **changed: Any) -> dict[str, Any]:
    usual: dict[str, Any] = dict.fromkeys(ALLOWED, 100)
    usual |= {"resident_bytes": 100 * MIB, "store_bytes": 1, "journal_bytes": 2, "events_bytes": 3}
    sizes = {"blocks": [2, None], "seen": [50, 16_384]} | changed.pop("sizes", {})
    fields = usual | changed
    return {"at_ms": at * PAUSE_MS, "kind": "Statistics", **fields, "sizes": sizes}


def readings(measure: str, curve: Curve, count: int = READINGS) -> list[dict[str, Any]]:
    return [reading(at, **{measure: curve(at)}) for at in range(count)]


def growing(found: tuple[Growth, ...]) -> list[str]:
    return [one.measure for one in found if one.is_growing]


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], 0),
        ([(0, 5)], 0),
        ([(3, 5), (3, 9)], 0),
        ([(0, 1), (2, 5)], 2),
        ([(x, 3 * x + 1) for x in range(1_000)], 3),
        ([(x, 10_000 if x % 5 == 2 else -2 * x) for x in range(50)], -2),
    ],
)
def test_the_slope_is_the_median_of_the_pairs(
    points: list[tuple[float, float]], expected: float
) -> None:
    assert slope(points) == pytest.approx(expected, abs=0.6 if len(points) == 50 else 1e-9)


@pytest.mark.parametrize("measure", list(ALLOWED))
def test_a_steady_rise_is_growth_and_a_level_is_not(measure: str) -> None:
    allowed = ALLOWED[measure].of(100 * MIB if measure == "resident_bytes" else 100)
    for share, expected in ((0.8, []), (2.0, [measure])):
        step = share * allowed / (READINGS // 2)
        usual = 100 * MIB if measure == "resident_bytes" else 100
        rows = readings(measure, lambda at, step=step, usual=usual: usual + int(at * step))
        assert growing(judge_readings("n", rows)) == expected


def test_what_rises_at_the_start_only_is_no_growth() -> None:
    rows = readings("resident_bytes", lambda at: MIB * min(20 + 5 * at, 200))
    assert growing(judge_readings("n", rows)) == []


def test_noise_and_wild_readings_are_no_growth() -> None:
    draw = random.Random(3)
    levels = [100 * MIB + draw.randrange(-2 * MIB, 2 * MIB) for _ in range(READINGS)]
    for at in range(READINGS - 6, READINGS):
        levels[at] = 300 * MIB
    rows = readings("resident_bytes", lambda at: levels[at])
    assert growing(judge_readings("n", rows)) == []


def test_a_slow_rise_within_noise_is_growth() -> None:
    draw = random.Random(4)
    rows = readings(
        "resident_bytes", lambda at: 100 * MIB + at * MIB // 5 + draw.randrange(-4 * MIB, 4 * MIB)
    )
    assert growing(judge_readings("n", rows)) == ["resident_bytes"]


def test_a_table_without_a_bound_must_not_grow_and_one_with_a_bound_may_fill() -> None:
    rows = [
        reading(at, sizes={"blocks": [at, None], "seen": [100 * at, 16_384], "late": [1, None]})
        for at in range(READINGS)
    ]
    assert growing(judge_readings("n", rows)) == ["blocks"]


@pytest.mark.parametrize(("most", "expected"), [(16_384, []), (None, ["resident_bytes", "seen"])])
def test_memory_may_rise_with_what_fills_a_table_that_has_a_bound(
    most: int | None, expected: list[str]
) -> None:
    rows = [
        reading(at, resident_bytes=100 * MIB + 130_000 * at, sizes={"seen": [200 * at, most]})
        for at in range(READINGS)
    ]
    assert growing(judge_readings("n", rows)) == expected


def test_a_table_that_is_told_later_is_judged_by_its_own_readings() -> None:
    rows = readings("tasks", lambda at: 10)
    for at in range(READINGS - 20, READINGS):
        rows[at]["sizes"]["waiting"] = [at, None]
    assert growing(judge_readings("n", rows)) == ["waiting"]


def test_too_few_readings_say_nothing() -> None:
    rows = readings("tasks", lambda at: 1_000 * at, 2 * READINGS_MIN - 2)
    assert judge_readings("n", rows) == ()
    assert judge_readings("n", [*rows, *readings("tasks", lambda at: 0, 1)]) != ()


def test_only_the_last_life_of_a_node_counts() -> None:
    began = {"kind": "Stage", "stage": "reading the configuration", "process": 1}
    connected = {"kind": "Stage", "stage": "connected", "peers": []}
    rows = [began, reading(1), began, reading(2), connected, reading(3), {"kind": "Final"}]
    assert [one["at_ms"] // PAUSE_MS for one in last_life(rows)] == [2, 3]


def write(run: Path, name: str, rows: list[dict[str, Any]]) -> None:
    folder = run / "nodes" / name
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))


def test_a_run_is_judged_node_by_node_and_told(tmp_path: Path) -> None:
    write(tmp_path, "good", readings("tasks", lambda at: 10))
    write(tmp_path, "leaky", readings("sockets", lambda at: at))
    write(tmp_path, "short", readings("tasks", lambda at: 10, 3))
    write(tmp_path, "reborn", readings("worker_bytes", lambda at: at * MIB, READINGS * 3 // 4 - 1))
    found = judge_run(tmp_path, ["good", "leaky", "short", "reborn", "never"])
    assert found["judged"] == ["good", "leaky"]
    assert found["span_s"] == 590
    assert [(one["node"], one["measure"]) for one in found["growing"]] == [("leaky", "sockets")]
    assert found["growing"][0]["rise"] == pytest.approx(59)
    assert found["disk"]["short"] == {"store_bytes": 1, "journal_bytes": 2, "events_bytes": 3}
    told = sentences(found, 10)
    assert "GROWS: sockets of leaky by 59, allowed 4" in told
    assert not any("nothing grows" in line for line in told)
    assert json.loads(json.dumps(found)) == found


def test_a_run_without_growth_says_so_and_a_short_one_that_it_cannot_tell(tmp_path: Path) -> None:
    write(tmp_path, "good", readings("tasks", lambda at: 10))
    write(tmp_path, "short", readings("tasks", lambda at: 10, 3))
    assert any(
        "nothing grows in 1 nodes" in one for one in sentences(judge_run(tmp_path, ["good"]), 1)
    )
    assert sentences(judge_run(tmp_path, ["short"]), 1) == ["growth: the run was too short to tell"]

"""Judges whether a run took more and more from its machine.

Problem. A node that leaks works well for an hour. A reading that is higher at the end than at the
beginning shows nothing: caches fill, and memory comes and goes in steps.

Rules. Only the second half of a process's readings counts, so that start-up and the filling of
caches are over. Through it goes the line of Theil and Sen: its slope is the median of the slopes
between all pairs of readings (P. K. Sen, "Estimates of the Regression Coefficient Based on
Kendall's Tau", 1968), which up to 29 % of wild readings cannot bend. A measure *grows* when that
line rises over the half by more than :data:`ALLOWED`: a share of the median reading, or a fixed
amount if that is more. Tables that are bounded by themselves may fill up to their bound, which is
the node's own promise, and memory may rise by :data:`ENTRY_BYTES` for each entry of theirs. Fewer
than :data:`READINGS_MIN` readings in the half say nothing, nor does a node that was started again
late: it fills what others filled long ago.

Disk is told apart and judged by nobody: the log, the journal and the story of a node are kept whole
by design, so they grow with the log.

Properties. Pure: readings go in, a verdict comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any, Final

from scripts.records import read_lines

MIB: Final = 1 << 20

READINGS_MIN: Final = 12
"""Fewest readings in the second half that allow a verdict: two minutes."""

LIFE_PERCENT_MIN: Final = 75
"""Least length of a node's last life that is judged, in per cent of the longest of all."""

PAIRED_MAX: Final = 240
"""Most readings that are paired; of longer series an even choice."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much a measure may rise over the second half of a run without being called growth.

    :ivar least: so much in any case, in the measure's unit.
    :ivar percent: so much of its median, if that is more.
    """

    least: int
    percent: int = 0

    def of(self, usual: float) -> float:
        """What is allowed of a measure with this median."""
        return max(self.least, self.percent * usual / 100)


MEMORY: Final = "resident_bytes"
"""The measure of a node's own memory."""

ENTRY_BYTES: Final = 512
"""Memory that an entry of a table takes, about."""

ALLOWED: Final[Mapping[str, Allowance]] = {
    MEMORY: Allowance(4 * MIB, 4),
    "worker_bytes": Allowance(16 * MIB, 4),
    "workers": Allowance(1),
    "tasks": Allowance(8),
    "descriptors": Allowance(4),
    "sockets": Allowance(4),
}
"""What is judged of every process."""

TABLE: Final = Allowance(8)
"""What is allowed of a table that has no bound of its own, in entries."""

DISK: Final = ("store_bytes", "journal_bytes", "events_bytes")
"""What is told and not judged."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What became of one measure of one node in the second half of its readings.

    :ivar usual: median reading.
    :ivar rise: how much the line through the readings rises, in the measure's unit.
    :ivar allowed: how much it may.
    """

    node: str
    measure: str
    usual: float
    rise: float
    allowed: float

    @property
    def is_growing(self) -> bool:
        """Whether it rose by more than is allowed."""
        return self.rise > self.allowed


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Median of the slopes between all pairs of points (x, y) of different x; 0 without one."""
    thinned = _thinned(points, PAIRED_MAX)
    slopes = [
        (later[1] - first[1]) / (later[0] - first[0])
        for first, later in combinations(thinned, 2)
        if later[0] != first[0]
    ]
    return median(slopes) if slopes else 0.0


def _thinned(points: Sequence[tuple[float, float]], most: int) -> Sequence[tuple[float, float]]:
    """At most so many points, evenly chosen, the first and the last among them."""
    if len(points) <= most:
        return points
    last = len(points) - 1
    return [points[at * last // (most - 1)] for at in range(most)]


def judge_readings(node: str, readings: Sequence[Mapping[str, Any]]) -> tuple[Growth, ...]:
    """The growth of every measure of one process, in a fixed order; nothing if too few readings.

    :param readings: its ``Statistics`` records, oldest first.
    """
    half = readings[len(readings) // 2 :]
    if len(half) < READINGS_MIN:
        return ()
    found = [
        _growth(node, name, half, [one[name] for one in half], allowance)
        for name, allowance in ALLOWED.items()
    ]
    filled = 0.0
    for name in sorted({name for one in half for name in one["sizes"]}):
        told = [one for one in half if name in one["sizes"]]
        lengths = [one["sizes"][name][0] for one in told]
        most = told[-1]["sizes"][name][1]
        allowance = TABLE if most is None else Allowance(most)
        found.append(_growth(node, name, told, lengths, allowance))
        filled += 0 if most is None else max(0.0, found[-1].rise)
    return tuple(
        replace(one, allowed=one.allowed + ENTRY_BYTES * filled) if one.measure == MEMORY else one
        for one in found
    )


def _growth(
    node: str,
    measure: str,
    readings: Sequence[Mapping[str, Any]],
    values: Sequence[int],
    allowance: Allowance,
) -> Growth:
    times = [one["at_ms"] / 1000 for one in readings]
    rise = slope(list(zip(times, values, strict=True))) * (times[-1] - times[0])
    usual = median(values)
    return Growth(node, measure, usual, rise, allowance.of(usual))


def last_life(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The readings of a node since it was started for the last time."""
    readings: list[Mapping[str, Any]] = []
    for record in records:
        if record["kind"] == "Statistics":
            readings.append(record)
        elif record["kind"] == "Stage" and "process" in record:
            readings = []
    return readings


def judge_run(run: Path, names: Sequence[str]) -> dict[str, Any]:
    """The growth of all nodes of a run, as a table of ``summary.json``.

    ``judged``: nodes with enough readings, and a life about as long as that of the others.
    ``span_s``: shortest time over which they were judged. ``growing``: what rose by more than is
    allowed. ``largest``: of each measure the node in which it rose most. ``disk``: sizes of each
    node's files at the end, in bytes.
    """
    lives = {name: last_life(_records(run, name)) for name in names}
    longest = max(map(len, lives.values()), default=0)
    found = {
        name: judge_readings(name, readings)
        for name, readings in lives.items()
        if 100 * len(readings) >= LIFE_PERCENT_MIN * longest
    }
    judged = [name for name, growths in found.items() if growths]
    measures: dict[str, Growth] = {}
    for growths in found.values():
        for one in growths:
            if one.measure not in measures or one.rise > measures[one.measure].rise:
                measures[one.measure] = one
    spans = [_span_s(lives[name]) for name in judged]
    return {
        "judged": judged,
        "span_s": round(min(spans, default=0)),
        "growing": [_plain(one) for name in judged for one in found[name] if one.is_growing],
        "largest": [_plain(one) for one in measures.values()],
        "disk": {
            name: {size: readings[-1][size] for size in DISK}
            for name, readings in lives.items()
            if readings
        },
    }


def _records(run: Path, name: str) -> Iterable[dict[str, Any]]:
    path = run / "nodes" / name / "events.jsonl"
    return read_lines(path) if path.exists() else ()


def _span_s(readings: Sequence[Mapping[str, Any]]) -> float:
    half = readings[len(readings) // 2 :]
    return float(half[-1]["at_ms"] - half[0]["at_ms"]) / 1000


def _plain(growth: Growth) -> dict[str, Any]:
    fields = asdict(growth)
    return {
        name: round(value, 1) if isinstance(value, float) else value
        for name, value in fields.items()
    }


# --- words ---


def sentences(growth: Mapping[str, Any], blocks: int) -> list[str]:
    """What a person is told of a long run's growth.

    :param growth: what :func:`judge_run` found.
    :param blocks: how many blocks were proven.
    """
    if not growth["judged"]:
        return ["growth: the run was too short to tell"]
    minutes = growth["span_s"] / 60
    told = [
        f"{_called(one['measure'])} {_amount(one['measure'], one['usual'])} "
        f"({_amount(one['measure'], one['rise'], sign=True)} in {one['node']})"
        for one in growth["largest"]
        if one["measure"] in ALLOWED
    ]
    lines = [f"over the last {minutes:.0f} minutes, usual and largest rise: {', '.join(told)}"]
    for one in growth["growing"]:
        measure = one["measure"]
        lines.append(
            f"GROWS: {_called(measure)} of {one['node']} by {_amount(measure, one['rise'])}, "
            f"allowed {_amount(measure, one['allowed'])}"
        )
    if not growth["growing"]:
        lines.append(f"nothing grows in {len(growth['judged'])} nodes, none of their tables either")
    if growth["disk"] and blocks:
        most = {size: max(one[size] for one in growth["disk"].values()) for size in DISK}
        parts = ", ".join(
            f"{_called(size)} {_amount(size, amount / blocks)}" for size, amount in most.items()
        )
        lines.append(f"disk for each block, by design: {parts}")
    return lines


def _called(measure: str) -> str:
    names = {MEMORY: "memory", "worker_bytes": "workers' memory"}
    return names.get(measure, measure.removesuffix("_bytes").replace("_", " "))


def _amount(measure: str, value: float, *, sign: bool = False) -> str:
    plus = "+" if sign and value >= 0 else ""
    if not measure.endswith("_bytes"):
        return f"{plus}{value:.0f}"
    return f"{plus}{value / MIB:.1f} MiB" if abs(value) >= MIB / 10 else f"{plus}{value:.0f} bytes"

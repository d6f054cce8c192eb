"""What a benchmark reports, and how it measures: in turns, round after round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from scripts.complaint import Complaint


class BenchFailed(Complaint):
    """Something cannot be measured."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of some measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of at least one value."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])


@dataclass(frozen=True, slots=True)
class Aim:
    """What a ratio should be.

    :ivar is_least: the bound is the least that is good enough, not the most.
    """

    bound: float
    is_least: bool

    def is_met(self, ratio: float) -> bool:
        """Whether a ratio is as it should be."""
        return ratio >= self.bound if self.is_least else ratio <= self.bound


@dataclass(frozen=True, slots=True)
class Figure:
    """A subject against its baseline.

    :ivar unit: of ``value`` and ``baseline_value``, the medians.
    :ivar ratio: of the subject to the baseline, round by round.
    """

    name: str
    baseline: str
    unit: str
    value: float
    baseline_value: float
    ratio: Spread
    rounds: int
    aim: Aim | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows that are no ratios: where the time goes."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the benchmarks.

    :ivar notes: what was measured, in sentences.
    """

    name: str
    notes: tuple[str, ...]
    figures: tuple[Figure, ...]
    listings: tuple[Listing, ...] = ()


Subject: TypeAlias = Callable[[], float]
"""Does its work once and returns what it took, in any unit that all subjects of a comparison
share.
"""

Taken: TypeAlias = Mapping[str, list[float]]
"""What each subject took, one value a round."""


def alternate(subjects: Mapping[str, Subject], rounds: int, budget_s: float | None = None) -> Taken:
    """Let all subjects do their work in turn, round after round.

    :param rounds: at most so many.
    :param budget_s: no round begins that would end later, judged by the longest one so far; the
        first two always do.
    """
    taken: dict[str, list[float]] = {name: [] for name in subjects}
    began, longest = time.monotonic(), 0.0
    for number in range(rounds):
        before = time.monotonic()
        if budget_s is not None and number > 1 and before - began + longest > budget_s:
            break
        for name, subject in subjects.items():
            taken[name].append(subject())
        longest = max(longest, time.monotonic() - before)
    return taken


def compare_speeds(
    name: str, baseline: str, counts: tuple[int, int], taken: Taken, aim: Aim | None = None
) -> Figure:
    """A figure of speed: how many a second of the subject over how many of the baseline.

    :param counts: what subject and baseline do a round; ``taken`` holds seconds.
    """
    count, base_count = counts
    pairs = zip(taken[name], taken[baseline], strict=True)
    speeds = [(count / own_s, base_count / base_s) for own_s, base_s in pairs]
    return compare(name, baseline, "/s", speeds, aim)


def compare(
    name: str,
    baseline: str,
    unit: str,
    pairs: Sequence[tuple[float, float]],
    aim: Aim | None = None,
) -> Figure:
    """A figure of what was taken: pairs of what the subject took and what the baseline took."""
    return Figure(
        name=name,
        baseline=baseline,
        unit=unit,
        value=statistics.median(own for own, _ in pairs),
        baseline_value=statistics.median(base for _, base in pairs),
        ratio=Spread.of(own / base for own, base in pairs),
        rounds=len(pairs),
        aim=aim,
    )


def processor_s(work: Callable[[], object]) -> float:
    """Processor time of this process for some work, in seconds."""
    before = time.process_time()
    work()
    return time.process_time() - before

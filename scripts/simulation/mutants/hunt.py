"""Searches for one planted bug, seed after seed, and sees that it was the bug that was found."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from scripts.simulation.checkers.checker import Violation
from scripts.simulation.mutants.mutant import Mutant
from scripts.simulation.mutants.planted import MUTANTS
from scripts.simulation.run import simulate

BUDGET_S: Final = 600.0
"""So long of one core is a bug searched for."""


@dataclass(frozen=True, slots=True)
class Find:
    """What became of a search.

    :ivar seeds: how many were tried.
    :ivar cpu_s: time of one core that they took.
    :ivar found: what was found at the last of them, in the order of finding; nothing: it survived.
    :ivar alarms: what the checkers say of the same seed without the bug, which must be nothing.
    """

    mutant: str
    seeds: int
    cpu_s: float
    found: tuple[Violation, ...]
    alarms: tuple[Violation, ...]

    @property
    def checkers(self) -> tuple[str, ...]:
        """Who found it."""
        return tuple(dict.fromkeys(one.checker for one in self.found))

    @property
    def is_good(self) -> bool:
        """Whether it was found, and nothing is found without it."""
        return bool(self.found) and not self.alarms


def named(name: str) -> Mutant:
    """The mutant of a name. KeyError when there is none."""
    return {one.name: one for one in MUTANTS}[name]


def hunt(name: str, budget_s: float = BUDGET_S) -> Find:
    """Try seeds until something is found or the time is over; at least one.

    :raises LostMutant: when the bug has nowhere to be.
    """
    mutant = named(name)
    began_s = time.process_time()
    for tried in count(1):
        order = replace(mutant.order, seed=mutant.order.seed + tried - 1)
        with mutant.planted():
            found = simulate(order).violations
        cpu_s = time.process_time() - began_s
        if found:
            return Find(name, tried, cpu_s, found, simulate(order).violations)
        if cpu_s >= budget_s:
            break
    return Find(name, tried, cpu_s, (), ())

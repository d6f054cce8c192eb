"""Finds a short way to the same violation: fewer faults, shorter ones, and less to prove.

**The problem.** What a seed drew is mostly beside the point, and nobody understands twenty faults.

**Rules.** A run is as bad as another when the same checker speaks in both; which sentence it says
and where does not matter. First whole parts of the plan are left out, halves, then quarters, down
to single faults (delta debugging: Zeller and Hildebrandt, "Simplifying and Isolating
Failure-Inducing Input", 2002); then what is left is made shorter; then fewer blocks are proven.

**Properties.** What comes out violates. No fault of it can be left out alone, unless the runs were
used up. A run without any fault is tried first: some bugs need none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from scripts.simulation.faults import Fault, FaultPlan, Hostile, Passing
from scripts.simulation.run import Order, Outcome, simulate

RUNS_MAX: Final = 120
"""So many runs are tried at most."""

FAULT_MS_MIN: Final = 200
"""A fault is not made shorter than that."""

Simulate: TypeAlias = Callable[[Order], Outcome]


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The shortest way that was found.

    :ivar order: with its faults spelled out.
    :ivar runs: how many were tried.
    """

    order: Order
    checker: str
    runs: int

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What has to go wrong."""
        return self.order.plan().faults


def shrink(
    order: Order, checker: str, runs_max: int = RUNS_MAX, run: Simulate = simulate
) -> Shrunk:
    """Shrink an order whose run the checker speaks of.

    :param run: gives the outcome of an order.
    """
    search = _Search(order.repeated(), checker, runs_max, run)
    if not search.try_plan(FaultPlan()):
        search.leave_out()
        search.shorten()
    search.prove_less()
    return Shrunk(search.order, checker, search.runs)


class _Search:
    """The best order so far."""

    def __init__(self, order: Order, checker: str, runs_max: int, run: Simulate) -> None:
        self.order = order
        self.runs = 0
        self._checker = checker
        self._runs_max = runs_max
        self._run = run

    @property
    def _plan(self) -> FaultPlan:
        return self.order.plan()

    def _try(self, order: Order) -> bool:
        """Whether an order is as bad; then it is the best one."""
        if self.runs >= self._runs_max:
            return False
        self.runs += 1
        is_bad = any(one.checker == self._checker for one in self._run(order).violations)
        if is_bad:
            self.order = order
        return is_bad

    def try_plan(self, plan: FaultPlan) -> bool:
        """Whether the run with this plan is as bad."""
        return self._try(replace(self.order, faults=plan))

    def leave_out(self) -> None:
        """Leave out as large parts of the plan as can be spared, then smaller ones."""
        size = max(1, len(self._plan.faults) // 2)
        while True:
            is_shorter, first = False, 0
            while first < len(self._plan.faults):
                faults = self._plan.faults
                rest = faults[:first] + faults[first + size :]
                if rest and self.try_plan(replace(self._plan, faults=rest)):
                    is_shorter = True
                else:
                    first += size
            if size == 1 and not is_shorter:
                return
            size = max(1, size // 2)

    def shorten(self) -> None:
        """Halve each fault as often as that will do, then end the trouble with the last of them."""
        for number, fault in enumerate(self._plan.faults):
            if not isinstance(fault, Hostile):
                self._shorten_one(number, fault)
        last_ms = max((one.at_ms + one.for_ms for one in self._plan.passing()), default=0)
        if last_ms < self._plan.safety_ms:
            self.try_plan(replace(self._plan, safety_ms=last_ms))

    def _shorten_one(self, number: int, fault: Passing) -> None:
        for_ms = fault.for_ms // 2
        while for_ms >= FAULT_MS_MIN:
            faults = list(self._plan.faults)
            faults[number] = replace(fault, for_ms=for_ms)
            if not self.try_plan(replace(self._plan, faults=tuple(faults))):
                return
            for_ms //= 2

    def prove_less(self) -> None:
        """The fewest blocks with which it is as bad."""
        for blocks in range(1, self.order.blocks):
            if self._try(replace(self.order, blocks=blocks)):
                return

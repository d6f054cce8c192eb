"""The ``simulate`` command: one seed or many, and what a person is told of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from scripts.configuration import ConfigurationError
from scripts.simulation.checkers.checker import Violation
from scripts.simulation.faults import FaultPlan, read_plan
from scripts.simulation.network import Size, planned
from scripts.simulation.run import Order, Outcome, simulate


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person at the terminal asked for.

    :ivar faults: a file of faults, the word ``drawn``, or empty for none.
    :ivar seeds: ``A..B``, both included; empty: only the seed of the order.
    :ivar jobs: processes; 0: one for each core.
    """

    order: Order
    faults: str = ""
    seeds: str = ""
    jobs: int = 0
    keep_going: bool = False


DRAWN = "drawn"
"""Given as a file of faults: they are drawn from the seed."""


def check_size(size: Size) -> None:
    """Refuse what no network can be made of. Raises ConfigurationError."""
    if not 0 < size.validators < size.nodes:
        raise ConfigurationError(
            f"{size.validators} validators of {size.nodes} nodes leave nobody to prove",
            "give more --nodes, or fewer --validators",
        )


def run(wishes: Wishes, console: Console) -> int:
    """Simulate and tell. Returns the exit code: 0 when nothing was found.

    :raises Complaint: for what no network can be made of.
    """
    order = replace(wishes.order, faults=_faults(wishes))
    return _run_one(order, console)


def _faults(wishes: Wishes) -> FaultPlan | None:
    if wishes.faults == DRAWN:
        return None
    if not wishes.faults:
        return FaultPlan()
    order = wishes.order
    names = tuple(one.name for one in planned(order.size, order.seed, order.cast).members)
    return read_plan(Path(wishes.faults), names)


def _run_one(order: Order, console: Console) -> int:
    console.print(f"seed {order.seed}")
    began_s = time.process_time()
    outcome = simulate(order)
    cpu_s = time.process_time() - began_s
    for line in told(order, outcome, cpu_s):
        console.print(line, markup=False)
    console.print(f"seed {order.seed}")
    return 1 if outcome.violations else 0


def told(order: Order, outcome: Outcome, cpu_s: float) -> Iterator[str]:
    """A run in a few lines; all but the speed follow from the seed."""
    size, virtual_s = order.size, outcome.virtual_ms / 1000
    speed = f"{virtual_s / cpu_s:.1f} times real time" if cpu_s else "at once"
    yield f"network     {size.nodes} nodes, {size.validators} validate, slots of {size.slot_ms} ms"
    yield f"proven      {outcome.settled} blocks of {size.leaves} leaves"
    yield f"log         {outcome.height} blocks"
    yield f"time        {virtual_s:.1f} s of virtual time in {cpu_s:.1f} s of one core: {speed}"
    yield f"faults      {counted(outcome.faults) or 'none'}"
    yield f"lives       {outcome.lives} of {size.nodes} nodes"
    yield f"refusals    {counted(outcome.refusals) or 'none'}"
    for one in outcome.violations:
        yield f"VIOLATION   {sentence_of(one)}"
    if not outcome.violations:
        yield "violations  none"
    yield f"digest      {outcome.digest} of {outcome.entries} entries"


def counted(counts: tuple[tuple[str, int], ...]) -> str:
    """Counts by name as a person reads them."""
    return ", ".join(f"{count} {name.lower().replace('_', ' ')}" for name, count in counts)


def sentence_of(violation: Violation) -> str:
    """A violation as a person reads it."""
    where = f" at {violation.node}" if violation.node else ""
    return f"{violation.checker}{where} after {violation.at_ms / 1000:.1f} s: {violation.sentence}"

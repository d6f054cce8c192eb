"""``simulate --mutants``: every planted bug is searched for, and a person is told what found it."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed

from rich.console import Console

from prover.pool import usable_cores
from scripts.simulation.checkers import ALL
from scripts.simulation.mutants.hunt import BUDGET_S, Find, hunt
from scripts.simulation.mutants.planted import MUTANTS


def run(jobs: int, console: Console) -> int:
    """Search for all of them. Returns the exit code: 0 when each was found.

    :param jobs: processes; 0: one for each core.
    """
    names = [one.name for one in MUTANTS]
    jobs = min(len(names), jobs or usable_cores())
    console.print(
        f"{len(names)} planted bugs, in {jobs} processes, {BUDGET_S:.0f} s of a core each"
    )
    finds: list[Find] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as executor:
        for done in as_completed([executor.submit(hunt, name) for name in names]):
            finds.append(done.result())
            console.print(told(finds[-1]), markup=False)
    survived = [one.mutant for one in finds if not one.found]
    alarms = [one.mutant for one in finds if one.alarms]
    used = {checker for one in finds for checker in one.checkers}
    idle = [one.name for one in ALL if one.name not in used]
    console.print(f"found       {len(finds) - len(survived)} of {len(finds)}")
    console.print(f"survived    {', '.join(survived) or 'none'}")
    console.print(f"without bug {', '.join(alarms) or 'nothing is found at these seeds'}")
    console.print(f"found none  {', '.join(idle) or 'every checker found a bug'}")
    return 0 if all(one.is_good for one in finds) else 1


def told(find: Find) -> str:
    """A search in a line."""
    cost = f"{find.cpu_s:6.1f} s  {find.seeds:4} seeds"
    if not find.found:
        return f"SURVIVED  {cost}  {find.mutant}"
    first = find.found[0].sentence.strip().splitlines()[-1]
    who = ", ".join(find.checkers)
    alarm = " (AND WITHOUT IT)" if find.alarms else ""
    return f"found     {cost}  {find.mutant}{alarm}: {who}: {first}"

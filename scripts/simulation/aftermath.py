"""What is left of a violation: the shortest run that shows it, and a folder to look at.

The folder has ``case.toml``, which repeats the run byte for byte, ``timeline.txt``, a picture of
the nodes concerned, and their journals. Nodes are concerned when a fault or the violation names
them; when none is named, all are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from p2p.journal import Journal
from scripts.simulation.case import format_case, read_case
from scripts.simulation.faults import nodes_of
from scripts.simulation.network import START_MS, planned
from scripts.simulation.run import Order, Outcome, simulate
from scripts.simulation.shrinking import RUNS_MAX, Shrunk, shrink
from scripts.simulation.tape import Tape
from scripts.simulation.timeline import timeline

CASE: Final = "case.toml"


@dataclass(frozen=True, slots=True)
class Aftermath:
    """The shortest run, and where it was written down.

    :ivar drawn: faults of the run that was found first.
    """

    shrunk: Shrunk
    outcome: Outcome
    drawn: int
    folder: Path

    @property
    def case(self) -> Path:
        """The file that repeats it."""
        return self.folder / CASE


def write_aftermath(
    order: Order, checker: str, folder: Path, runs_max: int = RUNS_MAX
) -> Aftermath:
    """Shrink a run that a checker spoke of, run it again, and write down what happened.

    :raises OSError: when the folder cannot be written.
    """
    drawn = len(order.plan().faults)
    shrunk = shrink(order, checker, runs_max)
    folder.mkdir(parents=True, exist_ok=True)
    case = folder / CASE
    case.write_text(format_case(shrunk.order))
    tape = Tape()
    repeated = read_case(case, order.cast)
    outcome = simulate(repeated, tape)
    nodes = concerned(repeated, outcome)
    begin_ms, slot_ms = START_MS, order.size.slot_ms
    text = timeline(tape.events, nodes, begin_ms, slot_ms, outcome.violations)
    (folder / "timeline.txt").write_text(text)
    for name in nodes:
        path = folder / "journals" / name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        with Journal(path) as journal:
            for payload in tape.journals.get(name, ()):
                journal.append(payload)
    return Aftermath(shrunk, outcome, drawn, folder)


def concerned(order: Order, outcome: Outcome) -> tuple[str, ...]:
    """The nodes that the faults and the violations name, in the order of the network."""
    names = [one.name for one in planned(order.size, order.seed, order.cast).members]
    named = {name for fault in order.plan().faults for name in nodes_of(fault)}
    named |= {one.node for one in outcome.violations}
    return tuple(name for name in names if name in named) or tuple(names)


def told(aftermath: Aftermath) -> Iterator[str]:
    """What a person is told of it."""
    shrunk = aftermath.shrunk
    yield f"shrunk      {aftermath.drawn} faults to {len(shrunk.faults)}, in {shrunk.runs} runs"
    for fault in shrunk.faults:
        yield f"needed      {fault}"
    yield f"seed        {shrunk.order.seed}, {shrunk.order.blocks} blocks"
    yield f"digest      {aftermath.outcome.digest} of {aftermath.outcome.entries} entries"
    yield f"written     {aftermath.folder}: case.toml, timeline.txt, journals"

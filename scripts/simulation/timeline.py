"""A run as a picture in text: a row for each slot, a column for each node, then what was told.

In a cell stands what the node did in the slot: a letter for each message that it sent first, ``F``
with the heights that became final there, ``*`` where a life of it began and ``+`` where one ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from protocol.events import (
    Event as LogEvent,
    JobOpened,
    JobSettled,
    JobVoided,
    ProofRecorded,
    RightMissed,
    TakenOver,
)
from protocol.happenings import BlockFinal, Halted
from protocol.ports import Topic
from scripts.simulation.checkers.checker import Violation
from scripts.simulation.happenings import (
    Born,
    Cheated,
    Died,
    Event,
    FaultBegan,
    FaultEnded,
    Healed,
    Published,
)

LETTERS: Final = {
    Topic.LOG_PROPOSALS: "p",
    Topic.LOG_VOTES: "v",
    Topic.TRANSFERS: "",
    Topic.BLOCK_PROPOSALS: "b",
    Topic.INTENTS: "i",
    Topic.BIDS: "o",
    Topic.PROOFS: "r",
    Topic.OPERATIONS: "x",
}
"""What stands for a message; transfers are left out."""

_LEGEND: Final = (
    "p log proposal, v vote, b block commitment or reveal, i intent, r proof record, o bid, "
    "x other operation; F final heights; * a life begins, + it ends"
)
_JOBS: Final = (JobOpened, JobSettled, JobVoided, ProofRecorded, RightMissed, TakenOver)

Told = Sequence[tuple[int, str, Event]]


def timeline(
    told: Told, nodes: Sequence[str], begin_ms: int, slot_ms: int, violations: Sequence[Violation]
) -> str:
    """The text of a run, up to where it ended.

    :param nodes: those that it is about; the others are left out.
    :param begin_ms: when the first slot begins.
    """
    lines = [*_grid(told, nodes, begin_ms, slot_ms), "", _LEGEND, ""]
    lines += _story(told, nodes)
    for one in violations:
        lines.append(f"{one.at_ms / 1000:9.3f} s  {one.node:14}  VIOLATION {one.checker}")
        lines += [f"{'':13}{line}" for line in one.sentence.splitlines()]
    return "\n".join(lines) + "\n"


def _grid(told: Told, nodes: Sequence[str], begin_ms: int, slot_ms: int) -> Iterator[str]:
    cells: dict[tuple[int, str], str] = {}
    last = 0
    for at_ms, node, event in told:
        slot = max(0, at_ms - begin_ms) // slot_ms
        mark = _mark(event)
        if node in nodes and mark:
            cells[slot, node] = _joined(cells.get((slot, node), ""), mark)
            last = max(last, slot)
    widths = {
        node: max([len(node), *(len(cell) for (_, one), cell in cells.items() if one == node)])
        for node in nodes
    }
    yield "  ".join(["slot", *(node.ljust(widths[node]) for node in nodes)]).rstrip()
    for slot in range(last + 1):
        row = (cells.get((slot, node), ".").ljust(widths[node]) for node in nodes)
        yield "  ".join([f"{slot:4}", *row]).rstrip()


def _joined(cell: str, mark: str) -> str:
    """Marks one after the other; of final heights the first and the last."""
    before, final, first = cell.rpartition("F")
    if mark.startswith("F") and final and first and first[-1].isdigit():
        return f"{before}F{first.partition('-')[0]}-{mark[1:]}"
    return cell + mark


def _mark(event: Event) -> str:
    match event:
        case Published(topic=topic):
            return LETTERS[topic]
        case BlockFinal():
            return f"F{event.applied.tick}"
        case Born():
            return "*"
        case Died():
            return "+"
    return ""


def _story(told: Told, nodes: Sequence[str]) -> Iterator[str]:
    """Faults, lives, and the first word of each thing that happened to a job."""
    heights: set[int] = set()
    for at_ms, node, event in told:
        when = f"{at_ms / 1000:9.3f} s  {node or 'network':14}  "
        match event:
            case FaultBegan(fault):
                yield f"{when}begins: {fault}"
            case FaultEnded(fault):
                yield f"{when}is over: {type(fault).__name__}"
            case Healed():
                yield f"{when}is healed"
            case Born() | Died() | Halted() | Cheated() if node in nodes:
                yield f"{when}{event}"
            case BlockFinal() if event.applied.tick not in heights:
                heights.add(event.applied.tick)
                for one in event.applied.events:
                    if isinstance(one, _JOBS):
                        yield f"{when}height {event.applied.tick}: {_named(one)}"


def _named(event: LogEvent) -> str:
    """An event of the log in a few words."""
    values = [
        f"{name} {value.hex()[:8] if isinstance(value, bytes) else value}"
        for name in ("job", "index", "prover", "holder", "previous", "heir", "because")
        if (value := getattr(event, name, None)) is not None
    ]
    return " ".join([type(event).__name__, *map(str, values)])

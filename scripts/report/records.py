"""Reads the records of a run: the launcher's, each node's, and one story of the final log.

Rules. Every final event is told by every node; the story is that of the node that told most ticks,
each tick once, as it told it first and whole. Where the page shows a tick, it is the moment at
which the first of all nodes saw its log block final, because a node that was down tells late. Times
count from the first record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protocol.params import Genesis
from scripts.folder import load_genesis
from scripts.records import read_lines

EVENTS: Final = "events.jsonl"
LAUNCHER: Final = "launcher"
"""Stands for the launcher where a record names its node."""

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Records:
    """What is read.

    :ivar by_node: each node's records in its order.
    :ivar story: final events of the reference node, each tick once.
    :ivar final_ms: when the first node saw each of these ticks final.
    :ivar slots: slot of each tick.
    """

    genesis: Genesis
    launcher: tuple[Line, ...]
    by_node: dict[str, tuple[Line, ...]]
    reference: str | None
    story: tuple[Line, ...]
    final_ms: dict[int, int]
    slots: dict[int, int]
    zero_ms: int
    end_ms: int

    def name(self, account: str | None) -> str:
        """Name of an account by its hexadecimal digits."""
        names = {one.account.hex(): one.name for one in self.genesis.accounts}
        return "anybody" if account is None else names.get(account, account[:8])

    def since(self, line: Line) -> int:
        """When a record was made, since the launch."""
        return int(line["at_ms"]) - self.zero_ms

    def decided_ms(self, tick: int | None) -> int | None:
        """When the slot of a tick's log block began; where no slot was told, when it was final."""
        if tick is None:
            return None
        ordered_ms = self.ordered_ms(tick)
        return self.final_ms.get(tick) if ordered_ms is None else ordered_ms

    def ordered_ms(self, tick: int) -> int | None:
        """When the slot of a tick's log block began, since the launch."""
        slot, network = self.slots.get(tick), self.genesis.network
        if slot is None:
            return None
        return network.genesis_time_ms + slot * network.slot_ms - self.zero_ms


def read_records(run: Path) -> Records:
    """Read a run folder.

    :raises RunUnreadable: when its genesis cannot be read.
    """
    genesis = load_genesis(run)
    by_node: dict[str, list[Line]] = {}
    path = run / EVENTS
    for line in read_lines(path) if path.exists() else ():
        by_node.setdefault(line.pop("node"), []).append(line)
    launcher = tuple(by_node.pop(LAUNCHER, ()))
    told = {name: _told(lines) for name, lines in by_node.items()}
    reference = max(sorted(told), key=lambda name: len(told[name]), default=None)
    ticks = told[reference] if reference is not None else {}
    times = [int(line["at_ms"]) for lines in (launcher, *by_node.values()) for line in lines]
    zero_ms = min(times, default=0)
    finals = {tick: lines[-1] for tick, lines in sorted(ticks.items())}
    first_ms: dict[int, int] = {}
    for theirs in told.values():
        for tick, lines in theirs.items():
            at_ms = int(lines[-1]["at_ms"])
            first_ms[tick] = min(at_ms, first_ms.get(tick, at_ms))
    return Records(
        genesis=genesis,
        launcher=launcher,
        by_node={name: tuple(by_node[name]) for name in sorted(by_node)},
        reference=reference if ticks else None,
        story=tuple(line for tick in sorted(ticks) for line in ticks[tick]),
        final_ms={tick: first_ms[tick] - zero_ms for tick in finals},
        slots={tick: int(final["slot"]) for tick, final in finals.items() if "slot" in final},
        zero_ms=zero_ms,
        end_ms=max(times, default=0) - zero_ms,
    )


def _told(lines: list[Line]) -> dict[int, list[Line]]:
    """The events of each tick that a node told whole, as it told them first."""
    told: dict[int, list[Line]] = {}
    waiting: list[Line] = []
    for line in lines:
        if line["kind"] == "Stage":
            waiting = []
        if "tick" not in line:
            continue
        waiting.append(line)
        if line["kind"] == "Final":
            told.setdefault(int(line["tick"]), waiting)
            waiting = []
    return told


def fields_of(records: Records, line: Line) -> Iterator[tuple[str, str]]:
    """The fields of a record as text, accounts by name."""
    for name, value in line.items():
        if name not in ("at_ms", "kind", "tick", "job", "node"):
            yield name.replace("_", " "), _text(records, value)


def _text(records: Records, value: Any) -> str:
    if isinstance(value, str):
        is_long = len(value) > 40 and all(one in "0123456789abcdef" for one in value)
        return records.name(value) if is_long else value
    if isinstance(value, list):
        return ":".join(_text(records, one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(records, one)}" for key, one in value.items())
    return "nobody" if value is None else str(value)

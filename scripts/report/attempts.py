"""Pairs what a node told when it started to prove with what it told when that ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from scripts.report.records import Line, Records
from scripts.report.values import Attempt, Ending, Mark

_STARTED, _FINISHED, _CANCELLED = "ProofStarted", "ProofFinished", "ProofCancelled"
_BOOT = "reading the configuration"


def attempts_of(records: Records, marks: tuple[Mark, ...]) -> tuple[Attempt, ...]:
    """All attempts, by the time of their start.

    An attempt that nobody ended was ended by a kill of its node; where no kill is recorded, it is
    told until the node's last word, or its next start.
    """
    found: list[Attempt] = []
    for node, lines in records.by_node.items():
        kills = [one.at_ms for one in marks if one.node == node and one.what == "Killed"]
        found += _node_attempts(records, node, lines, kills)
    return tuple(sorted(found, key=lambda one: (one.start_ms, one.node, one.job, one.place)))


def _node_attempts(
    records: Records, node: str, lines: tuple[Line, ...], kills: list[int]
) -> Iterator[Attempt]:
    running: dict[tuple[str, int, int], int] = {}
    for line in lines:
        now_ms = records.since(line)
        kind = line["kind"]
        if kind == "Stage" and line["stage"] == _BOOT:
            yield from _cut(node, running, [one for one in kills if one <= now_ms], now_ms)
            running = {}
        if kind not in (_STARTED, _FINISHED, _CANCELLED):
            continue
        level, position = line["key"]["index"]
        key = line["key"]["job"], level, position
        if kind == _STARTED:
            running[key] = now_ms
        elif key in running:
            yield _ended(Attempt(node, key[0], key[1:], running.pop(key), now_ms, Ending.CUT), line)
    yield from _cut(node, running, kills, records.since(lines[-1]))


def _ended(attempt: Attempt, line: Line) -> Attempt:
    if line["kind"] == _CANCELLED:
        return replace(attempt, ending=Ending.CANCELLED, sentence=str(line["sentence"]))
    wall_ms, threads = int(line["wall_ms"]), int(line["threads"])
    return replace(attempt, ending=Ending.FINISHED, wall_ms=wall_ms, threads=threads)


def _cut(
    node: str, running: dict[tuple[str, int, int], int], kills: list[int], last_ms: int
) -> Iterator[Attempt]:
    for (job, level, position), start_ms in running.items():
        kill = next((one for one in kills if one >= start_ms), None)
        end_ms, ending = (last_ms, Ending.CUT) if kill is None else (kill, Ending.KILLED)
        yield Attempt(node, job, (level, position), start_ms, end_ms, ending)

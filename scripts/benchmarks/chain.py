"""Where the time of a block goes, along its critical chain, from what the nodes told.

The chain is found backwards: from the root's record to the prover that made the root, to the child
whose valid proof that prover knew last, and so on down to a leaf, to the block's body and to the
opening of the job. Every span ends where the one after it begins, so the spans add up to the time
to root exactly. What a node did not tell, as one that was killed does not, counts to the span
before it that was told.

All nodes of a run write down the time of one machine, so their clocks are one clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from scripts.folder import load_genesis
from scripts.records import read_lines

OPENED: Final = "opening final -> its prover sees it"
EXECUTED: Final = "body fetched and executed"
FAILED: Final = "window of a prover that failed"
AWAY: Final = "its prover was down"
ASKED: Final = "inputs known -> proof asked for"
QUEUED: Final = "queue, and to the worker and back"
PROVED: Final = "proving"
KNOWN: Final = "proof announced -> known to parent's prover"
ORDERED: Final = "root's proof -> in a log block"
FINAL: Final = "that log block -> root recorded"

SPANS: Final = (OPENED, EXECUTED, FAILED, AWAY, ASKED, QUEUED, PROVED, KNOWN, ORDERED, FINAL)
"""All spans, in the order in which they begin."""

Place: TypeAlias = tuple[int, int]
"""Level and position of a tree node."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A proof that a worker made: when it came, and how long the worker took."""

    at_ms: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class ChainOfBlock:
    """The critical chain of one settled block.

    :ivar spans_ms: milliseconds by name of :data:`SPANS`; together the time to root.
    :ivar places: tree nodes on it, the root first.
    """

    job: str
    spans_ms: dict[str, int]
    places: tuple[Place, ...]

    @property
    def to_root_ms(self) -> int:
        """From the opening's finality to that of the root's record, in milliseconds."""
        return sum(self.spans_ms.values())


class Story:
    """What the nodes of a run told, by who did it.

    :ivar jobs: settled jobs in their order.
    """

    def __init__(self, run: Path) -> None:
        genesis = load_genesis(run)
        self._network = genesis.network
        self._names = {one.account.hex(): one.name for one in genesis.accounts}
        self.jobs: list[str] = []
        self._finished: dict[tuple[str, Place], dict[str, list[Finished]]] = defaultdict(dict)
        self._started: dict[tuple[str, str, Place], list[int]] = defaultdict(list)
        self._inherited: dict[tuple[str, str, Place], int] = {}
        self._known: dict[tuple[str, str, Place, str], int] = {}
        self._executed: dict[tuple[str, str], int] = {}
        self._begun: dict[str, list[int]] = defaultdict(list)
        self._opened: dict[str, dict[str, int]] = defaultdict(dict)
        self._proven: dict[str, int] = {}
        self._recorded: dict[tuple[str, Place], tuple[str, int]] = {}
        self._slots: dict[int, int] = {}
        for path in sorted((run / "nodes").glob("*/events.jsonl")):
            for record in read_lines(path):
                self._take(path.parent.name, record)

    def _take(self, node: str, record: dict[str, Any]) -> None:
        if "tick" in record:
            self._take_final(node, record, record.get("job", ""))
        elif record["kind"] == "Stage":
            self._begun[node] += [record["at_ms"]] if "process" in record else []
        elif record["kind"] == "BlockKnown":
            self._executed.setdefault((node, record["job"]), record["at_ms"])
        else:
            self._take_proof(node, record)

    def _take_final(self, node: str, record: dict[str, Any], job: str) -> None:
        """Note what the log says; a restarted node tells it once more, later."""
        at_ms = record["at_ms"]
        match record["kind"]:
            case "Final":
                self._slots[record["tick"]] = record["slot"]
            case "JobOpened":
                self._opened[job].setdefault(node, at_ms)
            case "JobProven":
                self._proven[job] = min(at_ms, self._proven.get(job, at_ms))
            case "JobSettled":
                self.jobs += [job] if job not in self.jobs else []
            case "TakenOver":
                if record["heir"] is None or self._name(record["heir"]) == node:
                    self._inherited.setdefault((node, job, _place(record)), at_ms)
            case "ProofRecorded":
                told = self._name(record["prover"]), record["tick"]
                self._recorded.setdefault((job, _place(record)), told)

    def _take_proof(self, node: str, record: dict[str, Any]) -> None:
        """Note what a node proved, and what it knows of others' proofs."""
        at_ms = record["at_ms"]
        match record["kind"]:
            case "ProofKnown":
                proof = record["proof"]["record"]
                prover = self._name(record["proof"]["prover"])
                self._known.setdefault((node, proof["job"], _place(proof), prover), at_ms)
            case "ProofStarted":
                key = record["key"]
                self._started[node, key["job"], _place(key)].append(at_ms)
            case "ProofFinished":
                key = record["key"]
                made = self._finished[key["job"], _place(key)].setdefault(node, [])
                made.append(Finished(at_ms, record["wall_ms"]))

    def _name(self, account: str) -> str:
        return self._names.get(account, account)

    def proof_times_ms(self) -> list[int]:
        """How long the workers took for each proof, in milliseconds."""
        return [
            one.wall_ms for by in self._finished.values() for made in by.values() for one in made
        ]

    # --- the chain ---

    def chain(self, job: str) -> ChainOfBlock:
        """The critical chain of a settled job."""
        spans = dict.fromkeys(SPANS, 0)
        places: list[Place] = []
        first_ms, end_ms = min(self._opened[job].values()), self._proven[job]
        for place, name, told_ms in self._steps(job):
            begin_ms = max(first_ms, min(told_ms, end_ms))
            spans[name] += end_ms - begin_ms
            end_ms = begin_ms
            places += [place] if place not in places else []
        return ChainOfBlock(job, spans, tuple(places))

    def _steps(self, job: str) -> Iterator[tuple[Place, str, int]]:
        """Backwards: a tree node, the name of a span, and when the span began."""
        place = max(place for at, place in self._recorded if at == job)
        prover, tick = self._recorded[job, place]
        slot_ms = self._network.genesis_time_ms + self._slots[tick] * self._network.slot_ms
        yield place, FINAL, slot_ms
        name = ORDERED
        while True:
            made = self._made(job, place, prover)
            started_ms = self._start(job, place, prover, made)
            if made is not None:
                yield place, name, made.at_ms
                yield place, PROVED, made.at_ms - made.wall_ms
                yield place, QUEUED, started_ms
            known = self._last_child(job, place, prover)
            inputs_ms = self._inputs(job, prover) if known is None else known[0]
            inherited_ms = _before(started_ms, [self._inherited.get((prover, job, place), 0)])
            begun_ms = _before(started_ms, self._begun[prover])
            yield place, ASKED, max(inputs_ms, inherited_ms, begun_ms)
            yield place, FAILED if inherited_ms > begun_ms else AWAY, inputs_ms
            if known is None:
                break
            _, place, prover = known
            name = KNOWN
        opened = self._opened[job]
        first_ms, seen_ms = min(opened.values()), opened.get(prover, inputs_ms)
        yield place, EXECUTED, seen_ms
        yield place, OPENED, max(first_ms, _before(seen_ms, self._begun[prover]))
        yield place, AWAY, first_ms

    def _made(self, job: str, place: Place, prover: str) -> Finished | None:
        """The recorded prover's first proof of a tree node."""
        return min(
            self._finished.get((job, place), {}).get(prover, ()),
            key=lambda one: one.at_ms,
            default=None,
        )

    def _start(self, job: str, place: Place, prover: str, made: Finished | None) -> int:
        """When the proof that was made was asked for."""
        if made is None:
            return self._proven[job]
        begun = made.at_ms - made.wall_ms
        asked = [one for one in self._started[prover, job, place] if one <= made.at_ms]
        return max(asked, default=begun)

    def _last_child(self, job: str, place: Place, prover: str) -> tuple[int, Place, str] | None:
        """Of a merge: when its prover knew the later child's recorded proof, which child that is,
        and who proved it.
        """
        level, position = place
        known = []
        for child in ((level - 1, 2 * position), (level - 1, 2 * position + 1)):
            if (job, child) in self._recorded:
                owner, _ = self._recorded[job, child]
                made = self._made(job, child, owner)
                at_ms = self._known.get((prover, job, child, owner))
                if at_ms is None and made is not None:
                    at_ms = made.at_ms
                known.append((at_ms or 0, child, owner))
        return max(known, default=None)

    def _inputs(self, job: str, prover: str) -> int:
        """When a prover had executed the block."""
        opened = self._opened[job]
        return self._executed.get((prover, job), opened.get(prover, min(opened.values())))


def _before(end_ms: int, times_ms: list[int]) -> int:
    """The last of some times up to ``end_ms``; 0 when there is none."""
    return max((one for one in times_ms if one <= end_ms), default=0)


def _place(record: dict[str, Any]) -> Place:
    level, position = record["index"]
    return level, position

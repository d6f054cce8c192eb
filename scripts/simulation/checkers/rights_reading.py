"""The rights to tree nodes of elected provers, worked out from the log and from nothing else.

Rules. Those of ``protocol.proving.elected``: the deal from a job's seed and pool, an opening when
the inputs are recorded, a window from the finality of the opening, a miss after the window, heirs
outwards from the leaf that the bits lead to, and at last anybody. Of what nodes tell only openings
of jobs, their pools, records and closings are taken; everything else is worked out, to be compared.

Deals and lines of heirs are those of :mod:`scripts.audit.elected`, a second reading of the rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from protocol.events import (
    Event,
    JobOpened,
    JobSettled,
    JobVoided,
    OperationAccepted,
    OperationRefused,
    ProofRecorded,
    RightMissed,
    TakenOver,
    WindowStarted,
)
from protocol.happenings import BlockFinal
from protocol.messages import Inclusion, Operation, ProofRecord
from protocol.params import Genesis, parse_settings
from protocol.proving.elected_parameters import ElectedParameters
from protocol.types import Account, Count, JobId, TreeIndex
from scripts.audit.elected import dealt, successors
from scripts.simulation.checkers.checker import Scene
from scripts.simulation.checkers.reading import LogChecker, Place

TOLD_BY_TIME = (WindowStarted, RightMissed, TakenOver)
"""Events that the passing of time brings about."""


@dataclass(slots=True)
class Turn:
    """A right: whose it is (nobody's is anybody's), since when it is open, its last tick."""

    holders: tuple[bytes, ...]
    opened: int | None = None
    closes: int | None = None


@dataclass(slots=True)
class Cell:
    """One tree node, with all rights to it so far; the last is the present one."""

    owners: tuple[bytes, ...]
    line: tuple[bytes, ...]
    turns: list[Turn]
    claim: bytes | None = None

    def has_held(self, who: bytes) -> bool:
        """Whether a right was given to ``who`` by name."""
        return any(who in turn.holders for turn in self.turns)

    def may(self, who: bytes) -> bool:
        """Whether ``who`` may deliver: rights only widen."""
        return not self.turns[-1].holders or self.has_held(who)

    def open_since(self, who: bytes) -> int | None:
        """When the oldest right that ``who`` may use opened."""
        ticks = [turn.opened for turn in self.turns if who in turn.holders or not turn.holders]
        return min((tick for tick in ticks if tick is not None), default=None)


@dataclass(slots=True)
class OpenJob:
    """The tree nodes of a job by level and position, and who failed it, in order."""

    cells: dict[tuple[int, int], Cell]
    failed: list[bytes] = field(default_factory=list)


class RightsReading:
    """Reads one log.

    :ivar jobs: those that are open.
    """

    def __init__(self, genesis: Genesis) -> None:
        self.parameters = parse_settings(ElectedParameters, genesis.proving)
        self.jobs: dict[bytes, OpenJob] = {}
        self._ordered: set[tuple[JobId, TreeIndex, Account]] = set()
        self._fresh: set[tuple[JobId, TreeIndex, Account]] = set()

    def cell(self, place: Place) -> Cell | None:
        """A tree node of an open job."""
        job, level, position = place
        return self.jobs[job].cells.get((level, position)) if job in self.jobs else None

    def least_ticks(self, level: int) -> int:
        """Minimal proving time of a level."""
        return self.parameters.min_merge_ticks if level else self.parameters.min_leaf_ticks

    def pass_time(self, final: BlockFinal) -> tuple[list[Event], list[Event]]:
        """What time brings about at the beginning of a block: what must be told, and what was.

        Draws among records that were ordered before come first.
        """
        tick, events = final.applied.tick, final.applied.events
        for event in events:
            if isinstance(event, ProofRecorded) and self._is_drawn(event, final):
                self._record(event, tick)
        due: list[Event] = []
        for name, job in self.jobs.items():
            due += self._pass_time(name, job, final)
        return due, [one for one in events if isinstance(one, TOLD_BY_TIME)]

    def _is_drawn(self, event: ProofRecorded, final: BlockFinal) -> bool:
        """Whether a record was ordered before, and nobody includes it in this block."""
        shown = (event.job, event.index, event.prover)
        included = [
            (one.operation.payload.job, one.operation.payload.index, one.operation.payload.prover)
            for one in final.block.operations
            if isinstance(one.operation.payload, Inclusion)
        ]
        return shown in self._ordered and shown not in included

    def _pass_time(self, name: bytes, job: OpenJob, final: BlockFinal) -> Iterator[Event]:
        tick, settled = final.applied.tick, final.moment.settled
        missing = {place: cell for place, cell in job.cells.items() if cell.claim is None}
        for place, cell in missing.items():
            turn = cell.turns[-1]
            if turn.holders and turn.closes is None and _is_final(turn.opened, settled):
                turn.closes = tick + self._window(place[0])
                for holder in turn.holders:
                    yield _event(WindowStarted, name, place, holder, turn.closes)
        late = [place for place, cell in missing.items() if _is_late(cell.turns[-1], tick)]
        before = tuple(job.failed)
        for place in late:
            for holder in missing[place].turns[-1].holders:
                if holder not in before:
                    is_own = holder in missing[place].owners
                    job.failed += [holder] if is_own and holder not in job.failed else []
                    yield _event(RightMissed, name, place, holder, is_own)
        for place, cell in missing.items() if late else ():
            holders = cell.turns[-1].holders
            if place in late or (holders and all(one in job.failed for one in holders)):
                yield self._pass_on(name, job, place, cell, tick)

    def _pass_on(
        self, name: bytes, job: OpenJob, place: tuple[int, int], cell: Cell, tick: int
    ) -> Event:
        turn = cell.turns[-1]
        left = [one for one in cell.line if not cell.has_held(one) and one not in job.failed]
        cell.turns.append(Turn(tuple(left[:1]), None if turn.opened is None else tick))
        return _event(TakenOver, name, place, turn.holders[0], left[0] if left else None)

    def _window(self, level: int) -> int:
        parameters = self.parameters
        return parameters.merge_window_ticks if level else parameters.leaf_window_ticks

    def _record(self, event: ProofRecorded, tick: int) -> None:
        """A tree node is recorded; its parent opens with the second of two children."""
        place = (event.index.level, event.index.position)
        job = self.jobs.get(event.job)
        if job is None or place not in job.cells:
            return
        job.cells[place].claim = event.claim
        beside = job.cells.get((place[0], place[1] ^ 1))
        above = job.cells.get((place[0] + 1, place[1] >> 1))
        if beside is not None and above is not None and beside.claim is not None:
            for turn in above.turns:
                turn.opened = tick if turn.opened is None else turn.opened

    def follow(self, final: BlockFinal) -> Iterator[tuple[Event, Operation | None]]:
        """The events of a block in order, an outcome with its operation; each is taken after
        somebody had a look at it.
        """
        operations = (signed.operation for signed in final.block.operations)
        for event in final.applied.events:
            is_outcome = isinstance(event, OperationAccepted | OperationRefused)
            operation = next(operations, None) if is_outcome else None
            yield event, operation
            self._take(event, operation, final)

    def _take(self, event: Event, operation: Operation | None, final: BlockFinal) -> None:
        match event:
            case ProofRecorded() if not self._is_drawn(event, final):
                self._record(event, final.applied.tick)
            case OperationAccepted() if operation is not None:
                payload = operation.payload
                if isinstance(payload, ProofRecord):
                    self._fresh.add((payload.job, payload.index, operation.sender))
            case JobOpened() if any(event.header.seed):  # a backup has none, and nothing is dealt
                self.jobs[event.job] = self._open(event, final.applied.tick)
            case JobSettled(job) | JobVoided(job):
                self.jobs.pop(job, None)
                self._ordered = {one for one in self._ordered if one[0] != job}

    def end_block(self) -> None:
        """What was ordered in this block is drawn from in the next."""
        self._ordered |= self._fresh
        self._fresh = set()

    def _open(self, event: JobOpened, tick: int) -> OpenJob:
        seed, leaves = event.header.seed, len(event.header.content.leaves)
        given = dealt(seed, leaves, event.pool, self.parameters.provers_per_node)
        cells = {
            place: Cell(
                owners,
                tuple(successors(seed, leaves, given, place)),
                [Turn(owners, None if place[0] else tick)],
            )
            for place, owners in given.items()
        }
        return OpenJob(cells)


def _is_final(opened: int | None, settled: int) -> bool:
    return opened is not None and opened <= settled


def _is_late(turn: Turn, tick: int) -> bool:
    return turn.closes is not None and tick > turn.closes


def _event(kind: type, job: bytes, place: tuple[int, int], *fields: object) -> Event:
    event: Event = kind(job, TreeIndex(Count(place[0]), Count(place[1])), *fields)
    return event


class RightsChecker(LogChecker):
    """Compares what a log does with what its rights are; under another rule it says nothing."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        is_elected = scene.genesis.proving.name == "elected"
        self._reading = RightsReading(scene.genesis) if is_elected else None

    def read(self, final: BlockFinal) -> Iterator[str]:
        """Work out what has to be, and compare."""
        reading, tick = self._reading, final.applied.tick
        if reading is None:
            return
        yield from self.on_time(*reading.pass_time(final))
        for event, operation in reading.follow(final):
            yield from self.on_event(reading, event, tick)
            if operation is not None and isinstance(event, OperationAccepted):
                yield from self.on_accepted(reading, operation, tick)
        reading.end_block()

    def on_time(self, due: list[Event], told: list[Event]) -> Iterator[str]:
        """What time had to bring about, and what a node says that it did."""
        del due, told
        yield from ()

    def on_event(self, reading: RightsReading, event: Event, tick: int) -> Iterator[str]:
        """An event, before the reading takes it."""
        del reading, event, tick
        yield from ()

    def on_accepted(self, reading: RightsReading, operation: Operation, tick: int) -> Iterator[str]:
        """An operation that took effect."""
        del reading, operation, tick
        yield from ()

"""Puts together what the final log told of each job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from scripts.report.path import RootRight, way_to_root
from scripts.report.records import Line, Records, fields_of
from scripts.report.values import (
    Attempt,
    BlockStory,
    Ending,
    Note,
    Outcome,
    Paid,
    PlaceStory,
    Record,
    Turn,
)

_BALANCE: Final = "BALANCE"


@dataclass(slots=True)
class _Turn:
    holder: str | None
    since: Line
    is_inherited: bool = False
    opened: Line | None = None
    closes: int | None = None
    missed: str | None = None


@dataclass(slots=True)
class _Place:
    assigned: list[str] = field(default_factory=list)
    turns: list[_Turn] = field(default_factory=list)
    record: Line | None = None
    paid: list[Paid] = field(default_factory=list)
    notes: list[Line] = field(default_factory=list)

    def turn_of(self, holder: str | None, line: Line) -> _Turn:
        """The holder's latest turn; begins one when it has none."""
        for turn in reversed(self.turns):
            if turn.holder == holder:
                return turn
        self.turns.append(_Turn(holder, line))
        return self.turns[-1]


@dataclass(slots=True)
class _Job:
    number: int
    opened: Line
    places: dict[tuple[int, int], _Place]
    proven: Line | None = None
    closed: Line | None = None
    backup: Line | None = None
    notes: list[Line] = field(default_factory=list)

    def take(self, line: Line) -> None:
        """Note an event of the job."""
        place = self.places.get(tuple(line["index"])) if "index" in line else None
        match line["kind"]:
            case "JobProven":
                self.proven = line
            case "JobSettled" | "JobVoided":
                self.closed = line
            case "BackupTaken":
                self.backup = line
            case _ if place is None:
                self.notes.append(line)
            case _:
                _take(place, line)


def _take(place: _Place, line: Line) -> None:
    match line["kind"]:
        case "Assigned":
            if line["prover"] is not None:
                place.assigned.append(line["prover"])
            place.turn_of(line["prover"], line)
        case "RightOpened":
            place.turn_of(line["holder"], line).opened = line
        case "WindowStarted":
            place.turn_of(line["holder"], line).closes = int(line["closes"])
        case "RightMissed":
            missed = "failed" if line["failed"] else "declined"
            place.turn_of(line["holder"], line).missed = missed
        case "TakenOver":
            place.turns.append(_Turn(line["heir"], line, is_inherited=True))
        case "ProofRecorded":
            place.record = line
        case _:
            place.notes.append(line)


def blocks_of(records: Records, attempts: Iterable[Attempt]) -> tuple[BlockStory, ...]:
    """All jobs in the order of opening."""
    jobs: dict[str, _Job] = {}
    for line in records.story:
        if line["kind"] == "JobOpened":
            leaves = len(line["header"]["content"]["leaves"])
            jobs[line["job"]] = _Job(len(jobs) + 1, line, dict(_places(leaves)))
        job = jobs.get(line.get("job") or "")
        if line["kind"] == "Moved":
            if job is not None and line["place"] is not None:
                job.places[tuple(line["place"])].paid.append(_paid(records, line))
        elif job is not None and line["kind"] != "JobOpened":
            job.take(line)
    by_place: dict[tuple[str, int, int], list[Attempt]] = {}
    for one in attempts:
        by_place.setdefault((one.job, *one.place), []).append(one)
    numbers = {name: job.number for name, job in jobs.items()}
    return tuple(_block(records, job, by_place, numbers) for job in jobs.values())


def _places(leaves: int) -> Iterator[tuple[tuple[int, int], _Place]]:
    for level in range(leaves.bit_length()):
        for position in range(leaves >> level):
            yield (level, position), _Place()


def _paid(records: Records, line: Line) -> Paid:
    target = line["target"]
    is_account = target["kind"] == _BALANCE
    to = records.name(target["owner"]) if is_account else target["kind"].lower().replace("_", " ")
    return Paid(to, line["cause"], int(line["amount"]))


def _block(
    records: Records,
    job: _Job,
    attempts: dict[tuple[str, int, int], list[Attempt]],
    numbers: dict[str, int],
) -> BlockStory:
    opened = job.opened
    header, name = opened["header"], opened["job"]
    opened_ms = _seen(records, opened)
    end_ms = records.end_ms if job.closed is None else _seen(records, job.closed)
    places = {
        place: _place(records, job, place, attempts.get((name, *place), []), end_ms)
        for place in job.places
    }
    root = job.places[max(job.places)]
    leaves = header["content"]["leaves"]
    because = None if job.closed is None else job.closed.get("because")
    ends = {None: "open", "JobSettled": "settled", "JobVoided": "void"}
    return BlockStory(
        number=job.number,
        job=name,
        sequencer=records.name(header["sequencer"]),
        leaves=len(leaves),
        fees=sum(int(one["fees"]) for one in leaves),
        fee_split=int(header["fee_split"]),
        opened_tick=int(opened["tick"]),
        opened_ms=opened_ms,
        proven_ms=None if job.proven is None else _seen(records, job.proven),
        end=ends[None if job.closed is None else job.closed["kind"]],
        end_tick=None if job.closed is None else int(job.closed["tick"]),
        end_ms=end_ms,
        because=None if because is None else numbers.get(because, 0),
        backup=None if job.backup is None else records.name(job.backup["prover"]),
        places=tuple(places.values()),
        way=way_to_root(places, opened_ms, _root_right(records, root)),
        notes=tuple(note_of(records, line) for line in job.notes),
    )


def _root_right(records: Records, root: _Place) -> RootRight:
    """The first right by which the recorded prover could deliver."""
    prover = None if root.record is None else root.record["prover"]
    opened = [
        turn.opened
        for turn in root.turns
        if turn.opened is not None and turn.holder in (prover, None)
    ]
    if not opened:
        return RootRight(None, None)
    first = min(opened, key=lambda line: int(line["tick"]))
    return RootRight(
        records.ordered_ms(int(first["tick"])), records.ordered_ms(int(first["admissible"]))
    )


def _place(
    records: Records, job: _Job, place: tuple[int, int], attempts: list[Attempt], end_ms: int
) -> PlaceStory:
    found = job.places[place]
    record, until_ms = None, end_ms
    if found.record is not None:
        until_ms = _decided(records, found.record)
        tick = int(found.record["tick"])
        prover, final_ms = records.name(found.record["prover"]), _seen(records, found.record)
        record = Record(prover, tick, records.ordered_ms(tick), final_ms)
    level, position = place
    upper = "root" if place == max(job.places) else f"merge {level}:{position}"
    return PlaceStory(
        level=level,
        position=position,
        name=upper if level else f"leaf {position}",
        assigned=tuple(records.name(one) for one in found.assigned),
        turns=tuple(_turns(records, found, until_ms)),
        attempts=_marked(attempts, record),
        record=record,
        outcome=_outcome(found) if job.backup is None else Outcome.BACKUP,
        paid=tuple(found.paid),
        notes=tuple(note_of(records, line) for line in found.notes),
    )


def _turns(records: Records, place: _Place, end_ms: int) -> Iterator[Turn]:
    """Until a turn ends: by the next one, or by the record."""
    for number, turn in enumerate(place.turns):
        after = next((one for one in place.turns[number + 1 :] if one.is_inherited), None)
        opened = turn.opened
        admissible = None if opened is None else int(opened["admissible"])
        yield Turn(
            holder=None if turn.holder is None else records.name(turn.holder),
            is_inherited=turn.is_inherited,
            since_ms=_decided(records, turn.since),
            since_known_ms=_seen(records, turn.since),
            opened_ms=None if opened is None else _decided(records, opened),
            known_ms=None if opened is None else _seen(records, opened),
            opened_tick=None if opened is None else int(opened["tick"]),
            admissible_tick=admissible,
            admissible_ms=records.decided_ms(admissible),
            closes_tick=turn.closes,
            closes_ms=records.decided_ms(turn.closes),
            missed=turn.missed,
            until_ms=end_ms if after is None else min(end_ms, _decided(records, after.since)),
        )


def _marked(attempts: list[Attempt], record: Record | None) -> tuple[Attempt, ...]:
    """The attempts; the recorded prover's last one that ended before the record is marked."""
    finished = [
        number
        for number, one in enumerate(attempts)
        if record is not None
        and one.node == record.prover
        and one.ending is Ending.FINISHED
        and one.end_ms <= record.final_ms
    ]
    marked: list[Attempt] = list(attempts)
    if finished:
        marked[finished[-1]] = replace(marked[finished[-1]], is_recorded=True)
    return tuple(marked)


def _outcome(place: _Place) -> Outcome:
    if place.record is None:
        is_missed = any(turn.missed is not None for turn in place.turns)
        return Outcome.MISSED if is_missed else Outcome.WAITING
    prover = place.record["prover"]
    if prover in place.assigned:
        failed = any(turn.missed and turn.holder == prover for turn in place.turns)
        return Outcome.LATE if failed else Outcome.OWN
    held = any(turn.holder == prover for turn in place.turns)
    return Outcome.TAKEOVER if held else Outcome.OPEN


def _decided(records: Records, line: Line) -> int:
    """When the slot of a final event's log block began."""
    at_ms = records.decided_ms(int(line["tick"]))
    assert at_ms is not None, "a told tick was final"
    return at_ms


def _seen(records: Records, line: Line) -> int:
    """When the log block of a final event was final."""
    return records.final_ms[int(line["tick"])]


def note_of(records: Records, line: Line) -> Note:
    """A final event by its name and fields."""
    told: tuple[tuple[str, Any], ...] = tuple(fields_of(records, line))
    return Note(int(line["tick"]), _seen(records, line), line["kind"], told)

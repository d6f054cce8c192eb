"""Minimal time: being faster earns nothing, because it does not count."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.events import Event, RightOpened
from protocol.messages import Operation, ProofRecord, UncleClaim
from scripts.simulation.checkers.reading import name_of
from scripts.simulation.checkers.rights_reading import RightsChecker, RightsReading


class MinimalTime(RightsChecker):
    """No record or claim takes effect before the minimal time of its level has passed since the
    oldest right opened that its sender may use; nobody is told of a shorter time.
    """

    name = "minimal time"

    def on_event(self, reading: RightsReading, event: Event, tick: int) -> Iterator[str]:
        """Compare what is told of an opening."""
        if not isinstance(event, RightOpened):
            return
        least = tick + reading.least_ticks(event.index.level)
        if event.admissible < least:
            place = (event.job, event.index.level, event.index.position)
            yield f"{name_of(place)} is told to count from {event.admissible}, not from {least}"

    def on_accepted(self, reading: RightsReading, operation: Operation, tick: int) -> Iterator[str]:
        """Compare a record's height with the opening."""
        payload = operation.payload
        record = payload.record if isinstance(payload, UncleClaim) else payload
        if not isinstance(record, ProofRecord):
            return
        place = (record.job, record.index.level, record.index.position)
        cell = reading.cell(place)
        opened = None if cell is None else cell.open_since(operation.sender)
        if cell is None or (opened is None and isinstance(payload, UncleClaim)):
            return
        if opened is None:
            yield f"a record of {name_of(place)} took effect before it was open"
        elif tick < opened + reading.least_ticks(place[1]):
            yield f"a record of {name_of(place)} took effect {tick - opened} ticks after it opened"

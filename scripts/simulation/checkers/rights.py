"""Rights respected: recorded is whose the right was, once, and on what is recorded below."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.events import Assigned, Event, ProofRecorded
from protocol.messages import Operation, ProofRecord
from scripts.simulation.checkers.reading import Place, name_of
from scripts.simulation.checkers.rights_reading import RightsChecker, RightsReading


class Rights(RightsChecker):
    """A tree node belongs to whom the deal gives it; a record takes effect only of an account that
    has, or had, the right to it, or when anybody may; it builds on the claims that are recorded for
    its children; and the first recorded proof of a tree node is the last one.
    """

    name = "rights"

    def on_event(self, reading: RightsReading, event: Event, tick: int) -> Iterator[str]:
        """Compare owners and records."""
        del tick
        if not isinstance(event, Assigned | ProofRecorded):
            return
        place = (event.job, event.index.level, event.index.position)
        cell = reading.cell(place)
        who = "anybody" if event.prover is None else event.prover.hex()[:8]
        if cell is None:
            yield f"{who} has {name_of(place)}, which there is not"
        elif isinstance(event, Assigned):
            if event.prover not in (cell.owners or (None,)):
                yield f"{name_of(place)} was given to {who}, and the deal gives it to another"
        elif cell.claim is not None and cell.claim != event.claim:
            yield f"{name_of(place)} was recorded twice"
        elif not cell.may(event.prover):
            yield f"{name_of(place)} was recorded by {who}, which has no right to it"

    def on_accepted(self, reading: RightsReading, operation: Operation, tick: int) -> Iterator[str]:
        """Compare a record with what it has to build on."""
        del tick
        record, who = operation.payload, operation.sender.hex()[:8]
        if not isinstance(record, ProofRecord):
            return
        place = (record.job, record.index.level, record.index.position)
        cell = reading.cell(place)
        if cell is None:
            yield f"a record of {who} took effect for {name_of(place)}, which there is not"
            return
        if not cell.may(operation.sender):
            yield f"a record of {who} took effect for {name_of(place)} without a right"
        if record.children != _claims_below(reading, place):
            yield f"a record of {name_of(place)} does not build on its recorded children"


def _claims_below(reading: RightsReading, place: Place) -> tuple[bytes | None, ...] | None:
    job, level, position = place
    if level == 0:
        return None
    children = [reading.cell((job, level - 1, 2 * position + side)) for side in (0, 1)]
    return tuple(None if child is None else child.claim for child in children)

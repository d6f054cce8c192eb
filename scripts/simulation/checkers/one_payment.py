"""One payment: the recorded proof of a tree node is paid for once."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.events import JobSettled, JobVoided
from protocol.happenings import BlockFinal
from protocol.ledger import Cause, Moved
from scripts.simulation.checkers.checker import Scene
from scripts.simulation.checkers.reading import PAYS, LogChecker, Place, name_of

_BESIDE = (Cause.CO_PAY, Cause.VOID_PAY)


class OnePayment(LogChecker):
    """Of each tree node the primary payment is made once, any other once to each account, and
    nothing is paid for a block that was closed before.
    """

    name = "one payment"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._paid: set[Place] = set()
        self._paid_beside: set[tuple[Place, Cause, bytes]] = set()
        self._closed: set[bytes] = set()

    def read(self, final: BlockFinal) -> Iterator[str]:
        """Take note of each payment."""
        for event in final.applied.events:
            if isinstance(event, JobSettled | JobVoided):
                self._closed.add(event.job)
            if not isinstance(event, Moved) or event.cause not in (*PAYS, *_BESIDE):
                continue
            if event.job is None or event.place is None:
                yield f"{event.cause.name} of {event.amount} names no tree node"
                continue
            place = (event.job, event.place.level, event.place.position)
            if event.job in self._closed:
                yield f"{name_of(place)} was paid for after its job was closed"
            if event.cause in PAYS:
                if place in self._paid:
                    yield f"{name_of(place)} was paid for twice"
                self._paid.add(place)
                continue
            beside = (place, event.cause, event.target.owner)
            if beside in self._paid_beside:
                yield f"{name_of(place)}: {event.cause.name} went twice to one account"
            self._paid_beside.add(beside)

"""Refusals: what is not taken is refused by a named reason, and what is taken counts once."""

from __future__ import annotations

from collections.abc import Iterator

from p2p.observing import MessageRefused
from protocol.errors import Reason
from protocol.events import OperationAccepted, OperationRefused
from protocol.happenings import BlockFinal
from protocol.messages import Operation
from scripts.simulation.checkers.checker import Scene, Violation
from scripts.simulation.checkers.reading import LogChecker
from scripts.simulation.happenings import Event


class Refusals(LogChecker):
    """Every operation of a final block has one outcome, told in its place; a refusal has a reason
    with a sentence, as every refusal of a message has; no operation takes effect a second time.
    """

    name = "refusals"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._reasons = {one.name for one in Reason if one.value}
        self._counted: set[Operation] = set()

    def on(self, at_ms: int, node: str, event: Event) -> Iterator[Violation]:
        """Look at messages that a node refused, and at the log."""
        if isinstance(event, MessageRefused) and node not in self.scene.cheats:
            reason = getattr(event.reason, "name", "")
            if reason not in self._reasons:
                yield self.found(at_ms, node, f"it refused a {event.message} and does not say why")
        yield from super().on(at_ms, node, event)

    def read(self, final: BlockFinal) -> Iterator[str]:
        """Compare operations and outcomes."""
        told = [
            one
            for one in final.applied.events
            if isinstance(one, OperationAccepted | OperationRefused)
        ]
        operations = [signed.operation for signed in final.block.operations]
        if len(told) != len(operations):
            yield f"{len(operations)} operations were ordered, and {len(told)} had an outcome"
        for operation, outcome in zip(operations, told, strict=False):
            kind = type(operation.payload).__name__
            if (outcome.sender, outcome.payload) != (operation.sender, kind):
                yield f"the outcome of another operation was told than of a {kind}"
            if isinstance(outcome, OperationRefused):
                if outcome.reason not in self._reasons:
                    yield f"a {kind} was refused for no reason that there is: {outcome.reason!r}"
                continue
            if operation in self._counted:
                yield f"a {kind} of {operation.sender.hex()[:8]} took effect twice"
            self._counted.add(operation)

"""Equal digests: the same log leads to the same state."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.happenings import BlockFinal, Halted
from scripts.simulation.checkers.checker import Checker, Scene, Violation
from scripts.simulation.happenings import Event


class EqualDigests(Checker):
    """Every two nodes have the same state and told the same events after the same height."""

    name = "equal digests"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._after: dict[int, tuple[str, bytes, tuple[object, ...]]] = {}

    def on(self, at_ms: int, node: str, event: Event) -> Iterator[Violation]:
        """Compare what a block did with what it did first."""
        if node in self.scene.cheats:
            return
        if isinstance(event, Halted):
            yield self.found(at_ms, node, f"it stops voting: {event.sentence}")
        if not isinstance(event, BlockFinal):
            return
        applied = event.applied
        first, digest, events = self._after.setdefault(
            applied.tick, (node, applied.digest, applied.events)
        )
        if digest != applied.digest:
            yield self.found(
                at_ms,
                node,
                f"after height {applied.tick} its state is another than that of {first}",
            )
        elif events != applied.events:
            yield self.found(
                at_ms, node, f"height {applied.tick} did something else there than at {first}"
            )

"""Liveness after healing: a network that nothing is wrong with any more finishes its work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from protocol.events import JobSettled
from protocol.happenings import BlockFinal
from scripts.simulation.checkers.checker import Checker, Final, Scene, Violation
from scripts.simulation.happenings import Born, Event, Healed


class Liveness(Checker):
    """In the end every node that keeps the rules has settled all blocks that were asked for, and
    one more than anybody had when the network was healed.
    """

    name = "liveness"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._settled: Counter[str] = Counter()
        self._heights: dict[str, int] = {}
        self._healed_ms: int | None = None
        self._wanted = scene.blocks

    def on(self, at_ms: int, node: str, event: Event) -> Iterator[Violation]:
        """Count what is settled, each height of a node once."""
        if isinstance(event, Healed):
            self._healed_ms = at_ms
            self._wanted = max(self.scene.blocks, max(self._settled.values(), default=0) + 1)
        if isinstance(event, Born):
            self._heights.setdefault(node, 0)
        if isinstance(event, BlockFinal) and event.applied.tick > self._heights.get(node, 0):
            self._heights[node] = event.applied.tick
            self._settled[node] += sum(isinstance(one, JobSettled) for one in event.applied.events)
        yield from ()

    def at_end(self, at_ms: int, finals: tuple[Final, ...]) -> Iterator[Violation]:
        """Compare with what was asked for."""
        if not self.scene.must_finish:
            return
        if self._healed_ms is None:
            yield self.found(at_ms, "", "the network was never healed")
            return
        for final in finals:
            settled = self._settled[final.node]
            if final.node in self.scene.cheats or settled >= self._wanted:
                continue
            after_s = (at_ms - self._healed_ms) // 1000
            sentence = (
                f"{settled} of {self._wanted} blocks settled {after_s} s after healing, "
                f"at height {self._heights.get(final.node, 0)}"
            )
            yield self.found(at_ms, final.node, sentence)

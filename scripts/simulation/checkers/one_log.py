"""One log: whatever is final anywhere is final everywhere, in the same place."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.happenings import BlockFinal
from scripts.simulation.checkers.checker import Checker, Scene, Violation
from scripts.simulation.happenings import Born, Event


class OneLog(Checker):
    """Every two nodes finalise the same block at a height, and no node leaves one out."""

    name = "one log"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._blocks: dict[int, tuple[str, object]] = {}
        self._heights: dict[str, int] = {}

    def on(self, at_ms: int, node: str, event: Event) -> Iterator[Violation]:
        """Compare each block with whoever was first at its height."""
        if isinstance(event, Born):
            self._heights.pop(node, None)
        if not isinstance(event, BlockFinal) or node in self.scene.cheats:
            return
        header = event.block.header
        before = self._heights.get(node)
        if before is not None and header.height != before + 1:
            yield self.found(
                at_ms, node, f"height {header.height} became final after height {before}"
            )
        self._heights[node] = header.height
        first, block = self._blocks.setdefault(header.height, (node, header))
        if block != header:
            yield self.found(
                at_ms, node, f"another block is final at height {header.height} than at {first}"
            )

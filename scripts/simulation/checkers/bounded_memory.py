"""Memory bounded: no table of a node grows with the length of its life."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.events import JobOpened, JobSettled, JobVoided
from protocol.happenings import BlockFinal
from scripts.simulation.checkers.checker import Checker, Scene, Violation
from scripts.simulation.happenings import Event, Measured

SPARE = 64
"""Entries that any table may have."""

PER_ACCOUNT = 8
"""Entries for each account of the genesis."""

LIFE_EPOCHS = 3
"""For so many epochs after its end a job may be remembered."""


class BoundedMemory(Checker):
    """A table that says how many entries it may have keeps to that. Any other has no more than so
    many for each account, and one for each tree node of jobs that are open or ended lately.
    """

    name = "bounded memory"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._life_ticks = LIFE_EPOCHS * scene.genesis.network.epoch_ticks
        self._fixed = SPARE + PER_ACCOUNT * len(scene.genesis.accounts)
        self._sizes: dict[bytes, int] = {}
        self._ended: dict[bytes, int] = {}
        self._height = 0

    def on(self, at_ms: int, node: str, event: Event) -> Iterator[Violation]:
        """Compare what a node has with what it may have."""
        if isinstance(event, BlockFinal) and event.applied.tick > self._height:
            self._read(event)
        if not isinstance(event, Measured) or node in self.scene.cheats:
            return
        bound = self._fixed + sum(self._sizes.values())
        for name, length, most in event.sizes:
            if length > (bound if most is None else most):
                sentence = f"{name} has {length} entries, of {most or bound} at most"
                yield self.found(at_ms, node, sentence)

    def _read(self, final: BlockFinal) -> None:
        self._height = final.applied.tick
        for event in final.applied.events:
            if isinstance(event, JobOpened):
                self._sizes[event.job] = 2 * len(event.header.content.leaves)
            elif isinstance(event, JobSettled | JobVoided):
                self._ended[event.job] = self._height
        for job, tick in tuple(self._ended.items()):
            if tick + self._life_ticks < self._height:
                del self._ended[job]
                self._sizes.pop(job, None)

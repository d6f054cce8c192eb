"""A modelled worker without a process, for simulations in virtual time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import trio

from prover.modelled import ModelledBackend
from prover.pipe import Finished
from prover.process import NoProof
from prover.tasks import ProvingTask


class VirtualWorker:
    """Waits the declared time on trio's clock, then attests.

    Under a virtual clock this takes no time at all, and a run is as deterministic as its scheduler.
    """

    def __init__(self, backend: ModelledBackend) -> None:
        self._backend = backend

    @classmethod
    async def start(cls, backend: ModelledBackend) -> VirtualWorker:
        """A worker, at once."""
        await trio.lowlevel.checkpoint()
        return cls(backend)

    @property
    def process_id(self) -> int:
        """Of this very process."""
        return os.getpid()

    @property
    def is_alive(self) -> bool:
        """Always: there is nothing to kill."""
        return True

    async def prove(self, task: ProvingTask, threads: int, begun: Callable[[], None]) -> Finished:
        """Attest after the declared time, divided by the threads. Raises :class:`NoProof`."""
        begun()
        cpu_ms = self._backend.declared_ms(task)
        wall_ms = self.wall_ms(task, threads)
        await trio.sleep(wall_ms / 1000)
        try:
            proof = self._backend.attest(task)
        except ValueError as failure:
            raise NoProof(str(failure)) from None
        return Finished(proof, wall_ms, cpu_ms, 0)

    def wall_ms(self, task: ProvingTask, threads: int) -> int:
        """How long it takes for a task, in milliseconds: the declared time among the threads."""
        return math.ceil(self._backend.declared_ms(task) / threads)

    async def end(self) -> str:
        """Nothing to do."""
        return "ended"

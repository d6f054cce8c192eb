"""On what simulated nodes run: a declared population of machines, and workers of one of them.

**The model.** A machine has cores, a speed beside the nominal one, a jitter, and workers that die
now and then. A proof takes its nominal time of one core, divided by threads and speed, plus an even
share of the jitter; in a proof of a machine whose workers die, each has the same chance to die,
anywhere in the work. The pool around the workers is that of a real node: it tries once more.

**What it is not.** Measured: the times of real proofs are in ``provnet bench``. It is declared, and
told with each run, so that what follows from it can be repeated.
"""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from prover.modelled import ModelledBackend
from prover.pipe import Finished
from prover.pool import Pool, PoolSettings
from prover.process import Worker, WorkerDied
from prover.tasks import ProvingTask
from prover.virtual import VirtualWorker

FULL: Final = 100
"""All of something, in per cent."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One kind of machine.

    :ivar weight: how common it is, beside the others.
    :ivar speed_percent: of the nominal speed of a core.
    :ivar jitter_percent: a proof takes up to so much longer.
    :ivar death_percent: of proofs, in which the worker dies.
    """

    name: str
    weight: int
    cores: int
    speed_percent: int
    jitter_percent: int
    death_percent: int


POPULATION: Final = (
    Machine("server", 4, 8, 100, 5, 0),
    Machine("desktop", 4, 4, 120, 15, 1),
    Machine("laptop", 2, 2, 80, 40, 2),
    Machine("old laptop", 1, 1, 50, 60, 5),
)
"""Who runs provers, unless somebody says otherwise."""


def drawn_machine(lots: random.Random, population: tuple[Machine, ...] = POPULATION) -> Machine:
    """A machine by lot."""
    return lots.choices(population, [one.weight for one in population])[0]


class SimulatedWorker(VirtualWorker):
    """A worker of one machine."""

    def __init__(self, backend: ModelledBackend, machine: Machine, lots: random.Random) -> None:
        super().__init__(backend)
        self._machine = machine
        self._lots = lots

    def wall_ms(self, task: ProvingTask, threads: int) -> int:
        """How long this machine takes for a task, this time."""
        stretch = 1 + self._lots.random() * self._machine.jitter_percent / FULL
        usual_ms = super().wall_ms(task, threads)
        return math.ceil(usual_ms * stretch * FULL / self._machine.speed_percent)

    async def prove(self, task: ProvingTask, threads: int, begun: Callable[[], None]) -> Finished:
        """Attest after the time that the machine takes. Raises NoProof and WorkerDied."""
        if self._lots.random() * FULL < self._machine.death_percent:
            begun()
            await trio.sleep(self._lots.random() * self.wall_ms(task, threads) / 1000)
            raise WorkerDied("the modelled machine fails")
        return await super().prove(task, threads, begun)


@asynccontextmanager
async def open_simulated_pool(
    backend: ModelledBackend, machine: Machine, lots: random.Random
) -> AsyncIterator[Pool]:
    """A pool of one worker of a machine."""

    async def start() -> Worker:
        await trio.lowlevel.checkpoint()
        return SimulatedWorker(backend, machine, lots)

    settings = PoolSettings(workers=1, cores=machine.cores)
    pool = Pool(start, settings.worker_limit(0), settings, lambda _: None)
    try:
        yield pool
    finally:
        await pool.close()

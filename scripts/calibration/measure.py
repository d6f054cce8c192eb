"""Times and memory of real proofs on this machine, within budgets.

Rules. One block of four leaves is proven, round after round, in workers as a node has them: spawned
and niced. A round starts one more worker and ends it; proves two leaves and the merge above them on
one thread, then the two other leaves and their merge on all budgeted cores; and has every worker
that the budgets allow prove a leaf at the same time, on its even share of the cores. What counts is
the median over all rounds; what is told beside it is the worst deviation.

What follows: *workers* are as many as cores and memory hold, each at the memory that the backend
reserves for one, as the pool counts. Proofs get slower when all workers are busy: by ``leaf_busy``
over what a leaf takes alone on as many threads. Merges are taken to slow down in proportion.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from protocol import tree
from protocol.types import Count, TreeIndex
from prover.backend import Plonky2Backend
from prover.forecast import Capacity, Times
from prover.modelled import ModelledBackend
from prover.pipe import Finished
from prover.pool import PoolSettings
from prover.process import WorkerProcess
from scripts.benchmarks.figures import Spread
from scripts.benchmarks.prover import LEAVES, sample_block, sample_task


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured; times in milliseconds.

    :ivar workers: as many as the budgets hold.
    :ivar worker_mib: what is reserved for each.
    :ivar peak_mib: most memory that any worker had meanwhile; it grows a little with more proofs.
    :ivar load: of the machine before, in tasks that wanted a core.
    """

    cores: int
    memory_mib: int
    workers: int
    worker_mib: int
    rounds: int
    load: float
    leaf_one: Spread
    leaf_cores: Spread
    leaf_busy: Spread
    merge_one: Spread
    merge_cores: Spread
    start: Spread
    peak_mib: int

    @property
    def share(self) -> int:
        """Threads of a proof while all workers are busy."""
        return self.cores // self.workers

    @property
    def busy_percent(self) -> int:
        """How much longer a proof takes while all workers are busy: 100 is no longer."""
        alone = self._times(self.leaf_one, self.leaf_cores).ms(self.share)
        return max(100, round(100 * self.leaf_busy.median / alone))

    @property
    def capacity(self) -> Capacity:
        """What the machine can do: on one thread with others beside it, on all cores alone."""
        percent = self.busy_percent if self.share == 1 else 100
        leaf, merge = (
            self._times(one, cores, percent)
            for one, cores in (
                (self.leaf_one, self.leaf_cores),
                (self.merge_one, self.merge_cores),
            )
        )
        return Capacity(Count(self.cores), Count(self.workers), leaf, merge)

    def a_minute(self, alone_ms: int) -> float:
        """Proofs a minute of all workers, of a kind that takes one of them so long alone."""
        return 60_000 * self.workers / (alone_ms * self.busy_percent / 100)

    @property
    def leaves_a_minute(self) -> float:
        """With nothing else to prove."""
        return self.a_minute(self._times(self.leaf_one, self.leaf_cores).ms(self.share))

    @property
    def merges_a_minute(self) -> float:
        """With nothing else to prove."""
        return self.a_minute(self._times(self.merge_one, self.merge_cores).ms(self.share))

    @property
    def deviation_percent(self) -> int:
        """Farthest that any time was from its median."""
        spreads = (
            self.leaf_one,
            self.leaf_cores,
            self.leaf_busy,
            self.merge_one,
            self.merge_cores,
        )
        return round(max(map(_deviation_percent, spreads)))

    def _times(self, one: Spread, cores: Spread, percent: int = 100) -> Times:
        alone_ms = round(one.median * percent / 100)
        if self.cores == 1:
            return Times.of({1: alone_ms})
        return Times.of({1: alone_ms, self.cores: round(cores.median)})


def _deviation_percent(spread: Spread) -> float:
    return 100 * max(spread.high - spread.median, spread.median - spread.low) / spread.median


@dataclass(slots=True)
class _Taken:
    """Milliseconds by what took them."""

    leaf_one: list[float] = field(default_factory=list)
    leaf_cores: list[float] = field(default_factory=list)
    leaf_busy: list[float] = field(default_factory=list)
    merge_one: list[float] = field(default_factory=list)
    merge_cores: list[float] = field(default_factory=list)
    start: list[float] = field(default_factory=list)
    peak_mib: int = 0


def calibrate(
    backend: Plonky2Backend | ModelledBackend,
    cores: int,
    memory_mib: int,
    rounds: int,
    tell: Callable[[str], None],
) -> Calibration:
    """Measure; some twenty proofs a round at most.

    :param rounds: at least one.
    :raises ValueError: when the budgets hold no worker.
    :raises NoProof: when a worker cannot prove.
    :raises WorkerDied: when a worker ended.
    """
    workers = PoolSettings(cores, cores, memory_mib).worker_limit(backend.worker_mib)
    load = os.getloadavg()[0]
    bench = _Bench(backend, cores, workers)
    taken = trio.run(bench.run, rounds, tell)
    return Calibration(
        cores=cores,
        memory_mib=memory_mib,
        workers=workers,
        worker_mib=backend.worker_mib,
        rounds=rounds,
        load=load,
        leaf_one=Spread.of(taken.leaf_one),
        leaf_cores=Spread.of(taken.leaf_cores),
        leaf_busy=Spread.of(taken.leaf_busy),
        merge_one=Spread.of(taken.merge_one),
        merge_cores=Spread.of(taken.merge_cores),
        start=Spread.of(taken.start),
        peak_mib=taken.peak_mib,
    )


class _Bench:
    def __init__(self, backend: Plonky2Backend | ModelledBackend, cores: int, workers: int) -> None:
        self._backend, self._cores, self._workers = backend, cores, workers
        self._block = sample_block(backend)
        self._taken = _Taken()

    async def run(self, rounds: int, tell: Callable[[str], None]) -> _Taken:
        staff: list[WorkerProcess] = []
        try:
            for _ in range(self._workers):
                staff.append(await WorkerProcess.start(self._backend))  # noqa: PERF401 -- to end
            for number in range(rounds):
                tell(f"round {number + 1} of {rounds}")
                await self._round(staff)
        finally:
            for worker in staff:
                await worker.end()
        return self._taken

    async def _round(self, staff: list[WorkerProcess]) -> None:
        taken, first = self._taken, staff[0]
        before = time.perf_counter()
        extra = await WorkerProcess.start(self._backend)
        taken.start.append(1000 * (time.perf_counter() - before))
        await extra.end()
        await self._subtree(first, 0, 1, taken.leaf_one, taken.merge_one)
        await self._subtree(first, 1, self._cores, taken.leaf_cores, taken.merge_cores)

        async def busy(worker: WorkerProcess) -> None:
            leaf = TreeIndex(Count(0), Count(0))
            finished = await self._prove(worker, leaf, {}, self._cores // self._workers)
            taken.leaf_busy.append(max(1, finished.wall_ms))

        async with trio.open_nursery() as nursery:
            for worker in staff:
                nursery.start_soon(busy, worker)

    async def _subtree(
        self,
        worker: WorkerProcess,
        position: int,
        threads: int,
        leaves: list[float],
        merges: list[float],
    ) -> None:
        """A merge of the first level and the leaves below it."""
        assert 0 <= position < LEAVES // 2
        merge, proofs = TreeIndex(Count(1), Count(position)), dict[TreeIndex, bytes]()
        for index in (*tree.children(merge), merge):
            finished = await self._prove(worker, index, proofs, threads)
            proofs[index] = finished.proof
            (merges if index.level else leaves).append(max(1, finished.wall_ms))

    async def _prove(
        self,
        worker: WorkerProcess,
        index: TreeIndex,
        proofs: dict[TreeIndex, bytes],
        threads: int,
    ) -> Finished:
        task = sample_task(self._block, index, proofs)
        finished = await worker.prove(task, threads, lambda: None)
        self._taken.peak_mib = max(self._taken.peak_mib, finished.peak_mib)
        return finished

"""Proves tasks for a trio program in worker processes.

The problem: a proof takes every core it is given for seconds and cannot be interrupted, the node
around it must answer its peers within milliseconds, and most proofs begun are worth nothing once
somebody else's is recorded.

The rules:

- One task at a time per worker process; who is next and on how many threads says
  :mod:`prover.schedule`.
- Workers are started when first needed, load their circuits once, and stay. There are never more
  than the settings, the cores and the memory budget allow.
- The memory budget is kept by counting: a backend declares what one of its workers takes at most,
  as measured, and no worker is started that the budget does not hold. A limit on a worker's address
  space would not do: allocators and thread stacks reserve many times what they use, and hitting it
  looks like a broken prover.
- Giving up a proof, by cancelling :meth:`Pool.prove` or by its deadline, kills the worker: native
  code hears nothing else. The next task that needs one starts another.
- A worker that dies is replaced and its task tried once more; a second death, or a reason why there
  can be no proof, is the caller's :class:`ProvingFailed`. The pool goes on.
- The queue is bounded; a task that finds it full fails at once.

Properties: nothing here blocks the loop but the spawn itself, a few milliseconds; when
``open_pool`` is left, or its process ends in any way, no worker is left.

Example::

    backend = Plonky2Backend()
    async with open_pool(backend, PoolSettings(workers=2, cores=2)) as pool:
        proved = await pool.prove(task, deadline=trio.current_time() + 60)
"""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import trio

from prover.modelled import ModelledBackend
from prover.pipe import Finished
from prover.process import NoProof, Worker, WorkerDied, WorkerProcess
from prover.schedule import Schedule
from prover.tasks import LeafTask, ProvingTask, WorkerBackend
from prover.virtual import VirtualWorker


class ProvingFailed(Exception):
    """There is no proof and asking again will not help.

    :param reason: why, in a sentence.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class QueueFull(ProvingFailed):
    """As many tasks wait as may wait."""

    def __init__(self, queue_max: int) -> None:
        super().__init__(f"{queue_max} tasks wait already")


class PoolClosed(ProvingFailed):
    """The pool was left before the proof was there."""

    def __init__(self) -> None:
        super().__init__("the pool is closed")


class DeadlinePassed(ProvingFailed):
    """The deadline came before the proof."""

    def __init__(self) -> None:
        super().__init__("the deadline passed")


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """The budgets.

    :param workers: most processes, hence proofs at a time.
    :param cores: most threads of all proofs together.
    :param memory_mib: most memory of all processes together, in MiB.
    :param queue_max: most tasks that wait.
    :param sharers: pools that prove the same trees on this machine. Where a layer of the tree is
        wide enough to keep all of them busy, each takes its part of the cores; near the root, where
        few can work, a proof takes all.
    """

    workers: int = 1
    cores: int = field(default_factory=usable_cores)
    memory_mib: int = 4096
    queue_max: int = 1024
    sharers: int = 1

    def fair_threads(self, task: ProvingTask) -> int:
        """Most threads for a task while all sharers have work in its layer of the tree."""
        width = max(1, task.leaf_count >> task.index.level)
        return max(1, self.cores // min(self.sharers, width))

    def worker_limit(self, worker_mib: int) -> int:
        """Most workers that all budgets allow.

        :raises ValueError: when they allow none.
        """
        if min(self.workers, self.cores) < 1:
            raise ValueError("a pool needs at least one worker and one core")
        if self.memory_mib < worker_mib:
            raise ValueError(
                f"a memory budget of {self.memory_mib} MiB holds no worker of {worker_mib} MiB"
            )
        if worker_mib == 0:
            return min(self.workers, self.cores)
        return min(self.workers, self.cores, self.memory_mib // worker_mib)

    def shortage(self, worker_mib: int) -> str | None:
        """A sentence that says which budget allows fewer workers than are wanted, if one does.

        :raises ValueError: when none are allowed.
        """
        limit = self.worker_limit(worker_mib)
        if limit == self.workers:
            return None
        budget = (
            f"{self.cores} cores"
            if limit == self.cores
            else f"a memory budget of {self.memory_mib} MiB, at {worker_mib} MiB each"
        )
        return f"{limit} of {self.workers} workers, for want of more than {budget}"


@dataclass(frozen=True, slots=True)
class Proved:
    """A proof and what it took.

    :ivar wall_ms: time in the worker, in milliseconds; waiting for it not included.
    """

    proof: bytes = field(repr=False)
    wall_ms: int
    threads: int


@dataclass(frozen=True, slots=True)
class Begun:
    """A worker began to prove a task."""

    task: ProvingTask
    process_id: int
    threads: int


Observe: TypeAlias = Callable[[Begun], None]
"""Told of every beginning; must not block or raise."""


@dataclass(frozen=True, slots=True)
class KindStatistics:
    """Proofs of one kind and what they took together, in milliseconds."""

    proofs: int = 0
    wall_ms: int = 0
    cpu_ms: int = 0

    def plus(self, finished: Finished) -> KindStatistics:
        """With one more proof."""
        return KindStatistics(
            self.proofs + 1, self.wall_ms + finished.wall_ms, self.cpu_ms + finished.cpu_ms
        )


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """What the pool does and did.

    :ivar queued: tasks that wait.
    :ivar running: tasks that have threads.
    :ivar processes: ids of the workers that live, sorted.
    :ivar worker_limit: most workers that the budgets allow.
    :ivar started: workers started.
    :ivar crashed: workers that died by themselves.
    :ivar cancelled: workers killed because nobody wanted their proof any more.
    :ivar failed: tasks that have no proof for a reason that their worker gave.
    :ivar peak_mib: most memory that any worker ever had, in MiB.
    """

    queued: int
    running: int
    processes: tuple[int, ...]
    worker_limit: int
    started: int
    crashed: int
    cancelled: int
    failed: int
    leaves: KindStatistics
    merges: KindStatistics
    peak_mib: int


@dataclass(slots=True)
class _Counters:
    started: int = 0
    crashed: int = 0
    cancelled: int = 0
    failed: int = 0
    peak_mib: int = 0
    leaves: KindStatistics = KindStatistics()
    merges: KindStatistics = KindStatistics()

    def count(self, task: ProvingTask, finished: Finished) -> None:
        self.peak_mib = max(self.peak_mib, finished.peak_mib)
        if isinstance(task, LeafTask):
            self.leaves = self.leaves.plus(finished)
        else:
            self.merges = self.merges.plus(finished)


class Pool:
    """Made by :func:`open_pool` and :func:`open_virtual_pool`."""

    def __init__(
        self,
        start_worker: Callable[[], Awaitable[Worker]],
        worker_limit: int,
        settings: PoolSettings,
        observe: Observe,
    ) -> None:
        self._start_worker = start_worker
        self._worker_limit = worker_limit
        self._settings = settings
        self._observe = observe
        self._schedule = Schedule(worker_limit, settings.cores)
        self._turns_came: dict[int, trio.Event] = {}
        self._idle: list[Worker] = []
        self._busy: list[Worker] = []
        self._counters = _Counters()
        self._callers: set[trio.CancelScope] = set()
        self._callers_left = trio.Event()
        self._is_closed = False

    async def prove(self, task: ProvingTask, *, deadline: float = math.inf) -> Proved:
        """Prove ``task`` when its turn comes. Cancelling this ends the work on it within moments.

        :param deadline: when to give up, as :func:`trio.current_time` counts.
        :raises ProvingFailed: when there is no proof; QueueFull and DeadlinePassed are such.
        """
        if self._is_closed:
            raise PoolClosed
        with trio.CancelScope(deadline=deadline) as scope:
            self._callers.add(scope)
            try:
                return await self._prove(task)
            finally:
                self._callers.remove(scope)
                if not self._callers:
                    self._callers_left.set()
        raise PoolClosed if self._is_closed else DeadlinePassed

    async def warm(self) -> None:
        """Get a worker ready, so that the first proof does not wait for one.

        :raises ProvingFailed: when no worker can be had.
        """
        try:
            self._idle.append(await self._take_worker())
        except WorkerDied as death:
            raise ProvingFailed(f"the worker died at once: {death}") from None

    def statistics(self) -> PoolStatistics:
        """What the pool does and did."""
        counters = self._counters
        return PoolStatistics(
            queued=self._schedule.queued,
            running=self._schedule.running,
            processes=tuple(sorted(one.process_id for one in (*self._idle, *self._busy))),
            worker_limit=self._worker_limit,
            started=counters.started,
            crashed=counters.crashed,
            cancelled=counters.cancelled,
            failed=counters.failed,
            leaves=counters.leaves,
            merges=counters.merges,
            peak_mib=counters.peak_mib,
        )

    async def close(self) -> None:
        """End all work and all workers; who waits for a proof hears :class:`PoolClosed`."""
        self._is_closed = True
        with trio.CancelScope(shield=True):
            self._callers_left = trio.Event()
            for scope in self._callers:
                scope.cancel()
            if self._callers:
                await self._callers_left.wait()
            while self._idle:
                await self._idle.pop().end()

    async def _prove(self, task: ProvingTask) -> Proved:
        try:
            return await self._attempt(task)
        except WorkerDied:
            pass
        try:
            return await self._attempt(task)
        except WorkerDied as death:
            raise ProvingFailed(f"two workers died over it, the last with {death}") from None

    async def _attempt(self, task: ProvingTask) -> Proved:
        if self._schedule.queued >= self._settings.queue_max:
            raise QueueFull(self._settings.queue_max)
        turn = self._schedule.enter(task)
        came = self._turns_came[turn.number] = trio.Event()
        try:
            # whoever else enters in this very moment shares the cores that are free
            await trio.lowlevel.checkpoint()
            self._start_turns()
            await came.wait()
            return await self._work(task, turn.threads)
        finally:
            del self._turns_came[turn.number]
            self._schedule.leave(turn)
            self._start_turns()

    def _start_turns(self) -> None:
        for turn in self._schedule.start():
            self._turns_came[turn.number].set()

    async def _work(self, task: ProvingTask, threads: int) -> Proved:
        threads = min(threads, self._settings.fair_threads(task))
        worker = await self._take_worker()
        self._busy.append(worker)
        begun = Begun(task, worker.process_id, threads)
        try:
            finished = await worker.prove(task, threads, lambda: self._observe(begun))
        except NoProof as failure:
            self._release(worker)
            self._counters.failed += 1
            raise ProvingFailed(failure.reason) from None
        except WorkerDied:
            self._counters.crashed += 1
            raise WorkerDied(await self._end(worker)) from None
        except BaseException:
            self._counters.cancelled += 1
            await self._end(worker)
            raise
        self._release(worker)
        self._counters.count(task, finished)
        return Proved(finished.proof, finished.wall_ms, threads)

    async def _take_worker(self) -> Worker:
        """An idle worker that still lives, else a new one."""
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive:
                return worker
            self._counters.crashed += 1
            await worker.end()
        self._counters.started += 1
        try:
            return await self._start_worker()
        except NoProof as failure:
            self._counters.failed += 1
            raise ProvingFailed(failure.reason) from None
        except WorkerDied:
            self._counters.crashed += 1
            raise
        except trio.Cancelled:
            self._counters.cancelled += 1
            raise

    def _release(self, worker: Worker) -> None:
        self._busy.remove(worker)
        self._idle.append(worker)

    async def _end(self, worker: Worker) -> str:
        try:
            return await worker.end()
        finally:
            self._busy.remove(worker)


def _ignore(begun: Begun) -> None:
    """Observe nothing."""


@asynccontextmanager
async def open_pool(
    backend: WorkerBackend, settings: PoolSettings, observe: Observe = _ignore
) -> AsyncIterator[Pool]:
    """A pool of worker processes; when it is left, none is left.

    :raises ValueError: when the settings allow no worker.
    """

    async def start() -> Worker:
        return await WorkerProcess.start(backend)

    pool = Pool(start, settings.worker_limit(backend.worker_mib), settings, observe)
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def open_virtual_pool(
    backend: ModelledBackend, settings: PoolSettings, observe: Observe = _ignore
) -> AsyncIterator[Pool]:
    """The same pool with :class:`~prover.virtual.VirtualWorker`: declared times pass on trio's
    clock.

    :raises ValueError: when the settings allow no worker.
    """

    async def start() -> Worker:
        return await VirtualWorker.start(backend)

    pool = Pool(start, settings.worker_limit(0), settings, observe)
    try:
        yield pool
    finally:
        await pool.close()

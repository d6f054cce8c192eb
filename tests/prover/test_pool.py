"""The pool: order, threads, cancelling, deadlines, crashes, and that nothing is left behind."""

from __future__ import annotations

import math
import multiprocessing
import os
import select
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.types import Count, Milliseconds, TreeIndex
from prover.backend import Plonky2Backend
from prover.modelled import ModelledBackend
from prover.pipe import Finished
from prover.pool import (
    Begun,
    DeadlinePassed,
    Pool,
    PoolClosed,
    PoolSettings,
    ProvingFailed,
    QueueFull,
    open_pool,
    open_virtual_pool,
)
from prover.process import Worker
from prover.tasks import LeafTask, MergeTask, ProvingTask, WorkerBackend, urgency
from prover.virtual import VirtualWorker
from prover.worker import NICENESS
from tests.prover.backends import (
    ENDLESS_LEAVES,
    QUICK,
    Crashing,
    CrashingOnce,
    Gated,
    Raising,
    Stillborn,
    Unready,
)
from tests.prover.jobs import Job, prove_all

ROOT = Path(__file__).resolve().parents[2]
HANG_SECONDS = 240
MERGE = TreeIndex(Count(1), Count(0))

Scenario = Callable[[], Awaitable[None]]


def run(scenario: Scenario, clock: MockClock | None = None) -> None:
    """Run to its end; one that hangs fails instead of stopping all tests."""

    async def guarded() -> None:
        if clock is not None:
            await scenario()
            return
        with trio.fail_after(HANG_SECONDS):
            await scenario()

    trio.run(guarded, clock=clock)


def quick_job(leaf_count: int = 2) -> Job:
    return Job(QUICK, leaf_count)


def quick_merge(job: Job) -> MergeTask:
    return job.merge_task(MERGE, *(QUICK.attest(job.leaf_task(place)) for place in (0, 1)))


def runs(process_id: int) -> bool:
    return Path(f"/proc/{process_id}").exists()


@dataclass
class Beginnings:
    """Tells what the pool has begun, as it begins."""

    def __post_init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Begun](math.inf)

    def __call__(self, begun: Begun) -> None:
        self._send.send_nowait(begun)

    async def next(self) -> Begun:
        return await self._receive.receive()

    def so_far(self) -> list[Begun]:
        begun = []
        while True:
            try:
                begun.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                return begun


async def fails(pool: Pool, task: LeafTask | MergeTask, deadline: float = math.inf) -> str:
    """The reason why the pool has no proof of ``task``."""
    with pytest.raises(ProvingFailed) as raised:
        await pool.prove(task, deadline=deadline)
    return raised.value.reason


async def expect_usable(pool: Pool) -> None:
    job = quick_job()
    merge = await pool.prove(quick_merge(job))
    assert QUICK.verify(job.statements[MERGE], merge.proof) is None


# --- order and threads, in virtual time --------------------------------------------------------


def test_urgent_tasks_begin_first() -> None:
    job = quick_job(4)
    merge = quick_merge(job)
    tasks = [job.leaf_task(3), merge, job.leaf_task(1), job.leaf_task(2)]
    seen = Beginnings()

    async def scenario() -> None:
        async with (
            open_virtual_pool(ModelledBackend(), PoolSettings(workers=1, cores=1), seen) as pool,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(pool.prove, job.leaf_task(0))
            await wait_all_tasks_blocked()
            for task in tasks:
                nursery.start_soon(pool.prove, task)
                await wait_all_tasks_blocked()
            assert (pool.statistics().queued, pool.statistics().running) == (4, 1)

    run(scenario, MockClock(autojump_threshold=0))
    begun = [one.task for one in seen.so_far()]
    assert begun == [job.leaf_task(0), *sorted(tasks, key=urgency)]
    assert begun[1] == merge


def test_tasks_of_one_moment_share_the_cores_and_the_last_merge_gets_all() -> None:
    job = quick_job()
    seen = Beginnings()

    async def scenario() -> None:
        async with open_virtual_pool(
            ModelledBackend(), PoolSettings(workers=2, cores=4), seen
        ) as pool:
            await prove_all(pool, job)
            statistics = pool.statistics()
        assert statistics.leaves.proofs == 2
        assert statistics.leaves.cpu_ms == 2 * ModelledBackend().leaf_ms
        assert statistics.leaves.wall_ms == ModelledBackend().leaf_ms
        assert statistics.merges.wall_ms == ModelledBackend().merge_ms // 4
        assert statistics.started == 2

    run(scenario, MockClock(autojump_threshold=0))
    assert [(one.task.index.level, one.threads) for one in seen.so_far()] == [
        (0, 2),
        (0, 2),
        (1, 4),
    ]


def test_declared_times_pass_on_the_clock() -> None:
    backend = ModelledBackend(leaf_ms=Milliseconds(3_000))

    async def scenario() -> None:
        async with open_virtual_pool(backend, PoolSettings(workers=1, cores=2)) as pool:
            start = trio.current_time()
            proved = await pool.prove(quick_job().leaf_task(0))
            assert trio.current_time() - start == pytest.approx(1.5)
            assert (proved.wall_ms, proved.threads) == (1_500, 2)

    run(scenario, MockClock(autojump_threshold=0))


def test_a_virtual_worker_says_why_there_is_no_proof() -> None:
    job = quick_job()

    async def scenario() -> None:
        async with open_virtual_pool(QUICK, PoolSettings(workers=1, cores=1)) as pool:
            assert await fails(pool, job.merge_task(MERGE, b"", b"")) == "the left child is refused"
            await expect_usable(pool)

    run(scenario, MockClock(autojump_threshold=0))


def test_a_task_that_finds_the_queue_full_fails() -> None:
    job = quick_job(4)
    settings = PoolSettings(workers=1, cores=1, queue_max=2)

    async def scenario() -> None:
        async with (
            open_virtual_pool(ModelledBackend(), settings) as pool,
            trio.open_nursery() as nursery,
        ):
            for position in range(3):
                nursery.start_soon(pool.prove, job.leaf_task(position))
                await wait_all_tasks_blocked()
            with pytest.raises(QueueFull, match="2 tasks wait already"):
                await pool.prove(job.leaf_task(3))
            assert (pool.statistics().queued, pool.statistics().running) == (2, 1)

    run(scenario, MockClock(autojump_threshold=0))


def test_a_task_that_is_given_up_in_the_queue_leaves_it() -> None:
    job = quick_job()
    seen = Beginnings()

    async def scenario() -> None:
        async with (
            open_virtual_pool(ModelledBackend(), PoolSettings(workers=1, cores=1), seen) as pool,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(pool.prove, job.leaf_task(0))
            await wait_all_tasks_blocked()
            with pytest.raises(DeadlinePassed):
                await pool.prove(job.leaf_task(1), deadline=trio.current_time() + 1)
            assert pool.statistics().queued == 0
            assert pool.statistics().cancelled == 0

    run(scenario, MockClock(autojump_threshold=0))
    assert len(seen.so_far()) == 1


# --- budgets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        (PoolSettings(workers=3, cores=8, memory_mib=1000), 3),
        (PoolSettings(workers=8, cores=3, memory_mib=1000), 3),
        (PoolSettings(workers=8, cores=8, memory_mib=399), 3),
        (PoolSettings(workers=8, cores=8, memory_mib=400), 4),
    ],
)
def test_the_smallest_budget_limits_the_workers(settings: PoolSettings, limit: int) -> None:
    assert settings.worker_limit(100) == limit


def test_budgets_that_allow_no_worker_are_refused() -> None:
    settings = PoolSettings(workers=1, cores=1, memory_mib=99)
    with pytest.raises(ValueError, match="a memory budget of 99 MiB holds no worker of 100 MiB"):
        settings.worker_limit(100)
    for settings in (PoolSettings(workers=0, cores=1), PoolSettings(workers=1, cores=0)):
        with pytest.raises(ValueError, match="at least one worker and one core"):
            settings.worker_limit(100)


def test_no_more_workers_are_started_than_memory_allows() -> None:
    settings = PoolSettings(workers=4, cores=4, memory_mib=2 * QUICK.worker_mib)

    async def scenario() -> None:
        async with open_pool(QUICK, settings) as pool:
            await prove_all(pool, quick_job(4))
            statistics = pool.statistics()
        assert statistics.worker_limit == 2
        assert statistics.started <= 2
        assert 0 < statistics.peak_mib <= QUICK.worker_mib

    run(scenario)


@pytest.mark.parametrize(
    ("workers", "cores", "memory_workers"), [(4, 3, 9), (4, 4, 2), (2, 8, 9), (1, 2, 2), (5, 5, 5)]
)
def test_two_jobs_at_once_stay_within_cores_and_memory(
    workers: int, cores: int, memory_workers: int
) -> None:
    """Threads, processes and reserved memory at every beginning, of both jobs together."""
    settings = PoolSettings(workers, cores, memory_workers * 100)
    limit = settings.worker_limit(100)
    threads: dict[int, int] = {}
    most = [0, 0]

    async def scenario() -> None:
        numbers = iter(range(1_000))

        class Watched(VirtualWorker):
            async def prove(
                self, task: ProvingTask, given: int, begun: Callable[[], None]
            ) -> Finished:
                number = next(numbers)
                threads[number] = given
                most[:] = max(most[0], sum(threads.values())), max(most[1], len(threads))
                try:
                    return await super().prove(task, given, begun)
                finally:
                    del threads[number]

        async def start() -> Worker:
            return Watched(ModelledBackend())

        pool = Pool(start, limit, settings, lambda begun: None)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(prove_all, pool, quick_job(4))
        assert pool.statistics().leaves.proofs == 8
        assert pool.statistics().started <= limit == pool.statistics().worker_limit
        await pool.close()

    run(scenario, MockClock(autojump_threshold=0))
    assert most == [cores, min(limit, 8)]


@pytest.mark.parametrize(
    ("sharers", "cores", "level", "threads"),
    [(1, 4, 0, 4), (4, 2, 0, 1), (4, 2, 1, 1), (4, 2, 2, 2), (2, 8, 0, 4), (9, 4, 1, 2)],
)
def test_pools_of_one_machine_share_wide_layers_and_not_the_root(
    sharers: int, cores: int, level: int, threads: int
) -> None:
    job = quick_job(4)
    task = replace(job.leaf_task(0), index=TreeIndex(Count(level), Count(0)))
    assert task.leaf_count == 4
    assert PoolSettings(cores=cores, sharers=sharers).fair_threads(task) == threads


# --- processes ---------------------------------------------------------------------------------


def test_workers_are_started_when_needed_and_kept() -> None:
    job = quick_job()
    seen = Beginnings()

    async def scenario() -> None:
        async with open_pool(QUICK, PoolSettings(workers=2, cores=2), seen) as pool:
            assert pool.statistics().processes == ()
            for position in (0, 1, 0):
                await pool.prove(job.leaf_task(position))
            statistics = pool.statistics()
        assert statistics.started == 1
        assert {one.process_id for one in seen.so_far()} == set(statistics.processes)
        assert statistics.leaves.proofs == 3
        assert not any(map(runs, statistics.processes))

    run(scenario)


def test_cancelling_kills_the_worker_and_another_takes_its_place() -> None:
    seen = Beginnings()

    async def scenario() -> None:
        async with open_pool(ENDLESS_LEAVES, PoolSettings(workers=1, cores=1), seen) as pool:
            with trio.CancelScope() as patience:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(pool.prove, quick_job().leaf_task(0))
                    killed = (await seen.next()).process_id
                    assert runs(killed)
                    patience.cancel()
            assert not runs(killed)
            statistics = pool.statistics()
            assert (statistics.cancelled, statistics.running, statistics.processes) == (1, 0, ())
            await expect_usable(pool)
            assert pool.statistics().started == 2

    run(scenario)


def test_a_deadline_kills_the_worker_in_the_middle_of_a_proof() -> None:
    seen = Beginnings()
    clock = MockClock()

    async def scenario() -> None:
        async def pass_the_deadline() -> None:
            begun = await seen.next()
            killed.append(begun.process_id)
            clock.jump(11)

        killed: list[int] = []
        async with open_pool(ENDLESS_LEAVES, PoolSettings(workers=1, cores=1), seen) as pool:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pass_the_deadline)
                reason = await fails(pool, quick_job().leaf_task(0), trio.current_time() + 10)
            assert reason == "the deadline passed"
            assert not runs(killed[0])
            assert pool.statistics().cancelled == 1
            await expect_usable(pool)

    run(scenario, clock)


def test_a_task_whose_worker_crashed_is_tried_again(tmp_path: Path) -> None:
    job = quick_job()
    backend = CrashingOnce(tmp_path / "crashed")

    async def scenario() -> None:
        async with open_pool(backend, PoolSettings(workers=1, cores=1)) as pool:
            proved = await pool.prove(job.leaf_task(0))
            assert QUICK.verify(job.statements[job.leaf_task(0).index], proved.proof) is None
            assert (pool.statistics().crashed, pool.statistics().started) == (1, 2)

    run(scenario)


def test_a_worker_that_somebody_kills_is_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    job = quick_job()
    seen = Beginnings()

    async def scenario() -> None:
        async with open_pool(
            Gated(tmp_path / "gate"), PoolSettings(workers=1, cores=1), seen
        ) as pool:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pool.prove, job.leaf_task(0))
                first = await seen.next()
                os.kill(first.process_id, signal.SIGKILL)
                second = await seen.next()
                assert second.process_id != first.process_id
                await trio.to_thread.run_sync((tmp_path / "gate").write_bytes, b"go")
            assert (pool.statistics().crashed, pool.statistics().leaves.proofs) == (1, 1)

    run(scenario)


def test_a_worker_that_died_idle_costs_no_attempt(tmp_path: Path) -> None:
    backend = CrashingOnce(tmp_path / "crashed")

    async def scenario() -> None:
        async with open_pool(backend, PoolSettings(workers=1, cores=1)) as pool:
            await expect_usable(pool)
            (idle,) = pool.statistics().processes
            gone = os.pidfd_open(idle)
            os.kill(idle, signal.SIGKILL)
            await trio.lowlevel.wait_readable(gone)
            os.close(gone)
            await pool.prove(quick_job().leaf_task(0))
            assert (pool.statistics().crashed, pool.statistics().started) == (2, 3)

    run(scenario)


@pytest.mark.parametrize(
    ("backend", "code"), [(Crashing(), 7), (Stillborn(), 9)], ids=["proving", "starting"]
)
def test_a_second_crash_is_the_callers(backend: WorkerBackend, code: int) -> None:
    async def scenario() -> None:
        async with open_pool(backend, PoolSettings(workers=1, cores=1)) as pool:
            reason = await fails(pool, quick_job().leaf_task(0))
            assert reason == f"two workers died over it, the last with exit code {code}"
            statistics = pool.statistics()
            assert (statistics.crashed, statistics.started) == (2, 2)
            assert (statistics.processes, statistics.running) == ((), 0)
            if isinstance(backend, Crashing):
                await expect_usable(pool)

    run(scenario)


def test_what_proving_raises_is_the_callers_at_once_and_the_worker_stays() -> None:
    async def scenario() -> None:
        async with open_pool(Raising(), PoolSettings(workers=1, cores=1)) as pool:
            assert await fails(pool, quick_job().leaf_task(0)) == "the planted fault"
            await expect_usable(pool)
            statistics = pool.statistics()
            assert (statistics.failed, statistics.crashed, statistics.started) == (1, 0, 1)

    run(scenario)


def test_a_worker_that_cannot_get_ready_says_why() -> None:
    async def scenario() -> None:
        async with open_pool(Unready(), PoolSettings(workers=1, cores=1)) as pool:
            assert await fails(pool, quick_job().leaf_task(0)) == "no circuits here"
            assert pool.statistics().processes == ()

    run(scenario)


def test_who_waits_when_the_pool_is_left_hears_it() -> None:
    seen = Beginnings()
    reasons = []

    async def scenario() -> None:
        async def prove(pool: Pool, position: int) -> None:
            with pytest.raises(PoolClosed) as raised:
                await pool.prove(quick_job().leaf_task(position))
            reasons.append(raised.value.reason)

        async with trio.open_nursery() as nursery:
            async with open_pool(ENDLESS_LEAVES, PoolSettings(workers=1, cores=1), seen) as pool:
                nursery.start_soon(prove, pool, 0)
                begun = await seen.next()
                nursery.start_soon(prove, pool, 1)
                await wait_all_tasks_blocked()
            assert not runs(begun.process_id)
            assert pool.statistics().processes == ()
            await prove(pool, 0)

    run(scenario)
    assert reasons == ["the pool is closed"] * 3


def test_a_failing_program_leaves_no_worker() -> None:
    left: list[int] = []

    async def scenario() -> None:
        async with open_pool(QUICK, PoolSettings(workers=1, cores=1)) as pool:
            await expect_usable(pool)
            left.extend(pool.statistics().processes)
            raise LookupError("planted")

    with pytest.raises(LookupError, match="planted"):
        run(scenario)
    assert len(left) == 1
    assert not runs(left[0])


def test_a_worker_yields_to_others_and_ignores_interrupts(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    backend = Gated(tmp_path / "gate")
    seen = Beginnings()

    async def scenario() -> None:
        async with open_pool(backend, PoolSettings(workers=1, cores=1), seen) as pool:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pool.prove, quick_job().leaf_task(0))
                worker = (await seen.next()).process_id
                own = os.getpriority(os.PRIO_PROCESS, 0)
                assert os.getpriority(os.PRIO_PROCESS, worker) == min(19, own + NICENESS)
                os.kill(worker, signal.SIGINT)
                await trio.to_thread.run_sync((tmp_path / "gate").write_bytes, b"go")
            assert (pool.statistics().crashed, pool.statistics().leaves.proofs) == (0, 1)

    run(scenario)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_many_tasks_leave_no_file_and_no_process_behind() -> None:
    job = quick_job()
    seen = Beginnings()

    async def give_up(pool: Pool) -> None:
        with trio.CancelScope() as patience:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pool.prove, job.leaf_task(0))
                await seen.next()
                patience.cancel()

    async def scenario() -> None:
        async with open_pool(ENDLESS_LEAVES, PoolSettings(workers=2, cores=2), seen) as pool:
            for number in range(50):
                if number % 10 == 0:
                    await give_up(pool)
                else:
                    await pool.prove(quick_merge(job))
                    await seen.next()
            assert pool.statistics().merges.proofs == 45
            assert pool.statistics().cancelled == 5

    async def nothing() -> None:
        async with open_pool(QUICK, PoolSettings(workers=1, cores=1)) as pool:
            await expect_usable(pool)

    run(nothing)
    before = open_files()
    run(scenario)
    assert open_files() == before
    assert multiprocessing.active_children() == []


PROGRAM = """
import signal

import trio
from prover.backend import Plonky2Backend
from prover.pool import PoolSettings, open_pool
from tests.prover.backends import ENDLESS_LEAVES
from tests.prover.jobs import Job

# a job in the background inherits that interrupts are ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
print("main", flush=True)

async def prove():
    def observe(begun):
        print(begun.process_id, flush=True)

    backend = BACKEND
    job = Job(backend, 2)
    async with open_pool(backend, PoolSettings(workers=2, cores=2), observe) as pool:
        async with trio.open_nursery() as nursery:
            for position in (0, 1):
                nursery.start_soon(pool.prove, job.leaf_task(position))

try:
    trio.run(prove)
except* KeyboardInterrupt:
    pass
"""


@pytest.mark.parametrize(
    ("backend", "number"),
    [
        ("ENDLESS_LEAVES", signal.SIGKILL),
        ("ENDLESS_LEAVES", signal.SIGTERM),
        ("ENDLESS_LEAVES", signal.SIGINT),
        ("Plonky2Backend()", signal.SIGKILL),
    ],
)
@pytest.mark.usefixtures("plonky2")
def test_no_worker_outlives_its_node(tmp_path: Path, backend: str, number: signal.Signals) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("BACKEND", backend, 1))
    with subprocess.Popen(
        [sys.executable, program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as node:
        assert node.stdout is not None
        assert node.stderr is not None
        # a worker that imported the main module would say so too
        assert node.stdout.readline() == "main\n"
        workers = [os.pidfd_open(int(node.stdout.readline())) for _ in range(2)]
        # as a terminal does, an interrupt goes to the workers too
        os.kill(-node.pid if number == signal.SIGINT else node.pid, number)
        exited = [bool(select.select([one], [], [], HANG_SECONDS)[0]) for one in workers]
        for worker in workers:
            os.close(worker)
        node.kill()
        assert exited == [True, True]
        assert (node.stdout.read(), node.stderr.read()) == ("", "")


# --- real proofs -------------------------------------------------------------------------------


def test_one_worker_proves_a_tree_and_survives_a_cancelled_proof(plonky2: Plonky2Backend) -> None:
    job = Job(plonky2, 2)
    seen = Beginnings()

    async def scenario() -> None:
        async with open_pool(plonky2, PoolSettings(workers=1, cores=2), seen) as pool:
            with trio.CancelScope() as patience:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(pool.prove, job.leaf_task(0))
                    killed = (await seen.next()).process_id
                    patience.cancel()
            assert not runs(killed)
            proofs = await prove_all(pool, job)
            statistics = pool.statistics()
        for index, proof in proofs.items():
            assert plonky2.verify(job.statements[index], proof) is None
        assert (statistics.started, statistics.cancelled) == (2, 1)
        assert (statistics.leaves.proofs, statistics.merges.proofs) == (2, 1)
        assert 0 < statistics.peak_mib <= plonky2.worker_mib
        assert {one.threads for one in seen.so_far()} == {2}

    run(scenario)


def test_real_workers_say_why_there_is_no_proof(plonky2: Plonky2Backend, tmp_path: Path) -> None:
    job = Job(plonky2, 2)

    async def scenario() -> None:
        async with open_pool(plonky2, PoolSettings(workers=1, cores=1)) as pool:
            no_children = bytes(plonky2.proof_bytes)
            for task in (
                job.merge_task(MERGE, b"", b""),
                job.merge_task(MERGE, no_children, no_children),
            ):
                assert "the left child is refused" in await fails(pool, task)
            assert (pool.statistics().failed, pool.statistics().started) == (2, 1)
        without = Plonky2Backend(circuits=tmp_path / "none")
        async with open_pool(without, PoolSettings(workers=1, cores=1)) as pool:
            reason = await fails(pool, job.leaf_task(0))
            assert "holds no usable circuits" in reason
            assert "run ./scripts/provnet once" in reason

    run(scenario)

"""What proofs and the worker pool cost, with the real proof system, in wall-clock time.

One block of four leaves is proven again and again. *The proofs* are its leaves and the two merges
above them, six proofs that do not wait for each other; the plain loop makes them one after the
other on one thread in one process, as nice as a worker is. *The tree* is the same block with its
root, each merge begun as soon as its children are there. A pool is opened for each of its turns,
and its workers are ready before the clock starts.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

import trio

from protocol import tree
from protocol.messages import NO_JOB
from protocol.ports import LeafContent, Statement
from protocol.rollup import ExecutedBlock, execute_body
from protocol.signing import digest, public_key
from protocol.types import Account, Amount, Count, JobId, NetworkId, Tick, TreeIndex
from prover.backend import Plonky2Backend
from prover.modelled import ModelledBackend
from prover.pool import Pool, PoolSettings, open_pool
from prover.tasks import LeafTask, MergeTask, Prove, ProvingTask
from prover.worker import NICENESS
from scripts.benchmarks.figures import Aim, Section, alternate, compare, compare_speeds
from sequencer.builder import build_block
from sequencer.traffic import Traffic

ROUNDS: Final = 5
BUDGET_S: Final = 300.0
"""No round begins that would end later."""

LEAVES: Final = 4
TRANSFERS: Final = 4 * LEAVES
VERIFICATIONS: Final = 20

LOOP: Final = "plain loop in one process"
ONE_WORKER: Final = "pool of 1 worker"
TWO_WORKERS: Final = "pool of 2 workers on 2 cores"
FIXED: Final = "tree, 2 workers, 1 thread a proof"
ELASTIC: Final = "tree, 2 workers, elastic threads"
VERIFY: Final = "verification"

_NETWORK: Final = NetworkId(digest(b"benchmark"))
_JOB: Final = JobId(digest(b"benchmark of the prover"))
_KEYS: Final = tuple(bytes([number + 1]) * 32 for number in range(4))
_PROVER: Final = public_key(_KEYS[0])


def measure(
    backend: Plonky2Backend | ModelledBackend, rounds: int = ROUNDS, budget_s: float = BUDGET_S
) -> Section:
    """Measure everything in turns; some minutes with the real proof system.

    :raises ProvingFailed: when there is no proof.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, os.nice, (NICENESS,)) as process:
        bench = _Bench(backend, process)
        taken = alternate(
            {
                LOOP: bench.loop,
                ONE_WORKER: partial(bench.pooled, 1),
                TWO_WORKERS: partial(bench.pooled, 2),
                FIXED: partial(bench.tree, OneThread(backend)),
                ELASTIC: partial(bench.tree, backend),
                VERIFY: bench.verify,
            },
            rounds,
            budget_s,
        )
    count = len(bench.proofs_of_loop)
    leaf, same = bench.leaf_s, (count, count)
    verify_s = [one / VERIFICATIONS for one in taken[VERIFY]]
    memory = [(peak, float(backend.worker_mib)) for peak in bench.peak_mib]
    return Section(
        name="prover",
        notes=(
            f"{type(backend).__name__}, {LEAVES} leaves with {TRANSFERS} transfers",
            f"the proofs: {LEAVES} leaves and {count - LEAVES} merges; the tree: the root, too",
        ),
        figures=(
            compare("merge, 1 thread", "leaf, 1 thread", "s", _pairs(bench.merge_s, leaf)),
            compare(VERIFY, "leaf, 1 thread", "s", _pairs(verify_s, leaf)),
            compare("worker start from cache", "leaf, 1 thread", "s", _pairs(bench.start_s, leaf)),
            compare("memory of a worker", "what is reserved", "MiB", memory),
            compare_speeds(ONE_WORKER, LOOP, same, taken, Aim(0.97, is_least=True)),
            compare_speeds(TWO_WORKERS, ONE_WORKER, same, taken, Aim(1.8, is_least=True)),
            compare(ELASTIC, FIXED, "s", _pairs(taken[ELASTIC], taken[FIXED])),
        ),
    )


def _pairs(own: list[float], base: list[float]) -> list[tuple[float, float]]:
    return list(zip(own, base, strict=True))


@dataclass(frozen=True, slots=True)
class OneThread:
    """A backend whose proofs take one thread, whatever they are given."""

    inner: Plonky2Backend | ModelledBackend

    @property
    def worker_mib(self) -> int:
        """Most memory one worker takes, in MiB."""
        return self.inner.worker_mib

    def open_prover(self) -> Prove:
        """The inner backend's prover, on one thread."""
        prove = self.inner.open_prover()
        return lambda task, _threads: prove(task, 1)


@cache
def _prover_of(backend: Plonky2Backend | ModelledBackend) -> Prove:
    return backend.open_prover()


def _plainly(
    backend: Plonky2Backend | ModelledBackend, tasks: Sequence[ProvingTask]
) -> list[tuple[bytes, float]]:
    """Proofs on one thread, one after the other, and what each took in seconds."""
    prove, made = _prover_of(backend), []
    for task in tasks:
        before = time.perf_counter()
        proof = prove(task, 1)
        made.append((proof, time.perf_counter() - before))
    return made


class _Bench:
    """The block, and what was measured of it beside the turns themselves, a value a round.

    :param process: where the plain loop runs.
    """

    def __init__(
        self, backend: Plonky2Backend | ModelledBackend, process: ProcessPoolExecutor
    ) -> None:
        self.backend = backend
        self._process = process
        self.block = sample_block(backend)
        self.proofs_of_loop: dict[TreeIndex, bytes] = {}
        self.leaf_s: list[float] = []
        self.merge_s: list[float] = []
        self.start_s: list[float] = []
        self.peak_mib: list[float] = []

    # --- turns ---

    def loop(self) -> float:
        """Make the proofs one after the other, leaves first."""
        leaves, merges, _root = (
            [index for index in tree.indices(LEAVES) if index.level == level] for level in range(3)
        )
        took_s = 0.0
        for layer, means in ((leaves, self.leaf_s), (merges, self.merge_s)):
            tasks = [self._task(index, self.proofs_of_loop) for index in layer]
            made = self._process.submit(_plainly, self.backend, tasks).result()
            layer_s = sum(one_s for _, one_s in made)
            self.proofs_of_loop.update(zip(layer, (proof for proof, _ in made), strict=True))
            means.append(layer_s / len(layer))
            took_s += layer_s
        return took_s

    def pooled(self, workers: int) -> float:
        """Give the proofs to a pool all at once."""

        async def work(pool: Pool) -> None:
            async with trio.open_nursery() as nursery:
                for index in self.proofs_of_loop:
                    nursery.start_soon(pool.prove, self._task(index, self.proofs_of_loop))

        return self._in_pool(self.backend, workers, work)

    def tree(self, backend: Plonky2Backend | ModelledBackend | OneThread) -> float:
        """Give a pool the whole tree, each merge when its children are there."""
        proofs: dict[TreeIndex, bytes] = {}
        is_there = {index: trio.Event() for index in tree.indices(LEAVES)}

        async def prove(pool: Pool, index: TreeIndex) -> None:
            if index.level:
                for child in tree.children(index):
                    await is_there[child].wait()
            proofs[index] = (await pool.prove(self._task(index, proofs))).proof
            is_there[index].set()

        async def work(pool: Pool) -> None:
            async with trio.open_nursery() as nursery:
                for index in is_there:
                    nursery.start_soon(prove, pool, index)

        return self._in_pool(backend, 2, work)

    def verify(self) -> float:
        """Verify a leaf's proof so many times."""
        index = TreeIndex(Count(0), Count(0))
        leaf = self.block.content.leaves[0]
        content = LeafContent(leaf.digest, leaf.fees)
        claim = self.backend.leaf_claim(_PROVER, index.position, content)
        roots = self.block.content.from_root, leaf.to_root
        statement = Statement(_JOB, index, _PROVER, *tree.span(index), *roots, claim, content)
        before = time.perf_counter()
        for _ in range(VERIFICATIONS):
            assert self.backend.verify(statement, self.proofs_of_loop[index]) is None
        return time.perf_counter() - before

    # --- parts ---

    def _in_pool(
        self,
        backend: Plonky2Backend | ModelledBackend | OneThread,
        workers: int,
        work: Callable[[Pool], Awaitable[None]],
    ) -> float:
        settings = PoolSettings(workers, workers, workers * backend.worker_mib)

        async def run() -> float:
            async with open_pool(backend, settings) as pool:
                before = time.perf_counter()
                async with trio.open_nursery() as nursery:
                    for _ in range(workers):
                        nursery.start_soon(pool.warm)
                ready = time.perf_counter()
                await work(pool)
                taken_s = time.perf_counter() - ready
                if workers == 1:
                    self.start_s.append(ready - before)
                    self.peak_mib.append(pool.statistics().peak_mib)
                return taken_s

        return trio.run(run)

    def _task(self, index: TreeIndex, proofs: dict[TreeIndex, bytes]) -> ProvingTask:
        return sample_task(self.block, index, proofs)


def sample_task(
    block: ExecutedBlock, index: TreeIndex, proofs: Mapping[TreeIndex, bytes]
) -> ProvingTask:
    """What to prove for a tree node of the sample block.

    :param proofs: of the tree node's children, at least.
    """
    leaves = Count(LEAVES)
    if index.level == 0:
        witness = block.witness(index.position)
        return LeafTask(_JOB, _PROVER, index, leaves, Tick(0), witness)
    left, right = tree.children(index)
    return MergeTask(_JOB, _PROVER, index, leaves, Tick(0), proofs[left], proofs[right])


def sample_block(backend: Plonky2Backend | ModelledBackend) -> ExecutedBlock:
    """A block of :data:`LEAVES` leaves, the same each time."""
    accounts: list[tuple[Account, Amount]] = [(public_key(key), Amount(10**9)) for key in _KEYS]
    state = backend.genesis(accounts)
    transfers = Traffic(b"benchmark", _NETWORK, _KEYS).next_transfers(state, TRANSFERS)
    built = build_block(NO_JOB, state, transfers, LEAVES, backend)
    executed = execute_body(_NETWORK, built.content, built.body, state, backend)
    assert isinstance(executed, ExecutedBlock), "a block built here is executable"
    return executed

"""Many seeds over the cores of a machine: processes that each run one seed after the other, and
share nothing but the code.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from scripts.simulation.run import Order, Outcome, simulate

_AHEAD: Final = 2
"""Seeds that wait for each process, so that none is idle."""


@dataclass(frozen=True, slots=True)
class Timed:
    """An outcome and the time of one core that it took."""

    outcome: Outcome
    cpu_s: float


def timed(order: Order) -> Timed:
    """Run one order."""
    began_s = time.process_time()
    outcome = simulate(order)
    return Timed(outcome, time.process_time() - began_s)


def simulate_many(order: Order, seeds: Iterable[int], jobs: int) -> Generator[Timed, None, None]:
    """The outcome of each seed, in the order in which they are there; close it to stop early.

    :param jobs: processes.
    """
    context = multiprocessing.get_context("spawn")
    left = (replace(order, seed=seed) for seed in seeds)
    with ProcessPoolExecutor(jobs, mp_context=context) as executor:
        running = {executor.submit(timed, one) for one in islice(left, jobs * _AHEAD)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {executor.submit(timed, one) for one in islice(left, len(done))}
                yield from _in_order(done)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _in_order(done: Iterable[Future[Timed]]) -> list[Timed]:
    return sorted((one.result() for one in done), key=lambda one: one.outcome.seed)

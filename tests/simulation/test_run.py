"""A run is a function of its seed, whatever else is so or so."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from scripts.simulation.network import Size
from scripts.simulation.run import Order, Outcome, simulate
from scripts.simulation.scheduling import run_virtually

ROOT = Path(__file__).resolve().parents[2]
ORDER = Order(seed=7, size=Size(nodes=6, validators=3, leaves=2), blocks=2)
IN_A_PROCESS = """
from dataclasses import replace
from tests.simulation.test_run import ORDER
from scripts.simulation.run import simulate
print(simulate(replace(ORDER, faults=None, safety_ms=20_000)).digest)
"""


@pytest.fixture(scope="module")
def calm() -> Outcome:
    return simulate(ORDER)


@pytest.fixture(scope="module")
def stormy() -> Outcome:
    return simulate(replace(ORDER, faults=None, safety_ms=20_000))


def test_a_network_proves_its_blocks_and_nothing_is_found(calm: Outcome) -> None:
    assert calm.violations == ()
    assert calm.settled == 2
    assert calm.height > 10
    assert calm.lives == 6
    assert calm.faults == ()


def test_a_seed_is_a_run(calm: Outcome) -> None:
    random.seed("whatever happened before")
    assert simulate(ORDER) == calm
    assert simulate(replace(ORDER, seed=8)).digest != calm.digest


def test_what_is_shared_changes_nothing(calm: Outcome, stormy: Outcome) -> None:
    assert simulate(replace(ORDER, is_sharing=False)) == calm
    alone = replace(ORDER, faults=None, safety_ms=20_000, is_sharing=False)
    assert simulate(alone) == stormy


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_and_another_hash_seed_tell_the_same(
    stormy: Outcome, hash_seed: str
) -> None:
    told = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        text=True,
    )
    assert told.stdout.strip() == stormy.digest


def test_faults_that_were_drawn_can_be_given(stormy: Outcome) -> None:
    order = replace(ORDER, faults=None, safety_ms=20_000).repeated()
    assert order.faults is not None
    assert order.faults.faults
    assert simulate(order) == stormy


def turns(seed: int) -> str:
    """Which of many tasks that can run at any time took which turn."""
    told: list[str] = []

    async def main() -> None:
        async def talk(name: str) -> None:
            for _ in range(20):
                await trio.lowlevel.checkpoint()
                told.append(name)

        async with trio.open_nursery() as nursery:
            for name in "abcdefgh":
                nursery.start_soon(talk, name)

    run_virtually(main, seed)
    return "".join(told)


def test_turns_are_drawn_from_the_seed_and_from_nothing_else() -> None:
    first = turns(1)
    random.seed(99)
    assert turns(1) == first
    assert turns(2) != first
    assert len(set(first.split("a"))) > 2, "everybody always takes turns in one order"


def test_trio_draws_its_own_turns_again_afterwards() -> None:
    import trio._core._run as scheduler

    before = scheduler._r, scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    turns(1)
    assert (scheduler._r, scheduler._ALLOW_DETERMINISTIC_SCHEDULING) == before

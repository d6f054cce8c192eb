"""Predictions against a schedule that is walked through step by step."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given, strategies

from protocol import tree
from protocol.agents import ProofKey, ProofMade, SlotBegan
from protocol.types import Count, JobId, Milliseconds, Slot, Tick, TreeIndex
from prover.forecast import (
    ORDER_TICKS,
    Capacity,
    Load,
    Times,
    tree_layers,
    whole_tree,
)
from prover.schedule import Schedule
from prover.tasks import LeafTask
from tests.prover.jobs import JOB, account

SLOT_MS = Milliseconds(1_000)


def times(**known: int) -> Times:
    """Times by number of threads: ``_1=900`` is 900 ms on one thread."""
    return Times(
        tuple((Count(int(name[1:])), Milliseconds(ms)) for name, ms in sorted(known.items()))
    )


def capacity(cores: int, workers: int, leaf: Times, merge: Times | None = None) -> Capacity:
    return Capacity(Count(cores), Count(workers), leaf, merge or leaf)


@pytest.mark.parametrize(
    ("threads", "expected"),
    [(1, 1_000), (2, 600), (3, 467), (4, 400), (8, 400), (64, 400)],
)
def test_between_two_numbers_of_threads_one_part_is_shared(threads: int, expected: int) -> None:
    # 200 ms that nobody shares and 800 ms that all threads share
    assert times(_1=1_000, _4=400).ms(threads) == expected


def test_on_fewer_threads_than_known_time_grows_in_proportion() -> None:
    assert times(_4=301).ms(1) == 1_204
    assert times(_4=301).ms(3) == 402


def test_nothing_is_predicted_of_what_was_never_timed() -> None:
    with pytest.raises(ValueError, match="never timed"):
        Times().ms(1)
    leaves_only = Capacity(Count(1), Count(1), times(_1=10))
    assert leaves_only.ticks(tree_layers(1), Load(), SLOT_MS) == 1 + ORDER_TICKS
    assert leaves_only.ticks(tree_layers(2), Load(), SLOT_MS) is None
    assert leaves_only.ticks(tree_layers(1), Load(merges=1), SLOT_MS) is None


def test_a_measurement_moves_what_is_known_by_a_quarter() -> None:
    known = times(_1=1_000).learned(Count(1), Milliseconds(2_000))
    assert known == times(_1=1_250)
    assert known.learned(Count(2), Milliseconds(700)) == times(_1=1_250, _2=700)
    assert times(_2=5).learned(Count(2), Milliseconds(5)) == times(_2=5)


def test_only_proofs_that_were_timed_teach() -> None:
    knows = capacity(1, 1, times(_1=1_000), times(_1=3_000))
    leaf, merge = (
        ProofKey(JobId(bytes(32)), TreeIndex(Count(level), Count(0))) for level in (0, 1)
    )
    for nothing in (SlotBegan(Slot(1)), ProofMade(leaf, None, b"")):
        assert knows.learned(nothing) is knows
    taught = knows.learned(ProofMade(leaf, None, b"", Milliseconds(200), Count(1)))
    assert (taught.leaf, taught.merge) == (times(_1=800), knows.merge)
    taught = knows.learned(ProofMade(merge, None, b"", Milliseconds(200), Count(1)))
    assert (taught.leaf, taught.merge) == (knows.leaf, times(_1=2_300))


@pytest.mark.parametrize("leaves", [1, 2, 4, 8, 16])
def test_layers_hold_the_whole_tree(leaves: int) -> None:
    layers, whole = tree_layers(leaves), Load()
    for layer in layers:
        whole = whole.plus(layer)
    assert whole == whole_tree(leaves) == Load.of(tree.indices(leaves))
    assert len(layers) == tree.height(leaves) + 1


def walked_ms(count: int, cores: int, workers: int, known: Times) -> int:
    """When the pool's own schedule ends ``count`` leaves, event by event."""
    schedule, now, ends = Schedule(workers, cores), 0, []
    for position in range(count):
        index = TreeIndex(Count(0), Count(position))
        schedule.enter(LeafTask(JOB, account(1), index, Count(64), Tick(0), b""))
    while schedule.queued or ends:
        ends += [(now + known.ms(turn.threads), turn) for turn in schedule.start()]
        now, turn = min(ends, key=lambda one: one[0])
        ends.remove((now, turn))
        schedule.leave(turn)
    return now


def test_a_layer_takes_as_long_as_the_pool_needs_for_it() -> None:
    """Where the workers divide the cores it is the same; else never less than the pool's."""
    known = times(_1=4_000, _8=1_200)
    for cores, workers, count in product(range(1, 9), range(1, 9), range(1, 12)):
        predicted = capacity(cores, workers, known).ms(Load(leaves=count))
        walked = walked_ms(count, cores, workers, known)
        assert predicted >= walked
        if cores % min(workers, cores, count) == 0:
            assert predicted == walked


@given(
    cores=strategies.integers(1, 16),
    workers=strategies.integers(1, 16),
    count=strategies.integers(0, 40),
    slow=strategies.integers(1, 9_000),
    percent=strategies.integers(1, 100),
)
def test_more_work_never_takes_less(
    cores: int, workers: int, count: int, slow: int, percent: int
) -> None:
    quick = -(-slow * percent // 100)
    able = capacity(cores, workers, times(_1=slow, _16=quick))
    less, more = (able.ms(Load(leaves=number)) for number in (count, count + 1))
    assert less <= more
    assert able.ms(Load(leaves=count, merges=1)) >= less


def test_a_job_waits_for_what_is_owed_and_for_the_log() -> None:
    able = capacity(2, 2, times(_1=900, _2=500), times(_1=2_000, _2=1_100))
    # 2 rounds of leaves, 2 merges at once, the root on both cores
    job_ms = 2 * 900 + 2_000 + 1_100
    assert able.ticks(tree_layers(4), Load(), SLOT_MS) == -(-job_ms // 1_000) + ORDER_TICKS
    behind = Load(leaves=1, merges=2)
    behind_ms = 500 + 2_000
    assert able.ticks(tree_layers(4), behind, SLOT_MS) == (
        -(-(job_ms + behind_ms) // 1_000) + ORDER_TICKS
    )


def test_learning_follows_a_machine_that_became_slow() -> None:
    known, dice = times(_1=1_000), random.Random(4)
    for _ in range(40):
        known = known.learned(Count(1), Milliseconds(dice.randrange(2_900, 3_100)))
    assert 2_900 <= known.ms(1) <= 3_110

"""Who is next, and on how many threads."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.types import Account, Count, JobId, Tick, TreeIndex
from prover.schedule import Schedule, Turn
from prover.tasks import LeafTask, MergeTask, ProvingTask, urgency


def task(level: int, position: int, *, leaves: int = 8, sealed: int = 1) -> ProvingTask:
    place = TreeIndex(Count(level), Count(position))
    about = (JobId(bytes(32)), Account(bytes(32)), place, Count(leaves), Tick(sealed))
    return MergeTask(*about, b"", b"") if level else LeafTask(*about, b"")


def test_nearer_the_root_then_older_then_further_left() -> None:
    expected = [
        task(2, 0, leaves=4, sealed=1),
        task(3, 0, sealed=2),
        task(2, 1, sealed=1),
        task(1, 0, leaves=4, sealed=5),
        task(2, 0, sealed=9),
        task(0, 7, leaves=8, sealed=0),
        task(0, 1, sealed=1),
        task(0, 2, sealed=1),
    ]
    shuffled = expected[::-1]
    assert sorted(shuffled, key=urgency) == expected


def test_equally_urgent_tasks_start_in_the_order_of_their_arrival() -> None:
    schedule = Schedule(workers=1, cores=1)
    turns = [schedule.enter(task(0, 0)) for _ in range(3)]
    for turn in turns:
        assert schedule.start() == [turn]
        schedule.leave(turn)


@pytest.mark.parametrize(
    ("workers", "cores", "tasks", "threads"),
    [
        (1, 1, 1, [1]),
        (2, 2, 1, [2]),
        (2, 2, 2, [1, 1]),
        (2, 2, 5, [1, 1]),
        (4, 8, 1, [8]),
        (4, 8, 3, [3, 3, 2]),
        (3, 8, 9, [3, 3, 2]),
        (4, 2, 4, [1, 1]),
        (2, 7, 2, [4, 3]),
    ],
)
def test_free_cores_are_shared_among_those_that_can_start(
    workers: int, cores: int, tasks: int, threads: list[int]
) -> None:
    schedule = Schedule(workers, cores)
    for position in range(tasks):
        schedule.enter(task(0, position))
    assert [turn.threads for turn in schedule.start()] == threads


def test_the_last_merge_gets_every_core() -> None:
    schedule = Schedule(workers=2, cores=8)
    children = [schedule.enter(task(2, position)) for position in range(2)]
    assert [turn.threads for turn in schedule.start()] == [4, 4]
    for turn in children:
        schedule.leave(turn)
    schedule.enter(task(3, 0))
    assert [turn.threads for turn in schedule.start()] == [8]


@given(
    workers=st.integers(1, 5),
    cores=st.integers(1, 9),
    moves=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), max_size=60),
)
def test_budgets_hold_and_nothing_idles(
    workers: int, cores: int, moves: list[tuple[int, int]]
) -> None:
    schedule = Schedule(workers, cores)
    waiting: list[Turn] = []
    running: list[Turn] = []
    for kind, number in moves:
        if kind == 0 and running:
            schedule.leave(running.pop(number % len(running)))
        elif kind == 1 and waiting:
            schedule.leave(waiting.pop(number % len(waiting)))
        else:
            waiting.append(schedule.enter(task(kind, number >> kind)))
        started = schedule.start()
        for turn in started:
            waiting.remove(turn)
            assert all(turn.urgency <= other.urgency for other in waiting)
        running += started
        assert all(turn.threads > 0 for turn in running)
        assert all(turn.threads == 0 for turn in waiting)
        assert sum(turn.threads for turn in running) <= cores
        assert len(running) <= workers
        has_room = len(running) < workers and sum(turn.threads for turn in running) < cores
        assert not (waiting and has_room)
        assert (schedule.queued, schedule.running) == (len(waiting), len(running))

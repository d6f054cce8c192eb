"""Who is next, and on how many threads. Pure: the pool gives it events and carries out what it
says.

The rules:

- The most urgent task is next (:func:`prover.tasks.urgency`; equally urgent ones in their order of
  arrival).
- A task starts when a worker and a core are free. Free cores are divided evenly among the tasks
  that can start now, the more urgent get what is left over; so a task that is alone gets all of
  them.
- A running task keeps its threads until it ends: the proof system cannot change them, and taking
  them away would mean to begin again.

Properties: threads of running tasks never exceed the cores, running tasks never exceed the workers;
no core and no worker is free together while a task waits.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field

from prover.tasks import ProvingTask, urgency


@dataclass(slots=True, order=True)
class Turn:
    """A task's place in the queue and, once it may start, its threads.

    :ivar threads: 0 while it waits.
    """

    urgency: tuple[int, int, int]
    number: int
    task: ProvingTask = field(compare=False)
    threads: int = field(default=0, compare=False)


class Schedule:
    """The queue and the budget.

    :param workers: most tasks at a time.
    :param cores: most threads at a time.
    """

    def __init__(self, workers: int, cores: int) -> None:
        self._free_workers = workers
        self._free_cores = cores
        self._waiting: list[Turn] = []
        self._running = 0
        self._arrivals = 0

    @property
    def queued(self) -> int:
        """Number of tasks that wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Number of tasks that have threads."""
        return self._running

    def enter(self, task: ProvingTask) -> Turn:
        """Queue a task."""
        self._arrivals += 1
        turn = Turn(urgency(task), self._arrivals, task)
        insort(self._waiting, turn)
        return turn

    def leave(self, turn: Turn) -> None:
        """A task ended, or its caller lost patience: exactly once for each that entered."""
        if turn.threads == 0:
            self._waiting.remove(turn)
            return
        self._running -= 1
        self._free_workers += 1
        self._free_cores += turn.threads

    def start(self) -> list[Turn]:
        """Let tasks start that can, most urgent first."""
        started = []
        while (sharers := min(len(self._waiting), self._free_workers, self._free_cores)) > 0:
            turn = self._waiting.pop(0)
            turn.threads = -(-self._free_cores // sharers)
            self._running += 1
            self._free_workers -= 1
            self._free_cores -= turn.threads
            started.append(turn)
        return started

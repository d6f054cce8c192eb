"""What a worker is asked to prove, as frozen values.

A task holds all that proving needs, and where it stands: the pool orders tasks by :func:`urgency`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from protocol import tree
from protocol.types import Account, Count, JobId, Tick, TreeIndex


@dataclass(frozen=True, slots=True)
class LeafTask:
    """Prove a batch of transfers.

    :ivar prover: in whose name.
    :ivar leaf_count: leaves of the job's tree.
    :ivar sealed: when the job came to be; jobs with a smaller tick are older.
    :ivar witness: of the batch, from the state before it.
    """

    job: JobId
    prover: Account
    index: TreeIndex
    leaf_count: Count
    sealed: Tick
    witness: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MergeTask:
    """Prove that both children's proofs were verified.

    :ivar prover: in whose name.
    :ivar leaf_count: leaves of the job's tree.
    :ivar sealed: when the job came to be; jobs with a smaller tick are older.
    :ivar left: proof of the left child.
    :ivar right: proof of the right child.
    """

    job: JobId
    prover: Account
    index: TreeIndex
    leaf_count: Count
    sealed: Tick
    left: bytes = field(repr=False)
    right: bytes = field(repr=False)

    @property
    def children_are_merges(self) -> bool:
        """Whether merges made the children; both or neither, for the tree is complete."""
        return self.index.level > 1


ProvingTask: TypeAlias = LeafTask | MergeTask

Prove: TypeAlias = Callable[[ProvingTask, int], bytes]
"""Proves a task on so many threads; blocks meanwhile. Whatever it raises is why there is no proof.
"""


class WorkerBackend(Protocol):
    """What a worker process needs of a backend. The backend travels to the worker by pickle."""

    @property
    def worker_mib(self) -> int:
        """Most memory one worker takes, in MiB, as measured."""

    def open_prover(self) -> Prove:
        """Get ready to prove, once a worker. What it raises is told to who wanted the worker."""


def urgency(task: ProvingTask) -> tuple[int, int, int]:
    """What comes first: nodes nearer the root, then older jobs, then positions from the left.

    A merge near the root stands between everybody and settlement, a leaf between one merge and its
    start.
    """
    return tree.height(task.leaf_count) - task.index.level, task.sealed, task.index.position

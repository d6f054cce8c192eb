"""What proving rules share that have each tree node recorded by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protocol import tree
from protocol.errors import Reason, Refused
from protocol.messages import Operation, ProofRecord
from protocol.types import Claim, JobId, Tick, TreeIndex, Work


def block_work(leaf_count: int, leaf_work: Work, merge_work: Work) -> Work:
    """Compute units of a whole tree."""
    return Work(leaf_work * leaf_count + merge_work * (leaf_count - 1))


def check_children(record: ProofRecord, recorded: Callable[[TreeIndex], Claim | None]) -> None:
    """Refuse a record that does not build on the recorded claims of its children.

    :param recorded: the claim that is recorded for a tree node of the job, if one is.
    :raises Refused: INPUTS_MISSING or WRONG_CHILDREN.
    """
    if record.index.level == 0:
        if record.children is not None:
            raise Refused(Reason.WRONG_CHILDREN, "a leaf has no children")
        return
    below = tuple(recorded(child) for child in tree.children(record.index))
    if None in below:
        raise Refused(Reason.INPUTS_MISSING, str(record.index))
    if record.children != below:
        raise Refused(Reason.WRONG_CHILDREN, str(record.index))


def ordered_at(
    job: JobId, index: TreeIndex, ordered: Sequence[tuple[Tick, Operation]]
) -> Tick | None:
    """Height of the first record of a tree node in what is ordered but not final."""
    for tick, operation in ordered:
        payload = operation.payload
        if isinstance(payload, ProofRecord) and (payload.job, payload.index) == (job, index):
            return tick
    return None

"""Finds the operation behind a move of money, block by block.

Rules. The operation behind a move is the one that the move names; else, for a tree node, the
account's last accepted operation about that tree node; else, for a job of the account's own block,
the reveal that sealed it; else, for a gain from a job, the account's last accepted operation about
any of its tree nodes. A move that none of these explains has none.

Properties. What is known is what was taken, in the order of the log; :meth:`Behind.forget` and the
bound on operations keep it small for a reader who follows a log without end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from protocol.events import Event, JobOpened, OperationAccepted, OperationRefused
from protocol.ledger import Moved
from protocol.messages import BlockReveal, JobHeader, Operation, operation_hash
from protocol.types import Account, JobId, OperationHash, TreeIndex


class Behind:
    """What is known of operations and jobs so far.

    :param operations_max: most operations remembered by their hash, the latest; None: all.
    """

    def __init__(self, operations_max: int | None = None) -> None:
        self._operations_max = operations_max
        self._operations: dict[OperationHash, Operation] = {}
        self._fates: dict[OperationHash, str | None] = {}
        self._jobs: dict[JobId, tuple[int, JobHeader]] = {}
        self._jobs_opened = 0
        self._about: dict[JobId, dict[tuple[Account, TreeIndex], Operation]] = {}
        self._of_job: dict[JobId, dict[Account, Operation]] = {}
        self._reveals: dict[tuple[Account, Any], Operation] = {}

    def begin(self, operations: Iterable[Operation], events: Iterable[Event]) -> None:
        """A log block begins: what it orders, and all that it brings about."""
        for operation in operations:
            self._operations.setdefault(operation_hash(operation), operation)
        while self._operations_max is not None and len(self._operations) > self._operations_max:
            del self._operations[next(iter(self._operations))]
        self._fates = {}
        for event in events:
            if isinstance(event, JobOpened):
                self._jobs_opened += 1
                self._jobs[event.job] = self._jobs_opened, event.header
            elif isinstance(event, OperationAccepted):
                self._fates.setdefault(event.operation, None)
            elif isinstance(event, OperationRefused):
                self._fates.setdefault(event.operation, event.reason)

    def take(self, event: Event) -> None:
        """The next event of the block."""
        if not isinstance(event, OperationAccepted):
            return
        operation = self._operations[event.operation]
        payload = operation.payload
        if isinstance(payload, BlockReveal):
            self._reveals[operation.sender, payload.content] = operation
        subject = getattr(payload, "record", payload)
        job, index = getattr(subject, "job", None), getattr(subject, "index", None)
        if job is not None and index is not None:
            self._about.setdefault(job, {})[operation.sender, index] = operation
            self._of_job.setdefault(job, {})[operation.sender] = operation

    def operation(self, moved: Moved, account: Account) -> Operation | None:
        """What brought a move of the account's money about."""
        if moved.operation is not None:
            return self._operations.get(moved.operation)
        if moved.job is None:
            return None
        if moved.place is not None:
            return self._about.get(moved.job, {}).get((account, moved.place))
        _, header = self._jobs.get(moved.job, (0, None))
        reveal = None if header is None else self._reveals.get((account, header.content))
        is_gain = moved.target.owner == account
        return (
            self._of_job.get(moved.job, {}).get(account) if reveal is None and is_gain else reveal
        )

    def refusal(self, moved: Moved) -> str | None:
        """Why the operation that a move names was refused in this block, if it was.

        Its first fate counts: ordered once more, it is a duplicate that costs nothing.
        """
        return None if moved.operation is None else self._fates.get(moved.operation)

    def number(self, job: JobId | None) -> int | None:
        """Number of a job, counted from 1 in the order of opening; None when it is not known."""
        return None if job is None or job not in self._jobs else self._jobs[job][0]

    def forget(self, job: JobId) -> None:
        """The job is so long over that no more of its money moves."""
        _, header = self._jobs.pop(job, (0, None))
        self._about.pop(job, None)
        self._of_job.pop(job, None)
        if header is not None:
            self._reveals.pop((header.sequencer, header.content), None)

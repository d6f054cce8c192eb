"""Checks of bodies and proofs: a bounded number at a time, each told to the replica's owner.

**The problem.** Bytes that an operation names are fetched from strangers and take long to check;
the replica must not wait for them, and a flood of operations must not become a flood of tasks.

**Rules.** A check ends with a :class:`~protocol.happenings.BodyChecked`, before which a proof that
is valid is told to agents. What was ordered without a check of ours is checked when its bytes are
still needed here.

**Properties.** At most :data:`CHECKS_MAX` are under way; nothing a peer sends raises.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from p2p.archive import Archive
from p2p.limits import Size
from p2p.store import Store
from protocol.agents import KnownProof, ProofKnown
from protocol.happenings import BodyChecked
from protocol.messages import (
    BackupBlock,
    Payload,
    ProofEvidence,
    ProofRecord,
    SignedOperation,
    UncleClaim,
    operation_hash,
)
from protocol.ports import Clock
from protocol.replica import PENDING_MAX, Replica

CHECKS_MAX: Final = 64
"""Bodies being fetched and checked at a time; more wait for their turn."""


class Checks:
    """The checks of one node.

    :param replica: for reading only.
    :param deliver: hands what came of a check to the owner of the replica.
    """

    def __init__(
        self,
        *,
        replica: Replica,
        archive: Archive,
        store: Store,
        clock: Clock,
        deliver: Callable[[ProofKnown | BodyChecked], Awaitable[None]],
    ) -> None:
        self._replica = replica
        self._archive = archive
        self._store = store
        self._clock = clock
        self._deliver = deliver
        self._places = trio.CapacityLimiter(CHECKS_MAX)

    def sizes(self) -> dict[str, Size]:
        """Checks under way and waiting."""
        waiting = self._places.statistics().tasks_waiting
        return {
            "checks": Size(self._places.borrowed_tokens, CHECKS_MAX),
            "checks_waiting": Size(waiting, PENDING_MAX),
        }

    def is_needed(self, ordered: SignedOperation) -> bool:
        """Whether an operation that is final is still to be checked: a recorded proof is needed by
        whoever merges it, and the root of a backup by whoever asks for it.
        """
        record = ordered.operation.payload
        if isinstance(record, BackupBlock):
            return self._store.body(record.proof) is None
        if not isinstance(record, ProofRecord) or record.job not in self._replica.machine.jobs:
            return False
        known = self._archive.proofs(record.job, record.index)
        return all(one.record != record for one in known)

    async def check(self, signed: SignedOperation) -> None:
        """Fetch and check the body of an operation, then tell the owner of the replica."""
        payload = signed.operation.payload
        async with self._places:
            record = _record_of(payload)
            job = None if record is None else self._replica.machine.proving.job(record.job)
            fault = await self._archive.check(signed, job)
        now_ms = self._clock.now_ms()
        if isinstance(payload, ProofRecord) and fault is None:
            await self._deliver(ProofKnown(KnownProof(signed.operation.sender, payload)))
        await self._deliver(BodyChecked(operation_hash(signed.operation), fault, now_ms))


def _record_of(payload: Payload) -> ProofRecord | None:
    """The record that an operation is, claims, or denounces."""
    if isinstance(payload, ProofEvidence | UncleClaim):
        return payload.record
    return payload if isinstance(payload, ProofRecord) else None

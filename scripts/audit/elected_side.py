"""Elected provers as one side of an audit: open jobs, and what follows when they are closed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from protocol.messages import (
    Inclusion,
    Intent,
    JobHeader,
    Payload,
    ProofRecord,
    SlashVote,
    UncleClaim,
)
from protocol.params import Genesis
from protocol.rules import Moment
from protocol.types import Account, JobId
from scripts.audit.closed import ClosedReading
from scripts.audit.elected import ElectedReading, JobReading
from scripts.audit.settled import Payment
from scripts.audit.sides import Pool, Shared
from scripts.audit.stakes import Stakes


class ElectedSide:
    """See :class:`scripts.audit.sides.ProvingSide`."""

    free: ClassVar[tuple[type, ...]] = (ProofRecord, UncleClaim, Inclusion, SlashVote)

    def __init__(self, genesis: Genesis, shared: Shared) -> None:
        self._shared = shared
        self._elected = ElectedReading(genesis)
        self._closed = ClosedReading(self._elected, shared.log_stakes)

    @property
    def jobs(self) -> dict[JobId, JobReading]:
        """Open jobs, oldest first."""
        return self._elected.jobs

    @property
    def stakes(self) -> Stakes:
        """Stakes of provers."""
        return self._elected.stakes

    def pass_time(self, moment: Moment) -> None:
        """Draws, windows and misses; then claims and slashes of closed jobs."""
        self._elected.pass_time(moment)
        for payment in self._closed.pass_time(moment.tick):
            self._shared.earn(payment)

    def pool(self, moment: Moment) -> Pool:
        """Provers with a card and an intent that has not passed."""
        return self._elected.pool(moment)

    def open(self, moment: Moment, job: JobId, header: JobHeader, pool: Pool) -> None:
        """Deal a job's tree nodes."""
        self._elected.open(moment, job, header, pool)

    def take(self, moment: Moment, sender: Account, payload: Payload) -> bool:
        """Whether an operation takes effect; then it did."""
        match payload:
            case Intent():
                return self._elected.take_intent(moment, sender, payload)
            case ProofRecord():
                return self._elected.take_record(moment, sender, payload)
            case UncleClaim(record):
                return self._closed.take_claim(moment, sender, record)
            case Inclusion():
                return self._elected.take_inclusion(moment, sender, payload)
            case SlashVote():
                return self._closed.take_vote(moment, sender, payload)
            case _:
                return False

    def end_block(self) -> None:
        """Nothing."""

    def is_committed(self, round: int, sequencer: Account) -> bool:
        """Always: nobody can decline to be elected."""
        return True

    def gave_up(self, job: JobId) -> bool:
        """Never: at last anybody may prove."""
        return False

    def latest(self, job: JobId, now: int) -> int:
        """A tick by which everybody entitled had their time with every tree node."""
        return self._elected.latest(job, now)

    def knows(self, job: JobId) -> bool:
        """Whether the job is open, or something is still to come of it."""
        return self._closed.knows(job)

    def compensate(self, job: JobId, budget: int) -> Iterable[Payment]:
        """What is paid for recorded tree nodes of a job that is about to be void."""
        return self._elected.compensate(job, budget)

    def pay(self, job: JobId, share: int, tick: int) -> tuple[Iterable[Payment], int]:
        """What provers get of a proven job's share, and what of it goes back to the sequencer."""
        return self._elected.pay(job, share, tick)

    def close(self, job: JobId, tick: int, payments: Iterable[Payment]) -> None:
        """Keep what was reserved for claims."""
        reserve = sum(one.amount for one in payments if one.cause == "UNCLE_RESERVED")
        self._closed.close(job, tick, reserve)

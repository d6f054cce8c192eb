"""What follows when a job is closed: uncles are paid from the reserve, failures are judged.

**Rules.** Numbers are those of ``protocol.proving.elected``, 9 and 10. A closed job is kept for as
long as claims can be paid or a slash is pending, and forgotten then.

**Properties.** The reserve of a settled job is empty when the job is forgotten. Each failure is
decided once. Time is the tick: while the log halts, no time for a claim passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from protocol.errors import Reason, Refused
from protocol.events import (
    Acquittal,
    ProverAcquitted,
    ProverSlashed,
    SlashPending,
    SlashVoted,
)
from protocol.ledger import (
    BURNED,
    Cause,
    Moved,
    PocketKind,
    balance,
    log_stake,
    prover_stake,
    uncle_reserve,
)
from protocol.messages import SlashVote
from protocol.proving.elected_parameters import ElectedParameters
from protocol.proving.pay import dues_of_uncles, within
from protocol.proving.progress import Progress
from protocol.rules import Ballot, Frame
from protocol.types import Account, Amount, JobId, Tick, TreeIndex


@dataclass(slots=True)
class Closed:
    """A job that was settled or voided, and of which something is still to come.

    :ivar closed_at: when it was closed.
    :ivar has_reserve: claims can still be paid.
    :ivar accused: votes on each pending slash, by prover and voter.
    """

    progress: Progress
    closed_at: Tick
    has_reserve: bool
    accused: dict[Account, dict[Account, bool]]


class Afterwards:
    """All closed jobs of which something is still to come."""

    def __init__(self, parameters: ElectedParameters) -> None:
        self.parameters = parameters
        self.closed: dict[JobId, Closed] = {}

    def claims_end(self, closed: Closed) -> Tick:
        """Last tick of claims on the reserve."""
        return Tick(closed.closed_at + self.parameters.uncle_ticks)

    def grace_ends(self, closed: Closed) -> Tick:
        """Last tick before a vote, or before the decision."""
        return Tick(closed.closed_at + self.parameters.grace_ticks)

    def decided(self, closed: Closed) -> Tick:
        """Last tick before pending slashes are decided."""
        return Tick(self.grace_ends(closed) + self.parameters.governance_ticks)

    def takes_claim(self, closed: Closed, index: TreeIndex, account: Account, tick: Tick) -> bool:
        """Whether a proof that is shown at ``tick`` can still change anything."""
        is_paid = closed.has_reserve and tick <= self.claims_end(closed)
        return is_paid or self.is_pending(closed, index, account)

    def is_pending(self, closed: Closed, index: TreeIndex, account: Account) -> bool:
        """Whether the account is to be slashed unless it shows the tree node."""
        return account in closed.accused and index in closed.progress.lacks(account)

    def ballots(self, account: Account, tick: Tick) -> Iterator[Ballot]:
        """Slashes on which the account has not voted while it could.

        :param tick: height of the last block.
        """
        for job, closed in self.closed.items():
            for prover, votes in closed.accused.items():
                lacks = closed.progress.lacks(prover)
                if lacks and account not in votes and self._takes_votes(closed, Tick(tick + 1)):
                    yield Ballot(job, prover, lacks)

    def votes_from(self, job: JobId, prover: Account) -> Tick | None:
        """First tick at which a vote on the prover counts; None when there is none to come."""
        closed = self.closed.get(job)
        if closed is None or prover not in closed.accused or not self.parameters.governance_ticks:
            return None
        return Tick(self.grace_ends(closed) + 1)

    # --- calls of the rule ---

    def close(self, frame: Frame, progress: Progress) -> None:
        """The job was closed: keep it if something is still to come."""
        job, tick = progress.job.id, frame.moment.tick
        has_reserve = frame.ledger.holds(uncle_reserve(job)) > 0
        is_slashed = self.parameters.slash_bps > 0
        accused: dict[Account, dict[Account, bool]] = {
            prover: {} for prover in progress.failures if is_slashed and progress.lacks(prover)
        }
        if not (has_reserve or accused):
            return
        closed = self.closed[job] = Closed(progress, tick, has_reserve, accused)
        for prover in accused:
            penalty = progress.failures[prover].penalty
            frame.emit(
                SlashPending(job, prover, penalty, self.grace_ends(closed), self.decided(closed))
            )

    def on_tick(self, frame: Frame) -> None:
        """Pay claims when their time is over, decide on slashes, forget what is done."""
        for job, closed in tuple(self.closed.items()):
            if closed.has_reserve and frame.moment.tick > self.claims_end(closed):
                self._pay(frame, closed)
            if closed.accused and frame.moment.tick > self.decided(closed):
                self._decide(frame, closed)
            if not (closed.has_reserve or closed.accused):
                del self.closed[job]

    def on_vote(self, frame: Frame, voter: Account, vote: SlashVote) -> None:
        """A validator's word on a pending slash. Raises Refused."""
        closed = self.closed.get(vote.job)
        votes = None if closed is None else closed.accused.get(vote.prover)
        if closed is None or votes is None or not self._takes_votes(closed, frame.moment.tick):
            raise Refused(Reason.NO_VOTE_OPEN)
        if frame.ledger.holds(log_stake(voter)) == 0:
            raise Refused(Reason.NOT_A_VALIDATOR)
        if voter in votes:
            raise Refused(Reason.ALREADY_VOTED)
        votes[voter] = vote.is_guilty
        frame.emit(SlashVoted(vote.job, vote.prover, voter, vote.is_guilty))

    # --- inside ---

    def _takes_votes(self, closed: Closed, tick: Tick) -> bool:
        return self.grace_ends(closed) < tick <= self.decided(closed)

    def _pay(self, frame: Frame, closed: Closed) -> None:
        progress = closed.progress
        job = progress.job.id
        purse = uncle_reserve(job)
        dues = dues_of_uncles(self.parameters, progress, closed.closed_at)
        for due in within(dues, frame.ledger.holds(purse)):
            target = balance(due.prover)
            frame.ledger.move(Moved(purse, target, due.amount, due.cause, job, place=due.index))
        left = frame.ledger.holds(purse)
        frame.ledger.move(Moved(purse, BURNED, left, Cause.RESERVE_LEFT, job))
        closed.has_reserve = False

    def _decide(self, frame: Frame, closed: Closed) -> None:
        job = closed.progress.job.id
        for prover, votes in closed.accused.items():
            if not closed.progress.lacks(prover):
                frame.emit(ProverAcquitted(job, prover, Acquittal.PROOFS_SHOWN))
            elif not self._is_guilty(frame, votes):
                frame.emit(ProverAcquitted(job, prover, Acquittal.NOT_VOTED))
            else:
                stake, penalty = prover_stake(prover), closed.progress.failures[prover].penalty
                amount = Amount(min(penalty, frame.ledger.at_risk(stake)))
                frame.ledger.forfeit(Moved(stake, BURNED, amount, Cause.JOB_FAILED, job))
                frame.emit(ProverSlashed(job, prover))
        closed.accused = {}

    def _is_guilty(self, frame: Frame, votes: dict[Account, bool]) -> bool:
        """Whether more than half of all log stake says so; always where nobody is asked."""
        if not self.parameters.governance_ticks:
            return True
        guilty = sum(
            frame.ledger.holds(log_stake(voter)) for voter, is_guilty in votes.items() if is_guilty
        )
        return 2 * guilty > frame.ledger.total(PocketKind.LOG_STAKE)

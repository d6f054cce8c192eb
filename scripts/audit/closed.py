"""What follows when a job is closed, read a second time: claims, their pay, votes and slashes.

Written from sentences 9 and 10 of ``protocol.proving.elected``; it calls nothing of that rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from protocol.messages import ProofRecord, SlashVote
from protocol.rules import Moment
from protocol.types import Account, JobId
from scripts.audit.elected import WHOLE, Cell, Delivery, ElectedReading, JobReading
from scripts.audit.settled import Payment, Place


@dataclass(slots=True)
class _Closed:
    """A closed job of which something is still to come.

    :ivar reserve: money for claims.
    :ivar accused: votes on each slash that is to be decided, by prover and voter.
    """

    reading: JobReading
    tick: int
    reserve: int
    accused: dict[Account, dict[Account, bool]] = field(default_factory=dict)


class ClosedReading:
    """Claims on jobs that are open or closed, and what becomes of failures.

    :param log_stakes: the stake of every validator, kept by somebody else.
    """

    def __init__(self, elected: ElectedReading, log_stakes: dict[Account, int]) -> None:
        self._elected = elected
        self._log_stakes = log_stakes
        self._closed: dict[JobId, _Closed] = {}

    def knows(self, job: JobId) -> bool:
        """Whether the job is open, or something is still to come of it."""
        return job in self._elected.jobs or job in self._closed

    def close(self, job: JobId, tick: int, reserve: int) -> None:
        """The job was settled, or voided without a reserve."""
        reading = self._elected.jobs.pop(job)
        is_slashed = self._elected.parameters.slash_bps > 0
        accused: dict[Account, dict[Account, bool]] = {
            who: {} for who in reading.failed if is_slashed and reading.lacks(who)
        }
        if reserve or accused:
            self._closed[job] = _Closed(reading, tick, reserve, accused)

    def pass_time(self, tick: int) -> list[Payment]:
        """Pay claims and slash when it is time; forget what is done."""
        payments: list[Payment] = []
        parameters = self._elected.parameters
        for job, closed in tuple(self._closed.items()):
            if closed.reserve and tick > closed.tick + parameters.uncle_ticks:
                payments += self._pay(closed)
                closed.reserve = 0
            if closed.accused and tick > self._decided(closed):
                self._slash(closed)
                closed.accused = {}
            if not closed.reserve and not closed.accused:
                del self._closed[job]
        return payments

    def _graced(self, closed: _Closed) -> int:
        return closed.tick + self._elected.parameters.grace_ticks

    def _decided(self, closed: _Closed) -> int:
        return self._graced(closed) + self._elected.parameters.governance_ticks

    def _pay(self, closed: _Closed) -> Iterator[Payment]:
        asked = list(self._asked(closed))
        whole, spent = sum(amount for _, amount in asked), 0
        for who, amount in asked:
            part = amount if whole <= closed.reserve else amount * closed.reserve // whole
            spent += part
            yield Payment(who, "UNCLE_PAY", part)
        yield Payment(None, "RESERVE_LEFT", closed.reserve - spent)

    def _asked(self, closed: _Closed) -> Iterator[tuple[Account, int]]:
        parameters, reading = self._elected.parameters, closed.reading
        for place, cell in reading.cells.items():
            worth = self._elected.worth(reading, place, reading.share)
            shared = reading.beside(place, closed.tick) if parameters.primary_bps < WHOLE else []
            for one in cell.claims:
                if one.prover in shared:
                    continue
                late = max(0, one.tick - closed.tick)
                left = max(0, parameters.uncle_ticks - late)
                full = worth * parameters.uncle_bps * left
                yield one.prover, full // (WHOLE * parameters.uncle_ticks)

    def _slash(self, closed: _Closed) -> None:
        whole = sum(self._log_stakes.values())
        for who, votes in closed.accused.items():
            guilty = sum(self._log_stakes[voter] for voter, is_guilty in votes.items() if is_guilty)
            is_asked = self._elected.parameters.governance_ticks > 0
            if closed.reading.lacks(who) and (2 * guilty > whole or not is_asked):
                stakes, penalty = self._elected.stakes, closed.reading.failed[who].penalty
                stakes.lose(who, min(stakes.at_risk(who), penalty))

    # --- operations ---

    def take_vote(self, moment: Moment, sender: Account, payload: SlashVote) -> bool:
        """Whether a vote takes effect; then it did."""
        closed = self._closed.get(payload.job)
        votes = None if closed is None else closed.accused.get(payload.prover)
        if closed is None or votes is None or sender in votes:
            return False
        is_time = self._graced(closed) < moment.tick <= self._decided(closed)
        if not is_time or not self._log_stakes.get(sender):
            return False
        votes[sender] = payload.is_guilty
        return True

    def take_claim(self, moment: Moment, sender: Account, record: ProofRecord) -> bool:
        """Whether a claim takes effect; then it did."""
        parameters = self._elected.parameters
        closed = self._closed.get(record.job)
        reading = self._elected.jobs.get(record.job) if closed is None else closed.reading
        place = (record.index.level, record.index.position)
        cell = None if reading is None else reading.cells.get(place)
        counts = parameters.uncle_bps or parameters.slash_bps or parameters.primary_bps < WHOLE
        if reading is None or cell is None or not counts:
            return False
        takes_effect = (
            self._elected.stakes.at_risk(sender) > 0
            and self._is_entitled(cell, sender)
            and not cell.showed(sender)
            and (cell.record is not None or closed is not None)
            and _has_inputs(reading, place)
            and self._elected.is_sound(reading, record, sender, moment.tick)
            and (closed is None or self._is_in_time(closed, place, sender, moment.tick))
        )
        if takes_effect:
            cell.claims.append(Delivery(sender, record.claim, moment.tick))
        return takes_effect

    def _is_entitled(self, cell: Cell, sender: Account) -> bool:
        if sender in cell.owners:
            return True
        parameters = self._elected.parameters
        others = [one for one in cell.claims if one.prover not in cell.owners]
        return (
            parameters.uncle_scope.value == "open"
            and (cell.is_open or cell.held_by(sender))
            and self._elected.cards(sender) > 0
            and len(others) < parameters.uncles_per_node_max
        )

    def _is_in_time(self, closed: _Closed, place: Place, sender: Account, tick: int) -> bool:
        is_paid = bool(closed.reserve) and tick <= closed.tick + (
            self._elected.parameters.uncle_ticks
        )
        return is_paid or (sender in closed.accused and place in closed.reading.lacks(sender))


def _has_inputs(reading: JobReading, place: Place) -> bool:
    level, position = place
    below = [(level - 1, 2 * position + side) for side in (0, 1)] if level else []
    return all(reading.cells[one].record is not None for one in below)

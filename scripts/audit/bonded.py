"""Bonded provers, read a second time: awards, windows, records and bonds from the log.

Written from the numbered sentences of ``protocol.proving.bonded``; it calls nothing of that module
but its table of parameters.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isqrt
from typing import ClassVar

from protocol.messages import Award, Bid, JobHeader, Payload, ProofRecord, bid_is_signed
from protocol.params import Genesis, network_id, parse_settings
from protocol.proving.bonded import BondedParameters
from protocol.rules import Moment
from protocol.types import Account, Claim, JobId
from scripts.audit.settled import Payment, Place
from scripts.audit.sides import Block, Pool, Shared
from scripts.audit.stakes import Stakes

_WHOLE = 10_000


@dataclass(slots=True)
class JobReading:
    """One open job.

    :ivar bid: what was awarded; None when nothing was, or when it was missed.
    :ivar opened: tick of its opening.
    :ivar before: jobs that opened within a window before it.
    :ivar records: claim and tick of each recorded tree node.
    :ivar missed: the root, once the window has passed without it.
    """

    header: JobHeader
    opened: int
    bid: Bid | None
    before: int
    closes: int | None = None
    records: dict[Place, tuple[Claim, int]] = field(default_factory=dict)
    missed: list[Place] = field(default_factory=list)

    @property
    def leaves(self) -> int:
        """Number of leaves."""
        return len(self.header.content.leaves)

    @property
    def root(self) -> Place:
        """Place of the root."""
        return self.leaves.bit_length() - 1, 0

    @property
    def is_proven(self) -> bool:
        """Whether the root is recorded."""
        return self.root in self.records

    @property
    def provers(self) -> tuple[Account, ...]:
        """Whose record each tree node of a proven job has."""
        assert self.bid is not None, "a proven job was awarded"
        return (self.bid.prover,) * (2 * self.leaves - 1)


class BondedReading:
    """Awards and the open jobs; see :class:`scripts.audit.sides.ProvingSide`."""

    free: ClassVar[tuple[type, ...]] = (ProofRecord,)

    def __init__(self, genesis: Genesis, shared: Shared) -> None:
        self.parameters = parse_settings(BondedParameters, genesis.proving)
        self._network, self._mev = network_id(genesis), int(genesis.network.mev)
        self.stakes = Stakes((one.account, int(one.prover_stake)) for one in genesis.accounts)
        self._shared, self._balances = shared, shared.balances
        self._awards: dict[Block, Bid] = {}
        self._openings: list[int] = []
        self._surcharge = (0, 0)
        self.jobs: dict[JobId, JobReading] = {}

    def pool(self, moment: Moment) -> Pool:
        """Nobody is elected."""
        return ()

    def is_committed(self, round: int, sequencer: Account) -> bool:
        """Whether somebody was awarded a block to come."""
        return (round, sequencer) in self._awards

    def open(self, moment: Moment, job: JobId, header: JobHeader, pool: Pool) -> None:
        """All of the job is its awarded prover's."""
        bid = self._awards.pop((header.round, header.sequencer), None)
        before = self._touched(moment.tick)
        self.jobs[job] = JobReading(header, moment.tick, bid, before)
        self._openings.append(moment.tick)

    def gave_up(self, job: JobId) -> bool:
        """Whether nobody may prove the job any more."""
        return self.jobs[job].bid is None

    def latest(self, job: JobId, now: int) -> int:
        """The end of the job's window, as far as it is known."""
        reading, parameters = self.jobs[job], self.parameters
        if reading.closes is not None:
            return reading.closes
        start = max(now + 1, reading.opened + parameters.finality_ticks)
        return start + parameters.max_prover_ticks

    # --- the passing of time ---

    def pass_time(self, moment: Moment) -> None:
        """Start windows; burn the bonds of those who missed theirs."""
        for reading in self.jobs.values():
            bid = reading.bid
            if bid is None or reading.is_proven:
                continue
            if reading.closes is None:
                if reading.opened <= moment.settled:
                    reading.closes = moment.tick + self.parameters.max_prover_ticks
            elif moment.tick > reading.closes:
                reading.missed.append(reading.root)
                reading.bid = None
                self._balances[bid.sequencer] += bid.price
                factor = max(2, isqrt(reading.before))
                self._surcharge = (self._multiple(moment.tick) * factor - _WHOLE, moment.tick)

    def end_block(self) -> None:
        """What was awarded of blocks that will not open goes back."""
        awaited = self._shared.awaited()
        for block, bid in tuple(self._awards.items()):
            if block not in awaited:
                del self._awards[block]
                self._give_back(bid)

    def knows(self, job: JobId) -> bool:
        """Whether the job is open."""
        return job in self.jobs

    def compensate(self, job: JobId, budget: int) -> Iterable[Payment]:
        """Nothing."""
        return ()

    def pay(self, job: JobId, share: int, tick: int) -> tuple[Iterable[Payment], int]:
        """All of the share goes back: the sequencer has paid."""
        return (), share

    def close(self, job: JobId, tick: int, payments: Iterable[Payment]) -> None:
        """The job was paid or is void: what it still holds goes back."""
        reading = self.jobs.pop(job)
        if reading.bid is not None and not reading.is_proven:
            self._give_back(reading.bid)

    def _give_back(self, bid: Bid) -> None:
        self._balances[bid.prover] += bid.bond
        self._balances[bid.sequencer] += bid.price

    # --- operations ---

    def take(self, moment: Moment, sender: Account, payload: Payload) -> bool:
        """Whether an operation takes effect; then it did."""
        match payload:
            case Award():
                return self._take_award(moment, sender, payload)
            case ProofRecord():
                return self._take_record(moment, sender, payload)
            case _:
                return False

    def _take_award(self, moment: Moment, sender: Account, payload: Award) -> bool:
        bid = payload.bid.bid
        block = (bid.round, bid.sequencer)
        pledged = bid.bond if bid.prover == sender else 0
        takes_effect = (
            sender == bid.sequencer
            and block in self._shared.awaited()
            and block not in self._awards
            and moment.tick <= bid.valid_until
            and bid.bond >= self._due(sender, moment.tick)
            and self.stakes.get(bid.prover, 0) > 0
            and bid.bond <= self._balances.get(bid.prover, 0)
            and bid.price + pledged <= self._balances.get(sender, 0)
            and bid_is_signed(self._network, payload.bid)
        )
        if takes_effect:
            self._balances[bid.prover] -= bid.bond
            self._balances[sender] -= bid.price
            self._awards[block] = bid
        return takes_effect

    def _take_record(self, moment: Moment, sender: Account, payload: ProofRecord) -> bool:
        """With the root the prover gets its price and its bond."""
        reading, place = self.jobs.get(payload.job), (payload.index.level, payload.index.position)
        if reading is None or not self._is_sound(reading, place, moment.tick, payload):
            return False
        bid = reading.bid
        if bid is None or bid.prover != sender:
            return False
        reading.records[place] = payload.claim, moment.tick
        if reading.is_proven:
            self._balances[sender] += bid.bond
            self._shared.earn(Payment(sender, "AWARD_PAY", bid.price))
        return True

    def _is_sound(self, job: JobReading, place: Place, tick: int, record: ProofRecord) -> bool:
        level, position = place
        if level > job.root[0] or position >= job.leaves >> level or place in job.records:
            return False
        if level == 0:
            is_time = tick >= job.opened + self.parameters.min_leaf_ticks
            return is_time and record.children is None
        below = [job.records.get((level - 1, 2 * position + side)) for side in (0, 1)]
        known = [one for one in below if one is not None]
        if len(known) < 2 or record.children != tuple(claim for claim, _ in known):
            return False
        return tick >= max(at for _, at in known) + self.parameters.min_merge_ticks

    # --- bonds ---

    def _due(self, sequencer: Account, tick: int) -> int:
        parameters = self.parameters
        stake = self._shared.sequencer_stakes.get(sequencer, 0)
        worth = (stake + self._mev) * (1 + self._touched(tick))
        least = max(worth * parameters.bond_percent // 100 + 1, parameters.bond_floor)
        return least * self._multiple(tick) // _WHOLE

    def _touched(self, tick: int) -> int:
        """Jobs that opened within the last window."""
        if not self.parameters.is_dynamic:
            return 0
        return sum(1 for one in self._openings if one + self.parameters.max_prover_ticks > tick)

    def _multiple(self, tick: int) -> int:
        """By what the bond is multiplied, in basis points."""
        extra, since = self._surcharge
        decay = self.parameters.decay_ticks
        is_over = not self.parameters.is_dynamic or tick >= since + decay
        return _WHOLE if is_over else _WHOLE + extra * (since + decay - tick) // decay

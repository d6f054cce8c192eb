"""Bonded provers: the sequencer of a block chooses one prover, whose bond answers for all of it.

**Rule.** For a block that may yet open as a job

1. *Bids.* Any prover with stake may offer to prove the whole block of a round: a price, a bond, the
   time it expects to take, and until when the offer holds. A bid is signed, gossiped, and never
   ordered by itself.
2. *Award.* The block's sequencer orders one bid. It takes effect if it is for this sequencer's
   block, has not expired, is signed by a prover with stake, pledges at least the bond that is due,
   and is the first for the block; the prover's balance must cover the bond, the sequencer's the
   price. Both are locked at once.
3. *Bond.* Due is more than ``bond_percent`` of the sequencer's stake and the MEV together, and at
   least ``bond_floor``. With ``is_dynamic`` the stake and the MEV count once more for each of the B
   jobs that opened within the last ``max_prover_ticks``; after a miss all of it is multiplied by
   max(isqrt(B), 2), with B as it was when the missed job opened, and that surcharge falls evenly to
   nothing within ``decay_ticks``.
4. *Right.* The job opens with every tree node assigned to the awarded prover: leaves at once, a
   merge when both its inputs are recorded. A record is admissible from ``min_leaf_ticks`` or
   ``min_merge_ticks`` after that: being faster earns nothing. There are no heirs.
5. *Time.* There is one window for the whole job: it starts at the first log block whose own
   ancestors finalise the opening, and lasts ``max_prover_ticks``.
6. *Delivery.* With the root's record the prover gets its price and its bond.
7. *Miss.* When the window passes without the root, the bond is burned, the price goes back to the
   sequencer, and the job is given up: whoever sequences decides what becomes of the block.
8. *No fault.* Bond and price go back if the block never opens, or if the job is void because of
   another one before it was proven.
9. *Pay.* What the block promised to provers returns to the sequencing side, which has paid.

**Source.** A reply in the forum thread "Ideas on a proving network": bonded provers with bond >
stake + MEV, a fixed MAX_PROVER_TIME, cheapest wins. Dynamic bond from the forum post "PBS: Proposer
Builder Separation", section "Bond Pricing": S + S * floor(B), times max(floor(sqrt(B)), 2) after a
missed proof, coming down again over N blocks.

**Deviations.** B counts the jobs of one window, not a longer average, and the MEV counts with the
stake. While a job is being missed no more than a few open, so B is that of before. The surcharge
falls with ticks, not with settled blocks: a bond that nobody can pay would let no block settle, and
so would never fall. Time counts from the finality of the opening, not from the award: before, there
is nothing to prove. The prover needs prover stake, so that its records are free and a forged one
can be punished.

**Parameters.** See :class:`BondedParameters`.

**Attacks.** The bond is capital that small provers may lack: a barrier to entry. A bribe above bond
and price buys a missed block; MEV is not observable, so a bond that is priced by it may be too
small. Bids are gossip, so that the cheapest wins is the sequencer's interest and no rule: it may
look at all bids last and take its own prover's, at any price, since it pays itself. A sequencer
that gets an award and does not reveal locks a prover's bond for one round. Under Fernet the share
of fees that a sequencer promises returns to it, so promising all costs nothing. Log proposers that
keep out the root's record for a whole window burn an honest prover's bond; a log that stands still
does not, because ticks stand still with it. With ``is_dynamic`` a rich prover may burn a bond of
its own to keep others from bidding for a while. Who proves a block that falls with an ancestor gets
its bond back and nothing for its work; who delivered before is paid all the same, by the sequencer
that built on it.

**Claims.** C13.1: among bids that fit into the window the cheapest is taken, whatever its latency
(``sequencer.awards``; tested). C13.3: a miss costs the prover more than the sequencer's stake and
the MEV together, so withholding pays only who gains more than that (tested). That pooled idle
hardware wins on cost (C13.2), and that the price falls to the second lowest cost (C13.4), is
claimed of it elsewhere and not shown here. A block is paid for once at most, and only with its
root. Each award ends exactly once: paid, lost or returned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isqrt
from typing import ClassVar, TypeAlias

from protocol import tree
from protocol.bids import bid_fault
from protocol.errors import Reason, Refused
from protocol.events import (
    Assigned,
    Awarded,
    PoolMember,
    ProofRecorded,
    RightMissed,
    RightOpened,
    WindowStarted,
)
from protocol.ledger import (
    BURNED,
    Cause,
    Ledger,
    Moved,
    Pocket,
    balance,
    price,
    prover_bond,
    sequencer_stake,
)
from protocol.messages import Award, Bid, Operation, Payload, ProofRecord, bid_is_signed
from protocol.proving.records import block_work, check_children, ordered_at
from protocol.rules import Ask, AwaitedBlock, Errand, Frame, Job, Promise, ProvingDuty, Stage
from protocol.signing import digest
from protocol.types import (
    FULL_SHARE,
    Account,
    Amount,
    Claim,
    Count,
    Digest,
    JobId,
    OperationHash,
    Round,
    Stake,
    Tick,
    TreeIndex,
    Work,
)


@dataclass(frozen=True, slots=True)
class BondedParameters:
    """Parameters of the rule. Times are in ticks, works in compute units, money in micro-units.

    :ivar max_prover_ticks: time for a whole job, from finality of its opening. The forum mentions
        10 minutes.
    :ivar min_leaf_ticks: a leaf's record is not admissible sooner after its right opened. Mina's
        ``work_delay``.
    :ivar min_merge_ticks: the same for merges.
    :ivar finality_ticks: usual lag of finality behind the log, for the estimate of ``latest``.
    :ivar leaf_work: work of a leaf.
    :ivar merge_work: work of a merge.
    :ivar bond_percent: share of the sequencer's stake and the MEV that a bond has to exceed, in per
        cent. 100 in the thread; more makes up for an MEV that is stated too low.
    :ivar bond_floor: least bond.
    :ivar is_dynamic: whether the bond grows with the jobs that a miss may touch, and after a miss.
    :ivar decay_ticks: time in which the surcharge after a miss falls to nothing.
    """

    max_prover_ticks: Tick = Tick(120)
    min_leaf_ticks: Tick = Tick(2)
    min_merge_ticks: Tick = Tick(1)
    finality_ticks: Tick = Tick(4)
    leaf_work: Work = Work(33)
    merge_work: Work = Work(33)
    bond_percent: Count = Count(100)
    bond_floor: Amount = Amount(1)
    is_dynamic: bool = False
    decay_ticks: Tick = Tick(400)


# --- state ---


@dataclass(frozen=True, slots=True)
class Pledge:
    """An award that took effect: ``bond`` and ``price`` lie in pockets of its own."""

    round: Round
    sequencer: Account
    prover: Account
    price: Amount
    bond: Amount

    @property
    def id(self) -> Digest:
        """Owner of the two pockets: there is one award for a sequencer's block of a round."""
        return award_id(self.round, self.sequencer)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The proof of a tree node."""

    claim: Claim
    tick: Tick


@dataclass(slots=True)
class Progress:
    """What the rule knows of one open job.

    :ivar pledge: its award; None when it opened without one, so that nobody may prove it.
    :ivar touched: jobs that opened within a window before it; 0 where the bond is not dynamic.
    :ivar opens: since when the prover has the right to a tree node.
    :ivar closes: last tick of the window; None before it started.
    """

    job: Job
    pledge: Pledge | None
    touched: int
    opens: dict[TreeIndex, Tick] = field(default_factory=dict)
    records: dict[TreeIndex, Recorded] = field(default_factory=dict)
    closes: Tick | None = None
    is_missed: bool = False

    @property
    def prover(self) -> Account | None:
        """Who may prove it now."""
        return None if self.pledge is None or self.is_missed else self.pledge.prover

    @property
    def leaf_count(self) -> int:
        """Number of leaves of the job's tree."""
        return self.job.header.leaf_count

    @property
    def is_proven(self) -> bool:
        """Whether the root is recorded."""
        return tree.root(self.leaf_count) in self.records

    def claim(self, index: TreeIndex) -> Claim | None:
        """The recorded claim of a tree node."""
        record = self.records.get(index)
        return None if record is None else record.claim


@dataclass(frozen=True, slots=True)
class Surge:
    """How the bond was multiplied at the last miss, in basis points, and when that was."""

    peak: int
    since: Tick


BondedState: TypeAlias = tuple[
    dict[tuple[Round, Account], Pledge], dict[JobId, Progress], list[Tick], Surge
]
"""Pledges by round and sequencer, open jobs, ticks of recent openings, the surcharge."""


def award_id(round: Round, sequencer: Account) -> Digest:
    """The award for a sequencer's block of a round."""
    return Digest(digest(b"provnet/award/1", round.to_bytes(8, "big"), sequencer))


class Bonded:
    """The rule of this module."""

    name: ClassVar[str] = "bonded"
    handles: ClassVar[tuple[type, ...]] = (Award, ProofRecord)
    free: ClassVar[tuple[type, ...]] = (ProofRecord,)
    parameters_type: ClassVar[type] = BondedParameters
    disclaims: ClassVar[Mapping[Promise, str]] = {
        Promise.SHARES: "a sequencer chooses its prover among bids",
        Promise.SPLITTING: "bids are chosen by their terms, and anybody may make several",
        Promise.MERGES: "the prover of a block has all of its tree",
        Promise.PUBLIC: "the award on the log names the prover, before the job has a seed",
    }

    def __init__(self, parameters: BondedParameters) -> None:
        """Refuses parameters under which not even a leaf could be proven: CONTRADICTORY_GENESIS."""
        if not (
            parameters.min_leaf_ticks <= parameters.max_prover_ticks
            and parameters.leaf_work > 0
            and parameters.decay_ticks > 0
        ):
            raise Refused(
                Reason.CONTRADICTORY_GENESIS,
                "a leaf takes longer than a whole job may, or is worth nothing, or the surcharge "
                "never falls",
            )
        self.parameters = parameters
        self._pledges: dict[tuple[Round, Account], Pledge] = {}
        self._progress: dict[JobId, Progress] = {}
        self._openings: list[Tick] = []
        self._surge = Surge(FULL_SHARE, Tick(0))

    # --- the public view ---

    def pledge(self, round: Round, sequencer: Account) -> Pledge | None:
        """The award of a block that may yet open."""
        return self._pledges.get((round, sequencer))

    def min_ticks(self, index: TreeIndex) -> Tick:
        """Minimal proving time of the tree node's level."""
        return self.parameters.min_merge_ticks if index.level else self.parameters.min_leaf_ticks

    def work(self, index: TreeIndex) -> Work:
        """Compute units of the tree node."""
        return self.parameters.merge_work if index.level else self.parameters.leaf_work

    def bond_due(self, worth: Amount, tick: Tick) -> Amount:
        """The least bond for a block whose sequencer's stake and MEV are ``worth`` together."""
        parameters = self.parameters
        exposed = worth * (1 + self._jobs_per_window(tick))
        due = max(parameters.bond_floor, exposed * parameters.bond_percent // 100 + 1)
        return Amount(due * self._surge_at(tick) // FULL_SHARE)

    def duties(self, account: Account) -> tuple[ProvingDuty, ...]:
        """Unrecorded tree nodes of the jobs that were promised to the account, older jobs first.

        All of them together pay the price; what any of them puts at stake is the price and the
        bond.
        """
        return tuple(
            duty
            for progress in self._progress.values()
            if progress.prover == account and not progress.is_proven
            for duty in self._duties_of(progress)
        )

    def errands(self, account: Account, tick: Tick) -> tuple[Errand, ...]:
        """Nothing: an award says all there is to say."""
        return ()

    def recorded_claim(self, job: JobId, index: TreeIndex) -> Claim | None:
        """The claim recorded for a tree node of an open job."""
        return self._progress[job].claim(index)

    def may_deliver(self, job: JobId, index: TreeIndex, prover: Account) -> bool:
        """Whether the job was promised to the prover, and its time has not passed."""
        progress = self._progress.get(job)
        if progress is None or not tree.contains(progress.leaf_count, index):
            return False
        return progress.prover == prover

    def enlistment(
        self, account: Account, stake: Stake, tick: Tick, lifetime: Tick
    ) -> Payload | None:
        """Nothing: who wants to prove bids."""
        return None

    def election(self, account: Account) -> None:
        """Nothing: provers are chosen."""

    def ask(self, block: AwaitedBlock, worth: Amount, tick: Tick) -> Ask | None:
        """The bond that is due, and all the time there is; None once the block is promised."""
        if self.is_committed(block.round, block.sequencer):
            return None
        parameters = self.parameters
        work = block_work(block.leaf_count, parameters.leaf_work, parameters.merge_work)
        return Ask(block, self.bond_due(worth, tick), parameters.max_prover_ticks, work)

    # --- calls of the machine ---

    def pool(self, frame: Frame) -> tuple[PoolMember, ...]:
        """Nobody: provers are chosen, not elected."""
        return ()

    def open_job(self, frame: Frame, job: Job, pool: tuple[PoolMember, ...]) -> None:
        """Everything is the awarded prover's; without an award it is nobody's."""
        header = job.header
        pledge = self._pledges.pop((header.round, header.sequencer), None)
        touched = self._jobs_per_window(frame.moment.tick)
        progress = self._progress[job.id] = Progress(job, pledge, touched)
        if self.parameters.is_dynamic:
            self._openings.append(frame.moment.tick)
        indices = tuple(tree.indices(progress.leaf_count))
        for index in indices:
            frame.emit(Assigned(job.id, index, progress.prover))
        for index in indices:
            if index.level == 0 and progress.prover is not None:
                self._open(frame, progress, index, progress.prover)

    def on_epoch(self, frame: Frame) -> None:
        """Forget openings that count no longer."""
        self._openings = [
            tick for tick in self._openings if self._is_recent(tick, frame.moment.tick)
        ]

    def on_tick(self, frame: Frame) -> None:
        """Start windows, and find what was missed."""
        moment = frame.moment
        for progress in self._progress.values():
            prover = progress.prover
            if prover is None or progress.is_proven:
                continue
            root = tree.root(progress.leaf_count)
            if progress.closes is None and moment.settled >= progress.job.opened_at:
                progress.closes = Tick(moment.tick + self.parameters.max_prover_ticks)
                frame.emit(WindowStarted(progress.job.id, root, prover, progress.closes))
            elif progress.closes is not None and moment.tick > progress.closes:
                frame.emit(RightMissed(progress.job.id, root, prover, True))
                self._miss(frame, progress)

    def on_operation(
        self, frame: Frame, sender: Account, payload: Payload, operation: OperationHash
    ) -> None:
        """Take an award or a proof record."""
        if isinstance(payload, Award):
            self._on_award(frame, sender, payload, operation)
        else:
            assert isinstance(payload, ProofRecord), "the machine passes on what a rule handles"
            self._on_record(frame, sender, payload)

    def earliest(
        self, sender: Account, payload: Payload, ordered: Sequence[tuple[Tick, Operation]]
    ) -> Tick | None:
        """A record waits for its minimal time, and for its inputs to be recorded or ordered."""
        if not isinstance(payload, ProofRecord):
            return Tick(0)
        progress, index = self._progress.get(payload.job), payload.index
        if progress is None or progress.prover != sender or index in progress.records:
            return None
        opens = progress.opens.get(index)
        if opens is None and tree.contains(progress.leaf_count, index):
            below = [self._recorded_at(progress, one, ordered) for one in tree.children(index)]
            known = [tick for tick in below if tick is not None]
            opens = max(known) if len(known) == 2 else None
        return None if opens is None else Tick(opens + self.min_ticks(index))

    def on_block_end(self, frame: Frame) -> None:
        """What was promised of a block that never opens goes back."""
        awaited = [(block.round, block.sequencer) for block in frame.awaited()]
        for key, pledge in tuple(self._pledges.items()):
            if key not in awaited:
                del self._pledges[key]
                _return(frame.ledger, pledge, None)

    def on_job_closed(self, frame: Frame, job: Job, *, settled: bool) -> None:
        """Forget the job; what is still locked for it goes back."""
        progress = self._progress.pop(job.id)
        if progress.pledge is not None and not (progress.is_missed or job.is_proven):
            _return(frame.ledger, progress.pledge, job.id)

    def latest(self, job: JobId, now: Tick) -> Tick:
        """The end of the window, or when it ends if finality lags as usual."""
        progress = self._progress[job]
        if progress.closes is not None:
            return progress.closes
        starts = max(progress.job.opened_at + self.parameters.finality_ticks, now + 1)
        return Tick(starts + self.parameters.max_prover_ticks)

    def gave_up(self, job: JobId) -> bool:
        """Whether the job was missed, or never promised to anybody."""
        return self._progress[job].prover is None

    def is_committed(self, round: Round, sequencer: Account) -> bool:
        """Whether the block is promised to a prover."""
        return (round, sequencer) in self._pledges

    def job(self, job: JobId) -> Job | None:
        """An open job."""
        progress = self._progress.get(job)
        return None if progress is None else progress.job

    def settle(self, frame: Frame, job: Job, share: Amount) -> Amount:
        """All of it is left: the sequencer has paid the price."""
        return share

    def compensate(self, frame: Frame, job: Job, purse: Pocket, budget: Amount) -> Amount:
        """Nothing is paid for a void job."""
        return Amount(0)

    def needs_ticks(self) -> bool:
        """A job is open, or a block is promised."""
        return bool(self._progress or self._pledges)

    def snapshot(self) -> BondedState:
        """Pledges, open jobs, recent openings, the surcharge."""
        return (self._pledges, self._progress, self._openings, self._surge)

    def restore(self, state: BondedState) -> None:
        """Go on from there."""
        self._pledges, self._progress, self._openings, self._surge = state

    def invariants(self) -> Iterator[str]:
        """Each recorded merge stands on two recorded children; what was missed is not proven."""
        for progress in self._progress.values():
            for index in progress.records:
                below = tree.children(index) if index.level else ()
                if any(child not in progress.records for child in below):
                    yield f"{index} is recorded before its children"
            if progress.is_missed and progress.is_proven:
                yield "a job was missed and proven"

    # --- operations ---

    def _on_award(
        self, frame: Frame, sender: Account, payload: Award, operation: OperationHash
    ) -> None:
        bid = payload.bid.bid
        self._check_block(frame, sender, bid)
        worth = Amount(frame.ledger.holds(sequencer_stake(sender)) + frame.mev)
        due = self.bond_due(worth, frame.moment.tick)
        fault = bid_fault(frame.ledger, bid, due, frame.moment.tick)
        if fault is not None:
            raise Refused(fault, f"a bond of {due} is due")
        if not bid_is_signed(frame.network, payload.bid):
            raise Refused(Reason.BAD_SIGNATURE)
        pledge = Pledge(bid.round, sender, bid.prover, bid.price, bid.bond)
        self._pledges[bid.round, sender] = pledge
        locks = (
            (bid.prover, prover_bond(pledge.id), bid.bond, Cause.AWARD_BOND),
            (sender, price(pledge.id), bid.price, Cause.AWARD_PRICE),
        )
        for payer, pocket, amount, cause in locks:
            frame.ledger.move(Moved(balance(payer), pocket, amount, cause, operation=operation))
        frame.emit(Awarded(bid.round, sender, bid.prover, bid.price, bid.bond))

    def _check_block(self, frame: Frame, sender: Account, bid: Bid) -> None:
        if bid.sequencer != sender:
            raise Refused(Reason.BID_FOR_ANOTHER)
        if self.is_committed(bid.round, sender):
            raise Refused(Reason.ALREADY_AWARDED)
        if (bid.round, sender) not in [(one.round, one.sequencer) for one in frame.awaited()]:
            raise Refused(Reason.NOT_AWAITED, f"round {bid.round}")

    def _on_record(self, frame: Frame, sender: Account, payload: ProofRecord) -> None:
        progress, index = self._progress.get(payload.job), payload.index
        if progress is None:
            raise Refused(Reason.UNKNOWN_JOB)
        if not tree.contains(progress.leaf_count, index):
            raise Refused(Reason.NO_SUCH_TREE_NODE, str(index))
        if index in progress.records:
            raise Refused(Reason.ALREADY_RECORDED, str(index))
        if progress.prover != sender:
            raise Refused(Reason.NO_RIGHT)
        check_children(payload, progress.claim)
        admissible = progress.opens[index] + self.min_ticks(index)
        if frame.moment.tick < admissible:
            raise Refused(Reason.TOO_EARLY, f"{index} is admissible from tick {admissible}")
        self._record(frame, progress, payload, sender)

    # --- inside ---

    def _duties_of(self, progress: Progress) -> Iterator[ProvingDuty]:
        parameters, pledge = self.parameters, progress.pledge
        assert pledge is not None, "a job with a prover has a pledge"
        whole = block_work(progress.leaf_count, parameters.leaf_work, parameters.merge_work)
        for index in tree.indices(progress.leaf_count):
            if index not in progress.records:
                work = self.work(index)
                reward = Amount(pledge.price * work // whole)
                rest = Amount(pledge.price + pledge.bond - reward)
                yield ProvingDuty(progress.job.id, index, Stage.OWN, reward, rest, work)

    def _open(self, frame: Frame, progress: Progress, index: TreeIndex, prover: Account) -> None:
        progress.opens[index] = frame.moment.tick
        admissible = Tick(frame.moment.tick + self.min_ticks(index))
        frame.emit(RightOpened(progress.job.id, index, prover, admissible))

    def _record(
        self, frame: Frame, progress: Progress, payload: ProofRecord, prover: Account
    ) -> None:
        index, job = payload.index, progress.job.id
        progress.records[index] = Recorded(payload.claim, frame.moment.tick)
        frame.emit(ProofRecorded(job, index, prover, payload.claim))
        if index == tree.root(progress.leaf_count):
            frame.job_is_proven(job)
            self._deliver(frame, progress)
        elif tree.sibling(index) in progress.records:
            self._open(frame, progress, tree.parent(index), prover)

    def _recorded_at(
        self, progress: Progress, index: TreeIndex, ordered: Sequence[tuple[Tick, Operation]]
    ) -> Tick | None:
        record = progress.records.get(index)
        return ordered_at(progress.job.id, index, ordered) if record is None else record.tick

    def _deliver(self, frame: Frame, progress: Progress) -> None:
        pledge, job = progress.pledge, progress.job.id
        assert pledge is not None, "only an awarded prover has a root recorded"
        payee = balance(pledge.prover)
        frame.ledger.move(Moved(price(pledge.id), payee, pledge.price, Cause.AWARD_PAY, job))
        _return_bond(frame.ledger, pledge, job)

    def _miss(self, frame: Frame, progress: Progress) -> None:
        pledge, job, tick = progress.pledge, progress.job.id, frame.moment.tick
        assert pledge is not None, "only an awarded prover can miss"
        progress.is_missed = True
        bond = prover_bond(pledge.id)
        frame.ledger.move(Moved(bond, BURNED, pledge.bond, Cause.AWARD_BOND_LOST, job))
        _return_price(frame.ledger, pledge, job)
        if self.parameters.is_dynamic:
            factor = max(isqrt(progress.touched), 2)
            self._surge = Surge(self._surge_at(tick) * factor, tick)

    def _surge_at(self, tick: Tick) -> int:
        decay = self.parameters.decay_ticks
        left = max(0, decay - (tick - self._surge.since))
        return FULL_SHARE + (self._surge.peak - FULL_SHARE) * left // decay

    def _jobs_per_window(self, tick: Tick) -> int:
        return sum(1 for opened in self._openings if self._is_recent(opened, tick))

    def _is_recent(self, opened: Tick, tick: Tick) -> bool:
        return opened > tick - self.parameters.max_prover_ticks


def _return(ledger: Ledger, pledge: Pledge, job: JobId | None) -> None:
    _return_bond(ledger, pledge, job)
    _return_price(ledger, pledge, job)


def _return_bond(ledger: Ledger, pledge: Pledge, job: JobId | None) -> None:
    source, owner = prover_bond(pledge.id), balance(pledge.prover)
    ledger.move(Moved(source, owner, pledge.bond, Cause.AWARD_BOND_RETURNED, job))


def _return_price(ledger: Ledger, pledge: Pledge, job: JobId | None) -> None:
    source, owner = price(pledge.id), balance(pledge.sequencer)
    ledger.move(Moved(source, owner, pledge.price, Cause.AWARD_PRICE_RETURNED, job))

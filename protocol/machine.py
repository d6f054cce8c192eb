"""The deterministic state machine: a finalised log block goes in, the events it causes come out.

**Rules.** For every finalised block, in this order:

1. An epoch begins, if it does.
2. *Expiries*: stake whose exit delay is over is paid (``protocol.staking``); then the proving
   rule's ``on_tick``, then the sequencing rule's.
3. *Operations* in order. A duplicate or one outside its validity is passed over. Otherwise the
   sender pays the fee, unless the kind is free and the operation is accepted, and the rule that
   handles the kind takes it or refuses it.
4. *Assignments*: the sequencing rule's, then the proving rule's ``on_block_end``.
5. *Settlement*: as long as the sequencing rule names a job that is ready. Exactly the proven fees
   leave the rollup's vault for the job's escrow, and the block reward the treasury, as far as it
   goes; the proving rule pays from what the block promised to provers, the sequencing rule gets
   what is left; the escrow ends empty. Rivals of a settled job, and what they carry, are void.
6. At the end of an epoch the validators of the one after the next are told (``protocol.sets``).
7. The digest advances over the block's events, and at the border of an epoch over the bytes of the
   whole state, from which a machine can go on elsewhere (:meth:`Machine.save`).

**Properties.** A bad operation never raises and changes nothing but its sender's fee. The ledger is
conserved after every operation. Equal logs give equal digests. The machine never verifies a proof
or a body: that they are valid and available is a condition of voting (``protocol.replica``), so
whatever is ordered has been checked by more than two thirds of the log stake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import GenericAlias
from typing import Any, TypeAlias

from protocol.beacon import genesis_beacon
from protocol.bids import bid_fault
from protocol.codec import encoder
from protocol.errors import Reason, Refused
from protocol.events import (
    BackupTaken,
    EquivocationPunished,
    Event,
    InvalidProofPunished,
    JobOpened,
    JobProven,
    JobSettled,
    JobVoided,
    OperationAccepted,
    OperationRefused,
    PoolMember,
    SetChanged,
)
from protocol.ledger import (
    BURNED,
    TREASURY,
    VAULT,
    Cause,
    Ledger,
    Moved,
    Pocket,
    balance,
    escrow,
    log_stake,
    prover_stake,
    sequencer_stake,
)
from protocol.messages import (
    NO_JOB,
    Bid,
    JobHeader,
    LogHeader,
    Operation,
    Presence,
    ProofEvidence,
    ProofRecord,
    ProposalEvidence,
    SignedOperation,
    VoteEvidence,
    header_is_signed,
    job_id,
    operation_hash,
    operation_is_signed,
    vote_is_signed,
)
from protocol.ordering.chain import Link
from protocol.params import EVIDENCE_EPOCHS, Genesis, network_id
from protocol.rules import Ask, Frame, Job, Moment, ProvingRule, SequencingRule, descendants
from protocol.sets import Sets, SetsState
from protocol.signing import digest
from protocol.snapshot import plain_bytes, read_plain, snapshot_digest, state_type
from protocol.staking import STAKING, Staking, StakingState
from protocol.types import (
    FULL_SHARE,
    Account,
    Amount,
    Beacon,
    Digest,
    Epoch,
    JobId,
    NetworkId,
    OperationHash,
    Root,
    Slot,
    Tick,
    TreeIndex,
    VrfKey,
)

STATE_BYTES_MAX = 1 << 26
"""Most bytes of a state that is taken from elsewhere."""

EVIDENCE = (VoteEvidence, ProposalEvidence, ProofEvidence)
"""Payloads that report a fault; the machine itself punishes it."""

Evidence: TypeAlias = VoteEvidence | ProposalEvidence | ProofEvidence

_event_bytes = encoder(Event)


@dataclass(frozen=True, slots=True)
class FinalBlock:
    """A finalised log block as the machine sees it."""

    moment: Moment
    operations: tuple[SignedOperation, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """What one block did: its events in order, and the digest after it."""

    tick: Tick
    events: tuple[Event, ...]
    digest: Digest


@dataclass(frozen=True, slots=True)
class Common:
    """What a machine knows beside its two rules.

    :ivar beacon: that of the last block.
    :ivar settled_head: the last settled job.
    :ivar settled_root: the rollup's root after it.
    :ivar seen: operations that were ordered, with their last valid ticks.
    :ivar punished: equivocations by offender and slot.
    :ivar forgeries: forged proofs by offender and place.
    """

    tick: Tick
    beacon: Beacon
    settled_head: JobId
    settled_root: Root
    pockets: dict[Pocket, Amount]
    jobs: dict[JobId, Job]
    seen: dict[OperationHash, Tick]
    punished: dict[tuple[Account, Slot], None]
    forgeries: dict[tuple[Account, JobId, TreeIndex], None]
    epoch_seeds: dict[Epoch, Beacon]
    staking: StakingState
    sets: SetsState


@dataclass(frozen=True, slots=True)
class Saved:
    """A machine at the border of an epoch.

    :ivar story: digest of all blocks so far, before the state was mixed in.
    :ivar state: the state's bytes.
    """

    story: Digest
    state: bytes

    @property
    def digest(self) -> Digest:
        """The machine's digest there."""
        return Digest(digest(b"provnet/border/1", self.story, snapshot_digest(self.state)))


class Machine:
    """All state of a network that follows from its log.

    :ivar saved: the state at the last border; None before the first.
    """

    def __init__(
        self,
        genesis: Genesis,
        genesis_root: Root,
        sequencing: SequencingRule,
        proving: ProvingRule,
    ) -> None:
        """Begin at the genesis.

        :param genesis_root: root of the rollup's first state, as the network's backend computes it.
        :raises Refused: CONTRADICTORY_GENESIS when the two rules do not go together, UNTYPED_STATE
            when one of them does not say what its state is.
        """
        objection = sequencing.combines_with(proving)
        if objection is not None:
            raise Refused(Reason.CONTRADICTORY_GENESIS, objection)
        self.genesis = genesis
        self.network = network_id(genesis)
        self.sequencing = sequencing
        self.proving = proving
        self._events: list[Event] = []
        self.ledger = Ledger.of_genesis(genesis, self._emit)
        self.jobs: dict[JobId, Job] = {}
        self.settled_head = NO_JOB
        self.settled_root = genesis_root
        self.tick = Tick(0)
        self.digest = Digest(digest(b"provnet/state/1", self.network, genesis_root))
        self.staking = Staking(genesis)
        self.sets = Sets(genesis)
        self._seen: dict[OperationHash, Tick] = {}
        self._punished: dict[tuple[Account, Slot], None] = {}
        self._forgeries: dict[tuple[Account, JobId, TreeIndex], None] = {}
        self.beacon = first = genesis_beacon(self.network)
        self._epoch_seeds = {Epoch(epoch): first for epoch in range(3)}
        self._free = (*EVIDENCE, *sequencing.free, *proving.free)
        self.saved: Saved | None = None
        self._story = self.digest
        kinds = Common, state_type(sequencing), state_type(proving)
        self._state_type: Any = GenericAlias(tuple, kinds)
        sequencing.start(genesis_root)

    # --- reading ---

    def epoch(self, tick: Tick) -> Epoch:
        """The epoch that a height lies in; the first block of epoch e has height ``e *
        epoch_ticks + 1``.
        """
        return Epoch((tick - 1) // self.genesis.network.epoch_ticks)

    @property
    def epoch_seed(self) -> Beacon:
        """Randomness of the next block's epoch: the beacon at the end of the epoch before the
        last.
        """
        return self._epoch_seeds[self.epoch(Tick(self.tick + 1))]

    @property
    def vrf_keys(self) -> dict[Account, VrfKey]:
        """The keys of lots that sequencing counts."""
        return self.staking.vrf_keys

    def needs_ticks(self) -> bool:
        """Whether a window is open, so that the log has to grow without operations."""
        return self.sequencing.needs_ticks() or self.proving.needs_ticks()

    def objection(self, operation: Operation, height: Tick) -> Reason | None:
        """Why a block at ``height`` must not carry the operation, judged by the state so far; None
        if it may.

        Being includable does not mean being accepted: rights and rounds may have changed by then.
        """
        out_of_place = self._out_of_place(operation, operation_hash(operation), height)
        if out_of_place is not None:
            return out_of_place
        stakes = (prover_stake(operation.sender), log_stake(operation.sender))
        is_staked = any(self.ledger.at_risk(stake) for stake in stakes)
        is_free = isinstance(operation.payload, EVIDENCE) or (
            isinstance(operation.payload, self._free) and is_staked
        )
        payable = self.ledger.holds(balance(operation.sender)) >= self.genesis.network.operation_fee
        return None if is_free or payable else Reason.FEE_UNPAYABLE

    def earliest(
        self, operation: Operation, ordered: Sequence[tuple[Tick, Operation]]
    ) -> Tick | None:
        """First tick at which ordering the operation can have effect; see ``Rule.earliest``.

        A fault is reported once, and a tree node is proven once by each prover: to order more of
        the same would only cost its senders their fees.
        """
        payload = operation.payload
        if isinstance(payload, EVIDENCE):
            is_moot = self.is_punished(payload) or self._is_reported(payload, ordered)
            return None if is_moot else Tick(0)
        if isinstance(payload, ProofRecord) and _is_recorded(operation.sender, payload, ordered):
            return None
        for rule in (self.sequencing, self.proving):
            if isinstance(operation.payload, rule.handles):
                return rule.earliest(operation.sender, operation.payload, ordered)
        return Tick(0)

    def asks(self) -> tuple[Ask, ...]:
        """The blocks that provers may bid for now, and what a bid must offer."""
        asked = (
            self.proving.ask(block, self._worth(block.sequencer), self.tick)
            for block in self.sequencing.awaited()
        )
        return tuple(ask for ask in asked if ask is not None)

    def bid_objection(self, bid: Bid) -> Reason | None:
        """Why a bid is of no use now, judged by the final state; None if it could be awarded."""
        for ask in self.asks():
            if (ask.block.round, ask.block.sequencer) == (bid.round, bid.sequencer):
                return bid_fault(self.ledger, bid, ask.bond, Tick(self.tick + 1))
        return Reason.NOT_AWAITED

    def _worth(self, sequencer: Account) -> Amount:
        stake = self.ledger.holds(sequencer_stake(sequencer))
        return Amount(stake + self.genesis.network.mev)

    def is_punished(self, evidence: Evidence) -> bool:
        """Whether the fault was punished already."""
        if isinstance(evidence, ProofEvidence):
            return forgery(evidence) in self._forgeries
        return accused(evidence) in self._punished

    def _is_reported(self, evidence: Evidence, ordered: Sequence[tuple[Tick, Operation]]) -> bool:
        """Whether other evidence of the fault is ordered that will be believed.

        Otherwise who is at fault could keep it off the log by false evidence against itself.
        """
        reports = (one.payload for _, one in ordered if isinstance(one.payload, EVIDENCE))
        return any(accused(one) == accused(evidence) and self._is_genuine(one) for one in reports)

    def _is_genuine(self, evidence: Evidence) -> bool:
        """Whether the accused signed what the evidence shows."""
        if isinstance(evidence, ProofEvidence):
            return operation_is_signed(self.network, evidence.signed)
        try:
            equivocation(self.network, evidence)
        except Refused:
            return False
        return True

    def invariants(self) -> Iterator[str]:
        """A sentence for each property that does not hold; nothing when all is well."""
        if not self.ledger.is_conserved():
            yield "the pockets do not add up to the supply"
        yield from self.sequencing.invariants()
        yield from self.proving.invariants()

    # --- the whole state ---

    @property
    def is_at_border(self) -> bool:
        """Whether an epoch ends with the last block, so that the state can be saved."""
        return self._ends_epoch(self.tick) and self.tick > 0

    def snapshot(self) -> bytes:
        """The whole state as bytes."""
        return plain_bytes((self._common(), self.sequencing.snapshot(), self.proving.snapshot()))

    def _common(self) -> Common:
        return Common(
            self.tick,
            self.beacon,
            self.settled_head,
            self.settled_root,
            self.ledger.pockets(),
            self.jobs,
            self._seen,
            self._punished,
            self._forgeries,
            self._epoch_seeds,
            self.staking.snapshot(),
            self.sets.snapshot(),
        )

    def save(self) -> Saved:
        """What another machine can go on from. AssertionError but at a border."""
        assert self.is_at_border, f"no epoch ends with block {self.tick}"
        return Saved(self._story, self.snapshot())

    def read(self, saved: Saved) -> Common:
        """What a saved state says beside the rules. Raises Refused as
        :func:`~protocol.snapshot.read_plain`.
        """
        return self._parts_of(saved)[0]

    def _parts_of(self, saved: Saved) -> tuple[Common, Any, Any]:
        parts: tuple[Common, Any, Any] = read_plain(
            self._state_type, saved.state, size_max=STATE_BYTES_MAX
        )
        return parts

    def restore(self, saved: Saved) -> None:
        """Go on from where another machine of this network was saved.

        That the digest is right is for the caller to know: it is :attr:`Saved.digest`.

        :raises Refused: TOO_LARGE, WRONG_SHAPE or NOT_CANONICAL as
            :func:`~protocol.snapshot.read_plain`, WRONG_STATE for one that no machine of this
            network can have at a border; then nothing changed.
        """
        common, sequencing, proving = self._parts_of(saved)
        ledger = Ledger(common.pockets, self._emit)
        after = self.epoch(Tick(common.tick + 1))
        if common.tick == 0 or not self._ends_epoch(common.tick):
            raise Refused(Reason.WRONG_STATE, f"no epoch ends with block {common.tick}")
        if ledger.supply != self.ledger.supply or not {after, after + 1} <= set(common.epoch_seeds):
            raise Refused(Reason.WRONG_STATE, "another supply, or no seed of the next epochs")
        self.sets.restore(common.sets)
        self.tick, self.beacon = common.tick, common.beacon
        self.settled_head, self.settled_root = common.settled_head, common.settled_root
        self.ledger, self.jobs = ledger, common.jobs
        self.staking.restore(common.staking)
        self._seen, self._epoch_seeds = common.seen, common.epoch_seeds
        self._punished, self._forgeries = common.punished, common.forgeries
        self.sequencing.restore(sequencing)
        self.proving.restore(proving)
        self.saved, self._story, self.digest = saved, saved.story, saved.digest

    # --- applying ---

    def apply(self, block: FinalBlock) -> Applied:
        """Apply the next finalised block.

        Total on any operations; AssertionError when it is not the next.
        """
        moment = block.moment
        assert moment.tick == self.tick + 1, f"block {moment.tick} after {self.tick}"
        assert not self._events
        self.tick, self.beacon = moment.tick, moment.beacon
        frame = self._frame(moment)
        if self._ends_epoch(Tick(moment.tick - 1)) and moment.tick > 1:
            self._begin_epoch(frame)
        else:
            self.sets.on_certificate(moment.voters)
        self.staking.on_tick(frame)
        self.proving.on_tick(frame)
        self.sequencing.on_tick(frame)
        for signed in block.operations:
            self._apply_operation(frame, signed.operation)
        self.sequencing.on_block_end(frame)
        self.proving.on_block_end(frame)
        self._settle(frame)
        if self._ends_epoch(moment.tick) and self.epoch(moment.tick) > 0:
            self._epoch_seeds[Epoch(self.epoch(moment.tick) + 2)] = moment.beacon
        if self._ends_epoch(moment.tick):
            self._end_epoch(moment.tick)
        return self._finish(moment.tick)

    def _ends_epoch(self, tick: Tick) -> bool:
        return tick % self.genesis.network.epoch_ticks == 0

    def _finish(self, tick: Tick) -> Applied:
        events = tuple(self._events)
        self._events.clear()
        parts = [_event_bytes(one) for one in events]
        self._story = Digest(
            digest(b"provnet/state/1", self.digest, tick.to_bytes(8, "big"), *parts)
        )
        self.digest = self._story
        if self.is_at_border:
            self.saved = self.save()
            self.digest = self.saved.digest
        return Applied(tick, events, self.digest)

    def _frame(self, moment: Moment) -> Frame:
        frame = Frame(
            moment=moment,
            network=self.network,
            ledger=self.ledger,
            jobs=self.jobs,
            vrf_keys=self.vrf_keys,
            epoch_seed=self._epoch_seeds[self.epoch(moment.tick)],
            emit=self._emit,
            open_job=lambda header, pool: self._open_job(frame, header, pool),
            job_is_proven=self._job_is_proven,
            void_job=lambda job: self._void_job(frame, job, because=job),
            settle_backup=lambda *backup: self._settle_backup(frame, *backup),
            mev=self.genesis.network.mev,
            pool=lambda: self.proving.pool(frame),
            latest=lambda job: self.proving.latest(job, moment.tick),
            gave_up=self.proving.gave_up,
            is_committed=self.proving.is_committed,
            compensate=lambda job, purse, budget: self.proving.compensate(
                frame, job, purse, budget
            ),
            awaited=self.sequencing.awaited,
        )
        return frame

    def _begin_epoch(self, frame: Frame) -> None:
        """Forget what can no longer matter, then let the rules do the same."""
        tick, epoch = frame.moment.tick, self.epoch(frame.moment.tick)
        self._seen = {one: until for one, until in self._seen.items() if until >= tick}
        self._epoch_seeds = {at: seed for at, seed in self._epoch_seeds.items() if at >= epoch}
        oldest = self._oldest_evidence(frame)
        self._punished = {fault: None for fault in self._punished if fault[1] >= oldest}
        self._forgeries = {
            fault: None for fault in self._forgeries if self.proving.job(fault[1]) is not None
        }
        self.staking.on_epoch(epoch)
        self.proving.on_epoch(frame)
        self.sequencing.on_epoch(frame)

    def _end_epoch(self, tick: Tick) -> None:
        if self.sets.on_border(self.ledger, self.staking.registered):
            epoch = Epoch(self.epoch(tick) + 2)
            self._emit(SetChanged(epoch, self.sets.successors.members))

    def _emit(self, event: Event) -> None:
        self._events.append(event)

    # --- operations ---

    def _apply_operation(self, frame: Frame, operation: Operation) -> None:
        identity, kind = operation_hash(operation), type(operation.payload).__name__
        out_of_place = self._out_of_place(operation, identity, self.tick)
        if out_of_place is not None:
            self._emit(OperationRefused(identity, operation.sender, kind, out_of_place.name))
            return
        self._seen[identity] = operation.valid_until
        self.sets.on_operation(operation.sender)
        is_free = isinstance(operation.payload, self._free)
        try:
            if not is_free:
                self._charge(frame, operation.sender, identity)
            self._dispatch(frame, operation, identity)
            self._emit(OperationAccepted(identity, operation.sender, kind))
        except Refused as refusal:
            if is_free:
                self._take_fee(frame, operation.sender, identity)
            self._emit(OperationRefused(identity, operation.sender, kind, refusal.reason.name))

    def _out_of_place(
        self, operation: Operation, identity: OperationHash, height: Tick
    ) -> Reason | None:
        """Why the operation does not count at ``height`` and does not even cost a fee."""
        if operation.valid_until < height:
            return Reason.EXPIRED
        if operation.valid_until > height + self.genesis.network.epoch_ticks:
            return Reason.VALID_TOO_LONG
        return Reason.DUPLICATE if identity in self._seen else None

    def _charge(self, frame: Frame, sender: Account, identity: OperationHash) -> None:
        if self._take_fee(frame, sender, identity) < self.genesis.network.operation_fee:
            raise Refused(Reason.FEE_UNPAYABLE)

    def _take_fee(self, frame: Frame, sender: Account, identity: OperationHash) -> Amount:
        """Move the fee, or what there is of it, to the proposer. Returns what was paid."""
        held = self.ledger.holds(balance(sender))
        fee = Amount(min(held, self.genesis.network.operation_fee))
        if sender != frame.moment.proposer:
            target = balance(frame.moment.proposer)
            self.ledger.move(
                Moved(balance(sender), target, fee, Cause.OPERATION_FEE, operation=identity)
            )
        return fee

    def _dispatch(self, frame: Frame, operation: Operation, identity: OperationHash) -> None:
        payload = operation.payload
        if isinstance(payload, VoteEvidence | ProposalEvidence):
            self._punish(frame, operation.sender, payload, identity)
        elif isinstance(payload, ProofEvidence):
            self._punish_forger(operation.sender, payload, identity)
        elif isinstance(payload, Presence):
            return  # that it was ordered is all that it says
        elif isinstance(payload, STAKING):
            self.staking.on_operation(frame, operation.sender, payload, identity)
        elif isinstance(payload, self.sequencing.handles):
            self.sequencing.on_operation(frame, operation.sender, payload, identity)
        elif isinstance(payload, self.proving.handles):
            self.proving.on_operation(frame, operation.sender, payload, identity)
        else:
            raise Refused(Reason.UNHANDLED_KIND, type(payload).__name__)

    # --- evidence ---

    def _oldest_evidence(self, frame: Frame) -> int:
        return frame.moment.slot - EVIDENCE_EPOCHS * self.genesis.network.epoch_ticks

    def _punish(
        self,
        frame: Frame,
        reporter: Account,
        evidence: VoteEvidence | ProposalEvidence,
        identity: OperationHash,
    ) -> None:
        offender, slot = equivocation(self.network, evidence)
        if slot < self._oldest_evidence(frame):
            raise Refused(Reason.EVIDENCE_TOO_OLD)
        if (offender, slot) in self._punished:
            raise Refused(Reason.ALREADY_PUNISHED)
        stake = self.ledger.at_risk(log_stake(offender))
        if stake == 0:
            raise Refused(Reason.NOT_EVIDENCE, "the offender has no log stake")
        self._punished[offender, slot] = None
        penalty = Amount(stake * self.genesis.network.equivocation_penalty // FULL_SHARE)
        self.ledger.forfeit(
            Moved(log_stake(offender), BURNED, penalty, Cause.EQUIVOCATION, operation=identity)
        )
        self._emit(EquivocationPunished(offender, slot, reporter))

    def _punish_forger(
        self, reporter: Account, evidence: ProofEvidence, identity: OperationHash
    ) -> None:
        """That the bytes do not prove the record was a condition of voting."""
        offender, record = evidence.sender, evidence.record
        fault = forgery(evidence)
        if self.proving.job(record.job) is None:
            raise Refused(Reason.EVIDENCE_TOO_OLD)
        if fault in self._forgeries:
            raise Refused(Reason.ALREADY_PUNISHED)
        stake = self.ledger.at_risk(prover_stake(offender))
        if stake == 0:
            raise Refused(Reason.NOT_EVIDENCE, "the offender has no prover stake")
        if not operation_is_signed(self.network, evidence.signed):
            raise Refused(Reason.BAD_SIGNATURE)
        self._forgeries[fault] = None
        penalty = Amount(stake * self.genesis.network.invalid_proof_penalty // FULL_SHARE)
        self.ledger.forfeit(
            Moved(
                prover_stake(offender),
                BURNED,
                penalty,
                Cause.INVALID_PROOF,
                record.job,
                identity,
                record.index,
            )
        )
        self._emit(InvalidProofPunished(offender, record.job, record.index, reporter))

    # --- jobs ---

    def _open_job(self, frame: Frame, header: JobHeader, pool: tuple[PoolMember, ...]) -> JobId:
        job = Job(job_id(header), header, frame.moment.tick)
        assert job.id not in self.jobs, "a job id binds its round"
        self.jobs[job.id] = job
        self._emit(JobOpened(job.id, header, pool))
        self.proving.open_job(frame, job, pool)
        return job.id

    def _job_is_proven(self, job: JobId) -> None:
        self.jobs[job] = replace(self.jobs[job], is_proven=True)
        self._emit(JobProven(job))

    def _void_job(self, frame: Frame, doomed: JobId, because: JobId) -> None:
        """Void a job and everything that builds on it, the newest first."""
        line = [doomed, *(job.id for job in descendants(self.jobs, doomed))]
        for one in reversed(line):
            self._close(frame, one, settled=False)
            self._emit(JobVoided(one, because))

    def _close(self, frame: Frame, closing: JobId, *, settled: bool) -> None:
        job = self.jobs.pop(closing)
        self.proving.on_job_closed(frame, job, settled=settled)
        self.sequencing.on_job_closed(frame, job, settled=settled)

    def _settle(self, frame: Frame) -> None:
        while (ready := self.sequencing.next_settled(self.jobs)) is not None:
            job = self.jobs[ready]
            income = self._fund(job)
            share = self.sequencing.share(job, income)
            left = self.proving.settle(frame, job, share)
            self.sequencing.settle(frame, job, Amount(income - share + left))
            assert self.ledger.holds(escrow(job.id)) == 0, "a settled job leaves no escrow"
            self.settled_head, self.settled_root = job.id, job.header.to_root
            self._close(frame, job.id, settled=True)
            self._emit(JobSettled(job.id))
            for rival in tuple(self.jobs.values()):
                if rival.parent == job.parent:
                    self._void_job(frame, rival.id, because=job.id)

    def _settle_backup(
        self, frame: Frame, header: JobHeader, prover: Account, identity: OperationHash
    ) -> None:
        """A block that came with its proof: opened, proven and settled at once."""
        job = Job(job_id(header), header, frame.moment.tick, is_proven=True)
        self._emit(JobOpened(job.id, header, ()))
        self._emit(BackupTaken(job.id, prover))
        self._emit(JobProven(job.id))
        income = self._fund(job)
        self.ledger.move(
            Moved(escrow(job.id), balance(prover), income, Cause.BACKUP_PAY, job.id, identity)
        )
        self.settled_head, self.settled_root = job.id, job.header.to_root
        self.sequencing.on_job_closed(frame, job, settled=True)
        self._emit(JobSettled(job.id))

    def _fund(self, job: Job) -> Amount:
        """Fill the job's escrow; returns what is in it."""
        purse, parameters = escrow(job.id), self.genesis.network
        reward = Amount(min(parameters.block_reward, self.ledger.holds(TREASURY)))
        self.ledger.move(Moved(VAULT, purse, job.header.fees, Cause.PROVEN_FEES, job.id))
        self.ledger.move(Moved(TREASURY, purse, reward, Cause.BLOCK_REWARD, job.id))
        return self.ledger.holds(purse)


def moment_of(header: LogHeader, link: Link) -> Moment:
    """Where in the log the machine stands when it applies a block."""
    certificate = header.certificate
    voters = () if certificate is None else tuple(voter for voter, _ in certificate.signatures)
    return Moment(link.height, link.slot, link.beacon, link.settled, header.proposer, voters)


def forgery(evidence: ProofEvidence) -> tuple[Account, JobId, TreeIndex]:
    """Who is said to have forged a proof of what: one fault, however many forgeries there were."""
    return evidence.sender, evidence.record.job, evidence.record.index


def accused(evidence: Evidence) -> tuple[Account, Slot] | tuple[Account, JobId, TreeIndex]:
    """Whom the evidence says to be at fault in what, be it true or not."""
    match evidence:
        case VoteEvidence():
            return evidence.first.vote.voter, evidence.first.vote.slot
        case ProposalEvidence():
            return evidence.first.header.proposer, evidence.first.header.slot
    return forgery(evidence)


def _is_recorded(
    sender: Account, record: ProofRecord, ordered: Sequence[tuple[Tick, Operation]]
) -> bool:
    """Whether a record of the tree node by the same prover is ordered."""
    place = (sender, record.job, record.index)
    return any(
        (one.sender, one.payload.job, one.payload.index) == place
        for _, one in ordered
        if isinstance(one.payload, ProofRecord)
    )


def equivocation(
    network: NetworkId, evidence: VoteEvidence | ProposalEvidence
) -> tuple[Account, Slot]:
    """Who signed two things for which slot.

    :raises Refused: NOT_EVIDENCE when the two do not contradict each other, BAD_SIGNATURE when one
        is not signed.
    """
    if isinstance(evidence, VoteEvidence):
        votes = (evidence.first.vote, evidence.second.vote)
        faults = [(vote.voter, vote.slot) for vote in votes]
        differ = votes[0].block != votes[1].block
    else:
        headers = (evidence.first.header, evidence.second.header)
        faults = [(header.proposer, header.slot) for header in headers]
        differ = headers[0] != headers[1]
    if faults[0] != faults[1] or not differ:
        raise Refused(Reason.NOT_EVIDENCE)
    if not _are_signed(network, evidence):
        raise Refused(Reason.BAD_SIGNATURE)
    return faults[0]


def _are_signed(network: NetworkId, evidence: VoteEvidence | ProposalEvidence) -> bool:
    if isinstance(evidence, VoteEvidence):
        return all(vote_is_signed(network, one) for one in (evidence.first, evidence.second))
    return all(header_is_signed(network, one) for one in (evidence.first, evidence.second))

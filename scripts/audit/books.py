"""Applies a final log a second time and keeps the books of it.

Rules. For every final log block in order: what time brings about, to provers first, then to
sequencers; the operations; then jobs may open; then proven jobs are paid, oldest first. An
operation out of its validity, or seen before, costs nothing. Any other costs its fee, to the log
proposer, unless it is of a free kind and took effect; who cannot pay all of it is refused.

A job pays exactly the fees of its header and the block reward, as far as the treasury goes:
``fee_split`` of them to provers, the rest to the sequencer; a backup all of it to its sender.
What provers keep back for claims is paid later.

Properties. It reads the log, the genesis and the first root, and no event of any node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from protocol.beacon import genesis_beacon
from protocol.errors import Refused
from protocol.machine import FinalBlock, equivocation
from protocol.messages import (
    AddStake,
    BackupBlock,
    BlockCommitment,
    BlockReveal,
    Delegate,
    JobHeader,
    Operation,
    Pay,
    Presence,
    ProofEvidence,
    ProposalEvidence,
    StakeKind,
    Undelegate,
    Unstake,
    VoteEvidence,
    job_id,
    operation_hash,
    operation_is_signed,
)
from protocol.params import EVIDENCE_EPOCHS, Genesis, network_id
from protocol.rules import Moment
from protocol.types import Account, Beacon, JobId, OperationHash, Root, Slot, TreeIndex
from scripts.audit.bonded import BondedReading
from scripts.audit.elected_side import ElectedSide
from scripts.audit.fernet import FernetReading
from scripts.audit.settled import Payment, Settled
from scripts.audit.sides import ProvingSide, Shared
from scripts.audit.stakes import Stakes

Staking: TypeAlias = Pay | AddStake | Delegate | Unstake | Undelegate
"""Operations that move money between accounts, stake and exits."""

_SIDES: Mapping[str, Callable[[Genesis, Shared], ProvingSide]] = {
    "elected": ElectedSide,
    "bonded": BondedReading,
}

READABLE = tuple(("fernet", proving) for proving in _SIDES)
"""Sequencing and proving rules of which there is a second reading."""

_WHOLE = 10_000
_EVIDENCE = (VoteEvidence, ProposalEvidence, ProofEvidence)
_FIRST_EPOCHS = 3


class Audit:
    """The books of a network after the blocks that were applied.

    :param root: root of the rollup's first state.
    :ivar settled: jobs that were paid, in order.
    :ivar earned: by account and cause, in micro-units.
    """

    def __init__(self, genesis: Genesis, root: Root) -> None:
        self._genesis = genesis
        self._network = network_id(genesis)
        self._balances = {one.account: int(one.balance) for one in genesis.accounts}
        self._log_stakes = Stakes((one.account, int(one.log_stake)) for one in genesis.accounts)
        self._vault = sum(int(one.balance) for one in genesis.rollup)
        self._treasury = int(genesis.network.treasury)
        self._seen: set[OperationHash] = set()
        self._punished: set[tuple[Account, Slot]] = set()
        self._seeds: dict[int, Beacon] = {}
        self._fernet = FernetReading(genesis, root)
        stakes, awaited = self._fernet.stakes, self._fernet.awaited
        shared = Shared(self._balances, self._log_stakes, stakes, awaited, self._earn)
        self._proving = _SIDES[genesis.proving.name](genesis, shared)
        self._stakes = {
            StakeKind.LOG: self._log_stakes,
            StakeKind.PROVER: self._proving.stakes,
            StakeKind.SEQUENCER: stakes,
        }
        self._forged: set[tuple[Account, JobId, TreeIndex]] = set()
        self.settled: list[Settled] = []
        self.earned: dict[Account, dict[str, int]] = {}

    def apply(self, block: FinalBlock) -> None:
        """Apply the next final block."""
        moment = block.moment
        for stakes in self._stakes.values():
            for owner, amount in stakes.pay(moment.tick):
                self._balances[owner] = self._balances.get(owner, 0) + amount
        self._proving.pass_time(moment)
        has_missed = self._void_overdue(moment.tick)
        pool, has_prover = self._proving.pool(moment), self._proving.is_committed
        self._fernet.pass_time(moment, pool, has_prover, has_missed=has_missed)
        for signed in block.operations:
            self._take(moment, signed.operation)
        for header, pool in self._fernet.open(moment, has_prover):
            self._proving.open(moment, job_id(header), header, pool)
        self._proving.end_block()
        self._pay_proven(moment.tick)
        epoch_ticks = self._genesis.network.epoch_ticks
        if moment.tick % epoch_ticks == 0:
            self._seeds[moment.tick // epoch_ticks + 1] = moment.beacon

    def income(self) -> dict[str, dict[str, int]]:
        """What each account of the genesis earned, by name and cause, without zeros."""
        return {
            one.name: dict(sorted(self.earned.get(one.account, {}).items()))
            for one in self._genesis.accounts
        }

    # --- operations ---

    def _take(self, moment: Moment, operation: Operation) -> None:
        identity, until = operation_hash(operation), operation.valid_until
        is_valid = moment.tick <= until <= moment.tick + self._genesis.network.epoch_ticks
        if not is_valid or identity in self._seen:
            return
        self._seen.add(identity)
        if isinstance(operation.payload, (*_EVIDENCE, *self._proving.free)):
            if not self._dispatch(moment, operation):
                self._charge(moment, operation.sender)
        elif self._charge(moment, operation.sender):
            self._dispatch(moment, operation)

    def _charge(self, moment: Moment, sender: Account) -> bool:
        """Move the fee, or what there is of it, to the proposer; whether it was all there."""
        held, due = self._balances.get(sender, 0), self._genesis.network.operation_fee
        if sender != moment.proposer:
            self._balances[sender] = held - min(held, due)
            self._earn(Payment(moment.proposer, "OPERATION_FEE", min(held, due)))
        return held >= due

    def _dispatch(self, moment: Moment, operation: Operation) -> bool:
        """Whether the operation takes effect; then it did."""
        sender = operation.sender
        match operation.payload:
            case ProofEvidence() as payload:
                return self._punish_forger(payload)
            case BlockCommitment() as payload:
                seed = self._epoch_seed(moment.tick)
                return self._fernet.take_commitment(moment, sender, payload, seed)
            case BlockReveal() as payload:
                return self._fernet.take_reveal(moment, sender, payload, self._vault)
            case BackupBlock() as payload:
                return self._take_backup(moment, sender, payload)
            case VoteEvidence() | ProposalEvidence() as payload:
                return self._punish(moment, payload)
            case Presence():
                return True
            case Pay() | AddStake() | Delegate() | Unstake() | Undelegate() as payload:
                return self._move(moment, sender, payload)
            case payload:
                return self._proving.take(moment, sender, payload)

    def _move(self, moment: Moment, sender: Account, payload: Staking) -> bool:
        """Money between accounts, into stake, and towards its exit."""
        if payload.amount == 0:
            return False
        if isinstance(payload, Unstake | Undelegate):
            holder = sender if isinstance(payload, Unstake) else payload.delegate
            due = moment.tick + self._genesis.network.exit_delay_ticks
            is_named = isinstance(payload, Unstake) or holder != sender
            stakes = self._stakes[payload.stake]
            return is_named and stakes.take(holder, sender, payload.amount, due)
        if self._balances.get(sender, 0) < payload.amount or not self._may_add(
            moment, sender, payload
        ):
            return False
        self._balances[sender] -= payload.amount
        if isinstance(payload, Pay):
            held = self._balances.get(payload.receiver, 0)
            self._balances[payload.receiver] = held + payload.amount
        else:
            holder = sender if isinstance(payload, AddStake) else payload.delegate
            self._stakes[payload.stake].add(holder, sender, payload.amount)
        return True

    def _may_add(self, moment: Moment, sender: Account, payload: Staking) -> bool:
        """Whether nothing but money could speak against it; then a key is registered."""
        match payload:
            case Pay(receiver):
                return receiver != sender
            case AddStake(_, _, key):
                epoch_ticks = self._genesis.network.epoch_ticks
                epoch = (moment.tick - 1) // epoch_ticks
                return self._fernet.register(sender, key, (epoch + 3) * epoch_ticks)
            case Delegate(kind, delegate):
                is_lent = kind is not StakeKind.SEQUENCER and delegate != sender
                return is_lent and self._stakes[kind].owned(delegate, delegate) > 0
        return False

    def _punish(self, moment: Moment, payload: VoteEvidence | ProposalEvidence) -> bool:
        try:
            offender, slot = equivocation(self._network, payload)
        except Refused:
            return False
        oldest = moment.slot - EVIDENCE_EPOCHS * self._genesis.network.epoch_ticks
        stake = self._log_stakes.at_risk(offender)
        if slot < oldest or (offender, slot) in self._punished or stake == 0:
            return False
        self._punished.add((offender, slot))
        burned = stake * self._genesis.network.equivocation_penalty // _WHOLE
        self._log_stakes.lose(offender, burned)
        return True

    def _punish_forger(self, evidence: ProofEvidence) -> bool:
        """Whoever votes for evidence saw that the bytes do not prove what was signed."""
        offender, record = evidence.sender, evidence.record
        fault = (offender, record.job, record.index)
        stake = self._proving.stakes.at_risk(offender)
        is_new = self._proving.knows(record.job) and fault not in self._forged
        if not is_new or not stake or not operation_is_signed(self._network, evidence.signed):
            return False
        self._forged.add(fault)
        burned = stake * self._genesis.network.invalid_proof_penalty // _WHOLE
        self._proving.stakes.lose(offender, burned)
        return True

    def _epoch_seed(self, tick: int) -> Beacon:
        """The beacon at the end of the epoch before the last; the genesis' for the first ones."""
        epoch = (tick - 1) // self._genesis.network.epoch_ticks
        if epoch < _FIRST_EPOCHS:
            return genesis_beacon(self._network)
        return self._seeds[epoch]

    # --- jobs ---

    def _void_overdue(self, tick: int) -> bool:
        """Void what missed its deadline; whether anything did."""
        has_missed = False
        side = self._proving
        for job, reading in tuple(side.jobs.items()):
            if job not in side.jobs or reading.is_proven:
                continue
            better = [side.jobs[one].is_proven for one in self._fernet.better(job)]
            is_late = self._fernet.is_overdue(reading.opened, side.latest(job, tick), tick)
            if (is_late or side.gave_up(job)) and not any(better):
                self._forfeit(job)
                self._void(job, tick)
                has_missed = True
        return has_missed

    def _forfeit(self, job: JobId) -> None:
        """A lost bond pays recorded proofs, then orphans."""
        paid = 0
        for fallen in self._fernet.line(job):
            for payment in self._proving.compensate(fallen, self._fernet.bond(job) - paid):
                paid += payment.amount
                self._earn(payment)
        for payment in self._fernet.forfeit(job, paid):
            self._earn(payment)

    def _void(self, job: JobId, tick: int) -> None:
        """The job and all that is built on it is void, the newest first."""
        for doomed in reversed(self._fernet.line(job)):
            self._forget(doomed, tick, is_paid=False)

    def _pay_proven(self, tick: int) -> None:
        while (job := next(iter(self._fernet.chain), None)) is not None:
            reading = self._proving.jobs[job]
            if not reading.is_proven:
                return
            header = reading.header
            income = self._fund(header)
            share = income * header.fee_split // _WHOLE
            paid, refund = self._proving.pay(job, share, tick)
            kept = Payment(header.sequencer, "SEQUENCER_SHARE", income - share + refund)
            payments = (kept, *paid)
            for payment in payments:
                self._earn(payment)
            provers, missed = reading.provers, tuple(reading.missed)
            self.settled.append(Settled(job, header, tick, provers, missed, payments))
            self._forget(job, tick, payments, is_paid=True)
            for rival in self._fernet.rivals(header):
                self._void(rival, tick)

    def _fund(self, header: JobHeader) -> int:
        """The proven fees, and the block reward as far as the treasury goes."""
        fees = sum(leaf.fees for leaf in header.content.leaves)
        reward = min(self._treasury, int(self._genesis.network.block_reward))
        self._vault -= fees
        self._treasury -= reward
        return fees + reward

    def _take_backup(self, moment: Moment, sender: Account, payload: BackupBlock) -> bool:
        """Whether a backup takes effect; then its sender has all of its income."""
        header = self._fernet.take_backup(sender, payload, self._vault)
        if header is None:
            return False
        payment = Payment(sender, "BACKUP_PAY", self._fund(header))
        self._earn(payment)
        provers = (sender,) * (2 * header.leaf_count - 1)
        settled = Settled(job_id(header), header, moment.tick, provers, (), (payment,))
        self.settled.append(settled)
        return True

    def _forget(
        self, job: JobId, tick: int, payments: tuple[Payment, ...] = (), *, is_paid: bool
    ) -> None:
        self._proving.close(job, tick, payments)
        self._fernet.close(job, is_paid=is_paid)

    def _earn(self, payment: Payment) -> None:
        if payment.account is None or payment.amount == 0:
            return
        held = self._balances.get(payment.account, 0)
        self._balances[payment.account] = held + payment.amount
        causes = self.earned.setdefault(payment.account, {})
        causes[payment.cause] = causes.get(payment.cause, 0) + payment.amount

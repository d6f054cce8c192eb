"""Judges of a story that share no code with what they judge.

Each oracle sees the blocks that went in and the events that came out, keeps its own books, and
raises :class:`Violation` with a sentence when the two do not fit. The ones in :data:`GENERAL` hold
for every rule whose events mean what ``protocol.events`` says; what is particular to a rule stands
in a file of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import ClassVar, Final, TypeVar

from protocol.events import (
    EquivocationPunished,
    Event,
    InvalidProofPunished,
    JobOpened,
    JobSettled,
    JobVoided,
    OperationAccepted,
    OperationRefused,
    ProofPassedOver,
    ProofRecorded,
)
from protocol.ledger import Cause, Moved, Pocket, PocketKind, balance, uncle_reserve
from protocol.machine import FinalBlock, Machine
from protocol.messages import (
    NO_JOB,
    Operation,
    ProofEvidence,
    ProofRecord,
    ProposalEvidence,
    VoteEvidence,
)
from protocol.testing.board import Board, JobView
from protocol.testing.scenario import Scenario
from protocol.types import Account, Claim, Count, JobId, Slot, Tick, TreeIndex

T = TypeVar("T")


class Violation(AssertionError):
    """A property does not hold; the text says which, and where."""


def must(condition: object, sentence: str, *facts: object) -> None:
    """Raise :class:`Violation` unless ``condition`` holds. The facts are shown only then."""
    if not condition:
        raise Violation(": ".join([sentence, *map(str, facts)]))


def found(value: T | None, sentence: str, *facts: object) -> T:
    """``value``, which must not be None."""
    if value is None:
        raise Violation(": ".join([sentence, *map(str, facts)]))
    return value


def said(failure: Exception) -> str:
    """The first line of what an exception says; its kind, too, unless it is a judge's word."""
    text = str(failure).split("\n")[0]
    return text if isinstance(failure, Violation) else f"{type(failure).__name__}: {text}"


def framed_hash(*parts: bytes) -> bytes:
    """BLAKE2b-256 of parts, each after its length in eight little-endian bytes."""
    joined = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    return blake2b(joined, digest_size=32).digest()


@dataclass(frozen=True, slots=True)
class Page:
    """One block, what it did, and what everybody knows after it."""

    block: FinalBlock
    events: tuple[Event, ...]
    board: Board

    @property
    def tick(self) -> Tick:
        """Height of the block."""
        return self.block.moment.tick


@cache
def _hearing(event: str) -> str:
    return "on" + re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), event)


class Oracle:
    """Base of all judges. One oracle sees one story from its genesis on.

    A judge hears an event by a method of its name: ``on_job_opened(page, event)`` hears
    :class:`~protocol.events.JobOpened`.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._outcomes: Iterator[Operation] = iter(())

    def foresee(self, machine: Machine, block: FinalBlock) -> None:
        """Look at the machine before it applies ``block``."""

    def judge(self, page: Page, machine: Machine) -> None:
        """Hear all events of a block, then conclude. Raises Violation."""
        self._outcomes = (signed.operation for signed in page.block.operations)
        for event in page.events:
            hear = getattr(self, _hearing(type(event).__name__), None)
            if hear is not None:
                hear(page, event)
            self.after(page, event)
        self.conclude(page, machine)

    def after(self, page: Page, event: Event) -> None:
        """Look at every event once it was heard."""

    def conclude(self, page: Page, machine: Machine) -> None:
        """Look at the machine after ``page``. Raises Violation."""

    def on_operation_accepted(self, page: Page, event: OperationAccepted) -> None:
        """Find the operation that the event tells of, by its place."""
        self.heard(page, next(self._outcomes), None)

    def on_operation_refused(self, page: Page, event: OperationRefused) -> None:
        """The same for a refusal."""
        self.heard(page, next(self._outcomes), event.reason)

    def heard(self, page: Page, operation: Operation, reason: str | None) -> None:
        """Hear an outcome together with its operation; ``reason`` is None when it was accepted."""


class MoneyOracle(Oracle):
    """Money is conserved, no pocket is negative, and every change is told by a move."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.pockets: Counter[Pocket] = Counter()
        genesis = scenario.genesis()
        for one in genesis.accounts:
            self.pockets[Pocket(PocketKind.BALANCE, one.account)] = one.balance
            self.pockets[Pocket(PocketKind.LOG_STAKE, one.account)] = one.log_stake
            self.pockets[Pocket(PocketKind.PROVER_STAKE, one.account)] = one.prover_stake
            self.pockets[Pocket(PocketKind.SEQUENCER_STAKE, one.account)] = one.sequencer_stake
        vault = Pocket(PocketKind.ROLLUP_VAULT, b"")
        self.pockets[Pocket(PocketKind.TREASURY, b"")] = scenario.treasury
        self.pockets[vault] = sum(one.balance for one in genesis.rollup)
        self.supply = self.pockets.total()

    def on_moved(self, page: Page, moved: Moved) -> None:
        """Carry the move out in our own books."""
        must(moved.amount > 0, "a move of nothing", moved)
        must(moved.source.kind is not PocketKind.BURNED, "money came back from the burn", moved)
        self.pockets[moved.source] -= moved.amount
        self.pockets[moved.target] += moved.amount
        must(self.pockets[moved.source] >= 0, "a pocket is negative", moved)

    def conclude(self, page: Page, machine: Machine) -> None:
        """Compare all pockets."""
        if page.events:
            told = {pocket: amount for pocket, amount in self.pockets.items() if amount}
            must(told == machine.ledger.pockets(), "a pocket changed without a move", page.tick)
            must(self.pockets.total() == self.supply, "money is not conserved", page.tick)


PAYS: Final = (Cause.PROVER_PAY, Cause.OPEN_PAY, Cause.TAKEOVER_PAY)
"""Pay of the recorded prover for a tree node, whatever it is called."""


class PaymentOracle(Oracle):
    """One pay per tree node, to its recorded prover, once, and all within the proven fees."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.paid: dict[tuple[JobId, TreeIndex], Account] = {}
        self.beside: set[tuple[JobId, TreeIndex | None, bytes]] = set()
        self.in_escrow: Counter[JobId] = Counter()
        self.funded: dict[JobId, int] = {}
        self.treasury = scenario.treasury
        self.closed: list[JobId] = []

    def on_moved(self, page: Page, moved: Moved) -> None:
        """Follow what enters and leaves escrows."""
        kinds = (moved.source.kind, moved.target.kind)
        if PocketKind.ESCROW not in kinds:
            return
        job = found(moved.job, "an escrow's move names no job", moved)
        must(job not in self.closed, "money moved for a closed job", moved)
        if moved.target.kind is PocketKind.ESCROW:
            must(moved.target.owner == job, "fees went to another job's escrow", moved)
            is_reward = moved.cause is Cause.BLOCK_REWARD
            kind = PocketKind.TREASURY if is_reward else PocketKind.ROLLUP_VAULT
            must(moved.source.kind is kind, "income from another pocket", moved)
            self.in_escrow[job] += moved.amount
            self._fund(job, moved, is_reward=is_reward)
            return
        must(moved.source.owner == job, "pay came from another job's escrow", moved)
        self.in_escrow[job] -= moved.amount
        must(self.in_escrow[job] >= 0, "more was paid than was proven", moved)
        self._pay(page.board.jobs[job], moved)

    def _fund(self, job: JobId, moved: Moved, *, is_reward: bool) -> None:
        """Fees once, a reward once, as far as the treasury goes."""
        if is_reward:
            due = min(self.scenario.block_reward, self.treasury)
            must(moved.amount == due, "not the reward that is due", moved, due)
            self.treasury -= moved.amount
            return
        must(job not in self.funded, "a job's fees were taken twice", moved)
        self.funded[job] = moved.amount

    def _pay(self, job: JobView, moved: Moved) -> None:
        if moved.cause is Cause.CO_PAY:
            self._pay_beside(job, moved)
            return
        if moved.cause is Cause.UNCLE_RESERVED:
            must(moved.target == uncle_reserve(job.id), "kept for another job", moved)
            return
        if moved.cause not in PAYS:
            is_share = moved.cause in (Cause.SEQUENCER_SHARE, Cause.BACKUP_PAY)
            is_backup = not job.nodes
            must((moved.cause is Cause.BACKUP_PAY) == is_backup, "the wrong kind of share", moved)
            target = job.header.sequencer if is_share else b""
            must(moved.target.owner == target, "neither the sequencer's nor burned", moved)
            return
        place = found(moved.place, "a pay names no tree node", moved)
        must((job.id, place) not in self.paid, "a tree node was paid twice", moved)
        record = found(job.nodes[place].record, "a tree node was paid without a proof", moved)
        must(moved.target == balance(record.prover), "pay did not go to the prover", moved)
        self.paid[job.id, place] = record.prover
        if moved.cause is Cause.PROVER_PAY:
            must(record.prover in job.nodes[place].owners, "not its own tree node", moved)
            must(record.prover not in job.failed, "who failed the job was paid", moved)

    def _pay_beside(self, job: JobView, moved: Moved) -> None:
        """Another of its provers, which showed a proof of its own, is paid once."""
        node = job.nodes[found(moved.place, "a pay names no tree node", moved)]
        shown = [one.prover for one in node.claims if one.prover in node.owners]
        must(moved.target.owner in shown, "paid for a proof that nobody saw", moved)
        must(moved.target.owner not in job.failed, "who failed the job was paid", moved)
        cell = (job.id, moved.place, moved.target.owner)
        must(cell not in self.beside, "a prover was paid twice for a tree node", moved)
        self.beside.add(cell)

    def on_job_settled(self, page: Page, event: JobSettled) -> None:
        """Settled once, in order, with a root and all of its fees."""
        job = page.board.jobs[event.job]
        must(job.id not in self.closed, "a job was closed twice", event)
        must(job.is_proven, "a job was settled without its root", event)
        unproven = [str(at) for at, node in job.nodes.items() if node.record is None]
        must(not unproven, "a job was settled without proofs of all its tree", unproven)
        fees = sum(leaf.fees for leaf in job.header.content.leaves)
        must(self.funded.get(job.id, 0) == fees, "not exactly the proven fees were paid", event)
        parent = page.board.jobs.get(job.header.content.parent)
        must(parent is None or parent.is_settled, "settled before what it builds on", event)
        self.closed.append(job.id)

    def on_job_voided(self, page: Page, event: JobVoided) -> None:
        """A void job pays nobody."""
        must(event.job not in self.funded, "a void job had an escrow", event)
        self.closed.append(event.job)

    def conclude(self, page: Page, machine: Machine) -> None:
        """Escrows are empty between blocks."""
        must(not any(self.in_escrow.values()), "an escrow is left after its block", page.tick)


class RightsOracle(Oracle):
    """A record needs a right, its minimal time, its children's recorded claims, and is final."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.board = Board()
        self.recorded: dict[tuple[JobId, TreeIndex], Claim] = {}
        self.undecided: Counter[tuple[JobId, TreeIndex, Account, Claim]] = Counter()

    def after(self, page: Page, event: Event) -> None:
        """Keep a board that is always as it was before the next event."""
        self.board.observe(page.tick, event)

    def heard(self, page: Page, operation: Operation, reason: str | None) -> None:
        """Compare an accepted record with what the board said when it was ordered."""
        record, sender = operation.payload, operation.sender
        if reason is not None or not isinstance(record, ProofRecord):
            return
        job = found(self.board.jobs.get(record.job), "a record of no job", record)
        node = found(job.nodes.get(record.index), "a record of no tree node", record)
        must(job.is_open, "a record of a closed job", record)
        must(node.is_held_by(sender), "a record without a right", record)
        since = found(node.admissible(sender), "a record without its inputs", record)
        must(since <= page.tick, "a record before its time", page.tick, since, record)
        must(record.children == self._claims_below(record), "not its children's claims", record)
        self.undecided[record.job, record.index, sender, record.claim] += 1

    def _claims_below(self, record: ProofRecord) -> tuple[Claim | None, ...] | None:
        if record.index.level == 0:
            return None
        level, left = Count(record.index.level - 1), 2 * record.index.position
        places = (TreeIndex(level, Count(left)), TreeIndex(level, Count(left + 1)))
        return tuple(self.recorded.get((record.job, place)) for place in places)

    def on_proof_recorded(self, page: Page, event: ProofRecorded) -> None:
        """The first record is final."""
        must((event.job, event.index) not in self.recorded, "recorded twice", event)
        self.recorded[event.job, event.index] = event.claim
        self.undecided[event.job, event.index, event.prover, event.claim] -= 1

    def on_proof_passed_over(self, page: Page, event: ProofPassedOver) -> None:
        """A record that lost was decided on as well."""
        self.undecided[event.job, event.index, event.prover, event.claim] -= 1

    def conclude(self, page: Page, machine: Machine) -> None:
        """Every decision has its record, and no record comes after the decision."""
        for (job, index, prover, claim), waiting in tuple(self.undecided.items()):
            must(waiting >= 0, "decided on a record that nobody sent", index, claim.hex())
            must(waiting == 0 or (job, index) not in self.recorded, "accepted too late", index)
            if waiting == 0:
                del self.undecided[job, index, prover, claim]


class OperationOracle(Oracle):
    """Each operation has one outcome, counts once, costs what it costs, and was announced."""

    FREE: ClassVar[tuple[type, ...]] = (VoteEvidence, ProposalEvidence, ProofEvidence)
    OUT_OF_PLACE: ClassVar[tuple[str, ...]] = ("EXPIRED", "VALID_TOO_LONG", "DUPLICATE")

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.counted: set[Operation] = set()
        self.free = (*self.FREE, *scenario.sequencing.free, *scenario.proving.free)
        self.foreseen: str | None = None
        self.is_first = True
        self.enriched: set[bytes] = set()
        self.fee = 0
        accounts = scenario.genesis().accounts
        self.money: Counter[bytes] = Counter({one.account: one.balance for one in accounts})

    def foresee(self, machine: Machine, block: FinalBlock) -> None:
        """Ask for objections to the first operation: the others depend on it."""
        self.is_first, self.enriched = True, set()
        for signed in block.operations[:1]:
            reason = machine.objection(signed.operation, block.moment.tick)
            self.foreseen = reason and reason.name

    def on_moved(self, page: Page, moved: Moved) -> None:
        """Keep everybody's free money."""
        self.fee += moved.amount if moved.cause is Cause.OPERATION_FEE else 0
        for pocket, amount in ((moved.source, -moved.amount), (moved.target, moved.amount)):
            if pocket.kind is PocketKind.BALANCE:
                self.money[pocket.owner] += amount
                self.enriched |= {pocket.owner} if amount > 0 else set()

    def heard(self, page: Page, operation: Operation, reason: str | None) -> None:
        """Check validity, replay, objection and fee of one operation."""
        if self.is_first:
            self._check_objection(operation, reason)
        self.is_first = False
        due = self._out_of_place(page.tick, operation)
        told = reason if reason in self.OUT_OF_PLACE else None
        must(told == due, "the wrong word on validity or replay", told, due, operation)
        fee = 0 if due else self._fee(page, operation, reason)
        must(self.fee == fee, "not the fee that is due", self.fee, fee, operation)
        self.fee = 0
        if due is None:
            self.counted.add(operation)

    def _out_of_place(self, tick: Tick, operation: Operation) -> str | None:
        if operation.valid_until < tick:
            return "EXPIRED"
        if operation.valid_until > tick + self.scenario.epoch_ticks:
            return "VALID_TOO_LONG"
        return "DUPLICATE" if operation in self.counted else None

    def _check_objection(self, operation: Operation, reason: str | None) -> None:
        telling = (*self.OUT_OF_PLACE, "FEE_UNPAYABLE")
        if self.foreseen == "FEE_UNPAYABLE":
            is_richer = operation.sender in self.enriched
            must(reason is not None or is_richer, "unpayable, and accepted", operation)
        else:
            told = reason if reason in telling else None
            must(told == self.foreseen, "not what was foreseen", told, self.foreseen)

    def _fee(self, page: Page, operation: Operation, reason: str | None) -> int:
        """What the operation must have moved to the proposer."""
        is_free = isinstance(operation.payload, self.free)
        if (is_free and reason is None) or operation.sender == page.block.moment.proposer:
            return 0
        held = self.money[operation.sender] + self.fee
        if not is_free:
            is_short = held < self.scenario.operation_fee
            must((reason == "FEE_UNPAYABLE") == is_short, "the wrong word on a fee", operation)
        return min(held, self.scenario.operation_fee)

    def conclude(self, page: Page, machine: Machine) -> None:
        """Nothing was passed over in silence."""
        must(next(self._outcomes, None) is None, "an operation without an outcome", page.tick)


LOG_RISKS: Final = (PocketKind.LOG_STAKE, PocketKind.LOG_EXIT)
PROVER_RISKS: Final = (PocketKind.PROVER_STAKE, PocketKind.PROVER_EXIT)
"""What a penalty takes from: what stays, and what is on its way out."""


class PenaltyOracle(Oracle):
    """Stake is lost for a fault only, once for each, and by the share that was agreed."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.faults: set[tuple[Account, Slot]] = set()
        self.lost = 0
        accounts = scenario.genesis().accounts
        self.stakes: Counter[bytes] = Counter({one.account: one.log_stake for one in accounts})
        self.forged: set[tuple[Account, JobId, TreeIndex]] = set()
        self.forfeited = 0
        self.prover_stakes: Counter[bytes] = Counter(
            {one.account: one.prover_stake for one in accounts}
        )

    def on_moved(self, page: Page, moved: Moved) -> None:
        """Stake goes to the burn."""
        for pocket, amount in ((moved.source, -moved.amount), (moved.target, moved.amount)):
            if pocket.kind in PROVER_RISKS:
                self.prover_stakes[pocket.owner] += amount
            if pocket.kind in LOG_RISKS:
                self.stakes[pocket.owner] += amount
        if moved.cause in (Cause.UNSTAKED, Cause.EXIT_PAID):
            return
        if moved.source.kind in PROVER_RISKS:
            if moved.cause is Cause.INVALID_PROOF:
                self.forfeited += moved.amount
            else:
                must(moved.cause is Cause.JOB_FAILED, "stake was lost for no fault", moved)
        if moved.source.kind in LOG_RISKS:
            must(moved.cause is Cause.EQUIVOCATION, "stake was lost for no fault", moved)
            self.lost += moved.amount

    def on_equivocation_punished(self, page: Page, event: EquivocationPunished) -> None:
        """One penalty a fault."""
        fault = (event.offender, event.slot)
        must(fault not in self.faults, "punished twice for one fault", event)
        stake = self.stakes[event.offender] + self.lost
        due = stake * self.scenario.penalty // 10_000
        must(self.lost == due, "not the penalty that is due", event, self.lost, due)
        self.faults.add(fault)
        self.lost = 0

    def on_invalid_proof_punished(self, page: Page, event: InvalidProofPunished) -> None:
        """One penalty for each tree node, while something can be said of its job."""
        fault = (event.offender, event.job, event.index)
        must(fault not in self.forged, "punished twice for one proof", event)
        stake = self.prover_stakes[event.offender] + self.forfeited
        due = stake * self.scenario.penalty // 10_000
        must(self.forfeited == due, "not the penalty that is due", event, self.forfeited, due)
        self.forged.add(fault)
        self.forfeited = 0

    def conclude(self, page: Page, machine: Machine) -> None:
        """Nothing was lost in silence."""
        must(self.forfeited == 0, "stake was lost without a word", page.tick)
        must(self.lost == 0, "stake was lost without a word", page.tick)


class JobsOracle(Oracle):
    """Jobs form one chain; what is void takes its descendants along, and nothing else."""

    def on_job_opened(self, page: Page, event: JobOpened) -> None:
        """A job builds on the genesis or on a job."""
        parent = event.header.content.parent
        must(parent in (NO_JOB, *page.board.jobs), "a job builds on nothing", event)

    def on_job_voided(self, page: Page, event: JobVoided) -> None:
        """Void because of itself, of an ancestor, or of a rival of one of these that won."""
        line, jobs = self._line(page.board, event.job), page.board.jobs
        winner = jobs[event.because]
        parents = [jobs[one].header.content.parent for one in line]
        has_lost = winner.is_settled and winner.header.content.parent in parents
        must(event.because in line or has_lost, "void for no reason", event)

    def conclude(self, page: Page, machine: Machine) -> None:
        """The machine has the same open jobs, and none of them stands on a void one."""
        board = page.board
        live = [job.id for job in board.open_jobs()]
        must(live == list(machine.jobs), "the open jobs are others", page.tick)
        for job in live:
            doomed = [one for one in self._line(board, job) if board.jobs[one].is_void]
            must(not doomed, "an open job stands on a void one", job.hex())

    @staticmethod
    def _line(board: Board, job: JobId) -> list[JobId]:
        """The job and its ancestors."""
        line = [job]
        while (parent := board.jobs[line[-1]].header.content.parent) in board.jobs:
            line.append(parent)
        return line


GENERAL: Final[tuple[type[Oracle], ...]] = (
    MoneyOracle,
    PaymentOracle,
    RightsOracle,
    OperationOracle,
    PenaltyOracle,
    JobsOracle,
)
"""What holds under every rule."""

"""The read model: what the final log tells, kept for whoever asks.

Rules. Fed with what the node's observer is told, on the node's own task; each height counts once.
The last :data:`BLOCKS_KEPT` log blocks, :data:`JOBS_KEPT` jobs and :data:`MOVES_KEPT` gains and
losses are kept, and sums for :data:`ACCOUNTS_KEPT` accounts. Open jobs are never forgotten: rules
bound their number. A tree node of a settled job was due to its owners; one of a void job only to
who missed it; while a job is open nothing was due yet.

Deviation. A node that begins with a snapshot knows the jobs and the money of what came after it.

Properties. Nothing here is protocol state: a restart builds it again from the log that is replayed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from p2p.limits import Size
from p2p.observing import (
    NodeEvent,
    ProofCancelled,
    ProofFinished,
    ProofStarted,
)
from protocol.agents import ProofKey
from protocol.events import (
    Assigned,
    BackupTaken,
    Event,
    InvalidProofPunished,
    JobOpened,
    JobSettled,
    JobVoided,
    OperationAccepted,
    OperationRefused,
    ProofRecorded,
    ProverSlashed,
    RightMissed,
    RightOpened,
    TakenOver,
    UncleClaimed,
    WindowStarted,
)
from protocol.happenings import BlockFinal
from protocol.ledger import Cause, Moved, Pocket, PocketKind
from protocol.messages import operation_hash
from protocol.ports import Clock
from protocol.types import (
    Account,
    Amount,
    Count,
    JobId,
    Milliseconds,
    OperationHash,
    Tick,
    TreeIndex,
)
from scripts.behind import Behind
from scripts.money import EARNINGS
from scripts.service.values import (
    CauseTotal,
    Fate,
    JobSummary,
    LedgerEntry,
    LogBlockSummary,
    OperationBehind,
    OperationFate,
    Outcome,
    OwnProof,
    Payment,
    Reliability,
    Standing,
    TreeNode,
)

BLOCKS_KEPT: Final = 512
"""Final log blocks that are kept."""

JOBS_KEPT: Final = 64
"""Closed jobs that are kept, with their trees."""

MOVES_KEPT: Final = 8_192
"""Gains and losses that are kept, of all accounts together."""

ACCOUNTS_KEPT: Final = 4_096
"""Accounts whose sums are kept; those that never had a part in anything cost nothing."""

OPERATIONS_KEPT: Final = 4_096
"""Operations that are remembered by their hash, and so are their fates."""

ACCOUNT_POCKETS: Final = frozenset(
    {
        PocketKind.BALANCE,
        PocketKind.LOG_STAKE,
        PocketKind.PROVER_STAKE,
        PocketKind.SEQUENCER_STAKE,
    }
)
"""Pockets that are an account's own."""


@dataclass(slots=True)
class _Job:
    """A job with its tree; values are replaced, never changed."""

    summary: JobSummary
    nodes: dict[TreeIndex, TreeNode]
    failed: set[Account] = field(default_factory=set)


@dataclass(slots=True)
class _Sums:
    """What an account did and earned."""

    reliability: Reliability = field(default_factory=lambda: Reliability(0, 0, 0, 0, 0, 0, 0))
    totals: dict[Cause, tuple[int, int]] = field(default_factory=dict)
    entries: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    account: Account
    value: LedgerEntry


class Story:
    """What the log told so far.

    :ivar blocks: the last log blocks, oldest first.
    """

    def __init__(self, clock: Clock) -> None:
        self.blocks: deque[LogBlockSummary] = deque(maxlen=BLOCKS_KEPT)
        self.jobs_opened = self.jobs_settled = self.jobs_void = 0
        self._clock = clock
        self._jobs: dict[JobId, _Job] = {}
        self._sums: dict[Account, _Sums] = {}
        self._entries: deque[_Entry] = deque(maxlen=MOVES_KEPT)
        self._behind = Behind(OPERATIONS_KEPT)
        self._fates: dict[OperationHash, OperationFate] = {}
        self._tick = Tick(0)
        self._take: dict[type[Any], Callable[[Any], None]] = {
            JobOpened: self._job_opened,
            JobSettled: self._job_settled,
            JobVoided: self._job_voided,
            BackupTaken: self._backup_taken,
            Assigned: self._assigned,
            RightOpened: self._right_opened,
            WindowStarted: self._window_started,
            RightMissed: self._right_missed,
            TakenOver: self._taken_over,
            ProofRecorded: self._proof_recorded,
            UncleClaimed: self._uncle_claimed,
            ProverSlashed: self._prover_slashed,
            InvalidProofPunished: self._invalid_proof_punished,
            Moved: self._moved,
        }

    def sizes(self) -> dict[str, Size]:
        """Entries of everything that is kept, by name. Open jobs are kept beyond the bound."""
        return {
            "story_blocks": Size(len(self.blocks), BLOCKS_KEPT),
            "story_jobs": Size(len(self._jobs), JOBS_KEPT),
            "story_moves": Size(len(self._entries), MOVES_KEPT),
            "story_operations": Size(len(self._fates), OPERATIONS_KEPT),
            "story_accounts": Size(len(self._sums), ACCOUNTS_KEPT),
        }

    # --- reading ---

    @property
    def tick(self) -> Tick:
        """Height of the last block that was told."""
        return self._tick

    def jobs(self) -> tuple[JobSummary, ...]:
        """The jobs that are kept, newest first."""
        return tuple(one.summary for one in reversed(self._jobs.values()))

    def tree(self, job: JobId) -> tuple[JobSummary, tuple[TreeNode, ...]] | None:
        """A job and its tree nodes, the root first, each level from the left."""
        known = self._jobs.get(job)
        if known is None:
            return None
        order = sorted(known.nodes, key=lambda index: (-index.level, index.position))
        return known.summary, tuple(known.nodes[index] for index in order)

    def accounts(self) -> tuple[Account, ...]:
        """The accounts that had a part in anything."""
        return tuple(self._sums)

    def reliability(self, account: Account) -> Reliability:
        """What a prover did with what was its own."""
        return self._sums.get(account, _Sums()).reliability

    def totals(self, account: Account) -> tuple[CauseTotal, ...]:
        """Gains and losses by cause, in the order of first appearance."""
        sums = self._sums.get(account, _Sums())
        return tuple(
            CauseTotal(cause, Amount(gained), Amount(lost))
            for cause, (gained, lost) in sums.totals.items()
        )

    def income(self, account: Account) -> Amount:
        """What the account earned."""
        return Amount(sum(one.gained for one in self.totals(account) if one.cause.name in EARNINGS))

    def entries(self, account: Account, limit: int) -> tuple[tuple[LedgerEntry, ...], int]:
        """The last gains and losses, newest first, and how many there were beside them."""
        found: list[LedgerEntry] = []
        for entry in reversed(self._entries):
            if len(found) == limit:
                break
            if entry.account == account:
                found.append(entry.value)
        return tuple(found), self._sums.get(account, _Sums()).entries - len(found)

    def fates(self) -> Iterable[OperationFate]:
        """The last operations that were ordered, oldest first."""
        return self._fates.values()

    # --- taking ---

    def observe(self, event: NodeEvent) -> None:
        """Take what the node did."""
        match event:
            case BlockFinal():
                self._final(event)
            case ProofStarted(key):
                started = OwnProof(Milliseconds(self._clock.now_ms()), None, 0, None)
                self._own_proof(key, lambda _: started)
            case ProofFinished(key, wall_ms, threads):
                self._own_proof(key, lambda one: replace(one, wall_ms=wall_ms, threads=threads))
            case ProofCancelled(key, sentence):
                self._own_proof(key, lambda one: replace(one, given_up=sentence))

    def _own_proof(self, key: ProofKey, change: Callable[[OwnProof], OwnProof]) -> None:
        job = self._jobs.get(key.job)
        if job is not None and key.index in job.nodes:
            nothing = OwnProof(Milliseconds(self._clock.now_ms()), None, 0, None)
            before = job.nodes[key.index].own_proof or nothing
            self._change(key.job, key.index, own_proof=change(before))

    def _final(self, final: BlockFinal) -> None:
        applied, moment = final.applied, final.moment
        if applied.tick <= self._tick:
            return
        self._tick = applied.tick
        operations = [signed.operation for signed in final.block.operations]
        self.blocks.append(
            LogBlockSummary(
                applied.tick, moment.slot, moment.proposer, len(operations), applied.digest
            )
        )
        self._behind.begin(operations, applied.events)
        for event in applied.events:
            self._event(event)
        self._forget()

    def _event(self, event: Event) -> None:
        if isinstance(event, OperationAccepted):
            self._behind.take(event)
            self._remember(event, Fate.ACCEPTED, None)
        elif isinstance(event, OperationRefused):
            self._remember(event, Fate.REFUSED, event.reason)
        take = self._take.get(type(event))
        if take is not None:
            take(event)

    def _remember(
        self, event: OperationAccepted | OperationRefused, fate: Fate, reason: str | None
    ) -> None:
        """Its first fate counts: ordered once more, it is a duplicate that costs nothing."""
        value = OperationFate(
            event.operation, event.payload, event.sender, fate, self._tick, reason
        )
        self._fates.setdefault(event.operation, value)
        if len(self._fates) > OPERATIONS_KEPT:
            del self._fates[next(iter(self._fates))]

    def _forget(self) -> None:
        closed = [job for job, one in self._jobs.items() if one.summary.outcome is not Outcome.OPEN]
        for job in closed[: max(0, len(closed) - JOBS_KEPT)]:
            del self._jobs[job]
            self._behind.forget(job)

    # --- jobs ---

    def _job_opened(self, event: JobOpened) -> None:
        header = event.header
        self.jobs_opened += 1
        levels = header.leaf_count.bit_length()
        nodes = {
            index: TreeNode(
                index, Standing.WAITING, (), None, None, None, None, None, None, (), (), (), None
            )
            for level in range(levels)
            for position in range(header.leaf_count >> level)
            for index in (TreeIndex(Count(level), Count(position)),)
        }
        summary = JobSummary(
            number=self.jobs_opened,
            job=event.job,
            outcome=Outcome.OPEN,
            round=header.round,
            sequencer=header.sequencer,
            parent=header.content.parent,
            leaves=header.leaf_count,
            fees=header.fees,
            fee_split=header.fee_split,
            opened=self._tick,
            closed=None,
            recorded=0,
            tree_nodes=len(nodes),
            because=None,
            backup=None,
        )
        self._jobs[event.job] = _Job(summary, nodes)

    def _job_settled(self, event: JobSettled) -> None:
        self.jobs_settled += 1
        self._close(event.job, Outcome.SETTLED)

    def _job_voided(self, event: JobVoided) -> None:
        self.jobs_void += 1
        self._close(event.job, Outcome.VOID, because=event.because)

    def _close(self, name: JobId, outcome: Outcome, **changes: Any) -> None:
        job = self._jobs.get(name)
        if job is None:
            return
        job.summary = replace(job.summary, outcome=outcome, closed=self._tick, **changes)
        for node in job.nodes.values():
            if node.prover is None:
                self._change(name, node.index, standing=Standing.LOST)
            for owner in node.owners:
                is_kept = owner == node.prover or owner in node.uncles
                is_due = is_kept or outcome is Outcome.SETTLED or owner in node.missed
                self._count(owner, due=int(is_due), kept=int(is_kept))
            if node.prover is not None and node.owners and node.prover not in node.owners:
                self._count(node.prover, taken_over=1)

    def _backup_taken(self, event: BackupTaken) -> None:
        job = self._jobs.get(event.job)
        if job is None:
            return
        job.summary = replace(job.summary, backup=event.prover, recorded=len(job.nodes))
        for index in job.nodes:
            self._change(
                event.job,
                index,
                prover=event.prover,
                recorded=self._tick,
                standing=Standing.BY_ANYBODY,
            )

    # --- tree nodes ---

    def _node(self, job: JobId, index: TreeIndex) -> TreeNode | None:
        known = self._jobs.get(job)
        return None if known is None else known.nodes.get(index)

    def _change(self, job: JobId, index: TreeIndex, **changes: Any) -> None:
        node = self._node(job, index)
        if node is not None:
            self._jobs[job].nodes[index] = replace(node, **changes)

    def _assigned(self, event: Assigned) -> None:
        node = self._node(event.job, event.index)
        if node is not None and event.prover is not None:
            owners = (*node.owners, event.prover)
            self._change(event.job, event.index, owners=owners, holder=owners[0])

    def _right_opened(self, event: RightOpened) -> None:
        node = self._node(event.job, event.index)
        if node is None:
            return
        # several may hold it together: the first one told is the first of them
        is_shared = node.opened == self._tick and node.holder is not None
        self._change(
            event.job,
            event.index,
            standing=Standing.OPEN if node.prover is None else node.standing,
            holder=node.holder if is_shared else event.holder,
            opened=self._tick,
            admissible=event.admissible,
            closes=None,
        )

    def _window_started(self, event: WindowStarted) -> None:
        self._change(event.job, event.index, closes=event.closes)

    def _right_missed(self, event: RightMissed) -> None:
        node = self._node(event.job, event.index)
        if node is not None:
            self._change(event.job, event.index, missed=(*node.missed, event.holder))
        self._count(event.holder, missed=1)
        job = self._jobs.get(event.job)
        if event.failed and job is not None and event.holder not in job.failed:
            job.failed.add(event.holder)
            self._count(event.holder, failed=1)

    def _taken_over(self, event: TakenOver) -> None:
        self._change(event.job, event.index, holder=event.heir, closes=None)

    def _proof_recorded(self, event: ProofRecorded) -> None:
        node, job = self._node(event.job, event.index), self._jobs.get(event.job)
        if node is None or job is None:
            return
        if event.prover in node.owners:
            standing = Standing.OWN
        else:
            standing = Standing.BY_ANYBODY if node.holder is None else Standing.TAKEN_OVER
        if node.prover is None:
            job.summary = replace(job.summary, recorded=job.summary.recorded + 1)
        self._change(
            event.job, event.index, prover=event.prover, recorded=self._tick, standing=standing
        )

    def _uncle_claimed(self, event: UncleClaimed) -> None:
        node = self._node(event.job, event.index)
        if node is not None:
            self._change(event.job, event.index, uncles=(*node.uncles, event.prover))
        self._count(event.prover, uncles=1)

    # --- accounts ---

    def _prover_slashed(self, event: ProverSlashed) -> None:
        self._count(event.prover, slashes=1)

    def _invalid_proof_punished(self, event: InvalidProofPunished) -> None:
        self._count(event.offender, slashes=1)

    def _sums_of(self, account: Account) -> _Sums | None:
        sums = self._sums.get(account)
        if sums is None and len(self._sums) < ACCOUNTS_KEPT:
            sums = self._sums[account] = _Sums()
        return sums

    def _count(self, account: Account, **more: int) -> None:
        sums = self._sums_of(account)
        if sums is not None:
            before = sums.reliability
            counts = {name: getattr(before, name) + count for name, count in more.items()}
            sums.reliability = replace(before, **counts)

    def _moved(self, event: Moved) -> None:
        self._pay(event)
        self._enter(event, event.source, event.target, -event.amount)
        self._enter(event, event.target, event.source, event.amount)

    def _pay(self, event: Moved) -> None:
        if event.job is None or event.place is None:
            return
        node = self._node(event.job, event.place)
        if node is not None and event.source.kind not in ACCOUNT_POCKETS:
            is_account = event.target.kind in ACCOUNT_POCKETS
            payee = Account(event.target.owner) if is_account else None
            payment = Payment(payee, event.amount, event.cause)
            self._change(event.job, event.place, payments=(*node.payments, payment))

    def _enter(self, event: Moved, pocket: Pocket, other: Pocket, amount: int) -> None:
        if pocket.kind not in ACCOUNT_POCKETS:
            return
        account = Account(pocket.owner)
        sums = self._sums_of(account)
        if sums is None:
            return
        gained, lost = sums.totals.get(event.cause, (0, 0))
        sums.totals[event.cause] = gained + max(amount, 0), lost - min(amount, 0)
        sums.entries += 1
        value = LedgerEntry(
            tick=self._tick,
            amount=amount,
            cause=event.cause,
            pocket=pocket.kind,
            other_kind=other.kind,
            other_owner=other.owner.hex(),
            job=event.job,
            number=self._behind.number(event.job),
            index=event.place,
            operation=self._operation(event, account),
        )
        self._entries.append(_Entry(account, value))

    def _operation(self, event: Moved, account: Account) -> OperationBehind | None:
        operation = self._behind.operation(event, account)
        if operation is None:
            return None
        return OperationBehind(
            type(operation.payload).__name__,
            operation_hash(operation),
            operation.sender,
            self._behind.refusal(event),
        )

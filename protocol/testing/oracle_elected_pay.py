"""Judge of what elected provers are paid, keep for claims, and lose: a second reading of the rule.

Written from sentences 7 to 11 of ``protocol.proving.elected``, on events alone; it calls nothing of
that rule's modules.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from protocol.events import (
    Acquittal,
    JobOpened,
    JobSettled,
    JobVoided,
    ProofRecorded,
    ProverAcquitted,
    ProverSlashed,
    RightMissed,
    SlashPending,
    SlashVoted,
    TakenOver,
    UncleClaimed,
)
from protocol.ledger import Cause, Moved, Pocket, PocketKind
from protocol.machine import Machine
from protocol.messages import Operation, UncleClaim
from protocol.testing.oracles import PROVER_RISKS, Oracle, Page, found, must
from protocol.testing.scenario import Scenario
from protocol.types import Account, JobId, Tick, TreeIndex

WHOLE = 10_000


@dataclass(slots=True)
class Miss:
    """What a prover missed of its own, and what it may lose for that."""

    penalty: int
    places: list[TreeIndex] = field(default_factory=list)


@dataclass(slots=True)
class Book:
    """What is known of one job.

    :ivar heirs: who inherited each tree node.
    :ivar shown: who has the record of each tree node, or a claim, and when; the record is first.
    :ivar closed_at: when it was settled or voided.
    :ivar pending: slashes that were announced; those still to be decided once it is closed.
    """

    job: JobId
    fees: int
    split: int
    leaves: int
    heirs: dict[TreeIndex, list[Account | None]] = field(default_factory=dict)
    records: dict[TreeIndex, Account] = field(default_factory=dict)
    claims: dict[TreeIndex, dict[Account, Tick]] = field(default_factory=dict)
    misses: dict[Account, Miss] = field(default_factory=dict)
    income: int = 0
    closed_at: Tick | None = None
    is_settled: bool = False
    pending: dict[Account, SlashPending] = field(default_factory=dict)
    votes: dict[Account, dict[Account, bool]] = field(default_factory=dict)
    spent: Counter[tuple[Cause, TreeIndex | None, bytes]] = field(default_factory=Counter)


class ElectedPayOracle(Oracle):
    """Each move of a job's money, and each slash, is the one that is due."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.parameters = scenario.proving_parameters
        self.books: dict[JobId, Book] = {}
        self.pockets: Counter[Pocket] = Counter()
        for one in scenario.genesis().accounts:
            self.pockets[Pocket(PocketKind.PROVER_STAKE, one.account)] = one.prover_stake
            self.pockets[Pocket(PocketKind.LOG_STAKE, one.account)] = one.log_stake
        self.void_budget: dict[JobId, int] = {}
        self.lost = 0

    # --- what happened ---

    def on_job_opened(self, page: Page, event: JobOpened) -> None:
        """A new book."""
        header = event.header
        fees = sum(leaf.fees for leaf in header.content.leaves)
        self.books[event.job] = Book(event.job, fees, header.fee_split, len(header.content.leaves))

    def on_taken_over(self, page: Page, event: TakenOver) -> None:
        """An heir."""
        self.books[event.job].heirs.setdefault(event.index, []).append(event.heir)

    def on_proof_recorded(self, page: Page, event: ProofRecorded) -> None:
        """The record."""
        self.books[event.job].records[event.index] = event.prover

    def on_right_missed(self, page: Page, event: RightMissed) -> None:
        """The penalty follows from the stake at the first miss."""
        if event.failed:
            stake = self._at_risk(event.holder)
            miss = Miss(stake * self.parameters.slash_bps // WHOLE)
            misses = self.books[event.job].misses
            misses.setdefault(event.holder, miss).places.append(event.index)

    def on_uncle_claimed(self, page: Page, event: UncleClaimed) -> None:
        """A proof beside the record, by somebody who may, in time, and once."""
        book, parameters = self.books[event.job], self.parameters
        node = page.board.jobs[event.job].nodes[event.index]
        others = [one for one in book.claims.get(event.index, {}) if one not in node.owners]
        if event.prover not in node.owners:
            must(parameters.uncle_scope.value == "open", "claimed by no own prover", event)
            heirs = book.heirs.get(event.index, [])
            must({event.prover, None} & {*heirs}, "claimed without a right", event)
            must(len(others) < parameters.uncles_per_node_max, "too many claims", event)
        claims = book.claims.setdefault(event.index, {})
        record = book.records.get(event.index)
        must(event.prover not in (record, *claims), "one prover claims twice", event)
        must(record is not None or book.closed_at is not None, "claimed before a record", event)
        self._check_time(page, book, event)
        claims[event.prover] = page.tick

    def _check_time(self, page: Page, book: Book, event: UncleClaimed) -> None:
        least = self.parameters.min_merge_ticks if event.index.level else None
        least = self.parameters.min_leaf_ticks if least is None else least
        opened = page.board.jobs[event.job].nodes[event.index].admissible(event.prover)
        must(opened is not None and opened <= page.tick, "claimed before its time", event, least)
        if book.closed_at is None:
            return
        reserve = self.pockets[Pocket(PocketKind.UNCLE_RESERVE, book.job)]
        is_paid = reserve > 0 and page.tick <= book.closed_at + self.parameters.uncle_ticks
        is_heard = event.prover in book.pending and event.index in self._lacks(book, event.prover)
        must(is_paid or is_heard, "claimed too late", event)

    def heard(self, page: Page, operation: Operation, reason: str | None) -> None:
        """A claim builds on what is recorded."""
        said = operation.payload
        if reason is None and isinstance(said, UncleClaim) and said.record.index.level:
            job, index = page.board.jobs[said.record.job], said.record.index
            below = [
                node.record.claim if node.record is not None else None
                for place, node in sorted(job.nodes.items())
                if place.level == index.level - 1 and place.position // 2 == index.position
            ]
            must(list(said.record.children or ()) == below, "not its children's claims", said)

    def _lacks(self, book: Book, prover: Account) -> list[TreeIndex]:
        """What the prover missed and never showed."""
        miss = book.misses.get(prover)
        return [
            place
            for place in ([] if miss is None else miss.places)
            if prover not in (book.records.get(place), *book.claims.get(place, ()))
        ]

    # --- money ---

    def on_moved(self, page: Page, moved: Moved) -> None:
        """Follow every pocket that this judge needs, and every job's spending."""
        if moved.cause is Cause.VOID_PAY:
            self._spend_void(moved)
        self.pockets[moved.source] -= moved.amount
        self.pockets[moved.target] += moved.amount
        if moved.cause is Cause.JOB_FAILED:
            must(moved.source.kind in PROVER_RISKS, "slashed elsewhere", moved)
            self.lost += moved.amount
        if moved.job is None or moved.job not in self.books:
            return
        book = self.books[moved.job]
        if moved.target.kind is PocketKind.ESCROW:
            book.income += moved.amount
        if moved.source.kind in (PocketKind.ESCROW, PocketKind.UNCLE_RESERVE):
            book.spent[moved.cause, moved.place, moved.target.owner] += moved.amount

    def on_job_settled(self, page: Page, event: JobSettled) -> None:
        """The whole escrow went where it was due."""
        book = self.books[event.job]
        book.closed_at, book.is_settled = page.tick, True
        self._check_pending(page, book)
        header = page.board.jobs[event.job].header
        due = self._settlement(page, book, header.sequencer)
        if Cause.BACKUP_PAY in {cause for cause, _, _ in book.spent}:
            book.is_settled = False  # a whole block of one prover: nobody was elected
        else:
            must(+book.spent == +due, "not the pay that is due", +book.spent, +due)
        book.spent.clear()

    def _settlement(
        self, page: Page, book: Book, sequencer: Account
    ) -> Counter[tuple[Cause, TreeIndex | None, bytes]]:
        parameters = self.parameters
        due: Counter[tuple[Cause, TreeIndex | None, bytes]] = Counter()
        share = book.income * book.split // WHOLE
        reserve = share * parameters.uncle_reserve_bps // WHOLE
        due[Cause.UNCLE_RESERVED, None, book.job] = reserve
        left, refund = share - reserve, 0
        for index, node in page.board.jobs[book.job].nodes.items():
            worth = self._worth(book, index, share - reserve)
            for cause, prover, amount in self._earned(book, index, node.owners, worth):
                due[cause, index, prover] += amount
                worth -= amount
                left -= amount
            left -= worth
            if parameters.failed_share.value == "refund":
                refund += worth
            else:
                due[Cause.FAILED_SHARE, index, b""] = worth
        due[Cause.ROUNDING, None, b""] = left
        due[Cause.SEQUENCER_SHARE, None, sequencer] = book.income - share + refund
        return due

    def _worth(self, book: Book, index: TreeIndex, share: int) -> int:
        works = self.parameters
        whole = book.leaves * works.leaf_work + (book.leaves - 1) * works.merge_work
        return int(share * (works.merge_work if index.level else works.leaf_work) // whole)

    def _earned(
        self, book: Book, index: TreeIndex, owners: tuple[Account, ...], worth: int
    ) -> list[tuple[Cause, Account, int]]:
        parameters = self.parameters
        prover = found(book.records.get(index), "settled without a record", index)
        primary = worth * parameters.primary_bps // WHOLE
        if prover in owners:
            amount = 0 if prover in book.misses else primary
            rows = [(Cause.PROVER_PAY, prover, amount)]
        elif prover in book.heirs.get(index, []):
            rows = [(Cause.TAKEOVER_PAY, prover, worth * parameters.takeover_bps // WHOLE)]
        else:
            rows = [(Cause.OPEN_PAY, prover, worth * parameters.open_bps // WHOLE)]
        others = self._beside(book, index, owners, found(book.closed_at, "an open job"))
        rows += [(Cause.CO_PAY, one, (worth - primary) // len(others)) for one in others]
        return rows

    @staticmethod
    def _beside(
        book: Book, index: TreeIndex, owners: tuple[Account, ...], until: Tick
    ) -> list[Account]:
        return [
            prover
            for prover, tick in book.claims.get(index, {}).items()
            if prover in owners and prover not in book.misses and tick <= until
        ]

    def _reserve_due(
        self, page: Page, book: Book, reserve: int
    ) -> Counter[tuple[Cause, TreeIndex | None, bytes]]:
        parameters, closed = self.parameters, found(book.closed_at, "an open job")
        share = book.income * book.split // WHOLE
        share -= share * parameters.uncle_reserve_bps // WHOLE
        rows: list[tuple[TreeIndex, Account, int]] = []
        for index, node in page.board.jobs[book.job].nodes.items():
            paid = self._beside(book, index, node.owners, closed)
            for prover, tick in book.claims.get(index, {}).items():
                if parameters.primary_bps == WHOLE or prover not in paid:
                    left = parameters.uncle_ticks - max(0, tick - closed)
                    worth = self._worth(book, index, share) * parameters.uncle_bps
                    amount = worth * max(0, left) // (WHOLE * parameters.uncle_ticks)
                    rows.append((index, prover, amount))
        asked = sum(amount for _, _, amount in rows)
        due: Counter[tuple[Cause, TreeIndex | None, bytes]] = Counter()
        for index, prover, amount in rows:
            part = amount if asked <= reserve else amount * reserve // asked
            due[Cause.UNCLE_PAY, index, prover] = part
        due[Cause.RESERVE_LEFT, None, b""] = reserve - due.total()
        return due

    def _spend_void(self, moved: Moved) -> None:
        job = found(moved.job, "void pay for no job", moved)
        self.void_budget.setdefault(job, self.pockets[moved.source])
        self.books[job].spent[moved.cause, moved.place, moved.target.owner] += moved.amount

    def on_job_voided(self, page: Page, event: JobVoided) -> None:
        """Recorded tree nodes were paid what the bond had, if there was a bond."""
        book = self.books[event.job]
        book.closed_at = page.tick
        self._check_pending(page, book)
        budget = self.void_budget.pop(event.job, None)
        if budget is None:
            return
        share = book.fees * book.split // WHOLE
        bps = self.parameters.void_bps
        asked = {
            (Cause.VOID_PAY, index, prover): self._worth(book, index, share) * bps // WHOLE
            for index, prover in book.records.items()
        }
        whole = sum(asked.values())
        due = {
            row: amount if whole <= budget else amount * budget // whole
            for row, amount in asked.items()
        }
        must(+book.spent == +Counter(due), "not the void pay that is due", book.spent, due)

    # --- slashes ---

    def on_slash_pending(self, page: Page, event: SlashPending) -> None:
        """Announced as the job is closed."""
        book = self.books[event.job]
        must(book.closed_at is None and event.prover not in book.pending, "announced twice", event)
        grace_ends = page.tick + self.parameters.grace_ticks
        decided = grace_ends + self.parameters.governance_ticks
        must((event.grace_ends, event.decided) == (grace_ends, decided), "wrong times", event)
        must(event.penalty == book.misses[event.prover].penalty, "another penalty", event)
        book.pending[event.prover] = event
        book.votes[event.prover] = {}

    def _check_pending(self, page: Page, book: Book) -> None:
        """Exactly those are accused who failed and did not show all of it."""
        lacking = [prover for prover in book.misses if self._lacks(book, prover)]
        due = lacking if self.parameters.slash_bps else []
        must(list(book.pending) == due, "others are accused", page.tick)

    def on_slash_voted(self, page: Page, event: SlashVoted) -> None:
        """A validator, once, in time."""
        book = self.books[event.job]
        pending = found(book.pending.get(event.prover), "a vote on nothing", event)
        must(pending.grace_ends < page.tick <= pending.decided, "a vote at no time", event)
        stake = self.pockets[Pocket(PocketKind.LOG_STAKE, event.voter)]
        votes = book.votes[event.prover]
        must(stake > 0 and event.voter not in votes, "no vote of this account", event)
        votes[event.voter] = event.is_guilty

    def on_prover_slashed(self, page: Page, event: ProverSlashed) -> None:
        """Guilty, and by as much."""
        book = self.books[event.job]
        must(self._verdict(page, book, event.prover) is None, "slashed for nothing", event)
        stake = self._at_risk(event.prover) + self.lost
        penalty = book.misses[event.prover].penalty
        must(self.lost == min(penalty, stake), "another penalty", event, self.lost, penalty)
        self.lost = 0
        del book.pending[event.prover]

    def on_prover_acquitted(self, page: Page, event: ProverAcquitted) -> None:
        """Not guilty, for that reason."""
        book = self.books[event.job]
        must(event.why is self._verdict(page, book, event.prover), "another verdict", event)
        del book.pending[event.prover]

    def _at_risk(self, prover: Account) -> int:
        return sum(self.pockets[Pocket(kind, prover)] for kind in PROVER_RISKS)

    def _verdict(self, page: Page, book: Book, prover: Account) -> Acquittal | None:
        """None is guilty."""
        pending = found(book.pending.get(prover), "a verdict on nobody", prover)
        must(page.tick == pending.decided + 1, "decided at another time than said", pending)
        if not self._lacks(book, prover):
            return Acquittal.PROOFS_SHOWN
        stakes = {
            pocket.owner: held
            for pocket, held in self.pockets.items()
            if pocket.kind is PocketKind.LOG_STAKE
        }
        guilty = sum(stakes[who] for who, is_guilty in book.votes[prover].items() if is_guilty)
        is_voted = pending.decided == pending.grace_ends or 2 * guilty > sum(stakes.values())
        return None if is_voted else Acquittal.NOT_VOTED

    def conclude(self, page: Page, machine: Machine) -> None:
        """Reserves are paid when they are due, and nothing is overlooked."""
        must(self.lost == 0, "stake was lost without a word", page.tick)
        for book in self.books.values():
            late = [one for one in book.pending.values() if one.decided < page.tick]
            must(book.closed_at is None or not late, "a slash was forgotten", late)
            if not book.is_settled or book.closed_at is None:
                continue
            reserve = book.income * book.split // WHOLE
            reserve = reserve * self.parameters.uncle_reserve_bps // WHOLE
            ticks = self.parameters.uncle_ticks
            if ticks and page.tick == book.closed_at + ticks + 1:
                due = self._reserve_due(page, book, reserve)
                must(+book.spent == +due, "not the uncle pay that is due", +book.spent, +due)
            else:
                must(not +book.spent, "a reserve was spent at another time", page.tick)
            book.spent.clear()

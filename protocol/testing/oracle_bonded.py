"""Judge of bonded provers: awards, bonds, windows and what becomes of them, read a second time.

Written from the numbered sentences of ``protocol.proving.bonded``, on the log alone; it calls
nothing of that module.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import isqrt

from protocol.events import (
    Assigned,
    Awarded,
    JobOpened,
    JobVoided,
    LeaderElected,
    ProofRecorded,
    RightMissed,
    RightOpened,
    RoundSkipped,
    RunnerUpElected,
    WindowStarted,
)
from protocol.ledger import Cause, Moved, Pocket, PocketKind
from protocol.machine import Machine
from protocol.messages import Award, Bid, Operation, bid_is_signed
from protocol.params import network_id
from protocol.testing.board import JobView, is_backup
from protocol.testing.oracles import OperationOracle, Oracle, Page, found, framed_hash, must
from protocol.testing.scenario import Scenario
from protocol.types import Account, JobId, Round, TreeIndex

Block = tuple[Round, Account]

LOCKED = (PocketKind.PROVER_BOND, PocketKind.PRICE)
"""Pockets of awards."""

OF_ANY_OPERATION = (*OperationOracle.OUT_OF_PLACE, "FEE_UNPAYABLE")
"""Reasons that the machine gives by itself."""


@dataclass(slots=True)
class Promise:
    """One award from its acceptance to its end.

    :ivar touched: jobs that opened within a window before its own.
    :ivar moves: what left its pockets: cause, receiver, amount.
    """

    bid: Bid
    job: JobId | None = None
    touched: int = 0
    is_over: bool = False
    is_missed: bool = False
    closes: int | None = None
    moves: list[tuple[Cause, bytes, int]] = field(default_factory=list)

    def end(self, job: JobView | None) -> tuple[Cause, Cause] | None:
        """What must have become of the bond and of the price; None while both are locked."""
        if self.is_missed:
            return Cause.AWARD_BOND_LOST, Cause.AWARD_PRICE_RETURNED
        if job is not None and job.is_proven:
            return Cause.AWARD_BOND_RETURNED, Cause.AWARD_PAY
        if (job is None and self.is_over) or (job is not None and job.is_void):
            return Cause.AWARD_BOND_RETURNED, Cause.AWARD_PRICE_RETURNED
        return None

    def due(self, end: tuple[Cause, Cause]) -> list[tuple[Cause, bytes, int]]:
        """The moves that this end consists of."""
        bid, (of_bond, of_price) = self.bid, end
        owner = b"" if of_bond is Cause.AWARD_BOND_LOST else bid.prover
        payee = bid.prover if of_price is Cause.AWARD_PAY else bid.sequencer
        both = [(of_bond, owner, int(bid.bond)), (of_price, payee, int(bid.price))]
        return [one for one in both if one[2]]


class BondedOracle(Oracle):
    """One prover answers for a block; what it pledged is paid, lost or returned, exactly once."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.parameters = scenario.proving_parameters
        self.balances: Counter[bytes] = Counter()
        self.stakes: dict[PocketKind, Counter[bytes]] = {}
        for kind in (PocketKind.PROVER_STAKE, PocketKind.SEQUENCER_STAKE):
            self.stakes[kind] = Counter()
        for one in scenario.genesis().accounts:
            self.balances[one.account] = one.balance
            self.stakes[PocketKind.PROVER_STAKE][one.account] = one.prover_stake
            self.stakes[PocketKind.SEQUENCER_STAKE][one.account] = one.sequencer_stake
        self.awaited: list[Block] = []
        self.promises: dict[Block, Promise] = {}
        self.pockets: dict[bytes, Promise] = {}
        self.by_job: dict[JobId, Promise] = {}
        self.openings: list[int] = []
        self.surcharge = (0, 0)
        self.network = network_id(scenario.genesis())
        self.told: list[Awarded] = []
        self.locked: list[Moved] = []

    # --- awards ---

    def on_leader_elected(self, page: Page, event: LeaderElected) -> None:
        """A block is to come."""
        self.awaited.append((event.round, event.leader))

    def on_runner_up_elected(self, page: Page, event: RunnerUpElected) -> None:
        """Another one."""
        self.awaited.append((event.round, event.sequencer))

    def on_awarded(self, page: Page, event: Awarded) -> None:
        """Keep it until the operation behind it is heard."""
        self.told.append(event)

    def heard(self, page: Page, operation: Operation, reason: str | None) -> None:
        """An award is accepted if nothing speaks against it, and refused for what does."""
        if not isinstance(operation.payload, Award):
            return
        signed, sender = operation.payload.bid, operation.sender
        bid = signed.bid
        for moved in self.locked:
            self.balances[moved.source.owner] += moved.amount
        own_bond = bid.bond if bid.prover == sender else 0
        objections = {
            "BID_FOR_ANOTHER": bid.sequencer != sender,
            "ALREADY_AWARDED": (bid.round, sender) in self.promises,
            "NOT_AWAITED": (bid.round, sender) not in self.awaited,
            "BID_EXPIRED": bid.valid_until < page.tick,
            "BOND_TOO_LOW": bid.bond < self._bond_due(sender, page.tick),
            "NO_PROVER_STAKE": self.stakes[PocketKind.PROVER_STAKE][bid.prover] == 0,
            "BOND_UNPAYABLE": self.balances[bid.prover] < bid.bond,
            "PRICE_UNPAYABLE": self.balances[sender] < bid.price + own_bond,
            "BAD_SIGNATURE": not bid_is_signed(self.network, signed),
        }
        if reason is None:
            for name, holds in objections.items():
                must(not holds, "an award was accepted in spite of", name, bid)
            self._accept(bid)
        elif reason not in OF_ANY_OPERATION:
            must(objections.get(reason), "an award was refused without reason", reason, bid)
        for moved in self.locked:
            self.balances[moved.source.owner] -= moved.amount
        self.locked, self.told = [], []

    def _accept(self, bid: Bid) -> None:
        told = Awarded(bid.round, bid.sequencer, bid.prover, bid.price, bid.bond)
        must(self.told == [told], "not what was awarded", self.told, bid)
        award = framed_hash(b"provnet/award/1", bid.round.to_bytes(8, "big"), bid.sequencer)
        locks = [
            (Cause.AWARD_BOND, bid.prover, Pocket(PocketKind.PROVER_BOND, award), bid.bond),
            (Cause.AWARD_PRICE, bid.sequencer, Pocket(PocketKind.PRICE, award), bid.price),
        ]
        moves = [(one.cause, one.source.owner, one.target, one.amount) for one in self.locked]
        must(moves == [lock for lock in locks if lock[3]], "not what is to be locked", moves, bid)
        promise = Promise(bid)
        self.promises[bid.round, bid.sequencer] = self.pockets[award] = promise

    def _bond_due(self, sequencer: Account, tick: int) -> int:
        """More than the share of stake and MEV, once for each job a miss may touch, surcharged."""
        parameters, stakes = self.parameters, self.stakes[PocketKind.SEQUENCER_STAKE]
        worth = stakes[sequencer] + self.scenario.mev
        touched = self._touched(tick) if parameters.is_dynamic else 0
        due = worth * (1 + touched) * parameters.bond_percent // 100 + 1
        return int(max(due, parameters.bond_floor) * self._surcharged(tick) // 10_000)

    def _touched(self, tick: int) -> int:
        return len([one for one in self.openings if tick - one < self.parameters.max_prover_ticks])

    def _surcharged(self, tick: int) -> int:
        """Ten thousand, and what is left of the last surcharge on it."""
        extra, since = self.surcharge
        decay = self.parameters.decay_ticks
        return 10_000 + (extra * (decay - tick + since) // decay if tick < since + decay else 0)

    # --- money ---

    def on_moved(self, page: Page, moved: Moved) -> None:
        """Follow balances, stakes, and what awards hold."""
        for pocket, amount in ((moved.source, -moved.amount), (moved.target, moved.amount)):
            if pocket.kind is PocketKind.BALANCE:
                self.balances[pocket.owner] += amount
            elif pocket.kind in self.stakes:
                self.stakes[pocket.kind][pocket.owner] += amount
        if moved.target.kind in LOCKED:
            self.locked.append(moved)
        if moved.source.kind in LOCKED:
            promise = found(self.pockets.get(moved.source.owner), "money of no award", moved)
            must(moved.job == promise.job, "an award's money moved for another job", moved)
            promise.moves.append((moved.cause, moved.target.owner, moved.amount))

    # --- jobs ---

    def on_job_opened(self, page: Page, event: JobOpened) -> None:
        """What was promised of its block counts for the job; other blocks of its round are out."""
        must(event.pool == (), "nobody can be elected", event)
        if is_backup(event.header):
            return
        block = (event.header.round, event.header.sequencer)
        promise = self.promises.get(block)
        if promise is not None:
            promise.job, promise.touched = event.job, self._touched(page.tick)
            self.by_job[event.job] = promise
        self.openings.append(page.tick)
        self._end_round(event.header.round)

    def on_round_skipped(self, page: Page, event: RoundSkipped) -> None:
        """Its blocks will not open."""
        self._end_round(event.round)

    def _end_round(self, over: Round) -> None:
        self.awaited = [block for block in self.awaited if block[0] != over]
        for block, promise in self.promises.items():
            promise.is_over = promise.is_over or block[0] == over

    def on_assigned(self, page: Page, event: Assigned) -> None:
        """All of a job is the awarded prover's, or nobody's."""
        promise = self.by_job.get(event.job)
        due = None if promise is None else promise.bid.prover
        must(event.prover == due, "assigned to somebody else", event)

    def on_right_opened(self, page: Page, event: RightOpened) -> None:
        """Admissible after the minimal time, once the inputs are recorded."""
        promise, job = self._promise(event.job), page.board.jobs[event.job]
        must(event.holder == promise.bid.prover, "a right of somebody else", event)
        parameters, level = self.parameters, event.index.level
        least = parameters.min_merge_ticks if level else parameters.min_leaf_ticks
        must(event.admissible == page.tick + least, "wrong time", event)
        below = [TreeIndex(at.level, at.position) for at in job.nodes if _is_below(at, event.index)]
        is_fed = all(job.nodes[at].record is not None for at in below)
        must(is_fed, "a right before its inputs", event)

    def on_window_started(self, page: Page, event: WindowStarted) -> None:
        """One window for the whole job, once its opening is final."""
        promise, job = self._promise(event.job), page.board.jobs[event.job]
        must(promise.closes is None, "a window started twice", event)
        must(event.index == max(job.nodes), "a window of a part", event)
        must(event.holder == promise.bid.prover, "a window of somebody else", event)
        closes = page.tick + self.parameters.max_prover_ticks
        must(event.closes == closes, "wrong end", event)
        promise.closes = closes

    def on_right_missed(self, page: Page, event: RightMissed) -> None:
        """A window ends without the root; the bond grows for those who come."""
        promise = self._promise(event.job)
        must(promise.closes == page.tick - 1, "missed at another time than said", event)
        must(event.holder == promise.bid.prover and event.failed, "missed by another", event)
        promise.is_missed = True
        if self.parameters.is_dynamic:
            factor = max(2, isqrt(promise.touched))
            self.surcharge = (self._surcharged(page.tick) * factor - 10_000, page.tick)

    def on_job_voided(self, page: Page, event: JobVoided) -> None:
        """By itself a job falls only once its prover missed it, or when it never had one."""
        promise = self.by_job.get(event.job)
        is_due = event.because != event.job or promise is None or promise.is_missed
        must(is_due, "void while its prover had time", event)

    def on_proof_recorded(self, page: Page, event: ProofRecorded) -> None:
        """Of the awarded prover, in time."""
        promise = self._promise(event.job)
        must(event.prover == promise.bid.prover, "recorded for somebody else", event)
        must(not promise.is_missed, "recorded after a miss", event)

    def _promise(self, job: JobId) -> Promise:
        return found(self.by_job.get(job), "nobody answers for a job", job.hex())

    def conclude(self, page: Page, machine: Machine) -> None:
        """Every award is locked in full or ended in full, and no window was overlooked."""
        must(not self.locked and not self.told, "locked without an award", page.tick)
        for block, promise in tuple(self.promises.items()):
            job = None if promise.job is None else page.board.jobs[promise.job]
            end = promise.end(job)
            due = [] if end is None else promise.due(end)
            moves = sorted(promise.moves, key=str)
            must(moves == sorted(due, key=str), "not what becomes of an award", promise, due)
            if end is None and job is not None:
                is_final = job.opened_at <= page.block.moment.settled
                must(is_final == (promise.closes is not None), "no window in time", promise)
                must(page.tick <= (promise.closes or page.tick), "a miss was overlooked", promise)
            if end is not None and (job is None or not job.is_open):
                del self.promises[block]


def _is_below(at: TreeIndex, merge: TreeIndex) -> bool:
    return at.level + 1 == merge.level and at.position // 2 == merge.position

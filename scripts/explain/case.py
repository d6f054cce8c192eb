"""One question about a run, and what its log holds that bears on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protocol import tree
from protocol.events import (
    Assigned,
    IntentRegistered,
    JobOpened,
    JobSettled,
    OperationAccepted,
    OperationRefused,
    PoolMember,
    ProofRecorded,
    RightMissed,
    TakenOver,
)
from protocol.ledger import Moved
from protocol.messages import Intent, Operation, ProofRecord, UncleClaim, operation_hash
from protocol.params import parse_settings
from protocol.proving.elected import Elected
from protocol.types import Account, JobId, TreeIndex
from scripts.explain.deal import Deal
from scripts.explain.publiclog import SHORT, Happened, JobEntry, LogStep, PublicLog


@dataclass(frozen=True, slots=True)
class LiveIntent:
    """An intent that is still good."""

    until: int
    step: LogStep
    operation: Operation


class Case:
    """A tree node of a job, and everything in the log that concerns it.

    :ivar happened: events of its round, its job and itself, and operations about it, in order.
    :ivar owners: whom it was assigned to.
    :ivar parameters: of the rule of elected provers; None under another rule.
    :ivar deal: None under another rule, and where the log assigned otherwise.
    """

    def __init__(self, log: PublicLog, entry: JobEntry, index: TreeIndex) -> None:
        self.log, self.entry, self.index = log, entry, index
        self.leaves = int(entry.header.leaf_count)
        self._of_job = [one for one in log.happenings() if _job(one) == entry.job]
        self._people = self._involved()
        self.happened = [one for one in log.happenings() if self._concerns(one)]
        owners: dict[TreeIndex, tuple[Account, ...]] = {}
        for one in self._of_job:
            if isinstance(one.event, Assigned):
                more = () if one.event.prover is None else (one.event.prover,)
                owners[one.event.index] = (*owners.get(one.event.index, ()), *more)
        self.owners = owners.get(index, ())
        is_elected = log.genesis.proving.name == Elected.name
        settings = log.genesis.proving
        self.parameters: Any = (
            parse_settings(Elected.parameters_type, settings) if is_elected else None
        )
        each = getattr(self.parameters, "provers_per_node", 1)
        deal = Deal.of(entry.header.seed, self.leaves, self.pool, each)
        self.deal = deal if is_elected and deal.owners == owners else None

    @property
    def pool(self) -> tuple[PoolMember, ...]:
        """Who could be elected for the job."""
        event = self.entry.opening.event
        return event.pool if isinstance(event, JobOpened) else ()

    # --- what concerns it ---

    def _involved(self) -> set[Account]:
        """Everybody who had to do with the tree node."""
        found: set[Account] = set()
        for one in self._of_job:
            if getattr(one.event, "index", None) == self.index:
                who = (getattr(one.event, name, None) for name in ("prover", "holder", "heir"))
                found |= {account for account in who if account is not None}
        return found

    def _concerns(self, one: Happened) -> bool:
        event: Any = one.event
        if isinstance(event, OperationAccepted | OperationRefused):
            return self.is_about(self.operation(event))
        if isinstance(event, Moved):
            is_whole = event.place is None and event.target.owner in self._people
            return event.job == self.entry.job and (is_whole or event.place == self.index)
        if _job(one) == self.entry.job:
            is_here = getattr(event, "index", self.index) == self.index
            who = getattr(event, "prover", None)
            return is_here and (who is None or who in self._people)
        header, round_ = self.entry.header, getattr(event, "round", None)
        return round_ == header.round and getattr(event, "sequencer", None) in (
            header.sequencer,
            None,
        )

    def operation(self, event: OperationAccepted | OperationRefused) -> Operation:
        """What an event tells the fate of."""
        found = self.log.operation(event.operation)
        assert found is not None, "what has a fate was ordered"
        return found[1]

    def is_about(self, operation: Operation) -> bool:
        """Whether an operation speaks of the tree node, by itself or through a record in it."""
        subject = getattr(operation.payload, "record", operation.payload)
        about = getattr(subject, "job", None), getattr(subject, "index", None)
        return about == (self.entry.job, self.index)

    def last(self, kind: type) -> Any:
        """The last event of a kind, or None."""
        found = [one.event for one in self.happened if isinstance(one.event, kind)]
        return found[-1] if found else None

    def moves(self, step: LogStep) -> list[Moved]:
        """Moves of money for the tree node in one log block."""
        return [
            one.event for one in self.happened if one.step is step and isinstance(one.event, Moved)
        ]

    @property
    def settled(self) -> LogStep | None:
        """The log block that settled the job, if one did."""
        steps = (one.step for one in self._of_job if isinstance(one.event, JobSettled))
        return next(steps, None)

    def claim_of(self, account: bytes) -> LogStep | None:
        """The log block in which an account's uncle claim for the tree node took effect."""
        claims = (
            one.step
            for one in self.happened
            if isinstance(one.event, OperationAccepted)
            and one.event.sender == account
            and isinstance(self.operation(one.event).payload, UncleClaim)
        )
        return next(claims, None)

    def live_intents(self, step: LogStep) -> dict[Account, LiveIntent]:
        """The last intent of each prover before a log block's operations, if it is still good."""
        found: dict[Account, LiveIntent] = {}
        for one in self.log.happenings():
            if one.step is step:
                break
            if isinstance(one.event, IntentRegistered):
                until = one.event.until
                for each in one.step.operations:
                    is_intent = isinstance(each.payload, Intent) and each.payload.until == until
                    if is_intent and each.sender == one.event.prover:
                        found[one.event.prover] = LiveIntent(until, one.step, each)
        return {who: one for who, one in found.items() if one.until >= step.moment.tick}

    def inputs(self, until: LogStep) -> list[Happened]:
        """The records of both children of a merge, up to a log block."""
        children = tree.children(self.index) if self.index.level else ()
        return [
            one
            for one in self._of_job
            if isinstance(one.event, ProofRecorded)
            and one.event.index in children
            and one.step.moment.tick <= until.moment.tick
        ]

    def failures(self, until: LogStep) -> list[tuple[Account, TreeIndex]]:
        """Who failed the job up to a log block, and with what."""
        return [
            (one.event.holder, one.event.index)
            for one in self._of_job
            if isinstance(one.event, RightMissed)
            and one.event.failed
            and one.step.moment.tick <= until.moment.tick
        ]

    def holders_before(self, takeover: TakenOver) -> list[Account | None]:
        """Who had the right to the tree node before it passed on."""
        held: list[Account | None] = [*self.owners]
        for one in self.happened:
            if one.event is takeover:
                break
            if isinstance(one.event, TakenOver):
                held.append(one.event.heir)
        return held

    def entered(self, until: LogStep) -> list[Operation]:
        """Accepted records of the tree node up to a log block."""
        accepted = (
            self.operation(one.event)
            for one in self.happened
            if isinstance(one.event, OperationAccepted)
            and one.step.moment.tick <= until.moment.tick
        )
        return [one for one in accepted if isinstance(one.payload, ProofRecord)]

    # --- words ---

    def name(self, account: bytes | None) -> str:
        """Who an account is."""
        return "anybody with prover stake" if account is None else self.log.name(account)

    def names(self, accounts: tuple[Account, ...]) -> str:
        """Who some accounts are; nobody in particular is anybody."""
        return " and ".join(map(self.name, accounts)) if accounts else self.name(None)

    def place(self, index: TreeIndex | None = None) -> str:
        """What people call a tree node; the one in question by default."""
        index = self.index if index is None else index
        if index.level == 0:
            return f"leaf {index.position}"
        return "the root" if index == tree.root(self.leaves) else f"merge {index}"

    def called(self, operation: Operation) -> str:
        """An operation by kind, hash and sender."""
        hashed = operation_hash(operation).hex()[:SHORT]
        return f"{type(operation.payload).__name__} {hashed} of {self.name(operation.sender)}"

    def job(self, job: JobId) -> str:
        """A job by its number, if it is one of the log's."""
        numbers = {one.job: one.number for one in self.log.jobs()}
        return f"block {numbers[job]}" if job in numbers else f"job {job.hex()[:SHORT]}"


def _job(one: Happened) -> object:
    return getattr(one.event, "job", None)


def percent(basis_points: int) -> str:
    """Basis points as people say them."""
    return f"{basis_points / 100:g} %"

"""What anybody can know from the events of the log alone: jobs, rights, records.

Actors act on it and oracles judge by it. It reads no rule and no machine, and it assumes only what
the events say: all rights to a tree node that wait for its inputs open together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from protocol.events import (
    Assigned,
    Event,
    JobOpened,
    JobProven,
    JobSettled,
    JobVoided,
    PoolMember,
    ProofOffered,
    ProofRecorded,
    RightMissed,
    RightOpened,
    SlashPending,
    TakenOver,
    UncleClaimed,
)
from protocol.ledger import Moved, PocketKind
from protocol.messages import JobHeader
from protocol.types import Account, JobId, Tick, TreeIndex


@dataclass(slots=True)
class NodeView:
    """What is known of one tree node.

    :ivar owners: its own provers; nobody when it is anybody's.
    :ivar rights: first tick at which each holder's record is admissible (holder None: anybody;
        tick None: inputs are missing), oldest holder first.
    :ivar opened_at: when the newest right opened.
    :ivar open_to_all_since: when anybody's right opened.
    """

    owners: tuple[Account, ...] = ()
    rights: dict[Account | None, Tick | None] = field(default_factory=dict)
    opened_at: Tick | None = None
    open_to_all_since: Tick | None = None
    record: ProofRecorded | None = None
    offers: list[ProofOffered] = field(default_factory=list)
    claims: list[UncleClaimed] = field(default_factory=list)

    @property
    def assigned(self) -> Account | None:
        """The first of its own provers."""
        return next(iter(self.owners), None)

    def assign(self, prover: Account | None) -> None:
        """One more of its own provers, whose right waits for inputs; None: anybody's."""
        self.rights[prover] = None
        if prover is not None:
            self.owners = (*self.owners, prover)

    def admissible(self, who: Account) -> Tick | None:
        """From which tick on a record of ``who`` is admissible; None if that is not known."""
        ticks = [self.rights.get(who), self.rights.get(None)]
        return min((tick for tick in ticks if tick is not None), default=None)

    def is_held_by(self, who: Account) -> bool:
        """Whether ``who`` has or had a right, or everybody has."""
        return who in self.rights or None in self.rights


@dataclass(slots=True)
class JobView:
    """What is known of one job.

    :ivar income: what came into its escrow: fees and block reward.
    """

    id: JobId
    header: JobHeader
    opened_at: Tick
    pool: tuple[PoolMember, ...]
    nodes: dict[TreeIndex, NodeView] = field(default_factory=dict)
    failed: list[Account] = field(default_factory=list)
    accused: list[SlashPending] = field(default_factory=list)
    income: int = 0
    is_proven: bool = False
    is_settled: bool = False
    is_void: bool = False

    @property
    def parent(self) -> JobId:
        """What it builds on."""
        return self.header.content.parent

    @property
    def is_open(self) -> bool:
        """Neither paid nor void."""
        return not (self.is_settled or self.is_void)


def is_backup(header: JobHeader) -> bool:
    """Whether a job came with its proof: no beacon is zero."""
    return header.seed == bytes(32)


class Board:
    """Jobs by id, oldest first."""

    def __init__(self) -> None:
        self.jobs: dict[JobId, JobView] = {}

    def open_jobs(self) -> Iterator[JobView]:
        """Jobs that wait for settlement, oldest first."""
        return (job for job in self.jobs.values() if job.is_open)

    def has_lost(self, job: JobView) -> bool:
        """Whether a rival of the job, built on the same one, was settled."""
        return any(
            one.is_settled and one.parent == job.parent and one is not job
            for one in self.jobs.values()
        )

    def observe(self, tick: Tick, event: Event) -> None:
        """Take in one event of the block at ``tick``."""
        if isinstance(event, Moved):
            self._fund(event)
        else:
            self._observe_job(tick, event)

    def _observe_job(self, tick: Tick, event: Event) -> None:
        match event:
            case JobOpened(job, header, pool):
                self.jobs[job] = JobView(job, header, tick, pool)
            case RightMissed(job, _, holder, True):
                self.jobs[job].failed.append(holder)
            case SlashPending(job):
                self.jobs[job].accused.append(event)
            case JobProven(job):
                self.jobs[job].is_proven = True
            case JobSettled(job):
                self.jobs[job].is_settled = True
            case JobVoided(job):
                self.jobs[job].is_void = True
            case Assigned(job, index):
                self.jobs[job].nodes.setdefault(index, NodeView()).assign(event.prover)
            case _:
                self._observe_node(tick, event)

    def _observe_node(self, tick: Tick, event: Event) -> None:
        match event:
            case RightOpened(job, index, holder, admissible):
                self._open(self.jobs[job].nodes[index], holder, admissible, tick)
            case TakenOver(job, index, previous, heir):
                node = self.jobs[job].nodes[index]
                node.rights.setdefault(previous, None)
                node.rights.setdefault(heir, None)
            case ProofRecorded(job, index):
                self.jobs[job].nodes[index].record = event
            case ProofOffered(job, index):
                self.jobs[job].nodes[index].offers.append(event)
            case UncleClaimed(job, index):
                self.jobs[job].nodes[index].claims.append(event)

    def _fund(self, moved: Moved) -> None:
        if moved.target.kind is PocketKind.ESCROW:
            self.jobs[JobId(moved.target.owner)].income += moved.amount

    @staticmethod
    def _open(node: NodeView, holder: Account | None, admissible: Tick, tick: Tick) -> None:
        node.opened_at = tick
        node.rights.setdefault(holder, None)
        for one, since in node.rights.items():
            if since is None:
                node.rights[one] = admissible
        if None in node.rights:
            node.open_to_all_since = tick

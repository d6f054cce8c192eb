"""What the books of an audit ask of the proving side, whichever rule is read.

A side keeps its jobs, rights and locked money; free money and what was earned are the books'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

from protocol.events import PoolMember
from protocol.messages import JobHeader, Payload
from protocol.rules import Moment
from protocol.types import Account, JobId
from scripts.audit.settled import Payment, Place
from scripts.audit.stakes import Stakes

Pool: TypeAlias = tuple[PoolMember, ...]
"""Provers with their cards, by account."""

Block: TypeAlias = tuple[int, Account]
"""A block to come: its round and its sequencer."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the books and both sides look at together.

    :ivar balances: free money of every account.
    :ivar log_stakes: stakes of validators.
    :ivar sequencer_stakes: stakes of sequencers, without what is pledged for blocks.
    :ivar awaited: blocks that may yet open.
    :ivar earn: adds a payment to a balance and to what its account earned.
    """

    balances: dict[Account, int]
    log_stakes: dict[Account, int]
    sequencer_stakes: Mapping[Account, int]
    awaited: Callable[[], list[Block]]
    earn: Callable[[Payment], None]


class OpenJob(Protocol):
    """A job that was neither paid nor voided yet."""

    @property
    def header(self) -> JobHeader:
        """Its terms."""

    @property
    def opened(self) -> int:
        """Tick of its opening."""

    @property
    def missed(self) -> list[Place]:
        """Tree nodes whose own prover missed its window."""

    @property
    def is_proven(self) -> bool:
        """Whether the root is recorded."""

    @property
    def provers(self) -> tuple[Account, ...]:
        """Whose record each tree node of a proven job has, leaves first."""


class ProvingSide(Protocol):
    """A second reading of a proving rule."""

    free: ClassVar[tuple[type, ...]]
    """Payloads that cost nothing when they take effect."""

    @property
    def jobs(self) -> Mapping[JobId, OpenJob]:
        """Open jobs, oldest first."""

    @property
    def stakes(self) -> Stakes:
        """Stakes of provers."""

    def pass_time(self, moment: Moment) -> None:
        """What time brings about."""

    def pool(self, moment: Moment) -> Pool:
        """Provers that can be elected."""

    def open(self, moment: Moment, job: JobId, header: JobHeader, pool: Pool) -> None:
        """A job opens."""

    def take(self, moment: Moment, sender: Account, payload: Payload) -> bool:
        """Whether an operation takes effect; then it did."""

    def end_block(self) -> None:
        """What follows from a whole block."""

    def is_committed(self, round: int, sequencer: Account) -> bool:
        """Whether it is known who will prove a block to come."""

    def gave_up(self, job: JobId) -> bool:
        """Whether nobody may prove an open job any more."""

    def latest(self, job: JobId, now: int) -> int:
        """A tick by which everybody entitled had their time."""

    def knows(self, job: JobId) -> bool:
        """Whether the job is open, or something is still to come of it."""

    def compensate(self, job: JobId, budget: int) -> Iterable[Payment]:
        """What is paid for a job that is about to be void, at most the budget."""

    def pay(self, job: JobId, share: int, tick: int) -> tuple[Iterable[Payment], int]:
        """What provers get of a proven job's share, and what of it goes back to the sequencer."""

    def close(self, job: JobId, tick: int, payments: Iterable[Payment]) -> None:
        """The job was settled with these payments, or voided with none."""

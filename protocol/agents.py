"""What acts for an account: an agent sees final events and a read-only view, and answers with
actions.

Rules. An agent is pure but for what it may rebuild at any time from the view: ``decide(view,
event)`` is called by the node that hosts it, one call after another, and its actions are carried
out in order. Protocol state that must survive a restart goes into notes. What is called for, now,
for an account is said by the rules themselves (``duties``), as a function of the state: so an agent
that was restarted goes on where it stood.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from protocol.happenings import BlockFinal
from protocol.machine import Machine
from protocol.messages import Bid, Payload, ProofRecord, SignedBid, SignedTransfer
from protocol.ports import RollupState
from protocol.rollup import ExecutedBlock
from protocol.types import (
    Account,
    BodyHash,
    Count,
    JobId,
    Milliseconds,
    Round,
    Slot,
    TreeIndex,
)

PAUSE_NOTE: Final = "pause"
"""Name of the note in which a node keeps whether it is paused, so that a restart keeps it, too."""

PAUSED: Final = b"paused"
"""What that note says while the node is paused."""


@dataclass(frozen=True, slots=True)
class ProofKey:
    """Which proof a worker is at."""

    job: JobId
    index: TreeIndex


@dataclass(frozen=True, slots=True)
class KnownProof:
    """A proof that was fetched and found valid here, recorded or not; its bytes are in the
    store.
    """

    prover: Account
    record: ProofRecord


def backup_note(round: Round) -> str:
    """Name of the note in which a node's sequencer leaves the content of a backup for its
    prover.
    """
    return f"backup/{round}"


# --- what an agent sees ---


@dataclass(frozen=True, slots=True)
class SlotBegan:
    """A slot began."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class BlockKnown:
    """The body of a job's block was fetched and executed."""

    job: JobId


@dataclass(frozen=True, slots=True)
class ProofKnown:
    """A proof of somebody was found valid."""

    proof: KnownProof


@dataclass(frozen=True, slots=True)
class ProofMade:
    """A worker of this node finished.

    :ivar wall_ms: what proving took, without waiting for a worker.
    :ivar threads: on so many threads; 0 where nobody measured.
    """

    key: ProofKey
    task: Any
    proof: bytes
    wall_ms: Milliseconds = Milliseconds(0)
    threads: Count = Count(0)


@dataclass(frozen=True, slots=True)
class ProofFailed:
    """A worker of this node gave up; ``sentence`` says why."""

    key: ProofKey
    sentence: str


@dataclass(frozen=True, slots=True)
class TransferHeard:
    """A transfer with a valid signature was gossiped."""

    signed: SignedTransfer


@dataclass(frozen=True, slots=True)
class BidHeard:
    """A signed bid that could be awarded was gossiped."""

    signed: SignedBid


@dataclass(frozen=True, slots=True)
class Paused:
    """The node's operator wants it to take on nothing new, and to serve what it has."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The pause is over."""


AgentEvent: TypeAlias = (
    SlotBegan
    | BlockFinal
    | BlockKnown
    | ProofKnown
    | ProofMade
    | ProofFailed
    | TransferHeard
    | BidHeard
    | Paused
    | Resumed
)


class View(Protocol):
    """What an agent may look at; it never changes anything."""

    @property
    def account(self) -> Account:
        """For whom the agent acts."""

    @property
    def machine(self) -> Machine:
        """The final state; for reading only."""

    @property
    def jobs_opened(self) -> int:
        """Jobs opened so far, without those that were voided."""

    @property
    def is_behind(self) -> bool:
        """Whether the log may have gone on without this node since it was stopped: what seems open
        may be closed.
        """

    def own_pending(self) -> tuple[Payload, ...]:
        """Payloads of this account that wait to be ordered."""

    def block(self, job: JobId) -> ExecutedBlock | None:
        """The executed block of an open job, once its body is known."""

    def state_after(self, job: JobId) -> RollupState | None:
        """The rollup's state after a job (``NO_JOB``: the genesis), once known."""

    def proofs(self, job: JobId, index: TreeIndex) -> tuple[KnownProof, ...]:
        """Valid proofs of a tree node that are known here, oldest first."""

    def body(self, name: BodyHash) -> bytes | None:
        """Bytes from the store."""

    def note(self, name: str) -> bytes | None:
        """A note that was kept, also before a restart."""

    def running(self) -> tuple[ProofKey, ...]:
        """Proofs that workers of this node are at or will be."""


# --- what an agent does ---


@dataclass(frozen=True, slots=True)
class Submit:
    """Sign a payload as an operation and gossip it until it is ordered or expires."""

    payload: Payload


@dataclass(frozen=True, slots=True)
class KeepBody:
    """Store bytes by their hash and serve them to whoever asks."""

    body: bytes


@dataclass(frozen=True, slots=True)
class KeepNote:
    """Store a note that survives a restart."""

    name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class StartProof:
    """Have a worker prove ``task``; the answer is ProofMade or ProofFailed."""

    key: ProofKey
    task: Any


@dataclass(frozen=True, slots=True)
class CancelProof:
    """Stop a worker: nobody needs its proof any more."""

    key: ProofKey


@dataclass(frozen=True, slots=True)
class Send:
    """Gossip a transfer."""

    signed: SignedTransfer


@dataclass(frozen=True, slots=True)
class SendBid:
    """Sign a bid of this account and gossip it."""

    bid: Bid


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the node's operator something that it can act upon."""

    sentence: str


Action: TypeAlias = Submit | KeepBody | KeepNote | StartProof | CancelProof | Send | SendBid | Tell


def is_paused(view: View) -> bool:
    """Whether the node is to take on nothing new."""
    return view.note(PAUSE_NOTE) == PAUSED


class Agent(Protocol):
    """Acts for one account."""

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        """What to do about ``event``."""

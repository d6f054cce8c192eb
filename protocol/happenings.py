"""What happens to a replica, and what it wants done: events in, effects out, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from protocol.errors import Reason
from protocol.machine import Applied
from protocol.messages import (
    CertifiedBlock,
    LogBlock,
    Payload,
    SignedOperation,
    SignedVote,
)
from protocol.ports import Topic
from protocol.rules import Moment
from protocol.types import Account, Milliseconds, OperationHash, Slot, Tick

# --- events ---


@dataclass(frozen=True, slots=True)
class TimePassed:
    """It is now ``now_ms``."""

    now_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class BlockHeard:
    """A proposal arrived."""

    block: LogBlock
    now_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class VoteHeard:
    """A vote arrived."""

    vote: SignedVote
    now_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class OperationHeard:
    """An operation of somebody else arrived."""

    signed: SignedOperation
    now_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class CertifiedHeard:
    """A peer answered a request for certified blocks, lowest first."""

    blocks: tuple[CertifiedBlock, ...]
    now_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class Submitted:
    """An agent of this node wants a payload ordered."""

    payload: Payload
    now_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class BodyChecked:
    """The body of an operation was fetched and checked; ``fault`` is None when it is valid."""

    operation: OperationHash
    fault: Reason | None
    now_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class ClockJudged:
    """Our clock was compared with others'; while it is not right, nothing is signed for a slot."""

    is_right: bool
    now_ms: Milliseconds


Happening: TypeAlias = (
    TimePassed
    | BlockHeard
    | VoteHeard
    | OperationHeard
    | CertifiedHeard
    | Submitted
    | BodyChecked
    | ClockJudged
)


# --- effects ---


@dataclass(frozen=True, slots=True)
class Remember:
    """Make durable what we sign for ``slot`` before anything that follows; ``kind`` is ``vote``
    or ``proposal``.
    """

    kind: str
    slot: Slot
    payload: bytes


@dataclass(frozen=True, slots=True)
class Keep:
    """Store a notarised block with its certificate."""

    certified: CertifiedBlock


@dataclass(frozen=True, slots=True)
class Publish:
    """Gossip ``payload``."""

    topic: Topic
    payload: bytes


@dataclass(frozen=True, slots=True)
class CheckBody:
    """Fetch and check the body of an operation, then tell with :class:`BodyChecked`."""

    signed: SignedOperation


@dataclass(frozen=True, slots=True)
class BlockFinal:
    """``block`` is final and was applied."""

    block: LogBlock
    moment: Moment
    applied: Applied


@dataclass(frozen=True, slots=True)
class FetchBlocks:
    """Ask peers for certified blocks above our final height: we heard of one that we do not
    have.
    """

    above: Tick


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message was refused; the shell decides whether to hold it against the peer that sent it.

    :ivar detail: what in particular: the hash of a body, the slot of a proposal; may be empty.
    :ivar signer: who signed it; None for what this node itself wanted to say.
    """

    reason: Reason
    detail: str
    kind: str
    signer: Account | None = None


@dataclass(frozen=True, slots=True)
class Halted:
    """Disagreement with a notarised block: the replica stops voting.

    ``sentence`` says about what.
    """

    sentence: str


Effect: TypeAlias = (
    Remember | Keep | Publish | CheckBody | BlockFinal | FetchBlocks | Rejected | Halted
)

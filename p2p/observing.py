"""What whoever watches a node is told of it, as values.

Besides what the replica, the archive and the agents say of the log and of proofs, the node tells of
the snapshot that it begins with, of its workers and of every message that it refused.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from protocol.agents import BlockKnown, ProofKey, ProofKnown
from protocol.errors import Reason
from protocol.happenings import BlockFinal, Halted
from protocol.ordering.validators import Validator
from protocol.types import Account, Tick

REFUSALS_MAX: Final = 1_024
"""Kinds, reasons and peers whose refusals are counted apart; strangers beyond are counted as one.
"""

log = logging.getLogger("provnet.node")


@dataclass(frozen=True, slots=True)
class ProofStarted:
    """A worker was asked for a proof."""

    key: ProofKey


@dataclass(frozen=True, slots=True)
class ProofFinished:
    """A worker answered after ``wall_ms`` on ``threads`` threads."""

    key: ProofKey
    wall_ms: int
    threads: int


@dataclass(frozen=True, slots=True)
class ProofCancelled:
    """A proof was no longer needed, or failed; ``sentence`` says why."""

    key: ProofKey
    sentence: str


@dataclass(frozen=True, slots=True)
class AgentTold:
    """An agent has a word for the operator."""

    sentence: str


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """A message was refused and is somebody's fault.

    :ivar peer: who forwarded what was gossiped, or signed what was refused later; None for what
        this node wanted to say itself.
    :ivar detail: what in particular: the hash of a body, the slot of a proposal; may be empty.
    """

    message: str
    reason: Reason
    peer: Account | None
    detail: str


@dataclass(frozen=True, slots=True)
class SnapshotAdopted:
    """The node begins with the snapshot of a border, not with the genesis.

    :ivar height: of the border.
    :ivar peer: whose snapshot it was; None where the node had it from an earlier life.
    :ivar sets: who orders the log in the epoch that the border ends, in the next one, and in the
        one after that.
    """

    height: Tick
    peer: Account | None
    sets: tuple[tuple[Validator, ...], ...]


NodeEvent: TypeAlias = (
    BlockFinal
    | SnapshotAdopted
    | Halted
    | BlockKnown
    | ProofKnown
    | ProofStarted
    | ProofFinished
    | ProofCancelled
    | AgentTold
    | MessageRefused
)

Observer: TypeAlias = Callable[[NodeEvent], None]
"""Told of what the node did, on the owner's task: quick, and never raises."""


class Refusals:
    """Counts what was refused, and tells of it.

    :ivar counts: by kind, name of the reason, and peer in hexadecimal digits; the last is empty for
        what this node wanted to say itself, and for strangers beyond :data:`REFUSALS_MAX`.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def tell(self, refused: MessageRefused) -> None:
        """Count a refusal and tell of it. What comes in floods is only counted, or it would fill
        our disk.
        """
        kind, reason, peer = refused.message, refused.reason, refused.peer
        key = kind, reason.name, "" if peer is None else peer.hex()
        is_counted = key in self.counts or len(self.counts) < REFUSALS_MAX
        self.counts[key if is_counted else (kind, reason.name, "")] += 1
        if reason not in (Reason.TOO_MANY_PENDING, Reason.TOO_MANY_BIDS):
            self._observer(refused)
            log.info("refused a %s: %s %s", kind, reason.value, refused.detail)

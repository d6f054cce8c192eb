"""What the simulator itself tells of a node, beside what the node tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from p2p.observing import NodeEvent
from protocol.ports import Topic
from protocol.types import Account
from scripts.simulation.faults import Passing


@dataclass(frozen=True, slots=True)
class Born:
    """A life of the node begins, from what is on its disk."""

    life: int


@dataclass(frozen=True, slots=True)
class Died:
    """A life of the node ended; ``point`` is the point of a write at which it did, or empty."""

    life: int
    point: str


@dataclass(frozen=True, slots=True)
class Published:
    """The node gossips a message of its own; before anybody else sees it."""

    topic: Topic
    payload: bytes


@dataclass(frozen=True, slots=True)
class FaultBegan:
    """Something goes wrong; told of the node ``""``, as it may concern many."""

    fault: Passing


@dataclass(frozen=True, slots=True)
class FaultEnded:
    """It is over."""

    fault: Passing


@dataclass(frozen=True, slots=True)
class Cheated:
    """The node did what an honest one does not; see ``scripts.cheats``."""

    cheat: str
    what: str


@dataclass(frozen=True, slots=True)
class Measured:
    """What the node has in memory: name, entries, and the most entries where that is bounded."""

    sizes: tuple[tuple[str, int, int | None], ...]


@dataclass(frozen=True, slots=True)
class HeldAgainst:
    """The node's network held something against a peer: ``busy`` (it asked for more than a limit
    allows) or ``banned``.
    """

    kind: str
    peer: Account


@dataclass(frozen=True, slots=True)
class Healed:
    """From now on nothing goes wrong any more; told of the node ``""``."""


Event: TypeAlias = (
    NodeEvent
    | Born
    | Died
    | Published
    | FaultBegan
    | FaultEnded
    | Cheated
    | Measured
    | HeldAgainst
    | Healed
)
"""What a checker is fed with."""

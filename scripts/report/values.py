"""What a report shows, as frozen values. Times are milliseconds since the launch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Outcome(Enum):
    """How a tree node ended."""

    OWN = "own"
    """Proven by whom it was assigned to."""
    LATE = "own, late"
    """The same, after it had failed."""
    TAKEOVER = "takeover"
    """Proven by an heir."""
    OPEN = "open"
    """Proven by somebody when it was open to anybody."""
    MISSED = "missed"
    """Somebody missed it, and nothing is recorded."""
    WAITING = "not proven"
    """Nothing is recorded, and nobody missed it."""
    BACKUP = "backup"
    """Its whole block came with one proof."""


class Ending(Enum):
    """How an attempt to prove ended."""

    FINISHED = "finished"
    CANCELLED = "cancelled"
    KILLED = "killed"
    CUT = "no word of its end"


class Stage(Enum):
    """What a block waited for."""

    MISSED = "a window that was missed"
    START = "waiting to start"
    PROVING = "proving"
    INPUTS = "proven before its inputs were recorded"
    MINIMUM = "minimal time"
    ORDERING = "waiting to be ordered"
    FINALITY = "waiting to be final"
    UNSEEN = "no node told"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One node's work on one proof.

    :ivar wall_ms: as the worker measured it; None unless it finished.
    :ivar is_recorded: whether this became the tree node's proof.
    """

    node: str
    job: str
    place: tuple[int, int]
    start_ms: int
    end_ms: int
    ending: Ending
    wall_ms: int | None = None
    threads: int | None = None
    sentence: str = ""
    is_recorded: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """A right while it was somebody's, by the slots of the log blocks that decided it.

    :ivar holder: None for anybody with prover stake.
    :ivar is_inherited: whether it passed to the holder; others hold it from the first.
    :ivar since_ms: when it came to the holder.
    :ivar since_known_ms: when the first node saw that final.
    :ivar opened_ms: when it opened; None when it never did.
    :ivar known_ms: when the first node saw that final.
    :ivar admissible_ms: end of the minimal time; None when the log did not reach it.
    :ivar closes_ms: last tick of the window; None when it did not start, or the log did not reach
        it.
    :ivar missed: how it was missed, ``"failed"`` or ``"declined"``, if it was.
    :ivar until_ms: when it passed on, or the tree node was recorded, or the story ends.
    """

    holder: str | None
    is_inherited: bool
    since_ms: int
    since_known_ms: int
    opened_ms: int | None
    known_ms: int | None
    opened_tick: int | None
    admissible_tick: int | None
    admissible_ms: int | None
    closes_tick: int | None
    closes_ms: int | None
    missed: str | None
    until_ms: int


@dataclass(frozen=True, slots=True)
class Record:
    """The recorded proof.

    :ivar ordered_ms: when the slot of its log block began; None when no node told the slot.
    :ivar final_ms: when the first node saw that log block final.
    """

    prover: str
    tick: int
    ordered_ms: int | None
    final_ms: int


@dataclass(frozen=True, slots=True)
class Paid:
    """Money for a tree node; ``to`` is a node, or a kind of pocket."""

    to: str
    cause: str
    amount: int


@dataclass(frozen=True, slots=True)
class Note:
    """An event of a kind that the page has no picture for: its name and fields."""

    tick: int
    at_ms: int
    kind: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PlaceStory:
    """What became of one tree node."""

    level: int
    position: int
    name: str
    assigned: tuple[str, ...]
    turns: tuple[Turn, ...]
    attempts: tuple[Attempt, ...]
    record: Record | None
    outcome: Outcome
    paid: tuple[Paid, ...]
    notes: tuple[Note, ...]

    @property
    def winner(self) -> Attempt | None:
        """The attempt that was recorded, if its node told of it."""
        return next((one for one in self.attempts if one.is_recorded), None)

    @property
    def known_ms(self) -> int | None:
        """When the first node saw final that a right to it had opened."""
        return min((one.known_ms for one in self.turns if one.known_ms is not None), default=None)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the way to a block's root, for one tree node."""

    stage: Stage
    place: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class BlockStory:
    """One job from opening to its end.

    :ivar end: ``settled``, ``void`` or ``open``.
    :ivar because: number of the block because of which it is void, 0 when that is unknown; None
        when it is not void.
    :ivar backup: who proved all of it outside of any right; None for all but backup blocks.
    :ivar way: from opening to the root's record, without gaps; empty when it was not proven.
    """

    number: int
    job: str
    sequencer: str
    leaves: int
    fees: int
    fee_split: int
    opened_tick: int
    opened_ms: int
    proven_ms: int | None
    end: str
    end_tick: int | None
    end_ms: int
    because: int | None
    backup: str | None
    places: tuple[PlaceStory, ...]
    way: tuple[Span, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """What one kind of pocket of a node gained or lost by one cause."""

    node: str
    pocket: str
    cause: str
    gained: int
    lost: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that befell a node at a moment."""

    node: str
    at_ms: int
    what: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Messages or ordered operations that were refused.

    :ivar seen_by: the node that refused; ``the log`` for ordered operations.
    """

    sender: str
    kind: str
    reason: str
    seen_by: str
    count: int


@dataclass(frozen=True, slots=True)
class CheatSeen:
    """What a node that cheats on purpose told of one kind of it."""

    node: str
    cheat: str
    what: str
    count: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True)
class Story:
    """All that the page shows.

    :ivar provers: nodes that are told with a colour, in a fixed order.
    :ivar reference: whose final events are told; None when no node told any.
    :ivar summary: what ``summary.json`` says; None when there is none.
    :ivar facts: name and value of what is known of the network.
    """

    name: str
    network: str
    is_modelled: bool
    provers: tuple[str, ...]
    reference: str | None
    ticks: int
    end_ms: int
    facts: tuple[tuple[str, str], ...]
    summary: dict[str, Any] | None
    blocks: tuple[BlockStory, ...]
    attempts: tuple[Attempt, ...]
    marks: tuple[Mark, ...]
    flows: tuple[Flow, ...]
    refusals: tuple[Refusal, ...]
    cheats: tuple[CheatSeen, ...]
    notes: tuple[Note, ...]

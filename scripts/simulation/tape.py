"""All that happened in a run, kept for a person: events in order, and journals."""

from __future__ import annotations

from dataclasses import dataclass, field

from scripts.simulation.happenings import Event


@dataclass(slots=True)
class Tape:
    """What a run told.

    :ivar events: time in milliseconds, name of the node or nothing, event.
    :ivar journals: records of each node's journal, in order.
    """

    events: list[tuple[int, str, Event]] = field(default_factory=list)
    journals: dict[str, list[bytes]] = field(default_factory=dict)

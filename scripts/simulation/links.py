"""How messages travel between simulated nodes: regions of the world, and what each node's link to
it is like.

Declared, not measured: one-way times of light in fibre, with the detours that cables take, between
the regions where most machines for rent stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from p2p.memory import LinkModel
from protocol.types import Milliseconds

REGIONS: Final = ("europe", "america east", "america west", "asia", "oceania")
"""Where nodes stand."""

LATENCY_MS: Final = (
    (10, 45, 75, 90, 140),
    (45, 10, 35, 105, 105),
    (75, 35, 10, 60, 75),
    (90, 105, 60, 15, 60),
    (140, 105, 75, 60, 10),
)
"""One-way time between two regions, in their order."""

JITTER_PARTS: Final = 5
"""Jitter is at most one part in so many of the latency."""


@dataclass(frozen=True, slots=True)
class Troubles:
    """What is wrong with the links of a node, in both directions.

    :ivar late_ms: more time that everything takes.
    """

    loss_percent: int = 0
    duplication_percent: int = 0
    reordering_percent: int = 0
    held_ms: int = 0
    late_ms: int = 0
    bytes_per_s: int = 0

    def and_(self, other: Troubles) -> Troubles:
        """Both at once: of each trouble the worse."""
        rates = [one for one in (self.bytes_per_s, other.bytes_per_s) if one]
        return Troubles(
            max(self.loss_percent, other.loss_percent),
            max(self.duplication_percent, other.duplication_percent),
            max(self.reordering_percent, other.reordering_percent),
            max(self.held_ms, other.held_ms),
            max(self.late_ms, other.late_ms),
            min(rates, default=0),
        )


CALM: Final = Troubles()
"""Nothing is wrong."""


def link_between(sender_region: int, receiver_region: int, troubles: Troubles = CALM) -> LinkModel:
    """The link from a region to another, with what is wrong with it."""
    latency_ms = LATENCY_MS[sender_region][receiver_region]
    return LinkModel(
        latency_ms=Milliseconds(latency_ms + troubles.late_ms),
        jitter_ms=Milliseconds(latency_ms // JITTER_PARTS),
        loss=troubles.loss_percent / 100,
        duplication=troubles.duplication_percent / 100,
        reordering=troubles.reordering_percent / 100,
        held_ms=Milliseconds(troubles.held_ms),
        bytes_per_s=troubles.bytes_per_s,
    )

"""Where the time of a block went: the way back from its root's record to its opening.

Rules. Before the root's record was final it was ordered, before that announced, before that proven
by the prover that was recorded. Work on a merge starts with the proofs of its children, so before
the start of a proof stands the end of the later of its inputs, or a takeover, whichever came last;
and so on down to a leaf, and from there to the opening of the job. The spans join without gaps: the
sum is the time from opening to the root's record.

Deviation. Where a recorded prover told nothing of its work, all before its record is one span.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scripts.report.values import PlaceStory, Span, Stage

Places = Mapping[tuple[int, int], PlaceStory]


@dataclass(frozen=True, slots=True)
class RootRight:
    """When the right to a root opened: the slots of these ticks began then; None if unknown."""

    opened_ms: int | None
    admissible_ms: int | None


def way_to_root(places: Places, opened_ms: int, right: RootRight) -> tuple[Span, ...]:
    """The spans in order; none when the root is not recorded."""
    root = places[max(places)]
    if root.record is None:
        return ()
    way = _Way(opened_ms, root.record.final_ms)
    if root.record.ordered_ms is not None:
        way.back_to(root.record.ordered_ms, Stage.FINALITY, root)
    if root.winner is not None:
        proven_ms = root.winner.end_ms
        for begins_ms, stage in (
            (right.admissible_ms, Stage.ORDERING),
            (right.opened_ms, Stage.MINIMUM),
        ):
            if begins_ms is not None and begins_ms > proven_ms:
                way.back_to(begins_ms, stage, root)
        is_early = right.opened_ms is not None and right.opened_ms > proven_ms
        is_minimum = right.admissible_ms is not None and right.admissible_ms > proven_ms
        late = Stage.MINIMUM if is_minimum else Stage.ORDERING
        way.back_to(proven_ms, Stage.INPUTS if is_early else late, root)
    _walk(way, places, root)
    return way.spans()


def _walk(way: _Way, places: Places, place: PlaceStory) -> None:
    """From the end of a proof down to the opening of the job."""
    while place.winner is not None:
        start_ms = place.winner.start_ms
        way.back_to(start_ms, Stage.PROVING, place)
        ready_ms = _proven_ms(_later_child(places, place)) if place.level else way.opened_ms
        passed_ms = _came_to_prover_ms(place)
        if passed_ms is not None and passed_ms > ready_ms:
            way.back_to(min(passed_ms, start_ms), Stage.START, place)
            way.back_to(ready_ms, Stage.MISSED, place)
        else:
            way.back_to(ready_ms, Stage.START, place)
        if place.level == 0:
            return
        place = _later_child(places, place)
    way.back_to(way.opened_ms, Stage.UNSEEN, place)


def _came_to_prover_ms(place: PlaceStory) -> int | None:
    """When it was known that the right came to who is recorded; None if it was theirs at once."""
    assert place.record is not None, "a winner is recorded"
    for turn in place.turns:
        if turn.is_inherited and turn.holder in (place.record.prover, None):
            return turn.since_known_ms
    return None


def _children(places: Places, place: PlaceStory) -> list[PlaceStory]:
    level, left = place.level - 1, 2 * place.position
    return [places[level, left], places[level, left + 1]]


def _later_child(places: Places, place: PlaceStory) -> PlaceStory:
    return max(_children(places, place), key=_proven_ms)


def _proven_ms(place: PlaceStory) -> int:
    """When a tree node's recorded proof was there, as far as was told."""
    if place.winner is not None:
        return place.winner.end_ms
    return place.record.final_ms if place.record is not None else 0


class _Way:
    """Collects spans from the end backwards; none reaches past the opening."""

    def __init__(self, opened_ms: int, end_ms: int) -> None:
        self.opened_ms = opened_ms
        self._now_ms = end_ms
        self._spans: list[Span] = []

    def back_to(self, at_ms: int, stage: Stage, place: PlaceStory) -> None:
        """Everything from ``at_ms`` to where the last span began belongs to a stage."""
        start_ms = max(self.opened_ms, at_ms)
        if start_ms < self._now_ms:
            self._spans.append(Span(stage, place.name, start_ms, self._now_ms))
            self._now_ms = start_ms

    def spans(self) -> tuple[Span, ...]:
        """All of them, first things first."""
        return tuple(reversed(self._spans))

"""Takeover within its bound: what is missed passes on in the tick after its window, to its heir."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.events import Event, RightMissed, TakenOver, WindowStarted
from scripts.simulation.checkers.rights_reading import RightsChecker


class Takeover(RightsChecker):
    """A window starts in the first tick in which the opening is final, lasts as long as the rule
    says, and is missed in the tick after its last one, never before and never later; then, and only
    then, all unrecorded tree nodes of who failed pass on, each to the next heir of its line.
    """

    name = "takeover"

    def on_time(self, due: list[Event], told: list[Event]) -> Iterator[str]:
        """Compare, in order."""
        for at in range(max(len(due), len(told))):
            wanted = due[at] if at < len(due) else None
            said = told[at] if at < len(told) else None
            if wanted != said:
                yield f"due was: {_sentence(wanted)}; told was: {_sentence(said)}"
                return


def _sentence(event: Event | None) -> str:
    match event:
        case WindowStarted(job, index, holder, closes):
            what = f"the window of {holder.hex()[:8]} closes at {closes}"
        case RightMissed(job, index, holder, failed):
            what = f"{holder.hex()[:8]} {'failed' if failed else 'declined'}"
        case TakenOver(job, index, previous, heir):
            to = "anybody" if heir is None else heir.hex()[:8]
            what = f"it passes from {previous.hex()[:8]} to {to}"
        case _:
            return "nothing"
    return f"tree node {index} of job {job.hex()[:8]}: {what}"

"""Faults planted into what elected provers do beyond the thread's rule."""

from __future__ import annotations

from protocol.testing.scenario import ELECTED_VARIANTS
from tests.properties.planted import (
    AFTERWARDS,
    DEAL,
    ELECTED,
    MACHINE,
    PAY,
    PROGRESS,
    Fault,
)

SHARED, JUDGED, OWNED = ELECTED_VARIANTS

ELECTED_FAULTS = (
    Fault(
        "one prover is dealt twice to a tree node",
        DEAL,
        "distinct = dict.fromkeys(one for one in drawn if one is not None)",
        "distinct = [one for one in drawn if one is not None]",
        like=SHARED,
    ),
    Fault(
        "who failed is paid beside the recorded prover",
        PROGRESS,
        "            and one.prover not in self.failures\n",
        "",
        seed=4,
        like=SHARED,
    ),
    Fault(
        "uncles do not fade",
        PAY,
        "left = max(0, ticks - max(0, claim.tick - settled_at))",
        "left = ticks",
        seed=13,
        like=SHARED,
    ),
    Fault(
        "an uncle is paid besides its share",
        PAY,
        "if claim.prover not in paid:",
        "if True:",
        seed=9,
        like=SHARED,
    ),
    Fault(
        "uncles without number",
        ELECTED,
        "if not self._has_room(place, sender):",
        "if False:",
        seed=4,
        like=SHARED,
    ),
    Fault(
        "a claim before anything is recorded",
        ELECTED,
        "if closed is None and place.record is None:",
        "if False:",
        seed=82,
        like=JUDGED,
    ),
    Fault(
        "a claim when its time is over",
        ELECTED,
        "if closed and not self._afterwards.takes_claim(closed, record.index, sender, tick):",
        "if False:",
        seed=42,
        like=JUDGED,
    ),
    Fault(
        "claims are paid a tick too soon",
        AFTERWARDS,
        "frame.moment.tick > self.claims_end(closed)",
        "frame.moment.tick >= self.claims_end(closed)",
        seed=1,
        like=SHARED,
    ),
    Fault(
        "a slash is decided a tick too soon",
        AFTERWARDS,
        "frame.moment.tick > self.decided(closed)",
        "frame.moment.tick >= self.decided(closed)",
        like=OWNED,
    ),
    Fault(
        "a proof that was shown in time saves nobody",
        AFTERWARDS,
        "if not closed.progress.lacks(prover):",
        "if False:",
        seed=4,
        like=OWNED,
    ),
    Fault(
        "silence is a vote for a slash",
        AFTERWARDS,
        "return 2 * guilty > frame.ledger.total(PocketKind.LOG_STAKE)",
        "return True",
        like=JUDGED,
    ),
    Fault(
        "a vote before the grace ends",
        AFTERWARDS,
        "return self.grace_ends(closed) < tick <= self.decided(closed)",
        "return tick <= self.decided(closed)",
        seed=12,
        like=JUDGED,
    ),
    Fault(
        "the whole stake is slashed",
        ELECTED,
        "failure = Failure([], part(stake, self.parameters.slash_bps))",
        "failure = Failure([], stake)",
        like=OWNED,
    ),
    Fault(
        "an offer counts at once",
        ELECTED,
        "if progress.places[tree.parent(index)].is_held_by(sender):",
        "if True:",
        like=OWNED,
    ),
    Fault(
        "anybody includes",
        ELECTED,
        "self._check_entitled(frame, progress.places[tree.parent(payload.index)], sender)",
        "pass",
        seed=7,
        like=OWNED,
    ),
    Fault(
        "two penalties for one bad proof",
        MACHINE,
        "        if fault in self._forgeries:\n",
        "        if False:\n",
    ),
)

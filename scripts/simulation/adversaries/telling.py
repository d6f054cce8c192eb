"""What a person is told of the adversaries of a run."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.simulation.adversaries import ALL
from scripts.simulation.adversaries.adversary import Deed
from scripts.simulation.adversaries.promise import Promise
from scripts.simulation.checkers.checker import Violation
from scripts.simulation.checkers.nobody_harmed import NobodyHarmed


def told(
    deeds: tuple[Deed, ...], promise: Promise, violations: tuple[Violation, ...]
) -> Iterator[str]:
    """Some lines; none where nobody was hostile."""
    for deed in deeds:
        kind = ALL[deed.hostile.adversary]
        yield f"adversary   {sentence_of(deed)}"
        yield f"            it {kind.does}; promised: {kind.promise}"
    if deeds:
        yield f"hostile     {promise.sentence()}"
        yield f"harmed      {_harmed(promise, violations)}"


def sentence_of(deed: Deed) -> str:
    """What became of one adversary."""
    hostile = deed.hostile
    who = ", ".join(hostile.nodes)
    against = f" against {', '.join(hostile.victims)}" if hostile.victims else ""
    did = ", ".join(f"{what} ({count:,} times)" for what, count in deed.did)
    met = ", ".join(f"{count:,} {reason.lower().replace('_', ' ')}" for reason, count in deed.met)
    return (
        f"{hostile.adversary} ({who}){against}: {did or 'had no occasion'}; "
        f"met by {met or 'nothing'}; slashed {deed.slashed:,}, paid {deed.earned:,} for "
        f"{deed.recorded} proofs"
    )


def _harmed(promise: Promise, violations: tuple[Violation, ...]) -> str:
    if NobodyHarmed.name in promise.waived:
        return "not asked: so many hostile validators may harm anybody"
    found = sum(one.checker == NobodyHarmed.name for one in violations)
    return f"{found} times, see the violations" if found else "nobody else"

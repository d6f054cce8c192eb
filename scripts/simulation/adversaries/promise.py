"""What is promised while some of the stake is hostile: which checkers still bind.

Rules. With less than a third of the log stake hostile, and an honest prover and an honest sequencer
left, all of them. From a third on the log may stand still or split (Streamlet; Dwork, Lynch and
Stockmeyer 1988), so that what honest nodes have in common is no longer promised; what each of them
books is: money is conserved, nothing is paid twice. With more than two thirds, hostile validators
order without anybody else's vote what they say they verified, and a payment without a valid proof
cannot be told from another by the log alone; to conserve money and to pay once needs no vote.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from scripts.launcher.plan import Member
from scripts.simulation.adversaries import ALL
from scripts.simulation.adversaries.adversary import Deed
from scripts.simulation.checkers.checker import Violation

AGREEMENT: Final = ("one log", "equal digests", "nobody else harmed")
"""Checkers that bind while less than a third of the log stake is hostile."""

PROGRESS: Final = ("liveness",)
"""Checkers that bind as long, if somebody honest is left who proves, and one who sequences."""

VERIFIED: Final = ("verified work",)
"""Checkers that bind while at most two thirds of the log stake are hostile."""

THIRD: Final = Fraction(1, 3)


@dataclass(frozen=True, slots=True)
class Promise:
    """What binds in one run.

    :ivar log: hostile share of the log stake.
    :ivar provers: hostile share of the prover stake.
    :ivar binding: checkers whose word counts.
    :ivar waived: those that may find something without fault of the protocol; they are not asked.
    """

    log: Fraction
    provers: Fraction
    binding: tuple[str, ...]
    waived: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether honest nodes have one log."""
        return self.log < THIRD

    @property
    def finishes(self) -> bool:
        """Whether the network has to finish its work."""
        return not set(PROGRESS) & set(self.waived)

    def sentence(self) -> str:
        """The promise, for a person."""
        shares = f"{_percent(self.log)} of the log stake, {_percent(self.provers)} of the provers'"
        waived = f"; not promised: {', '.join(self.waived)}" if self.waived else ""
        return f"{shares}; promised: {', '.join(self.binding)}{waived}"


UNTROUBLED: Final = Promise(Fraction(0), Fraction(0), (), ())
"""Nobody is hostile, and nobody was asked."""


def promised(
    members: Iterable[Member], hostile: Collection[str], checkers: Iterable[str]
) -> Promise:
    """What is promised while the nodes of these names are hostile."""
    everybody, names = tuple(members), frozenset(hostile)
    log = _share([(one.log_stake, one.name in names) for one in everybody])
    provers = _share([(one.prover_stake, one.name in names) for one in everybody])
    honest = [one.configuration for one in everybody if one.name not in names]
    proves = any(one.prover is not None for one in honest)
    sequences = any(one.sequencer is not None for one in honest)
    waived: set[str] = set()
    if log >= THIRD:
        waived.update(AGREEMENT)
    if log >= THIRD or not proves or not sequences:
        waived.update(PROGRESS)
    if log > 2 * THIRD:
        waived.update(VERIFIED)
    every = tuple(checkers)
    return Promise(
        log,
        provers,
        tuple(one for one in every if one not in waived),
        tuple(one for one in every if one in waived),
    )


def _share(stakes: list[tuple[int, bool]]) -> Fraction:
    total = sum(stake for stake, _ in stakes)
    hostile = sum(stake for stake, is_hostile in stakes if is_hostile)
    return Fraction(hostile, total) if total else Fraction(0)


def _percent(share: Fraction) -> str:
    return f"{float(100 * share):.0f} %"


def broken_promises(deeds: Iterable[Deed], patience_ms: int) -> Iterator[Violation]:
    """A violation for each promise of an adversary that was broken."""
    for deed in deeds:
        sentence = ALL[deed.hostile.adversary].broken(deed, patience_ms)
        if sentence:
            name = f"{deed.hostile.adversary} ({', '.join(deed.hostile.nodes)})"
            yield Violation("kept promises", deed.ended_ms, "", f"{name} {sentence}")

"""Who is owed what for which tree node under the rule of elected provers: sums, no moves.

A tree node is worth its part of the provers' share by work. These functions say what becomes of
that worth; rules and duties read the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from protocol.ledger import Cause
from protocol.proving.elected_parameters import ElectedParameters, part
from protocol.proving.progress import Place, Progress, Recorded
from protocol.rules import Stage
from protocol.types import FULL_SHARE, Account, Amount, Tick, TreeIndex


@dataclass(frozen=True, slots=True)
class Due:
    """An amount that is owed to a prover for a tree node."""

    index: TreeIndex
    prover: Account
    amount: Amount
    cause: Cause


def earned(
    parameters: ElectedParameters, progress: Progress, place: Place, prover: Account, worth: Amount
) -> tuple[Amount, Cause]:
    """What the record of ``prover`` earns, of a tree node that is worth so much."""
    match place.stage_of(prover):
        case Stage.OPEN:
            return part(worth, parameters.open_bps), Cause.OPEN_PAY
        case Stage.TAKEOVER:
            return part(worth, parameters.takeover_bps), Cause.TAKEOVER_PAY
    has_failed = prover in progress.failures
    return Amount(0) if has_failed else part(worth, parameters.primary_bps), Cause.PROVER_PAY


def beside(parameters: ElectedParameters, worth: Amount, provers: int) -> Amount:
    """What each of so many earns that delivered beside the recorded prover."""
    return Amount((worth - part(worth, parameters.primary_bps)) // max(provers, 1))


def dues_of_settlement(
    parameters: ElectedParameters, progress: Progress, index: TreeIndex, worth: Amount, now: Tick
) -> Iterator[Due]:
    """What a settled job owes for a recorded tree node."""
    place = progress.places[index]
    assert place.record is not None, "a recorded root stands on a recorded tree"
    prover = place.record.prover
    yield Due(index, prover, *earned(parameters, progress, place, prover, worth))
    others = progress.delivered_beside(index, now)
    for other in others:
        yield Due(index, other, beside(parameters, worth, len(others)), Cause.CO_PAY)


def dues_of_uncles(
    parameters: ElectedParameters, progress: Progress, settled_at: Tick
) -> Iterator[Due]:
    """What claims would be paid if the reserve had no end.

    Who was paid for delivering beside the recorded prover is not paid again.
    """
    shares_pay = parameters.primary_bps < FULL_SHARE
    for index, place in progress.places.items():
        paid = progress.delivered_beside(index, settled_at) if shares_pay else ()
        worth = parameters.worth(progress.leaf_count, index, progress.share)
        for claim in place.claims:
            if claim.prover not in paid:
                amount = _faded(parameters, worth, claim, settled_at)
                yield Due(index, claim.prover, amount, Cause.UNCLE_PAY)


def _faded(
    parameters: ElectedParameters, worth: Amount, claim: Recorded, settled_at: Tick
) -> Amount:
    """``worth * uncle_bps``, less with every tick since settlement, nothing at the end."""
    ticks = parameters.uncle_ticks
    left = max(0, ticks - max(0, claim.tick - settled_at))
    return Amount(worth * parameters.uncle_bps * left // (FULL_SHARE * ticks))


def dues_of_void(parameters: ElectedParameters, progress: Progress) -> Iterator[Due]:
    """What is owed to those whose proofs were recorded for nothing."""
    for index, place in progress.places.items():
        if place.record is not None:
            worth = parameters.worth(progress.leaf_count, index, progress.promised)
            amount = part(worth, parameters.void_bps)
            yield Due(index, place.record.prover, amount, Cause.VOID_PAY)


def within(dues: Iterable[Due], budget: Amount) -> Iterator[Due]:
    """The same dues, all of them less in proportion where the budget does not suffice."""
    dues = tuple(dues)
    whole = sum(due.amount for due in dues)
    for due in dues:
        amount = due.amount if whole <= budget else Amount(due.amount * budget // whole)
        yield Due(due.index, due.prover, amount, due.cause)

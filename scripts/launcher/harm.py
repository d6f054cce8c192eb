"""Judges whether the cheats of a run harmed anybody but themselves.

An honest node is *harmed* when it lost money otherwise than by a fee or a price that it chose to
pay; when it was punished; when an honest node banned it; when it and another honest node were apart
at the end of the run and had been for :data:`FOR_GOOD_S`. Work that nobody paid for, because it
covered for a cheat, is no harm here: the thread's rule asks for it, and the prover's own tree nodes
of the block would else be worth nothing.

Nodes that were killed on purpose are neither cheats nor honest: a rule may have them pay for having
been away, and :data:`ABSENCE` names each that does. Anything else that befalls them is a harm, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from scripts.launcher.testimony import Witnessed

FOR_GOOD_S: Final = 30
"""Honest nodes that have been apart for longer than this, in seconds, are apart for good."""

WILLING: Final = ("OPERATION_FEE", "AWARD_PRICE")
"""Causes by which an account pays because it wants to."""

PLEDGES: Final = ("BOND_LOCKED", "AWARD_BOND")
"""Causes by which an account's money becomes a pledge; it stays its own for as long."""


ABSENCE: Final[Mapping[str, str]] = {
    "JOB_FAILED": "the proving rule's slash_bps",
    "AWARD_BOND_LOST": "the proving rule's bond of an award",
    "REVEAL_MISSING": "the sequencing rule's reveal_penalty_bps",
    "BOND_LOST": "the sequencing rule's block_bond",
    "VOID_PAY": "the sequencing rule's block_bond",
    "ORPHAN_PAY": "the sequencing rule's block_bond",
}
"""Causes by which who was away loses, and the setting that has it so."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What left an account, or a pledge of one, against its will, in micro-units.

    :ivar node: its name.
    :ivar cause: why, by the name of the ledger's cause.
    """

    node: str
    cause: str
    amount: int


def harms(testimony: Witnessed) -> Iterator[str]:
    """A sentence for each harm to an honest node; nothing when only cheats paid."""
    for one in _losses(testimony):
        if one.node in testimony.honest:
            yield f"{one.node} is honest and lost {one.amount:,}: {one.cause}"
    yield from _punishments(testimony, testimony.honest, "is honest")
    yield from _bans(testimony, testimony.honest, "is honest")
    yield from _separations(testimony)


def costs_of_absence(testimony: Witnessed) -> list[Loss]:
    """What nodes that were killed lost, by node and cause, all amounts of a kind together."""
    lost: Counter[tuple[str, str]] = Counter()
    for one in _losses(testimony):
        if one.node in testimony.killed:
            lost[one.node, one.cause] += one.amount
    return [Loss(node, cause, amount) for (node, cause), amount in sorted(lost.items())]


def harms_of_kills(testimony: Witnessed) -> Iterator[str]:
    """A sentence for each harm to a node that was killed and did nothing wrong, beside what a rule
    takes for an absence.
    """
    for one in costs_of_absence(testimony):
        if one.cause not in ABSENCE:
            yield f"{one.node} was only killed and lost {one.amount:,}: {one.cause}"
    yield from _punishments(testimony, testimony.killed, "was only killed")
    yield from _bans(testimony, testimony.killed, "was only killed")


def _losses(testimony: Witnessed) -> Iterator[Loss]:
    """All that left accounts that do not cheat, or their pledges, against their will."""
    pledged: dict[tuple[str, str], str] = {}
    for tick in testimony.events("Moved"):
        source, target = tick["source"], tick["target"]
        purse = source["kind"], source["owner"]
        loser = pledged.get(purse, source["owner"])
        if tick["cause"] in PLEDGES:
            pledged[target["kind"], target["owner"]] = loser
        elif tick["cause"] not in WILLING and target["owner"] != loser:
            yield Loss(testimony.name(loser), tick["cause"], tick["amount"])


def _punishments(testimony: Witnessed, names: Collection[str], what: str) -> Iterator[str]:
    for record in testimony.story:
        name = testimony.name(record.get("offender"))
        if name in names:
            yield f"{name} {what} and was punished: {record['kind']}"


def _bans(testimony: Witnessed, names: Collection[str], what: str) -> Iterator[str]:
    """Who of these was banned by a node that does not cheat."""
    for name in sorted({*testimony.honest, *testimony.killed} & testimony.reports.keys()):
        for one in testimony.reports[name]["conduct"]:
            banned = testimony.name(one["from"])
            if one["kind"] == "banned" and banned in names:
                yield f"{name} banned {banned}, which {what}: {one['detail']}"


def _separations(testimony: Witnessed) -> Iterator[str]:
    for one, other in combinations(testimony.honest, 2):
        if _has_lost(testimony, one, other) or _has_lost(testimony, other, one):
            yield f"{one} and {other} are honest and lost each other for good"


def _has_lost(testimony: Witnessed, name: str, other: str) -> bool:
    """Whether ``name`` has been without ``other`` from some time before the end until the end."""
    account, since_ms = testimony.account(other), testimony.ended_ms
    stages = [one for one in testimony.told(name).connected if one["at_ms"] <= testimony.ended_ms]
    for stage in reversed(stages):
        if account in stage["peers"]:
            break
        since_ms = stage["at_ms"]
    return testimony.ended_ms - since_ms > 1000 * FOR_GOOD_S

"""Judges whether the cheats of a run harmed anybody but themselves.

An honest node is *harmed* when it lost money otherwise than by a fee or a price that it chose to
pay; when it was punished; when an honest node banned it; when it and another honest node were apart
at the end of the run and had been for :data:`FOR_GOOD_S`. Work that nobody paid for, because it
covered for a cheat, is no harm here: the thread's rule asks for it, and the prover's own tree nodes
of the block would else be worth nothing.

Nodes that were killed on purpose are neither cheats nor honest.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from scripts.launcher.testimony import Witnessed

FOR_GOOD_S: Final = 30
"""Honest nodes that have been apart for longer than this, in seconds, are apart for good."""

WILLING: Final = ("OPERATION_FEE", "AWARD_PRICE")
"""Causes by which an account pays because it wants to."""

PLEDGES: Final = ("BOND_LOCKED", "AWARD_BOND")
"""Causes by which an account's money becomes a pledge; it stays its own for as long."""


def harms(testimony: Witnessed) -> Iterator[str]:
    """A sentence for each harm to an honest node; nothing when only cheats paid."""
    yield from _losses(testimony)
    yield from _punishments(testimony)
    yield from _bans(testimony)
    yield from _separations(testimony)


def _losses(testimony: Witnessed) -> Iterator[str]:
    """What left an honest account, or a pledge of one, against its will."""
    pledged: dict[tuple[str, str], str] = {}
    for tick in testimony.events("Moved"):
        source, target = tick["source"], tick["target"]
        purse = source["kind"], source["owner"]
        loser = pledged.get(purse, source["owner"])
        if tick["cause"] in PLEDGES:
            pledged[target["kind"], target["owner"]] = loser
        elif tick["cause"] not in WILLING and target["owner"] != loser:
            name = testimony.name(loser)
            if name in testimony.honest:
                yield f"{name} is honest and lost {tick['amount']:,}: {tick['cause']}"


def _punishments(testimony: Witnessed) -> Iterator[str]:
    for record in testimony.story:
        name = testimony.name(record.get("offender"))
        if name in testimony.honest:
            yield f"{name} is honest and was punished: {record['kind']}"


def _bans(testimony: Witnessed) -> Iterator[str]:
    for name in testimony.honest:
        for one in testimony.reports[name]["conduct"]:
            banned = testimony.name(one["from"])
            if one["kind"] == "banned" and banned in testimony.honest:
                yield f"{name} banned {banned}, which is honest: {one['detail']}"


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

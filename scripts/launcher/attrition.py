"""Wears a network down: ``ROLE:SECONDS`` kills one node of a role every so many seconds.

Problem. One kill at a chosen moment shows that one takeover works. Whether a network lives with
machines that come and go is shown by many kills, at moments that nobody chose, of nodes that come
back and have missed something.

Rules. At each multiple of its seconds, for as long as the run lasts, a *wear* kills one node of its
role with SIGKILL: ``prover`` is whoever proves, ``validator`` whoever has log stake. The killed is
started again after a while, and counts as away for another :data:`RETURN_S`, in which it boots and
catches up. The choice falls among all whose death leaves the log more than two thirds of its stake
in honest hands, and one honest prover alive; where there is none, the moment passes. What is
planned holds for a machine that is quick enough: the launcher asks :func:`may_die` once more and
puts a kill off while others are still away.

Properties. The schedule is a function of plan and seed. However the seed falls, the log never loses
its quorum and never all provers are away.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from protocol.signing import digest
from scripts.launcher.faults import BadFault, has_quorum, honest_provers, not_counted_on
from scripts.launcher.plan import Plan

ROLES: Final = ("prover", "validator")
"""Who can be worn down."""

RETURN_S: Final = 15
"""Seconds that a node which was started again needs to boot and to catch up."""

RESTART_S: Final = 10.0
"""Seconds from a kill until the node is started again, unless told otherwise."""

_EXAMPLE: Final = "give for example --attrition prover:60 --attrition validator:120 --minutes 10"


@dataclass(frozen=True, slots=True)
class Wear:
    """Every so many seconds a node of the role is killed."""

    role: str
    every_s: int

    @classmethod
    def parse(cls, text: str) -> Wear:
        """From ``ROLE:SECONDS``. Raises :class:`BadFault`."""
        role, _, seconds = text.partition(":")
        if role not in ROLES:
            raise BadFault(f"--attrition {text}: before : comes {' or '.join(ROLES)}", _EXAMPLE)
        if not seconds.isdecimal() or not int(seconds):
            raise BadFault(f"--attrition {text}: after : comes a number of seconds", _EXAMPLE)
        return cls(role, int(seconds))


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to a node, and its return, in seconds since the network began to work."""

    at_s: float
    victim: str
    restart_at_s: float


def schedule(
    plan: Plan, wears: Sequence[Wear], lasts_s: float, restart_s: float = RESTART_S
) -> tuple[Kill, ...]:
    """All kills of a run in their order.

    :param lasts_s: nobody is killed from then on, in seconds since the network began to work.
    :param restart_s: from a kill until the node is started again.
    :raises BadFault: when a wear would never kill anybody.
    """
    moments = sorted(
        (number * wear.every_s, place, number)
        for place, wear in enumerate(wears)
        for number in range(1, -int(-lasts_s // wear.every_s))
    )
    back_s: dict[str, float] = {}
    kills: list[Kill] = []
    worn: set[int] = set()
    for at_s, place, number in moments:
        away = {name for name, until_s in back_s.items() if until_s > at_s}
        role = wears[place].role
        able = [name for name in members_of(plan, role) if may_die(plan, name, away)]
        if not able:
            continue
        victim = able[_lot(plan.wish.seed, role, place, number) % len(able)]
        kill = Kill(at_s, victim, at_s + restart_s)
        back_s[victim] = kill.restart_at_s + RETURN_S
        kills.append(kill)
        worn.add(place)
    for place, wear in enumerate(wears):
        if place not in worn:
            raise _never(plan, wear, lasts_s)
    return tuple(kills)


def members_of(plan: Plan, role: str) -> list[str]:
    """Names of the nodes of a role."""
    return [
        one.name
        for one in plan.members
        if (one.log_stake if role == "validator" else one.configuration.prover)
    ]


def may_die(plan: Plan, name: str, away: Collection[str]) -> bool:
    """Whether a node may be killed while these are away."""
    lost = {*away, name}
    return (
        name not in away
        and has_quorum(plan, lost | not_counted_on(plan))
        and not lost.issuperset(honest_provers(plan))
    )


def _lot(seed: str, role: str, place: int, number: int) -> int:
    drawn = digest(
        b"provnet/attrition/1",
        seed.encode(),
        role.encode(),
        place.to_bytes(8, "big"),
        number.to_bytes(8, "big"),
    )
    return int.from_bytes(drawn, "big")


def _never(plan: Plan, wear: Wear, lasts_s: float) -> BadFault:
    """Why a wear kills nobody."""
    text = f"--attrition {wear.role}:{wear.every_s}"
    if wear.every_s >= lasts_s:
        return BadFault(
            f"{text}: the run is over before the first kill",
            "give more --minutes, or fewer seconds",
        )
    if any(may_die(plan, name, ()) for name in members_of(plan, wear.role)):
        return BadFault(
            f"{text}: whenever it is time, somebody else is away",
            "give more seconds, or a shorter --restart",
        )
    loss = (
        "the log is left without more than two thirds of its stake"
        if wear.role == "validator"
        else "nobody honest is left to prove"
    )
    return BadFault(f"{text}: with any of them gone, {loss}", f"ask for more --{wear.role}s")

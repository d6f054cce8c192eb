"""Kills at a moment of the protocol: ``WHO@EVENT``.

WHO is a node's name, ``any`` (whoever does it first), ``pair`` (the two provers of one sibling pair
of leaves) or ``all-but-one`` (all provers but one). EVENT is ``elected`` (a job opened and gave it
a tree node), ``leaf``, ``merge`` or ``root`` (it started to prove such a tree node). Each fault
strikes once.

A fault list that would leave the log without its quorum is refused: it would say nothing about
proving.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from protocol.signing import digest
from scripts.cheats.node import cheats_of
from scripts.complaint import Complaint
from scripts.launcher.plan import Plan

EVENTS: Final = ("elected", "leaf", "merge", "root")
"""Moments at which a fault can strike."""

GROUPS: Final = ("any", "pair", "all-but-one")
"""What can stand for a node's name."""


HELP: Final = "run ./scripts/provnet testnet --help"
"""What to do about a fault that was not understood."""


class BadFault(Complaint):
    """A fault cannot be carried out."""

    def __init__(self, sentence: str, hint: str = HELP) -> None:
        super().__init__(sentence, hint)


@dataclass(frozen=True, slots=True)
class Fault:
    """Kill ``who`` with SIGKILL at ``event``."""

    who: str
    event: str

    @classmethod
    def parse(cls, text: str, plan: Plan) -> Fault:
        """From ``WHO@EVENT``. Raises :class:`BadFault`."""
        who, _, event = text.partition("@")
        if event not in EVENTS:
            raise BadFault(f"{text}: after @ comes one of {', '.join(EVENTS)}")
        names = [one.name for one in plan.members]
        if who not in names and who not in GROUPS:
            raise BadFault(f"{text}: before @ comes a node's name or one of {', '.join(GROUPS)}")
        if who in names and not any(
            one.name == who and one.configuration.prover for one in plan.members
        ):
            raise BadFault(f"{text}: {who} proves nothing, so this never happens to it")
        return cls(who, event)


def check_faults(faults: tuple[Fault, ...], plan: Plan) -> None:
    """Refuse faults that break the quorum of the log, or leave nobody to prove.

    :raises BadFault: with the sentence.
    """
    lost = {fault.who for fault in faults} | not_counted_on(plan)
    if not has_quorum(plan, lost):
        names = ", ".join(one.name for one in plan.members if one.name in lost and one.log_stake)
        raise BadFault(
            f"without {names} the log is left without more than two thirds of its stake",
            "name fewer validators, or ask for more with --validators",
        )
    provers, honest = _provers(plan), honest_provers(plan)
    if len(provers) < 2 and faults:
        raise BadFault("killing the only prover leaves nobody to prove")
    killed = sum({"any": 1, "pair": 2}.get(one.who, one.who in honest) for one in faults)
    if len(honest) < len(provers) and killed >= len(honest):
        raise BadFault(
            f"of the honest provers {', '.join(honest)} the kills may leave none",
            "name fewer, or ask for more with --provers",
        )


def not_counted_on(plan: Plan) -> set[str]:
    """Validators whose cheats cost the log their votes."""
    return {
        one.name
        for one in plan.members
        if any(cheat.costs_votes for cheat in cheats_of(one.configuration.cheats))
    }


def has_quorum(plan: Plan, lost: Collection[str]) -> bool:
    """Whether more than two thirds of the log stake are left without these nodes."""
    total = sum(one.log_stake for one in plan.members)
    left = sum(one.log_stake for one in plan.members if one.name not in lost)
    return 3 * left > 2 * total


def _provers(plan: Plan) -> list[str]:
    return [one.name for one in plan.members if one.configuration.prover]


def honest_provers(plan: Plan) -> list[str]:
    """Names of the provers that do not cheat."""
    return [
        one.name
        for one in plan.members
        if one.configuration.prover and not cheats_of(one.configuration.cheats)
    ]


class Striker:
    """Decides, from the records that nodes write, whom to kill now."""

    def __init__(self, faults: tuple[Fault, ...], plan: Plan) -> None:
        self._waiting = list(faults)
        self._plan = plan
        self._provers = _provers(plan)
        self._names = plan.names
        self._owners: dict[tuple[str, int, int], str | None] = {}
        self._leaves = plan.wish.leaves

    def victims(self, node: str, record: dict[str, Any]) -> tuple[str, ...]:
        """Nodes to be killed because of a record of ``node``, in a fixed order."""
        if record["kind"] == "Assigned" and record["prover"] is not None:
            level, position = record["index"]
            self._owners[record["job"], level, position] = self._names.get(record["prover"])
        found: list[str] = []
        for fault in tuple(self._waiting):
            victims = self._struck(fault, node, record)
            if victims:
                self._waiting.remove(fault)
                found += [one for one in victims if one not in found]
        return tuple(found)

    def _struck(self, fault: Fault, node: str, record: dict[str, Any]) -> tuple[str, ...]:
        actor = self._actor(fault.event, node, record)
        if actor is None:
            return ()
        if fault.who == "any":
            return (actor,)
        if fault.who == "all-but-one":
            keep = self._chosen(actor)
            return tuple(one for one in self._provers if one != keep)
        if fault.who == "pair":
            return self._pair(record, actor)
        return (actor,) if actor == fault.who else ()

    def _actor(self, event: str, node: str, record: dict[str, Any]) -> str | None:
        """Who does now what the event names."""
        kind = record["kind"]
        if event == "elected":
            return self._names.get(record["prover"]) if kind == "Assigned" else None
        if kind != "ProofStarted":
            return None
        level = record["key"]["index"][0]
        root = self._leaves.bit_length() - 1
        step = "leaf" if level == 0 else "root" if level == root else "merge"
        return node if step == event else None

    def _pair(self, record: dict[str, Any], actor: str) -> tuple[str, ...]:
        """The provers of the pair of leaves that the actor has one of, if they are two."""
        job = record["job"] if record["kind"] == "Assigned" else record["key"]["job"]
        for position in range(0, self._leaves, 2):
            pair = [self._owners.get((job, 0, position + side)) for side in (0, 1)]
            if actor in pair and None not in pair and pair[0] != pair[1]:
                return tuple(one for one in pair if one is not None)
        return ()

    def _chosen(self, actor: str) -> str:
        """Who survives: honest, not the actor, and the same one for the same seed."""
        others = [one for one in honest_provers(self._plan) if one != actor]
        seed = self._plan.wish.seed.encode()
        return min(others, key=lambda name: digest(b"provnet/survivor/1", seed, name.encode()))

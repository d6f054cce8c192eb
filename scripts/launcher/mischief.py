"""Which nodes of a testnet cheat, and what is wrong with its network: flags become configurations.

A node that is named for a cheat must be able to do it. What would leave the log without two thirds
of its stake in honest hands, or nobody honest to prove or to make blocks, is refused: it would say
nothing about the rule that a cheat breaks. A partition may halt the log, because it ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from scripts.cheats.cheat import Cheat, Role
from scripts.cheats.delay import Delay, longest_ms
from scripts.cheats.no_reveal import NoReveal
from scripts.cheats.node import ALL, cheats_of
from scripts.cheats.partition import Partition
from scripts.configuration import CheatConfiguration
from scripts.launcher.faults import BadFault
from scripts.launcher.plan import Member, Plan

LATENCY_PARTS: Final = 5
"""The log goes on while messages arrive within one part in so many of a slot."""


@dataclass(frozen=True, slots=True)
class Mischief:
    """What was asked for.

    :ivar cheats: name of a cheat and ``NODE`` or ``NODE:KIND``, in pairs.
    :ivar delay_ms: mean delay of every message; 0 for none.
    :ivar partition: ``NODE,NODE,...:SECONDS``; empty for none.
    """

    cheats: tuple[tuple[str, str], ...] = ()
    delay_ms: int = 0
    partition: str = ""


def make_mischief(plan: Plan, mischief: Mischief) -> Plan:
    """The plan with its cheats.

    :raises BadFault: for a flag that cannot be carried out or would prove nothing.
    """
    does = {one.name: list[str]() for one in plan.members}
    for name, text in mischief.cheats:
        node, kind = _node_and_kind(plan, ALL[name], text)
        does[node].append(f"{name}:{kind}" if kind else name)
    weather = CheatConfiguration((), plan.wish.seed)
    everybody: list[str] = []
    if mischief.delay_ms:
        _check_delay(plan, mischief.delay_ms)
        weather = replace(weather, delay_ms=mischief.delay_ms)
        everybody.append(Delay.name)
    if mischief.partition:
        island, seconds = _island(plan, mischief.partition)
        accounts = tuple(one.identity.account.hex() for one in island)
        weather = replace(weather, partition=accounts, partition_ms=seconds * 1000)
        everybody.append(Partition.name)
    members = tuple(
        _with_cheats(one, replace(weather, does=(*does[one.name], *everybody)))
        for one in plan.members
    )
    changed = replace(plan, members=members)
    _check_roles(changed)
    return changed


def _with_cheats(member: Member, cheats: CheatConfiguration) -> Member:
    if not cheats.does:
        return member
    return replace(member, configuration=replace(member.configuration, cheats=cheats))


def _node_and_kind(plan: Plan, cheat: type[Cheat], text: str) -> tuple[str, str]:
    node, _, kind = text.partition(":")
    candidates = [one.name for one in plan.members if can_play(one, cheat.role)]
    if node not in candidates:
        raise BadFault(
            f"--{cheat.name} {text}: {node} is no {cheat.role.value} of this testnet",
            f"name one of {', '.join(candidates)}",
        )
    if kind and kind not in cheat.kinds:
        hint = f"leave out :{kind}"
        if cheat.kinds:
            hint = f"name one of {', '.join(cheat.kinds)}, or none for all in turn"
        raise BadFault(f"--{cheat.name} {text}: there is no kind {kind}", hint)
    return node, kind


def can_play(member: Member, role: Role) -> bool:
    """Whether a node is what a role needs."""
    match role:
        case Role.PROVER:
            return member.configuration.prover is not None
        case Role.SEQUENCER:
            return member.configuration.sequencer is not None
        case Role.VALIDATOR:
            return member.log_stake > 0
        case Role.NODE:
            return True


def _island(plan: Plan, text: str) -> tuple[list[Member], int]:
    names, _, seconds = text.rpartition(":")
    wanted = [one for one in names.split(",") if one]
    known = [one.name for one in plan.members]
    hint = f"give NODE,NODE,...:SECONDS with some, not all, of {', '.join(known)}"
    if not seconds.isdecimal() or not int(seconds):
        raise BadFault(f"--partition {text}: {seconds or 'nothing'} is no number of seconds", hint)
    strangers = [one for one in wanted if one not in known]
    if strangers or not wanted or set(wanted) == set(known):
        fault = f"there is no {', '.join(strangers)}" if strangers else "nothing is cut off"
        raise BadFault(f"--partition {text}: {fault}", hint)
    return [one for one in plan.members if one.name in wanted], int(seconds)


def _check_delay(plan: Plan, delay_ms: int) -> None:
    most_ms = longest_ms(delay_ms)
    if LATENCY_PARTS * most_ms > plan.genesis.network.slot_ms:
        raise BadFault(
            f"--delay-ms {delay_ms}: messages of up to {most_ms} ms are too late for slots of "
            f"{plan.genesis.network.slot_ms} ms, and the log would stand still",
            f"make slots longer: --slot-ms {LATENCY_PARTS * most_ms}",
        )


def _check_roles(plan: Plan) -> None:
    for role, harmful in (
        (Role.PROVER, {one for one in ALL.values() if one.role is Role.PROVER}),
        (Role.SEQUENCER, {NoReveal}),
    ):
        able = [one for one in plan.members if can_play(one, role)]
        done = [cheats_of(one.configuration.cheats) for one in able]
        if able and not any(harmful.isdisjoint(one) for one in done):
            names = ", ".join(one.name for one in able)
            raise BadFault(f"no honest {role.value} is left", f"spare one of {names}")

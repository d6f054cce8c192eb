"""Who plays which adversary: as a person asked for it, or by lot.

``NAME`` is played by as many nodes as the adversary says, ``NAME:3`` by three, ``NAME:40%`` by
that share of the nodes that could play its last role, rounded up. Nodes and victims are drawn from
the seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from scripts.cheats.cheat import Play, Role
from scripts.configuration import ConfigurationError
from scripts.launcher.mischief import can_play
from scripts.launcher.plan import Member
from scripts.simulation.adversaries import ALL
from scripts.simulation.adversaries.adversary import Adversary, Troupe
from scripts.simulation.faults import FaultPlan, Hostile

BEYOND_PERCENT: Final = 5
"""Of drawn runs, in which as many nodes as you like are hostile: the safety of money holds then,
too.
"""


@dataclass(frozen=True, slots=True)
class Hostility:
    """Which adversaries a run has.

    :ivar asked: ``NAME``, ``NAME:COUNT`` or ``NAME:SHARE%``, each.
    :ivar is_drawn: more are drawn from the seed.
    """

    asked: tuple[str, ...] = ()
    is_drawn: bool = False

    def cast(self, lots: random.Random, members: tuple[Member, ...]) -> Iterator[Hostile]:
        """Who plays what.

        :raises ConfigurationError: for an adversary that is not there or finds nobody to play it.
        """
        free = list(members)
        for text in self.asked:
            yield _played(lots, free, text)
        if self.is_drawn:
            yield from _drawn(lots, free)


PEACE: Final = Hostility()
"""No adversary."""


class Company:
    """Everybody who plays in one run.

    :ivar names: hostile nodes.
    :ivar excused: victims that may lose rights.
    """

    def __init__(self, plan: FaultPlan, members: tuple[Member, ...]) -> None:
        by_name = {one.name: one for one in members}
        self.cast = tuple(one for one in plan.faults if isinstance(one, Hostile))
        self._actors = []
        for one in self.cast:
            nodes = tuple(by_name[name] for name in one.nodes)
            victims = tuple(by_name[name] for name in one.victims)
            self._actors.append(ALL[one.adversary](Troupe(nodes, victims)))
        self.names = frozenset(name for one in self.cast for name in one.nodes)
        self.excused = frozenset(
            name for one in self.cast if ALL[one.adversary].costs_rights for name in one.victims
        )

    def plays(self, node: str) -> tuple[Play, ...]:
        """What is put around the parts of a node."""
        return tuple(play for actor in self._actors for play in actor.plays(node))


def _played(lots: random.Random, free: list[Member], text: str) -> Hostile:
    """Cast one adversary; its nodes are not free afterwards."""
    name, _, size = text.partition(":")
    kind = ALL.get(name)
    if kind is None:
        raise ConfigurationError(
            f"--adversary {text}: there is no adversary {name}", f"name one of {', '.join(ALL)}"
        )
    hint = f"give {name}, {name}:COUNT or {name}:SHARE%, for fewer nodes"
    count = _count(kind, free, size)
    if count is None or count < len(kind.roles):
        raise ConfigurationError(f"--adversary {text}: that is no number of nodes", hint)
    played = _cast(lots, free, kind, count)
    if played is None:
        raise ConfigurationError(f"--adversary {text}: there are too few nodes to play it", hint)
    return played


def _count(kind: type[Adversary], free: list[Member], size: str) -> int | None:
    """How many nodes; None for what is no number."""
    if not size:
        return kind.nodes
    share = size.removesuffix("%")
    if not share.isdecimal():
        return None
    if share == size:
        return int(size)
    able = sum(can_play(one, kind.roles[-1]) for one in free)
    return len(kind.roles) - 1 - -int(share) * able // 100


def _cast(
    lots: random.Random, free: list[Member], kind: type[Adversary], count: int
) -> Hostile | None:
    """Draw nodes and victims; None, and nothing changed, where there are too few."""
    left = list(free)
    nodes: list[Member] = []
    for number in range(count):
        able = [one for one in left if can_play(one, kind.role(number))]
        if not able:
            return None
        nodes.append(lots.choice(able))
        left.remove(nodes[-1])
    honest = [one for one in left if can_play(one, Role.PROVER)]
    if not left or len(honest) < kind.victims:
        return None
    victims = tuple(one.name for one in lots.sample(honest, kind.victims))
    free[:] = [one for one in left if one.name not in victims]
    return Hostile(kind.name, tuple(one.name for one in nodes), victims)


def _drawn(lots: random.Random, free: list[Member]) -> Iterator[Hostile]:
    """One adversary or two; most times within what liveness bears."""
    is_beyond = lots.random() * 100 < BEYOND_PERCENT
    everybody = honest = list(free)
    for _ in range(lots.randint(1, 2)):
        kind = lots.choice(list(ALL.values()))
        able = sum(can_play(one, kind.roles[-1]) for one in free)
        most = max(len(kind.roles), able)
        count = lots.randint(len(kind.roles), most) if is_beyond else kind.nodes
        left = list(free)
        played = _cast(lots, left, kind, count)
        if played is None:
            continue
        others = [one for one in honest if one.name not in played.nodes]
        if is_beyond or _is_bearable(others, everybody):
            honest, free[:] = others, left
            yield played


def _is_bearable(honest: list[Member], everybody: Iterable[Member]) -> bool:
    """Whether more than two thirds of the log stake, two provers and a sequencer stay honest."""
    ours, log = (sum(one.log_stake for one in some) for some in (honest, everybody))
    provers = sum(can_play(one, Role.PROVER) for one in honest)
    sequences = any(can_play(one, Role.SEQUENCER) for one in honest)
    return 3 * ours > 2 * log and provers > 1 and sequences

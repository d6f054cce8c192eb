"""What every adversary is: an actor with a name, played by some nodes together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scripts.cheats.cheat import Cheat, Play, Role
from scripts.launcher.plan import Member


@dataclass(frozen=True, slots=True)
class Troupe:
    """Who plays an adversary in one run.

    :ivar nodes: its nodes, in the order of their parts.
    :ivar victims: honest nodes that it has chosen; empty unless it chooses some.
    """

    nodes: tuple[Member, ...]
    victims: tuple[Member, ...] = ()


class Adversary:
    """One actor, made anew for each run; its nodes may share what it keeps.

    :cvar name: as on the command line.
    :cvar does: what it does, in one sentence.
    :cvar promise: what the protocol promises against it, in one sentence.
    :cvar roles: what its nodes must be, one after the other; the last is for all that follow.
    :cvar nodes: how many they are, unless somebody says otherwise; never fewer than roles.
    :cvar victims: how many honest provers it chooses.
    :cvar costs_rights: whether the promise leaves its victims without the rights of that time.
    :cvar cheats: what each of its nodes does, with all kinds.
    """

    name: ClassVar[str]
    does: ClassVar[str]
    promise: ClassVar[str]
    roles: ClassVar[tuple[Role, ...]]
    nodes: ClassVar[int] = 1
    victims: ClassVar[int] = 0
    costs_rights: ClassVar[bool] = False
    cheats: ClassVar[tuple[type[Cheat], ...]] = ()

    def __init__(self, troupe: Troupe) -> None:
        self.troupe = troupe

    def plays(self, node: str) -> tuple[Play, ...]:
        """What is put around the parts of one node of the network."""
        for number, one in enumerate(self.troupe.nodes):
            if one.name == node:
                return self.part(number)
        is_victim = any(one.name == node for one in self.troupe.victims)
        return self.victims_part() if is_victim else ()

    def part(self, number: int) -> tuple[Play, ...]:
        """What its own node of this number, from 0 on, does."""
        del number
        return tuple(one.usual() for one in self.cheats)

    def victims_part(self) -> tuple[Play, ...]:
        """What befalls the network of its victims; they keep all rules."""
        return ()

    @classmethod
    def role(cls, number: int) -> Role:
        """What its node of this number, from 0 on, must be."""
        return cls.roles[min(number, len(cls.roles) - 1)]

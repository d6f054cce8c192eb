"""What every adversary is: an actor with a name, played by some nodes together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scripts.cheats.cheat import Cheat, Play, Role
from scripts.launcher.plan import Member
from scripts.simulation.faults import Hostile


@dataclass(frozen=True, slots=True)
class Troupe:
    """Who plays an adversary in one run.

    :ivar nodes: its nodes, in the order of their parts.
    :ivar victims: honest nodes that it has chosen; empty unless it chooses some.
    """

    nodes: tuple[Member, ...]
    victims: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class Deed:
    """What became of one adversary.

    :ivar did: what its nodes did that no honest one does, with how often.
    :ivar first_ms: when the first of it was since the network was healed; None: there was none.
    :ivar met: what honest nodes said to it, with how often.
    :ivar recorded: its proofs that were recorded.
    :ivar enlisted: intents of its victims that were ordered.
    :ivar slashed: what its accounts lost for it, in micro-units.
    :ivar paid: what its accounts were paid for proofs, in micro-units, by the names of causes.
    :ivar ended_ms: when the run was over.
    """

    hostile: Hostile
    did: tuple[tuple[str, int], ...]
    first_ms: int | None
    met: tuple[tuple[str, int], ...]
    recorded: int
    enlisted: int
    slashed: int
    paid: tuple[tuple[str, int], ...]
    ended_ms: int

    @property
    def earned(self) -> int:
        """What its accounts were paid for proofs, in micro-units."""
        return sum(amount for _, amount in self.paid)

    def was_met(self, by: str) -> bool:
        """Whether honest nodes said this to it."""
        return any(reason == by for reason, _ in self.met)

    def is_older(self, for_ms: int) -> bool:
        """Whether it began to cheat so long before the end."""
        return self.first_ms is not None and self.ended_ms - self.first_ms > for_ms


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

    @classmethod
    def broken(cls, deed: Deed, patience_ms: int) -> str:
        """How the promise was broken, where that shows in what became of it; empty if it was not.

        :param patience_ms: the network has so long to answer to what it does.
        """
        del deed, patience_ms
        return ""


def unmet(deed: Deed, reason: str, patience_ms: int) -> str:
    """A sentence where nobody gave a reason in time for what an adversary did."""
    if deed.was_met(reason) or not deed.is_older(patience_ms):
        return ""
    return f"did wrong {sum(count for _, count in deed.did)} times and never met {reason}"

"""``eclipse``: nodes that are all the peers of one victim, and keep everything from it for a while.

It begins some slots after the first job and lasts :data:`LASTS_SLOTS`; see
:mod:`scripts.cheats.partition`, which it is a case of. The victim sees its enemies as peers, who
neither forward to it nor from it, and answer none of its requests.

Breaks: whoever accepts a message forwards it, and whoever announces serves. Met by nothing while it
lasts; afterwards the victim fetches what it missed. Costs the victim: time, and the rights whose
windows close meanwhile.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from protocol.ports import Network, Topic
from protocol.types import Account
from scripts.cheats.cheat import Play, Role, Scene
from scripts.cheats.partition import Partition
from scripts.cheats.withhold import Withhold
from scripts.simulation.adversaries.adversary import Adversary
from scripts.simulation.adversaries.never_forwards import KeepToItself
from scripts.through import ThroughNetwork

LASTS_SLOTS: Final = 15
"""How long it lasts."""


class Surrounded(Partition):
    """The victim's network: nobody is there but the enemies."""

    name = "surrounded"

    def __init__(self, scene: Scene, enemies: frozenset[Account]) -> None:
        lasts_ms = LASTS_SLOTS * scene.genesis.network.slot_ms
        own = (scene.identity.account.hex(),)
        configuration = replace(scene.configuration, partition=own, partition_ms=lasts_ms)
        super().__init__(replace(scene, configuration=configuration))
        self._enemies = enemies

    def network(self, network: Network) -> Network:
        """The same network with an eclipse."""
        return _Surrounded(self, super().network(network))

    def is_cut(self, peer: Account) -> bool:
        """Whether a peer is out of reach now."""
        return peer not in self._enemies and super().is_cut(peer)

    def is_alone(self) -> bool:
        """Whether nobody else is in reach now."""
        return super().is_cut(Account(bytes(32)))


class _Surrounded(ThroughNetwork):
    def __init__(self, cheat: Surrounded, inner: Network) -> None:
        super().__init__(inner)
        self._cheat = cheat

    async def publish(self, topic: Topic, payload: bytes) -> None:
        if self._cheat.is_alone():
            self._cheat.dropped[topic.value] += 1
        else:
            await self.inner.publish(topic, payload)


class Shun(Withhold):
    """Answers no request of the victims."""

    name = "shun"

    def __init__(self, scene: Scene, victims: frozenset[Account]) -> None:
        super().__init__(scene)
        self._victims: Final = victims

    def starves(self, peer: Account) -> bool:
        """Whether this peer is a victim."""
        return peer in self._victims


class Eclipse(Adversary):
    """The adversary of this module."""

    name = "eclipse"
    does = "is all the peers of one prover for a while, and keeps everything from it"
    promise = "its victim believes nothing false, and catches up once it has an honest peer again"
    roles = (Role.NODE,)
    nodes = 2
    victims = 1
    costs_rights = True
    cheats = (KeepToItself,)

    def part(self, number: int) -> tuple[Play, ...]:
        """Silence towards the victims."""
        victims = frozenset(one.identity.account for one in self.troupe.victims)
        return (*super().part(number), Play(partial(Shun, victims=victims)))

    def victims_part(self) -> tuple[Play, ...]:
        """Nobody but the enemies."""
        enemies = frozenset(one.identity.account for one in self.troupe.nodes)
        return (Play(partial(Surrounded, enemies=enemies)),)

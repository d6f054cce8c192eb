"""Puts cheats around the parts of one node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import trio

from p2p.node import NodeParts
from p2p.observing import NodeEvent
from scripts.cheats.cheat import Cheat, Play, Scene, Tell
from scripts.cheats.delay import Delay
from scripts.cheats.early import Early
from scripts.cheats.equivocate import Equivocate
from scripts.cheats.flood import Flood
from scripts.cheats.forge import Forge
from scripts.cheats.late import Late
from scripts.cheats.neglect import Neglect
from scripts.cheats.no_reveal import NoReveal
from scripts.cheats.partition import Partition
from scripts.cheats.silent import Silent
from scripts.cheats.withhold import Withhold
from scripts.configuration import CheatConfiguration, ConfigurationError

ALL: Final[dict[str, type[Cheat]]] = {
    one.name: one
    for one in (
        Silent,
        Forge,
        Early,
        Late,
        Withhold,
        Neglect,
        Equivocate,
        NoReveal,
        Flood,
        Delay,
        Partition,
    )
}
"""Every cheat by its name."""

ANNOUNCED: Final = "this node cheats"
"""What a node tells of each of its cheats when it starts, and starts again."""


THE_NETWORK: Final = "the network is bad"
"""The same of what is no cheat of the node."""

ANNOUNCEMENTS: Final = (ANNOUNCED, THE_NETWORK)
"""What is told before anything was done."""


class Cheats:
    """The cheats of one node, from the first wrapper to the last; an honest node has none."""

    def __init__(
        self, configuration: CheatConfiguration | None, tell: Tell, plays: Sequence[Play] = ()
    ) -> None:
        """Take note of what is asked for.

        :param plays: what it does besides, whatever its configuration says.
        :raises ConfigurationError: for a cheat or a kind of one that is not there.
        """
        self._configuration = configuration
        self._tell = tell
        asked: dict[type[Cheat], tuple[str, ...]] = {}
        for cheat, kinds in map(_named, configuration.does if configuration else ()):
            asked[cheat] = (*asked.get(cheat, ()), *kinds)
        self._plays = (*(Play(cheat, kinds) for cheat, kinds in asked.items()), *plays)
        self._cheats: list[Cheat] = []

    def corrupt(self, parts: NodeParts) -> NodeParts:
        """The parts of a node that cheats; the same parts when there is nothing to do."""
        for play in self._plays:
            cheat = play.make(self._scene(parts, play.kinds))
            cheat.tell(THE_NETWORK if cheat.is_weather else ANNOUNCED)
            parts = replace(
                parts,
                replica=cheat.replica(parts.replica),
                network=cheat.network(parts.network),
                agents=tuple(cheat.agent(one) for one in parts.agents),
                observer=_both(parts.observer, cheat.observe),
            )
            self._cheats.append(cheat)
        return parts

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do what cheats do beside the node until the block is left."""
        async with trio.open_nursery() as nursery:
            for cheat in self._cheats:
                cheat.nursery = nursery
                nursery.start_soon(cheat.run)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()

    def _scene(self, parts: NodeParts, kinds: tuple[str, ...]) -> Scene:
        assert parts.replica.identity is not None, "an observer has nothing to cheat with"
        return Scene(
            identity=parts.replica.identity,
            genesis=parts.replica.machine.genesis,
            configuration=self._configuration or CheatConfiguration(()),
            kinds=kinds,
            proof_bytes=parts.backend.proof_bytes,
            clock=parts.clock,
            tell=self._tell,
        )


def cheats_of(configuration: CheatConfiguration | None) -> tuple[type[Cheat], ...]:
    """The cheats of a node, without what is wrong with its network."""
    does = () if configuration is None else configuration.does
    named = dict.fromkeys(cheat for cheat, _ in map(_named, does))
    return tuple(one for one in named if not one.is_weather)


def _named(text: str) -> tuple[type[Cheat], tuple[str, ...]]:
    """A cheat and its kinds from ``NAME`` or ``NAME:KIND``; all kinds when none is named."""
    name, _, kind = text.partition(":")
    cheat = ALL.get(name)
    if cheat is None or (kind and kind not in cheat.kinds):
        raise ConfigurationError(f"there is no cheat {text}", f"name one of {', '.join(ALL)}")
    return cheat, (kind,) if kind else cheat.kinds


def _both(
    first: Callable[[NodeEvent], None], second: Callable[[NodeEvent], None]
) -> Callable[[NodeEvent], None]:
    def observe(event: NodeEvent) -> None:
        first(event)
        second(event)

    return observe

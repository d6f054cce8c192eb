"""What every cheat is: wrappers around the ports of one node, each of which may do nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, TypeAlias

import trio

from p2p.observing import NodeEvent
from protocol.agents import Agent
from protocol.ordering.validators import Identity
from protocol.params import Genesis
from protocol.ports import Clock, Network
from protocol.replica import Replica
from scripts.configuration import CheatConfiguration

Tell: TypeAlias = Callable[..., None]
"""Told of each cheat: its name, what it did now in a few words, and more fields of the record."""


class Role(Enum):
    """What a node must be in order to cheat in some way."""

    PROVER = "prover"
    VALIDATOR = "validator"
    SEQUENCER = "sequencer"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a cheat happens.

    :ivar kinds: which kinds of a cheat were asked for; empty when it has none.
    :ivar proof_bytes: length of a proof.
    """

    identity: Identity
    genesis: Genesis
    configuration: CheatConfiguration
    kinds: tuple[str, ...]
    proof_bytes: int
    clock: Clock
    tell: Tell


class Cheat:
    """One way to break the rules; each wrapper is what it was given unless a cheat changes it.

    :cvar name: as on the command line, without dashes before it.
    :cvar role: what its node must be.
    :cvar is_weather: a fault of the network; the node itself keeps all rules.
    :cvar costs_votes: a validator that does it cannot be counted on for the log's quorum.
    :cvar kinds: what can stand behind the node's name; empty when nothing can.
    :ivar nursery: for what goes on beside the node; there once the node runs.
    """

    name: ClassVar[str]
    role: ClassVar[Role]
    kinds: ClassVar[tuple[str, ...]] = ()
    is_weather: ClassVar[bool] = False
    costs_votes: ClassVar[bool] = False
    nursery: trio.Nursery

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    @classmethod
    def usual(cls) -> Play:
        """The cheat with all of its kinds."""
        return Play(cls, cls.kinds)

    def tell(self, what: str, **fields: Any) -> None:
        """Tell that this cheat did something now."""
        self.scene.tell(self.name, what, **fields)

    def agent(self, agent: Agent) -> Agent:
        """The agent, or one that cheats with it."""
        return agent

    def network(self, network: Network) -> Network:
        """The network, or one that cheats with it."""
        return network

    def replica(self, replica: Replica) -> Replica:
        """The replica, or one that cheats in its place; it has not taken a step yet."""
        return replica

    def observe(self, event: NodeEvent) -> None:
        """Told of what the node did."""

    async def run(self) -> None:
        """Whatever goes on beside the node, until cancelled."""


@dataclass(frozen=True, slots=True)
class Play:
    """A cheat that is put around the parts of a node in each of its lives.

    :ivar make: makes it.
    :ivar kinds: which kinds of it; empty when it has none.
    """

    make: Callable[[Scene], Cheat]
    kinds: tuple[str, ...] = ()

"""One simulated node: its lives, and all that stands around its replica."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import trio

from p2p.memory import MemoryNode
from p2p.memory_disk import Crashed, MemoryDisk, MemoryJournal, MemoryStore
from p2p.node import Node, NodeParts, Worked, Workshop
from p2p.registry import NetworkEvent, ungrouped
from protocol.happenings import BlockFinal
from protocol.ports import Topic
from prover.pool import ProvingFailed
from scripts.cheats.node import Cheats
from scripts.launcher.plan import Member
from scripts.node import make_agents, make_replica
from scripts.simulation.draw import stream
from scripts.simulation.happenings import (
    Born,
    Cheated,
    Died,
    Event,
    HeldAgainst,
    Measured,
    Published,
)
from scripts.simulation.hardware import Machine, open_simulated_pool
from scripts.simulation.scheduling import VirtualClock

if TYPE_CHECKING:
    from scripts.simulation.network import SimulatedNetwork

T = TypeVar("T")

MEASURED_TICKS: Final = 16
"""At every such height a node's memory is measured."""

Corrupt: TypeAlias = Callable[[NodeParts], NodeParts]
"""Puts something else in the place of a node's parts, before each of its lives."""


class TellingNode(MemoryNode):
    """A node of the memory network that tells of what it publishes."""

    tell: Callable[[Event], None]

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """As in the port."""
        self.tell(Published(topic, payload))
        await super().publish(topic, payload)


class SimulatedNode:
    """One member of a simulated network, alive or not.

    :param machine: what its prover runs on.
    :ivar lives: how often it began.
    :ivar settled: jobs that it saw settled, in all its lives.
    :ivar write_ms: how long each of its writes takes.
    :ivar dies_at: it dies at the next point of this name; None: at none.
    """

    def __init__(
        self,
        network: SimulatedNetwork,
        member: Member,
        machine: Machine,
        clock: VirtualClock,
        corrupt: Corrupt,
    ) -> None:
        self.member = member
        self.machine = machine
        self.node: Node | None = None
        self.settled = 0
        self.height = 0
        self.write_ms = 0
        self.dies_at: str | None = None
        self.clock = clock
        self._network = network
        self._corrupt = corrupt
        self._disk = MemoryDisk(network.id)
        self._scope: trio.CancelScope | None = None
        self.lives = 0
        self._point = ""

    @property
    def name(self) -> str:
        """The member's name."""
        return self.member.name

    @property
    def is_alive(self) -> bool:
        """Whether a life of it goes on."""
        return self._scope is not None

    def kill(self) -> None:
        """End its life at once, whatever it does."""
        if self._scope is not None:
            self._scope.cancel()

    def body(self, name: bytes) -> bytes | None:
        """Bytes of a hash, from its disk."""
        return MemoryStore(self._disk).body(name)

    def own(self, kind: str, slot: int) -> bytes | None:
        """What its disk knows that it said."""
        return MemoryStore(self._disk).own(kind, slot)

    def close(self) -> None:
        """Throw its disk away."""
        self._disk.close()

    async def live(self) -> None:
        """One life: from what is on the disk until it dies. Nothing when it is alive."""
        if self.is_alive:
            return
        self.lives += 1
        self._point = ""
        self._tell(Born(self.lives))
        with trio.CancelScope() as self._scope:
            try:
                async with ungrouped():
                    await self._live()
            except* Crashed:
                pass
            except* Exception as group:  # noqa: BLE001 -- told: no node may end like this
                self._network.fail(self.name, group)
        self._scope, self.node = None, None
        self._tell(Died(self.lives, self._point))

    async def _live(self) -> None:
        network, identity = self._network, self.member.identity
        genesis, backend, state = network.genesis, network.backend, network.state
        host = TellingNode(network.hub, identity.account, network.id, self._observe_network)
        host.tell = self._tell
        configuration = self.member.configuration
        plays = network.company.plays(self.name)
        cheats = Cheats(configuration.cheats, self._tell_cheat, plays)
        lots = stream(network.seed, "prover", self.name, self.lives)
        with MemoryStore(self._disk, self._reached) as store:
            async with self._workshop(lots) as workshop:
                parts = NodeParts(
                    replica=make_replica(genesis, state, identity, store),
                    network=host,
                    store=store,
                    journal=MemoryJournal(self._tell_journal, self._reached),
                    backend=backend,
                    genesis_state=state,
                    clock=self.clock,
                    agents=make_agents(configuration, identity, genesis, backend),
                    workshop=workshop,
                    offload=self._offload,
                    observer=self._observe,
                )
                self.node = Node(cheats.corrupt(self._corrupt(parts)))
                async with host.run(), cheats.running():
                    await self.node.run()

    # --- what its parts do ---

    def _observe(self, event: Event) -> None:
        if isinstance(event, BlockFinal) and event.applied.tick > self.height:
            self.height = event.applied.tick
            self.settled += self._network.settled_in(event)
        self._tell(event)
        if isinstance(event, BlockFinal) and event.applied.tick % MEASURED_TICKS == 0:
            self._measure()

    def _measure(self) -> None:
        if self.node is not None:
            sizes = self.node.sizes().items()
            self._tell(Measured(tuple((name, size.length, size.most) for name, size in sizes)))

    def _observe_network(self, event: NetworkEvent) -> None:
        if event.kind in ("busy", "banned") and event.peer is not None:
            self._tell(HeldAgainst(event.kind, event.peer))

    def _tell(self, event: Event) -> None:
        self._network.tell(self.name, event)

    def _tell_cheat(self, name: str, what: str, **_fields: Any) -> None:
        self._tell(Cheated(name, what))

    def _tell_journal(self, payload: bytes) -> None:
        self._network.note(self.name, payload)

    def _reached(self, point: str) -> None:
        """A point of a write: it may take long, and it may be the last."""
        if self.write_ms and point.endswith(": committed"):
            self._network.busy(self, self.write_ms)
        if point == self.dies_at:
            self.dies_at, self._point = None, point
            raise Crashed

    async def _offload(self, check: Callable[[], T], /) -> T:
        """A check takes no virtual time; a thread would let the clock run away."""
        await trio.lowlevel.checkpoint()
        await self._network.hub.stalled(self.member.identity.account)
        return check()

    @asynccontextmanager
    async def _workshop(self, lots: Any) -> AsyncIterator[Workshop | None]:
        if self.member.configuration.prover is None:
            yield None
            return
        backend = self._network.backend
        async with open_simulated_pool(backend, self.machine, lots) as pool:

            async def work(task: Any) -> Worked | str:
                try:
                    proved = await pool.prove(task)
                except ProvingFailed as failure:
                    return str(failure)
                await self._network.hub.stalled(self.member.identity.account)
                return Worked(proved.proof, proved.wall_ms, proved.threads)

            yield work


def on_machine(member: Member, machine: Machine) -> Member:
    """The member, configured for its machine."""
    configuration = member.configuration
    if configuration.prover is None:
        return member
    prover = replace(configuration.prover, cores=machine.cores, sharers=1)
    return replace(member, configuration=replace(configuration, prover=prover))

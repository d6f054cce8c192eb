"""A whole network in one process: the node's own code over the memory network, in virtual time.

Unlike the nodes of ``scripts.simulation``, residents write files, and a story says what happens.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import trio

from p2p.beginning import Trusted
from p2p.journal import Journal
from p2p.limits import HISTORY_EPOCHS
from p2p.memory import LinkModel, MemoryNetwork
from p2p.node import Node, NodeParts, Worked
from p2p.observing import NodeEvent
from p2p.store import Reached, Store, pass_by
from protocol.agents import Agent
from protocol.events import Event
from protocol.happenings import BlockFinal
from protocol.params import network_id
from protocol.types import Milliseconds
from prover.modelled import ModelledBackend
from prover.pool import PoolSettings, ProvingFailed, open_virtual_pool
from scripts.cheats.node import Cheats
from scripts.launcher.mischief import Mischief, make_mischief
from scripts.launcher.plan import Member, Wish, make_plan
from scripts.node import EVENTS, Conduct, EventLog, make_agents, make_replica, report
from scripts.simulation.scheduling import VirtualClock, inline, run_virtually

T = TypeVar("T")
START_MS = 2_000
SCHEDULE = 7
"""Seed of the order in which runnable tasks take turns."""


class Resident:
    """One node of a town, running or not."""

    def __init__(self, town: Town, member: Member, folder: Path) -> None:
        self.town = town
        self.member = member
        self.folder = folder
        self.node: Node | None = None
        self.finals: dict[int, BlockFinal] = {}
        self.told: list[NodeEvent] = []
        self.conduct = Conduct()
        self.trusted: Trusted | None = None
        self.guests: tuple[Agent, ...] = ()
        self.history_epochs = HISTORY_EPOCHS
        self.log: EventLog
        self._scope = trio.CancelScope()

    @property
    def account(self) -> bytes:
        return self.member.identity.account

    @property
    def running(self) -> Node:
        assert self.node is not None, f"{self.member.name} never ran"
        return self.node

    @property
    def height(self) -> int:
        return max(self.finals, default=0)

    def events(self, kind: type[T]) -> list[T]:
        """Final events of one kind, in the order of the log."""
        return [
            event
            for _, final in sorted(self.finals.items())
            for event in final.applied.events
            if isinstance(event, kind)
        ]

    def stop(self) -> None:
        """End the node at once, in the middle of whatever it does."""
        self._scope.cancel()

    async def run(self) -> None:
        """Run, from the store if there is one, until stopped."""
        town, identity = self.town, self.member.identity
        genesis, backend = town.genesis, town.backend
        network = network_id(genesis)
        state = backend.genesis([(one.account, one.balance) for one in genesis.rollup])
        host = town.hub.node(identity.account, network, observer=self.conduct.observe)
        with (
            trio.CancelScope() as self._scope,
            contextlib.closing(EventLog(self.folder / EVENTS, VirtualClock())) as self.log,
            Store(self.folder / "store.sqlite", network, town.reached) as store,
            Journal(self.folder / "journal", town.reached) as journal,
        ):
            cheats = Cheats(self.member.configuration.cheats, self.log.cheat)
            async with self._workshop() as workshop:
                agents = make_agents(self.member.configuration, identity, genesis, backend)
                parts = NodeParts(
                    replica=make_replica(genesis, state, identity, store),
                    network=host,
                    store=store,
                    journal=journal,
                    backend=backend,
                    genesis_state=state,
                    clock=VirtualClock(),
                    agents=(*agents, *self.guests),
                    workshop=workshop,
                    offload=inline,
                    observer=self._observe,
                    trusted=self.trusted,
                    history_epochs=self.history_epochs,
                )
                self.node = Node(cheats.corrupt(parts))
                async with host.run(), cheats.running():
                    await self.node.run()

    def report(self) -> dict[str, Any]:
        """What the node says about itself."""
        digests = {tick: final.applied.digest.hex() for tick, final in self.finals.items()}
        return report(self.member.name, self.running, digests, self.conduct)

    def _observe(self, event: NodeEvent) -> None:
        self.told.append(event)
        self.log.observe(event)
        if isinstance(event, BlockFinal):
            self.finals.setdefault(event.applied.tick, event)
            assert self.finals[event.applied.tick].applied == event.applied
        self.town.changed()

    @contextlib.asynccontextmanager
    async def _workshop(self) -> AsyncIterator[Callable[[Any], Any] | None]:
        if self.member.configuration.prover is None:
            yield None
            return
        async with open_virtual_pool(self.town.backend, PoolSettings(1, 1)) as pool:

            async def work(task: Any) -> Worked | str:
                try:
                    proved = await pool.prove(task)
                except ProvingFailed as failure:
                    return str(failure)
                return Worked(proved.proof, proved.wall_ms, proved.threads)

            yield work


class Town:
    """Members of a testnet plan, their hub, and what they all did."""

    def __init__(
        self,
        folder: Path,
        wish: Wish,
        link: LinkModel | None = None,
        mischief: Mischief = Mischief(),  # noqa: B008 -- frozen
    ) -> None:
        self.plan = make_mischief(make_plan(wish), mischief).starting_at(START_MS)
        self.genesis = self.plan.genesis
        self.backend = ModelledBackend(leaf_ms=Milliseconds(1_500), merge_ms=Milliseconds(1_700))
        self.hub = MemoryNetwork(seed=7, link=link or LinkModel())
        self.reached: Reached = pass_by
        self._changed = trio.Event()
        self.residents = {}
        for member in self.plan.members:
            place = folder / member.name
            place.mkdir(exist_ok=True)
            self.residents[member.name] = Resident(self, member, place)

    def changed(self) -> None:
        """Wake whoever waits for something to have happened."""
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds."""
        while not condition():
            await self._changed.wait()

    def __getitem__(self, name: str) -> Resident:
        return self.residents[name]

    def settled(self, name: str) -> int:
        from protocol.events import JobSettled

        return len(self[name].events(JobSettled))

    def assert_agreement(self) -> None:
        """Every two residents tell the same story of every height they share."""
        by_tick: dict[int, tuple[Event, ...]] = {}
        for resident in self.residents.values():
            for tick, final in resident.finals.items():
                assert by_tick.setdefault(tick, final.applied.events) == final.applied.events
                assert not list(resident.running.machine.invariants())


def live(town: Town, story: Callable[[trio.Nursery], Any], *, hours: float = 1.0) -> None:
    """Run all residents in virtual time while ``story`` happens."""

    async def main() -> None:
        with trio.fail_after(3600 * hours):
            async with trio.open_nursery() as nursery:
                for resident in town.residents.values():
                    nursery.start_soon(resident.run)
                await story(nursery)
                nursery.cancel_scope.cancel()

    run_virtually(main, SCHEDULE)

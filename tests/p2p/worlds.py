"""Two worlds for one contract: libp2p over loopback in real time, and memory in virtual time."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import combinations, pairwise
from typing import Any, Protocol

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from trio.testing import MockClock

from p2p.host import LibP2PNetwork
from p2p.memory import MemoryNetwork, MemoryNode
from p2p.peers import AddressBook
from p2p.registry import NetworkEvent
from protocol.ports import Topic, Verdict
from protocol.types import Account, NetworkId

NETWORK = NetworkId(bytes(range(32)))
OTHER_NETWORK = NetworkId(bytes(range(32, 64)))
PATIENCE_S = 30.0

Node = LibP2PNetwork | MemoryNode


def seed_of(name: str) -> bytes:
    return random.Random(f"node {name}").randbytes(32)


def account_of_name(name: str) -> Account:
    return Account(create_new_key_pair(seed_of(name)).public_key.to_bytes())


class Recorder:
    """A judge that keeps what it saw and lets tests wait for it."""

    def __init__(self, verdict: Callable[[bytes], Verdict] = lambda payload: Verdict.ACCEPT):
        self.verdict = verdict
        self.seen: list[tuple[Account, bytes]] = []
        self._changed = trio.Event()

    def __call__(self, forwarder: Account, payload: bytes) -> Verdict:
        self.seen.append((forwarder, payload))
        self._changed.set()
        self._changed = trio.Event()
        return self.verdict(payload)

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.seen]

    async def wait_for(self, *payloads: bytes) -> None:
        while not set(payloads) <= set(self.payloads):
            await self._changed.wait()


class Watch:
    """An observer that lets tests wait for events."""

    def __init__(self) -> None:
        self.events: list[NetworkEvent] = []
        self._changed = trio.Event()

    def __call__(self, event: NetworkEvent) -> None:
        self.events.append(event)
        self._changed.set()
        self._changed = trio.Event()

    async def wait_for(self, kind: str, count: int = 1) -> None:
        while sum(event.kind == kind for event in self.events) < count:
            await self._changed.wait()


class World(Protocol):
    """What a contract test needs of a network."""

    def run(self, body: Callable[[], Awaitable[None]]) -> None: ...

    def node(self, name: str, **options: Any) -> Node: ...

    def running(self, nodes: Iterable[Node], links: str | None = None) -> Any: ...


class LibP2PWorld:
    def run(self, body: Callable[[], Awaitable[None]]) -> None:
        trio.run(guarded(body))

    def node(
        self, name: str, network_id: NetworkId = NETWORK, observer: Any = None
    ) -> LibP2PNetwork:
        return LibP2PNetwork(
            seed_of(name),
            network_id,
            ("127.0.0.1", 0),
            AddressBook(),
            observer=observer,
            discover=False,
        )

    @asynccontextmanager
    async def running(
        self, nodes: Iterable[LibP2PNetwork], links: str | None = None
    ) -> AsyncIterator[None]:
        nodes = list(nodes)
        async with AsyncExitStack() as stack:
            for node in nodes:
                await stack.enter_async_context(node.run())
            for one, other in linked(nodes, links):
                one.add_address(other.addresses()[0])
            await connected(nodes, links)
            yield


class MemoryWorld:
    def __init__(self) -> None:
        self.hub = MemoryNetwork(seed=7)

    def run(self, body: Callable[[], Awaitable[None]]) -> None:
        trio.run(guarded(body), clock=MockClock(autojump_threshold=0))

    def node(self, name: str, network_id: NetworkId = NETWORK, observer: Any = None) -> MemoryNode:
        return self.hub.node(account_of_name(name), network_id, observer=observer)

    @asynccontextmanager
    async def running(
        self, nodes: Iterable[MemoryNode], links: str | None = None
    ) -> AsyncIterator[None]:
        nodes = list(nodes)
        wanted = linked(nodes, links)
        for one, other in combinations(nodes, 2):
            if (one, other) not in wanted and (other, one) not in wanted:
                self.hub.cut(one.account, other.account)
        async with AsyncExitStack() as stack:
            for node in nodes:
                await stack.enter_async_context(node.run())
            await connected(nodes, links)
            yield


def guarded(body: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def within_patience() -> None:
        with trio.fail_after(PATIENCE_S):
            await body()

    return within_patience


def linked(nodes: list[Any], links: str | None) -> list[tuple[Any, Any]]:
    """Pairs of nodes: all of them, or those of a chain such as "0-1-2"."""
    if links is None:
        return list(combinations(nodes, 2))
    chain = [nodes[int(index)] for index in links.split("-")]
    return list(pairwise(chain))


async def connected(nodes: list[Any], links: str | None) -> None:
    for node in nodes:
        await node.wait_for_peers(sum(node in pair for pair in linked(nodes, links)))


def join_all(nodes: Iterable[Node], topic: Topic = Topic.BIDS) -> list[Recorder]:
    recorders = []
    for node in nodes:
        recorders.append(Recorder())
        node.join(topic, recorders[-1])
    return recorders

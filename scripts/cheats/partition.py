"""``partition``: some nodes are cut off from all others for a while; a fault of the network.

It begins some slots after the log block that opened the first job, at a moment that every node
computes from that block, so that both sides are cut off at once; a node that learns of the block
when all is over is not cut off at all. What is heard from the other side meanwhile is ignored,
requests to it fail, its requests are not answered.

Breaks: that messages arrive. Met by ``PARTED``: without two thirds of the log stake on one side the
log stands still on both; with it, it goes on there, and the others fetch what they missed. Costs:
time; and rights whose windows close meanwhile, where the log goes on without their holders.
"""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Final

import trio

from p2p.failures import Failure
from p2p.observing import NodeEvent
from protocol.events import JobOpened
from protocol.happenings import BlockFinal
from protocol.ports import Answer, Judge, Network, Topic, Verdict
from protocol.types import Account, Milliseconds
from scripts.cheats.cheat import Cheat, Role, Scene
from scripts.through import ThroughNetwork

LEAD_SLOTS: Final = 5
"""Slots from the block that opened the first job to the cut: it is final everywhere by then."""


class Partition(Cheat):
    """The cheat of this module."""

    name: ClassVar[str] = "partition"
    role: ClassVar[Role] = Role.NODE
    is_weather: ClassVar[bool] = True

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._island = frozenset(scene.configuration.partition)
        self._is_inside = scene.identity.account.hex() in self._island
        self._begins_ms: int | None = None
        self.dropped: Counter[str] = Counter()

    def network(self, network: Network) -> Network:
        """The same network with a cut through it."""
        return _Parted(self, network)

    def observe(self, event: NodeEvent) -> None:
        """The first job gives the moment."""
        if self._begins_ms is not None or not isinstance(event, BlockFinal):
            return
        if any(isinstance(one, JobOpened) for one in event.applied.events):
            network = self.scene.genesis.network
            slots = event.moment.slot + LEAD_SLOTS
            self._begins_ms = network.genesis_time_ms + slots * network.slot_ms
            self.nursery.start_soon(self._tell, self._begins_ms)

    def is_cut(self, peer: Account) -> bool:
        """Whether a peer is on the other side now."""
        return self._is_on and (peer.hex() in self._island) is not self._is_inside

    @property
    def _is_on(self) -> bool:
        if self._begins_ms is None:
            return False
        since_ms = self.scene.clock.now_ms() - self._begins_ms
        return 0 <= since_ms < self.scene.configuration.partition_ms

    async def _tell(self, begins_ms: int) -> None:
        lasts_ms = self.scene.configuration.partition_ms
        early_ms = begins_ms - self.scene.clock.now_ms()
        if early_ms + lasts_ms <= 0:
            return
        await trio.sleep(max(0, early_ms) / 1000)
        self.tell("is cut off", lasts_ms=lasts_ms, inside=self._is_inside)
        await trio.sleep((lasts_ms + min(0, early_ms)) / 1000)
        self.tell("is joined again", dropped=self.dropped.total())


class _Parted(ThroughNetwork):
    def __init__(self, cheat: Partition, inner: Network) -> None:
        super().__init__(inner)
        self._cheat = cheat

    def join(self, topic: Topic, judge: Judge) -> None:
        def deaf(peer: Account, payload: bytes) -> Verdict:
            return Verdict.IGNORE if self._drops(peer, topic.value) else judge(peer, payload)

        self.inner.join(topic, deaf)

    def serve(self, name: str, answer: Answer) -> None:
        async def mute(peer: Account, body: bytes) -> bytes | None:
            return None if self._drops(peer, name) else await answer(peer, body)

        self.inner.serve(name, mute)

    async def request(
        self, peer: Account, name: str, body: bytes, *, size_max: int, timeout_ms: Milliseconds
    ) -> bytes:
        if self._drops(peer, name):
            raise Failure.UNREACHABLE.error()
        return await self.inner.request(peer, name, body, size_max=size_max, timeout_ms=timeout_ms)

    def peers(self) -> tuple[Account, ...]:
        return tuple(one for one in self.inner.peers() if not self._cheat.is_cut(one))

    def _drops(self, peer: Account, what: str) -> bool:
        is_cut = self._cheat.is_cut(peer)
        self._cheat.dropped[what] += is_cut
        return is_cut

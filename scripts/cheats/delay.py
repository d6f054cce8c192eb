"""``delay``: every message between nodes is under way for longer; a fault of the network, nobody's.

Gossip is delayed where it is published, a request before it is sent; each by the given time, up to
a third more or less as the seed has it, so that messages overtake each other. Forwarding is not
delayed again.

Breaks: nothing that the protocol relies on, as long as a message arrives within a fifth of a slot.
Met by ``DELAYED``: the count and the mean of what was delayed. Costs: time.
"""

from __future__ import annotations

import random
from typing import ClassVar, Final

import trio

from protocol.ports import Network, Topic
from protocol.types import Account, Milliseconds
from scripts.cheats.cheat import Cheat, Role, Scene
from scripts.through import ThroughNetwork

JITTER_PARTS: Final = 3
"""A delay varies by one part in so many, both ways."""


def longest_ms(delay_ms: int) -> int:
    """The longest that one message may be under way when the mean is ``delay_ms``."""
    return delay_ms + delay_ms // JITTER_PARTS


class Delay(Cheat):
    """The cheat of this module."""

    name: ClassVar[str] = "delay"
    role: ClassVar[Role] = Role.NODE
    is_weather: ClassVar[bool] = True

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        seed = f"{scene.configuration.seed} {scene.identity.account.hex()}"
        self._chance = random.Random(seed)
        self._count = 0
        self._total_ms = 0

    def network(self, network: Network) -> Network:
        """The same network over longer wires."""
        return _Delayed(self, network)

    def drawn_s(self) -> float:
        """The next delay, in seconds."""
        mean_ms = self.scene.configuration.delay_ms
        spread_ms = mean_ms // JITTER_PARTS
        delay_ms = self._chance.randint(mean_ms - spread_ms, mean_ms + spread_ms)
        self._count += 1
        self._total_ms += delay_ms
        return delay_ms / 1000

    async def run(self) -> None:
        """Nothing, until the node stops; then tell how much was delayed."""
        try:
            await trio.sleep_forever()
        finally:
            mean_ms = self._total_ms // max(1, self._count)
            self.tell("delayed messages", messages=self._count, mean_ms=mean_ms)


class _Delayed(ThroughNetwork):
    def __init__(self, cheat: Delay, inner: Network) -> None:
        super().__init__(inner)
        self._cheat = cheat

    async def publish(self, topic: Topic, payload: bytes) -> None:
        self._cheat.nursery.start_soon(self._publish_later, self._cheat.drawn_s(), topic, payload)
        await trio.lowlevel.checkpoint()

    async def _publish_later(self, delay_s: float, topic: Topic, payload: bytes) -> None:
        await trio.sleep(delay_s)
        await self.inner.publish(topic, payload)

    async def request(
        self, peer: Account, name: str, body: bytes, *, size_max: int, timeout_ms: Milliseconds
    ) -> bytes:
        await trio.sleep(self._cheat.drawn_s())
        return await self.inner.request(peer, name, body, size_max=size_max, timeout_ms=timeout_ms)

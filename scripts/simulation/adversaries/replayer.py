"""``replayer``: a node that says again what others said, some slots later.

In every slot it publishes the oldest messages of each topic that it has kept for long enough, byte
for byte, in envelopes of its own.

Breaks: no rule of signing, as nothing is its own. Met without a word: copies, votes and proposals
of slots that are over, and operations that were ordered before are dropped. Costs: bytes.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from protocol.ports import Judge, Network, Topic, Verdict
from protocol.types import Account
from scripts.cheats.cheat import Cheat, Role, Scene
from scripts.simulation.adversaries.adversary import Adversary
from scripts.through import ThroughNetwork

LATER_SLOTS: Final = 6
"""So old are messages at least when they are said again: what they were for is over."""

KEPT_MAX: Final = 256
"""Messages of a topic that are kept."""

AT_ONCE: Final = 4
"""Messages of a topic that are said again in a slot."""


class Replay(Cheat):
    """Keeps what it hears, and says it again."""

    name = "replay"
    role = Role.NODE

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._network: Network
        self.kept: dict[Topic, deque[tuple[float, bytes]]] = {}

    def network(self, network: Network) -> Network:
        """The same network, overheard."""
        self._network = network
        return _Overheard(self, network)

    async def run(self) -> None:
        """Slot after slot."""
        slot_s = self.scene.genesis.network.slot_ms / 1000
        while True:
            await trio.sleep(slot_s)
            for topic, kept in self.kept.items():
                for _ in range(AT_ONCE):
                    if not kept or kept[0][0] > trio.current_time() - LATER_SLOTS * slot_s:
                        break
                    self.tell("says again", topic=topic.value)
                    await self._network.publish(topic, kept.popleft()[1])


class _Overheard(ThroughNetwork):
    def __init__(self, cheat: Replay, inner: Network) -> None:
        super().__init__(inner)
        self._cheat = cheat

    def join(self, topic: Topic, judge: Judge) -> None:
        kept = self._cheat.kept[topic] = deque(maxlen=KEPT_MAX)

        def keeping(peer: Account, payload: bytes) -> Verdict:
            kept.append((trio.current_time(), payload))
            return judge(peer, payload)

        self.inner.join(topic, keeping)


class Replayer(Adversary):
    """The adversary of this module."""

    name = "replayer"
    does = "says again what others said some slots ago, on every topic"
    promise = "nothing takes effect twice, and nobody is blamed for what it repeats"
    roles = (Role.NODE,)
    cheats = (Replay,)

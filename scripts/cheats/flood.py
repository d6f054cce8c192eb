"""``flood``: a node that sends far more than it may.

In waves, one every :data:`PAUSE_SLOTS` slots: more operations of its own than a replica keeps of
one sender, and more requests at once than a peer serves to one other, to the next peer in each
wave.

Breaks: the rates and counts that are allowed to a sender and to a peer. Met by
``TOO_MANY_PENDING`` (the operations beyond the limit are neither kept nor passed on) and ``BUSY``
(the requests beyond the limit are answered in one byte). Costs: time of all machines, within the
limits; the flooder pays the fee of each operation that is ordered, and honest operations wait
behind at most as many as one sender may have pending.
"""

from __future__ import annotations

from typing import ClassVar, Final

import trio

from p2p.archive import BODY_REQUEST
from p2p.limits import REQUESTS_AT_ONCE_MAX
from p2p.observing import NodeEvent
from protocol.codec import encode
from protocol.happenings import BlockFinal
from protocol.messages import Intent, Operation, sign_operation
from protocol.params import network_id
from protocol.ports import Network, RequestFailed, Topic
from protocol.replica import PENDING_PER_SENDER_MAX
from protocol.signing import digest
from protocol.types import Account, Count, Milliseconds, Nonce, Tick
from scripts.cheats.cheat import Cheat, Role, Scene

PAUSE_SLOTS: Final = 8
"""Slots between two waves: a machine that all nodes of a testnet share lives through it."""

OPERATIONS: Final = PENDING_PER_SENDER_MAX * 5 // 4
"""Operations in a wave."""

REQUESTS: Final = REQUESTS_AT_ONCE_MAX * 8
"""Requests at once in a wave."""

TIMEOUT_MS: Final = Milliseconds(10_000)
"""Longest wait for the answer to a request."""


class Flood(Cheat):
    """The cheat of this module."""

    name: ClassVar[str] = "flood"
    role: ClassVar[Role] = Role.NODE
    costs_votes: ClassVar[bool] = True

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._network: Network
        self._height = 0
        self._wave = 0

    def observe(self, event: NodeEvent) -> None:
        """Follow the height, which says how long an operation may be valid."""
        if isinstance(event, BlockFinal):
            self._height = event.applied.tick

    def network(self, network: Network) -> Network:
        """The same network; it is remembered."""
        self._network = network
        return network

    async def run(self) -> None:
        """Wave after wave."""
        pause_s = PAUSE_SLOTS * self.scene.genesis.network.slot_ms / 1000
        while True:
            await trio.sleep(pause_s)
            self._wave += 1
            self.tell("sends a wave", operations=OPERATIONS, requests=REQUESTS)
            async with trio.open_nursery() as nursery:
                for peer in self._victims():
                    for number in range(REQUESTS):
                        nursery.start_soon(self._ask, peer, number)
                for number in range(OPERATIONS):
                    await self._network.publish(Topic.INTENTS, self._operation(number))

    def _victims(self) -> tuple[Account, ...]:
        peers = self._network.peers()
        return (peers[self._wave % len(peers)],) if peers else ()

    async def _ask(self, peer: Account, number: int) -> None:
        place = f"{self._wave} {number}".encode()
        name = digest(b"provnet/flood/1", place)
        try:
            await self._network.request(peer, BODY_REQUEST, name, size_max=1, timeout_ms=TIMEOUT_MS)
        except RequestFailed:
            return

    def _operation(self, number: int) -> bytes:
        identity, genesis = self.scene.identity, self.scene.genesis
        nonce = Nonce((self.scene.clock.now_ms() << 16) + number)
        until = Tick(self._height + genesis.network.epoch_ticks // 2)
        operation = Operation(identity.account, nonce, until, Intent(Count(1), until))
        return encode(sign_operation(identity.signing_seed, network_id(genesis), operation))

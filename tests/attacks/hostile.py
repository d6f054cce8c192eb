"""Tools of an attacker: raw streams, raw sockets, and generated nonsense.

Inputs are generated from a seed and described by their shape; none is kept byte by byte.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import PUBSUB_SIGNING_PREFIX
from multiaddr import Multiaddr

from p2p import guards
from p2p.exchange import wire_protocol
from p2p.gossip import wire_name
from p2p.host import _multiaddr, _new_host
from p2p.identity import peer_id_of
from p2p.peers import Address
from protocol.ports import Topic
from protocol.types import NetworkId
from tests.p2p.worlds import NETWORK

GOSSIP = "/meshsub/1.1.0"


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def framed(body: bytes) -> bytes:
    return varint(len(body)) + body


class Repelled(Exception):
    """The victim lets the attacker open nothing any more."""


class Attacker:
    """A libp2p host of our own making, connected to the victim, that keeps no rule."""

    def __init__(self, host: Any, keys: Any, victim: Address, chance: random.Random) -> None:
        self.host = host
        self.keys = keys
        self.victim = victim
        self.chance = chance
        self._number = 0

    async def stream(self, protocol: str) -> Any:
        try:
            return await self.host.new_stream(ID(peer_id_of(self.victim.account)), [protocol])
        except Exception as error:
            raise Repelled from error

    async def request_stream(self, name: str = "echo") -> Any:
        return await self.stream(wire_protocol(NETWORK, name))

    async def gossip(self, *frames: bytes) -> None:
        """Send frames on a gossip stream; the victim may hang up at any time."""
        stream = await self.stream(GOSSIP)
        for frame in frames:
            if not await tolerated(stream.write(frame)):
                return

    async def muxer(self) -> Any:
        connections = self.host.get_network().get_connections(ID(peer_id_of(self.victim.account)))
        if not connections:
            raise Repelled
        return connections[0].muxed_conn

    def signed(
        self, payload: bytes, network_id: NetworkId = NETWORK, topic: Topic = Topic.BIDS
    ) -> rpc_pb2.Message:
        self._number += 1
        message = rpc_pb2.Message(
            data=payload,
            topicIDs=[wire_name(network_id, topic)],
            from_id=ID.from_pubkey(self.keys.public_key).to_bytes(),
            seqno=self._number.to_bytes(8, "big"),
        )
        content = PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString()
        message.signature = self.keys.private_key.sign(content)
        return message


async def tolerated(action: Any) -> bool:
    """Await what the victim may cut short; says whether it was let through."""
    with trio.move_on_after(8) as scope:
        try:
            await action
        except Exception:  # noqa: BLE001 -- the library raises many types
            return False
    return not scope.cancelled_caught


@asynccontextmanager
async def attacker(
    victim: Address, chance: random.Random, listening: Any = None
) -> AsyncIterator[Attacker]:
    """An attacker connected to the victim; ``listening`` is handed the victim's gossip stream."""
    guards.patch_library()
    keys = create_new_key_pair(chance.randbytes(32))
    listen = _multiaddr("127.0.0.1", 0)
    host = _new_host(keys, listen)
    guards.close_unused_doors(host)
    if listening is not None:
        host.set_stream_handler(GOSSIP, listening)
    async with host.run([listen]):
        try:
            peer = PeerInfo(ID(peer_id_of(victim.account)), [Multiaddr(victim.transport)])
            await host.connect(peer)
            yield Attacker(host, keys, victim, chance)
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(5):
                await host.close()

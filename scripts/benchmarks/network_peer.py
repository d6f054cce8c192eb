"""One peer of the network benchmark, in a process of its own: an ordinary guarded node whose judge
accepts everything.

Run as ``python -m scripts.benchmarks.network_peer INDEX COUNT``. It prints its address, then obeys
one command a line from its standard input, answers each with one line of JSON, and ends with its
input. All peers are on one machine, so their monotonic clock is one clock.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import trio

from p2p.host import LibP2PNetwork
from p2p.peers import Address, AddressBook
from protocol.ports import Topic, Verdict
from protocol.types import Account, Milliseconds, NetworkId

NETWORK: Final = NetworkId(bytes(range(64, 96)))
"""Nobody else's network."""

PAYLOAD_BYTES: Final = 200
"""Bytes of a published message: a vote, an intent, a proof's announcement."""

BODY_BYTES: Final = 133_000
"""Bytes of a fetched body: one proof."""

SETTLE_S: Final = 1.0
"""Seconds after the last message of a phase that still belong to it: late copies, one heartbeat."""

PATIENCE_S: Final = 60.0
"""Seconds to connect, and for all fetches of a phase."""

_FETCH_MS: Final = Milliseconds(int(1000 * PATIENCE_S))
_CLOCK_BYTES: Final = 8


class Peer:
    """What this peer published, heard and spent since a phase began.

    :param index: which of the ``count`` peers this is; it publishes every ``count``-th message.
    """

    def __init__(self, index: int, count: int) -> None:
        self.index = index
        self.count = count
        self.chance = random.Random(f"network benchmark, peer {index}")
        self.network = LibP2PNetwork(
            self.chance.randbytes(32), NETWORK, ("127.0.0.1", 0), AddressBook()
        )
        for topic in Topic:
            self.network.join(topic, self._hear)
        self.network.serve("body", self._serve)
        self._body = self.chance.randbytes(BODY_BYTES)
        self._delays_us: list[int] = []
        self._began_ns = 0

    def _hear(self, _forwarder: Account, payload: bytes) -> Verdict:
        sent_ns = int.from_bytes(payload[:_CLOCK_BYTES], "big")
        if sent_ns >= self._began_ns:
            self._delays_us.append((time.monotonic_ns() - sent_ns) // 1000)
        return Verdict.ACCEPT

    async def _serve(self, _asker: Account, _body: bytes) -> bytes:
        return self._body

    async def connect(self, addresses: list[str]) -> dict[str, Any]:
        """Connect to all the others."""
        for address in addresses:
            self.network.add_address(Address.parse(address))
        with trio.fail_after(PATIENCE_S):
            await self.network.wait_for_peers(self.count - 1)
        return {}

    async def gossip(self, begins_ns: int, rate: int, seconds: float) -> dict[str, Any]:
        """Publish this peer's part of ``rate`` messages a second; 0 is to be idle.

        :returns: the delays of what was heard, and CPU, bytes and duplicates of the whole phase.
        """
        await _sleep_until(begins_ns)
        self._began_ns, self._delays_us = begins_ns, []
        cpu_ns, sent_bytes = time.process_time_ns(), bytes_sent()
        duplicates = self.network.statistics().gossip_duplicates
        for number in range(self.index, int(rate * seconds), self.count):
            await _sleep_until(begins_ns + 1_000_000_000 * number // rate)
            clock = time.monotonic_ns().to_bytes(_CLOCK_BYTES, "big")
            noise = self.chance.randbytes(PAYLOAD_BYTES - _CLOCK_BYTES)
            await self.network.publish(Topic.TRANSFERS, clock + noise)
        await _sleep_until(begins_ns + int(1_000_000_000 * (seconds + SETTLE_S)))
        return {
            "delays_us": self._delays_us,
            "cpu_ns": time.process_time_ns() - cpu_ns,
            "sent_bytes": bytes_sent() - sent_bytes,
            "duplicates": self.network.statistics().gossip_duplicates - duplicates,
        }

    async def fetch(self, times: int) -> dict[str, Any]:
        """Fetch a body from each peer in turn, one after the other."""
        delays_us = []
        peers = self.network.peers()
        with trio.fail_after(PATIENCE_S):
            for number in range(times):
                began_ns = time.monotonic_ns()
                peer = peers[number % len(peers)]
                body = await self.network.request(
                    peer, "body", b"", size_max=BODY_BYTES, timeout_ms=_FETCH_MS
                )
                assert len(body) == BODY_BYTES
                delays_us.append((time.monotonic_ns() - began_ns) // 1000)
        return {"delays_us": delays_us}

    async def obey(self) -> None:
        """Run until the input ends."""
        commands: dict[str, Callable[..., Any]] = {
            "connect": self.connect,
            "gossip": self.gossip,
            "fetch": self.fetch,
        }
        async with self.network.run():
            _say(str(self.network.addresses()[0]))
            while line := await trio.to_thread.run_sync(
                _heard,
                abandon_on_cancel=True,  # type: ignore[call-arg]  # the stubs are older than trio
            ):
                command = json.loads(line)
                _say(await commands[command.pop("do")](**command))


_SENT = [0]


def count_sent_bytes() -> None:
    """Count from now on what this process writes to its sockets."""
    original = trio.SocketStream.send_all

    async def counted(self: trio.SocketStream, data: bytes) -> None:
        _SENT[0] += len(data)
        await original(self, data)

    # a method of a class is replaced
    trio.SocketStream.send_all = counted  # type: ignore[method-assign, assignment]


def bytes_sent() -> int:
    """How many bytes were counted so far."""
    return _SENT[0]


def _heard() -> str:
    return sys.stdin.readline()


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


async def _sleep_until(time_ns: int) -> None:
    await trio.sleep(max(0, time_ns - time.monotonic_ns()) / 1_000_000_000)


if __name__ == "__main__":
    count_sent_bytes()
    trio.run(Peer(int(sys.argv[1]), int(sys.argv[2])).obey)

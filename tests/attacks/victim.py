"""The process under attack: an ordinary node. Prints its address, then serves until its input ends.

Run as ``python -m tests.attacks.victim``.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections import deque

import trio

from p2p.host import LibP2PNetwork
from p2p.peers import AddressBook
from protocol.ports import Topic, Verdict
from protocol.types import Account
from tests.p2p.worlds import NETWORK

HEARD_MAX = 64


async def main() -> None:
    heard: deque[bytes] = deque(maxlen=HEARD_MAX)
    changed = trio.Event()

    def judge(peer: Account, payload: bytes) -> Verdict:
        nonlocal changed
        if payload.startswith(b"honest "):
            heard.append(payload)
            changed.set()
            changed = trio.Event()
        return Verdict.ACCEPT

    async def has_heard(peer: Account, payload: bytes) -> bytes:
        while payload not in heard:
            await changed.wait()
        return b"yes"

    async def echo(peer: Account, body: bytes) -> bytes:
        return body

    async def statistics(peer: Account, body: bytes) -> bytes:
        return json.dumps(dataclasses.asdict(network.statistics())).encode()

    seed = random.Random("victim").randbytes(32)
    network = LibP2PNetwork(seed, NETWORK, ("127.0.0.1", 0), AddressBook())
    network.join(Topic.BIDS, judge)
    network.serve("echo", echo)
    network.serve("has-heard", has_heard)
    network.serve("statistics", statistics)
    async with network.run():
        print(network.addresses()[0], flush=True)
        await trio.to_thread.run_sync(input, abandon_on_cancel=True)


if __name__ == "__main__":
    trio.run(main)

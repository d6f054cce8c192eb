"""A node in a process of its own is attacked; during each attack it still serves an honest peer.

The attacks are the list of bad inputs that ended or blocked a node of the bare library, and their
neighbours. Every input is generated from the seed in the test's name.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio
from libp2p.pubsub.pb import rpc_pb2

from p2p import limits
from p2p.host import LibP2PNetwork
from p2p.peers import Address, AddressBook
from protocol.ports import Topic, Verdict
from protocol.types import Milliseconds
from tests.attacks.hostile import Attacker, Repelled, attacker, framed, tolerated, varint
from tests.p2p.worlds import NETWORK, OTHER_NETWORK

PROMPTLY_S = 20
PATIENCE_S = 60
ROOT = Path(__file__).resolve().parents[2]
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def victim() -> Iterator[Address]:
    command = [sys.executable, "-m", "tests.attacks.victim"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield Address.parse(process.stdout.readline().strip())
        assert process.poll() is None, "the victim ended"
        process.kill()


async def serves_an_honest_peer(victim: Address) -> dict[str, int]:
    """A newcomer connects, asks, and is heard; returns what the victim counted so far."""
    number = next(NUMBERS)
    seed = random.Random(f"honest {number}").randbytes(32)
    node = LibP2PNetwork(seed, NETWORK, ("127.0.0.1", 0), AddressBook([victim]))
    node.join(Topic.BIDS, lambda peer, payload: Verdict.ACCEPT)
    patience = Milliseconds(1000 * PROMPTLY_S)
    async with node.run():
        with trio.fail_after(PROMPTLY_S):
            await node.wait_for_peers(1)
            body = b"x" * 1000
            answer = await node.request(
                victim.account, "echo", body, size_max=1000, timeout_ms=patience
            )
            assert answer == body
            await node.publish(Topic.BIDS, b"honest %d" % number)
            await node.request(
                victim.account, "has-heard", b"honest %d" % number, size_max=3, timeout_ms=patience
            )
            counts = await node.request(
                victim.account, "statistics", b"", size_max=10_000, timeout_ms=patience
            )
    return dict(json.loads(counts))


# gossip


async def random_frames(enemy: Attacker) -> None:
    for _ in range(8):
        await enemy.gossip(framed(enemy.chance.randbytes(enemy.chance.randrange(1, 2000))))


async def bytes_without_frames(enemy: Attacker) -> None:
    await enemy.gossip(enemy.chance.randbytes(5000))


async def lying_lengths(enemy: Attacker) -> None:
    for length in (limits.RPC_BYTES_MAX, limits.RPC_BYTES_MAX + 1, 1 << 31, 1 << 63):
        await enemy.gossip(varint(length))
    await enemy.gossip(b"\xff" * 100)


async def authors_that_are_no_keys(enemy: Attacker) -> None:
    message = enemy.signed(b"forged")
    for author in (b"\x12\x20" + enemy.chance.randbytes(32), enemy.chance.randbytes(38), b""):
        message.from_id = author
        message.key = enemy.chance.randbytes(100)
        await enemy.gossip(framed(rpc_pb2.RPC(publish=[message]).SerializeToString()))


async def forged_signatures(enemy: Attacker) -> None:
    message = enemy.signed(b"honest of somebody else")
    message.signature = enemy.chance.randbytes(64)
    await enemy.gossip(framed(rpc_pb2.RPC(publish=[message]).SerializeToString()))


async def many_tiny_messages(enemy: Attacker) -> None:
    tiny = rpc_pb2.Message(topicIDs=["x"]).SerializeToString()
    entry = b"\x12" + varint(len(tiny)) + tiny
    for count in (5_500, 100_000):
        await enemy.gossip(framed(entry * count))
        await enemy.gossip(framed(b"\x12\x00" * count))


async def many_empty_frames(enemy: Attacker) -> None:
    await enemy.gossip(*[framed(b"") * 10_000] * 10)


async def many_subscriptions(enemy: Attacker) -> None:
    rpc = rpc_pb2.RPC()
    for number in range(5_000):
        rpc.subscriptions.add(subscribe=True, topicid=f"topic {number}")
    await enemy.gossip(framed(rpc.SerializeToString()))


async def subscriptions_back_and_forth(enemy: Attacker) -> None:
    rpc = rpc_pb2.RPC()
    topic = enemy.signed(b"").topicIDs[0]
    for number in range(limits.RPC_SUBSCRIPTIONS_MAX):
        rpc.subscriptions.add(subscribe=bool(number % 2), topicid=topic)
    await enemy.gossip(*[framed(rpc.SerializeToString())] * 200)


async def huge_control_messages(enemy: Attacker) -> None:
    rpc = rpc_pb2.RPC()
    entry = rpc.control.ihave.add(topicID=enemy.signed(b"").topicIDs[0])
    entry.messageIDs.extend(enemy.chance.randbytes(46) for _ in range(10_000))
    await enemy.gossip(framed(rpc.SerializeToString()))
    rpc = rpc_pb2.RPC()
    for number in range(20_000):
        rpc.control.graft.add(topicID=f"{number}")
    await enemy.gossip(framed(rpc.SerializeToString()))
    await enemy.gossip(framed(b"\x1a\x00" * 400_000))


async def control_numbers_out_of_range(enemy: Attacker) -> None:
    topic = enemy.signed(b"").topicIDs[0]
    for back_off in (0, 1 << 31, 1 << 63, (1 << 64) - 1):
        rpc = rpc_pb2.RPC()
        rpc.control.prune.add(topicID=topic, backoff=back_off)
        rpc.control.iwant.add(messageIDs=[b"not hexadecimal", b"", b"ff" * 1000, b"\xff"])
        await enemy.gossip(framed(rpc.SerializeToString()))


async def a_flood_of_valid_messages(enemy: Attacker) -> None:
    frames = []
    for _ in range(5):
        messages = [enemy.signed(enemy.chance.randbytes(100)) for _ in range(100)]
        frames.append(framed(rpc_pb2.RPC(publish=messages).SerializeToString()))
    await enemy.gossip(*frames * 20)


async def a_flood_over_many_streams(enemy: Attacker) -> None:
    messages = [enemy.signed(enemy.chance.randbytes(100)) for _ in range(100)]
    frame = framed(rpc_pb2.RPC(publish=messages).SerializeToString())
    for _ in range(20):
        await enemy.gossip(*[frame] * 5)


async def a_flood_of_large_messages(enemy: Attacker) -> None:
    for _ in range(40):
        message = enemy.signed(enemy.chance.randbytes(limits.GOSSIP_BYTES_MAX))
        await enemy.gossip(framed(rpc_pb2.RPC(publish=[message]).SerializeToString()))


async def messages_of_another_network(enemy: Attacker) -> None:
    messages = [enemy.signed(b"foreign", OTHER_NETWORK, topic) for topic in Topic]
    await enemy.gossip(framed(rpc_pb2.RPC(publish=messages).SerializeToString()))


async def stalled_gossip(enemy: Attacker) -> None:
    await enemy.gossip(varint(limits.RPC_BYTES_MAX) + b"\x12")


# requests and streams


async def lying_request_lengths(enemy: Attacker) -> None:
    for length in (limits.REQUEST_BYTES_MAX + 1, (1 << 32) - 1):
        stream = await enemy.request_stream()
        await tolerated(stream.write(struct.pack("!I", length) + b"x"))


async def stalled_requests(enemy: Attacker) -> None:
    for _ in range(30):
        stream = await enemy.request_stream()
        await tolerated(stream.write(struct.pack("!I", 1000) + b"x"))


async def answers_never_read(enemy: Attacker) -> None:
    for _ in range(10):
        stream = await enemy.request_stream()
        await tolerated(stream.write(struct.pack("!I", 900_000) + bytes(900_000)))


async def streams_opened_and_reset(enemy: Attacker) -> None:
    async def once() -> None:
        stream = await enemy.request_stream()
        await stream.reset()

    for _ in range(150):
        await tolerated(once())


async def streams_opened_and_left(enemy: Attacker) -> None:
    muxer = await enemy.muxer()
    for _ in range(200):
        if not await tolerated(muxer.open_stream()):
            return


async def protocol_names_that_are_no_text(enemy: Attacker) -> None:
    muxer = await enemy.muxer()
    for name in (b"\xff\xfe\n", enemy.chance.randbytes(40) + b"\n", b"\n", b"/a\x00b\n"):
        stream = await muxer.open_stream()
        await tolerated(stream.write(framed(b"/multistream/1.0.0\n") + framed(name)))
        stream = await muxer.open_stream()
        await tolerated(stream.write(enemy.chance.randbytes(300)))


async def flow_control_ignored(enemy: Attacker) -> None:
    """More than a connection may leave unread, to an answer that does not read on."""
    muxer = await enemy.muxer()
    stream = await enemy.request_stream("has-heard")
    await stream.write(struct.pack("!I", 5) + b"never")
    chunk = bytes(1 << 20)
    header = struct.pack("!BBHII", 0, 0, 0, stream.muxed_stream.stream_id, len(chunk))
    for _ in range(4 * limits.UNREAD_BYTES_MAX // len(chunk)):
        if not await tolerated(muxer._write_frame(header + chunk)):
            return
    raise AssertionError("the victim took everything")


async def muxer_nonsense(enemy: Attacker) -> None:
    muxer = await enemy.muxer()
    for kind in range(6):
        header = struct.pack("!BBHII", 0, kind, enemy.chance.randrange(1 << 16), 77, 1 << 31)
        await tolerated(muxer._write_frame(header))
    await tolerated(muxer._write_frame(enemy.chance.randbytes(4000)))


Attack = Callable[[Attacker], Awaitable[None]]

ATTACKS: list[tuple[Attack, str]] = [
    (random_frames, "gossip_malformed"),
    (bytes_without_frames, "gossip_malformed"),
    (lying_lengths, "gossip_malformed"),
    (authors_that_are_no_keys, "gossip_malformed"),
    (forged_signatures, "gossip_malformed"),
    (many_tiny_messages, "gossip_malformed"),
    (many_empty_frames, "gossip_throttled_ms"),
    (many_subscriptions, "gossip_malformed"),
    (subscriptions_back_and_forth, "gossip_throttled_ms"),
    (huge_control_messages, "gossip_malformed"),
    (control_numbers_out_of_range, ""),
    (a_flood_of_valid_messages, "gossip_throttled_ms"),
    (a_flood_over_many_streams, ""),
    (a_flood_of_large_messages, ""),
    (messages_of_another_network, ""),
    (stalled_gossip, ""),
    (lying_request_lengths, ""),
    (stalled_requests, "requests_refused"),
    (answers_never_read, ""),
    (streams_opened_and_reset, "streams_failed"),
    (streams_opened_and_left, ""),
    (protocol_names_that_are_no_text, "streams_failed"),
    (flow_control_ignored, ""),
    (muxer_nonsense, ""),
]
"""Each attack, and the count of the victim's statistics that shows that it was met, if any does."""


@pytest.mark.parametrize(("attack", "met"), ATTACKS, ids=[attack.__name__ for attack, _ in ATTACKS])
def test_an_attacker_who_is_a_peer_harms_nobody_else(
    attack: Attack, met: str, victim: Address
) -> None:
    async def until_repelled(enemy: Attacker) -> None:
        with contextlib.suppress(Repelled):
            await attack(enemy)

    async def body() -> None:
        with trio.fail_after(PATIENCE_S):
            before = await serves_an_honest_peer(victim)
            async with attacker(victim, random.Random(f"attack {attack.__name__}")) as enemy:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(until_repelled, enemy)
                    await serves_an_honest_peer(victim)
                after = await serves_an_honest_peer(victim)
                while met and after[met] <= before[met]:
                    after = await serves_an_honest_peer(victim)

    trio.run(body)


# below the peer


async def silent_sockets(victim: Address, chance: random.Random) -> list[trio.SocketStream]:
    return [await trio.open_tcp_stream(victim.host, victim.port) for _ in range(100)]


async def random_sockets(victim: Address, chance: random.Random) -> list[trio.SocketStream]:
    sockets = []
    for _ in range(20):
        socket = await trio.open_tcp_stream(victim.host, victim.port)
        await tolerated(socket.send_all(chance.randbytes(500)))
        sockets.append(socket)
    return sockets


async def broken_handshakes(victim: Address, chance: random.Random) -> list[trio.SocketStream]:
    sockets = []
    for _ in range(20):
        socket = await trio.open_tcp_stream(victim.host, victim.port)
        hello = framed(b"/multistream/1.0.0\n") + framed(b"/noise\n")
        await tolerated(socket.send_all(hello + chance.randbytes(chance.randrange(500))))
        sockets.append(socket)
    return sockets


@pytest.mark.parametrize("attack", [silent_sockets, random_sockets, broken_handshakes])
def test_sockets_that_never_become_peers_harm_nobody(
    attack: Callable[[Address, random.Random], Awaitable[list[trio.SocketStream]]],
    victim: Address,
) -> None:
    async def body() -> None:
        with trio.fail_after(PATIENCE_S):
            sockets = await attack(victim, random.Random(f"attack {attack.__name__}"))
            await serves_an_honest_peer(victim)
            for socket in sockets:
                await trio.aclose_forcefully(socket)

    trio.run(body)


def test_a_dialer_without_encryption_is_refused(victim: Address) -> None:
    async def body() -> None:
        with trio.fail_after(PATIENCE_S):
            socket = await trio.open_tcp_stream(victim.host, victim.port)
            async with socket:
                hello = framed(b"/multistream/1.0.0\n")
                await socket.send_all(hello + framed(b"/plaintext/2.0.0\n"))
                received = b""
                while b"na\n" not in received:
                    chunk = await socket.receive_some(1000)
                    assert chunk, "the victim hung up without a word"
                    received += chunk
                assert b"/plaintext" not in received

    trio.run(body)

"""The parts of gossip that no honest library user sees: measuring frames, and repair."""

from __future__ import annotations

import random
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, strategies as st
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from trio.testing import MockClock

from p2p import limits
from p2p.framing import ByteReader, Ended, Malformed
from p2p.gossip import parsed
from p2p.gossip_cache import SeenMessages
from p2p.identity import peer_id_of
from p2p.rates import TokenBucket
from protocol.ports import Topic
from tests.attacks.hostile import GOSSIP, attacker, framed
from tests.p2p.worlds import LibP2PWorld, account_of_name, join_all


@given(st.binary(max_size=400))
def test_any_frame_is_parsed_or_malformed(frame: bytes) -> None:
    try:
        parsed(frame)
    except Malformed:
        return


@given(st.lists(st.binary(max_size=50), max_size=10), st.booleans())
def test_what_the_library_sends_is_parsed(payloads: list[bytes], control: bool) -> None:
    rpc = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=payload) for payload in payloads])
    if control:
        rpc.control.graft.add(topicID="topic")
        rpc.control.prune.add(topicID="topic", backoff=(1 << 64) - 1)
    assert parsed(rpc.SerializeToString()) == rpc


@pytest.mark.parametrize(
    ("entry", "count_max"),
    [
        (b"\x0a\x00", limits.RPC_SUBSCRIPTIONS_MAX),
        (b"\x12\x00", limits.RPC_MESSAGES_MAX),
        (b"\x1a\x00", limits.RPC_CONTROL_BYTES_MAX // 2),
        (b"\x78\x01", limits.RPC_OTHER_FIELDS_MAX),
    ],
    ids=["subscriptions", "messages", "control", "unknown"],
)
def test_a_frame_has_at_most_its_entries(entry: bytes, count_max: int) -> None:
    parsed(entry * count_max)
    with pytest.raises(Malformed, match="too many entries"):
        parsed(entry * (count_max + 1))


class Trickle:
    """A stream that gives its bytes in pieces of one size, then ends."""

    def __init__(self, content: bytes, piece: int) -> None:
        self._content = content
        self._piece = piece

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        size = min(self._piece, n or self._piece)
        taken, self._content = self._content[:size], self._content[size:]
        return taken


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 400), st.integers(1, 64))
def test_frames_survive_any_cutting(bodies: list[bytes], piece: int, chunk: int) -> None:
    async def read_all() -> None:
        reader = ByteReader(Trickle(b"".join(map(framed, bodies)), piece), chunk)
        for body in bodies:
            assert await reader.exactly(await reader.length(300)) == body
        with pytest.raises(Ended):
            await reader.length(300)

    trio.run(read_all)


@pytest.mark.parametrize("prefix", [b"\xff" * 10, b"\x80\x80\x80\x80\x01", b"\xad\x02"])
def test_a_length_out_of_range_is_malformed(prefix: bytes) -> None:
    async def read() -> None:
        with pytest.raises(Malformed):
            await ByteReader(Trickle(prefix, 1)).length(300)

    trio.run(read)


def test_seen_messages_are_bounded_and_fade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEEN_MESSAGES_MAX", 10)

    async def remember() -> None:
        seen = SeenMessages()
        assert [seen.add(b"%d" % number) for number in range(20)] == [True] * 20
        assert seen.has(b"19")
        assert not seen.has(b"3")
        assert not seen.add(b"19")
        assert seen.length() <= 10
        await trio.sleep(limits.SEEN_S + 1)
        assert not seen.has(b"19")

    trio.run(remember, clock=MockClock(autojump_threshold=0))


def test_a_bucket_gives_its_rate_over_time() -> None:
    async def take() -> None:
        bucket = TokenBucket(rate=10, burst=5)
        assert [bucket.take() for _ in range(6)] == [True] * 5 + [False]
        await trio.sleep(0.1)
        assert bucket.take()
        started = trio.current_time()
        for _ in range(20):
            await bucket.wait()
        assert trio.current_time() - started == pytest.approx(2.0)
        await trio.sleep(100)
        assert bucket.take(1_000_000)
        assert not bucket.take()

    trio.run(take, clock=MockClock(autojump_threshold=0))


def test_a_peer_gets_a_recent_message_again_when_it_asks() -> None:
    world = LibP2PWorld()

    async def body() -> None:
        received: list[rpc_pb2.Message] = []
        changed = trio.Event()

        async def collect(stream: Any) -> None:
            nonlocal changed
            reader = ByteReader(stream)
            while True:
                frame = await reader.exactly(await reader.length(limits.RPC_BYTES_MAX))
                received.extend(parsed(frame).publish)
                changed.set()
                changed = trio.Event()

        async def wait_for(count: int) -> None:
            while len(received) < count:
                await changed.wait()

        node = world.node("a")
        join_all([node])
        async with world.running([node]):
            place = node.addresses()[0]
            async with attacker(place, random.Random("asker"), collect) as asker:
                await node.wait_for_peers(1)
                topic = asker.signed(b"").topicIDs[0]
                rpc = rpc_pb2.RPC()
                rpc.subscriptions.add(subscribe=True, topicid=topic)
                stream = await asker.stream(GOSSIP)
                await stream.write(framed(rpc.SerializeToString()))
                await node.publish(Topic.BIDS, b"once more")
                await wait_for(1)
                rpc = rpc_pb2.RPC()
                rpc.control.iwant.add(messageIDs=[received[0].from_id + received[0].seqno])
                await stream.write(framed(rpc.SerializeToString()))
                await wait_for(2)
        assert [message.data for message in received] == [b"once more"] * 2

    world.run(body)


def test_a_peer_is_greeted_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    world = LibP2PWorld()
    greeted: list[ID] = []
    go_on = trio.Event()

    async def greet(pubsub: Pubsub, peer_id: ID) -> None:
        greeted.append(peer_id)
        await go_on.wait()

    async def body() -> None:
        node = world.node("a")
        peer = ID(peer_id_of(account_of_name("b")))
        async with world.running([node]):
            monkeypatch.setattr(Pubsub, "_handle_new_peer", greet)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node._pubsub._handle_new_peer, peer)
                nursery.start_soon(node._pubsub._handle_new_peer, peer)
                await trio.testing.wait_all_tasks_blocked()
                assert greeted == [peer]
                go_on.set()
            await node._pubsub._handle_new_peer(peer)
            assert greeted == [peer] * 2

    world.run(body)

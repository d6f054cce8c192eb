"""To whom a message goes, and that the mesh comes to rest."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from hypothesis import given, settings, strategies as st
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import PUBSUB_SIGNING_PREFIX
from libp2p.pubsub.validators import signature_validator

from p2p import guards, limits
from p2p.gossip import GuardedRouter, _is_signed
from p2p.outbox import Outbox
from tests.attacks.hostile import framed

guards.patch_library()

TOPICS = ["one", "two", "three"]


def peer_ids(count: int) -> list[ID]:
    chance = random.Random("peers of a router")
    keys = [create_new_key_pair(chance.randbytes(32)) for _ in range(count)]
    return [ID.from_pubkey(key.public_key) for key in keys]


PEERS = peer_ids(limits.PEERS_MAX + 8)
ME = PEERS.pop()


class Crowd:
    """A router, its peers, all subscribed to everything, and what it sends them."""

    def __init__(self, count: int) -> None:
        self.peers = PEERS[:count]
        self.router = GuardedRouter()
        self.queues = {peer: Outbox() for peer in self.peers}
        pubsub: Any = SimpleNamespace(
            my_id=ME,
            peers=dict.fromkeys(self.peers),
            peer_queues=self.queues,
            peer_topics={topic: set(self.peers) for topic in TOPICS},
        )
        self.router.pubsub = pubsub
        self.router.peer_protocol = dict.fromkeys(self.peers, PROTOCOL_ID_V11)
        self.router.mesh = {topic: set() for topic in TOPICS}
        self.controls: dict[ID, list[Any]] = defaultdict(list)

        async def emit(control: Any, peer: ID) -> None:
            self.controls[peer].append(control)

        self.router.emit_control_message = emit

    def sent(self) -> dict[ID, bytes]:
        """What waits for each peer for whom something waits."""

        async def take() -> dict[ID, bytes]:
            return {peer: await box.take() or b"" for peer, box in self.queues.items() if len(box)}

        return trio.run(take)


def message_of(author: ID, payload: bytes = b"payload") -> rpc_pb2.Message:
    return rpc_pb2.Message(
        data=payload, topicIDs=[TOPICS[0]], from_id=author.to_bytes(), seqno=bytes(8)
    )


def frame_of(message: rpc_pb2.Message) -> bytes:
    return framed(rpc_pb2.RPC(publish=[message]).SerializeToString())


def test_an_own_message_goes_to_every_subscriber() -> None:
    crowd = Crowd(10)
    crowd.router.pubsub.peer_topics[TOPICS[0]].discard(crowd.peers[0])
    message = message_of(ME)
    trio.run(crowd.router.publish, ME, message)
    assert crowd.sent() == dict.fromkeys(crowd.peers[1:], frame_of(message))


def test_a_forwarded_message_goes_to_the_mesh_but_not_back() -> None:
    crowd = Crowd(10)
    forwarder, author, *others = crowd.peers[:6]
    crowd.router.mesh[TOPICS[0]] = {forwarder, author, *others}
    message = message_of(author)
    trio.run(crowd.router.publish, forwarder, message)
    assert crowd.sent() == dict.fromkeys(others, frame_of(message))
    assert crowd.router.mcache.get(author.to_bytes() + bytes(8)) == message


def test_a_graft_that_found_no_room_goes_along() -> None:
    crowd = Crowd(3)
    peer = crowd.peers[1]
    crowd.router.mesh[TOPICS[0]] = {peer}
    crowd.router._pending_control[peer].graft.add(topicID=TOPICS[0])
    trio.run(crowd.router.publish, ME, message_of(ME))
    rpcs = rpc_pb2.RPC()
    rest = crowd.sent()[peer]
    while rest:
        rpcs.MergeFromString(rest[1:][: rest[0]])  # frames of fewer than 128 bytes
        rest = rest[1 + rest[0] :]
    assert [graft.topicID for graft in rpcs.control.graft] == [TOPICS[0]]
    assert [message.data for message in rpcs.publish] == [b"payload"]
    assert peer not in crowd.router._pending_control


SMALL = (
    limits.SMALL_MESH_DEGREE_LOW,
    limits.SMALL_MESH_DEGREE,
    limits.SMALL_MESH_DEGREE_HIGH,
)
LARGE = (limits.MESH_DEGREE_LOW, limits.MESH_DEGREE, limits.MESH_DEGREE_HIGH)


@pytest.mark.parametrize(
    ("count", "degrees"), [(limits.PEERS_MAX - 1, SMALL), (limits.PEERS_MAX, LARGE)]
)
def test_a_mesh_fits_the_number_of_peers_and_rests(
    count: int, degrees: tuple[int, int, int]
) -> None:
    low, wanted, high = degrees
    crowd = Crowd(count)
    router = crowd.router

    def sizes() -> list[int]:
        return [len(router.mesh[topic]) for topic in TOPICS]

    grafts, prunes = router.mesh_heartbeat()
    assert (sum(map(len, grafts.values())), prunes) == (wanted * len(TOPICS), {})
    assert sizes() == [wanted] * len(TOPICS)
    for topic, size in zip(TOPICS, (low, wanted, high), strict=True):
        router.mesh[topic] = set(crowd.peers[:size])
    for _ in range(20):
        assert router.mesh_heartbeat() == ({}, {})
    for topic, size in zip(TOPICS, (low - 1, high, high + 1), strict=True):
        router.mesh[topic] = set(crowd.peers[:size])
    grafts, prunes = router.mesh_heartbeat()
    assert sizes() == [wanted, high, wanted]
    assert sum(map(len, grafts.values())) == wanted - low + 1
    assert sum(map(len, prunes.values())) == high + 1 - wanted


@pytest.mark.parametrize(
    ("count", "announced"),
    [(limits.PEERS_MAX - 1, limits.SMALL_GOSSIP_DEGREE), (limits.PEERS_MAX, 8)],
)
def test_what_a_topic_had_is_announced_outside_its_mesh(count: int, announced: int) -> None:
    crowd = Crowd(count)
    crowd.router.mesh_heartbeat()
    message = message_of(ME)
    crowd.router.mcache.put(message)
    told = crowd.router.gossip_heartbeat()
    assert len(told) == min(announced, max(6, (count - limits.MESH_DEGREE) // 4))
    assert not set(told) & crowd.router.mesh[TOPICS[0]]
    assert all(ids == {TOPICS[0]: [ME.to_bytes() + bytes(8)]} for ids in told.values())


Told = dict[ID, list[str]]


@settings(max_examples=50)
@given(
    *[st.dictionaries(st.sampled_from(PEERS[:6]), st.sets(st.sampled_from(TOPICS)).map(sorted))] * 3
)
def test_each_peer_is_told_what_concerns_it(graft: Told, prune: Told, gossip: Told) -> None:
    crowd = Crowd(6)
    ids = {peer: {topic: [topic.encode()] for topic in topics} for peer, topics in gossip.items()}
    trio.run(crowd.router._emit_control_msgs, graft, prune, ids)

    def told(entries: Callable[[Any], Any]) -> Told:
        return {
            peer: [entry.topicID for control in controls for entry in entries(control)]
            for peer, controls in crowd.controls.items()
        }

    for wanted, found in (
        (graft, told(lambda control: control.graft)),
        (prune, told(lambda control: control.prune)),
        (gossip, told(lambda control: control.ihave)),
    ):
        assert {peer: topics for peer, topics in found.items() if topics} == {
            peer: topics for peer, topics in wanted.items() if topics
        }
    assert all(len(controls) == 1 for controls in crowd.controls.values())


KEYS = create_new_key_pair(bytes(range(32)))


def signed_message(payload: bytes) -> rpc_pb2.Message:
    message = message_of(ID.from_pubkey(KEYS.public_key), payload)
    content = PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString()
    message.signature = KEYS.private_key.sign(content)
    return message


@given(st.binary(max_size=300), st.binary(max_size=80))
def test_a_signature_fits_as_the_library_says(payload: bytes, key: bytes) -> None:
    message = signed_message(payload)
    message.key = key  # read by nobody: the author's key is in its id
    assert _is_signed(message)
    assert signature_validator(message)


@given(st.binary(max_size=100), st.data())
def test_one_wrong_byte_is_no_signature(payload: bytes, data: st.DataObject) -> None:
    message = signed_message(payload)
    field = data.draw(st.sampled_from(["data", "seqno", "signature", "from_id"]))
    content = bytearray(getattr(message, field) or b"\0")
    position = data.draw(st.integers(6 if field == "from_id" else 0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    setattr(message, field, bytes(content))
    assert not _is_signed(message)


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(64), bytes(65)])
def test_what_is_no_signature_does_not_fit(signature: bytes) -> None:
    message = signed_message(b"payload")
    message.signature = signature
    assert not _is_signed(message)
    message = signed_message(b"payload")
    message.topicIDs.append("another")
    assert not _is_signed(message)

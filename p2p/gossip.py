"""Gossip over the library's GossipSub v1.1, read by us.

**The problem.** The library's reader trusts its peers: one frame that is not protobuf ends the
process, many tiny messages in one frame block the loop for seconds, a rejected message cannot be
told from an ignored one.

**What is ours.** Everything from the bytes of a stream to the verdict (:class:`GuardedPubsub`):
frames are measured before they are parsed, entries are counted, what a peer sends is read at a
bounded rate and processed in turn.
**What is the library's.** The mesh, its heartbeat, the cache of recent messages, and sending.

**Rules**, in the order in which a message meets them:

1. its frame and its entry are within ``limits``, else the peer is penalised and its stream reset;
2. it has one topic that we joined, an Ed25519 author, a number of 8 bytes; messages for other
topics are skipped; 3. it was not judged before: the first copy decides, whatever the verdict was;
4. it is not ours: our own messages come back after a restart, and are neither judged nor delivered;
5. the author's signature fits, else the peer is penalised;
6. the topic's judge says ACCEPT (forward), IGNORE (stop), REJECT (stop, penalise the forwarder).

Reading is held back, never dropped, when a peer exceeds its rate: an honest peer that forwards
somebody's flood slows down instead of being blamed for it.

**Properties.** Nothing a peer sends ends the reader of another peer; between two messages the loop
is free.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, Final

import trio
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.utils import safe_bytes_from_hex
from libp2p.pubsub.validators import PUBSUB_SIGNING_PREFIX
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from p2p import guards, limits
from p2p.framing import ByteReader, Malformed
from p2p.gossip_cache import SeenMessages
from p2p.identity import account_of
from p2p.outbox import encoded
from p2p.rates import TokenBucket
from p2p.registry import Registry, log
from protocol.ports import Topic, Verdict
from protocol.types import Account, Milliseconds, NetworkId

_SEQUENCE_BYTES: Final = 8
_FIELD_SUBSCRIPTION: Final = 1
_FIELD_MESSAGE: Final = 2
_FIELD_CONTROL: Final = 3
_WIRE_VARINT: Final = 0
_WIRE_BYTES: Final = 2
_WIRE_FIXED: Final = {1: 8, 5: 4}


def wire_name(network_id: NetworkId, topic: Topic) -> str:
    """The topic's name on the wire: no message of one network reaches another."""
    return f"provnet/1/{network_id.hex()[:16]}/{topic.value}"


class GuardedRouter(GossipSub):
    """GossipSub with every option set, its leaks closed, and its answers bounded."""

    def __init__(self) -> None:
        super().__init__(
            [PROTOCOL_ID_V11],
            degree=limits.SMALL_MESH_DEGREE,
            degree_low=limits.SMALL_MESH_DEGREE_LOW,
            degree_high=limits.SMALL_MESH_DEGREE_HIGH,
            heartbeat_initial_delay=0.1,
            heartbeat_interval=limits.HEARTBEAT_S,
            do_px=False,
            # longer ones refuse the mesh to a peer that comes back at once
            prune_back_off=2,
            unsubscribe_back_off=2,
            # these four are on by default, and throttle, slow down or rearrange an honest network
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
            max_idontwant_messages=1,
        )
        # Conduct is ours: the library's scores have no weights and decide nothing, and where all
        # are equal it takes two more peers into every mesh with every heartbeat.
        self.scorer = None
        # grows by a number for every message, for ever, when nothing reads it
        nowhere: Any = defaultdict(lambda: deque(maxlen=0))
        self.recent_message_deliveries = nowhere
        self._pending_messages = nowhere
        self._replays: dict[ID, TokenBucket] = {}

    def _check_equivocation(self, msg: rpc_pb2.Message) -> bool:  # noqa: ARG002 -- library's
        # keeps a thousand whole messages; two messages with one number do no harm here
        return True

    def _select_peers_for_pruning(self, topic: str, num_to_prune: int) -> list[ID]:
        # The library takes them in the order of their hashes: where those are equal (one process,
        # or a fixed hash seed) all nodes prune the same peer, and it is alone.
        members = sorted(self.mesh[topic], key=lambda peer: peer.to_bytes())
        return random.SystemRandom().sample(members, min(num_to_prune, len(members)))

    def mesh_heartbeat(self) -> Any:
        """The library's, for a mesh that fits the number of peers."""
        small = self._is_small()
        self.degree = limits.SMALL_MESH_DEGREE if small else limits.MESH_DEGREE
        self.degree_low = limits.SMALL_MESH_DEGREE_LOW if small else limits.MESH_DEGREE_LOW
        self.degree_high = limits.SMALL_MESH_DEGREE_HIGH if small else limits.MESH_DEGREE_HIGH
        return super().mesh_heartbeat()

    def _is_small(self) -> bool:
        # room for more peers is left: we are connected to all whom we know
        assert self.pubsub is not None
        return len(self.pubsub.peers) < limits.PEERS_MAX

    def _get_adaptive_gossip_peers_count(self, topic: str, total_peers: int) -> int:
        if self._is_small():
            return limits.SMALL_GOSSIP_DEGREE
        return super()._get_adaptive_gossip_peers_count(topic, total_peers)

    async def _emit_control_msgs(
        self,
        peers_to_graft: Mapping[ID, list[str]],
        peers_to_prune: Mapping[ID, list[str]],
        peers_to_gossip: Mapping[ID, dict[str, list[bytes]]],
    ) -> None:
        # The library sends each peer also what it has for those before it: a peer is grafted and
        # pruned for topics it has nothing to do with, refuses, and the mesh never comes to rest.
        for peer in {**peers_to_graft, **peers_to_prune, **peers_to_gossip}:
            control = self.pack_control_msgs(
                [
                    rpc_pb2.ControlIHave(topicID=topic, messageIDs=ids)
                    for topic, ids in peers_to_gossip.get(peer, {}).items()
                ],
                [rpc_pb2.ControlGraft(topicID=topic) for topic in peers_to_graft.get(peer, ())],
                [
                    rpc_pb2.ControlPrune(topicID=topic, backoff=self.prune_back_off)
                    for topic in peers_to_prune.get(peer, ())
                ],
            )
            await self.emit_control_message(control, peer)

    async def publish(self, msg_forwarder: ID, pubsub_msg: rpc_pb2.Message) -> None:
        """Send a message on, encoded once for all.

        What is our own goes to every subscriber: flood publishing, as v1.1 asks for and the library
        lacks, so no mesh that is young, or full of silent peers, can keep it back. Everything else
        goes to the mesh.
        """
        assert self.pubsub is not None
        self.mcache.put(pubsub_msg)
        rpc = rpc_pb2.RPC(publish=[pubsub_msg])
        frame = encoded(rpc)
        is_own = msg_forwarder == self.pubsub.my_id
        for peer in (self.pubsub.peer_topics if is_own else self.mesh).get(
            pubsub_msg.topicIDs[0], ()
        ):
            queue: Any = self.pubsub.peer_queues.get(peer)
            if queue is None or peer in (msg_forwarder, pubsub_msg.from_id):
                continue
            if peer in self._pending_control:
                self.send_rpc(peer, rpc)  # takes along the GRAFT or PRUNE that found no room
            else:
                queue.push_frame(frame)

    async def heartbeat(self) -> None:
        """The library's, started again should it ever fail: without it the mesh decays."""
        while True:
            try:
                await super().heartbeat()
            except Exception:  # noqa: BLE001 -- whatever it is, without a heartbeat all is lost
                log.exception("the heartbeat of gossip failed; it goes on")
                await trio.sleep(limits.HEARTBEAT_S)

    def remove_peer(self, peer_id: ID) -> None:
        """Forget a peer, its back-offs included, which the library keeps."""
        super().remove_peer(peer_id)
        self._replays.pop(peer_id, None)
        for waiting in self.back_off.values():
            waiting.pop(peer_id, None)

    async def handle_iwant(self, iwant_msg: Any, sender_peer_id: ID) -> None:
        """Send the cached messages that a peer asks for."""
        self._replay(
            sender_peer_id, [safe_bytes_from_hex(wire) or b"" for wire in iwant_msg.messageIDs]
        )

    async def flush_pending_messages(self, peer_id: ID) -> None:
        """Nothing: recent messages are sent again to a peer when it subscribes.

        The library keeps messages for connected peers that are not subscribed (yet), and writes
        them to the stream past the queue: two large messages at once become one heap of rubble.
        """

    def _prune_pending_messages(self, peer_id: ID) -> None:  # noqa: ARG002 -- library's
        return

    async def send_recent_messages(self, peer_id: ID, topic: str) -> None:
        """Send the cached messages of a topic to a peer that just subscribed."""
        self._replay(peer_id, self.mcache.window(topic))

    def _replay(self, peer_id: ID, message_ids: list[bytes]) -> None:
        # at a bounded rate: a few bytes must not fetch megabytes again and again
        bucket = self._replays.setdefault(
            peer_id, TokenBucket(limits.REPLAY_BYTES_PER_S, limits.REPLAY_BYTES_BURST)
        )
        for message_id in message_ids:
            message = self.mcache.get(message_id)
            if message is not None and bucket.take(message.ByteSize()):
                self.send_rpc(peer_id, rpc_pb2.RPC(publish=[message]))


class GuardedPubsub(Pubsub):
    """The library's pubsub with our own way in and our own way out.

    :param penalise: told of every fault of a peer: its account, a reason, points.
    :param changed: told when a peer begins or ceases to hear our gossip.
    """

    def __init__(
        self,
        host: Any,
        network_id: NetworkId,
        registry: Registry,
        penalise: Callable[[Account, str, float], None],
        changed: Callable[[], None],
    ) -> None:
        self._topics = {wire_name(network_id, topic): topic for topic in registry.judges}
        self.mesh = GuardedRouter()
        super().__init__(
            host,
            self.mesh,
            strict_signing=True,
            max_subscriptions_per_rpc=limits.RPC_SUBSCRIPTIONS_MAX,
            max_subscriptions_per_peer=len(Topic),
            max_inbound_rpc_size=limits.RPC_BYTES_MAX,
            allowed_topics=frozenset(wire_name(network_id, topic) for topic in Topic),
        )
        self.seen_messages.stop()
        seen: Any = SeenMessages()
        self.seen_messages = seen
        # the library starts at the time in seconds: a busy node that restarts would repeat numbers
        self.counter = time.time_ns()
        self._network_id = network_id
        self._registry = registry
        self._penalise = penalise
        self._changed = changed
        self._readers: dict[ID, trio.CancelScope] = {}
        self._greeted: set[ID] = set()
        self._rates: dict[Account, tuple[TokenBucket, TokenBucket]] = {}

    def accounts(self) -> list[Account]:
        """Peers that gossiped."""
        return list(self._rates)

    def forget(self, account: Account) -> None:
        """Drop the rates of a peer that is gone."""
        self._rates.pop(account, None)

    async def subscribe_all(self) -> None:
        """Subscribe to every joined topic; once, before connections exist."""
        for name in self._topics:
            await self.subscribe(name)

    async def publish_payload(self, topic: Topic, payload: bytes) -> None:
        """Sign and send to the mesh. It is not judged and not delivered here."""
        await self.publish(wire_name(self._network_id, topic), payload)

    async def keep_announcing(self) -> None:
        """Repeat our subscriptions, and what failed, for ever.

        A peer forgets our subscriptions when one of two streams breaks. The library gives a peer up
        for the life of its connection when the first stream to it fails for more than a moment.
        """
        while True:
            await trio.sleep(limits.ANNOUNCE_S)
            for peer_id in self.host.get_connected_peers():
                if peer_id not in self.peers:
                    self._schedule_peer_stream_retry(peer_id)
            await self.message_all_peers(self.get_hello_packet().SerializeToString())

    async def handle_sending_messages(self, peer_id: ID, stream: Any, queue: Any) -> None:
        """Write what waits for one peer until its queue is closed or its stream breaks."""
        try:
            while (frames := await queue.take()) is not None:
                await stream.write(frames)
        except Exception as error:  # noqa: BLE001 -- the library raises many types
            log.debug("the gossip to a peer ended: %r", error)
            self._handle_dead_peer(peer_id)

    async def stream_handler(self, stream: Any) -> None:
        """Read one peer's gossip until it ends; whatever it sends, only its own stream suffers.

        A peer has one gossip stream: a new one takes the place of the old.
        """
        peer = stream.muxed_conn.peer_id
        if peer in self._readers:
            self._readers[peer].cancel()
        with trio.CancelScope() as scope:
            self._readers[peer] = scope
            await self._read_guarded(stream, peer, account_of(peer.to_bytes()))
        if self._readers.get(peer) is scope:
            del self._readers[peer]
        await guards.reset_quietly(stream)

    async def _read_guarded(self, stream: Any, peer: ID, account: Account) -> None:
        try:
            await self._read_frames(stream, peer, account)
        except Malformed as error:
            self._registry.statistics.gossip_malformed += 1
            self._penalise(account, f"malformed gossip: {error}", limits.PENALTY_POINTS_MALFORMED)
        except Exception as error:  # noqa: BLE001 -- the library raises many types
            self._registry.statistics.streams_failed += 1
            log.debug("the gossip of a peer ended: %r", error)

    async def _read_frames(self, stream: Any, peer: ID, account: Account) -> None:
        reader = ByteReader(stream, limits.GOSSIP_CHUNK_BYTES)
        # of the peer, not of the stream: a new stream must not buy a new burst
        bytes_rate, message_rate = self._rates.setdefault(
            account,
            (
                TokenBucket(limits.GOSSIP_BYTES_PER_S, limits.GOSSIP_BYTES_BURST),
                TokenBucket(limits.GOSSIP_MESSAGES_PER_S, limits.GOSSIP_MESSAGES_BURST),
            ),
        )
        while True:
            length = await reader.length(limits.RPC_BYTES_MAX)
            # a deadline costs more than a frame that is there
            with nullcontext() if reader.holds(length) else trio.fail_after(limits.GOSSIP_FRAME_S):
                frame = await reader.exactly(length)
            await self._hold_back(bytes_rate, length)
            rpc = parsed(frame)
            if not frame:
                await self._hold_back(message_rate, 1)
            for subscription in rpc.subscriptions:
                await self._hold_back(message_rate, 1)
                self.handle_subscription(peer, subscription)
            if rpc.HasField("control"):
                await self._hold_back(message_rate, 1)
                await self.router.handle_rpc(self._known_control(rpc.control), peer)
            for message in rpc.publish:
                await self._hold_back(message_rate, 1)
                await self._receive(peer, account, message)

    async def _hold_back(self, bucket: TokenBucket, tokens: int) -> None:
        slept_s = await bucket.wait(tokens)
        self._registry.statistics.gossip_throttled_ms += Milliseconds(int(1000 * slept_s))

    async def _receive(self, peer: ID, account: Account, message: rpc_pb2.Message) -> None:
        """Rules 2 to 6. Raises :class:`Malformed`."""
        await trio.lowlevel.checkpoint()
        topic = self._topics.get(message.topicIDs[0]) if len(message.topicIDs) == 1 else None
        if topic is None:
            return
        author = _checked_author(message)
        message_id = self.get_message_id(message)
        if self.seen_messages.has(message_id):
            self._registry.statistics.gossip_duplicates += 1
            return
        if author == self.my_id.to_bytes():
            return
        if not _is_signed(message):
            raise Malformed("a signature that does not fit")
        self.seen_messages.add(message_id)
        verdict = self._registry.judge(topic, account, message.data)
        if verdict is Verdict.REJECT:
            self._penalise(account, f"rejected {topic.value}", limits.PENALTY_POINTS)
        if verdict is Verdict.ACCEPT:
            await self.router.publish(peer, message)

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """The way out of our own messages; the library calls it from ``publish`` only."""
        self.seen_messages.add(self.get_message_id(msg))
        await self.router.publish(msg_forwarder, msg)
        await trio.lowlevel.checkpoint()

    def _known_control(self, control: Any) -> rpc_pb2.RPC:
        """The control entries that v1.1 knows, for topics of ours, bounded and clamped."""
        known = rpc_pb2.RPC()
        known.control.SetInParent()
        ids_left = limits.CONTROL_IDS_MAX
        for ihave in self._of_our_topics(control.ihave):
            entry = known.control.ihave.add(topicID=ihave.topicID)
            entry.messageIDs.extend(ihave.messageIDs[:ids_left])
            ids_left -= len(entry.messageIDs)
        for iwant in control.iwant[: limits.CONTROL_ENTRIES_MAX]:
            wanted = known.control.iwant.add()
            wanted.messageIDs.extend(iwant.messageIDs[:ids_left])
            ids_left -= len(wanted.messageIDs)
        for graft in self._of_our_topics(control.graft):
            known.control.graft.add(topicID=graft.topicID)
        for prune in self._of_our_topics(control.prune):
            back_off_s = min(prune.backoff, limits.PRUNE_BACK_OFF_S_MAX)
            known.control.prune.add(topicID=prune.topicID, backoff=back_off_s)
        return known

    def _of_our_topics(self, entries: Any) -> Iterator[Any]:
        return (
            entry
            for entry in entries[: limits.CONTROL_ENTRIES_MAX]
            if entry.topicID in self._topics
        )

    async def _handle_new_peer(self, peer_id: ID) -> None:
        # Two at a time, and the library opens two streams and forgets one, with the task that waits
        # to write to it.
        if peer_id in self._greeted:
            return
        self._greeted.add(peer_id)
        try:
            await super()._handle_new_peer(peer_id)
        finally:
            self._greeted.discard(peer_id)
        # its subscriptions may have come before our stream: the library then waits a heartbeat
        for topic in [name for name, peers in self.peer_topics.items() if peer_id in peers]:
            await self.mesh.on_peer_subscribed(peer_id, topic)
        self._changed()

    def _handle_dead_peer(self, peer_id: ID) -> None:
        # The library also forgets the peer's subscriptions when only our stream to it broke; the
        # peer has no reason to repeat them, and would never hear from us again.
        topics = [topic for topic, peers in self.peer_topics.items() if peer_id in peers]
        super()._handle_dead_peer(peer_id)
        if self._peer_is_connected(peer_id):
            for topic in topics:
                subscription = rpc_pb2.RPC.SubOpts(subscribe=True, topicid=topic)
                self.handle_subscription(peer_id, subscription)
        self._changed()


def _checked_author(message: rpc_pb2.Message) -> bytes:
    """The author's peer id. Raises :class:`Malformed`."""
    if len(message.data) > limits.GOSSIP_BYTES_MAX:
        raise Malformed("a payload that is too large")
    if message.ByteSize() - len(message.data) > limits.MESSAGE_ENVELOPE_BYTES_MAX:
        raise Malformed("an envelope that is too large")
    if len(message.seqno) != _SEQUENCE_BYTES:
        raise Malformed("a message number that has not 8 bytes")
    try:
        account_of(message.from_id)
    except ValueError:
        raise Malformed("an author that is not an Ed25519 identity") from None
    return message.from_id


def _is_signed(message: rpc_pb2.Message) -> bool:
    """Whether the signature is the author's, whose key is in its peer id.

    What is signed is the message without key and signature (libp2p specification, pubsub).
    """
    content = rpc_pb2.Message(
        data=message.data,
        topicIDs=message.topicIDs,
        from_id=message.from_id,
        seqno=message.seqno,
    )
    signed = PUBSUB_SIGNING_PREFIX.encode() + content.SerializeToString()
    try:
        VerifyKey(account_of(message.from_id)).verify(signed, message.signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def parsed(frame: bytes) -> rpc_pb2.RPC:
    """The frame as the library's type. Raises :class:`Malformed`; parses nothing that is over a
    limit.
    """
    _measure(frame)
    rpc = rpc_pb2.RPC()
    try:
        rpc.ParseFromString(frame)
    except Exception:  # noqa: BLE001 -- the types differ between protobuf's implementations
        raise Malformed("not a gossip frame") from None
    return rpc


def _measure(frame: bytes) -> None:
    """Count the frame's entries. Raises :class:`Malformed` when there are too many of a kind."""
    left = {
        _FIELD_SUBSCRIPTION: limits.RPC_SUBSCRIPTIONS_MAX,
        _FIELD_MESSAGE: limits.RPC_MESSAGES_MAX,
        _FIELD_CONTROL: limits.RPC_CONTROL_BYTES_MAX,
    }
    others_left = limits.RPC_OTHER_FIELDS_MAX
    for number, size in _fields(frame):
        if number in left:
            # control fields merge into one: each counts with its header, or empty ones are free
            left[number] -= size + 2 if number == _FIELD_CONTROL else 1
        else:
            others_left -= 1
        if others_left < 0 or left.get(number, 0) < 0:
            raise Malformed("too many entries in a frame")


def _fields(frame: bytes) -> Iterator[tuple[int, int]]:
    """Number and size in bytes of each top-level protobuf field. Raises :class:`Malformed`."""
    position = 0
    while position < len(frame):
        key, position = _varint(frame, position)
        kind = key & 7
        if kind == _WIRE_BYTES:
            size, position = _varint(frame, position)
        elif kind == _WIRE_VARINT:
            size, (_, after) = 0, _varint(frame, position)
            position = after
        elif kind in _WIRE_FIXED:
            size = _WIRE_FIXED[kind]
        else:
            raise Malformed("not a gossip frame")
        position += size
        if position > len(frame):
            raise Malformed("a field that is longer than its frame")
        yield key >> 3, size


def _varint(frame: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(frame):
            break
        byte = frame[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise Malformed("not a gossip frame")

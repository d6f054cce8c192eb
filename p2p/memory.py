"""A stand-in for the network: ``protocol.ports.Network`` in memory, on trio's clock.

**What it is for.** Simulation and tests: many nodes in one process, hours in seconds under
``trio.testing.MockClock``. It is named as a stand-in wherever it is used; ``tests/p2p`` holds it
and ``p2p.host`` to the same contract.

**What it models.** Flooding among connected nodes that joined the topic, or along a mesh of bounded
degree, with the first copy judged and only accepted messages forwarded; requests with deadlines;
latency, jitter, loss, duplication, reordering and bandwidth per link; partitions, and links that
carry in one direction only; nodes that stop, stall, lose their links, come back; faults and bans.
**What it does not.** The scores of a mesh, the replay of recent messages to newcomers, rates of
requests: a simulated node is never throttled.

**Properties.** What happens on a link is a function of the seed and of what is sent, never of the
order in which tasks run, of the wall clock or of the iteration order of a set; messages that arrive
at one node at one time are judged in the order of their senders. Where bandwidth is bounded, who
sends first is served first.

::

    hub = MemoryNetwork(seed=1, link=LinkModel(latency_ms=Milliseconds(40), loss=0.01))
    node = hub.node(account, network_id)
    node.join(Topic.BIDS, judge)
    async with node.run():
        await node.publish(Topic.BIDS, b"...")
"""

from __future__ import annotations

import heapq
import math
import struct
from bisect import insort
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final, TypeAlias

import trio

from p2p import limits
from p2p.conduct import Conduct
from p2p.failures import Failure
from p2p.gossip_cache import SeenMessages
from p2p.registry import Observer, Registry, Statistics, checked_payload, ungrouped
from protocol.ports import Answer, Judge, RequestFailed, Topic, Verdict
from protocol.types import Account, Milliseconds, NetworkId

_NO_TIME: Final = Milliseconds(0)
_USUAL_LATENCY: Final = Milliseconds(20)
_LOTS: Final = struct.Struct("<5Q")
_LOT_END: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class LinkModel:
    """How one direction of a link behaves.

    :param latency_ms: time a message travels at least.
    :param jitter_ms: more time, drawn evenly from 0 to this.
    :param loss: share of messages that never arrive, 0 to 1. A lost request or answer is a timeout.
    :param duplication: share of gossiped messages that arrive twice.
    :param reordering: share of messages that are held back, so that later ones overtake them.
    :param held_ms: for how long at most.
    :param bytes_per_s: what the sender gets rid of, over all its links; 0 for any amount.
    """

    latency_ms: Milliseconds = _USUAL_LATENCY
    jitter_ms: Milliseconds = _NO_TIME
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    held_ms: Milliseconds = _NO_TIME
    bytes_per_s: int = 0


@dataclass(frozen=True, slots=True)
class _Message:
    """A gossiped payload; ``number`` tells two publications of the same bytes apart."""

    network_id: NetworkId
    topic: Topic
    author: Account
    number: int
    payload: bytes

    @property
    def key(self) -> bytes:
        head = b"|".join([self.network_id, self.topic.value.encode(), self.author])
        return blake2b(head + b"%d|" % self.number + self.payload, digest_size=32).digest()


_Arrival: TypeAlias = "tuple[float, Account, Account, bytes, int, _Message, MemoryNode]"
"""Trio's time, the receiver, the forwarder, the message's key, a number of its own, the message,
and the node at which it arrives if that still runs.
"""


class MemoryNetwork:
    """The hub: every link between nodes, and what is wrong with it.

    :param seed: all loss and jitter follows from it.
    :param link: one model for all links, or a function of sender and receiver.
    :param grain_ms: what is under way arrives at whole multiples of this, never too early; 0: at
        any time. Fewer moments at which something arrives make a simulation faster.
    :param degree: every node chooses so many of its peers by lot; gossip goes to those that it
        chose and to those that chose it. None: to all peers.
    """

    def __init__(
        self,
        seed: int,
        link: LinkModel | Callable[[Account, Account], LinkModel] = LinkModel(),
        degree: int | None = None,
        grain_ms: Milliseconds = _NO_TIME,
    ) -> None:
        self._seed = seed
        self._seed_bytes = b"%d|" % seed
        self._grain_ms = grain_ms
        self._link = link
        self._degree = degree
        self._nodes: dict[Account, MemoryNode] = {}
        self._numbers: dict[Account, int] = {}
        self._cut: set[tuple[Account, Account]] = set()
        self._islands: dict[Account, int] = {}
        self._silenced: frozenset[tuple[Account, Account]] = frozenset()
        self._stalled_until: dict[Account, float] = {}
        self._uplink_free_at: dict[Account, float] = {}
        self._bag: list[_Arrival] = []
        self._posted = 0
        self._is_delivering = False
        self._waiting = trio.CancelScope()
        self._mesh: dict[Account, tuple[Account, ...]] | None = None
        self._lots: dict[tuple[Account, Account], bytes] = {}

    def node(
        self, account: Account, network_id: NetworkId, *, observer: Observer | None = None
    ) -> MemoryNode:
        """A node that is not running yet. A restarted node is a new one with the same account."""
        return MemoryNode(self, account, network_id, observer)

    def set_link(self, link: LinkModel | Callable[[Account, Account], LinkModel]) -> None:
        """Change how links behave, for what is sent from now on."""
        self._link = link

    def cut(self, one: Account, other: Account) -> None:
        """Take away the link between two accounts, whether they run or not."""
        self._cut.add((min(one, other), max(one, other)))
        self._refresh()

    def mend(self, one: Account, other: Account) -> None:
        """Give the link between two accounts back."""
        self._cut.discard((min(one, other), max(one, other)))
        self._refresh()

    def partition(self, islands: Iterable[Collection[Account]]) -> None:
        """Only accounts of one island reach each other; accounts in none form one more."""
        self._islands = {
            account: number for number, island in enumerate(islands, 1) for account in island
        }
        self._refresh()

    def heal(self) -> None:
        """End the partition; links that were cut stay cut."""
        self.partition(())

    def silence(self, pairs: Iterable[tuple[Account, Account]]) -> None:
        """Nothing arrives from the first of a pair at the second, and neither notices: both stay
        connected. Replaces what was silenced before.
        """
        self._silenced = frozenset(pairs)

    def stall(self, account: Account, for_s: float) -> None:
        """A node takes in and sends nothing for so many more seconds, as if its process were
        stopped or waited for its disk; what arrives meanwhile waits.
        """
        since = max(trio.current_time(), self._stalled_until.get(account, 0.0))
        self._stalled_until[account] = since + for_s

    # what nodes use

    async def stalled(self, account: Account) -> None:
        """Return once the account's node is not stalled."""
        # the end may be put off meanwhile
        while self._stalled_until.get(account, 0.0) > trio.current_time():  # noqa: ASYNC110
            await trio.sleep_until(self._stalled_until[account])

    def start(self, node: MemoryNode) -> None:
        """A node runs from now on. Raises RuntimeError when its account runs already."""
        if node.account in self._nodes:
            raise RuntimeError("a node of this account runs already")
        self._nodes[node.account] = node
        self._mesh = None
        if not self._is_delivering:
            trio.lowlevel.spawn_system_task(self._deliver_all)
            self._is_delivering = True
        self._refresh_one(node)
        for account in node.peers():
            self._nodes[account].add_peer(node.account)

    def stop(self, node: MemoryNode) -> None:
        """A node does not run any more."""
        del self._nodes[node.account]
        self._stalled_until.pop(node.account, None)
        self._mesh = None
        for account in node.peers():
            self._nodes[account].remove_peer(node.account)

    def running(self, account: Account) -> MemoryNode | None:
        """The node of the account that runs now."""
        return self._nodes.get(account)

    def post(
        self, at: float, receiver: MemoryNode, forwarder: Account, key: bytes, message: _Message
    ) -> None:
        """A message will arrive at trio's time ``at``, unless the receiver stops before."""
        self._posted += 1
        arrival = at, receiver.account, forwarder, key, self._posted, message, receiver
        heapq.heappush(self._bag, arrival)
        if at < self._waiting.deadline:  # noqa: PLR1730 -- setting it costs more
            # to move the deadline of one who waits costs less than to wake it
            self._waiting.deadline = at

    async def _deliver_all(self) -> None:
        """One task for all nodes: a task for each would have to wake for each message."""
        try:
            while True:
                await self._next_arrival()
                now = trio.current_time()
                while self._bag and self._bag[0][0] <= now:
                    _, account, forwarder, key, _, message, node = heapq.heappop(self._bag)
                    stalled_until = self._stalled_until.get(account, 0.0)
                    if self._nodes.get(account) is not node:
                        continue
                    if stalled_until > now:
                        self.post(stalled_until, node, forwarder, key, message)
                    else:
                        node.receive(forwarder, key, message)
        finally:
            self._is_delivering = False

    async def _next_arrival(self) -> None:
        with trio.CancelScope() as self._waiting:
            self._waiting.deadline = self._bag[0][0] if self._bag else float("inf")
            await trio.sleep_forever()

    def next_number(self, account: Account) -> int:
        """A number that the account never used, also before a restart."""
        self._numbers[account] = self._numbers.get(account, 0) + 1
        return self._numbers[account]

    def arrivals(
        self, sender: Account, receiver: Account, what: bytes, size_bytes: int
    ) -> tuple[float, ...]:
        """Trio's times at which ``what`` arrives: none when it is lost on the way, two when it
        arrives twice.
        """
        link = self._link(sender, receiver) if callable(self._link) else self._link
        left_at = self._left_at(sender, link, size_bytes)
        if (sender, receiver) in self._silenced:
            return ()
        lots = blake2b(self._seed_bytes + sender + receiver + what, digest_size=_LOTS.size)
        is_lost, jitter, is_held, held, is_double = _LOTS.unpack(lots.digest())
        if is_lost < link.loss * _LOT_END:
            return ()
        travel_ms = link.latency_ms + jitter * link.jitter_ms / _LOT_END
        if is_held < link.reordering * _LOT_END:
            travel_ms += held * link.held_ms / _LOT_END
        at = self._whole(left_at + travel_ms / 1000)
        if is_double < link.duplication * _LOT_END:
            return at, self._whole(at + link.latency_ms / 1000)
        return (at,)

    def _whole(self, at: float) -> float:
        """The next whole grain."""
        grain_ms = self._grain_ms
        return math.ceil(at * 1000 / grain_ms) * grain_ms / 1000 if grain_ms else at

    def _left_at(self, sender: Account, link: LinkModel, size_bytes: int) -> float:
        """When the last byte leaves the sender."""
        now = trio.current_time()
        if not link.bytes_per_s:
            return now
        at = max(now, self._uplink_free_at.get(sender, 0.0)) + size_bytes / link.bytes_per_s
        self._uplink_free_at[sender] = at
        return at

    def gossip_peers(self, node: MemoryNode) -> tuple[Account, ...]:
        """Those to whom a node forwards gossip."""
        if self._degree is None:
            return node.peers()
        if self._mesh is None:
            self._mesh = self._woven(self._degree)
        return self._mesh[node.account]

    def _woven(self, degree: int) -> dict[Account, tuple[Account, ...]]:
        """A mesh: a random graph in which each node has chosen so many others is connected with a
        probability near 1 from two on (Fenner and Frieze, Combinatorica 2, 1982).
        """
        links: dict[Account, set[Account]] = {account: set() for account in self._nodes}
        for account, node in self._nodes.items():
            lots = [(self._lot(account, other), other) for other in node.peers()]
            for _, other in heapq.nsmallest(degree, lots):
                links[account].add(other)
                links[other].add(account)
        return {account: tuple(sorted(others)) for account, others in links.items()}

    def _lot(self, one: Account, other: Account) -> bytes:
        """What decides whom a node chooses, for one pair in one direction."""
        lot = self._lots.get((one, other))
        if lot is None:
            name = b"%d|mesh|" % self._seed + one + other
            lot = self._lots[one, other] = blake2b(name, digest_size=8).digest()
        return lot

    def refresh(self) -> None:
        """Work out anew who is connected to whom."""
        self._refresh()

    def _refresh(self) -> None:
        self._mesh = None
        for account in sorted(self._nodes):
            self._refresh_one(self._nodes[account])

    def _refresh_one(self, node: MemoryNode) -> None:
        node.set_peers(
            tuple(other for other in sorted(self._nodes) if self._connected(node, other))
        )

    def _connected(self, node: MemoryNode, other: Account) -> bool:
        one = node.account
        return (
            one != other
            and (min(one, other), max(one, other)) not in self._cut
            and self._islands.get(one, 0) == self._islands.get(other, 0)
            and not node.has_banned(other)
            and not self._nodes[other].has_banned(one)
        )


class MemoryNode:
    """One node; made by :meth:`MemoryNetwork.node`. The methods of the port behave as in
    ``p2p.host``.
    """

    def __init__(
        self,
        hub: MemoryNetwork,
        account: Account,
        network_id: NetworkId,
        observer: Observer | None,
    ) -> None:
        self._hub = hub
        self._account = account
        self._network_id = network_id
        self._registry = Registry(observer)
        self._peers: tuple[Account, ...] = ()
        self._peers_changed = trio.Event()
        self._coming: dict[bytes, float] = {}
        self._later: dict[bytes, list[tuple[float, Account, bytes, _Message]]] = {}
        self._serving: dict[Account, int] = {}

    # the port

    @property
    def account(self) -> Account:
        """The account of this node."""
        return self._account

    def join(self, topic: Topic, judge: Judge) -> None:
        """As in the port. Raises RuntimeError while running, ValueError for the second time."""
        self._registry.join(topic, judge)

    def serve(self, name: str, answer: Answer) -> None:
        """As in the port. Raises RuntimeError while running, ValueError for a bad or used name."""
        self._registry.serve(name, answer)

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """As in the port."""
        checked_payload(payload)
        await self._hub.stalled(self._account)
        number = self._hub.next_number(self._account)
        message = _Message(self._network_id, topic, self._account, number, payload)
        self._seen.add(message.key)
        self._registry.statistics.gossip_published += 1
        self._forward(message, message.key, self._account)
        await trio.lowlevel.checkpoint()

    async def request(
        self, peer: Account, name: str, body: bytes, *, size_max: int, timeout_ms: Milliseconds
    ) -> bytes:
        """As in the port. The error carries a word of ``Failure``."""
        self._registry.statistics.requests_made += 1
        try:
            with trio.fail_after(timeout_ms / 1000):
                return await self._ask(peer, name, body, min(size_max, limits.ANSWER_BYTES_MAX))
        except trio.TooSlowError:
            self._registry.statistics.requests_failed += 1
            raise Failure.TIMEOUT.error() from None
        except RequestFailed:
            self._registry.statistics.requests_failed += 1
            raise

    def peers(self) -> tuple[Account, ...]:
        """As in the port."""
        return self._peers

    def penalise(self, peer: Account, reason: str) -> None:
        """As in the port."""
        self._registry.statistics.penalties += 1
        self._registry.notify("penalised", peer, reason)
        if self._conduct.penalise(peer):
            self._registry.statistics.bans += 1
            self._registry.notify("banned", peer, reason)
            self._nursery.start_soon(self._enforce_ban)

    # beside the port

    def statistics(self) -> Statistics:
        """Counts since the start, as a copy."""
        peers = len(self._peers)
        return replace(self._registry.statistics, peers=peers, addresses_known=peers)

    async def wait_for_peers(self, count: int) -> None:
        """Return once at least ``count`` peers are connected."""
        while len(self._peers) < count:
            await self._peers_changed.wait()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Be on the network until the block is left; a node runs once. To leave is to crash:
        nothing is sent.
        """
        self._registry.start()
        self._conduct = Conduct()
        self._seen = SeenMessages()
        async with ungrouped(), trio.open_nursery() as nursery:
            self._nursery = nursery
            self._hub.start(self)
            try:
                yield
            finally:
                self._hub.stop(self)
                nursery.cancel_scope.cancel()

    # what the hub and other nodes use

    def set_peers(self, peers: tuple[Account, ...]) -> None:
        """The hub says who is connected."""
        if peers == self._peers:
            return
        for account in sorted(set(peers) - set(self._peers)):
            self._registry.notify("connected", account, "")
        for account in sorted(set(self._peers) - set(peers)):
            self._registry.notify("disconnected", account, "")
        self._peers = peers
        self._peers_changed.set()
        self._peers_changed = trio.Event()

    def add_peer(self, account: Account) -> None:
        """Somebody connected."""
        peers = list(self._peers)
        insort(peers, account)
        self.set_peers(tuple(peers))

    def remove_peer(self, account: Account) -> None:
        """Somebody is gone."""
        self.set_peers(tuple(one for one in self._peers if one != account))

    def has_banned(self, account: Account) -> bool:
        """Whether this node refuses ``account``."""
        return self._conduct.is_banned(account)

    def listens_to(self, message: _Message) -> bool:
        """Whether the message's topic was joined here."""
        return message.network_id == self._network_id and message.topic in self._registry.judges

    def deliver(self, at: float, forwarder: Account, key: bytes, message: _Message) -> None:
        """A message will arrive at trio's time ``at``.

        A copy that comes after another one changes nothing, unless that one is lost with its link.
        """
        if self._coming.get(key, float("inf")) <= at:
            self._later.setdefault(key, []).append((at, forwarder, key, message))
            return
        self._coming[key] = at
        self._hub.post(at, self, forwarder, key, message)

    def knows(self, key: bytes) -> bool:
        """Whether the message was judged here."""
        return self._seen.has(key)

    def answers(self, name: str, network_id: NetworkId) -> bool:
        """Whether requests of this name are served here."""
        return network_id == self._network_id and name in self._registry.answers

    def start_answering(self, asked: _Asked) -> None:
        """Answer a request in a task of this node: it ends when the node does."""
        self._nursery.start_soon(self._answer, asked)

    # gossip

    def _forward(self, message: _Message, key: bytes, source: Account) -> None:
        size_bytes = len(message.payload)
        for account in self._hub.gossip_peers(self):
            if account in (source, message.author):
                continue
            receiver = self._hub.running(account)
            if receiver is None or not receiver.listens_to(message):
                continue
            if receiver.knows(key):
                receiver.count_copies(1)
                continue
            for at in self._hub.arrivals(self._account, account, key, size_bytes):
                receiver.deliver(at, self._account, key, message)

    def receive(self, forwarder: Account, key: bytes, message: _Message) -> None:
        """A message arrives."""
        self._coming.pop(key, None)
        later = self._later.pop(key, [])
        # what was under way when a link was lost is lost with it
        if forwarder not in self._peers or message.author == self._account:
            for arrival in later:
                self.deliver(*arrival)
            return
        self.count_copies(len(later))
        if not self._seen.add(key):
            self.count_copies(1)
            return
        verdict = self._registry.judge(message.topic, forwarder, message.payload)
        if verdict is Verdict.REJECT:
            self.penalise(forwarder, f"rejected {message.topic.value}")
        if verdict is Verdict.ACCEPT:
            self._forward(message, key, forwarder)

    def count_copies(self, count: int) -> None:
        """So many copies of what was judged arrived, or would have."""
        self._registry.statistics.gossip_duplicates += count

    async def _enforce_ban(self) -> None:
        self._hub.refresh()
        await trio.sleep(limits.BAN_S)
        self._hub.refresh()

    # requests

    async def _ask(self, peer: Account, name: str, body: bytes, size_max: int) -> bytes:
        if len(body) > limits.REQUEST_BYTES_MAX:
            raise Failure.TOO_LARGE.error()
        await self._hub.stalled(self._account)
        asked = _Asked(self._account, name, body, self._hub.next_number(self._account))
        await self._travel(self._account, peer, asked, len(body))
        answering = self._reachable(peer)
        if not answering.answers(name, self._network_id):
            raise Failure.UNKNOWN_NAME.error()
        answering.start_answering(asked)
        await asked.done.wait()
        outcome = asked.outcome
        size_bytes = 0 if isinstance(outcome, Failure) else len(outcome)
        await self._travel(peer, self._account, asked, size_bytes)
        await self._hub.stalled(self._account)
        self._reachable(peer)
        if isinstance(outcome, Failure):
            raise outcome.error()
        if len(outcome) > size_max:
            raise Failure.TOO_LARGE.error()
        return outcome

    def _reachable(self, peer: Account) -> MemoryNode:
        node = self._hub.running(peer)
        if node is None or peer not in self._peers:
            raise Failure.UNREACHABLE.error()
        return node

    async def _travel(
        self, sender: Account, receiver: Account, asked: _Asked, size_bytes: int
    ) -> None:
        self._reachable(receiver if sender == self._account else sender)
        what = b"request %d " % asked.number + asked.name.encode()
        arrivals = self._hub.arrivals(sender, receiver, what, size_bytes)
        await trio.sleep_until(arrivals[0] if arrivals else float("inf"))

    async def _answer(self, asked: _Asked) -> None:
        serving = self._serving.get(asked.asker, 0)
        if serving >= limits.REQUESTS_AT_ONCE_MAX:
            self._registry.statistics.requests_refused += 1
            self._registry.notify("busy", asked.asker, asked.name)
            asked.finish(Failure.BUSY)
            return
        self._serving[asked.asker] = serving + 1
        try:
            await self._hub.stalled(self._account)
            with trio.move_on_after(limits.REQUEST_SERVE_S):
                asked.finish(await self._outcome(asked))
        finally:
            self._serving[asked.asker] -= 1
            asked.finish(Failure.BROKEN)

    async def _outcome(self, asked: _Asked) -> bytes | Failure:
        answered, answer = await self._registry.answer(asked.name, asked.asker, asked.body)
        if not answered:
            return Failure.FAILED
        if answer is None:
            return Failure.NOT_FOUND
        if len(answer) > limits.ANSWER_BYTES_MAX:
            return Failure.TOO_LARGE
        self._registry.statistics.requests_answered += 1
        return answer


class _Asked:
    """A request under way: who asks what, and what came of it."""

    def __init__(self, asker: Account, name: str, body: bytes, number: int) -> None:
        self.asker = asker
        self.name = name
        self.body = body
        self.number = number
        self.done = trio.Event()
        self.outcome: bytes | Failure = Failure.BROKEN

    def finish(self, outcome: bytes | Failure) -> None:
        """Note the outcome; the first counts."""
        if not self.done.is_set():
            self.outcome = outcome
            self.done.set()

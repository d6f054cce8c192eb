"""``protocol.ports.Network`` over py-libp2p: TCP, Noise, Yamux, GossipSub v1.1, every option set
here.

A node is built, told what it listens to, and then run::

    network = LibP2PNetwork(seed, network_id, listen=("127.0.0.1", 0), book=AddressBook())
    network.join(Topic.BIDS, judge)
    network.serve("proof", answer)
    async with network.run():
        await network.publish(Topic.BIDS, b"...")

**Properties.** A peer is who Noise says it is; only Ed25519 identities are admitted. What a peer
sends can end its own stream or connection, never the process (``guards``, ``gossip``,
``exchange``). Memory per peer is bounded (``limits``).
Services start before the listener and stop after it: the library fails on a stream that comes too
early.
"""

from __future__ import annotations

import contextlib
import ipaddress
import random
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.network.config import ConnectionConfig
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.rcmgr import Direction
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE, Transport as NoiseTransport
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from p2p import guards, limits
from p2p.conduct import Conduct
from p2p.exchange import Exchange
from p2p.failures import Failure
from p2p.gossip import GuardedPubsub
from p2p.identity import account_of, peer_id_of
from p2p.liveness import PING_REQUEST, Liveness, answer_ping
from p2p.peers import ADDRESSES_REQUEST, Address, AddressBook, Keeper, every
from p2p.rates import TokenBucket
from p2p.registry import Observer, Registry, Statistics, checked_payload, log, ungrouped
from protocol.ports import Answer, Judge, RequestFailed, Topic
from protocol.types import Account, Milliseconds, NetworkId


class LibP2PNetwork:
    """One node of a network.

    :param identity_seed: 32 bytes, the Ed25519 seed of the account.
    :param network_id: other networks' gossip and requests have other names on the wire.
    :param listen: IP address and TCP port; port 0 lets the system choose.
    :param book: whom to connect to, and where; it grows while the node runs.
    :param observer: told of connections, faults and bans.
    :param discover: whether addresses are exchanged with peers.
    """

    def __init__(
        self,
        identity_seed: bytes,
        network_id: NetworkId,
        listen: tuple[str, int],
        book: AddressBook,
        *,
        observer: Observer | None = None,
        discover: bool = True,
    ) -> None:
        guards.patch_library()
        self._keys = create_new_key_pair(identity_seed)
        self._account = Account(self._keys.public_key.to_bytes())
        self._network_id = network_id
        self._listen = listen
        self._book = book
        self._discover = discover
        self._registry = Registry(observer)
        self._peers_changed = trio.Event()
        self._connected: frozenset[Account] = frozenset()

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
        if name in (ADDRESSES_REQUEST, PING_REQUEST):
            raise ValueError(f"requests named {name} are the network's own")
        self._registry.serve(name, answer)

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """As in the port."""
        await self._pubsub.publish_payload(topic, checked_payload(payload))
        self._registry.statistics.gossip_published += 1

    async def request(
        self, peer: Account, name: str, body: bytes, *, size_max: int, timeout_ms: Milliseconds
    ) -> bytes:
        """As in the port; a known peer is dialled first. The error carries a word of
        ``Failure``.
        """
        self._registry.statistics.requests_made += 1
        started = trio.current_time()
        try:
            with trio.fail_after(timeout_ms / 1000):
                await self._ensure_connected(peer)
            left_ms = max(0, timeout_ms - int(1000 * (trio.current_time() - started)))
            return await self._exchange.request(
                peer, name, body, size_max=size_max, timeout_ms=Milliseconds(left_ms)
            )
        except (RequestFailed, trio.TooSlowError) as error:
            self._registry.statistics.requests_failed += 1
            if isinstance(error, RequestFailed):
                raise
            raise Failure.UNREACHABLE.error() from None

    def peers(self) -> tuple[Account, ...]:
        """As in the port."""
        return tuple(sorted(self._live()))

    def penalise(self, peer: Account, reason: str) -> None:
        """As in the port."""
        self._penalise(peer, reason, limits.PENALTY_POINTS)

    # beside the port

    def addresses(self) -> tuple[Address, ...]:
        """Where this node listens; only while it runs."""
        host, kind = self._listen[0], "ip6" if ":" in self._listen[0] else "ip4"
        ports = sorted(
            {int(a.value_for_protocol("tcp") or 0) for a in self._host.get_transport_addrs()}
        )
        return tuple(Address(kind, host, port, self._account) for port in ports)

    def add_address(self, address: Address) -> None:
        """Connect to this account from now on; it is never forgotten."""
        self._book.add(address, bootstrap=True)

    def hear_of(self, address: Address) -> None:
        """Note an address that somebody told of, as if a peer had; only while this runs."""
        self._keeper.note(address)

    def statistics(self) -> Statistics:
        """Counts since the start, as a copy."""
        peers = len(self._live())
        return replace(self._registry.statistics, peers=peers, addresses_known=len(self._book))

    def sizes(self) -> dict[str, limits.Size]:
        """Entries of what the network keeps in memory, by name; only while it runs."""
        return {
            "peers": limits.Size(len(self._live()), limits.CONNECTIONS_MAX),
            "addresses": limits.Size(len(self._book), limits.ADDRESSES_MAX),
            "seen_gossip": limits.Size(
                self._pubsub.seen_messages.length(), limits.SEEN_MESSAGES_MAX
            ),
            "streams": limits.Size(
                self._streams.open, limits.CONNECTIONS_MAX * limits.STREAMS_PER_PEER_MAX
            ),
            "bytes_in_flight": limits.Size(
                self._exchange.bytes_in_flight, limits.EXCHANGE_BYTES_IN_FLIGHT_MAX
            ),
            "peers_remembered": limits.Size(
                sum(len(memory.accounts()) for memory in self._memories())
            ),
            "misconduct": limits.Size(len(self._conduct), limits.CONDUCT_ACCOUNTS_MAX),
        }

    async def wait_for_peers(self, count: int) -> None:
        """Return once at least ``count`` peers are connected and hear our gossip."""
        while len(self._connected) < count:
            await self._peers_changed.wait()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Listen, connect, and serve until the block is left; a node runs once.

        Raises OSError when the address cannot be listened on.
        """
        assert_free(*self._listen)
        self._registry.start()
        self._build()
        async with ungrouped(), AsyncExitStack() as stack:
            # services first, the listener last, and its nursery inside: see the module's text
            await stack.enter_async_context(background_trio_service(self._pubsub.mesh))
            await stack.enter_async_context(background_trio_service(self._pubsub))
            await self._pubsub.wait_until_ready()
            await self._pubsub.subscribe_all()
            await stack.enter_async_context(self._listening())
            self._nursery = await stack.enter_async_context(trio.open_nursery())
            stack.callback(self._nursery.cancel_scope.cancel)
            self._nursery.start_soon(self._keeper.run)
            self._nursery.start_soon(self._pubsub.keep_announcing)
            self._nursery.start_soon(self._liveness.run)
            self._nursery.start_soon(every, limits.TIDY_S, self._tidy)
            yield

    # building

    def _build(self) -> None:
        self._host = _new_host(self._keys, _multiaddr(*self._listen))
        self._conduct = Conduct()
        self._log_rate = TokenBucket(limits.LOG_LINES_PER_S, limits.LOG_LINES_BURST)
        self._streams = guards.StreamGuard(self._host, self._stream_failed)
        guards.close_unused_doors(self._host)
        guards.release_inbound_slots(self._host)
        guards.admit(self._host, self._admissible)
        self._keeper = Keeper(
            self,
            self._book,
            self._conduct,
            own=lambda: list(self.addresses()),
            remote_ip=self._remote_ip,
            loopback=ipaddress.ip_address(self._listen[0]).is_loopback,
            discover=self._discover,
            entropy=random.SystemRandom(),
        )
        self._registry.answers[PING_REQUEST] = answer_ping
        if self._discover:
            self._registry.answers[ADDRESSES_REQUEST] = self._keeper.answer
        self._pubsub = GuardedPubsub(
            self._host, self._network_id, self._registry, self._penalise, self._note_changes
        )
        self._exchange = Exchange(self._host, self._network_id, self._registry)
        self._liveness = Liveness(self.peers, self._exchange.request, self._close_dead)

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        async with self._host.run([_multiaddr(*self._listen)]):
            try:
                if not self._host.get_transport_addrs():
                    raise OSError(f"cannot listen on {self._listen[0]}:{self._listen[1]}")
                yield
            finally:
                # leaving the library's block leaves the port open
                with trio.CancelScope(shield=True), trio.move_on_after(5):
                    await self._host.close()

    # connections

    async def dial(self, address: Address) -> None:
        """Connect to an address. Raises what the library raises."""
        peer_id = ID(peer_id_of(address.account))
        # one failed dial blocks the next for a minute
        self._host.get_network().unblock_peer(peer_id)
        targets = [Multiaddr(text) for text in await _transports(address)]
        await self._host.connect(PeerInfo(peer_id, targets))

    async def _ensure_connected(self, peer: Account) -> None:
        if peer in self._live():
            return
        try:
            await self._keeper.connect(peer)
        except OSError:
            raise Failure.UNREACHABLE.error() from None

    def _connections(self) -> dict[Account, list[Any]]:
        connections = self._host.get_network().get_connections_map()
        return {account_of(peer_id.to_bytes()): live for peer_id, live in connections.items()}

    def _live(self) -> set[Account]:
        return {account for account, live in self._connections().items() if live}

    def chosen(self) -> tuple[Account, ...]:
        """Connected peers to whom we went ourselves, sorted."""
        connections = self._connections().items()
        return tuple(sorted(account for account, live in connections if any(map(_is_ours, live))))

    def _admissible(self, account: Account, is_inbound: bool) -> bool:
        already, chosen = self._connections().get(account, []), len(self.chosen())
        came = len(self._live()) - chosen
        has_room = came < limits.PEERS_INBOUND_MAX if is_inbound else chosen < limits.PEERS_MAX
        admitted = (
            account != self._account
            and not self._conduct.is_banned(account)
            and len(already) < limits.CONNECTIONS_PER_PEER_MAX
            and (bool(already) or has_room)
        )
        self._registry.statistics.connections_refused += not admitted
        return admitted

    def _remote_ip(self, account: Account) -> str | None:
        for connection in self._host.get_network().get_connections(ID(peer_id_of(account))):
            remote = connection.muxed_conn.get_remote_address()
            if remote is not None:
                return str(remote[0])
        return None

    def _note_changes(self) -> None:
        hearing = {account_of(peer_id.to_bytes()) for peer_id in self._pubsub.peers}
        connected = frozenset(self._live() & hearing)
        if connected == self._connected:
            return
        for account in sorted(connected - self._connected):
            self._book.succeeded(account)
            self._registry.notify("connected", account, "")
        for account in sorted(self._connected - connected):
            self._registry.notify("disconnected", account, "")
        self._connected = connected
        self._peers_changed.set()
        self._peers_changed = trio.Event()

    def _tidy(self) -> None:
        live = self._live() | {self._account}
        known = live | set(self._book.accounts())
        for memory in self._memories():
            for account in memory.accounts():
                if account not in live:
                    memory.forget(account)
        guards.forget_strangers(self._host, lambda peer_id: account_or_none(peer_id) in known)

    def _memories(self) -> tuple[guards.StreamGuard, Exchange, GuardedPubsub, Liveness]:
        """Everything that remembers peers while they are connected."""
        return self._streams, self._exchange, self._pubsub, self._liveness

    # faults

    def _penalise(self, account: Account, reason: str, points: float) -> None:
        self._registry.statistics.penalties += 1
        self._registry.notify("penalised", account, reason)
        if self._log_rate.take():
            log.info("peer %s: %s", account.hex()[:8], reason)
        if self._conduct.penalise(account, points):
            self._registry.statistics.bans += 1
            self._registry.notify("banned", account, reason)
            self._nursery.start_soon(self._disconnect, account)

    async def _close_dead(self, account: Account) -> None:
        self._registry.statistics.peers_silent += 1
        self._registry.notify("silent", account, "")
        await self._disconnect(account)

    async def _disconnect(self, account: Account) -> None:
        try:
            await self._host.disconnect(ID(peer_id_of(account)))
        except Exception as error:  # noqa: BLE001 -- it is gone already
            log.debug("a disconnection failed: %r", error)

    def _stream_failed(self, account: Account, error: Exception) -> None:
        self._registry.statistics.streams_failed += 1
        if self._log_rate.take():
            log.debug("a stream of %s failed: %r", account.hex()[:8], error)


def _is_ours(connection: Any) -> bool:
    """Whether we dialled: the library knows it of every connection."""
    return bool(connection.direction is Direction.OUTBOUND)


def _new_host(keys: Any, listen: Multiaddr) -> Any:
    return new_host(
        key_pair=keys,
        listen_addrs=[listen],
        muxer_preference="YAMUX",
        # the default also offers plaintext, where anybody can be anybody
        sec_opt={NOISE: NoiseTransport(keys, noise_privkey=create_noise_key_pair().private_key)},
        disable_identify_address_discovery=True,
        negotiate_timeout=limits.NEGOTIATION_S,
        connection_config=ConnectionConfig(
            min_connections=0,
            low_watermark=0,
            high_watermark=limits.CONNECTIONS_MAX,
            max_connections=limits.CONNECTIONS_MAX,
            max_connections_per_peer=limits.CONNECTIONS_PER_PEER_MAX,
            dial_timeout=limits.DIAL_S,
            inbound_upgrade_timeout=limits.HANDSHAKE_S,
            outbound_upgrade_timeout=limits.HANDSHAKE_S,
            inbound_stream_protocol_negotiation_timeout=limits.NEGOTIATION_S,
            outbound_stream_protocol_negotiation_timeout=limits.NEGOTIATION_S,
        ),
    )


def _multiaddr(host: str, port: int) -> Multiaddr:
    return Multiaddr(f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}")


def assert_free(host: str, port: int) -> None:
    """Raises OSError when the address cannot be listened on: it is taken, or not this machine's."""
    # The library's listener shares its port with whoever asks: two nodes would split the
    # connections.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


async def _transports(address: Address) -> Sequence[str]:
    """The address's transport with its host as IP addresses. Raises OSError when a name is
    unknown.
    """
    if address.ip is not None:
        return [address.transport]
    found = await trio.socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    ips = {str(entry[4][0]) for entry in found}
    return [f"/{'ip6' if ':' in ip else 'ip4'}/{ip}/tcp/{address.port}" for ip in sorted(ips)]


def account_or_none(peer_id: ID) -> Account | None:
    """The account of a peer id of the library, or None when it is not one."""
    try:
        return account_of(peer_id.to_bytes())
    except ValueError:
        return None

"""What py-libp2p 0.8.1 needs before it may face strangers: every patch for safety, in one place.
Those that only spare CPU are in ``thrift``.

**The problem.** In the pinned version an unexpected exception in any inbound stream ends the
process, inbound slots are never given back, flow control is not enforced, answers to our questions
are read in trio's system tasks, and several books grow for ever. Each function closes one of these
and says which.

**Rules.** Patches are applied to one host, before it listens; the two that must replace library
classes (:func:`patch_library`) are idempotent. No patch changes what goes over the wire in a way
the specification forbids.
After raising the library's version, run ``tests/attacks`` and remove what has become needless.
"""

# ruff: noqa: SLF001, BLE001, ARG005 -- patches reach into the library and contain what it raises

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from libp2p.host.ping import ID as PING_ID
from libp2p.identity.identify_push.identify_push import ID_PUSH
from libp2p.io.exceptions import ConnectionClosedError, IncompleteReadError
from libp2p.network.exceptions import SwarmException
from libp2p.pubsub import gossipsub, pubsub
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

from p2p import limits, thrift
from p2p.identity import account_of
from p2p.outbox import Outbox
from p2p.rates import TokenBucket
from p2p.thrift import replace_part
from protocol.types import Account


class _Once:
    done = False


def patch_library() -> None:
    """Replace the parts of the library that cannot be patched on one object. Idempotent."""
    if _Once.done:
        return
    _Once.done = True
    _quiet_logging()
    thrift.spare_cpu()
    _bound_unread_bytes()
    _no_peer_record_in_rpc()
    _bound_resets()
    replace_part(pubsub, "RpcQueue", Outbox)


def _quiet_logging() -> None:
    # The library logs what peers do at WARNING and ERROR, with tracebacks: a peer could fill the
    # disk. Our guards log what matters, at a bounded rate.
    for name in ("libp2p", "multiaddr"):
        logger = logging.getLogger(name)
        logger.propagate = True
        logger.setLevel(logging.CRITICAL)


def _bound_unread_bytes() -> None:
    # A peer that ignores flow control is only logged and its bytes are kept (300 MiB were). Close
    # instead.
    original = Yamux._read_data_body

    async def bounded(self: Any, length: int) -> bytes:
        unread = sum(len(buffer) for buffer in self.stream_buffers.values())
        if unread + length > limits.UNREAD_BYTES_MAX:
            self.event_shutting_down.set()
            await self._cleanup_on_error()
            raise IncompleteReadError("the peer ignores flow control")
        return await original(self, length)

    replace_part(Yamux, "_read_data_body", bounded)


def _bound_resets() -> None:
    # The library resets streams under a shield: with a peer that reads nothing it would wait for
    # ever, and whoever cancels it, too.
    original = YamuxStream.reset

    async def reset(self: YamuxStream) -> None:
        with trio.move_on_after(limits.STREAM_RESET_S) as scope:
            await original(self)
        if scope.cancelled_caught:
            await self.conn._finalize_stream(self, fully_closed=True)

    replace_part(YamuxStream, "reset", reset)


def _no_peer_record_in_rpc() -> None:
    # A signed record in every frame costs a signature check each, and reading it is one more parser
    # for strangers. We exchange addresses ourselves; other implementations ignore the field.
    for module in (pubsub, gossipsub):
        replace_part(module, "env_to_send_in_RPC", lambda host: (b"", False))
        replace_part(module, "maybe_consume_signed_record", lambda rpc, host, peer: True)


def close_unused_doors(host: Any) -> None:
    """Nothing of ours asks ``identify``, takes pushes of it, or answers pings.

    The library asks every peer in a *system* task: an exception there ends trio. We still answer
    ``identify``, which reads nothing, for other implementations' sake. The auto-connector dials
    whatever it hears of; we have a keeper.
    """
    host._schedule_identify = lambda peer_id, *, reason: None
    host.remove_stream_handler(ID_PUSH)
    host.remove_stream_handler(PING_ID)

    async def nothing() -> None:
        return None

    swarm = host.get_network()
    swarm.auto_connector.maybe_connect = nothing
    # it keeps everybody who ever left, and would forget them only when it dials
    swarm.auto_connector.record_disconnect = lambda peer_id: None
    # Its global counts let one peer use up everybody's streams, and leak; ours are per peer.
    swarm.set_resource_manager(None)


def release_inbound_slots(host: Any) -> None:
    """Give the slot of an inbound connection back when it closes.

    The library keeps it, and a task, until it stops: after 250 connections in its life a node is
    deaf.
    """
    swarm = host.get_network()
    original = swarm.upgrade_inbound_raw_conn

    async def upgrade_then_wait(raw: Any, address: Any) -> None:
        connection = await original(raw, address)
        await connection.event_closed.wait()
        raise ConnectionClosedError("inbound connection closed", transport="tcp")

    swarm.upgrade_inbound_raw_conn = upgrade_then_wait


def admit(host: Any, admissible: Callable[[Account, bool], bool]) -> None:
    """Refuse connections at the one place where every authenticated one passes.

    :param admissible: given the account, and whether it came to us.
    """
    swarm = host.get_network()
    original = swarm.add_conn

    async def add_admissible(connection: Any, direction: str = "unknown") -> Any:
        try:
            account = account_of(connection.peer_id.to_bytes())
            admitted = admissible(account, direction != "outbound")
        except ValueError:
            admitted = False
        if not admitted:
            await _close_quietly(connection.close)
            raise SwarmException("the connection is not admitted")
        connection.start = _contained(connection.start, connection.close)
        return await original(connection, direction=direction)

    swarm.add_conn = add_admissible


def _contained(start: Callable[[], Awaitable[None]], close: Callable[[], Awaitable[None]]) -> Any:
    # The muxer runs in the swarm's nursery: what it raises would end the host.
    async def contained() -> None:
        try:
            await start()
        except Exception:
            await _close_quietly(close)

    return contained


class StreamGuard:
    """Stands before every inbound stream: counts them per peer, contains what they raise.

    An exception in a stream's handler, the negotiation of its protocol included, ends the library's
    host.

    :param failed: told of every stream that ended in an exception.
    """

    def __init__(self, host: Any, failed: Callable[[Account, Exception], None]) -> None:
        self._open: dict[Account, int] = {}
        self._rates: dict[Account, TokenBucket] = {}
        self._failed = failed
        swarm = host.get_network()
        self._handle = swarm.common_stream_handler
        swarm.set_stream_handler(self._guarded)

    @property
    def open(self) -> int:
        """Streams that peers have open to us."""
        return sum(self._open.values())

    def accounts(self) -> list[Account]:
        """Peers that opened streams."""
        return list(self._rates)

    def forget(self, account: Account) -> None:
        """Drop the rate of a peer that is gone."""
        if account not in self._open:
            self._rates.pop(account, None)

    async def _guarded(self, stream: Any) -> None:
        account = account_of(stream.muxed_conn.peer_id.to_bytes())
        if not self._enter(account):
            await reset_quietly(stream)
            return
        try:
            await self._handle(stream)
        except Exception as error:
            self._failed(account, error)
            await reset_quietly(stream)
        finally:
            self._leave(account)

    def _enter(self, account: Account) -> bool:
        if account not in self._rates:
            self._rates[account] = TokenBucket(limits.STREAMS_PER_S, limits.STREAMS_BURST)
        if self._open.get(account, 0) >= limits.STREAMS_PER_PEER_MAX:
            return False
        if not self._rates[account].take():
            return False
        self._open[account] = self._open.get(account, 0) + 1
        return True

    def _leave(self, account: Account) -> None:
        self._open[account] -= 1
        if not self._open[account]:
            del self._open[account]


def forget_strangers(host: Any, keep: Callable[[Any], bool]) -> None:
    """Drop the peerstore's records of peers that are gone; the library keeps them for ever."""
    records = host.get_peerstore().peer_data_map
    for peer_id in [peer_id for peer_id in records if not keep(peer_id)]:
        del records[peer_id]


async def reset_quietly(stream: Any) -> None:
    """Reset a stream, whatever state it is in, also while being cancelled."""
    await _close_quietly(stream.reset)


async def _close_quietly(close: Callable[[], Awaitable[None]]) -> None:
    with trio.CancelScope(shield=True), trio.move_on_after(limits.STREAM_RESET_S):
        try:
            await close()
        except Exception:  # the other side is gone: nothing is left to tell it
            return

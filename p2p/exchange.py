"""Named requests and answers, one stream each.

**On the wire.** Protocol id ``/provnet/1/<first 16 hex of the network id>/<name>``. The asker sends
a length of four bytes, big-endian, and the body; the other side sends a status byte and, when that
is ``ANSWERED``, a length and a body.

**Rules.** A length is checked before a byte of the body is read. Both sides have deadlines. One
peer has bounded requests at once, a bounded rate and bounded bytes in flight; over a limit the
answer is ``BUSY``, and nobody waits in a queue of ours. A stream that did not end well is reset,
also while being cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import trio
from libp2p.custom_types import TProtocol
from libp2p.host.exceptions import StreamFailure
from libp2p.peer.id import ID

from p2p import guards, limits
from p2p.failures import Failure
from p2p.framing import ByteReader, Ended, Malformed
from p2p.identity import account_of, peer_id_of
from p2p.rates import TokenBucket
from p2p.registry import Registry, log
from protocol.ports import RequestFailed
from protocol.types import Account, Milliseconds, NetworkId

_LENGTH_BYTES: Final = 4


class Status(IntEnum):
    """First byte of every answer."""

    ANSWERED = 0
    NOT_FOUND = 1
    BUSY = 2
    FAILED = 3
    TOO_LARGE = 4


_FAILURES: Final = {
    Status.NOT_FOUND: Failure.NOT_FOUND,
    Status.BUSY: Failure.BUSY,
    Status.FAILED: Failure.FAILED,
    Status.TOO_LARGE: Failure.TOO_LARGE,
}


class Busy(Exception):
    """A peer asks for more than a limit allows."""


def wire_protocol(network_id: NetworkId, name: str) -> TProtocol:
    """The protocol id of requests named ``name``."""
    return TProtocol(f"/provnet/1/{network_id.hex()[:16]}/{name}")


@dataclass(slots=True)
class _PeerUse:
    """What one peer's requests occupy now."""

    rate: TokenBucket = field(
        default_factory=lambda: TokenBucket(limits.REQUESTS_PER_S, limits.REQUESTS_BURST)
    )
    requests: int = 0
    bytes: int = 0


class Exchange:
    """Both sides of requests on one libp2p host."""

    def __init__(self, host: Any, network_id: NetworkId, registry: Registry) -> None:
        self._host = host
        self._network_id = network_id
        self._registry = registry
        self._uses: dict[Account, _PeerUse] = {}
        self._bytes_in_flight = 0
        for name in registry.answers:
            host.set_stream_handler(wire_protocol(network_id, name), self._handler(name))

    @property
    def bytes_in_flight(self) -> int:
        """Bytes of requests and answers held while they are served."""
        return self._bytes_in_flight

    def accounts(self) -> list[Account]:
        """Peers that asked something."""
        return list(self._uses)

    def forget(self, account: Account) -> None:
        """Drop the rate of a peer that is gone and occupies nothing."""
        use = self._uses.get(account)
        if use is not None and not use.requests:
            del self._uses[account]

    # asking

    async def request(
        self, peer: Account, name: str, body: bytes, *, size_max: int, timeout_ms: Milliseconds
    ) -> bytes:
        """Ask one connected peer. Raises RequestFailed with a word of ``Failure``."""
        if len(body) > limits.REQUEST_BYTES_MAX:
            raise Failure.TOO_LARGE.error()
        try:
            with trio.fail_after(timeout_ms / 1000):
                return await self._ask(peer, name, body, min(size_max, limits.ANSWER_BYTES_MAX))
        except trio.TooSlowError:
            raise Failure.TIMEOUT.error() from None

    async def _ask(self, peer: Account, name: str, body: bytes, size_max: int) -> bytes:
        stream = await self._open(peer, name)
        finished = False
        try:
            await stream.write(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
            answer = await _read_answer(ByteReader(stream), size_max)
            await stream.close()
            finished = True
        except RequestFailed:
            raise
        except Exception as error:  # noqa: BLE001 -- the library raises many types
            log.debug("a request named %s broke: %r", name, error)
            raise Failure.BROKEN.error() from None
        finally:
            if not finished:
                await guards.reset_quietly(stream)
        return answer

    async def _open(self, peer: Account, name: str) -> Any:
        try:
            protocol = wire_protocol(self._network_id, name)
            return await self._host.new_stream(ID(peer_id_of(peer)), [protocol])
        except StreamFailure as error:
            # the library says in words only whether the name or the conversation failed
            unknown = "not supported" in str(error.__cause__)
            raise (Failure.UNKNOWN_NAME if unknown else Failure.BROKEN).error() from None
        except Exception:  # noqa: BLE001 -- no connection, or it broke meanwhile
            raise Failure.UNREACHABLE.error() from None

    # answering

    def _handler(self, name: str) -> Callable[[Any], Any]:
        async def handle(stream: Any) -> None:
            peer = account_of(stream.muxed_conn.peer_id.to_bytes())
            with trio.move_on_after(limits.REQUEST_SERVE_S):
                try:
                    await self._serve(stream, name, peer)
                    await stream.close()
                    return
                except (Malformed, Ended) as error:
                    log.debug("a request named %s was unreadable: %r", name, error)
            await guards.reset_quietly(stream)

        return handle

    async def _serve(self, stream: Any, name: str, peer: Account) -> None:
        try:
            with self._place(peer) as use:
                await self._serve_admitted(stream, name, peer, use)
        except Busy:
            self._registry.statistics.requests_refused += 1
            self._registry.notify("busy", peer, name)
            await stream.write(bytes([Status.BUSY]))

    async def _serve_admitted(self, stream: Any, name: str, peer: Account, use: _PeerUse) -> None:
        reader = ByteReader(stream)
        with trio.fail_after(limits.REQUEST_READ_S):
            length = int.from_bytes(await reader.exactly(_LENGTH_BYTES), "big")
            if length > limits.REQUEST_BYTES_MAX:
                await stream.write(bytes([Status.TOO_LARGE]))
                return
            with self._held(use, length):
                body = await reader.exactly(length)
        with self._held(use, length):
            answered, answer = await self._registry.answer(name, peer, body)
        status = _status(answered, answer)
        if answer is None or status is not Status.ANSWERED:
            await stream.write(bytes([status]))
            return
        with self._held(use, len(answer)):
            header = bytes([status]) + len(answer).to_bytes(_LENGTH_BYTES, "big")
            await stream.write(header + answer)
        self._registry.statistics.requests_answered += 1

    @contextmanager
    def _place(self, peer: Account) -> Iterator[_PeerUse]:
        """A place among the peer's requests. Raises :class:`Busy`."""
        use = self._uses.setdefault(peer, _PeerUse())
        if use.requests >= limits.REQUESTS_AT_ONCE_MAX or not use.rate.take():
            raise Busy
        use.requests += 1
        try:
            yield use
        finally:
            use.requests -= 1

    @contextmanager
    def _held(self, use: _PeerUse, size: int) -> Iterator[None]:
        """Room for ``size`` bytes. Raises :class:`Busy`."""
        if use.bytes + size > limits.EXCHANGE_PEER_BYTES_IN_FLIGHT_MAX:
            raise Busy
        if self._bytes_in_flight + size > limits.EXCHANGE_BYTES_IN_FLIGHT_MAX:
            raise Busy
        use.bytes += size
        self._bytes_in_flight += size
        try:
            yield
        finally:
            use.bytes -= size
            self._bytes_in_flight -= size


def _status(answered: bool, answer: bytes | None) -> Status:
    if not answered:
        return Status.FAILED
    if answer is None:
        return Status.NOT_FOUND
    return Status.ANSWERED if len(answer) <= limits.ANSWER_BYTES_MAX else Status.TOO_LARGE


async def _read_answer(reader: ByteReader, size_max: int) -> bytes:
    """The body of the answer. Raises RequestFailed, :class:`Ended`."""
    (status,) = await reader.exactly(1)
    if status != Status.ANSWERED:
        try:
            raise _FAILURES[Status(status)].error()
        except ValueError:
            raise Failure.BROKEN.error() from None
    length = int.from_bytes(await reader.exactly(_LENGTH_BYTES), "big")
    if length > size_max:
        raise Failure.TOO_LARGE.error()
    return await reader.exactly(length)

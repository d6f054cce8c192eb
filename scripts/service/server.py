"""Serves an ASGI application on the node's own loop: hypercorn over sockets that are bounded.

**The problem.** Hypercorn shields what it sends from cancellation: a client that stops reading
would hold its connection for ever, and keep the node from stopping. Its listener takes any number
of connections.

**Rules.** At most :data:`CONNECTIONS_MAX` connections; one more is told so in a word and closed. A
client that does not take what it is sent within :data:`SEND_S` is cut off. A head must arrive, and
an idle connection must be used again, within :data:`IDLE_S`. When the node stops, sockets are
closed first. Whatever goes wrong in a connection is logged and ends that connection only.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app
from starlette.types import ASGIApp

from scripts.records import plain
from scripts.service.values import Refusal, fault

CONNECTIONS_MAX: Final = 64
"""Connections at a time; a browser opens six."""

STREAMS_MAX: Final = 16
"""Requests at a time on one connection of HTTP/2."""

SEND_S: Final = 10.0
"""Seconds in which a client must take what it is sent."""

IDLE_S: Final = 15.0
"""Seconds for the next request to arrive."""

TURN_AWAY_S: Final = 1.0
"""Seconds for a client to hear that there is no room."""

READ_BYTES: Final = 64 * 1024
"""Bytes read of a client that is turned away."""

_HINT: Final = "close some, and try again"
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
    b"connection: close\r\n\r\n"
    + json.dumps(plain(fault(Refusal.TOO_MANY_CONNECTIONS, _HINT))).encode()
)

log = logging.getLogger("provnet.service")


class _Connection:
    """A socket as hypercorn wants it, whose sending is bounded."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.socket = stream.socket

    async def send_all(self, data: bytes) -> None:
        with trio.move_on_after(SEND_S) as sending:
            await self.stream.send_all(data)
        if sending.cancelled_caught:
            log.info("a client takes nothing for %g s: cut off", SEND_S)
            await trio.aclose_forcefully(self.stream)
            raise trio.BrokenResourceError

    async def receive_some(self, count: int) -> bytes:
        return bytes(await self.stream.receive_some(count))

    async def send_eof(self) -> None:
        await self.stream.send_eof()

    async def aclose(self) -> None:
        await self.stream.aclose()


class Server:
    """Listens for an application.

    :ivar port: where it listens; known once it does.
    """

    def __init__(self, application: ASGIApp, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._application = wrap_app(cast(Any, application), 0, "asgi")
        self._connections: set[_Connection] = set()
        self._listeners: list[trio.SocketListener] = []
        self._config = Config()
        self._config.include_server_header = False
        self._config.keep_alive_timeout = IDLE_S
        self._config.h2_max_concurrent_streams = STREAMS_MAX
        self._config.errorlog = log
        self._context = WorkerContext(None)

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.port}/"

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    async def listen(self) -> None:
        """Take the port. Raises OSError when the address cannot be had."""
        first, *others = await trio.open_tcp_listeners(self.port, host=self.host)
        while self.port == 0 and others:
            await others.pop().aclose()  # another address would have another port
        self.port = first.socket.getsockname()[1]
        self._listeners = [first, *others]

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Serve until the block is left; it listens already."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._serve, self._listeners)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    for connection in tuple(self._connections):
                        await trio.aclose_forcefully(connection.stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        if len(self._connections) >= CONNECTIONS_MAX:
            await _turn_away(stream)
            return
        connection = _Connection(stream)
        self._connections.add(connection)
        try:
            state = ConnectionState({})
            arguments = (self._application, self._config, self._context, state)
            await TCPServer(*arguments, cast(Any, connection))
        except Exception:
            log.exception("a connection failed")
        finally:
            self._connections.discard(connection)
            await trio.aclose_forcefully(stream)


async def _turn_away(stream: trio.SocketStream) -> None:
    """Tell a client that there is no room; what it asked is read, or it would not hear of it."""
    with trio.move_on_after(TURN_AWAY_S):
        try:
            await stream.send_all(_FULL)
            await stream.send_eof()
            await stream.receive_some(READ_BYTES)
        except trio.BrokenResourceError:
            log.debug("a client that was turned away had gone")
    await trio.aclose_forcefully(stream)

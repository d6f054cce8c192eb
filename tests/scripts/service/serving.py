"""A service over a real socket, asked by the standard library's client."""

from __future__ import annotations

import http.client
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import Response

from p2p.limits import Size
from p2p.registry import Statistics
from protocol.types import Account, Milliseconds
from scripts.service.answers import Source
from scripts.service.application import Endpoint, make_application
from scripts.service.desk import Desk
from scripts.service.routes import OTHER_ROUTES
from scripts.service.server import Server
from scripts.service.story import Story
from scripts.service.token import Token
from tests.p2p.town import Resident, Town

SECRET = "ab" * 32


async def nothing(_request: Request) -> Response:
    return Response("")


OTHERS: dict[str, Endpoint] = {one.name: nothing for one in OTHER_ROUTES if one.name != "document"}
OWNER = {"authorization": f"Bearer {SECRET}"}


class StoppedClock:
    """A moment after the town's last block."""

    def now_ms(self) -> Milliseconds:
        return Milliseconds(3_600_000)


class StillNetwork:
    """Two peers, for ever."""

    def __init__(self, peers: tuple[Account, ...] = ()) -> None:
        self._peers = peers

    def peers(self) -> tuple[Account, ...]:
        return self._peers

    def sizes(self) -> dict[str, Size]:
        return {"peers": Size(len(self._peers), 256)}

    def statistics(self) -> Statistics:
        return Statistics(peers=len(self._peers), gossip_accepted=5, gossip_duplicates=7)


def source_of(town: Town, name: str = "validator-1", told: int | None = None) -> Source:
    """What a resident's service would answer from, after the first ``told`` things that it was
    told; None: after all.
    """
    resident: Resident = town[name]
    clock = StoppedClock()
    story = Story(clock)
    for event in resident.told[:told]:
        story.observe(event)
    node, identity = resident.running, resident.member.identity
    others = [one for one in town.residents if one != name]
    peers = tuple(Account(town[one].account) for one in others[-2:])
    desk = Desk(identity, node.machine.network)
    return Source(name, node, StillNetwork(peers), story, desk, clock)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds of a server, which tells nobody."""
    while not condition():  # noqa: ASYNC110 -- there is nobody who could tell
        await trio.sleep(0.01)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    server: Server

    async def ask(
        self,
        path: str,
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        return await trio.to_thread.run_sync(self._ask, path, method, body, dict(headers or {}))

    def _ask(self, path: str, method: str, body: Any, headers: dict[str, str]) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, raw, headers)
            got = connection.getresponse()
            return Reply(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            connection.close()

    async def stream(self, path: str, *lines: str) -> trio.SocketStream:
        """A connection that has asked for a path and reads nothing yet."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.server.port)
        head = "\r\n".join((f"GET {path} HTTP/1.1", "Host: localhost", *lines, "", ""))
        await stream.send_all(head.encode())
        return stream


def serve(
    source: Source,
    talk: Callable[[Client], Awaitable[None]],
    names: tuple[str, ...] = (),
    others: Mapping[str, Endpoint] | None = None,
) -> None:
    """Serve while somebody talks to the service."""

    async def main() -> None:
        application = make_application(source, Token(SECRET), names, {**OTHERS, **(others or {})})
        server = Server(application, "127.0.0.1", 0)
        await server.listen()
        async with server.run():
            await talk(Client(server))

    trio.run(main)

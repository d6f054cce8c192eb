"""Sockets that behave badly: bounded, cut off, and never in the way of the node's end."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import pytest
import trio
from starlette.responses import Response

from scripts.service import server as module
from scripts.service.server import Server
from tests.scripts.service.serving import Client, until

LARGE = bytes(64 * 1024 * 1024)
"""More than any socket keeps."""


async def whole(scope: Any, receive: Any, send: Any) -> None:
    await Response(LARGE)(scope, receive, send)


async def raises(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("a fault of ours")


def serve(application: Any, talk: Any) -> None:
    async def main() -> None:
        server = Server(application, "127.0.0.1", 0)
        await server.listen()
        with trio.fail_after(60):
            async with server.run():
                await talk(Client(server))
        assert server.connections == 0

    trio.run(main)


def test_a_client_that_takes_nothing_does_not_hold_up_the_end() -> None:
    held = []

    async def talk(client: Client) -> None:
        raw = await trio.to_thread.run_sync(
            socket.create_connection, ("127.0.0.1", client.server.port)
        )
        held.append(raw)
        raw.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: client.server.connections == 1)

    serve(whole, talk)
    held[0].close()


def test_a_client_that_takes_nothing_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SEND_S", 0.05)
    caplog.set_level("INFO")

    async def talk(client: Client) -> None:
        stream = await client.stream("/")
        await until(lambda: client.server.connections == 1)
        await until(lambda: client.server.connections == 0)
        await stream.aclose()

    serve(whole, talk)
    assert "takes nothing" in caplog.text


def test_one_connection_too_many_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 2)

    async def talk(client: Client) -> None:
        held = [await client.stream("/") for _ in range(2)]
        await until(lambda: client.server.connections == 2)
        reply = await client.ask("/")
        assert (reply.status, reply.json["reason"]) == (503, "TOO_MANY_CONNECTIONS")
        await held[0].aclose()
        await until(lambda: client.server.connections == 1)
        assert (await client.ask("/")).status == 200
        await held[1].aclose()

    serve(whole, talk)


def test_a_head_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.05)

    async def talk(client: Client) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", client.server.port)
        async with stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: loc")
            assert await stream.receive_some() == b""

    serve(whole, talk)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"GET /" + b"a" * 100_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 64,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
    ids=["zeros", "version", "length", "long", "http2", "websocket"],
)
def test_nonsense_ends_its_own_connection_only(raw: bytes) -> None:
    async def talk(client: Client) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", client.server.port)
        async with stream:
            # to close with more to read resets the connection
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(raw)
                await stream.send_eof()
                while await stream.receive_some():
                    pass
        assert (await client.ask("/")).status == 200

    serve(whole, talk)


def test_a_fault_of_the_application_ends_its_own_connection_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def talk(client: Client) -> None:
        assert (await client.ask("/")).status == 500
        assert (await client.ask("/")).status == 500

    serve(raises, talk)
    assert "a fault of ours" in caplog.text


def test_a_taken_port_is_an_error() -> None:
    async def main() -> None:
        first = Server(whole, "127.0.0.1", 0)
        await first.listen()
        with pytest.raises(OSError, match="in use"):
            await Server(whole, "127.0.0.1", first.port).listen()
        async with first.run():
            pass

    trio.run(main)

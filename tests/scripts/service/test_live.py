"""Final blocks as server-sent events: all of them, in order, and nobody waits for who is slow."""

from __future__ import annotations

import json

import pytest
import trio

from protocol.happenings import BlockFinal
from scripts.service import live
from scripts.service.answers import Source
from scripts.service.live import Hub
from scripts.service.openapi import document
from tests.p2p.town import Town
from tests.scripts.service.serving import Client, serve, source_of, until
from tests.scripts.service.shape import misfits

COMPONENTS = document()["components"]["schemas"]
SCHEMA = COMPONENTS["FinalEvents"]


@pytest.fixture(scope="module")
def source(town: Town) -> Source:
    return source_of(town)


@pytest.fixture(scope="module")
def finals(town: Town) -> list[BlockFinal]:
    return [final for _, final in sorted(town["validator-1"].finals.items())]


class Reader:
    """Reads events off a connection, as the standard says."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._text = ""

    async def next(self) -> dict[str, str]:
        """The fields of the next event."""
        while True:
            while "\n\n" in self._text:
                event, _, self._text = self._text.partition("\n\n")
                # the lengths of chunks are lines of their own, and no field of an event
                fields = dict(line.split(": ", 1) for line in event.split("\n") if ": " in line)
                if "event" in fields:
                    return fields
            chunk = await self._stream.receive_some()
            assert chunk, "the connection ended"
            self._text = (self._text + chunk.decode()).replace("\r\n", "\n")


def test_a_follower_gets_every_final_block(source: Source, finals: list[BlockFinal]) -> None:
    hub = Hub()

    async def talk(client: Client) -> None:
        async with await client.stream("/v1/events") as stream:
            await until(lambda: hub.followers == 1)
            for final in finals[:20]:
                hub.observe(final)
                hub.observe(final)
            reader = Reader(stream)
            found = [await reader.next() for _ in range(20)]
        await until(lambda: hub.followers == 0)
        for fields, final in zip(found, finals, strict=False):
            data = json.loads(fields["data"])
            assert (fields["event"], fields["id"]) == ("block", str(final.applied.tick))
            assert data["tick"] == final.applied.tick
            assert data["digest"] == final.applied.digest.hex()
            kinds = [type(one).__name__ for one in final.applied.events]
            assert [one["kind"] for one in data["events"]] == kinds
            assert misfits(SCHEMA, data, COMPONENTS) == []

    serve(source, talk, others={"events": hub.endpoint})


def test_who_comes_back_gets_what_it_missed(source: Source, finals: list[BlockFinal]) -> None:
    hub = Hub()
    for final in finals[:10]:
        hub.observe(final)

    async def talk(client: Client) -> None:
        async with await client.stream("/v1/events", "Last-Event-ID: 7") as stream:
            reader = Reader(stream)
            found = [int((await reader.next())["id"]) for _ in range(3)]
            hub.observe(finals[10])
            assert [*found, int((await reader.next())["id"])] == [8, 9, 10, 11]

    serve(source, talk, others={"events": hub.endpoint})


def test_who_is_too_slow_is_told_and_dropped(
    source: Source, finals: list[BlockFinal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "QUEUE_MAX", 2)
    hub = Hub()

    async def talk(client: Client) -> None:
        async with await client.stream("/v1/events") as stream:
            await until(lambda: hub.followers == 1)
            for final in finals[:9]:  # at once: nothing is sent meanwhile
                hub.observe(final)
            assert (hub.followers, hub.dropped) == (0, 1)
            reader, found = Reader(stream), []
            while not found or found[-1]["event"] != "dropped":
                found.append(await reader.next())
        assert [one["event"] for one in found][-1] == "dropped"
        assert json.loads(found[-1]["data"])["reason"] == "TOO_SLOW"
        assert 1 <= len(found) <= 4

    serve(source, talk, others={"events": hub.endpoint})


def test_one_follower_too_many_is_refused(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FOLLOWERS_MAX", 1)
    hub = Hub()

    async def talk(client: Client) -> None:
        async with await client.stream("/v1/events"):
            await until(lambda: hub.followers == 1)
            reply = await client.ask("/v1/events")
            assert (reply.status, reply.json["reason"]) == (503, "TOO_MANY_STREAMS")
        await until(lambda: hub.followers == 0)

    serve(source, talk, others={"events": hub.endpoint})


def test_silence_is_broken_now_and_then(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "QUIET_S", 0.01)
    hub = Hub()

    async def talk(client: Client) -> None:
        async with await client.stream("/v1/events") as stream:
            text = b""
            while b": nothing new\n\n" not in text:
                text += await stream.receive_some()

    serve(source, talk, others={"events": hub.endpoint})

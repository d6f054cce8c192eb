"""What each patch that spares CPU promises: nothing is lost, reordered or let through by it."""

from __future__ import annotations

import importlib.metadata
import struct
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from hypothesis import given, strategies as st
from libp2p.io.trio import TrioTCPStream
from libp2p.network.stream.net_stream import NetStream
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream
from trio.testing import MockClock, wait_all_tasks_blocked

from p2p import guards, limits, thrift
from p2p.thrift import PromptLock

guards.patch_library()


def test_the_library_is_the_one_whose_insides_are_known() -> None:
    assert importlib.metadata.version("libp2p") == thrift.LIBRARY_VERSION


def test_a_part_that_is_gone_is_noticed() -> None:
    with pytest.raises(AssertionError, match="no such_part any more"):
        thrift.replace_part(SimpleNamespace(), "such_part", None)


def in_virtual_time(body: Callable[[], Awaitable[None]]) -> None:
    trio.run(body, clock=MockClock(autojump_threshold=0))


# locks


def test_a_lock_admits_one_at_a_time_in_the_order_of_asking() -> None:
    entered: list[int] = []
    inside = 0

    async def enter(lock: PromptLock, number: int) -> None:
        nonlocal inside
        async with lock:
            entered.append(number)
            inside += 1
            assert inside == 1
            await trio.sleep(1)
            inside -= 1

    async def body() -> None:
        lock = PromptLock()
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(enter, lock, number)
                await wait_all_tasks_blocked()

    in_virtual_time(body)
    assert entered == [0, 1, 2, 3, 4]


def test_whoever_comes_back_at_once_waits_for_those_before() -> None:
    entered: list[str] = []

    async def body() -> None:
        lock = PromptLock()

        async def wait() -> None:
            async with lock:
                entered.append("who waited")
                await trio.sleep(1)
                entered.append("who waited left")

        async with trio.open_nursery() as nursery:
            async with lock:
                nursery.start_soon(wait)
                await wait_all_tasks_blocked()
            async with lock:
                entered.append("who came back")

    in_virtual_time(body)
    assert entered == ["who waited", "who waited left", "who came back"]


def test_a_lock_survives_those_who_give_up_waiting() -> None:
    async def body() -> None:
        lock = PromptLock()

        async def hold() -> None:
            async with lock:
                await trio.sleep(10)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold)
            await wait_all_tasks_blocked()
            with trio.move_on_after(1) as impatience:
                async with lock:
                    raise AssertionError("two hold the lock")
            assert impatience.cancelled_caught
        async with lock:
            pass

    in_virtual_time(body)


def test_a_free_lock_is_taken_without_a_turn_of_the_scheduler() -> None:
    async def body() -> None:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            await trio.lowlevel.checkpoint()
            before, lock = turns, PromptLock()
            for _ in range(100):
                async with lock:
                    pass
            assert turns == before
            nursery.cancel_scope.cancel()

    in_virtual_time(body)


def test_the_locks_of_a_small_message_are_prompt_and_the_lock_of_the_streams_is_not() -> None:
    async def body() -> None:
        connection = Yamux(FakeSession(b""), ID, is_initiator=True)
        stream = YamuxStream(1, connection, True)
        socket = TrioTCPStream(FakeSocket(b"", 1))
        for lock in (
            connection._write_lock,
            stream.rw_lock,
            stream.window_lock,
            NetStream(stream, None, None)._state_lock,
            socket.read_lock,
            socket.write_lock,
        ):
            assert isinstance(lock, PromptLock)
        assert isinstance(connection.streams_lock, trio.Lock)

    in_virtual_time(body)


# reading


class FakeSocket:
    """Gives its bytes in pieces of at most one size, then ends; keeps what was asked of it."""

    def __init__(self, content: bytes, piece: int) -> None:
        self._content = content
        self._piece = piece
        self.asked: list[int | None] = []

    async def receive_some(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        self.asked.append(n)
        size = min(self._piece, n or self._piece)
        taken, self._content = self._content[:size], self._content[size:]
        return taken


ASKS = st.lists(st.none() | st.integers(0, 40_000), max_size=30)


@given(st.binary(max_size=100), st.integers(1, 900), st.integers(1, 30_000), ASKS)
def test_reading_ahead_changes_no_byte(
    seed: bytes, repeats: int, piece: int, asks: list[int | None]
) -> None:
    content = seed * repeats

    async def body() -> None:
        socket = FakeSocket(content, piece)
        stream = TrioTCPStream(socket)
        received = b""
        for ask in asks:
            chunk = await stream.read(ask)
            assert ask is None or len(chunk) <= ask
            assert chunk or ask == 0 or received == content, "an end that is none"
            received += chunk
            assert content.startswith(received)
        assert all(n is None or n <= max(40_000, limits.READ_AHEAD_BYTES) for n in socket.asked)

    in_virtual_time(body)


def test_two_small_reads_are_one_of_the_socket() -> None:
    async def body() -> None:
        socket = FakeSocket(bytes(range(100)), 100)
        stream = TrioTCPStream(socket)
        assert await stream.read(2) + await stream.read(98) == bytes(range(100))
        assert len(socket.asked) == 1

    in_virtual_time(body)


# frames


class _Peer:
    def __str__(self) -> str:
        return "a peer"


ID: Any = _Peer()


class FakeSession:
    """A secure connection that has some plaintext, waits for more for ever, and keeps writes."""

    is_initiator = True

    def __init__(self, plaintext: bytes) -> None:
        self._plaintext = plaintext
        self.low_watermark = 0
        self.high_watermark = len(plaintext)
        self.written = b""
        self.reads = 0

    def _drain(self, n: int) -> bytes:
        taken = self._plaintext[self.low_watermark :][:n]
        self.low_watermark += len(taken)
        return taken

    async def read(self, n: int) -> bytes:
        self.reads += 1
        if self.low_watermark == self.high_watermark:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        return self._drain(n)

    async def write(self, data: bytes) -> None:
        for byte in data:
            await trio.lowlevel.checkpoint()
            self.written += bytes([byte])


def test_a_body_that_has_arrived_is_taken_whole() -> None:
    async def body() -> None:
        session = FakeSession(b"headbodytail")
        connection = Yamux(session, ID, is_initiator=True)
        assert [await connection._read_data_body(4) for _ in range(3)] == [
            b"head",
            b"body",
            b"tail",
        ]
        assert session.reads == 0

    in_virtual_time(body)


class DeafSession(FakeSession):
    """A connection to somebody who reads nothing."""

    async def write(self, data: bytes) -> None:
        await trio.sleep_forever()


def test_a_reset_waits_for_nobody_who_reads_nothing() -> None:
    async def body() -> None:
        connection = Yamux(DeafSession(b""), ID, is_initiator=True)
        stream = connection.streams[1] = YamuxStream(1, connection, True)
        with trio.fail_after(limits.STREAM_RESET_S + 0.1):
            await stream.reset()
        assert stream.closed
        assert 1 not in connection.streams

    in_virtual_time(body)


def test_a_body_that_never_arrives_still_has_a_deadline() -> None:
    async def body() -> None:
        connection = Yamux(FakeSession(b"part"), ID, is_initiator=True)
        with pytest.raises(trio.TooSlowError):
            await connection._read_data_body(5)

    in_virtual_time(body)


def test_frames_of_many_writers_do_not_mix() -> None:
    async def body() -> None:
        session = FakeSession(b"")
        connection = Yamux(session, ID, is_initiator=True)
        frames = [struct.pack("!BBHII", 0, 0, 0, 1, 40) + bytes([n]) * 40 for n in range(10)]
        async with trio.open_nursery() as nursery:
            for frame in frames:
                nursery.start_soon(connection._write_frame, frame)
        assert sorted(session.written[i : i + 52] for i in range(0, 520, 52)) == sorted(frames)

    in_virtual_time(body)


@given(st.lists(st.integers(1, 20_000), max_size=60))
def test_credit_is_returned_late_but_whole(reads: list[int]) -> None:
    async def body() -> None:
        connection = Yamux(FakeSession(b""), ID, is_initiator=True)
        stream = YamuxStream(1, connection, True)
        returned = 0

        async def send(increment: int, skip_lock: bool = False) -> None:
            nonlocal returned
            returned += increment

        stream.send_window_update = send
        read = 0
        for size in reads:
            stream.recv_window -= size
            read += size
            await stream._auto_tune_and_send_window_update(bytes_read=size)
            assert read - returned < limits.WINDOW_BATCH_BYTES
        assert returned == 0 or read >= limits.WINDOW_BATCH_BYTES

    in_virtual_time(body)

"""What py-libp2p 0.8.1 spends on every small message without need: every patch that changes its
cost and nothing else, in one place.

**The problem.** A gossiped vote is one frame of 300 bytes, and a node receives several copies of
each. On its way such a frame meets a dozen locks that nobody holds, each of which goes once
through the scheduler, three system calls where one would do, and a deadline for bytes that have
arrived already. Together that is more than half of the CPU time of gossip.

**Rules.** No patch changes what goes over the wire in a way the specification forbids, drops a
check, or takes a bound away. Between two frames of a stream, read or written, the loop is still
free: the lock of the streams and the socket remain points where the scheduler decides.
After raising the library's version, measure with ``scripts.benchmarks.network`` and remove what
has become needless; ``tests/p2p/test_thrift.py`` holds what each patch promises.
"""

# ruff: noqa: SLF001 -- patches reach into the library

from __future__ import annotations

from types import TracebackType
from typing import Any, Final

import trio
from libp2p.io.trio import TrioTCPStream
from libp2p.network.stream.net_stream import NetStream
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

from p2p import limits

LIBRARY_VERSION: Final = "0.8.1"
"""The version of libp2p whose insides are known here and in ``guards``."""


def spare_cpu() -> None:
    """Apply all patches; called once, by ``guards.patch_library``, before a host exists."""
    _batch_window_updates()
    _read_ahead()
    _take_what_has_arrived()
    _write_frames_unlogged()
    _lock_without_scheduling()


def replace_part(owner: Any, name: str, value: Any) -> None:
    """Replace a part of the library that must be there."""
    assert hasattr(owner, name), f"the library has no {name} any more"
    setattr(owner, name, value)


def _batch_window_updates() -> None:
    # Yamux answers every read with a frame of credit, three for each small message: half the
    # latency and a third of the CPU of gossip. Credit is returned once it is worth a frame.
    original = YamuxStream._auto_tune_and_send_window_update

    async def batched(self: Any, *, bytes_read: int = 0) -> None:
        unreturned = getattr(self, "_unreturned_bytes", 0) + bytes_read
        if unreturned < limits.WINDOW_BATCH_BYTES:
            self._unreturned_bytes = unreturned
            return
        self._unreturned_bytes = 0
        await original(self, bytes_read=unreturned)

    replace_part(YamuxStream, "_auto_tune_and_send_window_update", batched)


def _read_ahead() -> None:
    # Noise reads two bytes of length, then as many bytes as they say: two system calls and two
    # turns of the scheduler for what arrived as one packet.
    original = TrioTCPStream.read

    async def read(self: Any, n: int | None = None) -> bytes:
        ahead = getattr(self, "_ahead", b"")
        if not ahead:
            if n is None or n >= limits.READ_AHEAD_BYTES:
                return await original(self, n)
            ahead = await original(self, limits.READ_AHEAD_BYTES if n else 0)
        size = len(ahead) if n is None else n
        self._ahead = ahead[size:]
        return ahead[:size]

    replace_part(TrioTCPStream, "read", read)


def _take_what_has_arrived() -> None:
    # A frame's body nearly always comes in the same Noise message as its header; the library sets
    # a deadline all the same before it looks.
    original = Yamux._read_data_body

    async def body(self: Any, length: int) -> bytes:
        session = self.secured_conn
        if session.high_watermark - session.low_watermark >= length:
            return bytes(session._drain(length))
        return await original(self, length)

    replace_part(Yamux, "_read_data_body", body)


def _write_frames_unlogged() -> None:
    # The library describes every frame for a log that is off, and then visits the scheduler a
    # second time: the socket has done so.
    async def write_frame(self: Any, data: bytes) -> None:
        async with self._write_lock:
            await self.secured_conn.write(data)

    replace_part(Yamux, "_write_frame", write_frame)


class PromptLock:
    """A lock, first come first served, that costs nothing while nobody holds it.

    ``trio.Lock`` lets every other task run before it is taken, even when it is free.
    """

    __slots__ = ("_held", "_waiting")

    def __init__(self) -> None:
        self._held = False
        self._waiting = trio.lowlevel.ParkingLot()

    async def __aenter__(self) -> None:
        if self._held:
            await self._waiting.park()  # whoever leaves hands it over: it stays held
        self._held = True

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._waiting:
            self._waiting.unpark()
        else:
            self._held = False

    def write_lock(self) -> PromptLock:
        """Itself: Yamux has a lock for readers and writers, and no readers."""
        return self


def _lock_without_scheduling() -> None:
    # All but the lock of the streams: that one is the turn of the scheduler for each frame.
    for owner, names in (
        (TrioTCPStream, ("read_lock", "write_lock")),
        (Yamux, ("_write_lock",)),
        (YamuxStream, ("rw_lock", "window_lock")),
        (NetStream, ("_state_lock",)),
    ):
        _replace_locks(owner, names)


def _replace_locks(owner: Any, names: tuple[str, ...]) -> None:
    original = owner.__init__

    def with_prompt_locks(self: Any, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        for name in names:
            replace_part(self, name, PromptLock())

    owner.__init__ = with_prompt_locks

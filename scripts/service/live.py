"""Final blocks as server-sent events, for whoever follows the node.

Rules. Each block is one event with its height as id (WHATWG HTML, section 9.2): a client that
reconnects with ``Last-Event-ID`` gets what it missed, as far as the last :data:`BLOCKS_KEPT` blocks
reach. A client has a queue of :data:`QUEUE_MAX` blocks; when it is full the client is told why in a
last event, ``dropped``, and is let go. At most :data:`FOLLOWERS_MAX` follow at a time. A comment is
sent when nothing happens for :data:`QUIET_S`, so that dead connections are found.

Properties. Telling a block to all never waits; a block is written as text once, and only when
somebody follows.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

import trio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from p2p.observing import NodeEvent
from protocol.happenings import BlockFinal
from scripts.records import plain
from scripts.service.application import told
from scripts.service.values import FinalEvents, Refusal, fault

BLOCKS_KEPT: Final = 128
"""Final blocks that a client can catch up with."""

QUEUE_MAX: Final = 256
"""Blocks that wait for one client; more than can be caught up with."""

FOLLOWERS_MAX: Final = 32
"""Clients that follow at a time: half of all connections."""

QUIET_S: Final = 10.0
"""Seconds of silence after which a comment is sent."""

SLOW: Final = fault(Refusal.TOO_SLOW, "connect again with the id of the last block that was taken")
"""Why a client is dropped."""


class _Block:
    """A final block that is written as an event when the first client wants it."""

    def __init__(self, final: BlockFinal) -> None:
        self.tick = final.applied.tick
        self._final: BlockFinal | None = final
        self._text = b""

    def text(self) -> bytes:
        if self._final is not None:
            data = json.dumps(block_record(self._final), separators=(",", ":"))
            self._text = f"id: {self.tick}\nevent: block\ndata: {data}\n\n".encode()
            self._final = None
        return self._text


def block_record(final: BlockFinal) -> dict[str, Any]:
    """A final block with its events, as JSON knows it; each event says of which kind it is."""
    told = FinalEvents(
        final.applied.tick,
        final.moment.slot,
        final.moment.proposer,
        final.applied.digest,
        len(final.block.operations),
        (),
    )
    events = [{"kind": type(one).__name__} | plain(one) for one in final.applied.events]
    record: dict[str, Any] = plain(told)
    return record | {"events": events}


class _Follower:
    def __init__(self) -> None:
        self.send, self.receive = trio.open_memory_channel[_Block](QUEUE_MAX)


class Hub:
    """Tells final blocks to those who follow.

    :ivar dropped: clients that were too slow.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._kept: deque[_Block] = deque(maxlen=BLOCKS_KEPT)
        self._followers: set[_Follower] = set()

    @property
    def followers(self) -> int:
        """How many follow now."""
        return len(self._followers)

    def observe(self, event: NodeEvent) -> None:
        """Tell a final block."""
        if not isinstance(event, BlockFinal) or self._is_known(event):
            return
        block = _Block(event)
        self._kept.append(block)
        for follower in tuple(self._followers):
            self._tell(follower, block)

    def _is_known(self, final: BlockFinal) -> bool:
        return bool(self._kept) and self._kept[-1].tick >= final.applied.tick

    def _tell(self, follower: _Follower, block: _Block) -> None:
        try:
            follower.send.send_nowait(block)
        except trio.WouldBlock:
            self.dropped += 1
            self._followers.discard(follower)
            follower.send.close()

    async def endpoint(self, request: Request) -> Response:
        """Follow the log: the answer to a request."""
        if len(self._followers) >= FOLLOWERS_MAX:
            return told(503, fault(Refusal.TOO_MANY_STREAMS, "close some, and try again"))
        follower = _Follower()
        last = request.headers.get("last-event-id", "")
        if last.isascii() and last.isdecimal() and len(last) < 16:
            for block in self._kept:
                if block.tick > int(last):
                    follower.send.send_nowait(block)
        self._followers.add(follower)
        return _Stream(follower, self._followers.discard)


async def _texts(follower: _Follower) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    while True:
        with trio.move_on_after(QUIET_S) as waiting:
            try:
                block = await follower.receive.receive()
            except trio.EndOfChannel:
                break
        yield b": nothing new\n\n" if waiting.cancelled_caught else block.text()
    yield f"event: dropped\ndata: {json.dumps(plain(SLOW))}\n\n".encode()


class _Stream(StreamingResponse):
    """The blocks of one follower, who leaves when it ends, however it ends."""

    def __init__(self, follower: _Follower, leave: Callable[[_Follower], None]) -> None:
        self._follower = follower
        self._leave = leave
        self._texts: Any = _texts(follower)
        super().__init__(self._texts, media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with aclosing(self._texts):
                await super().__call__(scope, receive, send)
        finally:
            self._leave(self._follower)
            self._follower.send.close()
            self._follower.receive.close()

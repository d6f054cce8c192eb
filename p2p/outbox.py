"""What waits to be gossiped to one peer: encoded frames, bounded in number and bytes.

The library keeps messages, and copies, splits, measures and encodes each once for every peer. Here
a frame is encoded once, whoever it goes to, and frames that wait are written together.
"""

from __future__ import annotations

from typing import Any

from libp2p.pubsub.rpc_queue import RpcQueue
from libp2p.utils.varint import encode_uvarint

from p2p import limits


def encoded(rpc: Any) -> bytes:
    """The frame of an RPC as it goes over the wire, its length in front."""
    content = rpc.SerializeToString()
    return encode_uvarint(len(content)) + bytes(content)


class Outbox(RpcQueue):
    """The library's queue to one peer, holding frames, with our bounds."""

    def __init__(self) -> None:
        super().__init__(max_size=limits.QUEUE_MESSAGES_MAX, max_message_size=limits.RPC_BYTES_MAX)
        self._bytes = 0

    def push(self, rpc: Any, priority: bool = False) -> bool:
        """Encode and keep an RPC; says whether there was room. The library calls it."""
        return self.push_frame(encoded(rpc), priority)

    def push_frame(self, frame: bytes, priority: bool = False) -> bool:
        """Keep an encoded frame; says whether there was room."""
        if self._bytes + len(frame) > limits.QUEUE_BYTES_MAX:
            return False
        pushed = super().push(frame, priority)  # type: ignore[arg-type]  # it does not look inside
        self._bytes += len(frame) if pushed else 0
        return pushed

    async def take(self) -> bytes | None:
        """Wait for frames; returns the oldest, joined as far as a write should be long.

        Control frames come before others. None: the queue was closed and is empty.
        """
        first: Any = await self.pop()
        if first is None:
            return None
        frames = bytearray(first)
        while len(frames) < limits.QUEUE_BATCH_BYTES:
            another: Any = self._queue.pop()
            if another is None:
                break
            frames += another
        self._bytes -= len(frames)
        return bytes(frames)

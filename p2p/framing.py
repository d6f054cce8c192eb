"""Reading exact numbers of bytes from a stream whose writer may lie, stall or stop.

The library's ``read_exactly`` gives up after 101 reads, and its varint reader asks for one byte at
a time.
"""

from __future__ import annotations

from typing import Final, Protocol

from p2p import limits

_VARINT_BYTES_MAX: Final = 4
_READ_BYTES_MAX: Final = 64 * limits.KIB


class Malformed(Exception):
    """A peer sent bytes that no honest program sends."""


class Ended(Exception):
    """The stream ended before the bytes asked for."""


class Readable(Protocol):
    """The part of a stream that is needed here."""

    async def read(self, n: int | None = None) -> bytes:
        """Up to ``n`` bytes, at least one unless the stream ended."""


class ByteReader:
    """Exact reads from ``stream``.

    Memory grows with the bytes that have arrived, never with a length that was only claimed.

    :param chunk_bytes: most bytes asked of the stream at once while nothing larger is awaited.
    """

    def __init__(self, stream: Readable, chunk_bytes: int = _READ_BYTES_MAX) -> None:
        self._stream = stream
        self._chunk_bytes = chunk_bytes
        self._buffer = bytearray()

    def holds(self, length: int) -> bool:
        """Whether ``length`` bytes have arrived: reading them does not wait."""
        return len(self._buffer) >= length

    async def exactly(self, length: int) -> bytes:
        """``length`` bytes. Raises :class:`Ended`, and whatever the stream raises."""
        while len(self._buffer) < length:
            missing = length - len(self._buffer)
            chunk = await self._stream.read(min(max(missing, self._chunk_bytes), _READ_BYTES_MAX))
            if not chunk:
                raise Ended
            self._buffer += chunk
        taken = bytes(self._buffer[:length])
        del self._buffer[:length]
        return taken

    async def length(self, length_max: int) -> int:
        """A varint. Raises :class:`Malformed` above ``length_max`` or when it is too long,
        :class:`Ended`.
        """
        length = 0
        for position in range(_VARINT_BYTES_MAX):
            (byte,) = await self.exactly(1)
            length |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                break
        else:
            raise Malformed("a length of too many bytes")
        if length > length_max:
            raise Malformed(f"a length of {length} bytes, {length_max} are allowed")
        return length

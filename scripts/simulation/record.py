"""The digest of a run: everything that any node was told, wrote down and did, in order."""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final

from protocol.happenings import BlockFinal
from scripts.simulation.happenings import Event, Published

_HEAD: Final = struct.Struct("<QHBI")
_JOURNAL: Final = 0
_EVENT: Final = 1


class Record:
    """Takes a run in and gives its digest.

    :ivar entries: how many things happened.
    """

    def __init__(self) -> None:
        self.entries = 0
        self._hashed = blake2b(digest_size=32)

    def journal(self, at_us: int, node: int, payload: bytes) -> None:
        """A node wrote a record into its journal."""
        self._add(at_us, node, _JOURNAL, payload)

    def event(self, at_us: int, node: int, event: Event) -> None:
        """Something happened."""
        self._add(at_us, node, _EVENT, _bytes_of(event))

    def digest(self) -> str:
        """The digest so far, in hexadecimal digits."""
        return self._hashed.hexdigest()

    def _add(self, at_us: int, node: int, kind: int, payload: bytes) -> None:
        self.entries += 1
        self._hashed.update(_HEAD.pack(at_us, node, kind, len(payload)))
        self._hashed.update(payload)


def _bytes_of(event: Event) -> bytes:
    """What is told of an event: a final block by the digest of all it did, anything else whole."""
    if isinstance(event, BlockFinal):
        return b"BlockFinal" + event.applied.digest
    if isinstance(event, Published):
        return event.topic.value.encode() + b"|" + event.payload
    return repr(event).encode()

"""A file to which records are only ever appended: the events of a run, in their order.

Problem. A run is replayed from what its node was told. The process may be killed in the middle of a
record, and a replay must then end at the last whole one; but a record that went bad anywhere else
must stop it, or the replay silently becomes another run.

Rules. The file starts with a magic line that names its version; another version is refused. A
record is three little-endian 32-bit words and a payload: the payload's length, its CRC-32, and the
CRC-32 of the first two words, without which a damaged length would look like a record cut short.
Only the end may be torn: the file ends within a header or payload, or its last payload is not what
was written, or zeros alone follow (a file system may lengthen a file before it writes to it).
Everything else is corruption and refused.

A node writes an :data:`Entry` a record: every event before it is applied, and at the beginning of
each of its lives, one to a process, a :class:`Started`, followed by what it restored from its store
as ordinary events. So whoever has the genesis and the keys can replay a node from its journal
alone.

Deviations. Appending does not wait for the disk: a record survives the death of the process, not
that of the machine. What a node must never forget is in its store.

Properties. Reading holds one record of bounded size. CRC-32 finds accidents, not attacks.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, TypeAlias
from zlib import crc32

from p2p.store import Reached, StoreError, pass_by, unusable
from protocol.happenings import Happening
from protocol.types import Account, NetworkId, Slot

RECORD_BYTES_MAX: Final = 1 << 24
"""Largest payload of a record, in bytes."""

_TITLE: Final = b"provnet-journal/"
_MAGIC: Final = _TITLE + b"2\n"
_SUMMED: Final = struct.Struct("<II")
_HEADER: Final = struct.Struct("<III")
_CHUNK_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Started:
    """A life of the node begins with a fresh replica.

    :ivar account: whose keys sign.
    :ivar proposed: slot of the last proposal that the store knows of; nothing is signed again there
        or before.
    :ivar voted: the same of votes.
    """

    network: NetworkId
    account: Account
    proposed: Slot
    voted: Slot


Entry: TypeAlias = Started | Happening
"""What a record of a node's journal says. ``Started`` comes first, so that events which are added
at the end of their union keep everybody's place.
"""


class Journal:
    """Appends to a journal, created when the file does not exist. One process at a time.

    An end that was cut short is removed first, so that what follows can be read.

    :param path: the file.
    :param reached: told before and after each record is written, as of the store's points.
    :raises StoreError: when the file cannot be written, is no journal, or is damaged.
    """

    def __init__(self, path: Path, reached: Reached = pass_by) -> None:
        self._path = path
        self._reached = reached
        found = JournalRecords(path)
        if path.exists():
            for _ in found:
                pass
        self.torn_bytes: Final = found.torn_bytes
        """How many bytes of an incomplete record were removed on opening."""
        self._end = found.whole_bytes
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise unusable(path, error) from error
        self._file.truncate(self._end)
        if not self._end:
            self._write(_MAGIC)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def append(self, payload: bytes) -> None:
        """Add one record, whole or not at all.

        :raises ValueError: when the payload is larger than :data:`RECORD_BYTES_MAX`.
        :raises StoreError: when the file cannot be written, as on a full disk.
        """
        if len(payload) > RECORD_BYTES_MAX:
            raise ValueError(f"a record has at most {RECORD_BYTES_MAX} bytes, not {len(payload)}")
        summed = _SUMMED.pack(len(payload), crc32(payload))
        self._reached("append: begun")
        self._write(_HEADER.pack(len(payload), crc32(payload), crc32(summed)) + payload)
        self._reached("append: written")

    def _write(self, whole: bytes) -> None:
        try:
            written = self._file.write(whole)
            if written != len(whole):
                raise OSError("no space left for a whole record")
        except OSError as error:
            self._file.truncate(self._end)
            raise unusable(self._path, error) from error
        self._end += len(whole)


class JournalRecords(Iterable[bytes]):
    """The payloads of a journal in their order; each iteration reads the file from its start.

    ``whole_bytes`` and ``torn_bytes`` say, once an iteration has ended, how much of the file is
    whole and how much is an end that was cut short.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.whole_bytes = 0
        self.torn_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                yield from self._whole(file)
                self.torn_bytes = os.fstat(file.fileno()).st_size - self.whole_bytes
        except OSError as error:
            raise unusable(self._path, error) from error

    def _whole(self, file: BinaryIO) -> Iterator[bytes]:
        magic = file.read(len(_MAGIC))
        if magic != _MAGIC:
            if _MAGIC.startswith(magic):
                return
            if magic.startswith(_TITLE):
                raise StoreError(
                    f"{self._path} was written by another version of provnet",
                    "replay it with that version; a node that has its store needs no old journal, "
                    "so move it away",
                )
            raise StoreError(f"{self._path} is no journal of provnet", "name another file")
        self.whole_bytes = len(_MAGIC)
        while (payload := self._record(file)) is not None:
            self.whole_bytes += _HEADER.size + len(payload)
            yield payload

    def _record(self, file: BinaryIO) -> bytes | None:
        """The next payload, None at the end of the file or where it was cut short."""
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None
        length, payload_sum, header_sum = _HEADER.unpack(header)
        if crc32(header[: _SUMMED.size]) != header_sum or length > RECORD_BYTES_MAX:
            self._require_end(file, is_torn=not any(header))
            return None
        payload = file.read(length)
        if len(payload) == length and crc32(payload) == payload_sum:
            return payload
        self._require_end(file, is_torn=True)
        return None

    def _require_end(self, file: BinaryIO, *, is_torn: bool) -> None:
        """Accept a broken record when nothing but zeros follows it; refuse it otherwise."""
        while is_torn and (chunk := file.read(_CHUNK_BYTES)):
            is_torn = not any(chunk)
        if not is_torn:
            raise StoreError(
                f"{self._path} is damaged after byte {self.whole_bytes}",
                "keep it for inspection; the records before that byte are whole",
            )


def read_journal(path: Path) -> JournalRecords:
    """The records of a journal, up to an end that was cut short, which the result reports.

    Iterating raises StoreError when the file cannot be read, is no journal, or is damaged before
    its end; the records up to there have been given by then.
    """
    return JournalRecords(path)

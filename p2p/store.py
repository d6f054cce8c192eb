"""What a node must still know after a crash: its own votes, the log, proofs and bodies.

Problem. A node that forgets a vote votes twice and is slashed; one that forgets the log restarts
from nothing. Power may fail at any moment, disks fill up, and files get swapped.

Rules.

* SQLite in WAL mode with ``synchronous=FULL``: a write that returned is on disk, and a group of
  writes (:meth:`Store.transaction`) is there whole or not at all.
* The first word stays: what was put under a hash, sent in a slot or finalised at a height is never
  changed. Only notes are replaced.
* A contradiction of ours is an AssertionError. Everything the world does (a full disk, a foreign or
  damaged file, another process) is a :class:`StoreError` with a sentence and a hint, and leaves
  what was stored as it was.
* One process owns the file: it is locked while the store is open, because two nodes on one store
  could each send what the other does not know of. To look inside, stop the node or copy the files.
* Each write has named points, of which whoever opened the store may be told (:data:`Reached`):
  begun (nothing is written), written (nothing is durable), committed (all is); within a group each
  write has one, grouped. A test ends the process there.
* A store is created beside its path and linked into place when complete, so a file that exists and
  is empty has lost something and is refused.

Deviations. Structure is checked on opening (``PRAGMA quick_check``, which reads the whole file);
bytes within a value are not, and are checked by whoever knows their hash. A store put back from a
backup, or without its ``-wal`` file, has forgotten votes, and nothing in it can tell.

Properties. Synchronous, owned by one task; it knows hashes and heights, and nothing of messages.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final, Self, TypeAlias
from urllib.parse import quote

from protocol.types import NetworkId

SCHEMA_VERSION: Final = 3
"""Version of the tables; a store of another version is refused."""

_PAGE_BYTES: Final = 4096
_APPLICATION_ID: Final = int.from_bytes(b"prov")

_SCHEMA: Final = (
    "CREATE TABLE network (id BLOB NOT NULL) STRICT",
    "CREATE TABLE own (kind TEXT NOT NULL, slot INTEGER NOT NULL, payload BLOB NOT NULL,"
    " PRIMARY KEY (kind, slot)) STRICT",
    "CREATE TABLE block (hash BLOB NOT NULL PRIMARY KEY, height INTEGER NOT NULL,"
    " payload BLOB NOT NULL) STRICT",
    "CREATE INDEX block_height ON block (height)",
    "CREATE TABLE certificate (hash BLOB NOT NULL PRIMARY KEY, payload BLOB NOT NULL) STRICT",
    "CREATE TABLE final (height INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE) STRICT",
    "CREATE TABLE body (hash BLOB NOT NULL PRIMARY KEY, payload BLOB NOT NULL,"
    " outdated INTEGER) STRICT",
    "CREATE INDEX body_outdated ON body (outdated) WHERE outdated IS NOT NULL",
    "CREATE TABLE note (name TEXT NOT NULL PRIMARY KEY, payload BLOB NOT NULL) STRICT",
    "CREATE TABLE snapshot (height INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE,"
    " payload BLOB NOT NULL) STRICT",
    "CREATE TABLE piece (number INTEGER PRIMARY KEY, name BLOB NOT NULL,"
    " payload BLOB NOT NULL) STRICT",
)

_DAMAGED: Final = (
    "{path} is damaged, or is no store of provnet",
    "move it away and keep it; the node fetches the log anew, and must catch up before it votes",
)
_NO_ACCESS: Final = (
    "{path} cannot be opened for reading and writing",
    "check that its directory exists and that this user may write there",
)
_IN_USE: Final = (
    "{path} is in use by another process",
    "stop the other node: two nodes on one store would contradict each other",
)
_DISK_FAILED: Final = (
    "{path} could not be read or written",
    "check the disk and the system's log; what was stored before is unchanged",
)
_FULL: Final = (
    "there is no space left for {path}",
    "free some space and start the node again; what was stored before is unchanged",
)
_TROUBLES: Final = {
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_PERM: _NO_ACCESS,
    sqlite3.SQLITE_READONLY: _NO_ACCESS,
    sqlite3.SQLITE_CANTOPEN: _NO_ACCESS,
    sqlite3.SQLITE_BUSY: _IN_USE,
    sqlite3.SQLITE_IOERR: _DISK_FAILED,
    sqlite3.SQLITE_FULL: _FULL,
}


Reached: TypeAlias = Callable[[str], None]
"""Told of a point by its name, as in ``put_body: written``, before anything else happens."""


def pass_by(_point: str) -> None:
    """A point is nothing to stop at."""


class StoreError(Exception):
    """The world kept a file of the node from being used.

    :param sentence: what happened to which file.
    :param hint: what a person can do about it.
    """

    def __init__(self, sentence: str, hint: str) -> None:
        super().__init__(f"{sentence}\nhint: {hint}")
        self.sentence = sentence
        self.hint = hint


def unusable(path: Path, error: OSError) -> StoreError:
    """What the system says of a file that cannot be read or written, as on a full disk."""
    reason = error.strerror or str(error)
    return StoreError(
        f"{path} cannot be used: {reason}",
        "check its directory, rights and space; what was there before is unchanged",
    )


@dataclass(frozen=True, slots=True)
class Statistics:
    """How much a store holds: counts, and the bytes of its file."""

    final_height: int
    own: int
    blocks: int
    certificates: int
    bodies: int
    notes: int
    size_bytes: int


class Store:
    """The store of one node, created when the file does not exist.

    Every method may raise :class:`StoreError`, and then has changed nothing. Heights start at 1:
    the genesis is not stored. Close it, or use it as a context manager.

    :param path: the file; SQLite keeps ``-wal`` beside it, and both belong together.
    :param network: whose log this is; a file of another network is refused.
    :param reached: told of each point of a write.
    """

    def __init__(self, path: Path, network: NetworkId, reached: Reached = pass_by) -> None:
        self._path = path
        self._reached = reached
        self._grouping = False
        if not path.exists():
            _create(path, network)
        _require_usable(path)
        with _explained(path):
            self._connection = _connect(path, "rw")
        try:
            self._take_over(network)
        except BaseException:
            self._connection.close()
            raise

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
        """Release the file; the store cannot be used any more."""
        self._connection.close()

    # groups of writes

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Group writes: all of them are on disk when the block ends, or none when it raises.

        Within the block nothing is durable yet, not even :meth:`remember_own`, and reads see the
        writes. A step that failed undoes the group and fails whatever follows in it. Raises
        AssertionError when transactions are nested.
        """
        if self._grouping:
            raise AssertionError("transactions do not nest")
        with self._atomic("transaction"):
            self._grouping = True
            try:
                yield
                self._require_whole_group()
            finally:
                self._grouping = False

    # what this node said

    def remember_own(self, kind: str, slot: int, payload: bytes) -> None:
        """Record what this node is about to send; on disk before this returns.

        Raises AssertionError when other bytes of this kind were recorded for this slot: to send
        both would be equivocation. The same bytes again are fine.
        """
        with self._atomic("remember_own"):
            self._rows(
                "INSERT INTO own VALUES (?, ?, ?) ON CONFLICT DO NOTHING", kind, slot, payload
            )
            if self.own(kind, slot) != payload:
                raise AssertionError(f"a second {kind} in slot {slot}")

    def own(self, kind: str, slot: int) -> bytes | None:
        """What this node recorded for a slot, or None."""
        return self._bytes("SELECT payload FROM own WHERE kind = ? AND slot = ?", kind, slot)

    def own_latest(self, kind: str) -> int | None:
        """The last slot for which this node recorded this kind, or None."""
        slot: int | None = self._value("SELECT max(slot) FROM own WHERE kind = ?", kind)
        return slot

    # the log

    def put_block(self, block_hash: bytes, height: int, payload: bytes) -> None:
        """Keep a block; the first payload of a hash stays."""
        with self._atomic("put_block"):
            self._rows(
                "INSERT INTO block VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                block_hash,
                height,
                payload,
            )

    def put_certificate(self, block_hash: bytes, payload: bytes) -> None:
        """Keep a block's certificate, even before the block; the first of a hash stays."""
        with self._atomic("put_certificate"):
            self._rows(
                "INSERT INTO certificate VALUES (?, ?) ON CONFLICT DO NOTHING", block_hash, payload
            )

    def block(self, block_hash: bytes) -> bytes | None:
        """The payload of a block, final or not, or None."""
        return self._bytes("SELECT payload FROM block WHERE hash = ?", block_hash)

    def finalise(self, height: int, block_hash: bytes) -> None:
        """Mark a block as the final one of its height; again is fine.

        Raises AssertionError when another block is final at this height, when it is not the next
        height, and when no such block of this height was put.
        """
        with self._atomic("finalise"):
            known = self._value("SELECT hash FROM final WHERE height = ?", height)
            if known == block_hash:
                return
            if known is not None:
                raise AssertionError(f"another block is final at height {height}")
            if height != self.final_height() + 1:
                raise AssertionError(f"height {height} is not the next final one")
            if self._value("SELECT height FROM block WHERE hash = ?", block_hash) != height:
                raise AssertionError(f"no such block at height {height}")
            self._rows("INSERT INTO final VALUES (?, ?)", height, block_hash)

    def final_height(self) -> int:
        """The height of the last final block, or of the snapshot that the log goes on from; 0 when
        only the genesis is final.
        """
        height: int = self._value(
            "SELECT coalesce((SELECT max(height) FROM final),"
            " (SELECT max(height) FROM snapshot), 0)"
        )
        return height

    def begins_at(self) -> int:
        """The height from above which all final blocks are here: 0, that of the snapshot with which
        the log began, or that up to which it was forgotten.
        """
        first: int = self._value(
            "SELECT coalesce((SELECT min(height) - 1 FROM final),"
            " (SELECT max(height) FROM snapshot), 0)"
        )
        return first

    def forget_log(self, height: int) -> None:
        """Forget the final blocks up to a height, but not the last one."""
        old = "SELECT hash FROM final WHERE height <= ?"
        with self._atomic("forget_log"):
            height = min(height, self.final_height() - 1)
            self._forget_blocks(old, height)
            self._rows("DELETE FROM final WHERE height <= ?", height)

    def final_blocks(
        self, from_height: int, limit: int
    ) -> list[tuple[int, bytes, bytes, bytes | None]]:
        """Up to ``limit`` final blocks from a height on: height, hash, payload, certificate."""
        return self._rows(
            "SELECT final.height, final.hash, block.payload, certificate.payload FROM final"
            " JOIN block USING (hash) LEFT JOIN certificate USING (hash)"
            " WHERE final.height >= ? ORDER BY final.height LIMIT ?",
            from_height,
            max(limit, 0),
        )

    def unfinalised(self) -> list[tuple[bytes, bytes, bytes | None]]:
        """Blocks above the final height: hash, payload, certificate; by height, then by hash."""
        return self._rows(
            "SELECT hash, block.payload, certificate.payload FROM block"
            " LEFT JOIN certificate USING (hash) WHERE height > ? ORDER BY height, hash",
            self.final_height(),
        )

    def prune_forks(self) -> None:
        """Forget blocks that can never become final, with their certificates.

        Those are the blocks up to the final height that are not final. Certificates without a block
        stay, because the block may be on its way.
        """
        forks = "SELECT hash FROM block WHERE height <= ? AND hash NOT IN (SELECT hash FROM final)"
        with self._atomic("prune_forks"):
            self._forget_blocks(forks, self.final_height())

    def _forget_blocks(self, chosen: str, height: int) -> None:
        for table in ("certificate", "block"):
            forget = f"DELETE FROM {table} WHERE hash IN ({chosen})"  # noqa: S608 -- no input
            self._rows(forget, height)

    # snapshots

    def put_snapshot(self, height: int, name: bytes, payload: bytes) -> None:
        """Keep the snapshot of a border; the newest two stay, and the first of a height."""
        with self._atomic("put_snapshot"):
            self._rows(
                "INSERT INTO snapshot VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                height,
                name,
                payload,
            )
            self._rows(
                "DELETE FROM snapshot WHERE height NOT IN"
                " (SELECT height FROM snapshot ORDER BY height DESC LIMIT 2)"
            )

    def snapshots(self) -> list[tuple[int, bytes, int]]:
        """Height, name and length in bytes of each snapshot, newest first."""
        return self._rows("SELECT height, name, length(payload) FROM snapshot ORDER BY height DESC")

    def snapshot(self, height: int) -> bytes | None:
        """The snapshot of a border, or None."""
        return self._bytes("SELECT payload FROM snapshot WHERE height = ?", height)

    def snapshot_piece(self, name: bytes, start: int, length: int) -> bytes | None:
        """Bytes of a snapshot from ``start`` on; fewer at its end, None when it is not here."""
        return self._bytes(
            "SELECT substr(payload, ?, ?) FROM snapshot WHERE name = ?", start + 1, length, name
        )

    def put_piece(self, name: bytes, number: int, payload: bytes) -> None:
        """Keep a piece of a snapshot that is not whole yet, in place of pieces of another name."""
        with self._atomic("put_piece"):
            self._rows("DELETE FROM piece WHERE name <> ?", name)
            self._rows("INSERT OR REPLACE INTO piece VALUES (?, ?, ?)", number, name, payload)

    def pieces(self, name: bytes) -> list[bytes]:
        """The kept pieces of a snapshot, by number."""
        rows = self._rows("SELECT payload FROM piece WHERE name = ? ORDER BY number", name)
        return [payload for (payload,) in rows]

    def piece_count(self, name: bytes) -> int:
        """How many pieces of a snapshot are kept."""
        count: int = self._value("SELECT count(*) FROM piece WHERE name = ?", name)
        return count

    def forget_pieces(self) -> None:
        """Forget the pieces: what they are of is whole, or no snapshot."""
        with self._atomic("forget_pieces"):
            self._rows("DELETE FROM piece")

    # bodies and notes

    def put_body(self, body_hash: bytes, payload: bytes) -> None:
        """Keep bytes that travel by request until they are outdated once more; the first payload
        of a hash stays.
        """
        with self._atomic("put_body"):
            self._rows(
                "INSERT INTO body VALUES (?, ?, NULL)"
                " ON CONFLICT DO UPDATE SET outdated = NULL WHERE outdated IS NOT NULL",
                body_hash,
                payload,
            )

    def body(self, body_hash: bytes) -> bytes | None:
        """The bytes of a hash, or None."""
        return self._bytes("SELECT payload FROM body WHERE hash = ?", body_hash)

    def has_body(self, body_hash: bytes) -> bool:
        """Whether :meth:`body` would answer, without reading it."""
        return self._value("SELECT 1 FROM body WHERE hash = ?", body_hash) is not None

    def outdate_bodies(self, names: Iterable[bytes], height: int) -> None:
        """Say that nobody asks for bytes from a height on; what is not there stays so."""
        with self._atomic("outdate_bodies"):
            for name in names:
                self._rows(
                    "UPDATE body SET outdated = ? WHERE hash = ? AND outdated IS NOT ?",
                    height,
                    name,
                    height,
                )

    def forget_bodies(self, height: int) -> None:
        """Forget the bytes that are outdated at a height."""
        with self._atomic("forget_bodies"):
            self._rows("DELETE FROM body WHERE outdated <= ?", height)

    def put_note(self, name: str, payload: bytes) -> None:
        """Keep a small named value; replaces the one before."""
        with self._atomic("put_note"):
            self._rows("INSERT OR REPLACE INTO note VALUES (?, ?)", name, payload)

    def note(self, name: str) -> bytes | None:
        """The value of a name, or None."""
        return self._bytes("SELECT payload FROM note WHERE name = ?", name)

    def statistics(self) -> Statistics:
        """How much is stored."""
        ((own, blocks, certificates, bodies, notes),) = self._rows(
            "SELECT (SELECT count(*) FROM own), (SELECT count(*) FROM block),"
            " (SELECT count(*) FROM certificate), (SELECT count(*) FROM body),"
            " (SELECT count(*) FROM note)"
        )
        size_bytes = self._value("PRAGMA page_count") * self._value("PRAGMA page_size")
        return Statistics(
            final_height=self.final_height(),
            own=own,
            blocks=blocks,
            certificates=certificates,
            bodies=bodies,
            notes=notes,
            size_bytes=size_bytes,
        )

    # the inside

    def _take_over(self, network: NetworkId) -> None:
        """Lock the file and make sure that it is ours; a foreign file is left as it is."""
        self._rows("PRAGMA locking_mode = EXCLUSIVE")
        if self._value("PRAGMA application_id") != _APPLICATION_ID:
            raise _trouble(_DAMAGED, self._path)
        version = self._value("PRAGMA user_version")
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"{self._path} has version {version}; this program reads version {SCHEMA_VERSION}",
                "start the program that wrote it, or give this one another directory",
            )
        if self._rows("PRAGMA quick_check") != [("ok",)]:
            raise _trouble(_DAMAGED, self._path)
        if (owner := self._value("SELECT id FROM network")) != network:
            raise StoreError(
                f"{self._path} belongs to network {bytes(owner).hex()}, not to {network.hex()}",
                "give each network a directory of its own",
            )
        self._rows("PRAGMA journal_mode = WAL")
        self._rows("PRAGMA synchronous = FULL")
        self._rows("BEGIN IMMEDIATE")
        self._rows("COMMIT")

    @contextmanager
    def _atomic(self, name: str) -> Iterator[None]:
        """One write of several statements: its own transaction, or part of the open one."""
        if self._grouping:
            yield
            self._reached(f"{name}: grouped")
            return
        self._rows("BEGIN IMMEDIATE")
        try:
            self._reached(f"{name}: begun")
            yield
            self._reached(f"{name}: written")
            self._rows("COMMIT")
        finally:
            self._connection.rollback()
        self._reached(f"{name}: committed")

    def _require_whole_group(self) -> None:
        if self._grouping and not self._connection.in_transaction:
            raise StoreError(
                f"an earlier step of this transaction on {self._path} failed",
                "see the error before this one",
            )

    def _rows(self, statement: str, *values: object) -> list[Any]:
        self._require_whole_group()
        try:
            with _explained(self._path):
                return self._connection.execute(statement, values).fetchall()
        except StoreError:
            self._connection.rollback()
            raise

    def _bytes(self, statement: str, *values: object) -> bytes | None:
        value: bytes | None = self._value(statement, *values)
        return value

    def _value(self, statement: str, *values: object) -> Any:
        rows = self._rows(statement, *values)
        return rows[0][0] if rows else None


def _require_usable(path: Path) -> None:
    """Refuse what SQLite does not: it fills a torn page with zeros, and misnames lacking rights."""
    if not os.access(path, os.R_OK | os.W_OK):
        raise _trouble(_NO_ACCESS, path)
    if path.stat().st_size % _PAGE_BYTES and not _log_of(path).exists():
        raise _trouble(_DAMAGED, path)


def _log_of(path: Path) -> Path:
    """Where SQLite keeps the writes that are not in the main file yet."""
    return path.with_name(path.name + "-wal")


def _create(path: Path, network: NetworkId) -> None:
    """Write an empty store and link it to ``path``, complete or not at all."""
    if _log_of(path).exists():
        raise StoreError(
            f"{path} is gone, but its -wal file is not",
            "put the missing file back: it holds what this node has voted",
        )
    try:
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as directory:
            draft = Path(directory) / "draft"
            with _explained(path):
                _write_empty(draft, network)
            path.hardlink_to(draft)
            _sync_directory(path.parent)
    except FileExistsError:  # another process was faster: the lock tells them apart
        return
    except OSError as error:
        raise _trouble(_NO_ACCESS, path) from error


def _write_empty(path: Path, network: NetworkId) -> None:
    connection = _connect(path, "rwc")
    try:
        connection.execute("PRAGMA synchronous = FULL")
        create_tables(connection, network)
    finally:
        connection.close()


def create_tables(connection: sqlite3.Connection, network: NetworkId) -> None:
    """Make an empty store in an empty database."""
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute("INSERT INTO network VALUES (?)", (network,))
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _sync_directory(path: Path) -> None:
    """Make a new name in a directory survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection that begins and ends transactions only when told, and never waits for a lock."""
    address = f"file:{quote(str(path))}?mode={mode}"
    return sqlite3.connect(address, uri=True, isolation_level=None, timeout=0)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what the world did into a StoreError; other errors of SQLite are ours and pass."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
        trouble = _TROUBLES.get(code & 0xFF)
        if trouble is None:
            raise
        raise _trouble(trouble, path) from error


def _trouble(kind: tuple[str, str], path: Path) -> StoreError:
    sentence, hint = kind
    return StoreError(sentence.format(path=path), hint)

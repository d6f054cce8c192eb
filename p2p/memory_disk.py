"""A stand-in for a node's disk: its store and its journal in memory, which outlive the node.

**What it is for.** Simulation: many nodes in one process, each of which may die in the middle of a
write, a thousand times a minute.

**What it models.** The store is SQLite, and the same statements as on a disk: what was committed is
there after a crash, what was not is gone. A node crashes when whoever is told of a point
(:data:`~p2p.store.Reached`) raises :class:`Crashed`. **What it does not.** Torn pages and lost
syncs: that SQLite keeps what it committed is taken on trust here, and tested on files elsewhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

from p2p.journal import Journal
from p2p.store import Reached, Store, create_tables, pass_by
from protocol.types import NetworkId

_PLACE: Final = Path(":memory:")

Told: TypeAlias = Callable[[bytes], None]
"""Told of each record of a journal."""


class Crashed(BaseException):
    """The process of a node ends here, whatever it does. Nothing of the node may catch it."""


class MemoryDisk:
    """What a node wrote in all its lives."""

    def __init__(self, network: NetworkId) -> None:
        self.connection: Final = sqlite3.connect(_PLACE, isolation_level=None)
        create_tables(self.connection, network)

    def close(self) -> None:
        """Give the memory back."""
        self.connection.close()


class MemoryStore(Store):
    """The store of one life of a node; to close it is to lose what was not committed.

    :param reached: told of each point of a write.
    """

    def __init__(self, disk: MemoryDisk, reached: Reached = pass_by) -> None:
        self._path = _PLACE
        self._reached = reached
        self._grouping = False
        self._connection = disk.connection

    def _rows(self, statement: str, *values: object) -> list[Any]:
        """As for a file, whose troubles memory does not have."""
        return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """End this life."""
        self._connection.rollback()


class MemoryJournal(Journal):
    """The journal of one life of a node: each record is told to somebody and not kept.

    :param told: told of each record.
    :param reached: told before and after each record.
    """

    def __init__(self, told: Told, reached: Reached = pass_by) -> None:
        self._told = told
        self._reached = reached

    def append(self, payload: bytes) -> None:
        """Add one record."""
        self._reached("append: begun")
        self._told(payload)
        self._reached("append: written")

    def close(self) -> None:
        """Nothing is kept open."""

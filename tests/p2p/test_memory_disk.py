"""The disk in memory keeps what was committed, and what it keeps is what a file would."""

from __future__ import annotations

import pytest

from p2p.memory_disk import Crashed, MemoryDisk, MemoryJournal, MemoryStore
from p2p.store import Store
from tests.p2p.worlds import NETWORK


def crash_at(point: str):
    def reached(name: str) -> None:
        if name == point:
            raise Crashed

    return reached


@pytest.mark.parametrize(
    ("point", "is_kept"),
    [
        ("remember_own: begun", False),
        ("remember_own: written", False),
        ("remember_own: committed", True),
    ],
)
def test_a_crash_loses_what_was_not_committed(point: str, is_kept: bool) -> None:
    disk = MemoryDisk(NETWORK)
    with MemoryStore(disk) as store:
        store.remember_own("vote", 1, b"first")
    with pytest.raises(Crashed), MemoryStore(disk, crash_at(point)) as store:
        store.remember_own("vote", 2, b"second")
    with MemoryStore(disk) as store:
        assert store.own("vote", 1) == b"first"
        assert (store.own("vote", 2) == b"second") is is_kept
        store.remember_own("vote", 3, b"third")
    disk.close()


def test_a_crash_within_a_group_loses_all_of_it() -> None:
    disk = MemoryDisk(NETWORK)
    crash = crash_at("put_certificate: grouped")
    with pytest.raises(Crashed), MemoryStore(disk, crash) as store, store.transaction():
        store.put_block(b"name", 1, b"block")
        store.put_certificate(b"name", b"certificate")
    with MemoryStore(disk) as store:
        assert store.block(b"name") is None
        assert store.statistics().certificates == 0


def test_it_holds_what_a_file_holds(tmp_path) -> None:
    def fill(store: Store) -> list[object]:
        with store.transaction():
            store.put_block(b"one", 1, b"block")
            store.put_certificate(b"one", b"certificate")
        store.finalise(1, b"one")
        store.put_body(b"body", b"bytes")
        store.put_note("note", b"value")
        with pytest.raises(AssertionError, match="another block is final"):
            store.finalise(1, b"two")
        return [
            store.final_blocks(1, 9),
            store.unfinalised(),
            store.body(b"body"),
            store.note("note"),
            store.own_latest("vote"),
            store.final_height(),
        ]

    with Store(tmp_path / "store.sqlite", NETWORK) as file:
        on_disk = fill(file)
    with MemoryStore(MemoryDisk(NETWORK)) as memory:
        assert fill(memory) == on_disk


def test_two_disks_know_nothing_of_each_other() -> None:
    one, other = MemoryDisk(NETWORK), MemoryDisk(NETWORK)
    with MemoryStore(one) as store:
        store.put_note("note", b"value")
    with MemoryStore(other) as store:
        assert store.note("note") is None


def test_a_journal_tells_each_record_between_its_points() -> None:
    told: list[object] = []
    with MemoryJournal(told.append, told.append) as journal:
        journal.append(b"record")
    assert told == ["append: begun", b"record", "append: written"]
    with pytest.raises(Crashed):
        MemoryJournal(told.append, crash_at("append: begun")).append(b"lost")
    assert b"lost" not in told

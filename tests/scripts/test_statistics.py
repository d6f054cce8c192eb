"""What a process reads of itself."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import trio

from scripts.statistics import Statistics, measure


def reading(folder: Path) -> Statistics:
    async def read() -> Statistics:
        return measure(folder)

    return trio.run(read)


def test_files_and_sockets_are_counted_while_they_are_open(tmp_path: Path) -> None:
    before = reading(tmp_path)
    with (tmp_path / "file").open("w"):
        one, other = socket.socketpair()
        with one, other:
            during = reading(tmp_path)
    after = reading(tmp_path)
    assert during.descriptors == before.descriptors + 3
    assert during.sockets == before.sockets + 2
    assert (after.descriptors, after.sockets) == (before.descriptors, before.sockets)


def test_tasks_are_counted(tmp_path: Path) -> None:
    async def read() -> int:
        alone = measure(tmp_path).tasks
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(trio.sleep_forever)
            more = measure(tmp_path).tasks
            nursery.cancel_scope.cancel()
        return more - alone

    assert trio.run(read) == 5


def test_memory_that_is_used_shows(tmp_path: Path) -> None:
    before = reading(tmp_path)
    held = bytearray(b"x" * (64 << 20))
    during = reading(tmp_path)
    assert during.resident_bytes - before.resident_bytes > len(held) // 2
    assert before.resident_bytes > 1 << 20


def test_workers_are_the_children_and_counted_apart(tmp_path: Path) -> None:
    before = reading(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        during = reading(tmp_path)
        child.communicate(b"\n")
    after = reading(tmp_path)
    assert during.workers == before.workers + 1
    assert during.worker_bytes > before.worker_bytes
    assert after.workers == before.workers


def test_files_of_the_node_are_measured(tmp_path: Path) -> None:
    assert reading(tmp_path).store_bytes == 0
    (tmp_path / "store.sqlite").write_bytes(b"x" * 100)
    (tmp_path / "store.sqlite-wal").write_bytes(b"x" * 10)
    (tmp_path / "journal").write_bytes(b"x" * 3)
    (tmp_path / "events.jsonl").write_bytes(b"x" * 5)
    found = reading(tmp_path)
    assert (found.store_bytes, found.journal_bytes, found.events_bytes) == (110, 3, 5)


def test_processor_time_only_grows(tmp_path: Path) -> None:
    before = reading(tmp_path)
    after = reading(tmp_path)
    assert 0 < before.processor_ms <= after.processor_ms

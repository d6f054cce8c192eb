"""What a running node takes from its machine, for whoever looks for growth.

Rules. Everything is read from Linux's ``/proc`` and from the node's own folder; what is not there
is an error of the machine and raised as such. Memory is resident memory. Worker processes are the
children of the node, and are counted apart from it, because they come and go with proofs.

Properties. A reading takes a few milliseconds and changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

PAUSE_S: Final = 10.0
"""Pause between two readings."""

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_PROCESSES: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Statistics:
    """One reading.

    :ivar resident_bytes: memory of the node's own process.
    :ivar worker_bytes: memory of its worker processes together.
    :ivar workers: how many there are.
    :ivar tasks: tasks of trio.
    :ivar descriptors: open files, pipes and sockets.
    :ivar sockets: those of them that are sockets.
    :ivar processor_ms: processor time of the node's own process since its start.
    :ivar store_bytes: the store with what SQLite keeps beside it.
    :ivar journal_bytes: the journal.
    :ivar events_bytes: the file of events.
    """

    resident_bytes: int
    worker_bytes: int
    workers: int
    tasks: int
    descriptors: int
    sockets: int
    processor_ms: int
    store_bytes: int
    journal_bytes: int
    events_bytes: int


def measure(folder: Path) -> Statistics:
    """A reading of this process and of the node's folder. Call it in a trio task."""
    own = _PROCESSES / str(os.getpid())
    workers = [_resident_bytes(_PROCESSES / child) for child in _children(own)]
    targets = list(_descriptors(own))
    return Statistics(
        resident_bytes=_resident_bytes(own),
        worker_bytes=sum(workers),
        workers=len(workers),
        tasks=trio.lowlevel.current_statistics().tasks_living,
        descriptors=len(targets),
        sockets=sum(1 for target in targets if target.startswith("socket:")),
        processor_ms=_processor_ms(),
        store_bytes=_size(folder, "store.sqlite*"),
        journal_bytes=_size(folder, "journal"),
        events_bytes=_size(folder, "events.jsonl"),
    )


def _processor_ms() -> int:
    times = os.times()
    return round(1000 * (times.user + times.system))


def _children(process: Path) -> Iterator[str]:
    for path in sorted(process.glob("task/*/children")):
        yield from path.read_text().split()


def _resident_bytes(process: Path) -> int:
    """Resident memory of a process, 0 when it ended meanwhile."""
    try:
        pages = (process / "statm").read_text().split()[1]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(pages) * _PAGE_BYTES


def _descriptors(process: Path) -> Iterator[str]:
    """What each open descriptor refers to; the one that lists them is left out."""
    for path in sorted((process / "fd").iterdir()):
        try:
            yield str(path.readlink())
        except FileNotFoundError:  # it was closed meanwhile, as the listing's own is
            continue


def _size(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(pattern))

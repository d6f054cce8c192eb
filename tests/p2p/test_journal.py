"""The journal: what was appended is read, a torn end is reported, damage elsewhere is refused."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from p2p import journal
from p2p.journal import RECORD_BYTES_MAX, Journal, read_journal
from p2p.store import StoreError

RECORDS = [b"first", b"", b"\x00" * 5, b"the last one"]
MAGIC_BYTES = 18
HEADER_BYTES = 12


def write(path: Path, records: list[bytes]) -> list[int]:
    """Write records and return where each of them ends, preceded by the end of the magic line."""
    ends = [MAGIC_BYTES]
    with Journal(path) as opened:
        for record in records:
            opened.append(record)
            ends.append(ends[-1] + HEADER_BYTES + len(record))
    return ends


@settings(deadline=None)
@given(first=st.lists(st.binary(max_size=50)), second=st.lists(st.binary(max_size=50)))
def test_records_are_read_in_order_and_appended_after_reopening(
    tmp_path_factory: pytest.TempPathFactory, first: list[bytes], second: list[bytes]
):
    path = tmp_path_factory.mktemp("journal") / "events"
    write(path, first)
    write(path, second)
    records = read_journal(path)
    assert list(records) == first + second
    assert list(records) == first + second, "a second iteration starts anew"
    assert records.torn_bytes == 0
    assert records.whole_bytes == path.stat().st_size


def test_an_empty_journal_has_no_records(tmp_path: Path):
    write(tmp_path / "events", [])
    assert list(read_journal(tmp_path / "events")) == []


def test_an_end_torn_at_any_byte_loses_only_the_record_torn(tmp_path: Path):
    path = tmp_path / "events"
    ends = write(path, RECORDS)
    whole = path.read_bytes()
    assert len(whole) == ends[-1]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        kept = sum(end <= length for end in ends) - 1
        last_end = ends[kept] if kept >= 0 else 0
        records = read_journal(path)
        assert list(records) == RECORDS[: max(kept, 0)]
        assert (records.whole_bytes, records.torn_bytes) == (last_end, length - last_end)


def test_appending_after_a_torn_end_removes_it_first(tmp_path: Path):
    path = tmp_path / "events"
    ends = write(path, RECORDS)
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        kept = max(sum(end <= length for end in ends) - 1, 0)
        with Journal(path) as opened:
            assert opened.torn_bytes == (length - ends[kept] if length >= MAGIC_BYTES else length)
            opened.append(b"after")
        assert list(read_journal(path)) == [*RECORDS[:kept], b"after"]


@pytest.mark.parametrize("zeros", [1, 11, 12, 13, 24, 4096, 200_000])
def test_zeros_at_the_end_are_a_torn_end(tmp_path: Path, zeros: int):
    path = tmp_path / "events"
    write(path, RECORDS)
    path.write_bytes(path.read_bytes() + bytes(zeros))
    records = read_journal(path)
    assert list(records) == RECORDS
    assert records.torn_bytes == zeros


@pytest.mark.parametrize("zeros", [12, 200_000])
def test_zeros_before_other_bytes_are_damage(tmp_path: Path, zeros: int):
    path = tmp_path / "events"
    write(path, RECORDS)
    path.write_bytes(path.read_bytes() + bytes(zeros) + b"\x01")
    with pytest.raises(StoreError, match="damaged after byte"):
        list(read_journal(path))


def test_a_last_payload_that_was_never_written_is_a_torn_end(tmp_path: Path):
    path = tmp_path / "events"
    write(path, RECORDS)
    whole = path.read_bytes()
    path.write_bytes(whole[: -len(RECORDS[-1])] + bytes(len(RECORDS[-1])))
    records = read_journal(path)
    assert list(records) == RECORDS[:-1]
    assert records.torn_bytes == HEADER_BYTES + len(RECORDS[-1])


def test_a_flipped_bit_before_the_last_record_is_refused_and_never_read(tmp_path: Path):
    path = tmp_path / "events"
    ends = write(path, RECORDS)
    whole = path.read_bytes()
    for position in range(ends[-2]):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            read = []
            with pytest.raises(StoreError):
                read.extend(read_journal(path))
            assert read == RECORDS[: len(read)]
            with pytest.raises(StoreError):
                Journal(path)
            assert path.read_bytes() == damaged, "nothing is lost"


def test_a_flipped_bit_of_the_last_record_never_reaches_a_replay(tmp_path: Path):
    path = tmp_path / "events"
    ends = write(path, RECORDS)
    whole = path.read_bytes()
    for position in range(ends[-2], ends[-1]):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        if position < ends[-2] + HEADER_BYTES:
            with pytest.raises(StoreError):
                list(read_journal(path))
        else:
            assert list(read_journal(path)) == RECORDS[:-1]


def test_damage_says_where_and_what_to_do(tmp_path: Path):
    path = tmp_path / "events"
    ends = write(path, RECORDS)
    damaged = bytearray(path.read_bytes())
    damaged[ends[1]] ^= 1
    path.write_bytes(damaged)
    records = iter(read_journal(path))
    assert next(records) == RECORDS[0]
    with pytest.raises(StoreError, match=f"damaged after byte {ends[1]}\nhint: "):
        next(records)


def test_a_record_larger_than_the_bound_is_neither_written_nor_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "events"
    with Journal(path) as opened:
        with pytest.raises(ValueError, match="at most"):
            opened.append(bytes(RECORD_BYTES_MAX + 1))
        assert path.stat().st_size == MAGIC_BYTES
        opened.append(bytes(100))
    monkeypatch.setattr(journal, "RECORD_BYTES_MAX", 100)
    assert list(read_journal(path)) == [bytes(100)]
    monkeypatch.setattr(journal, "RECORD_BYTES_MAX", 99)
    with pytest.raises(StoreError, match="damaged"):
        list(read_journal(path))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"x", "is no journal of provnet"),
        (b"SQLite format 3\x00" + bytes(99), "is no journal of provnet"),
        (b"provnet-journal/1\n" + bytes(99), "was written by another version of provnet\nhint: "),
    ],
)
def test_a_foreign_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes, sentence: str):
    path = tmp_path / "events"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=sentence):
        list(read_journal(path))
    with pytest.raises(StoreError, match=sentence):
        Journal(path)
    assert path.read_bytes() == content


def test_what_cannot_be_opened_is_a_store_error(tmp_path: Path):
    with pytest.raises(StoreError, match="No such file"):
        list(read_journal(tmp_path / "missing"))
    with pytest.raises(StoreError, match="No such file"):
        Journal(tmp_path / "missing" / "events")
    with pytest.raises(StoreError, match="hint: "):
        Journal(tmp_path)


def test_a_full_disk_leaves_whole_records_only(tmp_path: Path):
    """A limit on the size of files stands in for the disk: it cuts a write short like one."""
    path = tmp_path / "events"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Journal(path) as opened:
            opened.append(b"kept")
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
            for _ in range(2):
                with pytest.raises(StoreError, match="cannot be used"):
                    opened.append(bytes(100))
            opened.append(b"small")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    records = read_journal(path)
    assert list(records) == [b"kept", b"small"]
    assert records.torn_bytes == 0


def test_records_survive_the_death_of_the_process(tmp_path: Path):
    path = tmp_path / "events"
    program = (
        "import sys; from pathlib import Path; from p2p.journal import Journal\n"
        "opened = Journal(Path(sys.argv[1]))\n"
        "for number in range(1_000_000):\n"
        "    opened.append(str(number).encode())\n"
        "    print(number, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(100):
            said = int(child.stdout.readline())
        child.kill()
    records = list(read_journal(path))
    assert len(records) > said
    assert records == [str(number).encode() for number in range(len(records))]

"""A node whose disk is full or whose files are damaged: it says so, ends, and loses nothing."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from p2p.journal import read_journal
from p2p.peers import AddressBook
from p2p.store import Store, StoreError
from protocol.params import format_genesis, network_id, parse_genesis
from protocol.types import Milliseconds, NetworkId
from scripts.configuration import save_configuration
from scripts.keys import save_identity
from scripts.launcher.plan import Wish, make_plan
from scripts.node import EventLog, SystemClock
from scripts.records import read_lines, write_json

ROOT = Path(__file__).resolve().parents[2]
ALONE = make_plan(Wish(validators=1, provers=1, leaves=2, slot_ms=200, backend="modelled"))
FULL_AT_BYTES = 500_000
PROGRAM = """
import resource, sys
limit = int(sys.argv.pop(1)) or resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from scripts.main import main
main()
"""


def prepared(place: Path) -> Path:
    """What the only node of a network starts from: it orders, makes blocks and proves them."""
    plan = ALONE.starting_at(SystemClock().now_ms())
    member, prover = plan.members
    configuration = replace(member.configuration, prover=prover.configuration.prover)
    genesis = replace(
        plan.genesis,
        accounts=tuple(replace(one, prover_stake=one.log_stake) for one in plan.genesis.accounts),
    )
    folder = place / "nodes" / member.name
    folder.mkdir(parents=True)
    save_identity(folder / "keys.toml", member.secret)
    save_configuration(folder / "node.toml", configuration)
    (folder / configuration.genesis).write_text(format_genesis(genesis))
    return folder


def start(folder: Path, limit_bytes: int = 0) -> subprocess.Popen[str]:
    """Start the node; no file of it may grow beyond a limit, as if the disk were full."""
    command = [sys.executable, "-c", PROGRAM, str(limit_bytes), "node", str(folder / "node.toml")]
    return subprocess.Popen(
        [*command, "--stop-with-input"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fails(folder: Path, limit_bytes: int = 0) -> str:
    """Run the node until it ends by itself; returns what it said at last."""
    with start(folder, limit_bytes) as process:
        assert process.stderr is not None
        told = process.stderr.read()
        assert process.wait() == 1, told
    assert "Traceback" not in told
    assert "\nhint: " in told
    return told[told.index("error: ") :]


def runs(folder: Path) -> None:
    """The node runs well until it is told to stop."""
    with start(folder) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        for line in process.stderr:
            if "going on from" in line:
                break
        process.stdin.close()
        process.stderr.read()
        assert process.wait() == 0


def test_a_full_disk_ends_a_node_with_a_sentence_and_loses_nothing(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    told = fails(folder, FULL_AT_BYTES)
    assert "cannot be used: File too large" in told or "could not be read or written" in told
    heights = [one["tick"] for one in read_lines(folder / "events.jsonl") if one["kind"] == "Final"]
    with Store(folder / "store.sqlite", network_of(folder)) as store:
        before = store.final_height()
        assert heights == [*range(1, len(heights) + 1)]
        assert 0 < len(heights) <= before
    assert sum(1 for _ in read_journal(folder / "journal"))
    runs(folder)
    with Store(folder / "store.sqlite", network_of(folder)) as store:
        assert store.final_height() >= before


def network_of(folder: Path) -> NetworkId:
    return network_id(parse_genesis((folder.parents[1] / "genesis.toml").read_text()))


def overwritten(content: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(content)

    return damage


def flipped(path: Path) -> None:
    """One byte near the start is not what it was."""
    raw = bytearray(path.read_bytes())
    raw[24] ^= 0xFF
    path.write_bytes(raw)


def halved(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2 + 1])


@pytest.mark.parametrize(
    ("name", "damage", "sentence"),
    [
        ("store.sqlite", halved, "is damaged, or is no store"),
        ("journal", flipped, "is damaged after byte"),
        ("peers.json", overwritten(b'[{"addresses": ['), "is not an address book"),
        ("keys.toml", overwritten(b'secret = "12"'), "does not hold exactly one secret"),
        ("genesis.toml", overwritten(b"\xff\xfe"), "is damaged, or is no genesis"),
        ("node.toml", overwritten(b"name = "), "is not TOML"),
    ],
)
def test_a_damaged_file_is_named_and_left_as_it_is(
    lived: Path, name: str, damage: Callable[[Path], None], sentence: str
) -> None:
    (path,) = lived.parents[1].rglob(name)
    kept = path.read_bytes()
    damage(path)
    damaged = path.read_bytes()
    try:
        told = fails(lived)
        assert sentence in told
        assert f"/{name} " in told or f"/{name}:" in told
        assert path.read_bytes() == damaged
    finally:
        path.write_bytes(kept)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a node that has run and stopped."""
    folder = prepared(tmp_path_factory.mktemp("lived"))
    runs(folder)
    return folder


# single files, with a limit within this process


@contextmanager
def files_up_to(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond a size, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class StoppedClock:
    def now_ms(self) -> Milliseconds:
        return Milliseconds(7)


def test_events_are_whole_lines_on_a_full_disk_and_after_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events = EventLog(path, StoppedClock())
    events.stage("first")
    with files_up_to(path.stat().st_size + 20):
        with pytest.raises(StoreError, match=r"events.jsonl cannot be used.*\nhint: "):
            events.stage("does not fit")
    events.stage("second")
    events.close()
    assert [one["stage"] for one in read_lines(path)] == ["first", "second"]


def test_a_line_that_was_cut_short_is_taken_out_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for stage in ("first", "second"):
        events = EventLog(path, StoppedClock())
        events.stage(stage)
        events.close()
        with path.open("ab") as file:
            file.write(b'{"at_ms":7,"ki')
    assert [one["stage"] for one in read_lines(path)] == ["first", "second"]


@pytest.mark.parametrize("write", [AddressBook().save, lambda path: write_json(path, [1, 2])])
def test_a_small_file_stays_as_it_was_on_a_full_disk(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    path = tmp_path / "small.json"
    path.write_text("before")
    with files_up_to(1), pytest.raises(StoreError, match=r"small.json cannot be used.*\nhint: "):
        write(path)
    assert path.read_text() == "before"
    write(path)
    assert path.read_text() != "before"

"""The store: each method's contract, a model in dictionaries, death, and a hostile world."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from p2p import store as module
from p2p.store import Store, StoreError
from protocol.types import NetworkId

NETWORK = NetworkId(b"\x01" * 32)
OTHER_NETWORK = NetworkId(b"\x02" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with Store(path, NETWORK) as opened:
        yield opened


def chain(store: Store, length: int) -> list[bytes]:
    """Put and finalise blocks at heights 1 to ``length``; returns their hashes."""
    hashes = [f"block {height}".encode() for height in range(1, length + 1)]
    for height, block_hash in enumerate(hashes, start=1):
        store.put_block(block_hash, height, b"payload of " + block_hash)
        store.put_certificate(block_hash, b"certificate of " + block_hash)
        store.finalise(height, block_hash)
    return hashes


# what this node said


def test_own_is_what_was_remembered(store: Store):
    assert store.own("vote", 3) is None
    assert store.own_latest("vote") is None
    store.remember_own("vote", 3, b"a")
    store.remember_own("vote", 0, b"b")
    store.remember_own("proposal", 7, b"")
    assert store.own("vote", 3) == b"a"
    assert store.own("vote", 0) == b"b"
    assert store.own("proposal", 7) == b""
    assert store.own("proposal", 3) is None
    assert store.own_latest("vote") == 3
    assert store.own_latest("proposal") == 7


def test_saying_something_else_in_the_same_slot_is_our_bug(store: Store):
    store.remember_own("vote", 3, b"a")
    store.remember_own("vote", 3, b"a")
    with pytest.raises(AssertionError, match="second vote in slot 3"):
        store.remember_own("vote", 3, b"b")
    assert store.own("vote", 3) == b"a"


def test_what_was_said_holds_after_reopening(path: Path):
    with Store(path, NETWORK) as store:
        store.remember_own("vote", 3, b"a")
    with Store(path, NETWORK) as store:
        with pytest.raises(AssertionError, match="second vote"):
            store.remember_own("vote", 3, b"b")
        assert store.own("vote", 3) == b"a"


def test_writes_wait_for_the_disk(store: Store):
    assert store._value("PRAGMA journal_mode") == "wal"
    assert store._value("PRAGMA synchronous") == 2, "FULL"


# the log


def test_the_first_payload_of_a_hash_stays(store: Store):
    for payload in (b"first", b"second"):
        store.put_block(b"hash", 1, payload)
        store.put_body(b"hash", payload)
        store.put_certificate(b"hash", payload)
    store.put_block(b"hash", 2, b"first")
    assert store.block(b"hash") == store.body(b"hash") == b"first"
    assert store.unfinalised() == [(b"hash", b"first", b"first")]
    store.finalise(1, b"hash")


def test_a_block_is_found_by_its_hash_final_or_not(store: Store):
    assert store.block(b"unknown") is None
    (final,) = chain(store, 1)
    store.put_block(b"next", 2, b"payload")
    assert store.block(final) == b"payload of block 1"
    assert store.block(b"next") == b"payload"


def test_final_blocks_come_in_order_with_their_certificates(store: Store):
    assert store.final_blocks(0, 10) == []
    assert store.final_height() == 0
    hashes = chain(store, 3)
    store.put_block(b"bare", 4, b"no certificate")
    store.finalise(4, b"bare")
    expected = [
        (height, block_hash, b"payload of " + block_hash, b"certificate of " + block_hash)
        for height, block_hash in enumerate(hashes, start=1)
    ]
    everything = [*expected, (4, b"bare", b"no certificate", None)]
    assert store.final_height() == 4
    assert store.final_blocks(0, 10) == everything
    assert store.final_blocks(2, 2) == everything[1:3]
    assert store.final_blocks(4, 10) == everything[3:]
    assert store.final_blocks(5, 10) == []
    assert store.final_blocks(1, 0) == store.final_blocks(1, -1) == []


def test_finalising_again_changes_nothing(store: Store):
    hashes = chain(store, 2)
    store.finalise(1, hashes[0])
    store.finalise(2, hashes[1])
    assert store.final_height() == 2


def test_a_final_block_is_never_changed(store: Store):
    chain(store, 2)
    store.put_block(b"rival", 1, b"payload")
    with pytest.raises(AssertionError, match="another block is final at height 1"):
        store.finalise(1, b"rival")
    assert store.final_blocks(1, 1)[0][1] == b"block 1"


@pytest.mark.parametrize("height", [-1, 0, 4, 5])
def test_final_heights_are_contiguous(store: Store, height: int):
    chain(store, 2)
    store.put_block(b"block", height, b"payload")
    with pytest.raises(AssertionError, match="not the next final one"):
        store.finalise(height, b"block")
    assert store.final_height() == 2


def test_only_a_block_of_that_height_becomes_final(store: Store):
    store.put_block(b"higher", 2, b"payload")
    with pytest.raises(AssertionError, match="no such block"):
        store.finalise(1, b"unknown")
    with pytest.raises(AssertionError, match="no such block"):
        store.finalise(1, b"higher")
    assert store.final_height() == 0


def test_unfinalised_blocks_are_those_above_the_final_height(store: Store):
    chain(store, 2)
    store.put_block(b"fork", 2, b"below")
    store.put_block(b"d", 4, b"fourth")
    store.put_block(b"c", 3, b"third")
    store.put_block(b"b", 3, b"third too")
    store.put_certificate(b"c", b"votes")
    expected = [(b"b", b"third too", None), (b"c", b"third", b"votes"), (b"d", b"fourth", None)]
    assert store.unfinalised() == expected


def test_a_certificate_may_come_before_its_block(store: Store):
    store.put_certificate(b"hash", b"votes")
    assert store.unfinalised() == []
    store.prune_forks()
    store.put_block(b"hash", 1, b"payload")
    assert store.unfinalised() == [(b"hash", b"payload", b"votes")]


def test_pruning_forgets_forks_and_nothing_else(store: Store):
    hashes = chain(store, 2)
    for name, height in ((b"old fork", 1), (b"fork", 2), (b"open", 3)):
        store.put_block(name, height, b"payload")
        store.put_certificate(name, b"votes")
    store.prune_forks()
    assert store.block(b"old fork") is store.block(b"fork") is None
    assert store.unfinalised() == [(b"open", b"payload", b"votes")]
    assert [(found, votes) for _, found, _, votes in store.final_blocks(1, 9)] == [
        (block_hash, b"certificate of " + block_hash) for block_hash in hashes
    ]
    assert store.statistics().certificates == 3


# bodies, notes, figures


def test_bodies(store: Store):
    assert not store.has_body(b"hash")
    assert store.body(b"hash") is None
    store.put_body(b"hash", b"")
    assert store.has_body(b"hash")
    assert store.body(b"hash") == b""


def test_a_note_replaces_the_one_before(store: Store):
    assert store.note("peers") is None
    store.put_note("peers", b"one")
    store.put_note("peers", b"two")
    store.put_note("other", b"three")
    assert store.note("peers") == b"two"
    assert store.note("other") == b"three"


def test_statistics_count(store: Store):
    small = store.statistics()
    chain(store, 2)
    store.put_block(b"open", 3, b"payload")
    store.put_body(b"body", bytes(100_000))
    for number in range(4):
        store.put_note(str(number), b"")
    for slot in range(5):
        store.remember_own("vote", slot, b"")
    found = store.statistics()
    assert (found.final_height, found.blocks, found.certificates) == (2, 3, 2)
    assert (found.bodies, found.notes, found.own) == (1, 4, 5)
    assert small.size_bytes < 100_000 < found.size_bytes


# groups of writes


def test_a_transaction_is_there_whole(path: Path):
    with Store(path, NETWORK) as store:
        with store.transaction():
            chain(store, 2)
            store.remember_own("vote", 1, b"a")
            assert store.final_height() == 2, "reads see the writes"
    with Store(path, NETWORK) as store:
        assert store.final_height() == 2
        assert store.own("vote", 1) == b"a"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_transaction_that_raises_leaves_nothing(store: Store, error: type[BaseException]):
    store.put_note("before", b"stays")
    with pytest.raises(error):
        with store.transaction():
            chain(store, 2)
            store.put_note("before", b"changed")
            raise error
    assert store.statistics().blocks == store.final_height() == 0
    assert store.note("before") == b"stays"
    store.put_note("after", b"works")
    assert store.note("after") == b"works"


def test_transactions_do_not_nest(store: Store):
    with pytest.raises(AssertionError, match="do not nest"):
        with store.transaction(), store.transaction():
            pass
    with store.transaction():
        store.put_note("name", b"works")
    assert store.note("name") == b"works"


# the world


def refusal(path: Path, network: NetworkId = NETWORK) -> StoreError:
    """The error of opening a file, which must be left as it is."""
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        Store(path, network)
    assert path.read_bytes() == before
    assert str(path) in caught.value.sentence
    assert str(caught.value) == f"{caught.value.sentence}\nhint: {caught.value.hint}"
    return caught.value


def test_a_file_of_another_network_is_refused(path: Path):
    with Store(path, OTHER_NETWORK) as store:
        store.put_note("name", b"value")
    error = refusal(path)
    assert f"belongs to network {OTHER_NETWORK.hex()}" in error.sentence
    with Store(path, OTHER_NETWORK) as store:
        assert store.note("name") == b"value"


def test_a_file_of_another_version_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as newer:
        newer.setattr(module, "SCHEMA_VERSION", 4)
        Store(path, NETWORK).close()
    assert "version 4; this program reads version 3" in refusal(path).sentence


@pytest.mark.parametrize("content", [b"", b"x", b"not a store\n" * 1000, bytes(8192)])
def test_a_foreign_file_is_refused(path: Path, content: bytes):
    path.write_bytes(content)
    assert "is damaged, or is no store of provnet" in refusal(path).sentence


def test_a_database_of_another_program_is_refused(path: Path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE own (kind, slot, payload)")
    connection.close()
    assert "is no store of provnet" in refusal(path).sentence


def filled(path: Path) -> bytes:
    with Store(path, NETWORK) as store:
        chain(store, 30)
        for number in range(30):
            store.put_body(str(number).encode(), bytes([number]) * 5000)
    return path.read_bytes()


def test_a_file_cut_short_anywhere_is_refused(path: Path):
    whole = filled(path)
    page_bytes = 4096
    for length in [1, 99, 100, 4095, *range(page_bytes, len(whole), page_bytes), len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert "damaged" in refusal(path).sentence


def test_a_page_overwritten_is_refused(path: Path):
    whole = filled(path)
    with Store(path, NETWORK) as store:
        roots = [page for (page,) in store._rows("SELECT rootpage FROM sqlite_master")]
    for root in roots:
        start = (root - 1) * 4096
        path.write_bytes(whole[:start] + b"\xff" * 4096 + whole[start + 4096 :])
        assert "damaged" in refusal(path).sentence


def overwrite_pages(path: Path) -> None:
    """Overwrite all pages but the first, under the hands of whoever has the file open."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


def test_damage_found_while_running_is_a_store_error(path: Path):
    filled(path)
    with Store(path, NETWORK) as store:
        overwrite_pages(path)
        store._rows("PRAGMA shrink_memory")
        with pytest.raises(StoreError, match="damaged"):
            store.body(b"7")


def test_a_write_ahead_log_without_its_file_is_refused(path: Path):
    path.with_name(path.name + "-wal").write_bytes(b"votes")
    with pytest.raises(StoreError, match="put the missing file back"):
        Store(path, NETWORK)
    assert not path.exists()


def test_a_second_process_is_refused_until_the_first_is_gone(path: Path):
    with Store(path, NETWORK) as store:
        store.remember_own("vote", 1, b"a")
        with pytest.raises(StoreError, match="in use by another process"):
            Store(path, NETWORK)
        store.remember_own("vote", 2, b"b")
    with Store(path, NETWORK) as store:
        assert store.own_latest("vote") == 2


def test_the_slower_of_two_creators_takes_the_file_of_the_faster(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as blind:
        blind.setattr(Path, "exists", lambda _: False)
        with Store(path, NETWORK) as store:
            store.remember_own("vote", 1, b"a")
        with Store(path, NETWORK) as store:
            assert store.own("vote", 1) == b"a"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_creating_leaves_nothing_but_the_store(path: Path):
    Store(path, NETWORK).close()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_path_with_special_characters(tmp_path: Path):
    path = tmp_path / "a?mode=memory&b#c%20d"
    with Store(path, NETWORK) as store:
        store.put_note("name", b"value")
    assert path.exists()
    with Store(path, NETWORK) as store:
        assert store.note("name") == b"value"


def test_a_path_that_cannot_be_created_or_opened(tmp_path: Path):
    with pytest.raises(StoreError, match="cannot be opened for reading and writing"):
        Store(tmp_path / "missing" / "node.db", NETWORK)
    with pytest.raises(StoreError, match="hint: "):
        Store(tmp_path, NETWORK)


REFUSED_RIGHTS = """
import os, sys
from pathlib import Path
from p2p.store import Store, StoreError
if os.geteuid() == 0:
    os.setuid(65534)
try:
    Store(Path(sys.argv[1]), bytes([1]) * 32)
except StoreError as error:
    print(error.sentence)
"""


@pytest.mark.parametrize("exists", [True, False])
def test_missing_rights_are_a_store_error(exists: bool):
    with TemporaryDirectory() as directory:
        path = Path(directory) / "node.db"
        if exists:
            Store(path, NETWORK).close()
            path.chmod(0o444)
        path.parent.chmod(0o555)
        said = run(REFUSED_RIGHTS, path)
        path.parent.chmod(0o755)
    assert said == f"{path} cannot be opened for reading and writing\n"


def limit_pages(store: Store, spare: int) -> None:
    """Let the file grow by no more than this many pages, as on a full disk."""
    pages = store._value("PRAGMA page_count")
    store._rows(f"PRAGMA max_page_count = {pages + spare}")


def test_a_full_disk_loses_nothing_and_is_said(path: Path):
    with Store(path, NETWORK) as store:
        store.remember_own("vote", 1, b"a")
        chain(store, 2)
        limit_pages(store, 0)
        with pytest.raises(StoreError, match=r"no space left for .*\nhint: free some space"):
            store.put_body(b"body", bytes(100_000))
        with pytest.raises(StoreError, match="no space left"):
            store.remember_own("vote", 2, bytes(100_000))
        assert not store.has_body(b"body")
        assert store.own_latest("vote") == 1
        assert store.final_height() == 2
        limit_pages(store, 1000)
        store.remember_own("vote", 2, b"b")
    with Store(path, NETWORK) as store:
        assert store.own_latest("vote") == 2
        assert store.final_height() == 2


def test_a_disk_that_fills_up_within_a_transaction_undoes_all_of_it(store: Store):
    limit_pages(store, 0)
    with pytest.raises(StoreError, match="no space left"):
        with store.transaction():
            store.put_note("first", b"value")
            store.put_body(b"body", bytes(100_000))
    assert store.note("first") is None
    store.put_note("second", b"value")
    assert store.note("second") == b"value"


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_transaction_cannot_outlive_a_write_that_failed(store: Store, goes_on: bool):
    limit_pages(store, 0)
    with pytest.raises(StoreError, match="an earlier step of this transaction"):
        with store.transaction():
            store.put_note("first", b"value")
            with pytest.raises(StoreError, match="no space left"):
                store.put_body(b"body", bytes(100_000))
            if goes_on:
                store.put_note("second", b"value")
    assert store.note("first") is store.note("second") is None
    store.put_note("third", b"value")


def test_a_transaction_cannot_outlive_a_read_that_failed(path: Path):
    filled(path)
    with Store(path, NETWORK) as store:
        with pytest.raises(StoreError, match="an earlier step of this transaction"):
            with store.transaction():
                store.put_note("first", b"value")
                overwrite_pages(path)
                store._rows("PRAGMA shrink_memory")
                with pytest.raises(StoreError, match="damaged"):
                    store.body(b"7")


FILLS_THE_DISK = """
import resource, signal, sys
from pathlib import Path
from p2p.store import Store, StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
store = Store(path, bytes([1]) * 32)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
slot = 0
try:
    while True:
        store.remember_own("vote", slot + 1, bytes(1000))
        slot += 1
except StoreError as error:
    print(slot, store.own_latest("vote"), error.hint, sep="|")
"""


def test_a_write_cut_short_loses_nothing(path: Path):
    """A limit on the size of files makes the commit itself fail, as a full disk does."""
    slot, latest, hint = run(FILLS_THE_DISK, path).split("|")
    assert slot == latest
    assert int(slot) > 10
    assert "what was stored before is unchanged" in hint
    with Store(path, NETWORK) as store:
        assert store.own_latest("vote") == int(slot)
        store.remember_own("vote", int(slot) + 1, b"works")


# death


def run(program: str, path: Path) -> str:
    command = [sys.executable, "-c", program, str(path)]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


VOTES_FOR_EVER = """
import sys
from pathlib import Path
from p2p.store import Store
store = Store(Path(sys.argv[1]), bytes([1]) * 32)
slot = (store.own_latest("vote") or 0) + 1
while True:
    with store.transaction():
        store.put_block(b"%d" % slot, slot, bytes(3000))
        store.finalise(slot, b"%d" % slot)
        store.put_note("height", b"%d" % slot)
    store.remember_own("vote", slot, b"%d" % slot)
    print(slot, flush=True)
    slot += 1
"""


def test_nothing_said_is_forgotten_when_the_process_is_killed(path: Path):
    for lines in (1, 2, 3, 10, 50):
        command = [sys.executable, "-c", VOTES_FOR_EVER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(lines):
                said = int(child.stdout.readline())
            child.kill()
        with Store(path, NETWORK) as store:
            latest, height = store.own_latest("vote"), store.final_height()
            assert latest is not None
            assert latest >= said
            assert height in {latest, latest + 1}
            assert store.note("height") == b"%d" % height, "a group is there whole"
            assert [block[0] for block in store.final_blocks(1, height)] == [*range(1, height + 1)]
            assert all(store.own("vote", slot) == b"%d" % slot for slot in range(1, latest + 1))
            store.remember_own("vote", height, b"%d" % height)


def test_every_prefix_of_the_write_ahead_log_is_a_moment_of_the_past(path: Path, tmp_path: Path):
    """After a power failure the log ends anywhere; what is found then was true at some time."""
    copies = tmp_path / "copies"
    copies.mkdir()
    with Store(path, NETWORK) as store:
        for slot in range(1, 8):
            with store.transaction():
                store.remember_own("vote", slot, bytes([slot]) * 3000)
                store.put_note("latest", bytes([slot]))
        for name in (path.name, path.name + "-wal"):
            shutil.copy(path.with_name(name), copies / name)
    log = (copies / (path.name + "-wal")).read_bytes()
    found = []
    for length in range(0, len(log) + 1, 1031):
        copy = copies / f"{length}.db"
        shutil.copy(copies / path.name, copy)
        copy.with_name(copy.name + "-wal").write_bytes(log[:length])
        with Store(copy, NETWORK) as store:
            latest = store.own_latest("vote")
            assert store.note("latest") == (None if latest is None else bytes([latest]))
            assert store.statistics().own == (latest or 0)
            found.append(latest or 0)
    assert found == sorted(found)
    assert {*range(7)} <= {*found}


# a model

keys = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"])
payloads = st.binary(max_size=4)
heights = st.integers(1, 4)
kinds = st.sampled_from(["vote", "proposal"])
slots = st.integers(0, 4)


class Model:
    """The store in dictionaries."""

    def __init__(self) -> None:
        self.own: dict[tuple[str, int], bytes] = {}
        self.blocks: dict[bytes, tuple[int, bytes]] = {}
        self.certificates: dict[bytes, bytes] = {}
        self.final: list[bytes] = []
        self.bodies: dict[bytes, bytes] = {}
        self.outdated: dict[bytes, int] = {}
        self.notes: dict[str, bytes] = {}

    def copy(self) -> Model:
        copied = Model()
        copied.__dict__.update({name: value.copy() for name, value in self.__dict__.items()})
        return copied


class StoreMachine(RuleBasedStateMachine):
    """Does the same to a store and to a model; groups are undone at random, the file reopened."""

    @initialize()
    def create(self) -> None:
        self.directory = TemporaryDirectory()
        self.path = Path(self.directory.name) / "node.db"
        self.store = Store(self.path, NETWORK)
        self.model = Model()
        self.saved: Model | None = None

    def teardown(self) -> None:
        if self.saved is not None:
            self.end(keep=True)
        self.store.close()
        self.directory.cleanup()

    def expect(self, allowed: bool, action: Callable[[], None]) -> bool:
        if allowed:
            action()
            return True
        with pytest.raises(AssertionError):
            action()
        return False

    @rule(kind=kinds, slot=slots, payload=payloads)
    def remember_own(self, kind: str, slot: int, payload: bytes) -> None:
        said = self.model.own.get((kind, slot), payload)
        if self.expect(said == payload, lambda: self.store.remember_own(kind, slot, payload)):
            self.model.own[kind, slot] = payload

    @rule(block_hash=keys, height=heights, payload=payloads)
    def put_block(self, block_hash: bytes, height: int, payload: bytes) -> None:
        self.store.put_block(block_hash, height, payload)
        self.model.blocks.setdefault(block_hash, (height, payload))

    @rule(block_hash=keys, payload=payloads)
    def put_certificate(self, block_hash: bytes, payload: bytes) -> None:
        self.store.put_certificate(block_hash, payload)
        self.model.certificates.setdefault(block_hash, payload)

    @rule(height=heights, block_hash=keys)
    def finalise(self, height: int, block_hash: bytes) -> None:
        final = self.model.final
        again = height <= len(final) and final[height - 1] == block_hash
        known = self.model.blocks.get(block_hash, (0, b""))[0] == height
        follows = height == len(final) + 1 and known
        if self.expect(again or follows, lambda: self.store.finalise(height, block_hash)):
            self.model.final[height - 1 :] = [block_hash, *final[height:]]

    @rule()
    def finalise_next(self) -> None:
        height = len(self.model.final) + 1
        for block_hash, (found, _) in sorted(self.model.blocks.items()):
            if found == height:
                self.finalise(height, block_hash)
                return

    @rule()
    def prune_forks(self) -> None:
        self.store.prune_forks()
        for block_hash, (height, _) in list(self.model.blocks.items()):
            if height <= len(self.model.final) and block_hash not in self.model.final:
                del self.model.blocks[block_hash]
                self.model.certificates.pop(block_hash, None)

    @rule(body_hash=keys, payload=payloads)
    def put_body(self, body_hash: bytes, payload: bytes) -> None:
        self.store.put_body(body_hash, payload)
        self.model.bodies.setdefault(body_hash, payload)
        self.model.outdated.pop(body_hash, None)

    @rule(names=st.lists(keys), height=heights)
    def outdate_bodies(self, names: list[bytes], height: int) -> None:
        self.store.outdate_bodies(names, height)
        self.model.outdated |= {name: height for name in names if name in self.model.bodies}

    @rule(height=heights)
    def forget_bodies(self, height: int) -> None:
        self.store.forget_bodies(height)
        for name, outdated in list(self.model.outdated.items()):
            if outdated <= height:
                del self.model.bodies[name], self.model.outdated[name]

    @rule(name=kinds, payload=payloads)
    def put_note(self, name: str, payload: bytes) -> None:
        self.store.put_note(name, payload)
        self.model.notes[name] = payload

    @precondition(lambda self: self.saved is None)
    @rule()
    def begin(self) -> None:
        self.group = self.store.transaction()
        self.group.__enter__()
        self.saved = self.model.copy()

    @precondition(lambda self: self.saved is not None)
    @rule(keep=st.booleans())
    def end(self, keep: bool) -> None:
        assert self.saved is not None
        if keep:
            self.group.__exit__(None, None, None)
        else:
            error = ValueError("undo")
            with pytest.raises(ValueError, match="undo"):
                if not self.group.__exit__(ValueError, error, None):
                    raise error
            self.model = self.saved
        self.saved = None

    @precondition(lambda self: self.saved is None)
    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store(self.path, NETWORK)

    @invariant()
    def own_agrees(self) -> None:
        for kind in ("vote", "proposal"):
            said = [slot for found, slot in self.model.own if found == kind]
            assert self.store.own_latest(kind) == max(said, default=None)
            for slot in range(5):
                assert self.store.own(kind, slot) == self.model.own.get((kind, slot))
            assert self.store.note(kind) == self.model.notes.get(kind)

    @invariant()
    def log_agrees(self) -> None:
        model = self.model
        assert self.store.final_height() == len(model.final)
        assert self.store.final_blocks(2, 2) == [
            (height, name, model.blocks[name][1], model.certificates.get(name))
            for height, name in enumerate(model.final[1:3], start=2)
        ]
        assert self.store.unfinalised() == [
            (name, payload, model.certificates.get(name))
            for height, name, payload in sorted(
                (height, name, payload) for name, (height, payload) in model.blocks.items()
            )
            if height > len(model.final)
        ]

    @invariant()
    def values_agree(self) -> None:
        for key in (b"a", b"b", b"c", b"d", b"e", b"f"):
            assert self.store.block(key) == self.model.blocks.get(key, (0, None))[1]
            assert self.store.body(key) == self.model.bodies.get(key)
            assert self.store.has_body(key) == (key in self.model.bodies)

    @invariant()
    def statistics_agree(self) -> None:
        found = self.store.statistics()
        model = self.model
        assert (found.final_height, found.own) == (len(model.final), len(model.own))
        assert (found.blocks, found.certificates) == (len(model.blocks), len(model.certificates))
        assert (found.bodies, found.notes) == (len(model.bodies), len(model.notes))


StoreMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestStoreAgreesWithTheModel = StoreMachine.TestCase

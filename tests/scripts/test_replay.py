"""Journals of a whole network, one node of which was stopped and started again, replayed as they
are and with every kind of fault.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio
from typer.testing import CliRunner

from p2p.journal import Entry, Journal, Started, read_journal
from p2p.store import Store, StoreError
from protocol.codec import decode, encode
from protocol.events import JobProven, PoolMember
from protocol.happenings import BlockHeard, BodyChecked, CertifiedHeard, Happening, TimePassed
from protocol.params import format_genesis
from protocol.proving.elected import Elected
from protocol.rules import Frame, Job
from protocol.types import Milliseconds
from scripts.configuration import (
    CheatConfiguration,
    ConfigurationError,
    load_configuration,
    save_configuration,
)
from scripts.export import ExportFailed, provable_log
from scripts.keys import save_identity
from scripts.launcher.plan import Wish
from scripts.main import application
from scripts.records import read_lines, write_json
from scripts.replay import Difference, ReplayFailed, ReplayReport, replay_journal
from tests.p2p.town import Resident, Town, live

SLEEPER = "validator-2"
STRANGER = "prover-1"


@dataclass
class Lived:
    """A run folder, and how far each node came as its observer was told."""

    run: Path
    heights: dict[str, int]

    def copy(self, target: Path, name: str = SLEEPER) -> Path:
        """A node's folder to tamper with, where it still finds its genesis."""
        shutil.copytree(self.run / "nodes" / name, target / "nodes" / name)
        shutil.copy(self.run / "genesis.toml", target)
        return target / "nodes" / name


def write_down(town: Town, resident: Resident) -> None:
    """The files that a process leaves in its folder beside store and journal."""
    folder = resident.folder
    configuration = replace(resident.member.configuration, genesis="../../genesis.toml")
    save_configuration(folder / "node.toml", configuration)
    save_identity(folder / "keys.toml", resident.member.secret)
    write_json(folder / "report.json", resident.report())


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """A block is proven while a validator sleeps and comes back twice."""
    run = tmp_path_factory.mktemp("town")
    (run / "nodes").mkdir()
    town = Town(run / "nodes", Wish(4, 4, 4, 1, 1_000, "modelled"))

    async def story(nursery: trio.Nursery) -> None:
        sleeper = town[SLEEPER]
        await town.until(lambda: sleeper.height >= 5)
        sleeper.stop()
        await town.until(lambda: town["validator-1"].height >= 9)
        nursery.start_soon(sleeper.run)
        await town.until(lambda: sleeper.height >= 12)
        sleeper.stop()
        await town.until(lambda: town["validator-1"].height >= 15)
        nursery.start_soon(sleeper.run)
        await town.until(lambda: all(town.settled(name) for name in town.residents))

    live(town, story)
    (run / "genesis.toml").write_text(format_genesis(town.genesis))
    for resident in town.residents.values():
        write_down(town, resident)
    return Lived(run, {name: resident.height for name, resident in town.residents.items()})


def entries(folder: Path) -> list[Entry]:
    return [
        decode(Entry, payload, size_max=len(payload))
        for payload in read_journal(folder / "journal")
    ]


def rewrite(folder: Path, kept: list[Entry] | Iterator[Entry]) -> None:
    kept = list(kept)
    (folder / "journal").unlink()
    with Journal(folder / "journal") as journal:
        for entry in kept:
            journal.append(encode(entry, Entry))


def difference(folder: Path) -> Difference:
    found = replay_journal(folder).difference
    assert found is not None, "the planted fault was not found"
    return found


def final_heights(folder: Path) -> int:
    return replay_journal(folder).heights


# --- as they are ---


def test_every_journal_agrees_with_all_that_its_node_said_and_signed(lived: Lived) -> None:
    for name, height in lived.heights.items():
        folder = lived.run / "nodes" / name
        report = replay_journal(folder)
        assert report.difference is None
        assert report.heights >= height
        assert report.agreed == {"report.json": height, "events.jsonl": height}
        assert report.torn_bytes == 0
        assert report.kinds["Started"] == (3 if name == SLEEPER else 1)
        assert sum(report.kinds.values()) == len(entries(folder))
        assert bool(report.signed) == name.startswith("validator")


def test_a_node_goes_on_from_its_store_in_its_journal(lived: Lived) -> None:
    told = entries(lived.run / "nodes" / SLEEPER)
    starts = [at for at, entry in enumerate(told) if isinstance(entry, Started)]
    assert starts[0] == 0
    first, second, third = (told[at] for at in starts)
    assert (first.proposed, first.voted) == (0, 0)
    assert 0 < second.voted < third.voted
    restored = [[encode(entry, Happening) for entry in told[at + 1 : at + 5]] for at in starts[1:]]
    assert len(restored[0]) == 4
    for ours, again in zip(*restored, strict=True):
        assert decode(Happening, ours, size_max=10**6).blocks == (
            decode(Happening, again, size_max=10**6).blocks
        )


def test_the_file_and_its_folder_are_the_same_to_it(lived: Lived) -> None:
    folder = lived.run / "nodes" / STRANGER
    assert replay_journal(folder / "journal") == replay_journal(folder)


def test_without_a_report_or_a_store_the_rest_is_compared(lived: Lived, tmp_path: Path) -> None:
    folder = lived.copy(tmp_path)
    (folder / "report.json").unlink()
    (folder / "store.sqlite").unlink()
    report = replay_journal(folder)
    assert report.difference is None
    assert report.agreed == {"events.jsonl": lived.heights[SLEEPER]}
    assert report.signed is None
    assert any("not compared" in line for line in report.lines)


def test_an_end_that_was_cut_short_is_left_out(lived: Lived, tmp_path: Path) -> None:
    folder = lived.copy(tmp_path)
    whole = (folder / "journal").read_bytes()
    rewrite(folder, [*entries(folder), TimePassed(Milliseconds(10**9))])
    longer = (folder / "journal").read_bytes()
    (folder / "journal").write_bytes(longer[:-1])
    report = replay_journal(folder)
    assert report.torn_bytes == len(longer) - 1 - len(whole)
    assert report.difference is None


# --- planted differences ---


def test_a_wrong_digest_in_the_report_is_found_with_the_event_that_it_is_about(
    lived: Lived, tmp_path: Path
) -> None:
    folder = lived.copy(tmp_path)
    report = json.loads((folder / "report.json").read_text())
    right, wrong = report["digests"]["7"], "00" * 32
    report["digests"]["7"] = wrong
    (folder / "report.json").write_text(json.dumps(report))
    found = difference(folder)
    assert found.what == "digest after height 7"
    assert (found.source, found.told, found.replayed) == ("report.json", wrong, right)
    told = entries(folder)
    assert found.kind == type(told[found.event - 1]).__name__
    rewrite(folder, told[: found.event - 1])
    before = final_heights(folder)
    rewrite(folder, told[: found.event])
    assert before < 7 <= final_heights(folder)


def test_a_wrong_digest_in_one_life_of_the_events_is_found(lived: Lived, tmp_path: Path) -> None:
    folder = lived.copy(tmp_path)
    records = list(read_lines(folder / "events.jsonl"))
    again = [one for one in records if one["kind"] == "Final" and one["tick"] == 3]
    assert len(again) == 3, "each life tells it"
    again[-1]["digest"] = "11" * 32
    lines = "".join(json.dumps(one) + "\n" for one in records)
    (folder / "events.jsonl").write_text(lines)
    found = difference(folder)
    assert (found.what, found.source) == ("digest after height 3", "events.jsonl")
    assert found.told == "11" * 32


def test_a_height_that_was_never_final_is_found(lived: Lived, tmp_path: Path) -> None:
    folder = lived.copy(tmp_path)
    report = json.loads((folder / "report.json").read_text())
    report["digests"]["900"] = "22" * 32
    (folder / "report.json").write_text(json.dumps(report))
    found = difference(folder)
    assert (found.what, found.replayed) == ("digest after height 900", "nothing")
    assert found.event == len(entries(folder))


def test_a_dropped_event_is_found(lived: Lived, tmp_path: Path) -> None:
    """Who never got a block never has its height."""
    folder = lived.copy(tmp_path, STRANGER)
    told = entries(folder)
    kept = [one for one in told if 20 not in heights_of(one)]
    assert len(kept) < len(told)
    rewrite(folder, kept)
    found = difference(folder)
    assert found.replayed == "nothing"
    assert 19 <= int(found.what.split()[-1]) <= 20
    assert found.event == len(kept)


def heights_of(entry: Entry) -> list[int]:
    """Heights of the blocks that an event brings."""
    if isinstance(entry, BlockHeard):
        return [entry.block.header.height]
    if isinstance(entry, CertifiedHeard):
        return [one.block.header.height for one in entry.blocks]
    return []


def test_a_dropped_check_shows_in_what_is_signed(lived: Lived, tmp_path: Path) -> None:
    """Who never heard that a body is valid does not vote for it."""
    folder = lived.copy(tmp_path, "validator-1")
    rewrite(folder, (one for one in entries(folder) if not isinstance(one, BodyChecked)))
    assert difference(folder).source == "store.sqlite"


def test_another_clock_is_found(lived: Lived, tmp_path: Path) -> None:
    folder = lived.copy(tmp_path, "validator-1")
    late = Milliseconds(500)
    rewrite(
        folder,
        (
            one
            if isinstance(one, Started)
            else replace(one, now_ms=Milliseconds(one.now_ms + late))
            for one in entries(folder)
        ),
    )
    found = difference(folder)
    assert found.told != found.replayed


def test_a_rule_that_depends_on_something_else_than_the_log_is_found(
    lived: Lived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lived.copy(tmp_path)
    right = json.loads((folder / "report.json").read_text())["digests"]
    height = next(
        one["tick"] for one in read_lines(folder / "events.jsonl") if one["kind"] == "Assigned"
    )
    open_job = Elected.open_job

    def stuttering(self: Elected, frame: Frame, job: Job, pool: tuple[PoolMember, ...]) -> None:
        open_job(self, frame, job, pool)
        frame.emit(JobProven(job.id))

    monkeypatch.setattr(Elected, "open_job", stuttering)
    found = difference(folder)
    assert found.what == f"digest after height {height}"
    assert found.told == right[str(height)] != found.replayed


@pytest.mark.parametrize(
    ("tamper", "what"),
    [
        ("UPDATE own SET payload = x'00' WHERE kind = 'vote' AND slot = 2", "vote for slot 2"),
        ("DELETE FROM own WHERE kind = 'vote' AND slot = 2", "vote for slot 2"),
        ("INSERT INTO own VALUES ('vote', 999, x'00')", "number of votes and proposals"),
    ],
)
def test_a_store_that_says_otherwise_is_found(
    lived: Lived, tmp_path: Path, tamper: str, what: str
) -> None:
    folder = lived.copy(tmp_path)
    connection = sqlite3.connect(folder / "store.sqlite")
    assert connection.execute(tamper).rowcount == 1
    connection.commit()
    connection.close()
    found = difference(folder)
    assert found.source == "store.sqlite"
    assert what in found.what


def test_what_the_last_event_of_a_life_signed_may_have_been_cut_off(
    lived: Lived, tmp_path: Path
) -> None:
    folder = lived.copy(tmp_path)
    report = replay_journal(folder)
    connection = sqlite3.connect(folder / "store.sqlite")
    (slot,) = connection.execute("SELECT max(slot) FROM own WHERE kind = 'vote'").fetchone()
    connection.execute("DELETE FROM own WHERE kind = 'vote' AND slot = ?", (slot,))
    connection.commit()
    connection.close()
    found = difference(folder)
    assert f"slot {slot}" in found.what
    told = entries(folder)
    for name in ("report.json", "events.jsonl"):
        (folder / name).unlink()
    (folder / "events.jsonl").touch()
    rewrite(folder, told[: found.event])
    cut = replay_journal(folder)
    assert cut.difference is None
    assert cut.signed == report.signed - 1 - sum(row[0] > slot for row in connected_rows(folder))


def connected_rows(folder: Path) -> list[tuple[int]]:
    connection = sqlite3.connect(folder / "store.sqlite")
    rows = connection.execute("SELECT slot FROM own").fetchall()
    connection.close()
    return rows


# --- what cannot be replayed ---


def test_a_damaged_journal_is_refused_with_a_hint(lived: Lived, tmp_path: Path) -> None:
    folder = lived.copy(tmp_path)
    damaged = bytearray((folder / "journal").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (folder / "journal").write_bytes(damaged)
    with pytest.raises(StoreError, match=r"is damaged after byte \d+\nhint: "):
        replay_journal(folder)


def test_a_node_that_still_runs_is_not_replayed(lived: Lived, tmp_path: Path) -> None:
    folder = lived.copy(tmp_path)
    start = entries(folder)[0]
    with Store(folder / "store.sqlite", start.network):
        with pytest.raises(StoreError, match="in use by another process\nhint: "):
            replay_journal(folder)


def test_a_node_without_the_beginning_of_its_log_is_not_replayed(
    lived: Lived, tmp_path: Path
) -> None:
    folder = lived.copy(tmp_path)
    start = entries(folder)[0]
    with Store(folder / "store.sqlite", start.network) as store:
        store.forget_log(2)
        with pytest.raises(ExportFailed, match="begins above height 2"):
            provable_log(store)
    with pytest.raises(ReplayFailed, match="went on from the snapshot of height 2"):
        replay_journal(folder)


def test_a_record_that_is_no_event_is_refused_with_its_number(lived: Lived, tmp_path: Path) -> None:
    folder = lived.copy(tmp_path)
    with Journal(folder / "journal") as journal:
        journal.append(b"nonsense")
    number = len(list(read_journal(folder / "journal")))
    with pytest.raises(ReplayFailed, match=f"event {number:,} of the journal is none"):
        replay_journal(folder)


def test_a_journal_without_its_beginning_is_refused(lived: Lived, tmp_path: Path) -> None:
    folder = lived.copy(tmp_path)
    rewrite(folder, entries(folder)[1:])
    with pytest.raises(ReplayFailed, match="does not begin with the start of a node\nhint: "):
        replay_journal(folder)


def test_foreign_keys_are_refused(lived: Lived, tmp_path: Path) -> None:
    folder = lived.copy(tmp_path)
    shutil.copy(lived.run / "nodes" / STRANGER / "keys.toml", folder)
    with pytest.raises(ReplayFailed, match="the keys are of"):
        replay_journal(folder)


def test_a_foreign_genesis_is_refused(lived: Lived, tmp_path: Path) -> None:
    folder = lived.copy(tmp_path)
    text = (tmp_path / "genesis.toml").read_text()
    (tmp_path / "genesis.toml").write_text(text.replace('"testnet"', '"elsewhere"'))
    with pytest.raises(ReplayFailed, match="the genesis makes"):
        replay_journal(folder)


@pytest.mark.parametrize(
    ("missing", "kind", "sentence"),
    [
        ("../../genesis.toml", ReplayFailed, "genesis.toml cannot be read"),
        ("node.toml", ConfigurationError, "node.toml cannot be read"),
        ("keys.toml", ConfigurationError, "keys.toml cannot be read"),
        ("journal", StoreError, "No such file"),
    ],
)
def test_a_missing_file_is_named(
    lived: Lived, tmp_path: Path, missing: str, kind: type[Exception], sentence: str
) -> None:
    folder = lived.copy(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(kind, match=sentence):
        replay_journal(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report.json", "no JSON"),
        ("report.json", "{}"),
        ("report.json", '{"digests": {"seven": ""}}'),
        ("events.jsonl", "no JSON\n"),
        ("events.jsonl", '{"kind": "Final"}\n'),
    ],
)
def test_a_file_that_tells_nothing_is_named(
    lived: Lived, tmp_path: Path, name: str, content: str
) -> None:
    folder = lived.copy(tmp_path)
    (folder / name).write_text(content)
    with pytest.raises(ReplayFailed, match=f"{name} does not tell heights and digests\nhint: "):
        replay_journal(folder)


def test_a_journal_alone_has_nothing_to_be_compared_with(lived: Lived, tmp_path: Path) -> None:
    shutil.copy(lived.run / "nodes" / SLEEPER / "journal", tmp_path)
    with pytest.raises(ReplayFailed, match=r"nothing to compare with\nhint: "):
        replay_journal(tmp_path / "journal")


def test_a_node_that_cheats_is_said_to_cheat(lived: Lived, tmp_path: Path) -> None:
    folder = lived.copy(tmp_path)
    honest = replay_journal(folder)
    configuration = load_configuration(folder / "node.toml")
    cheats = CheatConfiguration(does=("early",))
    save_configuration(folder / "node.toml", replace(configuration, cheats=cheats))
    assert (honest.cheats, replay_journal(folder).cheats) == ((), ("early",))
    assert any("cheats on purpose (early)" in line for line in replay_journal(folder).lines)
    assert not any("cheats" in line for line in honest.lines)


# --- the command ---


def test_the_command_says_what_it_saw_and_fails_upon_a_difference(
    lived: Lived, tmp_path: Path
) -> None:
    folder, runner = lived.copy(tmp_path), CliRunner()
    good = runner.invoke(application, ["replay", str(folder)])
    assert good.exit_code == 0, good.output
    assert "3 lives of the node" in good.output
    assert f"{lived.heights[SLEEPER]} digests agree with report.json" in good.output
    report = json.loads((folder / "report.json").read_text())
    right = report["digests"]["2"]
    report["digests"]["2"] = "33" * 32
    (folder / "report.json").write_text(json.dumps(report))
    bad = runner.invoke(application, ["replay", str(folder)])
    assert bad.exit_code == 1
    assert "DIFFERENCE: digest after height 2, at event" in bad.output
    assert right in bad.output
    assert "33" * 32 in bad.output
    assert "agree with" not in bad.output
    (folder / "journal").write_bytes(b"provnet-journal/1\n")
    old = runner.invoke(application, ["replay", str(folder)])
    assert old.exit_code == 1
    assert "another version" in old.output
    assert "hint: " in old.output


def test_the_report_counts_one_life_as_one() -> None:
    report = ReplayReport({"Started": 1, "TimePassed": 2}, 0, 0, {}, 0, (), None)
    assert next(iter(report.lines)) == "3 events in 1 life of the node"

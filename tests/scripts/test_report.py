"""The page of a run against its records, added up here by other code."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from scripts.records import read_lines
from scripts.report.command import REPORT, make_report, write_report
from scripts.report.draw import seconds
from scripts.report.gather import gather
from scripts.report.style import PROVER_COLOURS, prover_class
from scripts.report.values import Ending, Outcome, Stage, Story
from tests.scripts.conftest import Played

Line = dict[str, Any]

VOID_TAGS = {"meta", "br"}
PROOF_MS = 400
SLOT_MS = 1_000
START_MS = 500
"""Launch, before the first record of a node."""


def names_of(played: Played) -> dict[str, str]:
    return {one.account.hex(): one.name for one in played.network.genesis.accounts}


def node_lines(played: Played) -> list[Line]:
    return list(read_lines(played.network.node / "events.jsonl"))


def told(played: Played) -> Iterator[Line]:
    """What launcher and nodes might have written about the played run.

    The one that watches tells all final events. Every recorded prover tells of its proof, which
    took from a tick's finality to less than a slot later. Some are in trouble.
    """
    names = names_of(played)
    yield {"node": "launcher", "at_ms": START_MS, "kind": "Launched", "faults": ["any@leaf"]}
    opened: dict[str, int] = {}
    for line in node_lines(played):
        at_ms = line["at_ms"]
        if line["kind"] == "Final":
            line |= {"slot": line["tick"]}
        yield {"node": "validator-1"} | line | {"at_ms": max(at_ms, START_MS + 1)}
        if line["kind"] == "JobOpened":
            opened[line["job"]] = at_ms
        if line["kind"] == "ProofRecorded":
            key = {"job": line["job"], "index": line["index"]}
            prover = names[line["prover"]]
            start = at_ms - 2 * SLOT_MS
            yield {"node": prover, "at_ms": start, "kind": "ProofStarted", "key": key}
            done = {"wall_ms": PROOF_MS, "threads": 1}
            yield {
                "node": prover,
                "at_ms": start + PROOF_MS,
                "kind": "ProofFinished",
                "key": key,
            } | done
    first = next(iter(opened))
    key = {"job": first, "index": [0, 0]}
    yield {"node": "prover-9", "at_ms": 3_000, "kind": "ProofStarted", "key": key}
    yield {
        "node": "prover-9",
        "at_ms": 23_000,
        "kind": "ProofCancelled",
        "key": key,
        "sentence": "a <b>better</b> one came",
    }
    yield {"node": "prover-4", "at_ms": 9_000, "kind": "ProofStarted", "key": key}
    yield {"node": "launcher", "at_ms": 9_700, "kind": "Killed", "victim": "prover-4"}
    yield {"node": "launcher", "at_ms": 9_900, "kind": "Restarted", "victim": "prover-4"}
    refused = {"kind": "MessageRefused", "message": "intents", "reason": "BAD_SIGNATURE"}
    liar = next(account for account, name in names.items() if name == "prover-3")
    for at_ms in (9_100, 9_200):
        yield {"node": "validator-2", "at_ms": at_ms, "peer": liar} | refused
    yield {"node": "validator-2", "at_ms": 9_300, "peer": None} | refused
    for at_ms in (9_400, 9_600):
        cheat = {"kind": "Cheat", "cheat": "silent", "what": "does not prove"}
        yield {"node": "prover-3", "at_ms": at_ms} | cheat


def strange(played: Played) -> Iterator[Line]:
    """Two final events of a kind that nobody knows, one of a job."""
    final = next(one for one in node_lines(played) if one["kind"] == "Final")
    opening = next(one for one in node_lines(played) if one["kind"] == "JobOpened")
    party = {"kind": "Celebrated", "guest": opening["header"]["sequencer"], "cakes": "<3>"}
    for line in told(played):
        if line["kind"] == "Final" and line["tick"] == final["tick"]:
            yield party | {"node": "validator-1", "tick": line["tick"], "at_ms": line["at_ms"]}
        if line["kind"] == "Final" and line["tick"] == opening["tick"]:
            here = {"node": "validator-1", "tick": line["tick"], "at_ms": line["at_ms"]}
            yield party | here | {"job": opening["job"], "index": [1, 1]}
        yield line


@pytest.fixture(scope="module")
def run(played: Played, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = played.copy(tmp_path_factory.mktemp("report") / "run")
    text = "".join(json.dumps(line) + "\n" for line in strange(played))
    (folder / "events.jsonl").write_text(text)
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {"blocks_asked": 3, "nodes_agree": True, "money_conserved": True, "faults": []}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture(scope="module")
def story(run: Path) -> Story:
    return gather(run)


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    path = write_report(run)
    assert path == run / REPORT
    return path.read_text()


def tables(html: str, heading: str) -> list[list[list[str]]]:
    """The tables under a heading, as text of cells by rows."""
    part = next(one for one in re.split("<h2[^>]*>", html)[1:] if one.startswith(heading))
    return [
        [
            [unescape(re.sub("<[^>]+>", " ", cell)).strip() for cell in cells]
            for cells in (
                re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row)
                for row in re.findall("<tr>(.*?)</tr>", table)
            )
        ]
        for table in re.findall("<table>(.*?)</table>", part, re.DOTALL)
    ]


# --- figures ---


def test_money_of_each_node_is_what_its_moves_add_up_to(played: Played, html: str) -> None:
    names, sums = names_of(played), Counter[tuple[str, str, str]]()
    for line in node_lines(played):
        if line["kind"] == "Moved":
            cause, amount = line["cause"].lower().replace("_", " "), line["amount"]
            for side, sign in (("target", 1), ("source", -1)):
                owner = names.get(line[side]["owner"])
                if owner is not None:
                    assert line[side]["kind"] == "BALANCE"
                    sums[owner, cause, f"{sign:+}"] += amount
    head, *rows = tables(html, "Money")[0]
    assert len(rows) == len({owner for owner, _, _ in sums})
    for row in rows:
        whole = 0
        for cause, cell in zip(head[1:-1], row[1:-1], strict=True):
            gained, lost = sums[row[0], cause, "+1"], sums[row[0], cause, "-1"]
            figures = [f"{gained:+,}"] * bool(gained) + [f"{-lost:,}"] * bool(lost)
            assert cell.split() == figures
            whole += gained - lost
        assert row[-1] == (f"{whole:+,}" if whole else "0")
    burned = [row for row in tables(html, "Money")[1] if row[0] == "burned"]
    expected = Counter[str]()
    for line in node_lines(played):
        if line["kind"] == "Moved" and line["target"]["kind"] == "BURNED":
            expected[line["cause"].lower().replace("_", " ")] += line["amount"]
    assert {row[1]: row[2] for row in burned} == {
        cause: f"{amount:,}" for cause, amount in expected.items()
    }


def test_every_tree_node_is_told_with_whom_it_had_and_who_proved_it(
    played: Played, story: Story, html: str
) -> None:
    names = names_of(played)
    assigned = {
        (one["job"], *one["index"]): names[one["prover"]]
        for one in node_lines(played)
        if one["kind"] == "Assigned"
    }
    recorded = {
        (one["job"], *one["index"]): (names[one["prover"]], one["tick"])
        for one in node_lines(played)
        if one["kind"] == "ProofRecorded"
    }
    takeovers = 0
    rows = [table for table in tables(html, "Blocks") if table[0][0] == "tree node"]
    for block, table in zip(story.blocks, rows, strict=True):
        for place, row in zip(block.places, table[1:], strict=True):
            key = block.job, place.level, place.position
            owner, (prover, tick) = assigned[key], recorded[key]
            assert row[:3] == [place.name, owner, prover]
            assert place.record is not None
            assert place.record.tick == tick
            assert (place.outcome is Outcome.OWN) == (owner == prover)
            takeovers += owner != prover
            box = f'href="#b{block.number}-{place.level}-{place.position}"><rect class="'
            drawn = html.split(box, 1)[1].split('"', 1)[0]
            assert drawn == prover_class(story.provers, prover)
            assert f'id="b{block.number}-{place.level}-{place.position}"' in html
    assert takeovers > 0
    assert f"<b>{takeovers}</b><span>of them taken over" in html
    assert len(recorded) == sum(len(block.places) for block in story.blocks)


def test_times_are_the_differences_of_the_records(played: Played, story: Story, html: str) -> None:
    at = {(one["kind"], one.get("job")): one["at_ms"] for one in node_lines(played)}
    rows = tables(html, "Where the time went")[0][1:]
    for block, row in zip(story.blocks, rows, strict=True):
        whole = at["JobProven", block.job] - at["JobOpened", block.job]
        assert f"Block {block.number}: settled, root after {seconds(whole)} s" in html
        assert row[0] == f"block {block.number}"
        assert row[-1] == seconds(whole)
        assert sum(one.end_ms - one.start_ms for one in block.way) == whole
        assert all(
            before.end_ms == after.start_ms
            for before, after in zip(block.way, block.way[1:], strict=False)
        )
        proving = [one for one in block.way if one.stage is Stage.PROVING]
        assert {one.end_ms - one.start_ms for one in proving} == {PROOF_MS}
    stages = {one.stage for block in story.blocks for one in block.way}
    assert stages >= {Stage.MISSED, Stage.START, Stage.PROVING, Stage.FINALITY}


def test_waits_of_a_tree_node_are_the_differences_of_its_records(story: Story, html: str) -> None:
    rows = [table for table in tables(html, "Blocks") if table[0][0] == "tree node"]
    seen = 0
    for block, table in zip(story.blocks, rows, strict=True):
        for place, row in zip(block.places, table[1:], strict=True):
            record, winner = place.record, place.winner
            if record is None or winner is None or place.known_ms is None:
                continue
            ordered_ms = record.tick * SLOT_MS - START_MS
            seen += 1
            assert row[4:9] == [
                seconds(place.known_ms),
                seconds(winner.start_ms - place.known_ms),
                seconds(PROOF_MS),
                seconds(ordered_ms - winner.end_ms),
                seconds(record.final_ms - ordered_ms),
            ]
    assert seen == sum(len(block.places) for block in story.blocks)


def test_attempts_end_as_they_were_told_to(story: Story, html: str) -> None:
    lost = [one for one in story.attempts if not one.is_recorded]
    assert {(one.node, one.ending, one.start_ms, one.end_ms) for one in lost} == {
        ("prover-9", Ending.CANCELLED, 3_000 - START_MS, 23_000 - START_MS),
        ("prover-4", Ending.KILLED, 9_000 - START_MS, 9_700 - START_MS),
    }
    assert "prover-9" in story.provers
    rows = {row[0]: row[1:] for row in tables(html, "Provers in time")[0][1:]}
    for name in story.provers:
        mine = [one for one in story.attempts if one.node == name]
        won = sum(one.is_recorded for one in mine)
        assert rows[name][:3] == [str(len(mine)), str(won), str(won)]
        assert rows[name][5] == seconds(won * PROOF_MS)
    assert rows["prover-9"][3] == "1"
    assert rows["prover-4"][4] == "1"


def test_faults_cheats_and_refusals_are_counted(played: Played, html: str) -> None:
    marks, cheats = tables(html, "Faults and cheats on purpose")
    assert marks[1:] == [["9.2 s", "prover-4", "killed"], ["9.4 s", "prover-4", "restarted"]]
    assert cheats[1:] == [["prover-3", "silent", "does not prove", "2", "8.9 s", "9.1 s"]]
    rows = [tuple(row) for row in tables(html, "Refused")[0][1:]]
    assert ("prover-3", "intents", "bad signature", "validator-2", "2") in rows
    assert ("nobody known", "intents", "bad signature", "validator-2", "1") in rows
    ordered = Counter(
        (names_of(played)[one["sender"]], one["payload"], one["reason"])
        for one in node_lines(played)
        if one["kind"] == "OperationRefused"
    )
    assert len(rows) == 2 + len(ordered)


def test_an_event_of_a_new_kind_is_shown_by_its_name_and_fields(
    played: Played, story: Story, html: str
) -> None:
    sequencer = story.blocks[0].sequencer
    outside = tables(html, "Also in the log")[0]
    assert outside[1][2:] == ["Celebrated", f"guest {sequencer}; cakes <3>"]
    inside = [table for table in tables(html, "Blocks") if table[0][0] == "tick"]
    assert inside[0][1][2:] == ["Celebrated", f"guest {sequencer}; cakes <3>; index 1:1"]


# --- the page as a page ---


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in VOID_TAGS:
            self.waiting.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.waiting.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(html: str) -> None:
    tags = Tags()
    tags.feed(html)
    assert not tags.waiting
    assert not tags.seen & {"script", "link", "img", "iframe", "b3"}
    assert "http" not in html
    assert set(re.findall(r"url\(([^)]*)\)", html)) == {"#hatch"}
    targets = set(re.findall(r'id="([^"]*)"', html))
    assert set(re.findall(r'href="#([^"]*)"', html)) <= targets


def test_no_name_is_cut(html: str) -> None:
    assert "\N{HORIZONTAL ELLIPSIS}" not in html


def test_what_nodes_wrote_stays_text(html: str) -> None:
    assert "<b>better</b>" not in html
    assert "&lt;b&gt;better&lt;/b&gt;" in html


def test_a_run_that_ended_badly_says_so(run: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "genesis.toml").write_bytes((run / "genesis.toml").read_bytes())
    text = write_report(bare).read_text()
    assert "it did not come to its end" in text
    assert "No block was opened" in text
    (bare / "events.jsonl").write_bytes((run / "events.jsonl").read_bytes()[:200_000])
    assert "0 of " in write_report(bare).read_text() or gather(bare).blocks
    summary = {"blocks_asked": 9, "nodes_agree": False, "money_conserved": False}
    (bare / "summary.json").write_text(json.dumps(summary | {"faults": ["a & b differ"]}))
    text = write_report(bare).read_text()
    assert "of 9 blocks proven, nodes DISAGREE, money NOT CONSERVED" in text
    assert "Not as it should be: a &amp; b differ" in text


def test_the_command_says_where_the_page_is_or_why_there_is_none(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_report(run) == 0
    assert capsys.readouterr().out == f"{run / REPORT}\n"
    assert make_report(tmp_path / "nowhere") == 1
    assert "hint: name the folder that ./scripts/testnet printed" in capsys.readouterr().err


def test_more_provers_than_colours_share_them() -> None:
    provers = tuple(f"prover-{number}" for number in range(len(PROVER_COLOURS) + 1))
    assert prover_class(provers, provers[0]) == prover_class(provers, provers[-1])
    assert prover_class(provers, None) == prover_class(provers, "stranger") == "nobody"

"""The benchmarks' arithmetic, their chain through a block, and each part run once with real parts.

No figure is judged: only that it is the figure it says it is.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from protocol.params import format_genesis
from protocol.types import Milliseconds
from prover.modelled import ModelledBackend
from scripts.benchmarks import chain, figures, gossip, protocol, prover, testnet
from scripts.benchmarks.chain import Story
from scripts.benchmarks.figures import Aim, Section, Spread, alternate, compare, compare_speeds
from scripts.benchmarks.hardware import Hardware, look
from scripts.benchmarks.prover import OneThread
from scripts.benchmarks.table import as_json, show, show_hardware
from scripts.folder import RunUnreadable
from scripts.launcher.plan import Wish, make_plan
from scripts.main import application

# --- taking turns ---


def test_subjects_take_turns() -> None:
    turns: list[str] = []

    def subject(name: str, took: float) -> Callable[[], float]:
        def work() -> float:
            turns.append(name)
            return took

        return work

    taken = alternate({"a": subject("a", 1.0), "b": subject("b", 2.0)}, 3)
    assert turns == ["a", "b"] * 3
    assert taken == {"a": [1.0] * 3, "b": [2.0] * 3}


class Clock:
    """A clock that only subjects move."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(("budget_s", "rounds"), [(0.0, 2), (29.0, 2), (30.0, 3), (1_000.0, 9)])
def test_no_round_begins_that_would_end_after_the_budget(
    monkeypatch: pytest.MonkeyPatch, budget_s: float, rounds: int
) -> None:
    clock = Clock()
    monkeypatch.setattr(figures, "time", clock)

    def ten_seconds() -> float:
        clock.now += 10
        return 10.0

    assert alternate({"a": ten_seconds}, 9, budget_s) == {"a": [10.0] * rounds}


# --- figures ---


def test_a_spread_is_median_least_and_greatest() -> None:
    assert Spread.of([5.0, 1.0, 2.0]) == Spread(2.0, 1.0, 5.0)


def test_a_ratio_is_taken_round_by_round() -> None:
    """The ratio of the medians would be 1."""
    figure = compare("a", "b", "s", [(1.0, 2.0), (2.0, 4.0), (4.0, 1.0)])
    assert (figure.value, figure.baseline_value) == (2.0, 2.0)
    assert figure.ratio == Spread(0.5, 0.5, 4.0)
    assert figure.rounds == 3


def test_speeds_are_counts_over_times() -> None:
    taken = {"a": [2.0, 2.0], "b": [1.0, 4.0]}
    figure = compare_speeds("a", "b", (10, 20), taken)
    assert (figure.value, figure.unit) == (5.0, "/s")
    assert figure.baseline_value == pytest.approx(12.5)
    assert figure.ratio == Spread(0.625, 0.25, 1.0)


def test_an_aim_is_met_at_its_bound() -> None:
    least, most = Aim(0.6, is_least=True), Aim(1.3, is_least=False)
    assert [least.is_met(one) for one in (0.59, 0.6, 0.61)] == [False, True, True]
    assert [most.is_met(one) for one in (1.29, 1.3, 1.31)] == [True, True, False]


# --- where the time goes ---

JOB = "aa" * 32
SLOT_MS = 1_000
"""The genesis of these runs is at time 0."""


class Written:
    """A run folder written by hand; times in milliseconds."""

    def __init__(self, run: Path, leaves: int = 2) -> None:
        self.run = run
        plan = make_plan(Wish(leaves=leaves, slot_ms=SLOT_MS, backend="modelled"))
        self.accounts = {one.name: one.identity.account.hex() for one in plan.members}
        self.genesis = plan.genesis
        run.mkdir()
        (run / "genesis.toml").write_text(format_genesis(plan.genesis))
        self.told: dict[str, list[dict[str, Any]]] = {}

    def tell(self, node: str, at_ms: int, kind: str, **fields: Any) -> None:
        record = {"at_ms": at_ms, "kind": kind, **fields}
        self.told.setdefault(node, []).append(record)

    def final(self, at: dict[str, int], tick: int, slot: int, *events: dict[str, Any]) -> None:
        """A block of the log, final at these nodes at these times."""
        for node, at_ms in at.items():
            for event in events:
                self.tell(node, at_ms, tick=tick, **event)
            self.tell(node, at_ms, "Final", tick=tick, slot=slot, digest="")

    def proves(self, node: str, place: list[int], asked: int, done: int, wall: int) -> None:
        key = {"job": JOB, "index": place}
        self.tell(node, asked, "ProofStarted", key=key)
        self.tell(node, done, "ProofFinished", key=key, wall_ms=wall, threads=1)

    def knows(self, node: str, at_ms: int, prover: str, place: list[int]) -> None:
        proof = {"prover": self.accounts[prover], "record": {"job": JOB, "index": place}}
        self.tell(node, at_ms, "ProofKnown", proof=proof)

    def recorded(self, prover: str, place: list[int]) -> dict[str, Any]:
        return {
            "kind": "ProofRecorded",
            "job": JOB,
            "index": place,
            "prover": self.accounts[prover],
        }

    def write(self, **summary: Any) -> None:
        for node, records in self.told.items():
            folder = self.run / "nodes" / node
            folder.mkdir(parents=True)
            text = "".join(json.dumps(one) + "\n" for one in records)
            (folder / "events.jsonl").write_text(text)
        told = {"time_to_root_s": [18.0], "critical_path_s": [12.0], "takeovers": []} | summary
        (self.run / "summary.json").write_text(json.dumps(told))


def undisturbed(run: Path) -> Written:
    """prover-1 proves leaf 0 and the root, prover-2 the later leaf 1."""
    w = Written(run)
    w.final({"validator-1": 10_000, "prover-1": 10_100, "prover-2": 10_300}, 1, 7,
            {"kind": "JobOpened", "job": JOB})  # fmt: skip
    w.tell("prover-1", 10_200, "BlockKnown", job=JOB)
    w.tell("prover-2", 10_700, "BlockKnown", job=JOB)
    w.proves("prover-1", [0, 0], 10_200, 14_000, 3_000)
    w.proves("prover-2", [0, 1], 10_750, 15_000, 4_000)
    w.knows("prover-1", 14_010, "prover-1", [0, 0])
    w.knows("prover-1", 15_600, "prover-2", [0, 1])
    w.proves("prover-1", [1, 0], 15_700, 21_000, 5_000)
    leaves = (w.recorded("prover-1", [0, 0]), w.recorded("prover-2", [0, 1]))
    w.final({"validator-1": 20_000, "prover-1": 20_000}, 2, 17, *leaves)
    w.final({"prover-1": 28_400, "validator-1": 28_000}, 3, 25, w.recorded("prover-1", [1, 0]),
            {"kind": "JobProven", "job": JOB}, {"kind": "JobSettled", "job": JOB})  # fmt: skip
    return w


def test_the_spans_follow_the_later_child_and_add_up(tmp_path: Path) -> None:
    undisturbed(tmp_path / "run").write()
    story = Story(tmp_path / "run")
    assert story.jobs == [JOB]
    found = story.chain(JOB)
    assert found.places == ((1, 0), (0, 1))
    assert {name: spent for name, spent in found.spans_ms.items() if spent} == {
        chain.OPENED: 300,
        chain.EXECUTED: 400,
        chain.ASKED: 50 + 100,
        chain.QUEUED: 250 + 300,
        chain.PROVED: 4_000 + 5_000,
        chain.KNOWN: 600,
        chain.ORDERED: 4_000,
        chain.FINAL: 3_000,
    }
    assert found.to_root_ms == 18_000
    assert sorted(story.proof_times_ms()) == [3_000, 4_000, 5_000]


def test_an_heir_waits_for_the_window_of_who_failed(tmp_path: Path) -> None:
    w = undisturbed(tmp_path / "run")
    w.told["prover-2"] = [
        one for one in w.told["prover-2"] if one["kind"] in ("JobOpened", "Final", "BlockKnown")
    ]
    passed = {"kind": "TakenOver", "job": JOB, "index": [0, 1], "heir": w.accounts["prover-1"]}
    for name in ("prover-1", "prover-2"):
        w.tell(name, 14_500, tick=2, **passed)
    w.told["prover-1"] = [one for one in w.told["prover-1"] if one["kind"] != "ProofKnown"]
    w.proves("prover-1", [0, 1], 14_520, 15_500, 980)
    w.knows("prover-1", 15_600, "prover-1", [0, 1])
    for records in w.told.values():
        for one in records:
            if one["kind"] == "ProofRecorded":
                one["prover"] = w.accounts["prover-1"]
    w.write()
    spans = Story(tmp_path / "run").chain(JOB).spans_ms
    assert spans[chain.FAILED] == 14_500 - 10_200
    assert spans[chain.OPENED] == 100
    assert spans[chain.ASKED] == 20 + 100
    assert sum(spans.values()) == 18_000


def test_a_prover_that_came_back_was_down(tmp_path: Path) -> None:
    w = undisturbed(tmp_path / "run")
    w.tell("prover-2", 9_000, "Stage", stage="reading the configuration", process=1)
    w.tell("prover-2", 10_740, "Stage", stage="reading the configuration", process=2)
    w.tell("prover-2", 10_745, "Stage", stage="listening")
    w.write()
    spans = Story(tmp_path / "run").chain(JOB).spans_ms
    assert spans[chain.AWAY] == 40
    assert spans[chain.ASKED] == 10 + 100
    assert sum(spans.values()) == 18_000


def test_a_prover_that_came_back_late_saw_the_opening_late(tmp_path: Path) -> None:
    w = undisturbed(tmp_path / "run")
    w.tell("prover-2", 10_250, "Stage", stage="reading the configuration", process=2)
    w.write()
    spans = Story(tmp_path / "run").chain(JOB).spans_ms
    assert (spans[chain.AWAY], spans[chain.OPENED]) == (250, 50)
    assert sum(spans.values()) == 18_000


def test_what_a_dead_node_did_not_tell_counts_to_the_span_before(tmp_path: Path) -> None:
    w = undisturbed(tmp_path / "run")
    del w.told["prover-2"]
    w.told["prover-1"] = [one for one in w.told["prover-1"] if one["kind"] != "ProofKnown"]
    w.write()
    found = Story(tmp_path / "run").chain(JOB)
    assert found.to_root_ms == 18_000
    assert found.places == ((1, 0), (0, 0)), "of the other leaf nothing is told"
    assert found.spans_ms[chain.PROVED] == 3_000 + 5_000


def test_where_nobody_told_anything_the_time_still_adds_up(tmp_path: Path) -> None:
    w = undisturbed(tmp_path / "run")
    w.told = {"validator-1": w.told["validator-1"]}
    w.write()
    spans = Story(tmp_path / "run").chain(JOB).spans_ms
    assert spans == dict.fromkeys(chain.SPANS, 0) | {chain.FINAL: 3_000, chain.ASKED: 15_000}


def test_the_section_compares_undisturbed_blocks_with_their_critical_paths(tmp_path: Path) -> None:
    undisturbed(tmp_path / "run").write()
    section = testnet.measure(tmp_path / "run")
    (figure,) = section.figures
    assert (figure.name, figure.baseline) == ("time to root", "critical path")
    assert figure.ratio.median == 1.5
    assert not figure.aim.is_met(figure.ratio.median)
    (listing,) = section.listings
    assert listing.columns == ("", "block 1", "of all")
    assert (chain.PROVED, "9.0", "50 %") in listing.rows
    assert listing.rows[-1] == ("time to root", "18.0", "")


def test_what_a_takeover_adds_is_set_against_a_window_and_a_proof(tmp_path: Path) -> None:
    w = undisturbed(tmp_path / "run")
    other = "bb" * 32
    for records in w.told.values():
        records += [json.loads(json.dumps(one).replace(JOB, other)) for one in records]
    w.write(time_to_root_s=[18.0, 48.0], critical_path_s=[12.0, 12.0], takeovers=[{"job": other}])
    section = testnet.measure(tmp_path / "run")
    figure = section.figures[1]
    window_ticks = next(
        int(one.value) for one in w.genesis.proving.settings if one.name == "leaf_window_ticks"
    )
    assert figure.value == 30.0
    assert figure.baseline_value == pytest.approx(window_ticks + 4.0)
    assert section.figures[0].rounds == 1, "the disturbed block is kept apart"


@pytest.mark.parametrize(
    "summary", [{"time_to_root_s": []}, {"critical_path_s": [1.0, 2.0]}, {"takeovers": None}]
)
def test_a_summary_without_times_is_refused(tmp_path: Path, summary: dict[str, Any]) -> None:
    undisturbed(tmp_path / "run").write(**summary)
    with pytest.raises(RunUnreadable, match=r"summary\.json: it tells"):
        testnet.measure(tmp_path / "run")


# --- each part once ---


def shown(section: Section) -> str:
    printed = io.StringIO()
    show(Console(file=printed, width=200), section)
    return printed.getvalue()


def test_the_protocol_is_measured() -> None:
    section = protocol.measure(rounds=1)
    names = [figure.name for figure in section.figures]
    assert names[:2] == [protocol.APPLIED, protocol.MACHINE]
    assert {figure.baseline for figure in section.figures[:5]} == {protocol.VERIFICATION}
    assert all(figure.value > 0 and figure.ratio.median > 0 for figure in section.figures)
    for kind in ("ProofRecord", "BlockCommitment", "BlockReveal", "Intent"):
        assert kind in section.notes[0]
    assert "at least 0.6" in shown(section)


def test_the_prover_is_measured_with_workers_of_its_own() -> None:
    backend = ModelledBackend(leaf_ms=Milliseconds(20), merge_ms=Milliseconds(30))
    section = prover.measure(backend, rounds=1)
    by_name = {figure.name: figure for figure in section.figures}
    assert by_name["merge, 1 thread"].value >= 0.03
    assert by_name["merge, 1 thread"].baseline_value >= 0.02
    assert by_name["memory of a worker"].value > 0
    assert by_name["memory of a worker"].baseline_value == backend.worker_mib
    assert by_name[prover.ONE_WORKER].baseline == prover.LOOP
    assert by_name[prover.TWO_WORKERS].baseline == prover.ONE_WORKER
    assert by_name[prover.ELASTIC].baseline == prover.FIXED
    assert "ModelledBackend" in shown(section)


def test_a_backend_of_one_thread_ignores_what_it_is_given() -> None:
    class Noting:
        worker_mib = 5

        def open_prover(self) -> Callable[[Any, int], bytes]:
            return lambda task, threads: bytes([threads])

    single = OneThread(Noting())
    assert single.open_prover()("a task", 7) == b"\x01"
    assert single.worker_mib == 5


def test_the_network_is_told_in_figures() -> None:
    row = {
        "messages_per_second": 1,
        "deliveries": 7,
        "delay_p50_ms": 4.0,
        "delay_p99_ms": 8.0,
        "cpu_ms_per_delivery": 1.2,
        "duplicates_per_delivery": 1.5,
        "bytes_per_delivery": 900.0,
    }
    fast = row | {"messages_per_second": 50, "delay_p50_ms": None, "delay_p99_ms": None}
    fetch = {"body_bytes": 133_000, "delay_p50_ms": 20.0}
    measured = {
        "peers": 8,
        "payload_bytes": 200,
        "idle_cpu_ms_per_second_per_peer": 3.21,
        "gossip": [row, fast],
        "fetch": fetch,
    }
    section = gossip.section_of(measured)
    ratios = {figure.name: figure.ratio.median for figure in section.figures}
    assert ratios == {
        "processor time of a delivery at 1/s": 0.5,
        "processor time of a delivery at 50/s": 0.5,
        "bytes sent for a delivery at 1/s": 4.5,
        "messages sent for a delivery at 1/s": 2.5,
        "bytes sent for a delivery at 50/s": 4.5,
        "messages sent for a delivery at 50/s": 2.5,
        "delivery at 1/s, p99": 2.0,
        "fetch of 133,000 bytes, median": 5.0,
    }
    aims = {figure.name for figure in section.figures if figure.aim is not None}
    assert aims == {"processor time of a delivery at 50/s"}
    assert "messages per second" in shown(section)
    assert "3.21 ms" in shown(section)


# --- the command ---


@pytest.mark.parametrize(("load", "is_busy"), [(0.1, False), (3.0, True)])
def test_a_busy_machine_is_warned_of(load: float, is_busy: bool) -> None:
    printed = io.StringIO()
    show_hardware(Console(file=printed, width=200), Hardware("a chip", 2, load, "abc", "3.11"))
    assert ("warning: others use this machine" in printed.getvalue()) == is_busy


def test_this_machine_can_be_described() -> None:
    hardware = look()
    assert hardware.cores >= 1
    assert hardware.processor
    assert hardware.revision
    assert as_json(hardware, [])["hardware"]["python"].count(".") == 2


def test_the_command_analyses_a_run_and_writes_json(tmp_path: Path) -> None:
    undisturbed(tmp_path / "run").write()
    target = tmp_path / "figures.json"
    arguments = ["bench", "--only", "testnet", "--run", str(tmp_path / "run")]
    result = CliRunner().invoke(application, [*arguments, "--json", str(target)])
    assert result.exit_code == 0, result.output
    assert "critical path" in result.output
    (section,) = json.loads(target.read_text())["sections"]
    assert section["figures"][0]["ratio"] == {"median": 1.5, "low": 1.5, "high": 1.5}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--only", "weather"], "there is no part weather to measure\nhint: name one of"),
        (["--only", "testnet", "--run", "nowhere"], "it cannot be read"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_a_hint(
    arguments: list[str], sentence: str
) -> None:
    result = CliRunner().invoke(application, ["bench", *arguments])
    assert result.exit_code == 1
    assert sentence in result.output
    assert "hint: " in result.output

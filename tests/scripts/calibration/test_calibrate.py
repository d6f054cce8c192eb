"""Measuring, showing and writing, with declared times for proofs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from protocol.types import Milliseconds
from prover.modelled import ModelledBackend
from scripts.benchmarks.figures import Spread
from scripts.calibration import command
from scripts.calibration.edit import edited, set_prover
from scripts.calibration.measure import Calibration, calibrate
from scripts.configuration import ConfigurationError, load_configuration
from tests.scripts.conftest import Played

BACKEND = ModelledBackend(leaf_ms=Milliseconds(60), merge_ms=Milliseconds(120))

NODE = """# my node
name = "one"
genesis = "genesis.toml"  # shared

[prover]
cores = 1  # of four
leaf_ms = 9
memory_mib = 128

[api]
port = 0 # any
"""


def spread(median: float, low: float | None = None, high: float | None = None) -> Spread:
    return Spread(median, low or median, high or median)


FOUND = Calibration(
    cores=4,
    memory_mib=3_100,
    workers=4,
    worker_mib=768,
    rounds=3,
    load=0.1,
    leaf_one=spread(1_000, 900, 1_100),
    leaf_cores=spread(400),
    leaf_busy=spread(1_500),
    merge_one=spread(2_000),
    merge_cores=spread(800),
    start=spread(500, 100, 3_000),
    peak_mib=400,
)


def test_proofs_are_measured_on_one_thread_on_all_and_side_by_side() -> None:
    rounds: list[str] = []
    found = calibrate(BACKEND, 2, 2 * BACKEND.worker_mib, 2, rounds.append)
    assert rounds == ["round 1 of 2", "round 2 of 2"]
    assert (found.workers, found.share, found.rounds) == (2, 1, 2)
    assert found.leaf_one.low >= 60
    assert found.merge_one.low >= 120
    assert 30 <= found.leaf_cores.low < found.leaf_one.high
    assert 60 <= found.merge_cores.low < found.merge_one.high
    assert found.leaf_busy.low >= 60
    assert found.start.low > 0
    assert found.peak_mib > 0


def test_one_core_has_one_time_of_each_kind() -> None:
    found = calibrate(BACKEND, 1, 10_000, 1, lambda text: None)
    assert (found.workers, found.share) == (1, 1)
    assert [threads for threads, _ in found.capacity.leaf.known] == [1]


def test_budgets_limit_the_workers() -> None:
    with pytest.raises(ValueError, match="holds no worker"):
        calibrate(BACKEND, 1, BACKEND.worker_mib - 1, 1, lambda text: None)


def test_busy_workers_are_slower_and_what_follows_counts_with_that() -> None:
    assert FOUND.busy_percent == 150
    assert command.entries(FOUND) == {
        "workers": 4,
        "cores": 4,
        "memory_mib": 3_100,
        "leaf_ms": 1_500,
        "merge_ms": 3_000,
        "leaf_cores_ms": 400,
        "merge_cores_ms": 800,
    }
    assert (FOUND.leaves_a_minute, FOUND.merges_a_minute) == (160, 80)
    two = replace(FOUND, workers=2, leaf_busy=spread(600))
    assert two.busy_percent == 100
    assert command.entries(two)["leaf_ms"] == 1_000
    # half of the cores each: 200 ms that are not shared and 800 ms that are
    assert two.leaves_a_minute == 2 * 60_000 / 600
    assert FOUND.deviation_percent == 10


def test_it_says_how_sure_it_is_and_what_to_do_about_it() -> None:
    calm = "\n".join(command.told(FOUND))
    assert "rounds: 3, times within 10 % of the median" in calm
    assert "hint" not in calm
    for doubtful in (replace(FOUND, load=99.0), replace(FOUND, merge_one=spread(2_000, 1_000))):
        assert "hint: something else uses this machine" in "\n".join(command.told(doubtful))
    alone = "\n".join(command.told(replace(FOUND, cores=1, workers=1)))
    assert "busy" not in alone.split("\n\n")[0]


def test_everything_together(played: Played, tmp_path: Path, capsys: Any) -> None:
    path, target = tmp_path / "node.toml", tmp_path / "found.json"
    path.write_text(NODE)
    command.run(
        cores=None,
        memory_mib=None,
        rounds=1,
        source=played.run,
        blocks=2,
        json=target,
        write=path,
        backend=BACKEND,
        console=Console(stderr=True),
    )
    shown = capsys.readouterr().out
    assert "expected on the last 2 settled blocks, rule elected" in shown
    assert "this is an expectation, not a promise" in shown
    found = json.loads(target.read_text())
    assert [one["number"] for one in found["expected_earnings"]["blocks"]] == [2, 3]
    own = load_configuration(path).prover
    assert own is not None
    assert (own.cores, own.workers, own.memory_mib) == (1, 1, 128)
    assert own.leaf_ms == found["prover"]["leaf_ms"] >= 60


def test_only_the_entries_of_the_table_change() -> None:
    text = edited(NODE, {"cores": 4, "leaf_ms": 70, "workers": 2})
    assert text == NODE.replace("cores = 1  # of four", "cores = 4  # of four").replace(
        "leaf_ms = 9\nmemory_mib = 128\n", "leaf_ms = 70\nmemory_mib = 128\nworkers = 2\n"
    )
    assert edited("name = 1\n", {"cores": 4}) == "name = 1\n\n[prover]\ncores = 4\n"
    assert edited("[prover]", {"cores": 4}) == "[prover]\ncores = 4\n"


def test_a_file_that_cannot_be_edited_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    inline = 'name = "one"\ngenesis = "g"\nprover = { cores = 1 }\n'
    path.write_text(inline)
    with pytest.raises(ConfigurationError, match="cannot be edited here") as raised:
        set_prover(path, {"cores": 4})
    assert "cores = 4" in raised.value.hint
    assert path.read_text() == inline
    path.write_text(NODE)
    with pytest.raises(ConfigurationError):
        set_prover(tmp_path / "none.toml", {"cores": 4})
    set_prover(path, {"cores": 4})
    assert load_configuration(path).prover.cores == 4

"""What an export writes, that it repeats itself, and what it says when something is missing."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from p2p.store import Store
from protocol.light import BlockProof
from protocol.messages import NO_JOB, job_id
from scripts.export import ExportFailed, export_run
from scripts.folder import load_log
from tests.scripts.conftest import Played


def copied(played: Played, target: Path) -> tuple[Path, Path]:
    """A run with its node's folder, and without what was exported."""
    run = Path(shutil.copytree(played.run, target))
    shutil.rmtree(run / "blocks")
    (run / "log").unlink()
    return run, run / "nodes" / played.network.node.name


def everything(run: Path) -> dict[str, bytes]:
    paths = [run / "log", *(run / "blocks").iterdir()]
    return {path.name: path.read_bytes() for path in paths}


def test_the_blocks_are_the_settled_jobs_in_order(played: Played) -> None:
    files = sorted((played.run / "blocks").iterdir())
    assert [path.name for path in files] == ["0001.block", "0002.block", "0003.block"]
    blocks = [BlockProof.read(path.read_bytes()) for path in files]
    assert tuple(job_id(block.header) for block in blocks) == played.report.jobs
    parents = [block.header.content.parent for block in blocks]
    assert parents == [NO_JOB, *played.report.jobs[:-1]]


def test_the_log_has_the_block_that_makes_its_end_final(played: Played) -> None:
    heights = [one.block.header.height for one in load_log(played.run)]
    assert heights == list(range(1, played.report.final_height + 2))
    assert played.report.final_height == played.network.machine.tick


def test_again_gives_the_same_bytes_and_leaves_nothing_behind(
    played: Played, tmp_path: Path
) -> None:
    run, node = copied(played, tmp_path / "run")
    report = export_run(run, node)
    first = everything(run)
    (run / "blocks" / "0009.block").write_bytes(b"stale")
    assert export_run(run, node) == report == played.report
    assert everything(run) == first == everything(played.run)
    assert sorted(path.name for path in run.iterdir()) == [
        "blocks",
        "genesis.toml",
        "log",
        "nodes",
        "sets",
        "summary.json",
    ]


def failure(run: Path, node: Path) -> str:
    with pytest.raises(ExportFailed) as caught:
        export_run(run, node)
    assert not (run / "blocks").exists()
    assert not (run / "log").exists()
    return str(caught.value)


def test_no_node(played: Played, tmp_path: Path) -> None:
    run, _ = copied(played, tmp_path / "run")
    assert "not the folder of a node" in failure(run, run / "nodes" / "nobody")


def test_no_genesis(played: Played, tmp_path: Path) -> None:
    run, node = copied(played, tmp_path / "run")
    (run / "genesis.toml").unlink()
    assert "genesis.toml: it cannot be read" in failure(run, node)


def test_a_node_that_still_runs(played: Played, tmp_path: Path) -> None:
    run, node = copied(played, tmp_path / "run")
    with Store(node / "store.sqlite", played.network.network):
        assert "in use by another process" in failure(run, node)


def test_a_node_of_another_network(played: Played, tmp_path: Path) -> None:
    run, node = copied(played, tmp_path / "run")
    text = (run / "genesis.toml").read_text()
    (run / "genesis.toml").write_text(text.replace('name = "small"', 'name = "smell"'))
    assert "belongs to network" in failure(run, node)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("DELETE FROM body", "lacks the root proof of job"),
        ("DELETE FROM certificate", "lost the certificate of one"),
        (
            "DELETE FROM certificate WHERE hash = (SELECT hash FROM final WHERE height = 4)",
            "lost the certificate of one",
        ),
        ("DELETE FROM final", "has no final block"),
        (
            "DELETE FROM block WHERE height > (SELECT max(height) FROM final)",
            "does not show that height",
        ),
    ],
)
def test_a_store_that_lost_something(
    played: Played, tmp_path: Path, damage: str, sentence: str
) -> None:
    run, node = copied(played, tmp_path / "run")
    connection = sqlite3.connect(node / "store.sqlite")
    connection.execute(damage)
    connection.commit()
    connection.close()
    assert sentence in failure(run, node)

"""One testnet of real processes with real gossip and real proofs, broken on purpose and joined."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from scripts.records import read_lines

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 900


def provnet(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.main", *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output_of(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None, "all output goes through a pipe"
    return process.stdout


@dataclass(frozen=True)
class Finished:
    """A testnet that is over."""

    folder: Path
    code: int
    output: str
    observer_code: int
    observer_output: str

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return summary


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, circuits: Path) -> Finished:
    """Two blocks of two leaves; whoever starts the first leaf is killed and comes back."""
    folder = tmp_path_factory.mktemp("testnet") / "run"
    os.environ["PROVNET_CIRCUITS"] = str(circuits)
    testnet = provnet(
        "testnet", "--provers", 3, "--leaves", 2, "--blocks", 2, "--kill", "any@leaf",
        "--restart", 75, "--out", folder,
    )  # fmt: skip
    lines = []
    observer: subprocess.Popen[str] | None = None
    with testnet:
        for line in output_of(testnet):
            lines.append(line)
            if observer is None and "leads" in line:
                observer = provnet(
                    "join", folder / "join.toml", "--out", folder.parent / "observer", "--blocks", 1
                )
        code = testnet.wait(PATIENCE_S)
    assert observer is not None, "".join(lines)
    observer_output, _ = observer.communicate(timeout=PATIENCE_S)
    return Finished(folder, code, "".join(lines), observer.returncode, observer_output)


def test_everything_is_proven_agreed_on_and_paid(finished: Finished) -> None:
    assert finished.code == 0, finished.output
    summary = finished.summary
    assert summary["blocks_proven"] == 2
    assert summary["nodes_agree"] is True
    assert summary["money_conserved"] is True
    assert len(summary["nodes"]) == 7, "the killed node came back and agrees"
    assert summary["faults"] == []


def test_the_takeover_is_in_the_summary_and_the_dead_earned_nothing_for_it(
    finished: Finished,
) -> None:
    takeovers = finished.summary["takeovers"]
    assert takeovers
    dead = takeovers[0]["failed"]
    assert f"SIGKILL to {dead}" in finished.output
    first_job = takeovers[0]["job"]
    account = json.loads((finished.folder / "nodes" / dead / "report.json").read_text())["account"]
    paid = [
        record
        for record in read_lines(finished.folder / "nodes/validator-1/events.jsonl")
        if record["kind"] == "Moved"
        and record["job"] == first_job
        and record["target"] == {"kind": "BALANCE", "owner": account}
    ]
    assert paid == []


def test_an_observer_that_joined_agrees(finished: Finished) -> None:
    assert finished.observer_code == 0, finished.observer_output
    report = json.loads((finished.folder.parent / "observer" / "report.json").read_text())
    ours = json.loads((finished.folder / "nodes/validator-1/report.json").read_text())
    assert report["halted"] is None
    shared = report["digests"].keys() & ours["digests"].keys()
    assert len(shared) > 5
    assert all(report["digests"][tick] == ours["digests"][tick] for tick in shared)


def test_a_stranger_can_verify_the_run(finished: Finished) -> None:
    verify = provnet("verify", finished.folder, "--payments")
    output, _ = verify.communicate(timeout=PATIENCE_S)
    assert verify.returncode == 0, output


def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    testnet = provnet(
        "testnet", "--backend", "modelled", "--provers", 1, "--validators", 2,
        "--out", tmp_path / "run",
    )  # fmt: skip
    for line in output_of(testnet):
        if "leads" in line:
            break
    processes = [
        next(read_lines(path))["process"]
        for path in sorted((tmp_path / "run" / "nodes").glob("*/events.jsonl"))
    ]
    assert len(processes) == 3
    testnet.send_signal(signal.SIGINT)
    testnet.communicate(timeout=PATIENCE_S)
    assert testnet.returncode == 130
    assert [one for one in processes if Path(f"/proc/{one}").exists()] == []

"""A testnet of real processes with modelled proofs that is worn down and finishes all the same."""

from __future__ import annotations

import json
from pathlib import Path

from tests.processes.test_testnet import PATIENCE_S, provnet


def test_a_prover_is_killed_and_comes_back_and_every_tree_completes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    testnet = provnet(
        "testnet", "--backend", "modelled", "--validators", 1, "--provers", 2, "--leaves", 2,
        "--slot-ms", 300, "--leaf-ms", 300, "--merge-ms", 300,
        "--attrition", "prover:5", "--restart", 2, "--minutes", 0.2, "--out", run,
    )  # fmt: skip
    output, _ = testnet.communicate(timeout=PATIENCE_S)
    assert testnet.returncode == 0, output
    summary = json.loads((run / "summary.json").read_text())
    (kill,) = summary["kills"]
    assert kill["node"].startswith("prover-")
    assert kill["restarted_s"] >= kill["at_s"] + 2
    assert f"SIGKILL to {kill['node']}" in output
    assert "minutes are over: no new blocks, open trees are finished" in output
    assert summary["blocks_proven"] > 0
    assert summary["voided"] == 0
    assert summary["costs_of_absence"] == []
    assert len(summary["nodes"]) == 3, "the killed node came back and agrees"
    assert summary["nodes_agree"] is True
    for name in summary["nodes"]:
        report = json.loads((run / "nodes" / name / "report.json").read_text())
        assert report["open_jobs"] == []
        assert report["is_paused"] == (name == "validator-1")

"""The first minutes of a stranger, in one command: joined, funded, staked, elected and paid."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.keys import load_identity
from scripts.records import read_lines
from tests.processes.test_join import PATIENCE_S, free_port, started, wait_until
from tests.processes.test_testnet import output_of, provnet

GIFT = 2_000_000
STAKE = 1_000_000


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, rest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A network whose one validator and faucet run, and whose one prover does not."""
    folder = tmp_path_factory.mktemp("funded") / "network"
    ports = [f"{name}=127.0.0.1:{free_port()}" for name in ("prover-1", "faucet")]
    create = provnet(
        "network", "create", folder, "--validators", 1, "--provers", 1, "--leaves", 2,
        "--backend", "modelled", "--slot-ms", 400, "--start-s", 5, "--port", free_port(),
        "--at", ports[0], "--at", ports[1], "--faucet", 10 * GIFT,
        "--faucet-url", f"http://127.0.0.1:{free_port()}/",
    )  # fmt: skip
    output, _ = create.communicate(timeout=PATIENCE_S)
    assert create.returncode == 0, output
    nodes = [started(folder / "nodes" / name / "node.toml") for name in ("validator-1", "faucet")]
    try:
        wait_until((folder / "nodes/faucet/api-url").exists, nodes[1])
        yield folder
    finally:
        for one in nodes:
            stop(one)
        assert list(folder.glob("nodes/*/api-url")) == []


def asked(*words: object, code: int = 0) -> str:
    process = provnet(*words)
    shown, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, shown
    return shown


def test_a_stranger_is_funded_staked_elected_and_paid(folder: Path, tmp_path: Path) -> None:
    node, told = tmp_path / "node", list[str]()
    process = provnet(
        "join", folder / "join.toml", "--role", "prover", "--fund", "--stake", STAKE,
        "--blocks", 1, "--out", node, "--plain",
    )  # fmt: skip
    told = [line.strip() for line in output_of(process)]
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, told
    account = load_identity(node / "keys.toml").account.hex()
    order = [f"the faucet gives {GIFT:,}", f"staking {STAKE:,} as prover stake"]
    assert [line for line in told if line in order] == order
    assert any(re.fullmatch(rf"funded at tick \d+: {GIFT:,}", line) for line in told)
    assert any(line.startswith("staked at tick ") for line in told)
    events = list(read_lines(node / "events.jsonl"))
    gains = {
        one["cause"]: one["amount"]
        for one in events
        if one["kind"] == "Moved" and one["target"]["owner"] == account
    }
    assert gains["PAYMENT"] == GIFT
    assert gains["PROVER_PAY"] > 0
    # it is known to have what it needs, wherever it is asked
    seen = json.loads(asked("account", account, "--json", "--node", folder / "nodes/faucet"))
    assert seen["prover_stake"] == STAKE
    assert seen["income"] > 0
    refused = asked("fund", node, code=1)
    assert "too soon" in refused
    assert "hint: there is a pause between two gifts to an account" in refused


def test_who_does_not_run_is_funded_too(folder: Path) -> None:
    node = folder / "nodes" / "prover-1"
    account = load_identity(node / "keys.toml").account.hex()
    shown = asked("fund", node, "--wait")
    assert shown.startswith(f"the faucet gives {GIFT:,} to {account}\nfinal at tick ")
    assert f": {GIFT:,} paid to {account}" in shown


def test_a_bundle_without_a_faucet_funds_nobody(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    asked("network", "create", bare, "--backend", "modelled")
    refused = asked("join", bare / "join.toml", "--fund", "--out", tmp_path / "node", code=1)
    assert "names no faucet" in refused
    assert "provnet fund --from URL" in refused
    assert not (tmp_path / "node").exists()
    refused = asked("fund", bare / "nodes" / "prover-1", code=1)
    assert "names no faucet" in refused
    other = json.loads((folder / "nodes/faucet/faucet.json").read_text())
    url = (folder / "nodes/faucet/api-url").read_text().strip()
    refused = asked("fund", bare / "nodes" / "prover-1", "--from", url, code=1)
    assert "is of the network" in refused
    assert json.loads((folder / "nodes/faucet/faucet.json").read_text()) == other

"""Newcomers of a network of real processes that has run for several epochs under changed sets."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from p2p.observing import SnapshotAdopted
from protocol.params import Genesis, parse_genesis
from scripts.records import read_lines
from tests.processes.test_join import PATIENCE_S, finals, free_port, started, wait_for_final
from tests.processes.test_testnet import output_of, provnet

EPOCH = 8
STAKED = 7


@dataclass(frozen=True)
class Old:
    """A network whose validator has added to its stake, and who is asked about it."""

    node: Path
    process: subprocess.Popen[str]

    @property
    def genesis(self) -> Genesis:
        return parse_genesis((self.node / "genesis.toml").read_text())

    def passes(self, height: int) -> None:
        wait_for_final(self.node, height, self.process)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    """One that is in its fifth epoch: the new stake counts from the fourth."""
    folder = tmp_path_factory.mktemp("old") / "network"
    create = provnet(
        "network", "create", folder, "--name", "old", "--validators", 1, "--provers", 1,
        "--backend", "modelled", "--leaves", 1, "--slot-ms", 400, "--start-s", 5,
        "--port", free_port(), "--at", f"prover-1=127.0.0.1:{free_port()}",
        "--set", f"network.epoch_ticks={EPOCH}",
    )  # fmt: skip
    output, _ = create.communicate(timeout=PATIENCE_S)
    assert create.returncode == 0, output
    nodes = [folder / "nodes" / name for name in ("validator-1", "prover-1")]
    processes = [started(one / "node.toml") for one in nodes]
    network = Old(nodes[0], processes[0])
    try:
        network.passes(1)
        stake = provnet("stake", STAKED, "--kind", "log", "--wait", "--node", network.node)
        output, _ = stake.communicate(timeout=PATIENCE_S)
        assert "which counts from epoch 3" in output
        network.passes(4 * EPOCH + 4)
        yield network
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.communicate(timeout=PATIENCE_S)


def joined(old: Old, folder: Path, *more: str, ticks: int = 0) -> str:
    """Join by the address of a node until some heights were followed; what was said."""
    url = (old.node / "api-url").read_text().strip()
    process = provnet("join", url, "--out", folder, "--plain", *more)
    lines = []
    for line in output_of(process):
        lines.append(line)
        if line.startswith("synced: tick"):
            wait_for_final(folder, max(finals(folder)) + ticks, process)
            break
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, "".join(lines) + rest
    return "".join(lines)


def agree(old: Old, folder: Path) -> dict[int, str]:
    """Digests of a newcomer, which are those of the network."""
    mine = finals(folder)
    old.passes(max(mine))
    theirs = finals(old.node)
    assert {tick: theirs[tick] for tick in mine} == mine
    assert sorted(mine) == list(range(min(mine), max(mine) + 1))
    return mine


def test_a_newcomer_begins_with_a_snapshot_is_away_for_epochs_and_catches_up(
    old: Old, tmp_path: Path
) -> None:
    folder = tmp_path / "node"
    said = joined(old, folder, ticks=2)
    found = re.search(r"began with the snapshot of height (\d+); (\d+) blocks synced", said)
    assert found is not None, said
    height, count = map(int, found.groups())
    assert height >= 3 * EPOCH
    assert height % EPOCH == 0
    assert count >= 1
    first = agree(old, folder)
    assert min(first) == height + 1
    adopted = [
        one
        for one in read_lines(folder / "events.jsonl")
        if one["kind"] == SnapshotAdopted.__name__
    ]
    assert [(one["height"], one["peer"] is None) for one in adopted] == [(height, False)]
    (orders,) = adopted[0]["sets"][1]
    assert orders["stake"] == old.genesis.accounts[0].log_stake + STAKED

    old.passes(max(first) + 2 * EPOCH)
    said = joined(old, folder)
    assert "going on in" in said
    assert "began with" not in said
    both = agree(old, folder)
    assert max(both) >= max(first) + 2 * EPOCH


def test_whoever_wants_it_applies_the_whole_log(old: Old, tmp_path: Path) -> None:
    said = joined(old, tmp_path / "node", "--from-genesis")
    assert "began with" not in said
    assert min(agree(old, tmp_path / "node")) == 1

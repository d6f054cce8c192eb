"""Newcomers of a network of real processes that has run for several epochs under changed sets."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from p2p.observing import MessageRefused, SnapshotAdopted
from protocol.errors import Reason
from protocol.types import Stake
from scripts.bundle import BundleError
from scripts.records import read_lines
from tests.processes.test_join import (
    PATIENCE_S,
    Shared,
    finals,
    founded,
    join,
    wait_for_final,
)
from tests.processes.test_testnet import output_of, provnet

EPOCH = 8
STAKED = 7


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """One in whose last epoch and this one the validator's new stake counts."""
    folder = tmp_path_factory.mktemp("old") / "network"
    epochs = ("--leaves", 1, "--set", f"network.epoch_ticks={EPOCH}")
    with founded(folder, *epochs, provers=1, runs="prover-1") as network:
        stake = provnet("stake", STAKED, "--kind", "log", "--wait", "--node", network.node)
        output, _ = stake.communicate(timeout=PATIENCE_S)
        counts = re.search(r"which counts from epoch (\d+)", output)
        assert counts is not None, output
        passes(network, (int(counts[1]) + 1) * EPOCH + 4)
        yield network


def passes(network: Shared, height: int) -> None:
    wait_for_final(network.node, height, network.process)


def joined(old: Shared, folder: Path, *more: str, ticks: int = 0) -> str:
    """Join by the address of a node until some heights were followed; what was said."""
    url = (old.node / "api-url").read_text().strip()
    process = provnet("join", url, "--out", folder, "--plain", *more)
    lines = []
    for line in output_of(process):
        lines.append(line)
        if line.startswith("synced: tick"):
            wait_for_final(folder, max(finals(folder), default=0) + ticks, process)
            break
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, "".join(lines) + rest
    return "".join(lines)


def agree(old: Shared, folder: Path) -> dict[int, str]:
    """Digests of a newcomer, which are those of the network."""
    mine = finals(folder)
    passes(old, max(mine))
    theirs = finals(old.node)
    assert {tick: theirs[tick] for tick in mine} == mine
    assert sorted(mine) == list(range(min(mine), max(mine) + 1))
    return mine


def test_a_newcomer_begins_with_a_snapshot_is_away_for_epochs_and_catches_up(
    old: Shared, tmp_path: Path
) -> None:
    folder = tmp_path / "node"
    said = joined(old, folder, ticks=2)
    found = re.search(r"began with the snapshot of height (\d+); (\d+) blocks synced", said)
    assert found is not None, said
    height, count = map(int, found.groups())
    assert height % EPOCH == 0
    assert count < height
    first = agree(old, folder)
    assert min(first) == height + 1
    adopted = [
        one
        for one in read_lines(folder / "events.jsonl")
        if one["kind"] == SnapshotAdopted.__name__
    ]
    assert [(one["height"], one["peer"] is None) for one in adopted] == [(height, False)]
    (orders,) = adopted[0]["sets"][1]
    assert orders["stake"] == old.bundle.genesis.accounts[0].log_stake + STAKED

    passes(old, max(first) + 2 * EPOCH)
    said = joined(old, folder)
    assert "going on in" in said
    assert "began with" not in said
    both = agree(old, folder)
    assert max(both) >= max(first) + 2 * EPOCH


def test_whoever_wants_it_applies_the_whole_log(old: Shared, tmp_path: Path) -> None:
    said = joined(old, tmp_path / "node", "--from-genesis")
    assert "began with" not in said
    assert min(agree(old, tmp_path / "node")) == 1


def test_whom_the_bundle_does_not_name_proves_nothing_and_its_checkpoint_is_missed(
    old: Shared, tmp_path: Path
) -> None:
    """The snapshots of these peers are refused; then their log shows that it is another one."""
    bundle = old.bundle
    assert bundle.checkpoint is not None
    sets = tuple(
        tuple(replace(one, stake=Stake(one.stake + 1)) for one in members)
        for members in bundle.checkpoint.sets
    )
    wrong = replace(bundle.checkpoint, sets=sets, block=bytes(32))
    with pytest.raises(BundleError, match="another block at height"):
        join(replace(bundle, checkpoint=wrong), tmp_path)
    events = list(read_lines(tmp_path / "node" / "events.jsonl"))
    refused = {one["reason"] for one in events if one["kind"] == MessageRefused.__name__}
    assert Reason.UNTRUSTED_SET.name in refused
    assert not [one for one in events if one["kind"] == SnapshotAdopted.__name__]

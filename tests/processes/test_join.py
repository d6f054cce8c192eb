"""A stranger joins a network of a real process over real connections; and each way to fail."""

from __future__ import annotations

import io
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console

from p2p.peers import Address
from protocol.types import Milliseconds
from scripts.bundle import (
    Bundle,
    BundleError,
    bundle_of_folder,
    format_bundle,
    read_bundle,
)
from scripts.configuration import ConfigurationError
from scripts.joining import follower
from scripts.joining.command import Order, join_network
from scripts.joining.display import Display
from scripts.joining.folder import Role, Wishes
from scripts.keys import load_identity
from scripts.node import SystemClock
from scripts.records import read_lines
from tests.processes.test_testnet import ROOT, output_of, provnet

PATIENCE_S = 120


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Shared:
    """A network whose validator runs, and one of its provers, so that blocks are made."""

    folder: Path
    process: subprocess.Popen[str]

    @property
    def node(self) -> Path:
        return self.folder / "nodes" / "validator-1"

    @property
    def bundle(self) -> Bundle:
        return bundle_of_folder(self.node)


def started(configuration: Path, *more: object, **environment: str) -> subprocess.Popen[str]:
    """A node as a service starts it: no terminal, logs on standard error."""
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.main", "node", str(configuration), *map(str, more)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def finals(folder: Path) -> dict[int, str]:
    path = folder / "events.jsonl"
    lines = read_lines(path) if path.exists() else iter(())
    return {one["tick"]: one["digest"] for one in lines if one["kind"] == "Final"}


def wait_for_final(folder: Path, height: int, process: subprocess.Popen[str]) -> None:
    """Wait until a node has so many final blocks."""
    wait_until(lambda: max(finals(folder), default=0) >= height, process)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something that a process does; a pipe that nobody writes to paces the looks."""
    quiet, hand = os.pipe()
    try:
        for _ in range(10 * PATIENCE_S):
            if condition():
                return
            assert process.poll() is None, process.communicate()
            select.select([quiet], [], [], 0.1)
    finally:
        os.close(quiet)
        os.close(hand)
    raise AssertionError("it never came to that")


@contextmanager
def founded(folder: Path, *more: object, provers: int, runs: str) -> Iterator[Shared]:
    """A network of one validator and some provers, of which that and the named one run."""
    ports = [f"prover-{number}=127.0.0.1:{free_port()}" for number in range(1, provers + 1)]
    create = provnet(
        "network", "create", folder, "--name", folder.parent.name, "--validators", 1,
        "--provers", provers, "--backend", "modelled", "--slot-ms", 400, "--start-s", 5,
        "--port", free_port(), *(word for one in ports for word in ("--at", one)), *more,
    )  # fmt: skip
    output, _ = create.communicate(timeout=PATIENCE_S)
    assert create.returncode == 0, output
    nodes = [folder / "nodes" / name for name in ("validator-1", runs)]
    processes = [started(one / "node.toml") for one in nodes]
    try:
        wait_for_final(nodes[0], 3, processes[0])
        yield Shared(folder, processes[0])
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("shared") / "network"
    with founded(folder, "--leaves", 2, provers=2, runs="prover-2") as network:
        yield network


def join(
    bundle: Bundle, tmp_path: Path, role: Role = Role.OBSERVER, *, blocks: int = 0
) -> tuple[int, str]:
    """Join in this process until the log was followed a little, or the join failed."""
    path = tmp_path / "join.toml"
    path.write_bytes(format_bundle(bundle))
    shown = io.StringIO()
    order = Order(str(path), Wishes("stranger", role, tmp_path), folder=tmp_path / "node")
    with Display(Console(file=shown, width=200)) as display:
        code = join_network(replace(order, blocks=blocks), display)
    return code, shown.getvalue()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A join ends once it has synced, and gives up soon."""

    def stop_when_synced(self: follower.Follower, *_: object) -> None:
        self._stop()

    monkeypatch.setattr(follower.Follower, "_tell_tip", stop_when_synced)
    monkeypatch.setattr(follower, "CONNECT_S", 4.0)


def test_a_stranger_syncs_agrees_and_is_found_again(shared: Shared, tmp_path: Path) -> None:
    path = tmp_path / "join.toml"
    path.write_bytes(format_bundle(shared.bundle))
    assert shared.bundle.checkpoint is not None
    folder = tmp_path / "node"
    accounts = []
    for told in ("new node in", "going on in"):
        process = provnet("join", path, "--out", folder, "--plain")
        for line in output_of(process):
            if line.startswith("tick"):
                break
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, rest
        accounts.append(load_identity(folder / "keys.toml").account)
        report = json.loads((folder / "report.json").read_text())
        assert report["halted"] is None
        assert "stopped at tick" in rest, told
    assert accounts[0] == accounts[1]
    mine, theirs = finals(folder), finals(shared.node)
    common = mine.keys() & theirs.keys()
    assert len(common) > 10
    assert all(mine[tick] == theirs[tick] for tick in common)


def test_a_node_is_a_service(shared: Shared, tmp_path: Path) -> None:
    """Environment and flags stand above the file; a signal ends it well; it logs lines."""
    node = shared.folder / "nodes" / "prover-1" / "node.toml"
    process = started(node, "--set", "prover.workers=1", PROVNET_NAME="renamed")
    wait_for_final(node.parent, 3, process)
    process.send_signal(signal.SIGTERM)
    _, logged = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, logged
    assert "stopping on signal 15" in logged
    line = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ provnet[.\w]*: .+")
    assert all(line.fullmatch(one) for one in logged.splitlines()), logged
    report = json.loads((node.parent / "report.json").read_text())
    assert report["name"] == "renamed"


def test_a_running_node_hands_out_a_bundle_and_answers_its_owner(
    shared: Shared, tmp_path: Path
) -> None:
    url = (shared.node / "api-url").read_text().strip()
    process = provnet("join", url, "--out", tmp_path / "node", "--plain")
    for line in output_of(process):
        if line.startswith("tick"):
            break
    asked = [provnet(one, "--node", tmp_path / "node") for one in ("status", "account", "earnings")]
    shown = [one.communicate(timeout=PATIENCE_S)[0] for one in asked]
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, rest
    assert [one.returncode for one in asked] == [0, 0, 0], shown
    account = load_identity(tmp_path / "node" / "keys.toml").account
    assert all(account.hex() in one for one in shown[:2])
    assert read_bundle(tmp_path / "node" / "join.toml").checkpoint is not None


def test_money_and_stake_are_moved_and_what_it_means_is_said(shared: Shared) -> None:
    """One after the other on a real log; each says at which height and from when on it counts."""

    def asked(*words: object, code: int = 0) -> str:
        process = provnet(*words, "--wait", "--node", shared.node)
        shown, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == code, shown
        return shown

    def ticks(pattern: str, shown: str) -> list[int]:
        found = re.fullmatch(pattern, shown.strip())
        assert found is not None, shown
        return [int(one) for one in found.groups()]

    network = shared.bundle.genesis.network
    at, epoch, tick = ticks(
        r"final at tick (\d+): 7 of log stake, which counts from epoch (\d+), tick (\d+)",
        asked("stake", 7, "--kind", "log"),
    )
    assert epoch == (at - 1) // network.epoch_ticks + 3
    assert tick == epoch * network.epoch_ticks + 1
    at, due = ticks(
        r"final at tick (\d+): 3 of log stake counts until epoch \d+, tick \d+, "
        r"and is paid at tick (\d+)",
        asked("unstake", 3, "--kind", "log"),
    )
    assert due == at + network.exit_delay_ticks
    lent = asked("delegate", "prover-1", 5, "--kind", "prover")
    assert "5 of prover stake, which counts at once" in lent
    back = asked("undelegate", "prover-1", 5, "--kind", "prover")
    assert "5 of prover stake counts no more" in back
    assert f"11 paid to {'cd' * 32}" in asked("pay", "cd" * 32, 11)
    refused = asked("unstake", 10**12, "--kind", "log", code=1)
    assert "the sender has less of this stake there than it wants to take out" in refused
    assert "hint: " in refused
    assert "king is no kind of stake" in asked("stake", 1, "--kind", "king", code=1)


@pytest.mark.parametrize(
    ("role", "kind", "since"),
    [
        (Role.VALIDATOR, "LOG", "counts from"),
        (Role.SEQUENCER, "SEQUENCER", "its key counts from"),
    ],
)
def test_a_stranger_is_paid_stakes_and_does_not_stake_again(
    shared: Shared, tmp_path: Path, role: Role, kind: str, since: str
) -> None:
    """It waits for the money, says when its stake counts, and finds its stake at a second start."""
    order = ("join", "--role", role.value, "--stake", 50, "--plain", "--out", tmp_path / "node")
    path = tmp_path / "join.toml"
    path.write_bytes(format_bundle(shared.bundle))
    network, told = shared.bundle.genesis.network, list[str]()
    for last in ("staked at tick", f"this account has {kind.lower()} stake already"):
        process = provnet(*order, path)
        for line in output_of(process):
            told.append(line.strip())
            if found := re.match(r"waiting for (\d+) to stake: pay ([0-9a-f]{64})", line):
                assert int(found[1]) == 50 + network.operation_fee
                paid = provnet("pay", found[2], 2_000, "--wait", "--node", shared.node)
                assert "2,000 paid to" in paid.communicate(timeout=PATIENCE_S)[0]
            if line.startswith(last):
                break
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, rest
    assert sum(line.startswith(f"staking 50 as {kind.lower()} stake") for line in told) == 1
    events = list(read_lines(tmp_path / "node/events.jsonl"))
    account = load_identity(tmp_path / "node" / "keys.toml").account.hex()
    staked = (one for one in events if one["kind"] == "Staked" and one["owner"] == account)
    ((tick, found_kind, amount),) = {(one["tick"], one["stake"], one["amount"]) for one in staked}
    assert (found_kind, amount) == (kind, 50)
    epoch = (tick - 1) // network.epoch_ticks + 3
    assert any(f", {since} epoch {epoch}, tick " in line for line in told)
    senders = {one["sender"] for one in events if one["kind"] == "OperationRefused"}
    assert account not in senders, "a sequencer whose key does not count pays for no refusal"


def test_a_port_in_use_is_named(shared: Shared) -> None:
    port = Address.parse(shared.bundle.bootstrap[0]).port
    node = shared.folder / "nodes" / "prover-1" / "node.toml"
    process = started(node, PROVNET_LISTEN_PORT=str(port))
    _, logged = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in logged
    assert "hint: stop what listens there" in logged


def test_an_address_that_is_none_is_named(shared: Shared) -> None:
    node = shared.folder / "nodes" / "prover-1" / "node.toml"
    process = started(node, PROVNET_BOOTSTRAP="192.0.2.1:4001")
    _, logged = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "error: '192.0.2.1:4001' among a node's addresses is not an address" in logged
    assert "hint: mend bootstrap" in logged


@pytest.mark.usefixtures("brief")
def test_a_checkpoint_is_passed_on_the_way(shared: Shared, tmp_path: Path) -> None:
    code, shown = join(shared.bundle, tmp_path)
    assert code == 0, shown
    assert "synced: tick" in shown


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("field", ["block", "state"])
def test_another_history_than_the_checkpoint_s_is_refused(
    shared: Shared, tmp_path: Path, field: str
) -> None:
    bundle = shared.bundle
    assert bundle.checkpoint is not None
    wrong = replace(bundle.checkpoint, **{field: bytes(32)})
    with pytest.raises(BundleError, match="another block at height"):
        join(replace(bundle, checkpoint=wrong), tmp_path)


@pytest.mark.usefixtures("brief")
def test_nobody_at_the_addresses_is_named_with_them(shared: Shared, tmp_path: Path) -> None:
    account = Address.parse(shared.bundle.bootstrap[0]).account
    nobody = Address("ip4", "127.0.0.1", free_port(), account)
    with pytest.raises(BundleError, match=f"no node answers .* 127.0.0.1:{nobody.port}"):
        join(replace(shared.bundle, bootstrap=(str(nobody),), checkpoint=None), tmp_path)


@pytest.mark.usefixtures("brief")
def test_peers_of_another_network_are_told_of(shared: Shared, tmp_path: Path) -> None:
    bundle = shared.bundle
    network = replace(bundle.genesis.network, name="other")
    other = replace(bundle.genesis, network=network)
    with pytest.raises(BundleError, match="are on another network"):
        join(replace(bundle, genesis=other, checkpoint=None), tmp_path)


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("role", [Role.VALIDATOR, Role.OBSERVER])
def test_a_validator_s_clock_must_be_right(
    shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    right = SystemClock.now_ms
    monkeypatch.setattr(SystemClock, "now_ms", lambda self: Milliseconds(right(self) + 10_000))
    if role is Role.OBSERVER:
        code, _ = join(shared.bundle, tmp_path, role)
        assert code == 0
        return
    with pytest.raises(ConfigurationError, match="ahead of the clocks of the network") as caught:
        join(shared.bundle, tmp_path, role)
    assert "NTP" in caught.value.hint


def test_an_old_tip_is_told_of(
    shared: Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "STALE_SLOTS", 0)
    tell = follower.Follower._tell_tip

    def tell_and_stop(self: follower.Follower, running: follower.Running) -> None:
        tell(self, running)
        self._stop()

    monkeypatch.setattr(follower.Follower, "_tell_tip", tell_and_stop)
    code, shown = join(shared.bundle, tmp_path)
    assert code == 0
    assert "slots behind the clock" in shown
    assert "hint: a log without work does not grow" in shown


def test_a_checkpoint_that_is_too_old_is_refused_before_anything_is_written(
    shared: Shared, tmp_path: Path
) -> None:
    assert shared.bundle.checkpoint is not None
    old = replace(shared.bundle.checkpoint, time_ms=1_000)
    with pytest.raises(BundleError, match="validators answer for what they sign"):
        join(replace(shared.bundle, checkpoint=old), tmp_path)
    assert not (tmp_path / "node").exists()


@pytest.mark.usefixtures("brief")
def test_keys_that_others_can_read_are_refused(shared: Shared, tmp_path: Path) -> None:
    join(shared.bundle, tmp_path)
    (tmp_path / "node" / "keys.toml").chmod(0o644)
    with pytest.raises(ConfigurationError, match="its mode is 0644"):
        join(shared.bundle, tmp_path)


def test_the_error_of_a_join_is_a_sentence_with_a_hint(shared: Shared, tmp_path: Path) -> None:
    path = tmp_path / "join.toml"
    path.write_bytes(format_bundle(shared.bundle).replace(b"epoch_ticks", b"epoch_tocks"))
    process = provnet("join", path, "--out", tmp_path / "node")
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert output.startswith("error: the bundle is damaged")
    assert "hint: copy it again" in output
    assert not (tmp_path / "node").exists()

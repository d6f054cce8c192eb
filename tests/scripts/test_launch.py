"""What the testnet command says when its nodes do not get going."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from p2p.peers import Address
from scripts.bundle import read_bundle
from scripts.launcher import testnet
from scripts.launcher.command import run
from scripts.launcher.plan import Wish, make_plan
from scripts.launcher.processes import Process
from scripts.launcher.watch import NodeState


def test_the_bundle_names_every_node_that_listens(tmp_path: Path) -> None:
    plan = make_plan(Wish(validators=2, provers=1, backend="modelled"))
    states = {one.name: NodeState(one.name) for one in plan.members}
    order = SimpleNamespace(run=tmp_path)
    run = cast(testnet._Run, SimpleNamespace(plan=plan, states=states, order=order, bootstrap=()))
    listening: list[str] = []
    for number, member in enumerate(plan.members):
        address = str(Address("ip4", "127.0.0.1", 4_001 + number, member.identity.account))
        states[member.name].take({"kind": "Stage", "stage": "", "addresses": [address]})
        listening.append(address)
        testnet._keep_bundle(run)
        assert read_bundle(tmp_path / "join.toml").bootstrap == tuple(listening)
    (tmp_path / "join.toml").unlink()
    testnet._keep_bundle(run)
    assert list(tmp_path.iterdir()) == [], "nothing new, nothing written"


def test_a_testnet_s_faucet_is_named_in_every_bundle() -> None:
    wish = Wish(validators=2, provers=1, backend="modelled", faucet=9)
    plan = testnet._with_faucet(make_plan(wish))
    *others, faucet = plan.members
    assert (faucet.name, faucet.balance, faucet.log_stake) == ("faucet", 9, 0)
    api = faucet.configuration.api
    assert api is not None
    assert plan.faucet_url == f"http://127.0.0.1:{api.port}/"
    assert {one.configuration.faucet_url for one in plan.members} == {plan.faucet_url}
    assert {one.configuration.faucet for one in others} == {None}
    assert faucet.configuration.faucet is not None
    bare = make_plan(replace(wish, faucet=0))
    assert testnet._with_faucet(bare) == bare
    assert bare.faucet_url == ""


def test_a_node_that_ends_by_itself_is_named_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def listening(run: object, name: str) -> None:
        testnet._require_alive(run, name)

    async def start(process: Process) -> None:
        process.is_wanted = True

    monkeypatch.setattr(testnet, "_listening", listening)
    monkeypatch.setattr(Process, "start", start)
    code = run(Wish(), (), None, tmp_path / "run", keep_running=False, plain=True)
    assert code == 1
    told = capsys.readouterr().err
    assert told.startswith("error: validator-1 ended by itself")
    assert "hint: read" in told

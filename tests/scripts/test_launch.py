"""What the testnet command says when its nodes do not get going."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.launcher import testnet
from scripts.launcher.command import run
from scripts.launcher.plan import Wish
from scripts.launcher.processes import Process


def test_a_node_that_ends_by_itself_is_named_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def listening(run: object, name: str) -> None:
        testnet._require_alive(run, name)  # type: ignore[arg-type]

    async def start(process: Process) -> None:
        process.is_wanted = True

    monkeypatch.setattr(testnet, "_listening", listening)
    monkeypatch.setattr(Process, "start", start)
    code = run(Wish(), (), None, tmp_path / "run", keep_running=False, plain=True)
    assert code == 1
    told = capsys.readouterr().err
    assert told.startswith("error: validator-1 ended by itself")
    assert "hint: read" in told

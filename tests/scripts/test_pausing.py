"""Pausing from outside: by a signal to the very process that wrote the file, and to no other."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from scripts.configuration import (
    ConfigurationError,
    NodeConfiguration,
    ProverConfiguration,
    SequencerConfiguration,
    save_configuration,
)
from scripts.pausing import PAUSE, PROCESS, RESUME, obey_signals, tell_node


class Recorded:
    """Stands in for a node: remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._came = trio.Event()

    async def pause(self) -> None:
        self._tell("pause")

    async def resume(self) -> None:
        self._tell("resume")

    def _tell(self, word: str) -> None:
        self.told.append(word)
        self._came.set()

    async def next(self) -> str:
        await self._came.wait()
        self._came = trio.Event()
        return self.told[-1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    configuration = NodeConfiguration("one", "genesis.toml", prover=ProverConfiguration())
    save_configuration(tmp_path / "node.toml", configuration)
    return tmp_path


def test_a_node_hears_of_pause_and_resume_while_it_runs(folder: Path) -> None:
    async def story() -> None:
        node: Any = Recorded()
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(obey_signals, node, folder)
                await trio.testing.wait_all_tasks_blocked()
                for number, word in ((PAUSE, "pause"), (RESUME, "resume"), (PAUSE, "pause")):
                    tell_node(folder, number)
                    assert await node.next() == word
                nursery.cancel_scope.cancel()
        assert node.told == ["pause", "resume", "pause"]

    trio.run(story)
    assert not (folder / PROCESS).exists()
    with pytest.raises(ConfigurationError, match=r"no node of .* runs"):
        tell_node(folder, PAUSE)


def test_another_process_with_the_same_id_hears_nothing(folder: Path) -> None:
    (folder / PROCESS).write_text(f"{os.getpid()} 1\n")
    with pytest.raises(ConfigurationError, match=r"no node of .* runs"):
        tell_node(folder, PAUSE)


def test_a_process_that_is_gone_and_a_torn_file_are_no_node(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    for text in (f"{child.pid} 5\n", f"{child.pid}", ""):
        (folder / PROCESS).write_text(text)
        with pytest.raises(ConfigurationError, match=r"no node of .* runs"):
            tell_node(folder, PAUSE)


def test_a_node_that_takes_nothing_on_cannot_be_paused(folder: Path) -> None:
    idle = NodeConfiguration("one", "genesis.toml")
    save_configuration(folder / "node.toml", idle)
    with pytest.raises(ConfigurationError, match="neither proves nor makes blocks"):
        tell_node(folder, PAUSE)
    save_configuration(folder / "node.toml", replace(idle, sequencer=SequencerConfiguration()))
    with pytest.raises(ConfigurationError, match=r"no node of .* runs"):
        tell_node(folder, PAUSE)

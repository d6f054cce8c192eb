"""A run for some minutes, on a clock of its own with processes that only pretend: who is killed
when, and when it is over.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing

from scripts.launcher import testnet
from scripts.launcher.attrition import Kill
from scripts.launcher.narrate import Narrator
from scripts.launcher.plan import Plan, Wish, make_plan
from scripts.launcher.testnet import Order, _Run
from scripts.launcher.watch import NodeState, Story

MINUTES = 2
RESTART_S = 10.0


class Pretender:
    """A process that is alive or not; a new life knows nothing."""

    def __init__(self, folder: Path, state: NodeState) -> None:
        self.folder = folder
        self.state = state
        self.is_running = self.is_wanted = True
        self.deaths: list[float] = []

    async def kill(self) -> None:
        self.is_running = self.is_wanted = False
        self.deaths.append(trio.current_time())

    async def start(self) -> None:
        self.is_running = self.is_wanted = True
        self.state.take({"kind": "Stage", "stage": "reading the configuration", "process": 1})


class Play:
    """A network of two provers and four validators that all have height 50."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *kills: Kill) -> None:
        self.plan: Plan = make_plan(
            Wish(provers=2, minutes=MINUTES, backend="modelled", slot_ms=1_000)
        )
        states = {one.name: NodeState(one.name, height=50) for one in self.plan.members}
        self.processes = {name: Pretender(folder / name, one) for name, one in states.items()}
        self.said: list[str] = []
        self.signalled: list[str] = []
        self.deaf: set[str] = set()
        self.run = _Run(
            order=Order(self.plan, folder, restart_s=RESTART_S, kills=kills),
            plan=self.plan,
            processes=cast(Any, self.processes),
            states=states,
            tails={},
            story=Story(),
            narrator=Narrator(self.plan, 0),
            view=cast(Any, None),
            striker=cast(Any, None),
            say=self.said.append,
            events=io.StringIO(),
        )
        self.run.story.height = 50
        monkeypatch.setattr(testnet, "signal_node", self._signal)

    def _signal(self, folder: Path, _number: object) -> bool:
        self.signalled.append(folder.name)
        return folder.name not in self.deaf

    def catch_up(self, name: str) -> None:
        self.run.states[name].height = self.run.story.height

    def perform(self, story: Callable[[trio.Nursery], Awaitable[None]]) -> None:
        async def main() -> None:
            async with trio.open_nursery() as nursery:
                testnet._keep_time(self.run, nursery)
                await story(nursery)
                nursery.cancel_scope.cancel()

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_nobody_is_killed_who_cannot_be_missed_as_things_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = (Kill(20, "prover-1", 30), Kill(45, "prover-2", 55))
    play = Play(tmp_path, monkeypatch, *kills)
    first, second = play.processes["prover-1"], play.processes["prover-2"]

    async def story(_nursery: trio.Nursery) -> None:
        await trio.sleep(60)
        assert first.is_running
        assert second.is_running, "the first is not back: it has still to catch up"
        play.catch_up("prover-1")
        await trio.sleep(1)
        assert not second.is_running

    play.perform(story)
    assert play.run.killed == ["prover-1", "prover-2"]
    (spared,) = [one for one in play.said if "is spared" in one]
    assert spared.endswith("prover-2 is spared until prover-1 is back")
    assert [round(at) for at in first.deaths] == [20]


def test_when_the_time_is_over_nobody_is_killed_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = Play(tmp_path, monkeypatch, Kill(100, "prover-1", 110), Kill(110, "prover-2", 120))

    async def story(nursery: trio.Nursery) -> None:
        await trio.sleep(60 * MINUTES + 1)
        testnet._keep_time(play.run, nursery)
        play.catch_up("prover-1")
        await trio.sleep(5)

    play.perform(story)
    assert play.run.killed == ["prover-1"]
    assert any("2 minutes are over" in one for one in play.said)


def test_a_run_is_over_once_nothing_was_open_anywhere_for_long_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play = Play(tmp_path, monkeypatch)
    play.deaf.add("validator-2")
    busy, slow = play.run.states["prover-1"], play.run.states["validator-4"]
    assert not testnet._is_done(play.run)

    async def look(nursery: trio.Nursery, seconds: int) -> bool:
        """Whether it is over after some looks."""
        for _ in range(seconds):
            await trio.sleep(1)
            testnet._keep_time(play.run, nursery)
            if testnet._is_done(play.run):
                return True
        return False

    async def story(nursery: trio.Nursery) -> None:
        assert not await look(nursery, 60 * MINUTES + 30), "a sequencer is not paused"
        play.deaf.clear()
        busy.open.add("a tree")
        assert not await look(nursery, 30), "a tree is open"
        busy.open.clear()
        slow.height = 9
        assert not await look(nursery, 30), "a node is behind"
        slow.height = 50
        assert not await look(nursery, testnet.QUIET_SLOTS - 1)
        assert await look(nursery, 3)

    play.perform(story)
    assert set(play.signalled) == {"validator-1", "validator-2"}
    assert play.signalled.count("validator-1") == 1, "who heard it is not told again"

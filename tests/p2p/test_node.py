"""The node's own code over the memory network, with modelled proofs and real stores."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from p2p.memory import LinkModel
from p2p.observing import AgentTold, ProofCancelled, ProofStarted
from protocol.agents import Action, AgentEvent, CancelProof, ProofKey, SlotBegan, StartProof, View
from protocol.events import (
    Assigned,
    IntentRegistered,
    JobOpened,
    JobSettled,
    ProofRecorded,
    RightMissed,
    TakenOver,
)
from protocol.happenings import BlockFinal
from protocol.ledger import Cause, Moved
from protocol.types import Count, JobId, Milliseconds, Tick, TreeIndex
from prover.tasks import LeafTask
from scripts.launcher.plan import Wish
from tests.p2p.town import Town, live

MODELLED = Wish(validators=4, provers=4, leaves=4, blocks=1, slot_ms=1_000, backend="modelled")


def everybody_settled(town: Town, blocks: int = 1) -> bool:
    return all(town.settled(name) >= blocks for name in town.residents)


def paid(town: Town, name: str, cause: Cause) -> int:
    account = town[name].account
    moves = town["validator-1"].events(Moved)
    return sum(one.amount for one in moves if one.cause is cause and one.target.owner == account)


def test_a_block_is_proven_and_paid_and_everybody_agrees(tmp_path: Path) -> None:
    town = Town(tmp_path, MODELLED)

    async def story(nursery: trio.Nursery) -> None:
        await town.until(lambda: everybody_settled(town))

    live(town, story)
    town.assert_agreement()
    events = town["prover-1"].events(ProofRecorded)
    assert len({(one.job, one.index) for one in events}) == len(events) == 7
    assert not town["prover-1"].events(RightMissed)
    owners = {one.index: one.prover for one in town["prover-1"].events(Assigned)}
    assert all(owners[one.index] == one.prover for one in events)
    assert all(paid(town, f"prover-{number}", Cause.PROVER_PAY) > 0 for number in range(1, 5))


def test_a_dead_prover_is_covered_by_its_sibling_and_earns_nothing(tmp_path: Path) -> None:
    town = Town(tmp_path, MODELLED)
    victim: list[str] = []

    async def story(nursery: trio.Nursery) -> None:
        def starts_a_leaf() -> list[str]:
            return [
                name
                for name, resident in town.residents.items()
                if any(isinstance(one, ProofStarted) for one in resident.told)
            ]

        await town.until(lambda: bool(starts_a_leaf()))
        victim.append(starts_a_leaf()[0])
        town[victim[0]].stop()
        alive = [name for name in town.residents if name != victim[0]]
        await town.until(lambda: all(town.settled(name) for name in alive))

    live(town, story)
    town.assert_agreement()
    dead = town[victim[0]].account
    witness = town["validator-1"]
    passed = {one.index: one.heir for one in witness.events(TakenOver) if one.previous == dead}
    owners = {one.index: one.prover for one in witness.events(Assigned)}
    recorded = {one.index: one.prover for one in witness.events(ProofRecorded)}
    assert passed
    assert all(recorded[index] == heir for index, heir in passed.items())
    assert dead not in recorded.values()
    assert paid(town, victim[0], Cause.PROVER_PAY) == 0
    pay = {one.place: one for one in witness.events(Moved) if one.cause is Cause.PROVER_PAY}
    assert set(pay) == {index for index, owner in owners.items() if owner != dead}


def test_a_stopped_validator_goes_on_from_its_store_and_signs_nothing_twice(
    tmp_path: Path,
) -> None:
    town = Town(tmp_path, MODELLED)
    heights: list[int] = []

    async def story(nursery: trio.Nursery) -> None:
        sleeper = town["validator-2"]
        await town.until(lambda: sleeper.height >= 3)
        sleeper.stop()
        heights.append(sleeper.height)
        await town.until(lambda: town["validator-1"].height >= heights[0] + 8)
        nursery.start_soon(sleeper.run)
        await town.until(lambda: everybody_settled(town))
        await town.until(lambda: sleeper.height >= town["validator-1"].height)

    live(town, story)
    town.assert_agreement()
    assert town["validator-2"].height > heights[0] + 8
    assert not town["validator-1"].running.machine._punished


def test_a_prover_that_comes_back_proves_nothing_that_is_over(tmp_path: Path) -> None:
    town = Town(tmp_path, MODELLED)
    heights: list[int] = []

    async def story(nursery: trio.Nursery) -> None:
        sleeper = town["prover-1"]
        await town.until(lambda: any(isinstance(one, ProofStarted) for one in sleeper.told))
        sleeper.stop()
        heights.append(sleeper.height)
        sleeper.told.clear()
        others = [name for name in town.residents if name != "prover-1"]
        await town.until(lambda: all(town.settled(name) for name in others))
        nursery.start_soon(sleeper.run)
        await town.until(lambda: town.settled("prover-1") > 0)

    live(town, story)
    sleeper = town["prover-1"]
    assert sleeper.height > heights[0]
    assert not [one for one in sleeper.told if isinstance(one, ProofStarted)]


class Late:
    """Its actions were decided before what it acts upon changed: no proof runs any more that it
    stops, and what it starts runs already.
    """

    def __init__(self) -> None:
        leaf = TreeIndex(Count(0), Count(0))
        self.stops = ProofKey(JobId(bytes([1]) * 32), leaf)
        self.starts = ProofKey(JobId(bytes([2]) * 32), leaf)

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        if not isinstance(event, SlotBegan):
            return ()
        key = self.starts
        task = LeafTask(key.job, view.account, key.index, Count(1), Tick(1), b"no witness")
        return (CancelProof(self.stops), StartProof(key, task), StartProof(key, task))


def test_actions_that_come_late_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late()
    monkeypatch.setattr("tests.p2p.town.make_agents", lambda one, *_: (late,) if one.prover else ())
    alone = Town(tmp_path, replace(MODELLED, validators=1, provers=1))

    async def story(nursery: trio.Nursery) -> None:
        await trio.sleep(5)

    live(alone, story)
    told = alone["prover-1"].told
    assert late.stops not in [one.key for one in told if isinstance(one, ProofCancelled)]
    started = [at for at, one in enumerate(told) if isinstance(one, ProofStarted)]
    ended = [at for at, one in enumerate(told) if isinstance(one, ProofCancelled)]
    assert started
    assert all(
        len([at for at in ended if first < at < then]) == 1 for first, then in pairwise(started)
    ), "one ends before the next begins"


def test_a_paused_prover_serves_what_it_owes_and_comes_back_when_it_is_resumed(
    tmp_path: Path,
) -> None:
    """Over a restart in between: what was elected before is delivered, nothing is missed."""
    town = Town(tmp_path, replace(MODELLED, blocks=8))
    drained_at: list[int] = []

    async def story(nursery: trio.Nursery) -> None:
        mine, watcher = town["prover-1"], town["validator-1"]
        await town.until(lambda: any(isinstance(one, ProofStarted) for one in mine.told))
        await mine.running.pause()
        mine.stop()
        await trio.sleep(1)
        nursery.start_soon(mine.run)
        await town.until(lambda: any(isinstance(one, AgentTold) for one in mine.told))
        assert mine.running.is_paused
        drained_at.append(mine.height)
        opened = len(watcher.events(JobOpened))
        await town.until(lambda: len(watcher.events(JobOpened)) > opened)
        await mine.running.resume()
        assert not mine.running.is_paused
        await town.until(lambda: everybody_settled(town, 8))

    live(town, story)
    town.assert_agreement()
    mine, (drained,) = town["prover-1"], drained_at
    assert not [one for one in mine.events(RightMissed) if one.holder == mine.account]
    deliveries = [one.job for one in mine.events(ProofRecorded) if one.prover == mine.account]
    assert deliveries
    jobs = {one.job: at for at, final in mine.finals.items() for one in opened_in(final)}
    pools = {one.job: one.pool for one in mine.events(JobOpened)}
    without = [
        job for job, pool in pools.items() if mine.account not in {one.prover for one in pool}
    ]
    assert without
    assert any(jobs[job] > drained for job in without)
    assert not set(deliveries) & set(without)
    intents = [one for one in mine.events(IntentRegistered) if one.prover == mine.account]
    assert len(intents) == 3  # at the start, a short one when paused, again when resumed


def opened_in(final: BlockFinal) -> list[JobOpened]:
    return [one for one in final.applied.events if isinstance(one, JobOpened)]


def test_the_log_stands_still_without_a_quorum_and_goes_on_with_one(tmp_path: Path) -> None:
    town = Town(tmp_path, MODELLED)
    heights: list[int] = []

    async def story(nursery: trio.Nursery) -> None:
        accounts = [town[f"validator-{number}"].account for number in range(1, 5)]
        await town.until(lambda: town["validator-1"].height >= 2)
        town.hub.partition([accounts[:2], accounts[2:]])
        await trio.sleep(10)
        heights.append(town["validator-1"].height)
        await trio.sleep(120)
        heights.append(max(resident.height for resident in town.residents.values()))
        town.hub.heal()
        await town.until(lambda: everybody_settled(town))

    live(town, story)
    town.assert_agreement()
    assert heights[1] <= heights[0] + 2


@pytest.mark.parametrize("seed", ["a", "b", "c"])
def test_loss_and_jitter_delay_but_do_not_stop(tmp_path: Path, seed: str) -> None:
    wish = Wish(4, 4, 4, 1, 1_000, "modelled", seed)
    town = Town(tmp_path, wish, LinkModel(Milliseconds(30), Milliseconds(60), loss=0.05))

    async def story(nursery: trio.Nursery) -> None:
        await town.until(lambda: town.settled("validator-1") >= 1)
        await town.until(lambda: everybody_settled(town))

    live(town, story)
    town.assert_agreement()
    assert len(town["validator-1"].events(JobSettled)) == 1


def test_an_idle_log_does_not_grow(tmp_path: Path) -> None:
    town = Town(tmp_path, MODELLED)
    heights: list[int] = []

    async def story(nursery: trio.Nursery) -> None:
        await town.until(lambda: everybody_settled(town))
        await trio.sleep(30)
        heights.append(town["validator-1"].height)
        await trio.sleep(300)
        heights.append(town["validator-1"].height)

    live(town, story)
    assert heights[1] - heights[0] <= 2


def test_a_validator_with_a_wrong_clock_signs_nothing_until_it_is_right(tmp_path: Path) -> None:
    town = Town(tmp_path, MODELLED)
    signed: list[int | None] = []

    async def story(nursery: trio.Nursery) -> None:
        doubtful = town["validator-4"]

        def voted() -> int | None:
            return doubtful.running._parts.store.own_latest("vote")

        await town.until(lambda: doubtful.height >= 2)
        await doubtful.running.judge_clock(is_right=False)
        await trio.sleep(1)
        signed.append(voted())
        height = doubtful.height
        await town.until(lambda: doubtful.height >= height + 4)
        signed.append(voted())
        await doubtful.running.judge_clock(is_right=True)
        await town.until(lambda: voted() != signed[-1])
        await town.until(lambda: everybody_settled(town))

    live(town, story)
    town.assert_agreement()
    assert signed[0] is not None
    assert signed[1] == signed[0]

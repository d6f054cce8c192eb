"""When a sequencer's agent commits to a block, and when it holds back, on the state of a story."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from protocol.agents import PAUSE_NOTE, PAUSED, BlockKnown, KeepNote, Submit, TransferHeard
from protocol.events import TakenOver
from protocol.messages import (
    NO_JOB,
    BlockCommitment,
    BlockReveal,
    Signature,
    SignedTransfer,
    StakeKind,
    Transfer,
)
from protocol.ordering.validators import Identity
from protocol.testing import Scenario, World, actor
from protocol.testing.cast import NEWCOMER
from protocol.testing.moves import build, everybody_enlists, work
from protocol.testing.moves_staking import add_stake, pay
from protocol.testing.scenario import BONDED, QUICK_ELECTED
from protocol.types import Account, Amount, Count, Nonce, Tick
from prover.modelled import ModelledBackend
from sequencer.agent import SequencerAgent, SequencerSettings

BACKEND = ModelledBackend()
SENDER = Account(bytes([1]) * 32)
PATIENT = replace(
    Scenario(),
    sequencing_parameters=replace(
        Scenario().sequencing_parameters, deadline_ticks=Tick(200), max_unproven_jobs=Count(3)
    ),
    proving_parameters=replace(QUICK_ELECTED, intent_ticks_max=Tick(600)),
)
"""Time enough to see what becomes of a job that nobody proves."""


class Desk:
    """The agent of somebody, s0 by default, with a transfer in its pool."""

    def __init__(self, like: Scenario = PATIENT, who: str = "s0", **wish: Any) -> None:
        self.world = World(like)
        own = actor(who)
        identity = Identity(own.account, own.seed, own.lot_seed)
        self.agent = SequencerAgent(SequencerSettings(Count(1), **wish), identity, BACKEND)
        self.state = BACKEND.genesis([(SENDER, Amount(9_000))])
        self.account = own.account
        self.notes: dict[str, bytes] = {}
        self.jobs_opened = 0
        transfer = Transfer(SENDER, own.account, Amount(1), Amount(1), Nonce(0))
        self.hear(SignedTransfer(transfer, Signature(bytes(64))))

    @property
    def machine(self) -> Any:
        return self.world.machine

    def own_pending(self) -> tuple[Any, ...]:
        return ()

    def state_after(self, _job: object) -> Any:
        return self.state

    def note(self, name: str) -> bytes | None:
        return self.notes.get(name)

    def hear(self, signed: SignedTransfer) -> None:
        self.agent.decide(self, TransferHeard(signed))

    def submitted(self) -> list[type]:
        """Kinds of what the agent wants ordered now; what it keeps is kept."""
        actions = self.agent.decide(self, BlockKnown(NO_JOB))
        self.notes |= {one.name: one.payload for one in actions if isinstance(one, KeepNote)}
        return [type(one.payload) for one in actions if isinstance(one, Submit)]

    @property
    def commits(self) -> bool:
        return BlockCommitment in self.submitted()

    def open_job(self, who: str = "s1") -> None:
        """A block of somebody, sealed and open."""
        before = len(self.world.board.jobs)
        build(self.world, who=who, height=1, split=10_000, fee=7, how="honest")
        assert len(self.world.board.jobs) > before


@pytest.fixture
def desk() -> Desk:
    """At a network whose provers have enlisted."""
    found = Desk()
    everybody_enlists(found.world)
    found.world.step()
    return found


def test_it_commits_once_somebody_can_be_elected_to_prove() -> None:
    desk = Desk()
    assert not desk.commits
    everybody_enlists(desk.world, lifetime=20)
    desk.world.step()
    assert desk.commits


def test_it_holds_back_when_the_last_intent_has_passed() -> None:
    desk = Desk()
    everybody_enlists(desk.world, lifetime=20)
    desk.world.wait(19)
    assert desk.commits
    desk.world.step()
    assert not desk.commits


def test_where_provers_are_not_elected_nobody_has_to_be() -> None:
    assert Desk(BONDED).commits


def test_a_new_sequencer_commits_once_it_has_stake_and_its_key_counts() -> None:
    desk = Desk(BONDED, NEWCOMER)
    pay(desk.world, who="s0", whom=NEWCOMER, amount=500)
    add_stake(desk.world, who=NEWCOMER, kind=StakeKind.LOG, amount=1, key="own")
    desk.world.wait(3 * BONDED.epoch_ticks)
    assert not desk.commits, "it has a key that counts and no stake of a sequencer"
    stake_it = {"who": NEWCOMER, "kind": StakeKind.SEQUENCER, "amount": 100, "key": "own"}
    add_stake(desk.world, **stake_it)
    desk.world.step()
    assert desk.commits

    desk = Desk(BONDED, NEWCOMER)
    pay(desk.world, who="s0", whom=NEWCOMER, amount=500)
    add_stake(desk.world, **stake_it)
    desk.world.step()
    counts_from = desk.machine.staking.key_counts_from(desk.account)
    assert counts_from == 3
    while desk.machine.tick < counts_from * BONDED.epoch_ticks:
        assert not desk.commits
        desk.world.step()
    desk.world.step()
    assert desk.machine.staking.key_counts_from(desk.account) is None
    assert desk.commits


def test_it_builds_ahead_of_a_job_that_its_provers_may_still_deliver(desk: Desk) -> None:
    desk.open_job()
    assert desk.commits
    desk.world.wait(3)
    assert desk.commits


def test_it_holds_back_while_a_tree_node_is_anybody_s(desk: Desk) -> None:
    desk.open_job()
    while not any(
        isinstance(event, TakenOver) and event.heir is None for event in desk.world.step().events
    ):
        assert desk.commits
    assert not desk.commits
    work(desk.world, ticks=40, lag=1, dead=0, is_greedy=True)
    assert not list(desk.world.board.open_jobs()), "somebody proved it after all"
    assert desk.commits


def test_it_holds_back_while_it_is_paused(desk: Desk) -> None:
    desk.notes[PAUSE_NOTE] = PAUSED
    assert not desk.commits
    desk.notes[PAUSE_NOTE] = b""
    assert desk.commits


def test_a_paused_sequencer_reveals_what_it_committed_to(desk: Desk) -> None:
    (commitment,) = [
        one.payload
        for one in desk.agent.decide(desk, BlockKnown(NO_JOB))
        if isinstance(one, Submit)
    ]
    assert desk.commits, "and its reveal is kept"
    desk.notes[PAUSE_NOTE] = PAUSED
    desk.world.say("s0", commitment)
    desk.world.wait(3)
    assert desk.submitted() == [BlockReveal]


def test_it_stops_at_its_limit_and_with_too_few_transfers() -> None:
    for wish in ({"blocks_max": 0}, {"transfers_min": Count(2)}):
        desk = Desk(**wish)
        everybody_enlists(desk.world)
        desk.world.step()
        assert not desk.commits

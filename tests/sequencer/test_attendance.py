"""When a validator shows that it is there again, on the state of a story."""

from __future__ import annotations

from typing import Any

from protocol.agents import BlockKnown, SlotBegan, Submit, Tell
from protocol.messages import NO_JOB, Payload, Presence, StakeKind
from protocol.testing import Scenario, World, actor
from protocol.testing.moves_staking import add_stake, pay, unstake
from protocol.types import Slot
from sequencer.attendance import AttendanceAgent

SLOT = SlotBegan(Slot(7))
WHO = "s2"


class Desk:
    """The agent of a validator that misses all votes, and of which no quorum depends."""

    def __init__(self) -> None:
        self.world = World(Scenario())
        self.agent = AttendanceAgent()
        self.account = actor(WHO).account
        self.is_behind = False
        self.pending: tuple[Payload, ...] = ()
        self.world.asleep.add(WHO)
        for other in ("s0", "s1"):
            add_stake(self.world, who=other, kind=StakeKind.LOG, amount=10, key="own")

    @property
    def machine(self) -> Any:
        return self.world.machine

    def own_pending(self) -> tuple[Payload, ...]:
        return self.pending

    def submitted(self, event: Any = SLOT) -> list[Payload]:
        actions = self.agent.decide(self, event)
        return [one.payload for one in actions if isinstance(one, Submit)]

    @property
    def orders(self) -> bool:
        return self.machine.sets.validators.get(self.account) is not None

    def is_left_out(self) -> None:
        """Wait for it. Nothing is sent before."""
        while self.orders:
            assert not self.submitted()
            assert self.machine.tick < 9 * self.world.scenario.epoch_ticks
            self.world.step()

    def ends_epoch(self) -> None:
        ticks = self.world.scenario.epoch_ticks
        self.world.wait(ticks - self.machine.tick % ticks)


def test_who_was_left_out_says_that_it_is_there_and_orders_two_epochs_later() -> None:
    desk = Desk()
    desk.is_left_out()
    assert desk.machine.tick == 3 * desk.world.scenario.epoch_ticks
    assert desk.submitted() == [Presence()]
    assert desk.submitted(BlockKnown(NO_JOB)) == []
    desk.world.say(WHO, Presence())
    desk.world.asleep.clear()
    desk.world.step()
    assert not desk.submitted(), "it was ordered"
    desk.ends_epoch()
    assert not desk.orders
    desk.ends_epoch()
    assert desk.orders
    desk.ends_epoch()
    assert not desk.submitted(), "it votes"


def test_it_waits_for_its_node_and_for_what_it_said() -> None:
    desk = Desk()
    desk.is_left_out()
    desk.is_behind = True
    assert not desk.submitted()
    desk.is_behind = False
    desk.pending = (Presence(),)
    assert not desk.submitted()
    desk.pending = ()
    assert desk.submitted() == [Presence()]


def test_who_took_its_stake_out_does_not_come_back() -> None:
    desk = Desk()
    desk.is_left_out()
    holding = (StakeKind.LOG, desk.account)
    owned = desk.machine.staking.owned(desk.machine.ledger, holding, desk.account)
    unstake(desk.world, who=WHO, kind=StakeKind.LOG, amount=owned)
    desk.world.wait(3 * desk.world.scenario.epoch_ticks)
    assert not desk.orders
    assert not desk.submitted()


def test_who_cannot_pay_the_fee_is_told_once() -> None:
    desk = Desk()
    money = desk.world.scenario.balance - desk.world.scenario.operation_fee
    pay(desk.world, who=WHO, whom="s0", amount=money)
    desk.is_left_out()
    told = [desk.agent.decide(desk, SLOT) for _ in range(2)]
    assert [len(actions) for actions in told] == [1, 0]
    assert isinstance(told[0][0], Tell)
    assert "pay this account" in told[0][0].sentence
    pay(desk.world, who="s0", whom=WHO, amount=desk.world.scenario.operation_fee)
    desk.world.step()
    assert desk.submitted() == [Presence()]

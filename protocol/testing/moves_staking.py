"""What can be done with money and stake in any story, and validators that sleep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from protocol.messages import AddStake, Delegate, Pay, Presence, StakeKind, Undelegate, Unstake
from protocol.testing.cast import NEWCOMER, OUTSIDER, PROVERS, SEQUENCERS, actor
from protocol.testing.moves import ANYBODY, MOVES, Move, accuse, name_of
from protocol.testing.world import World
from protocol.types import Amount

PEOPLE: Final = (*ANYBODY, NEWCOMER, NEWCOMER)
"""Everybody, and an account that begins with nothing."""

AMOUNTS: Final = (1, 7, 40, 100, 100, 300, 0, 5_000)
"""Small ones, a card, more than most have, and nothing."""


def pay(world: World, *, who: str, whom: str, amount: int) -> None:
    """Free money to somebody, perhaps to oneself."""
    world.say(who, Pay(actor(whom).account, Amount(amount)))


def add_stake(world: World, *, who: str, kind: StakeKind, amount: int, key: str) -> None:
    """Own stake, with the key of one's lots or another one."""
    name = who if key == "own" else "a stranger"
    world.say(who, AddStake(kind, Amount(amount), actor(name).vrf_key))


def unstake(world: World, *, who: str, kind: StakeKind, amount: int) -> None:
    """Own stake on its way out."""
    world.say(who, Unstake(kind, Amount(amount)))


def lend(world: World, *, who: str, whom: str, kind: StakeKind, amount: int) -> None:
    """Stake for somebody else."""
    world.say(who, Delegate(kind, actor(whom).account, Amount(amount)))


def take_back(world: World, *, who: str, nth: int, amount: int) -> None:
    """What was lent, by the ``nth`` loan from the last, on its way out."""
    loans = [one for one in reversed(world.accepted) if isinstance(one.payload, Delegate)]
    if not loans:
        return
    loan = loans[nth % len(loans)]
    assert isinstance(loan.payload, Delegate)
    name = name_of(loan.sender) if who == "the lender" else who
    world.say(name, Undelegate(loan.payload.stake, loan.payload.delegate, Amount(amount)))


def settle_in(world: World, *, kind: StakeKind, amount: int) -> None:
    """The newcomer is given some money and puts a part of it at stake."""
    fees = 3 * world.scenario.operation_fee
    world.say(SEQUENCERS[1], Pay(actor(NEWCOMER).account, Amount(amount + fees)))
    world.step()
    world.say(NEWCOMER, AddStake(kind, Amount(amount), actor(NEWCOMER).vrf_key))


def doze(world: World, *, who: str, ticks: int) -> None:
    """A validator does not vote for so many ticks, or until all are woken by no ticks at all, when
    it says that it is there.
    """
    if ticks == 0:
        if who in world.asleep:
            world.say(who, Presence())
        world.asleep.clear()
        return
    world.asleep.add(who)
    world.wait(ticks)


def flee(world: World, *, whom: str, amount: int) -> None:
    """Somebody takes log stake out, and is accused before it is paid."""
    unstake(world, who=whom, kind=StakeKind.LOG, amount=amount)
    world.step()
    accuse(world, who=OUTSIDER, whom=whom, how="two votes", ago=0)


HOLDERS: Final = (*SEQUENCERS, *PROVERS)
"""Who can be lent stake."""

STAKING: Final[Mapping[str, Move]] = {
    "pay": Move(pay, 2, {"who": ANYBODY, "whom": PEOPLE, "amount": AMOUNTS}),
    "add_stake": Move(
        add_stake,
        2,
        {
            "who": PEOPLE,
            "kind": tuple(StakeKind),
            "amount": AMOUNTS,
            "key": ("own", "own", "another"),
        },
    ),
    "unstake": Move(
        unstake, 2, {"who": PEOPLE, "kind": tuple(StakeKind), "amount": (*AMOUNTS, 2, 3)}
    ),
    "lend": Move(
        lend, 3, {"who": PEOPLE, "whom": HOLDERS, "kind": tuple(StakeKind), "amount": AMOUNTS}
    ),
    "take_back": Move(
        take_back,
        3,
        {
            "who": ("the lender", "the lender", OUTSIDER),
            "nth": (0, 1, 2),
            "amount": (1, 7, 40, 0, 100),
        },
    ),
    "settle_in": Move(settle_in, 2, {"kind": tuple(StakeKind), "amount": (100, 7, 300)}),
    "flee": Move(flee, 2, {"whom": SEQUENCERS, "amount": (1, 2, 3)}),
    "doze": Move(doze, 2, {"who": (*SEQUENCERS, NEWCOMER), "ticks": (0, 5, 9, 17)}),
}
"""The moves of this file."""

STAKING_MOVES: Final[Mapping[str, Move]] = {**MOVES, **STAKING}
"""These and all others."""

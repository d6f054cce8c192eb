"""Money between accounts, stake that is added, lent and taken out, and what penalties leave."""

from __future__ import annotations

import pytest

from protocol.events import ExitPaid, KeyRegistered, OperationAccepted, Staked, Unstaked
from protocol.ledger import (
    Cause,
    Moved,
    balance,
    block_bond,
    exiting,
    log_stake,
    prover_stake,
    sequencer_stake,
)
from protocol.messages import (
    AddStake,
    BlockCommitment,
    Delegate,
    Pay,
    Presence,
    StakeKind,
    Undelegate,
    Unstake,
)
from protocol.testing import World, actor
from protocol.testing.cast import NEWCOMER, OUTSIDER
from protocol.testing.moves import accuse, commit, reveal
from protocol.testing.moves_staking import add_stake
from protocol.types import Amount
from tests.protocol.desk import network, of, refusals

EPOCH = 8
DELAY = 5 * EPOCH
FEE = 10


def world(**settings) -> World:
    return network(epoch_ticks=EPOCH, **settings)


def account(who: str):
    return actor(who).account


def holds(at: World, pocket) -> int:
    return at.machine.ledger.holds(pocket)


def pay(at: World, whom: str, amount: int, who: str = OUTSIDER):
    at.say(who, Pay(account(whom), Amount(amount)))
    return at.step().events


def lend(at: World, amount: int, who: str = OUTSIDER, whom: str = "s1", kind=StakeKind.LOG):
    at.say(who, Delegate(kind, account(whom), Amount(amount)))
    return at.step().events


def take_back(at: World, amount: int, who: str = OUTSIDER, whom: str = "s1", kind=StakeKind.LOG):
    at.say(who, Undelegate(kind, account(whom), Amount(amount)))
    return at.step().events


def unstake(at: World, who: str, amount: int, kind=StakeKind.LOG):
    at.say(who, Unstake(kind, Amount(amount)))
    return at.step().events


def equivocate(at: World, whom: str) -> None:
    """Half of all that is at risk is lost."""
    accuse(at, who=OUTSIDER, whom=whom, how="two votes", ago=0)
    at.step()


# --- money ---


def test_an_account_comes_into_being_by_being_paid():
    at = world()
    (moved, _) = [e for e in of(Moved, pay(at, NEWCOMER, 300)) if e.cause is Cause.PAYMENT] * 2
    assert (moved.source, moved.target) == (balance(account(OUTSIDER)), balance(account(NEWCOMER)))
    assert holds(at, balance(account(NEWCOMER))) == 300
    assert holds(at, balance(account(OUTSIDER))) == 1_000 - 300 - FEE
    pay(at, "s1", 100, who=NEWCOMER)
    assert holds(at, balance(account(NEWCOMER))) == 300 - 100 - FEE


@pytest.mark.parametrize(
    ("whom", "amount", "reason"),
    [
        (OUTSIDER, 1, "OWN_ACCOUNT"),
        ("s1", 0, "EMPTY_AMOUNT"),
        ("s1", 1_000 - FEE + 1, "BALANCE_TOO_LOW"),
    ],
)
def test_what_cannot_be_paid_is_refused(whom, amount, reason):
    assert refusals(pay(world(), whom, amount)) == [reason]


# --- own stake ---


@pytest.mark.parametrize("kind", StakeKind)
def test_stake_is_added_counted_taken_out_and_paid_after_the_delay(kind):
    at = world()
    pay(at, NEWCOMER, 500)
    add_stake(at, who=NEWCOMER, kind=kind, amount=300, key="own")
    events = at.step().events
    who = account(NEWCOMER)
    assert of(Staked, events) == [Staked(kind, who, who, Amount(300))]
    pocket = {"LOG": log_stake, "PROVER": prover_stake, "SEQUENCER": sequencer_stake}
    stake = pocket[kind.name](who)
    assert holds(at, stake) == 300
    events = unstake(at, NEWCOMER, 120, kind)
    left, due = at.tick, at.tick + DELAY
    assert of(Unstaked, events) == [Unstaked(kind, who, who, Amount(120), due)]
    assert (holds(at, stake), holds(at, exiting(stake))) == (180, 120)
    before = holds(at, balance(who))
    told = at.wait(DELAY)
    assert of(ExitPaid, told) == [ExitPaid(kind, who, who, Amount(120))]
    assert at.tick == left + DELAY
    assert (holds(at, balance(who)) - before, holds(at, exiting(stake))) == (120, 0)


def test_a_key_counts_from_the_third_epoch_after_and_stays():
    at = world()
    pay(at, NEWCOMER, 500)
    add_stake(at, who=NEWCOMER, kind=StakeKind.SEQUENCER, amount=100, key="own")
    (told,) = of(KeyRegistered, at.step().events)
    registered = (at.tick - 1) // EPOCH
    assert told == KeyRegistered(account(NEWCOMER), actor(NEWCOMER).vrf_key, registered + 3)
    while at.tick < (registered + 3) * EPOCH:
        assert account(NEWCOMER) not in at.machine.vrf_keys
        assert at.machine.staking.key_counts_from(account(NEWCOMER)) == registered + 3
        commit(at, who=NEWCOMER, height=0, split=0, fee=0, how="honest")
        assert refusals(at.step().events) == ["BAD_VRF_PROOF"]
    at.step()
    assert at.machine.vrf_keys[account(NEWCOMER)] == actor(NEWCOMER).vrf_key
    assert at.machine.staking.key_counts_from(account(NEWCOMER)) is None
    add_stake(at, who=NEWCOMER, kind=StakeKind.LOG, amount=1, key="another")
    assert refusals(at.step().events) == ["OTHER_VRF_KEY"]
    add_stake(at, who=NEWCOMER, kind=StakeKind.LOG, amount=1, key="own")
    events = at.step().events
    assert not of(KeyRegistered, events)
    assert len(of(Staked, events)) == 1


def test_a_presence_costs_a_fee_and_moves_nothing_else():
    at = world()
    held, stakes = holds(at, balance(account(OUTSIDER))), at.machine.staking.snapshot()
    at.say(OUTSIDER, Presence())
    events = at.step().events
    assert [one.payload for one in of(OperationAccepted, events)] == ["Presence"]
    assert [one.cause for one in of(Moved, events)] == [Cause.OPERATION_FEE]
    assert held - holds(at, balance(account(OUTSIDER))) == FEE
    assert at.machine.staking.snapshot() == stakes


def test_nobody_takes_out_more_than_it_has():
    at = world()
    assert refusals(unstake(at, "s1", 6)) == ["STAKE_TOO_LOW"]
    assert refusals(unstake(at, OUTSIDER, 1)) == ["STAKE_TOO_LOW"]
    assert refusals(unstake(at, "s1", 5)) == []
    assert refusals(unstake(at, "s1", 1)) == ["STAKE_TOO_LOW"]


def test_stake_on_its_way_out_still_answers_for_faults():
    at = world()
    unstake(at, "s1", 4)
    at.say("s1", AddStake(StakeKind.LOG, Amount(5), actor("s1").vrf_key))
    at.step()
    stake = log_stake(account("s1"))
    assert (holds(at, stake), holds(at, exiting(stake))) == (6, 4)
    equivocate(at, "s1")
    assert (holds(at, stake), holds(at, exiting(stake))) == (3, 2)
    unstake(at, "s1", 3)
    at.wait(2 * EPOCH)
    equivocate(at, "s1")
    assert (holds(at, stake), holds(at, exiting(stake))) == (0, 3)
    paid = of(ExitPaid, at.wait(DELAY))
    assert sum(one.amount for one in paid) == 3


# --- lent stake ---


def test_who_lends_shares_losses_in_proportion_and_is_paid_what_is_left():
    at = world()
    assert of(Staked, lend(at, 15)) == [
        Staked(StakeKind.LOG, account("s1"), account(OUTSIDER), Amount(15))
    ]
    assert holds(at, log_stake(account("s1"))) == 20
    equivocate(at, "s1")
    assert holds(at, log_stake(account("s1"))) == 10
    assert refusals(take_back(at, 8)) == ["STAKE_TOO_LOW"]
    assert refusals(take_back(at, 7)) == []
    assert refusals(unstake(at, "s1", 4)) == ["STAKE_TOO_LOW"]
    assert refusals(unstake(at, "s1", 3)) == []
    assert holds(at, log_stake(account("s1"))) == 0


def test_stake_that_was_lost_whole_leaves_no_claim_on_what_comes_after():
    at = world(penalty=10_000)
    lend(at, 15)
    equivocate(at, "s1")
    at.say("s1", AddStake(StakeKind.LOG, Amount(30), actor("s1").vrf_key))
    at.step()
    assert refusals(take_back(at, 1)) == ["STAKE_TOO_LOW"]
    assert refusals(unstake(at, "s1", 30)) == []


def test_an_exit_that_was_lost_whole_is_void_once_another_begins():
    at = world(penalty=10_000)
    unstake(at, "s1", 3)
    equivocate(at, "s1")
    at.say("s1", AddStake(StakeKind.LOG, Amount(30), actor("s1").vrf_key))
    at.step()
    unstake(at, "s1", 20)
    assert [one.amount for one in of(ExitPaid, at.wait(DELAY))] == [20]


@pytest.mark.parametrize(
    ("loan", "reason"),
    [
        ({"who": "s1"}, "OWN_ACCOUNT"),
        ({"kind": StakeKind.SEQUENCER}, "NOT_LENT"),
        ({"kind": StakeKind.PROVER}, "NO_DELEGATE"),
        ({"whom": NEWCOMER}, "NO_DELEGATE"),
        ({"amount": 5_000}, "BALANCE_TOO_LOW"),
        ({"amount": 0}, "EMPTY_AMOUNT"),
    ],
)
def test_what_cannot_be_lent_is_refused(loan, reason):
    assert refusals(lend(world(), **{"amount": 10, **loan})) == [reason]


def test_own_stake_is_not_taken_back():
    assert refusals(take_back(world(), 1, who="s1")) == ["OWN_ACCOUNT"]


def test_lent_prover_stake_buys_cards():
    at = world(cards=(1, 1))
    lend(at, 200, whom="p0", kind=StakeKind.PROVER)
    frame = at.machine._frame(at.log[-1].moment)
    cards = {one.prover: one.cards for one in at.machine.proving.pool(frame)}
    assert cards == {account("p0"): 3, account("p1"): 1}


# --- rules that lock or count stake ---


def test_a_bond_is_locked_though_the_sequencer_left_in_between():
    at = world()
    commit(at, who="s0", height=0, split=0, fee=0, how="honest")
    at.step()
    assert isinstance(at.accepted[-1].payload, BlockCommitment)
    unstake(at, "s0", 80, StakeKind.SEQUENCER)
    while not at.board.jobs:
        reveal(at, how="honest", who="s0")
        at.step()
    (job,) = at.board.jobs
    assert holds(at, block_bond(job)) == 40
    stake = sequencer_stake(account("s0"))
    assert (holds(at, stake), holds(at, exiting(stake))) == (0, 60)

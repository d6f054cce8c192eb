"""Sets of validators by hand: whose stake counts when, who is left out, and what is no state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.errors import Reason, Refused
from protocol.ledger import Ledger, log_stake
from protocol.ordering.validators import Validator
from protocol.sets import MEMBERS_MAX, Sets
from protocol.types import Account, Amount, Stake, VrfKey
from tests.protocol.test_borders import FOUR, network


def account(number: int) -> Account:
    return Account(number.to_bytes(32, "big"))


def key(number: int) -> VrfKey:
    return VrfKey(number.to_bytes(32, "little"))


def ledger(*stakes: int) -> Ledger:
    """The log stakes of accounts numbered from 0."""
    pockets = {log_stake(account(n)): Amount(held) for n, held in enumerate(stakes)}
    return Ledger(pockets, lambda _: None)


def keys(count: int) -> dict[Account, VrfKey]:
    return {account(n): key(n) for n in range(count)}


def row(number: int, stake: int) -> Validator:
    return Validator(account(number), Stake(stake), key(number))


def began(*stakes: int) -> Sets:
    """Sets in whose epoch to come, the one after it, and the next to be made these stakes count."""
    sets = Sets(network())
    for _ in range(3):
        sets.on_border(ledger(*stakes), keys(len(stakes)))
    return sets


def absent(sets: Sets, *there: int) -> None:
    """An epoch of three certificates for which only these vote, which the border ends."""
    for _ in range(3):
        sets.on_certificate(tuple(account(n) for n in there))


def numbers(sets: Sets) -> list[int]:
    return [int.from_bytes(one.account, "big") for one in sets.successors.members]


def test_the_stake_at_the_end_of_an_epoch_counts_in_the_third_after() -> None:
    sets = Sets(network())
    first = sets.validators.members
    assert len(first) == len(FOUR)
    told = []
    for _ in range(3):
        told.append(sets.on_border(ledger(5, 7), keys(2)))
        assert sets.predecessors.members == first
    assert told == [False, True, False]
    assert sets.validators.members == (row(0, 5), row(1, 7))
    sets.on_border(ledger(5, 7), keys(2))
    assert sets.predecessors.members == (row(0, 5), row(1, 7))


def test_stake_without_a_key_of_lots_counts_for_nothing() -> None:
    sets = Sets(network())
    for _ in range(2):
        sets.on_border(ledger(5, 7, 9), keys(2))
    assert sets.successors.members == (row(0, 5), row(1, 7))


def test_of_too_many_the_largest_stakes_are_taken_and_of_equal_ones_the_first_accounts() -> None:
    many = MEMBERS_MAX + 10
    sets = Sets(network())
    stakes = [2] * many
    stakes[0], stakes[1], stakes[many - 1] = 1, 1, 3
    for _ in range(2):
        sets.on_border(ledger(*stakes), keys(many))
    assert numbers(sets) == [*range(2, MEMBERS_MAX + 1), many - 1]


def test_where_nobody_has_stake_the_set_stays() -> None:
    sets = began(5, 7)
    for _ in range(3):
        assert not sets.on_border(ledger(), {})
    assert numbers(sets) == [0, 1]


def test_who_missed_more_than_half_of_the_votes_is_left_out_and_who_missed_half_is_not() -> None:
    sets = began(10, 10, 10, 10)
    for voters in ((0, 1, 2, 3), (0, 1, 2), (0, 1), (0, 1, 3)):
        sets.on_certificate(tuple(account(n) for n in voters))
    assert not sets.on_border(ledger(10, 10, 10, 10), keys(4))
    for voters in ((0, 1, 2, 3), (0, 1, 2), (0, 1)):
        sets.on_certificate(tuple(account(n) for n in voters))
    assert sets.on_border(ledger(10, 10, 10, 10), keys(4))
    assert numbers(sets) == [0, 1, 2]


def test_a_vote_brings_the_absent_back_while_they_are_in_a_set() -> None:
    sets = began(10, 10, 10, 10)
    whole = ledger(10, 10, 10, 10), keys(4)
    absent(sets, 0, 1, 2)
    sets.on_border(*whole)
    assert numbers(sets) == [0, 1, 2]
    absent(sets, 0, 1, 2, 3)
    sets.on_border(*whole)
    assert numbers(sets) == [0, 1, 2, 3]


def test_an_operation_brings_the_absent_back_but_stands_for_no_vote() -> None:
    sets = began(10, 10, 10, 10)
    whole = ledger(10, 10, 10, 10), keys(4)
    for _ in range(2):
        sets.on_operation(account(3))
        absent(sets, 0, 1, 2)
        sets.on_border(*whole)
        assert numbers(sets) == [0, 1, 2], "it missed the votes"
    absent(sets, 0, 1, 2)
    sets.on_border(*whole)
    assert numbers(sets) == [0, 1, 2], "it said nothing since it left"
    assert [sets.is_absent(account(n)) for n in range(4)] == [False, False, False, True]
    sets.on_operation(account(3))
    assert not sets.is_absent(account(3))
    absent(sets, 0, 1, 2)
    sets.on_border(*whole)
    assert numbers(sets) == [0, 1, 2, 3]


def test_the_smallest_of_the_absent_leave_first_and_a_quorum_stays() -> None:
    sets = began(40, 30, 20, 9, 8)
    absent(sets)
    sets.on_border(ledger(40, 30, 20, 9, 8), keys(5))
    assert numbers(sets) == [0, 1, 2], "17 of 107 leave; with 20 more, no quorum would stay"
    sets = began(60, 20, 20)
    absent(sets, 0)
    sets.on_border(ledger(60, 20, 20), keys(3))
    assert numbers(sets) == [0, 2], "of equal ones the first account leaves"


def test_what_is_no_set_of_validators_is_refused_and_changes_nothing() -> None:
    sets = began(10, 10, 10, 10)
    absent(sets, 0, 1)
    before = sets.snapshot()
    for rows in ((), (row(0, 5), row(0, 5)), (row(0, 0), row(1, 5))):
        for name in ("predecessors", "validators", "successors"):
            with pytest.raises(Refused) as refusal:
                sets.restore(replace(began(3, 4).snapshot(), **{name: rows}))
            assert refusal.value.reason is Reason.WRONG_STATE
    for rows in ((row(0, 5), row(0, 5)), (row(0, 0), row(1, 5))):
        with pytest.raises(Refused):
            sets.restore(replace(began(3, 4).snapshot(), staked=rows))
    assert sets.snapshot() == before


@pytest.mark.parametrize("stakes", [(10, 10, 10, 10), ()])
def test_who_restores_goes_on_alike(stakes: tuple[int, ...]) -> None:
    first, second = began(7, 8, 9), Sets(network())
    first.on_border(ledger(*stakes), keys(4))
    absent(first, 0, 2)
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    for sets in (first, second):
        sets.on_border(ledger(10, 10, 10), keys(3))
    assert second.snapshot() == first.snapshot()

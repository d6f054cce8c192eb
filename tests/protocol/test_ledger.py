"""Money: conserved by construction, and refused where a caller did not check."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from protocol.ledger import (
    BURNED,
    VAULT,
    Cause,
    Ledger,
    Moved,
    Pocket,
    PocketKind,
    balance,
    escrow,
    log_stake,
    prover_stake,
    sequencer_stake,
)
from protocol.testing import Scenario, actor
from protocol.types import Account, Amount, JobId

ALICE, BOB = (Account(bytes([at]) * 32) for at in (1, 2))
POCKETS = (balance(ALICE), balance(BOB), log_stake(ALICE), VAULT, BURNED, escrow(JobId(bytes(32))))


def move(source, target, amount):
    return Moved(source, target, Amount(amount), Cause.ROUNDING)


@given(
    st.lists(st.integers(0, 100), min_size=6, max_size=6),
    st.lists(st.tuples(st.sampled_from(POCKETS), st.sampled_from(POCKETS), st.integers(0, 120))),
)
def test_whatever_moves_the_sum_stays(amounts, moves):
    held, expected, told = dict(zip(POCKETS, amounts, strict=True)), [], []
    ledger = Ledger(dict(zip(POCKETS, map(Amount, amounts), strict=True)), told.append)
    for source, target, amount in moves:
        allowed = amount <= held[source] and source not in (target, BURNED)
        if amount and not allowed:
            with pytest.raises(AssertionError):
                ledger.move(move(source, target, amount))
            continue
        ledger.move(move(source, target, amount))
        if amount:
            held[source] -= amount
            held[target] += amount
            expected.append(move(source, target, amount))
    assert ledger.is_conserved()
    assert ledger.supply == sum(amounts)
    assert {pocket: ledger.holds(pocket) for pocket in POCKETS} == held
    assert ledger.pockets() == {pocket: amount for pocket, amount in held.items() if amount}
    assert told == expected


def test_pockets_come_in_a_fixed_order():
    amounts = dict.fromkeys(POCKETS, Amount(1))
    backwards = dict.fromkeys(reversed(POCKETS), Amount(1))
    in_order, in_reverse = Ledger(amounts, [].append), Ledger(backwards, [].append)
    assert list(in_order.pockets()) == list(in_reverse.pockets())


def test_the_genesis_fills_every_pocket():
    genesis = Scenario(cards=(2,)).genesis()
    ledger = Ledger.of_genesis(genesis, [].append)
    assert ledger.holds(VAULT) == genesis.rollup_total == 100_000
    p0, s0 = actor("p0").account, actor("s0").account
    assert (ledger.holds(balance(p0)), ledger.holds(prover_stake(p0))) == (1_000, 200)
    assert (ledger.holds(log_stake(s0)), ledger.holds(sequencer_stake(s0))) == (5, 100)
    assert ledger.holds(balance(ALICE)) == 0
    assert ledger.is_conserved()


def test_a_ledger_that_was_tampered_with_says_so():
    ledger = Ledger({VAULT: Amount(5)}, [].append)
    ledger._pockets[VAULT] = Amount(6)
    assert not ledger.is_conserved()
    ledger._pockets = {VAULT: Amount(7), BURNED: Amount(-2)}
    assert not ledger.is_conserved()
    assert Ledger({}, [].append).is_conserved()


def test_pockets_know_their_owner():
    assert balance(ALICE) == Pocket(PocketKind.BALANCE, ALICE)
    assert len({balance(ALICE), log_stake(ALICE), prover_stake(ALICE), sequencer_stake(ALICE)}) == 4

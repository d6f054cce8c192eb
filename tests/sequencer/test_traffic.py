"""sequencer.traffic: executable transfers, the same ones from the same seed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from protocol.messages import SignedTransfer, transfer_is_signed
from protocol.ports import RollupState
from protocol.signing import digest, public_key
from protocol.types import Amount, BasisPoints, NetworkId
from prover.modelled import ModelledBackend
from sequencer.mempool import TransferPool
from sequencer.traffic import TRAFFIC_SHAPE, Traffic

NETWORK = NetworkId(bytes(31) + b"\x01")
BACKEND = ModelledBackend(leaf_transfers=1_000)
KEYS = [digest(b"tests/traffic", bytes([place])) for place in range(3)]
ACCOUNTS = [public_key(key) for key in KEYS]
STATE = BACKEND.genesis([(account, Amount(10_000_000)) for account in ACCOUNTS])


def traffic(seed: bytes = b"seed") -> Traffic:
    return Traffic(seed, NETWORK, KEYS)


def executed(state: RollupState, made: tuple[SignedTransfer, ...]) -> RollupState:
    return state.execute([one.transfer for one in made]).state


def test_the_same_seed_and_calls_give_the_same_transfers() -> None:
    one, other = traffic(), traffic()
    assert one.next_transfers(STATE, 9) == other.next_transfers(STATE, 9)
    assert one.next_transfers(STATE, 9) == other.next_transfers(STATE, 9)
    assert traffic().next_transfers(STATE, 9) != traffic(b"other").next_transfers(STATE, 9)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.binary(), rounds=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=6)
)
def test_transfers_execute_in_order_while_blocks_lag_behind(
    seed: bytes, rounds: list[tuple[int, int]]
) -> None:
    source, state = traffic(seed), STATE
    waiting: tuple[SignedTransfer, ...] = ()
    for made, taken in rounds:
        waiting += source.next_transfers(state, made)
        executed(state, waiting)
        state, waiting = executed(state, waiting[:taken]), waiting[taken:]
        source.next_transfers(state, 0)
        assert set(source.pending()) == set(waiting)


def test_every_transfer_is_signed_and_in_range_and_pooled() -> None:
    pool = TransferPool(STATE)
    for signed in traffic().next_transfers(STATE, 60):
        transfer = signed.transfer
        assert transfer_is_signed(NETWORK, signed)
        assert transfer.sender != transfer.recipient
        assert TRAFFIC_SHAPE.fee_min <= transfer.fee <= TRAFFIC_SHAPE.fee_max
        assert 1 <= transfer.amount <= TRAFFIC_SHAPE.amount_max
        assert pool.add(signed) is None


@pytest.mark.parametrize(("share", "strangers"), [(0, 0), (10_000, 40)])
def test_brand_new_recipients_have_their_share(share: int, strangers: int) -> None:
    shape = replace(TRAFFIC_SHAPE, new_account_share=BasisPoints(share))
    made = Traffic(b"seed", NETWORK, KEYS, shape).next_transfers(STATE, 40)
    recipients = {one.transfer.recipient for one in made} - set(ACCOUNTS)
    assert len(recipients) == strangers


def test_nobody_sends_more_than_may_be_pending() -> None:
    shape = replace(TRAFFIC_SHAPE, pending_max=4)
    source = Traffic(b"seed", NETWORK, KEYS, shape)
    made = source.next_transfers(STATE, 20)
    assert len(made) == 4 * len(KEYS)
    assert source.next_transfers(STATE, 1) == ()
    assert len(source.next_transfers(executed(STATE, made[:2]), 9)) == 2


def test_nobody_spends_what_it_does_not_have() -> None:
    poor = BACKEND.genesis([(ACCOUNTS[0], Amount(20_000)), (ACCOUNTS[1], Amount(10))])
    made = traffic().next_transfers(poor, 50)
    assert 0 < len(made) < 50
    assert {one.transfer.sender for one in made} == {ACCOUNTS[0]}
    executed(poor, made)


def test_after_a_revert_nonces_start_from_the_state_again() -> None:
    source = traffic()
    made = source.next_transfers(STATE, 30)
    later = executed(STATE, made[:20])
    source.next_transfers(later, 0)
    again = source.next_transfers(STATE, 30)
    assert source.pending()
    assert executed(STATE, again).root != STATE.root


def test_traffic_needs_two_accounts() -> None:
    with pytest.raises(ValueError, match="two different accounts"):
        Traffic(b"seed", NETWORK, [KEYS[0], KEYS[0]])

"""sequencer.mempool against a model that follows the rules literally, and case by case."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from protocol.errors import Reason
from protocol.messages import Signature, SignedTransfer, Transfer
from protocol.ports import RollupState
from protocol.rollup import FEE_MAX, transfer_hash
from protocol.types import Account, Amount, Nonce
from prover.modelled import ModelledBackend
from sequencer.mempool import TransferPool

BACKEND = ModelledBackend(leaf_transfers=1_000)
ACCOUNTS = [Account(bytes([place]) * 32) for place in range(1, 5)]
FIRST, SECOND, THIRD, STRANGER = ACCOUNTS
STATE = BACKEND.genesis([(account, Amount(100)) for account in ACCOUNTS[:3]])


def transfer(
    sender: Account, nonce: int, fee: int, amount: int = 1, to: Account = STRANGER
) -> SignedTransfer:
    unsigned = Transfer(sender, to, Amount(amount), Amount(fee), Nonce(nonce))
    return SignedTransfer(unsigned, Signature(bytes(64)))


def executed(state: RollupState, *signed: SignedTransfer) -> RollupState:
    return state.execute([one.transfer for one in signed]).state


@dataclass
class Model:
    """The rules as they are written, over one list in order of arrival."""

    state: RollupState
    transfers_max: int
    sender_transfers_max: int
    waiting: list[SignedTransfer] = field(default_factory=list)

    def queue(self, sender: Account) -> list[SignedTransfer]:
        mine = [one for one in self.waiting if one.transfer.sender == sender]
        return sorted(mine, key=lambda one: one.transfer.nonce)

    def add(self, signed: SignedTransfer) -> Reason | None:
        new = signed.transfer
        account = self.state.account(new.sender)
        if account is None:
            return Reason.CANNOT_PAY
        balance, next_nonce = account
        if new.nonce < next_nonce:
            return Reason.STALE_NONCE
        if new.nonce - next_nonce >= self.sender_transfers_max:
            return Reason.NONCE_TOO_FAR
        if any(one.transfer == new for one in self.waiting):
            return Reason.DUPLICATE
        rivals = [one for one in self.queue(new.sender) if one.transfer.nonce == new.nonce]
        if any(
            10 * new.fee < 11 * one.transfer.fee or new.fee == one.transfer.fee for one in rivals
        ):
            return Reason.FEE_BUMP_TOO_LOW
        others = [one.transfer for one in self.queue(new.sender) if one not in rivals]
        if sum(one.amount + one.fee for one in [*others, new]) > balance:
            return Reason.CANNOT_PAY
        self.waiting = [one for one in self.waiting if one not in rivals] + [signed]
        return self.make_room(signed)

    def make_room(self, newcomer: SignedTransfer) -> Reason | None:
        if len(self.waiting) <= self.transfers_max:
            return None
        ends = [queue[-1] for sender in ACCOUNTS if (queue := self.queue(sender))]
        gone = min(ends, key=lambda one: (self.worth(one), -self.waiting.index(one)))
        assert self.worth(gone) == min(map(self.worth, self.waiting))
        self.waiting.remove(gone)
        return Reason.POOL_FULL if gone is newcomer else None

    def worth(self, signed: SignedTransfer) -> int:
        account = self.state.account(signed.transfer.sender)
        assert account is not None
        upto = range(account[1], signed.transfer.nonce + 1)
        queue = {one.transfer.nonce: one.transfer.fee for one in self.queue(signed.transfer.sender)}
        return min(queue.get(nonce, -1) for nonce in upto)

    def advance(self, state: RollupState) -> None:
        self.state = state
        kept = []
        for sender in ACCOUNTS:
            balance, next_nonce = state.account(sender) or (0, 0)
            span = range(next_nonce, next_nonce + self.sender_transfers_max)
            for one in self.queue(sender):
                if one.transfer.nonce not in span:
                    continue
                balance -= one.transfer.amount + one.transfer.fee
                if balance < 0:
                    break
                kept.append(one)
        self.waiting = [one for one in self.waiting if one in kept]

    def select(self, state: RollupState, count_max: int) -> tuple[SignedTransfer, ...]:
        chosen: list[SignedTransfer] = []
        while len(chosen) < count_max:
            possible = [one for one in self.waiting if self.can_execute(state, one)]
            if not possible:
                break
            best = min(possible, key=lambda one: (-one.transfer.fee, transfer_hash(one.transfer)))
            chosen.append(best)
            state = executed(state, best)
        return tuple(chosen)

    def can_execute(self, state: RollupState, one: SignedTransfer) -> bool:
        try:
            executed(state, one)
        except ValueError:
            return False
        return True


class PoolAgainstModel(RuleBasedStateMachine):
    """A small pool and its model see the same transfers and states."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = TransferPool(STATE, transfers_max=6, sender_transfers_max=4)
        self.model = Model(STATE, transfers_max=6, sender_transfers_max=4)
        self.states: list[RollupState] = [STATE]
        self.added = 0

    @rule(
        sender=st.sampled_from(ACCOUNTS),
        recipient=st.sampled_from(ACCOUNTS),
        ahead=st.integers(-1, 4),
        fee=st.sampled_from([0, 1, 2, 10, 11, 12, 20]),
        amount=st.sampled_from([0, 1, 40]),
    )
    def add(self, sender: Account, recipient: Account, ahead: int, fee: int, amount: int) -> None:
        _, next_nonce = self.model.state.account(sender) or (0, 0)
        signed = transfer(sender, max(0, next_nonce + ahead), fee, amount, recipient)
        expected = self.model.add(signed)
        assert self.pool.add(signed) is expected
        self.added += expected is None

    @rule(count=st.integers(0, 4))
    def execute_a_block(self, count: int) -> None:
        block = self.pool.select(self.model.state, count)
        self.states.append(executed(self.model.state, *block))
        self.move(self.states[-1])

    @rule(sender=st.sampled_from(ACCOUNTS[:3]), amount=st.integers(0, 100))
    def execute_what_nobody_pooled(self, sender: Account, amount: int) -> None:
        balance, nonce = self.model.state.account(sender) or (Amount(0), Nonce(0))
        other = transfer(sender, nonce, 0, min(amount, balance), FIRST)
        self.states.append(executed(self.model.state, other))
        self.move(self.states[-1])

    @rule(data=st.data())
    def revert(self, data: st.DataObject) -> None:
        self.move(data.draw(st.sampled_from(self.states)))

    def move(self, state: RollupState) -> None:
        self.pool.advance(state)
        self.model.advance(state)

    @rule(data=st.data(), count=st.integers(0, 8))
    def select(self, data: st.DataObject, count: int) -> None:
        state = data.draw(st.sampled_from(self.states))
        chosen = self.pool.select(state, count)
        assert chosen == self.model.select(state, count)
        executed(state, *chosen)

    @invariant()
    def figures_agree(self) -> None:
        statistics = self.pool.statistics()
        waiting = self.model.waiting
        assert len(self.pool) == statistics.transfers == len(waiting) <= 6
        assert statistics.senders == len({one.transfer.sender for one in waiting})
        assert statistics.fees == sum(one.transfer.fee for one in waiting)
        gone = statistics.replaced + statistics.evicted + statistics.dropped
        assert statistics.added == self.added == len(waiting) + gone


PoolAgainstModel.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
TestPoolAgainstModel = PoolAgainstModel.TestCase


# --- case by case ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signed", "reason"),
    [
        (transfer(FIRST, 0, FEE_MAX + 1), Reason.FEE_TOO_HIGH),
        (transfer(STRANGER, 0, 1), Reason.CANNOT_PAY),
        (transfer(FIRST, 0, 50, amount=51), Reason.CANNOT_PAY),
        (transfer(FIRST, 64, 1), Reason.NONCE_TOO_FAR),
        (transfer(FIRST, 63, 1), None),
        (transfer(FIRST, 0, 50, amount=50), None),
        (transfer(FIRST, 0, 1, to=FIRST), None),
    ],
    ids=["fee", "no account", "balance", "too far", "far", "all it has", "to itself"],
)
def test_what_an_empty_pool_takes(signed: SignedTransfer, reason: Reason | None) -> None:
    pool = TransferPool(STATE)
    assert pool.add(signed) is reason
    assert pool.statistics().refused == ({} if reason is None else {reason: 1})


def test_a_duplicate_is_the_same_transfer_whatever_its_signature() -> None:
    pool = TransferPool(STATE)
    signed = transfer(FIRST, 0, 5)
    assert pool.add(signed) is None
    again = SignedTransfer(signed.transfer, Signature(b"\x01" * 64))
    assert pool.add(again) is Reason.DUPLICATE


@pytest.mark.parametrize(("fee", "enough"), [(0, 1), (1, 2), (9, 10), (10, 11), (11, 13), (20, 22)])
def test_a_replacement_pays_a_tenth_more(fee: int, enough: int) -> None:
    pool = TransferPool(STATE)
    assert pool.add(transfer(FIRST, 0, fee)) is None
    assert pool.add(transfer(FIRST, 0, enough - 1, amount=2)) is Reason.FEE_BUMP_TOO_LOW
    assert pool.add(transfer(FIRST, 0, enough, amount=2)) is None
    assert pool.select(STATE, 9) == (transfer(FIRST, 0, enough, amount=2),)


def test_one_balance_does_not_back_two_transfers() -> None:
    pool = TransferPool(STATE)
    assert pool.add(transfer(FIRST, 0, 1, amount=60)) is None
    assert pool.add(transfer(FIRST, 1, 1, amount=60)) is Reason.CANNOT_PAY
    assert pool.add(transfer(FIRST, 0, 2, amount=98)) is None


def test_the_best_head_goes_first_and_nonces_stay_in_order() -> None:
    pool = TransferPool(STATE)
    low, high = transfer(FIRST, 0, 1), transfer(FIRST, 1, 30)
    middle, behind_a_gap = transfer(SECOND, 0, 5), transfer(THIRD, 1, 40)
    for signed in (high, behind_a_gap, low, middle):
        assert pool.add(signed) is None
    assert pool.select(STATE, 9) == (middle, low, high)
    assert pool.select(STATE, 1) == (middle,)
    assert pool.select(STATE, 0) == ()
    assert pool.select(executed(STATE, low), 9) == (high, middle)


def test_who_is_paid_in_the_block_can_pay_in_the_block() -> None:
    pool = TransferPool(STATE)
    rich = transfer(FIRST, 0, 1, amount=50, to=SECOND)
    assert pool.add(transfer(SECOND, 0, 30, amount=60)) is None
    assert pool.add(rich) is None
    poorer = executed(STATE, transfer(SECOND, 0, 0, amount=100, to=THIRD))
    assert pool.select(poorer, 9) == (rich,)
    blocked = BACKEND.genesis([(FIRST, Amount(100)), (SECOND, Amount(50))])
    assert pool.select(blocked, 9) == (rich, transfer(SECOND, 0, 30, amount=60))


def test_a_high_fee_behind_a_low_one_protects_nobody() -> None:
    pool = TransferPool(STATE, transfers_max=3)
    for signed in (transfer(FIRST, 0, 1), transfer(FIRST, 1, 60), transfer(SECOND, 0, 2)):
        assert pool.add(signed) is None
    assert pool.add(transfer(THIRD, 0, 2)) is None
    assert pool.select(STATE, 9)[-1] == transfer(FIRST, 0, 1)
    assert len(pool) == 3
    assert pool.statistics().evicted == 1


def test_a_full_pool_keeps_what_came_first_of_equals() -> None:
    pool = TransferPool(STATE, transfers_max=2)
    assert pool.add(transfer(FIRST, 0, 5)) is None
    assert pool.add(transfer(SECOND, 0, 5)) is None
    assert pool.add(transfer(THIRD, 0, 5)) is Reason.POOL_FULL
    assert pool.add(transfer(THIRD, 1, 50)) is Reason.POOL_FULL
    assert pool.add(transfer(THIRD, 0, 6)) is None
    assert set(pool.select(STATE, 9)) == {transfer(FIRST, 0, 5), transfer(THIRD, 0, 6)}


def test_what_the_state_executed_or_can_no_longer_pay_is_dropped() -> None:
    pool = TransferPool(STATE)
    first, second, third = (transfer(FIRST, nonce, 1, amount=30) for nonce in range(3))
    for signed in (first, second, third):
        assert pool.add(signed) is None
    pool.advance(executed(STATE, transfer(FIRST, 0, 0, amount=40)))
    assert pool.statistics().transfers == 1
    assert pool.statistics().dropped == 2
    assert pool.add(first) is Reason.STALE_NONCE
    pool.advance(executed(STATE, first, second, third))
    assert len(pool) == pool.statistics().senders == 0


def test_a_sender_may_spend_its_last_unit() -> None:
    pool = TransferPool(STATE)
    everything = transfer(FIRST, 0, 50, amount=50)
    assert pool.add(everything) is None
    assert pool.select(STATE, 9) == (everything,)


def test_what_waited_behind_a_gap_is_worth_its_fee_when_the_state_closes_it() -> None:
    pool = TransferPool(STATE, transfers_max=2)
    assert pool.add(transfer(FIRST, 1, 50)) is None
    assert pool.add(transfer(SECOND, 0, 5)) is None
    pool.advance(executed(STATE, transfer(FIRST, 0, 0)))
    assert pool.add(transfer(THIRD, 0, 6)) is None
    state = executed(STATE, transfer(FIRST, 0, 0))
    assert pool.select(state, 9) == (transfer(FIRST, 1, 50), transfer(THIRD, 0, 6))


def test_senders_unknown_to_another_state_are_dropped() -> None:
    pool = TransferPool(STATE)
    assert pool.add(transfer(FIRST, 0, 1)) is None
    pool.advance(BACKEND.genesis([(SECOND, Amount(100))]))
    assert len(pool) == 0


def test_a_flood_leaves_the_best_and_the_bookkeeping_small() -> None:
    accounts = [Account(place.to_bytes(32, "big")) for place in range(1, 301)]
    state = BACKEND.genesis([(account, Amount(1 << 40)) for account in accounts])
    pool = TransferPool(state, transfers_max=100)
    for fee in range(1, 3_001):
        assert pool.add(transfer(accounts[fee % 300], fee // 300, fee)) in {None, Reason.POOL_FULL}
    assert len(pool) == 100
    assert len(pool._weakest) <= 2 * len(pool._ranks) + 64

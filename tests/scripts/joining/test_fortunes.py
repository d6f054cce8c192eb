"""What a joined node tells of its own luck."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from protocol.events import Assigned, RightMissed, SetChanged
from protocol.ledger import Cause, Moved, balance, escrow, log_stake
from protocol.ordering.validators import Validator
from protocol.types import Account, Amount, Epoch, JobId, Stake, TreeIndex, VrfKey
from scripts.joining.fortunes import Fortunes

ME, OTHER = Account(b"m" * 32), Account(b"o" * 32)
JOB = JobId(bytes.fromhex("3b02aa11") + bytes(28))
LEAF, ROOT = TreeIndex(0, 1), TreeIndex(1, 0)


def told(*events: object, is_seated: bool = False) -> list[str]:
    final: Any = SimpleNamespace(applied=SimpleNamespace(events=events))
    return list(Fortunes(ME, is_seated=is_seated).lines(final))


def moved(source: Any, target: Any, amount: int, cause: Cause) -> Moved:
    return Moved(source, target, Amount(amount), cause)


def seats(*accounts: Account) -> SetChanged:
    members = tuple(Validator(one, Stake(1), VrfKey(bytes(32))) for one in accounts)
    return SetChanged(Epoch(5), members)


def test_elections_of_one_job_are_one_line() -> None:
    mine = [Assigned(JOB, LEAF, ME), Assigned(JOB, TreeIndex(0, 0), OTHER), Assigned(JOB, ROOT, ME)]
    assert told(*mine) == ["elected for tree nodes 0:1, 1:0 of job 3b02aa11"]
    assert told(Assigned(JOB, LEAF, ME)) == ["elected for tree node 0:1 of job 3b02aa11"]


def test_income_is_added_up_by_cause_and_fees_of_operations_are_left_out() -> None:
    purse, pay = escrow(JOB), Cause.PROVER_PAY
    assert told(
        moved(purse, balance(ME), 1_000, pay),
        moved(purse, balance(ME), 234, pay),
        moved(purse, balance(OTHER), 7, pay),
        moved(balance(OTHER), balance(ME), 100, Cause.OPERATION_FEE),
        moved(balance(OTHER), balance(ME), 100, Cause.PAYMENT),
        moved(purse, balance(ME), 5, Cause.UNCLE_PAY),
    ) == ["earned 1,234: prover pay", "earned 5: uncle pay"]


def test_misses_and_losses_are_told_of_nobody_else() -> None:
    fine = Cause.EQUIVOCATION
    assert told(
        RightMissed(JOB, LEAF, OTHER, failed=True),
        RightMissed(JOB, LEAF, ME, failed=True),
        moved(log_stake(OTHER), balance(ME), 1, fine),
        moved(log_stake(ME), balance(OTHER), 500_000, fine),
    ) == [
        "missed the window of tree node 0:1 of job 3b02aa11",
        f"lost 500,000: {fine.value}",
    ]


def test_a_seat_is_told_when_it_is_won_and_lost() -> None:
    assert told(seats(OTHER)) == []
    won = "this node orders the log from epoch 5 on"
    lost = "this node does not order the log from epoch 5 on"
    assert told(seats(OTHER, ME)) == [won]
    assert told(seats(OTHER, ME), is_seated=True) == []
    assert told(seats(OTHER), is_seated=True) == [
        "this node does not order the log from epoch 5 on"
    ]
    assert told(seats(ME), seats(OTHER)) == [won, lost]

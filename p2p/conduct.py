"""Faults of peers: points that fade, and a ban when there are too many."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import trio

from p2p import limits
from protocol.types import Account


@dataclass(slots=True)
class _Record:
    points: float
    counted_at: float
    banned_until: float = 0.0


class Conduct:
    """Points per account on trio's clock; they halve every ``limits.PENALTY_HALF_LIFE_S``.

    A ban belongs to an account. Whoever makes a new account starts anew, with nothing: stake is
    what keeps accounts dear.
    """

    def __init__(self) -> None:
        self._records: dict[Account, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def penalise(self, account: Account, points: float = limits.PENALTY_POINTS) -> bool:
        """Add points; says whether this bans the account. A banned account's points do not
        count.
        """
        now = trio.current_time()
        record = self._records.setdefault(account, _Record(0.0, now))
        if record.banned_until > now:
            return False
        record.points = self._faded(record) + points
        record.counted_at = now
        banned = record.points >= limits.BAN_POINTS
        if banned:
            record.points, record.banned_until = 0.0, now + limits.BAN_S
        self._bound()
        return banned

    def is_banned(self, account: Account) -> bool:
        """Whether a ban of the account lasts."""
        record = self._records.get(account)
        return record is not None and record.banned_until > trio.current_time()

    def points(self, account: Account) -> float:
        """The account's points now."""
        record = self._records.get(account)
        return 0.0 if record is None else self._faded(record)

    def _faded(self, record: _Record) -> float:
        age_s = trio.current_time() - record.counted_at
        return record.points * math.pow(0.5, age_s / limits.PENALTY_HALF_LIFE_S)

    def _bound(self) -> None:
        excess = len(self._records) - limits.CONDUCT_ACCOUNTS_MAX
        if excess > 0:
            self._forget(sorted(self._records, key=self._weight)[: excess + excess // 2])

    def _weight(self, account: Account) -> tuple[float, float]:
        record = self._records[account]
        return record.banned_until, self._faded(record)

    def _forget(self, accounts: Iterable[Account]) -> None:
        for account in accounts:
            del self._records[account]

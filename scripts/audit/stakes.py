"""Stake of one kind, read a second time: whose it is, what is on its way out, what is lost.

Written from rules 2 to 4 and the paragraph on parts of ``protocol.staking``; it calls nothing of
it. A table maps holders to what stays with them, as a plain dictionary would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from protocol.types import Account

Exit: TypeAlias = tuple[int, Account]
"""The tick at which it is paid, and to whom."""


class Stakes(dict[Account, int]):
    """What stays with each holder; nobody else has anything.

    :ivar leaving: what of each holder's stake is on its way out.
    """

    def __init__(self, rows: Iterable[tuple[Account, int]]) -> None:
        super().__init__(rows)
        self.leaving: dict[Account, int] = {}
        self._parts: dict[Account, dict[Account, int]] = {}
        self._exits: dict[Account, dict[Exit, int]] = {}

    def __missing__(self, holder: Account) -> int:
        return 0

    def at_risk(self, holder: Account) -> int:
        """What a penalty can reach."""
        return self[holder] + self.leaving.get(holder, 0)

    def lose(self, holder: Account, amount: int) -> None:
        """A penalty takes the same part of both, rounded against what stays."""
        late = self.leaving.get(holder, 0)
        of_late = amount * late // self.at_risk(holder) if amount else 0
        self.leaving[holder] = late - of_late
        self[holder] -= amount - of_late

    def owned(self, holder: Account, owner: Account) -> int:
        """What an owner could take out."""
        parts = self._parts_of(holder)
        return self[holder] * parts[owner] // sum(parts.values()) if owner in parts else 0

    def add(self, holder: Account, owner: Account, amount: int) -> None:
        """An owner adds to a holder's stake."""
        parts, held = self._parts_of(holder), self[holder]
        new = amount * sum(parts.values()) // held if held else amount
        self._parts[holder] = parts if held else {}
        self._parts[holder][owner] = self._parts[holder].get(owner, 0) + new
        self[holder] = held + amount

    def take(self, holder: Account, owner: Account, amount: int, due: int) -> bool:
        """An owner takes out; whether it had as much."""
        parts, mine, held = self._parts_of(holder), self.owned(holder, owner), self[holder]
        if amount > mine:
            return False
        price = parts[owner] if amount == mine else -(-amount * sum(parts.values()) // held)
        parts[owner] -= price
        self._parts[holder] = {one: part for one, part in parts.items() if part}
        self[holder] = held - amount
        late, exits = self.leaving.get(holder, 0), self._exits.setdefault(holder, {})
        if not late:
            exits.clear()
        new = amount * sum(exits.values()) // late if late else amount
        exits[due, owner] = exits.get((due, owner), 0) + new
        self.leaving[holder] = late + amount
        return True

    def pay(self, tick: int) -> Iterator[tuple[Account, int]]:
        """What is due at a tick, and to whom."""
        for holder, exits in self._exits.items():
            for due, owner in [one for one in exits if one[0] <= tick]:
                whole = sum(exits.values())
                amount = self.leaving[holder] * exits.pop((due, owner)) // whole
                self.leaving[holder] -= amount
                yield owner, amount

    def _parts_of(self, holder: Account) -> dict[Account, int]:
        """Owners' parts; what nobody claims is the holder's."""
        parts = dict(self._parts.get(holder, {}))
        return parts or ({holder: self[holder]} if self[holder] else {})

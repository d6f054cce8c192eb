"""What validators said in the last slots, and who contradicted itself.

Bounded: one statement of each validator and kind a slot, for slots that the owner has not let go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from protocol.types import Account, Slot

T = TypeVar("T")


class Statements(Generic[T]):
    """The first statement of each account in each slot.

    :param content: what of a statement counts: two with equal content do not contradict each other.
        An owner of a key can make many signatures of one content.
    """

    def __init__(self, content: Callable[[T], object]) -> None:
        self._content = content
        self._first: dict[Slot, dict[Account, T]] = {}
        self._accused: dict[tuple[Slot, Account], None] = {}

    def hear(self, slot: Slot, account: Account, statement: T) -> T | None:
        """Keep a first statement; for a first contradiction, return what it contradicts."""
        first = self._first.setdefault(slot, {}).setdefault(account, statement)
        if self._content(first) == self._content(statement) or (slot, account) in self._accused:
            return None
        self._accused[slot, account] = None
        return first

    def get(self, slot: Slot, account: Account) -> T | None:
        """The first statement of an account in a slot."""
        return self._first.get(slot, {}).get(account)

    def slots(self) -> Iterable[Slot]:
        """Slots with statements."""
        return self._first

    def of_slot(self, slot: Slot) -> Iterable[T]:
        """The first statements in a slot, in the order in which they were heard."""
        return self._first.get(slot, {}).values()

    def forget_before(self, slot: int) -> None:
        """Let go of all slots before ``slot``."""
        self._first = {one: said for one, said in self._first.items() if one >= slot}
        self._accused = {one: None for one in self._accused if one[0] >= slot}

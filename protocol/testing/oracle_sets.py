"""Judges who orders the log: restates ``protocol.sets`` on the blocks and moves of a story."""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

from protocol.events import KeyRegistered, SetChanged
from protocol.ledger import Moved, PocketKind
from protocol.machine import FinalBlock, Machine
from protocol.messages import Operation, Presence
from protocol.testing.oracles import Oracle, Page, must
from protocol.testing.scenario import Scenario
from protocol.types import Account

Row: TypeAlias = tuple[bytes, int, bytes]
"""A validator: account, stake, key of lots."""


class SetsOracle(Oracle):
    """The set of an epoch is the stake of three epochs before, without who was absent."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.stakes: Counter[bytes] = Counter()
        self.keys: dict[bytes, bytes] = {}
        for one in scenario.genesis().accounts:
            self.stakes[one.account] = one.log_stake
            self.keys[one.account] = one.vrf_key
        first = self._now()
        self.at_end: dict[int, list[Row]] = dict.fromkeys(range(-3, 0), first)
        self.sets: dict[int, list[Row]] = {0: first, 1: first}
        self.shown: list[tuple[Account, ...]] = []
        self.away: set[bytes] = set()
        self.told: list[SetChanged] = []

    def _now(self) -> list[Row]:
        return sorted(
            (account, stake, self.keys[account])
            for account, stake in self.stakes.items()
            if stake and account in self.keys
        )

    def foresee(self, machine: Machine, block: FinalBlock) -> None:
        """Certificates of the epoch: those in all of its headers but the first."""
        if block.moment.tick % self.scenario.epoch_ticks != 1:
            self.shown.append(block.moment.voters)
        self.told = []

    def on_moved(self, page: Page, moved: Moved) -> None:
        """Follow log stake."""
        for pocket, amount in ((moved.source, -moved.amount), (moved.target, moved.amount)):
            if pocket.kind is PocketKind.LOG_STAKE:
                self.stakes[pocket.owner] += amount

    def on_key_registered(self, page: Page, event: KeyRegistered) -> None:
        """A key of lots."""
        self.keys[event.account] = event.vrf_key

    def on_set_changed(self, page: Page, event: SetChanged) -> None:
        """Told at the end of an epoch."""
        self.told.append(event)

    def heard(self, page: Page, operation: Operation, reason: str | None) -> None:
        """Any operation in its place shows that its sender is there."""
        if reason not in ("EXPIRED", "VALID_TOO_LONG", "DUPLICATE"):
            self.away.discard(operation.sender)
            if isinstance(operation.payload, Presence):
                must(reason in (None, "FEE_UNPAYABLE"), "presence refused", page.tick, reason)

    def conclude(self, page: Page, machine: Machine) -> None:
        """At the end of an epoch make the set of the one after the next."""
        if page.tick % self.scenario.epoch_ticks:
            must(not self.told, "a set was told within an epoch", page.tick)
            return
        epoch = page.tick // self.scenario.epoch_ticks - 1
        self.at_end[epoch] = self._now()
        for account, _, _ in self.sets[epoch]:
            votes = sum(account in voters for voters in self.shown)
            is_away = 2 * votes < len(self.shown)
            (self.away.add if is_away else self.away.discard)(account)
        self.shown = []
        made = self._made(epoch + 2)
        due = [] if made == self.sets[epoch + 1] else [made]
        told = [[(one.account, one.stake, one.vrf_key) for one in e.members] for e in self.told]
        must(told == due, "not the set that is due", page.tick, told, due)
        must(all(one.epoch == epoch + 2 for one in self.told), "for another epoch", page.tick)
        self.sets[epoch + 2] = made

    def _made(self, epoch: int) -> list[Row]:
        rows = self.at_end[epoch - 3]
        whole, left = sum(stake for _, stake, _ in rows), list(rows)
        for row in sorted(rows, key=lambda one: (one[1], one[0])):
            rest = sum(stake for _, stake, _ in left) - row[1]
            if row[0] in self.away and 3 * rest > 2 * whole:
                left.remove(row)
        return left or self.sets[epoch - 1]

"""Judges stake that comes and goes: whose it is, what of it was lost, when it is paid back.

Written from the rules of ``protocol.staking``; it keeps exact fractions instead of shares, so that
every rounding in between shows: what an owner gets may differ by one unit for each change of the
pocket since, and by no more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from fractions import Fraction
from typing import Any, Final, TypeAlias

from protocol.events import ExitPaid, KeyRegistered, Staked, Unstaked
from protocol.ledger import Cause, Moved, Pocket, PocketKind
from protocol.machine import FinalBlock, Machine
from protocol.messages import (
    AddStake,
    Delegate,
    Operation,
    Pay,
    StakeKind,
    Undelegate,
    Unstake,
)
from protocol.testing.oracles import Oracle, Page, must
from protocol.testing.scenario import Scenario
from protocol.types import Account, Tick

STAYING: Final = {
    StakeKind.LOG: PocketKind.LOG_STAKE,
    StakeKind.PROVER: PocketKind.PROVER_STAKE,
    StakeKind.SEQUENCER: PocketKind.SEQUENCER_STAKE,
}
LEAVING: Final = {
    StakeKind.LOG: PocketKind.LOG_EXIT,
    StakeKind.PROVER: PocketKind.PROVER_EXIT,
    StakeKind.SEQUENCER: PocketKind.SEQUENCER_EXIT,
}
KINDS: Final = {pocket: kind for table in (STAYING, LEAVING) for kind, pocket in table.items()}
OWN: Final = (Cause.STAKED, Cause.UNSTAKED, Cause.EXIT_PAID)
"""Causes of moves that have an event of their own."""

PENALTIES: Final = (
    Cause.EQUIVOCATION,
    Cause.INVALID_PROOF,
    Cause.JOB_FAILED,
    Cause.REVEAL_MISSING,
)

Owned: TypeAlias = "defaultdict[Any, Any]"


class StakingOracle(Oracle):
    """Owners share what happens to a stake in proportion; exits are paid when they are due."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.pockets: Counter[Pocket] = Counter()
        self.owned: dict[Pocket, Owned] = defaultdict(lambda: defaultdict(Fraction))
        self.changes: Counter[bytes] = Counter()
        self.keys: dict[Account, bytes] = {}
        self.young: dict[Account, int] = {}
        self.paid: Moved | None = None
        self.told: list[Any] = []
        self.penalty: Moved | None = None
        genesis = scenario.genesis()
        self.delay = genesis.network.exit_delay_ticks
        for one in genesis.accounts:
            self.keys[one.account] = one.vrf_key
            self.pockets[Pocket(PocketKind.BALANCE, one.account)] = one.balance
            stakes = (one.log_stake, one.prover_stake, one.sequencer_stake)
            for kind, stake in zip(STAYING.values(), stakes, strict=True):
                self.pockets[Pocket(kind, one.account)] = stake
                self.owned[Pocket(kind, one.account)][one.account] = Fraction(stake)

    def foresee(self, machine: Machine, block: FinalBlock) -> None:
        """Nothing told so far is of this block."""
        self.told = []

    # --- money ---

    def on_moved(self, page: Page, moved: Moved) -> None:
        """Penalties and pledges take from all owners alike; what comes back is the holder's."""
        self._end_penalty(moved)
        if moved.cause not in OWN:
            if moved.source.kind in KINDS:
                self._shrink(moved)
            if moved.target.kind in KINDS:
                self.owned[moved.target][moved.target.owner] += moved.amount
        if moved.cause is Cause.EXIT_PAID:
            self.paid = moved
        if moved.cause is Cause.PAYMENT:
            self.told.append((moved.source.owner, moved.target.owner, moved.amount))
        self.pockets[moved.source] -= moved.amount
        self.pockets[moved.target] += moved.amount

    def _shrink(self, moved: Moved) -> None:
        held, parts = self.pockets[moved.source], self.owned[moved.source]
        for owner in parts:
            parts[owner] *= Fraction(held - moved.amount, held)
        self.changes[moved.source.owner] += 1

    def _end_penalty(self, moved: Moved | None) -> None:
        """A penalty on what stays takes the same part of what leaves, as its next move."""
        first, self.penalty = self.penalty, None
        if first is not None:
            kind = KINDS[first.source.kind]
            leaving = Pocket(LEAVING[kind], first.source.owner)
            staying = self.pockets[first.source] + first.amount
            late = moved.amount if moved is not None and moved.source == leaving else 0
            fair = Fraction(first.amount * self.pockets[leaving], staying)
            must(abs(late - fair) <= 2 + self.pockets[leaving] // staying, "unequal", first, late)
        if moved is not None and moved.cause in PENALTIES and moved.source.kind in STAYING.values():
            self.penalty = moved

    def after(self, page: Page, event: Any) -> None:
        """A penalty is over with the next event that is no move."""
        if not isinstance(event, Moved):
            self._end_penalty(None)

    # --- stake ---

    def on_key_registered(self, page: Page, event: KeyRegistered) -> None:
        """The first key, which counts in the third epoch after this one."""
        must(event.account not in self.keys, "a second key", event)
        epoch = (page.tick - 1) // self.scenario.epoch_ticks
        must(event.counts_from == epoch + 3, "a key counts at another time", event)
        self.keys[event.account] = event.vrf_key
        self.young[event.account] = event.counts_from

    def on_staked(self, page: Page, event: Staked) -> None:
        """More of the owner's, own or lent to somebody with own stake."""
        stake = Pocket(STAYING[event.stake], event.holder)
        if event.owner != event.holder:
            must(event.stake is not StakeKind.SEQUENCER, "sequencer stake was lent", event)
            must(self.owned[stake][event.holder] > 0, "lent to nobody", event)
        self.owned[stake][event.owner] += event.amount
        self.changes[event.holder] += 1
        self.told.append(event)

    def on_unstaked(self, page: Page, event: Unstaked) -> None:
        """No more than was the owner's, and paid after the delay.

        Exits that were lost whole before are void.
        """
        stake = Pocket(STAYING[event.stake], event.holder)
        must(event.due == page.tick + self.delay, "not the exit delay", event)
        left = self.owned[stake][event.owner] - event.amount
        must(left + self._slack(event.holder) >= 0, "more than it owned was taken out", event, left)
        self.owned[stake][event.owner] = max(left, Fraction(0))
        leaving = Pocket(LEAVING[event.stake], event.holder)
        if self.pockets[leaving] == event.amount:
            self.owned[leaving].clear()
        self.owned[leaving][event.due, event.owner] += event.amount
        self.changes[event.holder] += 1
        self.told.append(event)

    def on_exit_paid(self, page: Page, event: ExitPaid) -> None:
        """On its tick, what is left."""
        leaving = Pocket(LEAVING[event.stake], event.holder)
        due = self.owned[leaving].pop((page.tick, event.owner), None)
        must(due is not None, "an exit was paid at another time", event)
        slack = self._slack(event.holder)
        must(abs(event.amount - (due or 0)) <= slack, "not what is left", event, due)
        paid, self.paid = self.paid, None
        target = Pocket(PocketKind.BALANCE, event.owner)
        told = (leaving, target, event.amount) if event.amount else None
        moved = paid and (paid.source, paid.target, paid.amount)
        must(moved == told, "an exit was paid to somebody else", event, paid)
        self.changes[event.holder] += 1

    def _slack(self, holder: Account) -> int:
        return 1 + self.changes[holder]

    # --- operations ---

    def heard(self, page: Page, operation: Operation, reason: str | None) -> None:
        """An accepted operation is told in the terms it was given; a refusal has its reason."""
        sender, payload, told = operation.sender, operation.payload, self.told
        self.told = []
        match payload:
            case Pay():
                due: Any = (sender, payload.receiver, payload.amount)
            case AddStake():
                is_its = payload.vrf_key == self.keys.get(sender)
                must(reason is not None or is_its, "stake with another key", payload)
                due = Staked(payload.stake, sender, sender, payload.amount)
            case Delegate():
                due = Staked(payload.stake, payload.delegate, sender, payload.amount)
            case Unstake() | Undelegate():
                holder = sender if isinstance(payload, Unstake) else payload.delegate
                at = Tick(page.tick + self.delay)
                due = Unstaked(payload.stake, holder, sender, payload.amount, at)
            case _:
                return
        must(told == ([due] if reason is None else []), "not what was asked for", told, due)
        if reason is not None:
            self._check_refusal(sender, payload, reason)

    def _check_refusal(self, sender: Account, payload: Any, reason: str) -> None:
        other: Any = getattr(payload, "receiver", getattr(payload, "delegate", None))
        holder: Account = sender if isinstance(payload, AddStake | Unstake) else other
        kind = PocketKind.BALANCE if isinstance(payload, Pay) else STAYING[payload.stake]
        stake = Pocket(kind, holder)
        key = self.keys.get(sender)
        held, slack = self.pockets[Pocket(PocketKind.BALANCE, sender)], self._slack(holder)
        grounds = {
            "EMPTY_AMOUNT": payload.amount == 0,
            "OWN_ACCOUNT": other == sender,
            "BALANCE_TOO_LOW": held < payload.amount,
            "STAKE_TOO_LOW": self.owned[stake][sender] - slack < payload.amount,
            "OTHER_VRF_KEY": key is not None and key != getattr(payload, "vrf_key", key),
            "NOT_LENT": isinstance(payload, Delegate) and payload.stake is StakeKind.SEQUENCER,
            "NO_DELEGATE": self.owned[stake][holder] <= slack,
        }
        must(grounds.get(reason, True), "refused without reason", reason, payload)

    def conclude(self, page: Page, machine: Machine) -> None:
        """Nothing that is due is left, each owns its part of a pocket, and keys count in time."""
        self._end_penalty(None)
        epoch = (page.tick - 1) // self.scenario.epoch_ticks
        old = {one: key for one, key in self.keys.items() if self.young.get(one, 0) <= epoch}
        must(machine.vrf_keys == old, "a key counts too early or too late", page.tick)
        for pocket, parts in self.owned.items():
            if pocket.kind not in KINDS:
                continue
            exits = list(parts) if pocket.kind in LEAVING.values() else []
            late = [due for due, _ in exits if due <= page.tick]
            must(not late, "an exit was forgotten", page.tick, pocket)
            whole = sum(parts.values(), Fraction(0))
            slack = self._slack(Account(pocket.owner))
            must(abs(whole - self.pockets[pocket]) <= slack, "not all owners", pocket, whole)
            for owner, part in parts.items() if pocket.kind in STAYING.values() else ():
                holding = (KINDS[pocket.kind], Account(pocket.owner))
                owned = machine.staking.owned(machine.ledger, holding, owner)
                must(abs(owned - part) <= slack, "not its part", pocket, owner, owned, part)

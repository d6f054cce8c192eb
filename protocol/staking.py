"""Money that changes hands on the log, and stake that comes and goes while the network runs.

Problem. Whoever wants to take part must get money, put it at stake, and take it out again, without
anybody's leave and without a way around a penalty.

Rules.

1. ``Pay`` moves free money to any account; an account comes into being by being paid.
2. ``AddStake`` turns free money into stake of the sender, ``Delegate`` into log or prover stake of
   an account that has some of its own. Both count for the holder wherever stake counts.
3. ``Unstake`` and ``Undelegate`` move it into an *exit*. There it counts for nothing, and is paid
   to its owner ``exit_delay_ticks`` later.
4. A penalty takes the same part of everything that an account holds, its own and lent, staying and
   exiting (:meth:`protocol.ledger.Ledger.forfeit`).
5. The first VRF key that an account stakes with stays for ever. Sequencing counts it from the third
   epoch after, when the seed is younger than the key: nobody chooses a key for a known seed.

Lent stake. Who lends shares all losses in proportion and earns nothing by the protocol: what the
two agree on is paid by ``Pay``.

Parts. A pocket of stake has owners, each with *shares* of it. New stake gets shares at the present
worth of a share, a penalty lowers the worth of all, and rounding is in favour of those who stay; so
a share is never worth more than one micro-unit. What no share claims is the holder's: that is how a
genesis, and a bond that comes back, need none.

Source. Shares and exits that stay liable follow the staking module of the Cosmos SDK
(``docs.cosmos.network``, x/staking, "Delegator Shares", "Slash Unbonding Delegation").
Deviations: a penalty reaches all of an exit, also of what left before the fault, so that there is
one rule.

Properties. Every call either takes effect or raises Refused before it changed anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from protocol.errors import Reason, Refused
from protocol.events import ExitPaid, KeyRegistered, Staked, Unstaked
from protocol.ledger import (
    Cause,
    Ledger,
    Moved,
    Pocket,
    balance,
    exiting,
    log_stake,
    prover_stake,
    sequencer_stake,
)
from protocol.messages import AddStake, Delegate, Pay, StakeKind, Undelegate, Unstake
from protocol.params import SNAPSHOT_EPOCHS, Genesis
from protocol.rules import Frame
from protocol.types import Account, Amount, Epoch, OperationHash, Tick, VrfKey

STAKING: Final = (Pay, AddStake, Unstake, Delegate, Undelegate)
"""Payloads that the machine hands to :class:`Staking`."""

StakingPayload: TypeAlias = Pay | AddStake | Unstake | Delegate | Undelegate

Holding: TypeAlias = tuple[StakeKind, Account]
"""A kind of stake and its holder."""

Exit: TypeAlias = tuple[Tick, Account]
"""When an exit is paid, and to whom."""

K = TypeVar("K")

_POCKETS: Final = {
    StakeKind.LOG: log_stake,
    StakeKind.PROVER: prover_stake,
    StakeKind.SEQUENCER: sequencer_stake,
}


def stake_of(holding: Holding) -> Pocket:
    """The pocket of a kind of stake of an account."""
    kind, holder = holding
    return _POCKETS[kind](holder)


@dataclass(frozen=True, slots=True)
class StakingState:
    """All that :class:`Staking` knows.

    :ivar owners: shares of each stake by owner; none where all is the holder's.
    :ivar exits: shares of what is on its way out, in the order of falling due.
    :ivar young_keys: from which epoch a key counts that does not yet.
    """

    registered: dict[Account, VrfKey]
    vrf_keys: dict[Account, VrfKey]
    owners: dict[Holding, dict[Account, int]]
    exits: dict[Holding, dict[Exit, int]]
    young_keys: dict[Account, Epoch]


class Staking:
    """Who owns which part of stake, what is on its way out, and the keys of lots.

    :ivar vrf_keys: the keys that sequencing counts.
    :ivar registered: the key of every account that has one.
    """

    def __init__(self, genesis: Genesis) -> None:
        """Begin with the stakes of the genesis, each its holder's own."""
        self.registered: dict[Account, VrfKey] = {
            one.account: one.vrf_key for one in genesis.accounts
        }
        self.vrf_keys = dict(self.registered)
        self._delay = genesis.network.exit_delay_ticks
        self._epoch_ticks = genesis.network.epoch_ticks
        self._owners: dict[Holding, dict[Account, int]] = {}
        self._exits: dict[Holding, dict[Exit, int]] = {}
        self._young_keys: dict[Account, Epoch] = {}

    def snapshot(self) -> StakingState:
        """All state."""
        return StakingState(
            self.registered, self.vrf_keys, self._owners, self._exits, self._young_keys
        )

    def restore(self, state: StakingState) -> None:
        """Go on from there."""
        self.registered, self.vrf_keys = state.registered, state.vrf_keys
        self._owners, self._exits = state.owners, state.exits
        self._young_keys = state.young_keys

    def owned(self, ledger: Ledger, holding: Holding, owner: Account) -> Amount:
        """What of a stake is the owner's, without what is on its way out."""
        held = ledger.holds(stake_of(holding))
        return _worth(self._shares(holding, held), owner, held)

    def key_counts_from(self, account: Account) -> Epoch | None:
        """From which epoch on sequencing counts an account's key that it does not count yet."""
        return self._young_keys.get(account)

    # --- time ---

    def on_epoch(self, epoch: Epoch) -> None:
        """An epoch begins: keys that are old enough count."""
        for account, counts_from in tuple(self._young_keys.items()):
            if counts_from <= epoch:
                self.vrf_keys[account] = self.registered[account]
                del self._young_keys[account]

    def on_tick(self, frame: Frame) -> None:
        """Pay the exits that are due."""
        for holding, exits in tuple(self._exits.items()):
            for due, owner in tuple(exits):
                if due <= frame.moment.tick:
                    self._pay_exit(frame, holding, (due, owner))
            if not exits:
                del self._exits[holding]

    def _pay_exit(self, frame: Frame, holding: Holding, exit_: Exit) -> None:
        leaving, exits = exiting(stake_of(holding)), self._exits[holding]
        amount = _worth(exits, exit_, frame.ledger.holds(leaving))
        del exits[exit_]
        _, owner = exit_
        frame.ledger.move(Moved(leaving, balance(owner), amount, Cause.EXIT_PAID))
        frame.emit(ExitPaid(*holding, owner, amount))

    # --- operations ---

    def on_operation(
        self, frame: Frame, sender: Account, payload: StakingPayload, operation: OperationHash
    ) -> None:
        """Apply one operation. Raises Refused before anything changed."""
        self.check(frame.ledger, sender, payload)
        match payload:
            case Pay(receiver, amount):
                source, target = balance(sender), balance(receiver)
                frame.ledger.move(Moved(source, target, amount, Cause.PAYMENT, operation=operation))
            case AddStake(kind, amount, vrf_key):
                self._register(frame, sender, vrf_key)
                self._add(frame, (kind, sender), sender, amount, operation)
            case Delegate(kind, delegate, amount):
                self._add(frame, (kind, delegate), sender, amount, operation)
            case Unstake(kind, amount):
                self._take(frame, (kind, sender), sender, amount, operation)
            case _:
                holding = (payload.stake, payload.delegate)
                self._take(frame, holding, sender, payload.amount, operation)

    def check(self, ledger: Ledger, sender: Account, payload: StakingPayload) -> None:
        """Look whether an operation would take effect, its fee apart. Raises Refused."""
        if payload.amount == 0:
            raise Refused(Reason.EMPTY_AMOUNT)
        match payload:
            case Pay(receiver, amount):
                _check_other(sender, receiver)
                _check_funds(ledger, sender, amount)
            case AddStake(_, amount, vrf_key):
                if self.registered.get(sender, vrf_key) != vrf_key:
                    raise Refused(Reason.OTHER_VRF_KEY)
                _check_funds(ledger, sender, amount)
            case Delegate(kind, delegate, amount):
                self._check_delegate(ledger, sender, kind, delegate)
                _check_funds(ledger, sender, amount)
            case Unstake(kind, amount):
                self._check_owned(ledger, (kind, sender), sender, amount)
            case _:
                _check_other(sender, payload.delegate)
                holding = (payload.stake, payload.delegate)
                self._check_owned(ledger, holding, sender, payload.amount)

    def _check_owned(
        self, ledger: Ledger, holding: Holding, owner: Account, amount: Amount
    ) -> None:
        worth = self.owned(ledger, holding, owner)
        if amount > worth:
            raise Refused(Reason.STAKE_TOO_LOW, f"{worth} of {amount}")

    def _check_delegate(
        self, ledger: Ledger, sender: Account, kind: StakeKind, delegate: Account
    ) -> None:
        _check_other(sender, delegate)
        if kind is StakeKind.SEQUENCER:
            raise Refused(Reason.NOT_LENT)
        if self.owned(ledger, (kind, delegate), delegate) == 0:
            raise Refused(Reason.NO_DELEGATE)

    def _register(self, frame: Frame, account: Account, vrf_key: VrfKey) -> None:
        if account in self.registered:
            return
        epoch = (frame.moment.tick - 1) // self._epoch_ticks
        counts_from = Epoch(epoch + SNAPSHOT_EPOCHS)
        self.registered[account] = vrf_key
        self._young_keys[account] = counts_from
        frame.emit(KeyRegistered(account, vrf_key, counts_from))

    def _add(
        self,
        frame: Frame,
        holding: Holding,
        owner: Account,
        amount: Amount,
        operation: OperationHash,
    ) -> None:
        stake = stake_of(holding)
        held = frame.ledger.holds(stake)
        shares = self._owners[holding] = self._shares(holding, held)
        _put(shares, owner, amount, held)
        frame.ledger.move(Moved(balance(owner), stake, amount, Cause.STAKED, operation=operation))
        frame.emit(Staked(*holding, owner, amount))

    def _take(
        self,
        frame: Frame,
        holding: Holding,
        owner: Account,
        amount: Amount,
        operation: OperationHash,
    ) -> None:
        stake, ledger = stake_of(holding), frame.ledger
        held, due = ledger.holds(stake), Tick(frame.moment.tick + self._delay)
        shares = self._shares(holding, held)
        worth = _worth(shares, owner, held)
        shares[owner] -= shares[owner] if amount == worth else _ceiling(shares, amount, held)
        if not shares[owner]:
            del shares[owner]
        self._owners[holding] = shares
        exits = self._exits.setdefault(holding, {})
        _put(exits, (due, owner), amount, ledger.holds(exiting(stake)))
        ledger.move(Moved(stake, exiting(stake), amount, Cause.UNSTAKED, operation=operation))
        frame.emit(Unstaked(*holding, owner, amount, due))

    def _shares(self, holding: Holding, held: int) -> dict[Account, int]:
        """The shares of a stake: a copy to change and put back."""
        return dict(self._owners.get(holding, {})) or ({holding[1]: held} if held else {})


def _check_other(sender: Account, other: Account) -> None:
    if sender == other:
        raise Refused(Reason.OWN_ACCOUNT)


def _check_funds(ledger: Ledger, sender: Account, amount: Amount) -> None:
    if ledger.holds(balance(sender)) < amount:
        raise Refused(Reason.BALANCE_TOO_LOW)


# --- shares ---


def _worth(shares: dict[K, int], owner: K, held: int) -> Amount:
    """What an owner's shares of a pocket are worth."""
    return Amount(held * shares[owner] // sum(shares.values()) if owner in shares else 0)


def _put(shares: dict[K, int], owner: K, amount: int, held: int) -> None:
    """Give shares for an amount that is about to be added; those of an empty pocket are void."""
    if not held:
        shares.clear()
    new = amount * sum(shares.values()) // held if held else amount
    shares[owner] = shares.get(owner, 0) + new


def _ceiling(shares: dict[K, int], amount: int, held: int) -> int:
    """The shares that an amount costs, rounded up."""
    return -(-amount * sum(shares.values()) // held)

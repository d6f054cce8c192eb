"""Money that is conserved by construction.

All money lies in *pockets*: balances, three kinds of stake and their exits, bonds, job escrows, the
rollup's vault, the treasury, the burn. The only way to change anything is :meth:`Ledger.move`,
which takes from one pocket what it gives to another, so the sum over all pockets never changes.
Every move is told at once as a :class:`Moved` value with its cause; it becomes an event of the
block, and from those anybody can re-add all accounts without this file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from protocol.params import Genesis
from protocol.types import Account, Amount, Digest, JobId, OperationHash, TreeIndex


class PocketKind(Enum):
    """What the money in a pocket is for."""

    BALANCE = "balance"
    """Free money of an account."""
    LOG_STAKE = "log stake"
    """An account's stake as validator."""
    PROVER_STAKE = "prover stake"
    """An account's stake as prover."""
    SEQUENCER_STAKE = "sequencer stake"
    """An account's stake as sequencer."""
    LOG_EXIT = "exiting log stake"
    """Log stake of an account on its way out: it counts for nothing and can still be lost."""
    PROVER_EXIT = "exiting prover stake"
    """Prover stake on its way out."""
    SEQUENCER_EXIT = "exiting sequencer stake"
    """Sequencer stake on its way out."""
    ESCROW = "escrow"
    """A job's proven fees, and its block reward, until they are paid out."""
    UNCLE_RESERVE = "uncle reserve"
    """A settled job's money for uncle claims."""
    BLOCK_BOND = "block bond"
    """What a sequencer pledged for a job's block to be proven."""
    PROVER_BOND = "prover bond"
    """What a prover pledged to prove a block; owned by the award."""
    PRICE = "price"
    """What a sequencer owes the prover of its block; owned by the award."""
    TREASURY = "treasury"
    """What block rewards are paid from."""
    ROLLUP_VAULT = "rollup vault"
    """Equals the rollup's balances at the last settled root."""
    BURNED = "burned"
    """Out of circulation for ever."""


_EXITS = {
    PocketKind.LOG_STAKE: PocketKind.LOG_EXIT,
    PocketKind.PROVER_STAKE: PocketKind.PROVER_EXIT,
    PocketKind.SEQUENCER_STAKE: PocketKind.SEQUENCER_EXIT,
}


@dataclass(frozen=True, slots=True)
class Pocket:
    """A place for money; ``owner`` is an account, a job id, an award's digest, or empty."""

    kind: PocketKind
    owner: bytes


VAULT = Pocket(PocketKind.ROLLUP_VAULT, b"")
"""The one pocket that backs the rollup."""

BURNED = Pocket(PocketKind.BURNED, b"")
"""The one pocket that nothing leaves."""


TREASURY = Pocket(PocketKind.TREASURY, b"")
"""The one pocket that block rewards come from."""


def balance(account: Account) -> Pocket:
    """The account's free money."""
    return Pocket(PocketKind.BALANCE, account)


def log_stake(account: Account) -> Pocket:
    """The account's stake as validator."""
    return Pocket(PocketKind.LOG_STAKE, account)


def prover_stake(account: Account) -> Pocket:
    """The account's stake as prover."""
    return Pocket(PocketKind.PROVER_STAKE, account)


def sequencer_stake(account: Account) -> Pocket:
    """The account's stake as sequencer."""
    return Pocket(PocketKind.SEQUENCER_STAKE, account)


def exiting(stake: Pocket) -> Pocket:
    """What is on its way out of a pocket of stake."""
    return Pocket(_EXITS[stake.kind], stake.owner)


def escrow(job: JobId) -> Pocket:
    """The job's proven fees and its block reward."""
    return Pocket(PocketKind.ESCROW, job)


def uncle_reserve(job: JobId) -> Pocket:
    """The job's money for uncle claims."""
    return Pocket(PocketKind.UNCLE_RESERVE, job)


def block_bond(job: JobId) -> Pocket:
    """The pledge that the job's block will be proven."""
    return Pocket(PocketKind.BLOCK_BOND, job)


def prover_bond(award: Digest) -> Pocket:
    """The pledge of an award's prover."""
    return Pocket(PocketKind.PROVER_BOND, award)


def price(award: Digest) -> Pocket:
    """What an award's prover will be paid."""
    return Pocket(PocketKind.PRICE, award)


class Cause(Enum):
    """Why money moved."""

    PAYMENT = "payment from account to account"
    STAKED = "free money that became stake, one's own or lent"
    UNSTAKED = "stake on its way out"
    EXIT_PAID = "stake that was taken out, to its owner"
    OPERATION_FEE = "fee of an operation, to the log proposer"
    PROVEN_FEES = "fees proven by a job, from the vault to its escrow"
    BLOCK_REWARD = "reward for a settled block, from the treasury to its job's escrow"
    PROVER_PAY = "pay for a tree node, to the prover it was assigned to"
    OPEN_PAY = "pay for a tree node that was open to anybody"
    TAKEOVER_PAY = "pay for a taken-over tree node, to the one who took over"
    SEQUENCER_SHARE = "the sequencer's share of a block's fees"
    FAILED_SHARE = "pay that nobody earned"
    ROUNDING = "what integer division left over"
    CO_PAY = "pay for a tree node, to another of its provers, who proved it too"
    UNCLE_RESERVED = "part of the provers' share, kept for uncle claims"
    UNCLE_PAY = "pay for a proof that was not recorded, to the prover who claimed it"
    RESERVE_LEFT = "what no uncle claimed in time"
    BOND_LOCKED = "pledge of a sequencer that its block will be proven"
    BOND_RETURNED = "pledge of a sequencer whose block was proven, or fell without its fault"
    VOID_PAY = "pay for a recorded tree node of a void job, from the bond of the block that failed"
    ORPHAN_PAY = "part of a lost pledge, to a sequencer whose block fell with the one that failed"
    BOND_LOST = "what is left of the pledge for a block that was not proven in time"
    BACKUP_PAY = "fees of a backup block, to whoever proved it"
    AWARD_BOND = "pledge of a prover that won an award"
    AWARD_BOND_RETURNED = "pledge of a prover that delivered, or whose block fell without its fault"
    AWARD_BOND_LOST = "pledge of a prover that did not deliver in time"
    AWARD_PRICE = "price of an award, locked until it is earned"
    AWARD_PAY = "price of an award, to the prover that delivered"
    AWARD_PRICE_RETURNED = "price of an award that was not earned, back to the sequencer"
    REVEAL_MISSING = "penalty for not revealing a block that was elected"
    JOB_FAILED = "penalty for failing a job"
    INVALID_PROOF = "penalty for a signed record whose bytes do not prove it"
    EQUIVOCATION = "penalty for signing two things for one slot"


@dataclass(frozen=True, slots=True)
class Moved:
    """``amount`` went from ``source`` to ``target``.

    :ivar job: the job it was for, if any.
    :ivar operation: the operation that caused it, if any.
    :ivar place: the tree node it was for, if any.
    """

    source: Pocket
    target: Pocket
    amount: Amount
    cause: Cause
    job: JobId | None = None
    operation: OperationHash | None = None
    place: TreeIndex | None = None


class Ledger:
    """All pockets of a network. Invariant: their sum is :attr:`supply`, and none is negative."""

    __slots__ = ("_pockets", "_tell", "supply")

    def __init__(self, pockets: dict[Pocket, Amount], tell: Callable[[Moved], None]) -> None:
        """``tell`` is called with every move that was carried out."""
        self._pockets = {pocket: amount for pocket, amount in pockets.items() if amount}
        self._tell = tell
        self.supply = Amount(sum(self._pockets.values()))

    @classmethod
    def of_genesis(cls, genesis: Genesis, tell: Callable[[Moved], None]) -> Ledger:
        """The first ledger of a network."""
        pockets = {VAULT: genesis.rollup_total, TREASURY: genesis.network.treasury}
        for one in genesis.accounts:
            pockets[balance(one.account)] = one.balance
            pockets[log_stake(one.account)] = Amount(one.log_stake)
            pockets[prover_stake(one.account)] = Amount(one.prover_stake)
            pockets[sequencer_stake(one.account)] = Amount(one.sequencer_stake)
        return cls(pockets, tell)

    def holds(self, pocket: Pocket) -> Amount:
        """What is in a pocket."""
        return self._pockets.get(pocket, Amount(0))

    def pockets(self) -> dict[Pocket, Amount]:
        """All pockets that are not empty, in a fixed order."""
        return dict(
            sorted(self._pockets.items(), key=lambda row: (row[0].kind.value, row[0].owner))
        )

    def total(self, kind: PocketKind) -> Amount:
        """What all pockets of a kind hold together."""
        return Amount(sum(held for pocket, held in self._pockets.items() if pocket.kind is kind))

    def move(self, moved: Moved) -> None:
        """Carry out a move; one of nothing leaves no trace.

        :raises AssertionError: when the source does not hold the amount: callers check before they
            act.
        """
        if moved.amount == 0:
            return
        held = self.holds(moved.source)
        assert 0 < moved.amount <= held, f"{moved} from a pocket that holds {held}"
        assert moved.source != moved.target, f"{moved} to where it came from"
        assert moved.source.kind is not PocketKind.BURNED, f"{moved} out of the burn"
        if held == moved.amount:
            del self._pockets[moved.source]
        else:
            self._pockets[moved.source] = Amount(held - moved.amount)
        self._pockets[moved.target] = Amount(self.holds(moved.target) + moved.amount)
        self._tell(moved)

    def at_risk(self, stake: Pocket) -> Amount:
        """What can be lost of a pocket of stake: what it holds, and what is on its way out."""
        return Amount(self.holds(stake) + self.holds(exiting(stake)))

    def forfeit(self, moved: Moved) -> None:
        """Take a penalty out of a pocket of stake and out of its exit, in proportion.

        :param moved: from the pocket of stake; at most what is at risk.
        """
        leaving, whole = exiting(moved.source), self.at_risk(moved.source)
        late = moved.amount * self.holds(leaving) // whole if whole else 0
        self.move(replace(moved, amount=Amount(moved.amount - late)))
        self.move(replace(moved, source=leaving, amount=Amount(late)))

    def is_conserved(self) -> bool:
        """Whether the pockets add up to the supply with which the ledger began."""
        return (
            sum(self._pockets.values()) == self.supply
            and min(self._pockets.values(), default=0) >= 0
        )

"""Adds up money a second time, from what a node told, sharing no code with ``protocol``.

Problem. That a ledger is conserved is told by the ledger itself. Somebody else has to add.

Rules. It reads the entries of the genesis and records as ``scripts.records`` writes them, one a
line, and knows nothing else. A tick counts when its ``Final`` record is there, once, in order: what
a node that was killed had told of an unfinished tick, and what it tells again after a restart, are
left out. Every ``Moved`` takes from one pocket and gives to another; at the end of each tick

- no pocket is negative, and all of them together are what the genesis put into them;
- no tree node of a job was paid twice, no account for a tree node of which it has no record, and
  nothing at all from a job before its root was proven;
- what came into a job's escrow is the fees of its header and a block reward, what left it is no
  more, and the escrow and the bond of a job that is settled or void are empty.

Properties. Plain integers, one pass; no code of ``protocol`` runs here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from protocol.params import Genesis

Pocket: TypeAlias = tuple[str, str]
"""Kind of a pocket and its owner in hexadecimal digits."""

Record: TypeAlias = Mapping[str, Any]
"""A line of ``events.jsonl``."""

EARNINGS: Final = (
    "AWARD_PAY",
    "BACKUP_PAY",
    "CO_PAY",
    "OPEN_PAY",
    "OPERATION_FEE",
    "ORPHAN_PAY",
    "PROVER_PAY",
    "SEQUENCER_SHARE",
    "TAKEOVER_PAY",
    "UNCLE_PAY",
    "VOID_PAY",
)
"""Causes by which an account earns."""

_NODE_PAY: Final = ("OPEN_PAY", "PROVER_PAY", "TAKEOVER_PAY")
_VAULT: Final = ("ROLLUP_VAULT", "")
_TREASURY: Final = ("TREASURY", "")


@dataclass(slots=True)
class _Book:
    """What is known of one job.

    :ivar paid: payments for each tree node.
    :ivar records: who has the record of each tree node.
    :ivar reward: block reward that came into the escrow, in micro-units.
    :ivar spent: what left the escrow, in micro-units.
    """

    fees: int
    paid: dict[str, int] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    reward: int = 0
    spent: int = 0
    is_proven: bool = False


@dataclass(slots=True)
class Balances:
    """All pockets after :attr:`height` ticks, and what is wrong with how they came about.

    :ivar pockets: what each pocket holds, in micro-units; empty ones are left out.
    :ivar supply: what the genesis put into them.
    :ivar earned: by account and cause, what it received for work.
    :ivar names: name of each account of the genesis, by its hexadecimal digits.
    """

    pockets: dict[Pocket, int]
    supply: int
    names: dict[str, str]
    height: int = 0
    earned: dict[str, dict[str, int]] = field(default_factory=dict)
    _jobs: dict[str, _Book] = field(default_factory=dict)
    _faults: list[str] = field(default_factory=list)

    def faults(self) -> tuple[str, ...]:
        """A sentence for each thing that is wrong; nothing when all is well."""
        return tuple(self._faults)

    def compare(self, pockets: Iterable[Record]) -> tuple[str, ...]:
        """Differences to the pockets that a node's ``report.json`` names, one sentence each."""
        theirs = {(one["kind"], one["owner"]): one["amount"] for one in pockets}
        return tuple(
            f"{self._called(pocket)} holds {theirs.get(pocket, 0)} in the report, "
            f"{self.pockets.get(pocket, 0)} by its moves"
            for pocket in sorted({*theirs, *self.pockets})
            if theirs.get(pocket, 0) != self.pockets.get(pocket, 0)
        )

    def income(self) -> dict[str, dict[str, Any]]:
        """What each account earned, by its hexadecimal digits, in micro-units.

        ``{"total": sum, "by_cause": {cause: amount}}``; causes by which it earned nothing are left
        out, and so are accounts that earned nothing at all.
        """
        return {
            account: {"total": sum(causes.values()), "by_cause": dict(sorted(causes.items()))}
            for account, causes in sorted(self.earned.items())
        }

    def take(self, tick: int, records: Iterable[Record]) -> None:
        """Add the records of the next tick."""
        self._require(tick == self.height + 1, tick, f"follows on tick {self.height}")
        for record in records:
            match record["kind"]:
                case "Moved":
                    self._move(tick, record)
                case "JobOpened":
                    fees = sum(leaf["fees"] for leaf in record["header"]["content"]["leaves"])
                    self._jobs[record["job"]] = _Book(fees)
                case "ProofRecorded":
                    place = _place(record["index"])
                    self._jobs[record["job"]].records[place] = record["prover"]
                case "JobProven":
                    self._jobs[record["job"]].is_proven = True
                case "JobSettled" | "JobVoided":
                    self._close(tick, record["job"])
        self.height = tick
        self._check_supply(tick)

    def _move(self, tick: int, record: Record) -> None:
        amount, cause = record["amount"], record["cause"]
        source, target = _pocket(record["source"]), _pocket(record["target"])
        self._require(type(amount) is int and amount > 0, tick, f"a move of {amount}")
        self._add(source, -amount)
        self._add(target, amount)
        self._require(self.pockets.get(source, 0) >= 0, tick, f"{self._called(source)} is negative")
        self._require(source[0] != "BURNED", tick, "money left the burn")
        if cause in EARNINGS and target[0] == "BALANCE":
            causes = self.earned.setdefault(target[1], {})
            causes[cause] = causes.get(cause, 0) + amount
        if target[0] == "ESCROW":
            self._fund(tick, record, target[1])
        if source[0] == "ESCROW":
            self._spend(tick, record, source[1])

    def _add(self, pocket: Pocket, amount: int) -> None:
        held = self.pockets.get(pocket, 0) + amount
        if held:
            self.pockets[pocket] = held
        else:
            self.pockets.pop(pocket, None)

    def _fund(self, tick: int, record: Record, job: str) -> None:
        """Money came into a job's escrow."""
        book, amount = self._jobs.get(job), record["amount"]
        if book is not None and record["cause"] == "BLOCK_REWARD":
            book.reward += amount
        else:
            is_due = book is not None and amount == book.fees
            self._require(is_due, tick, f"{amount} came into the escrow of job {job[:8]}")

    def _spend(self, tick: int, record: Record, job: str) -> None:
        """Money left a job's escrow."""
        book = self._jobs.get(job)
        if book is None:
            self._faults.append(f"tick {tick}: job {job[:8]} paid without having been opened")
            return
        book.spent += record["amount"]
        self._require(book.is_proven, tick, f"job {job[:8]} paid before it was proven")
        income = book.fees + book.reward
        self._require(
            book.spent <= income, tick, f"job {job[:8]} paid more than its proven {income}"
        )
        if record["cause"] not in _NODE_PAY:
            return
        place, payee = _place(record["place"]), record["target"]["owner"]
        book.paid[place] = book.paid.get(place, 0) + 1
        self._require(book.paid[place] == 1, tick, f"job {job[:8]} paid tree node {place} twice")
        self._require(
            book.records.get(place) == payee,
            tick,
            f"job {job[:8]} paid tree node {place} to {self._name(payee)}, who has no record of it",
        )

    def _close(self, tick: int, job: str) -> None:
        for kind, called in (("ESCROW", "escrow"), ("BLOCK_BOND", "bond")):
            left = self.pockets.get((kind, job), 0)
            self._require(left == 0, tick, f"{left} stayed in the {called} of job {job[:8]}")

    def _check_supply(self, tick: int) -> None:
        total = sum(self.pockets.values())
        self._require(
            total == self.supply, tick, f"all pockets hold {total}, the genesis had {self.supply}"
        )

    def _require(self, condition: bool, tick: int, sentence: str) -> None:
        if not condition:
            self._faults.append(f"tick {tick}: {sentence}")

    def _called(self, pocket: Pocket) -> str:
        kind, owner = pocket
        return f"{kind} of {self._name(owner)}" if owner else kind

    def _name(self, owner: str) -> str:
        return self.names.get(owner, owner[:8])


def add_up(genesis: Genesis, records: Iterable[Record]) -> Balances:
    """Add all money again.

    :param records: a node's ``events.jsonl`` from its first line on; lines of other kinds, of
        unfinished ticks and of ticks told before are passed over.
    """
    balances = _first(genesis)
    waiting: list[Record] = []
    for record in records:
        if record["kind"] == "Stage":
            waiting = []
        elif record["kind"] == "Final":
            if record["tick"] > balances.height:
                balances.take(record["tick"], waiting)
            waiting = []
        elif "tick" in record:
            waiting.append(record)
    return balances


def _first(genesis: Genesis) -> Balances:
    """What the genesis puts into each pocket, read entry by entry."""
    pockets: dict[Pocket, int] = {_VAULT: sum(one.balance for one in genesis.rollup)}
    pockets[_TREASURY] = genesis.network.treasury
    for one in genesis.accounts:
        owner = one.account.hex()
        pockets["BALANCE", owner] = one.balance
        pockets["LOG_STAKE", owner] = one.log_stake
        pockets["PROVER_STAKE", owner] = one.prover_stake
        pockets["SEQUENCER_STAKE", owner] = one.sequencer_stake
    names = {one.account.hex(): one.name for one in genesis.accounts}
    held = {pocket: amount for pocket, amount in pockets.items() if amount}
    return Balances(held, sum(held.values()), names)


def _pocket(table: Record) -> Pocket:
    return table["kind"], table["owner"]


def _place(index: Any) -> str:
    return f"{index[0]}:{index[1]}" if index is not None else "nowhere"

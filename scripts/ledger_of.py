"""Each gain and loss of one account in order, with what brought it about, from the log alone.

Rules. The certified log of a run is replayed (:mod:`scripts.explain.publiclog`); every move of
money from or to a pocket of the account is an entry, with the operation behind it
(:mod:`scripts.behind`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from protocol.ledger import Ledger, Moved, Pocket, PocketKind
from protocol.messages import Operation, operation_hash
from protocol.types import Account
from scripts.behind import Behind
from scripts.columns import aligned
from scripts.explain.publiclog import SHORT, CannotTell, LogStep, PublicLog, read_public_log
from scripts.records import plain


@dataclass(frozen=True, slots=True)
class Entry:
    """A gain or a loss.

    :ivar amount: in micro-units; negative for a loss.
    :ivar after: what the pocket holds then.
    :ivar other: the pocket on the other side.
    :ivar number: of the job, counted from 1 in the order of opening; None when it was for none.
    :ivar operation: what brought it about, if an operation did.
    :ivar refused: why that operation was refused; None when it was accepted.
    """

    step: LogStep
    moved: Moved
    pocket: PocketKind
    amount: int
    after: int
    other: Pocket
    number: int | None
    operation: Operation | None
    refused: str | None


@dataclass(frozen=True, slots=True)
class AccountLedger:
    """All that happened to the money of an account.

    :ivar opening: what the genesis put into each of its pockets.
    :ivar closing: what is in them after the last final log block.
    """

    name: str
    account: Account
    height: int
    opening: dict[PocketKind, int]
    entries: tuple[Entry, ...]
    closing: dict[PocketKind, int]

    def totals(self) -> dict[str, tuple[int, int]]:
        """What was gained and lost by each cause, in the order of first appearance."""
        totals: dict[str, tuple[int, int]] = {}
        for one in self.entries:
            cause = one.moved.cause.name
            gained, lost = totals.get(cause, (0, 0))
            totals[cause] = gained + max(one.amount, 0), lost - min(one.amount, 0)
        return totals


def ledger_of(log: PublicLog, account: Account) -> AccountLedger:
    """The ledger of an account of the genesis."""
    told: list[Moved] = []
    first = Ledger.of_genesis(log.genesis, told.append).pockets()
    held = {pocket: int(amount) for pocket, amount in first.items() if pocket.owner == account}
    opening = {pocket.kind: amount for pocket, amount in held.items()}
    behind = Behind()
    entries: list[Entry] = []
    for step, moved in _moves(log, behind):
        out, into = int(-moved.amount), int(moved.amount)
        sides = ((moved.source, moved.target, out), (moved.target, moved.source, into))
        for pocket, other, amount in sides:
            if pocket.owner != account:
                continue
            held[pocket] = held.get(pocket, 0) + amount
            entries.append(
                Entry(
                    step=step,
                    moved=moved,
                    pocket=pocket.kind,
                    amount=amount,
                    after=held[pocket],
                    other=other,
                    number=behind.number(moved.job),
                    operation=behind.operation(moved, account),
                    refused=behind.refusal(moved),
                )
            )
    closing = {pocket.kind: amount for pocket, amount in held.items() if amount}
    name = log.name(account)
    return AccountLedger(name, account, len(log.steps), opening, tuple(entries), closing)


def _moves(log: PublicLog, behind: Behind) -> Iterator[tuple[LogStep, Moved]]:
    """All moves in order; what was accepted before the last one is known."""
    for step in log.steps:
        behind.begin(step.operations, step.events)
        for event in step.events:
            behind.take(event)
            if isinstance(event, Moved):
                yield step, event


# --- telling ---


def as_record(ledger: AccountLedger) -> dict[str, Any]:
    """The ledger for tools: bytes as hex, tree nodes as pairs, amounts in micro-units."""
    return {
        "node": ledger.name,
        "account": ledger.account.hex(),
        "height": ledger.height,
        "opening": {kind.name: amount for kind, amount in ledger.opening.items()},
        "entries": [_entry_record(one) for one in ledger.entries],
        "totals": {
            cause: {"gained": gained, "lost": lost}
            for cause, (gained, lost) in ledger.totals().items()
        },
        "closing": {kind.name: amount for kind, amount in ledger.closing.items()},
    }


def _entry_record(one: Entry) -> dict[str, Any]:
    operation, moved = one.operation, one.moved
    return {
        "tick": one.step.moment.tick,
        "log_block": one.step.block.hex(),
        "cause": moved.cause.name,
        "amount": one.amount,
        "pocket": one.pocket.name,
        "after": one.after,
        "other": plain(one.other),
        "block": one.number,
        "job": plain(moved.job),
        "index": plain(moved.place),
        "operation": None
        if operation is None
        else {
            "kind": type(operation.payload).__name__,
            "hash": operation_hash(operation).hex(),
            "sender": operation.sender.hex(),
            "refused": one.refused,
        },
    }


def show_ledger(run: Path, node: str, *, as_json: bool) -> int:
    """Print the ledger of a run's account. Returns the exit code."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        log = read_public_log(run)
        ledger = ledger_of(log, log.find_account(node))
    except CannotTell as failure:
        errors.print(f"error: {failure}", markup=False)
        return 1
    if as_json:
        print(json.dumps(as_record(ledger), indent=1))
    else:
        _print(ledger, log)
    return 0


def _print(ledger: AccountLedger, log: PublicLog) -> None:
    account = ledger.account.hex()[:SHORT]
    print(f"{ledger.name} (account {account}), over {ledger.height} final log blocks")
    print(f"genesis: {_pockets(ledger.opening)}\n")
    rows = [("tick", "log block", "amount", "then", "in", "cause", "for", "operation")]
    rows += [
        (
            str(one.step.moment.tick),
            one.step.block.hex()[:SHORT],
            f"{one.amount:+,}",
            f"{one.after:,}",
            one.pocket.value,
            _words(one.moved.cause.name),
            _subject(one),
            _operation(one, log),
        )
        for one in ledger.entries
    ]
    for line in aligned(rows, right=(0, 2, 3)) if ledger.entries else ("no gain and no loss",):
        print(line)
    sums = ledger.totals()
    whole = tuple(sum(one[side] for one in sums.values()) for side in (0, 1))
    totals = [("cause", "gained", "lost")]
    totals += [
        (_words(cause), f"{gained:,}", f"{lost:,}")
        for cause, (gained, lost) in (*sums.items(), ("all", whole))
    ]
    print()
    for line in aligned(totals, right=(1, 2)):
        print(line)
    print(f"\nin the end: {_pockets(ledger.closing)}")


def _words(name: str) -> str:
    return name.lower().replace("_", " ")


def _pockets(pockets: dict[PocketKind, int]) -> str:
    return ", ".join(f"{kind.value} {amount:,}" for kind, amount in pockets.items()) or "nothing"


def _subject(one: Entry) -> str:
    if one.number is None:
        return ""
    place = one.moved.place
    return f"block {one.number}" + ("" if place is None else f", tree node {place}")


def _operation(one: Entry, log: PublicLog) -> str:
    operation = one.operation
    if operation is None:
        return ""
    kind, name = type(operation.payload).__name__, log.name(operation.sender)
    refused = "" if one.refused is None else f", refused: {_words(one.refused)}"
    return f"{kind} {operation_hash(operation).hex()[:SHORT]} by {name}{refused}"

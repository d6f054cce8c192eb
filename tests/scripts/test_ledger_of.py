"""The ledger of an account against what a node told, added up by other code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.messages import BlockReveal, Intent, ProofRecord, VoteEvidence, operation_hash
from protocol.params import Genesis, settings_of
from protocol.types import Account, Root
from scripts.explain import publiclog
from scripts.explain.publiclog import CannotTell, PublicLog, read_public_log
from scripts.ledger_of import AccountLedger, Entry, as_record, ledger_of, show_ledger
from scripts.money import add_up
from scripts.records import read_lines
from scripts.rules import machine_of
from tests.scripts.conftest import Played
from tests.scripts.network import ELECTED
from tests.scripts.public import STORIES, public_story


@pytest.fixture(scope="module")
def log(played: Played) -> PublicLog:
    return read_public_log(played.run)


def ledgers(log: PublicLog) -> dict[str, AccountLedger]:
    return {name: ledger_of(log, account) for account, name in log.names.items()}


def everything() -> Iterator[Entry]:
    """All entries of all accounts in all stories."""
    for seed in range(STORIES):
        for ledger in ledgers(public_story(seed)).values():
            yield from ledger.entries


def told(played: Played) -> list[dict[str, Any]]:
    """Each move as the node told it, once."""
    return list(read_lines(played.network.node / "events.jsonl"))


def test_every_move_of_an_account_is_an_entry_and_nothing_else_is(
    played: Played, log: PublicLog
) -> None:
    moves = [one for one in told(played) if one["kind"] == "Moved"]
    for account, name in log.names.items():
        owner, expected = account.hex(), []
        for one in moves:
            row = (one["tick"], one["cause"], one["amount"])
            expected += [(*row, -1)] * (one["source"]["owner"] == owner)
            expected += [(*row, 1)] * (one["target"]["owner"] == owner)
        found = [
            (
                one.step.moment.tick,
                one.moved.cause.name,
                abs(one.amount),
                1 if one.amount > 0 else -1,
            )
            for one in ledger_of(log, account).entries
        ]
        assert found == expected, name
    assert sum(len(one.entries) for one in ledgers(log).values()) > len(log.names)


def test_balances_run_from_the_genesis_to_what_other_code_adds_up(
    played: Played, log: PublicLog
) -> None:
    balances = add_up(log.genesis, told(played))
    for ledger in ledgers(log).values():
        owner = ledger.account.hex()
        ours = {(kind.name, owner): amount for kind, amount in ledger.closing.items()}
        theirs = {one: held for one, held in balances.pockets.items() if one[1] == owner}
        assert ours == theirs
        held = dict(ledger.opening)
        for one in ledger.entries:
            held[one.pocket] = held.get(one.pocket, 0) + one.amount
            assert one.after == held[one.pocket] >= 0
        earned = balances.earned.get(owner, {})
        assert {cause: gained for cause, (gained, _) in ledger.totals().items() if gained} == earned


def test_behind_every_entry_is_the_operation_that_brought_it_about(log: PublicLog) -> None:
    kinds = set()
    played = (one for ledger in ledgers(log).values() for one in ledger.entries)
    for one in (*everything(), *played):
        cause, operation, is_own = one.moved.cause.name, one.operation, one.amount < 0
        if cause == "REVEAL_MISSING":  # it is for an operation that did not come
            assert operation is None
            continue
        assert operation is not None, one
        kinds.add((cause, type(operation.payload)))
        if one.moved.operation is not None:
            assert operation_hash(operation) == one.moved.operation
        if cause == "OPERATION_FEE":
            owner = one.moved.source.owner if is_own else one.other.owner
            assert operation.sender == owner
        elif isinstance(operation.payload, ProofRecord):
            payload = operation.payload
            assert operation.sender == one.moved.target.owner
            assert (payload.job, payload.index) == (one.moved.job, one.moved.place)
    assert kinds >= {
        ("OPERATION_FEE", Intent),
        ("SEQUENCER_SHARE", BlockReveal),
        ("PROVER_PAY", ProofRecord),
        ("TAKEOVER_PAY", ProofRecord),
        ("OPEN_PAY", ProofRecord),
        ("EQUIVOCATION", VoteEvidence),
    }


def test_a_fee_of_a_refused_operation_says_why() -> None:
    reasons = {one.refused for one in everything() if one.moved.cause.name == "OPERATION_FEE"}
    assert reasons >= {None, "ALREADY_RECORDED", "UNKNOWN_JOB"}
    assert "DUPLICATE" not in reasons, "a duplicate costs nothing"


# --- what a person sees ---


def test_text_and_record_say_the_same(
    played: Played, log: PublicLog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_ledger(played.run, "prover-2", as_json=True) == 0
    record = json.loads(capsys.readouterr().out)
    ledger = ledger_of(log, log.find_account("prover-2"))
    assert record == as_record(ledger)
    assert show_ledger(played.run, ledger.account.hex()[:6], as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    first = lines.index("") + 2
    rows = lines[first : first + len(ledger.entries)]
    for line, entry in zip(rows, record["entries"], strict=True):
        words = line.split()
        assert words[:4] == [
            str(entry["tick"]),
            entry["log_block"][:8],
            f"{entry['amount']:+,}",
            f"{entry['after']:,}",
        ]
        assert entry["operation"]["hash"][:8] in words


def test_what_is_not_there_is_refused_with_what_is(
    played: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_ledger(played.run, "prover-9", as_json=False) == 1
    error = capsys.readouterr().err
    assert "'prover-9' is no account" in error
    assert "hint: accounts: validator-1, " in error
    assert show_ledger(tmp_path / "nowhere", "prover-1", as_json=False) == 1
    assert "is not a run folder" in capsys.readouterr().err
    run = played.copy(tmp_path / "run")
    (run / "log").unlink()
    assert show_ledger(run, "prover-1", as_json=False) == 1
    assert "has no certified log" in capsys.readouterr().err
    assert show_ledger(tmp_path / "nowhere", "prover-1", as_json=False) == 1
    assert f"run folders in {tmp_path}: {run}" in capsys.readouterr().err


def test_a_broken_log_is_refused(played: Played, tmp_path: Path) -> None:
    run = played.copy(tmp_path / "run")
    path = run / "log"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CannotTell, match="cannot be replayed: log: "):
        read_public_log(run)


def test_a_log_of_other_rules_than_ours_is_not_told(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The genesis is the same, the code differs: the signed digests do not follow."""

    def other(genesis: Genesis, root: Root, folder: Path) -> Any:
        generous = replace(ELECTED, takeover_bps=9_999)
        choice = replace(genesis.proving, settings=settings_of(generous))
        machine = machine_of(replace(genesis, proving=choice), root, folder)
        true = machine_of(genesis, root, folder)
        machine.genesis, machine.network, machine.digest = genesis, true.network, true.digest
        return machine

    monkeypatch.setattr(publiclog, "machine_of", other)
    with pytest.raises(CannotTell, match="made by another version of provnet"):
        read_public_log(played.run)


def test_an_unknown_account_is_called_by_its_digits(log: PublicLog) -> None:
    assert log.name(Account(b"\xab" * 32)) == "ab" * 4

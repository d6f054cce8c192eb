"""The second addition: what it finds in records that are wrong, and what it leaves out."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import scripts.money
from scripts.money import Balances, add_up
from scripts.records import read_lines
from tests.scripts.conftest import Played

Lines = list[dict[str, Any]]


@pytest.fixture
def lines(played: Played) -> Lines:
    return [json.loads(json.dumps(line)) for line in played.network.lines]


def added(played: Played, lines: Lines) -> Balances:
    return add_up(played.network.genesis, lines)


def first(lines: Lines, **fields: Any) -> dict[str, Any]:
    return next(one for one in lines if all(one.get(key) == fields[key] for key in fields))


def report_of(played: Played) -> list[dict[str, Any]]:
    return [
        {"kind": pocket.kind.name, "owner": pocket.owner.hex(), "amount": amount}
        for pocket, amount in played.network.machine.ledger.pockets().items()
    ]


def test_a_right_story(played: Played) -> None:
    lines = list(read_lines(played.network.node / "events.jsonl"))
    balances = added(played, lines)
    assert balances.faults() == ()
    assert balances.compare(report_of(played)) == ()
    assert balances.height == played.network.machine.tick
    for one in balances.income().values():
        assert one["total"] == sum(one["by_cause"].values()) > 0


def test_what_is_told_twice_counts_once(played: Played, lines: Lines) -> None:
    """A node was killed in the middle of a tick, started again, and told all from the start."""
    middle = lines.index(first(lines, kind="JobSettled"))
    again = added(played, [*lines[:middle], *lines])
    assert again.faults() == ()
    assert again.pockets == added(played, lines).pockets


def test_an_unfinished_tick_does_not_count(played: Played, lines: Lines) -> None:
    middle = lines.index(first(lines, kind="JobSettled"))
    balances = added(played, lines[:middle])
    assert balances.height == lines[middle]["tick"] - 1
    assert not any("SEQUENCER_SHARE" in one for one in balances.earned.values())


def test_differences_to_a_report(played: Played, lines: Lines) -> None:
    report = report_of(played)
    report[0]["amount"] += 1
    lost = report.pop()
    sentences = added(played, lines).compare(report)
    assert len(sentences) == 2
    assert any("by its moves" in one and str(lost["amount"]) in one for one in sentences)


def node_pay(lines: Lines) -> dict[str, Any]:
    return first(lines, kind="Moved", cause="PROVER_PAY")


def more(lines: Lines) -> None:
    node_pay(lines)["amount"] += 1


def less(lines: Lines) -> None:
    node_pay(lines)["amount"] -= 1


def twice(lines: Lines) -> None:
    lines.insert(lines.index(node_pay(lines)), node_pay(lines))


def to_somebody_else(lines: Lines) -> None:
    node_pay(lines)["target"]["owner"] = "00" * 32


def nowhere(lines: Lines) -> None:
    node_pay(lines)["place"] = None


def negative(lines: Lines) -> None:
    node_pay(lines)["amount"] *= -1


def too_much_of_a_balance(lines: Lines) -> None:
    first(lines, kind="Moved", cause="OPERATION_FEE")["amount"] = 10**9


def out_of_the_burn(lines: Lines) -> None:
    node_pay(lines)["source"] = {"kind": "BURNED", "owner": ""}


def before_the_proof(lines: Lines) -> None:
    lines.remove(first(lines, kind="JobProven"))


def of_no_job(lines: Lines) -> None:
    node_pay(lines)["source"]["owner"] = "11" * 32


def with_a_gap(lines: Lines) -> None:
    lines.remove(first(lines, kind="Final"))


WRONG: list[tuple[Callable[[Lines], None], str]] = [
    (more, "paid more than its proven"),
    (less, "stayed in the escrow"),
    (twice, "twice"),
    (to_somebody_else, "who has no record of it"),
    (nowhere, "paid tree node nowhere"),
    (negative, "a move of -"),
    (too_much_of_a_balance, "is negative"),
    (out_of_the_burn, "money left the burn"),
    (before_the_proof, "before it was proven"),
    (of_no_job, "without having been opened"),
    (with_a_gap, "follows on tick 0"),
]


@pytest.mark.parametrize(("spoil", "sentence"), WRONG, ids=[row[0].__name__ for row in WRONG])
def test_a_wrong_story(
    played: Played, lines: Lines, spoil: Callable[[Lines], None], sentence: str
) -> None:
    spoil(lines)
    assert any(sentence in fault for fault in added(played, lines).faults())


def test_the_supply_is_watched(played: Played) -> None:
    balances = added(played, [])
    balances.supply += 1
    balances.take(1, ())
    assert any("the genesis had" in fault for fault in balances.faults())


def test_it_runs_no_code_of_ours() -> None:
    tree = ast.parse(Path(scripts.money.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = {one.module for one in imports if one.module and one.module.split(".")[0] == "protocol"}
    assert ours == {"protocol.params"}
    guard = next(node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(guard.test) == "TYPE_CHECKING"
    assert all(isinstance(one, ast.ImportFrom) for one in guard.body)
    assert not any(
        "protocol" in ast.unparse(node)
        for node in tree.body
        if node is not guard and isinstance(node, ast.ImportFrom)
    )

"""Every planted bug is found, by whom it concerns, and none is planted into nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from protocol.ordering.chain import Link
from protocol.proving.elected import Elected
from protocol.types import Beacon, BlockHash, Count, Slot, Tick
from scripts.simulation.checkers import ALL
from scripts.simulation.checkers.checker import Violation
from scripts.simulation.mutants import hunt as hunting
from scripts.simulation.mutants.command import told
from scripts.simulation.mutants.hunt import Find, hunt, named
from scripts.simulation.mutants.mutant import SMALL, LostMutant, Mutant
from scripts.simulation.mutants.planted import CANARY, MUTANTS
from scripts.simulation.run import simulate

FOUND_BY = {
    "canary": "conserved money",
    "pay twice": "one payment",
    "skip a signature": "signed",
    "skip a proof": "verified work",
    "a good proof is punished": "nobody else harmed",
    "off-by-one window": "takeover",
    "minimal time one tick short": "minimal time",
    "wrong sibling": "takeover",
    "takeover before close": "takeover",
    "deal without the seed": "rights",
    "seed from content": "fair seed",
    "no dedupe": "refusals",
    "stale epoch": "second reading",
    "lost escrow": "conserved money",
    "more than the escrow": "within escrow",
    "uncle paid twice": "uncles",
    "vote before persist": "one vote",
    "half is a quorum": "signed",
    "a log for each side": "one log",
    "heirs do nothing": "liveness",
    "a state of its own": "equal digests",
    "a table that is too large": "bounded memory",
}
SEEDS = {"canary": 2}
"""Seeds at which a bug shows, where the first one is another."""

BEACON = Beacon(bytes(32))

NOTHING = Mutant("nothing", "protocol.machine:Machine.apply", "assert not self._events", "pass")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_a_planted_bug_is_found_by_whom_it_concerns(mutant: Mutant) -> None:
    order = replace(mutant.order, seed=SEEDS.get(mutant.name, mutant.order.seed))
    with mutant.planted():
        outcome = simulate(order)
    assert FOUND_BY[mutant.name] in {one.checker for one in outcome.violations}


def test_every_checker_finds_a_bug() -> None:
    assert {one.name for one in ALL} == set(FOUND_BY.values())


def test_the_canary_is_not_found_at_the_first_seed() -> None:
    with CANARY.planted():
        assert simulate(CANARY.order).violations == ()


def test_a_bug_is_gone_afterwards() -> None:
    before = Elected.settle.__code__
    with pytest.raises(KeyError), named("pay twice").planted():
        assert Elected.settle.__code__ is not before
        raise KeyError
    assert Elected.settle.__code__ is before
    assert simulate(SMALL).violations == ()


def test_a_search_says_what_it_tried_and_looks_without_the_bug() -> None:
    find = hunt("seed from content")
    assert (find.seeds, find.checkers, find.alarms) == (1, ("fair seed",), ())
    assert find.is_good
    assert "found " in told(find)


def test_what_changes_nothing_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hunting, "MUTANTS", (NOTHING,))
    find = hunt("nothing", budget_s=0.0)
    assert (find.seeds, find.found) == (1, ())
    assert not find.is_good
    assert told(find).startswith("SURVIVED")


def test_what_is_found_without_the_bug_does_not_count() -> None:
    found = (Violation("a checker", 1, "", "something"),)
    find = Find("a bug", 1, 1.0, found, found)
    assert not find.is_good
    assert "AND WITHOUT IT" in told(find)


@pytest.mark.parametrize(
    ("place", "old", "why"),
    [
        ("protocol.machine:Machine.gone", "x", "there is no"),
        ("protocol.machine:EVIDENCE", "x", "is no function"),
        ("protocol.machine:Machine.apply", "no such text", "stands 0 times"),
        ("protocol.machine:Machine.apply", "self", "times in"),
    ],
)
def test_a_bug_without_a_place_is_not_planted(place: str, old: str, why: str) -> None:
    lost = Mutant("lost", place, old, "")
    with pytest.raises(LostMutant, match=why), lost.planted():
        pytest.fail("it was planted")


def test_a_property_can_have_a_bug() -> None:
    link = Link(BlockHash(bytes(32)), Tick(5), Slot(9), Count(3), Tick(3), BEACON, (BEACON, BEACON))
    mutant = Mutant("x", "protocol.ordering.chain:Link.settles", "self.height - 1", "self.height")
    with mutant.planted():
        assert link.settles == 5
    assert link.settles == 4


def test_the_command_counts_what_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command itself starts processes, which know nothing of what a test changes: it is run
    over all bugs by ``provnet simulate --mutants``.
    """
    from scripts.simulation.mutants import command

    monkeypatch.setattr(command, "MUTANTS", (CANARY,))
    console = Console(record=True, width=200)
    assert command.run(1, console) == 0
    assert "found       1 of 1" in console.export_text()

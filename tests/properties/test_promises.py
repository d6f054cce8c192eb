"""What rules promise of their assignments: kept by ours, and each broken promise is seen."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import comb

import pytest

from protocol import tree
from protocol.events import Assigned, RightOpened
from protocol.proving.bonded import Bonded
from protocol.proving.elected import Elected
from protocol.registry import PROVING
from protocol.rules import Promise, disclaimed
from protocol.testing import Scenario, grounds_of, verdicts
from protocol.testing.deals import Table
from protocol.testing.promises import FALSE_ALARMS, is_beyond_chance, is_gain
from protocol.testing.scenario import BONDED, SHARED_ELECTED
from protocol.types import Tick
from tests.properties.toys import TOYS

BLOCKS = 120


class Equal(Elected):
    """Stake buys one card, however much it is."""

    def pool(self, frame):
        return tuple(replace(member, cards=1) for member in super().pool(frame))


class Rotated(Elected):
    """Whoever waited longest gets everything: the assignment hangs on what nobody can see."""

    turn = 0

    def open_job(self, frame, job, pool):
        self.turn = (self.turn + 1) % len(pool)
        super().open_job(frame, job, pool[self.turn : self.turn + 1])


class Elsewhere(Elected):
    """The root goes to whoever has the first leaf but one."""

    def open_job(self, frame, job, pool):
        told = []
        super().open_job(replace(frame, emit=told.append), job, pool)
        root = tree.root(job.header.leaf_count)
        owners = {one.index: one.prover for one in told if isinstance(one, Assigned)}
        foreign = [who.prover for who in pool if who.prover != owners[root]]
        for event in told:
            is_root = isinstance(event, Assigned) and event.index == root
            frame.emit(replace(event, prover=foreign[-1]) if is_root else event)


class Broken(Elected):
    def open_job(self, frame, job, pool):
        raise LookupError("no such card")


def outcome(rule, blocks=BLOCKS, **given):
    like = replace(Scenario(), proving=rule, **given)
    return {one.promise: one for one in verdicts(like, seed=5, blocks=blocks)}


@pytest.mark.parametrize("name", PROVING)
def test_every_rule_of_the_project_keeps_what_it_promises(name):
    likes = [kind.like() for kind in grounds_of("proving", PROVING[name]).values()]
    for like in dict.fromkeys(likes):
        for one in verdicts(like, seed=1, blocks=BLOCKS):
            assert one.is_kept is not False, one
            assert (one.is_kept is None) == one.words.startswith("not promised: ")


def test_elected_provers_promise_everything_and_several_of_a_tree_node_less():
    assert disclaimed(Elected(Scenario().proving_parameters)) == {}
    assert set(disclaimed(Elected(SHARED_ELECTED))) == {Promise.SHARES, Promise.SPLITTING}
    assert set(disclaimed(Bonded(BONDED.proving_parameters))) == set(Promise)
    assert {one.is_kept for one in outcome(Elected).values()} == {True}


def test_shares_by_head_are_no_shares_by_stake_and_splitting_pays():
    found = outcome(Equal, blocks=1_000)
    assert [one for one, verdict in found.items() if verdict.is_kept is False] == [
        Promise.SHARES,
        Promise.SPLITTING,
    ]
    assert "p0 has 50.0 % of the stake and got 2" in found[Promise.SHARES].words


def test_a_merge_of_somebody_else_is_seen():
    found = outcome(Elsewhere, blocks=20)
    assert found[Promise.MERGES].is_kept is False
    assert "is not of a prover of one of its children" in found[Promise.MERGES].words


def test_an_assignment_that_hangs_on_what_went_before_is_seen():
    assert outcome(Rotated, blocks=20)[Promise.PUBLIC].is_kept is False
    assert outcome(Rotated, blocks=20)[Promise.MERGES].is_kept is True


def test_a_rule_that_fails_keeps_no_promise_and_says_why():
    found = outcome(Broken, blocks=2)
    assert {one.is_kept for one in found.values()} == {False}
    assert found[Promise.SHARES].words == "LookupError: no such card"


def test_a_rule_that_assigns_nothing_has_shown_nothing():
    for one in verdicts(TOYS, seed=0, blocks=3):
        assert one.is_kept is None
        assert one.words == "nothing seen: no tree node was assigned to anybody"


def test_equal_seeds_deal_alike():
    deals = [[Table(Scenario(), (1, 2), seed).deal() for _ in range(2)] for seed in (1, 1, 2)]
    assert deals[0] == deals[1] != deals[2]


def test_a_table_stands_for_longer_than_an_intent_and_hands_its_size_on():
    table = Table(Scenario(), (1, 1), 0, leaves=2)
    deals = [table.deal() for _ in range(520)]
    assert not any(deal.is_empty for deal in deals)
    other = Table(Scenario(), (1, 1), 0).dealer
    other.restore(table.dealer.snapshot())
    assert other.leaf_count == 2
    assert table.dealer.earliest(b"", None, ()) == Tick(0)
    assert table.dealer.duties(b"", b"", Tick(0)) == table.dealer.awaited() == ()
    assert table.dealer.needs_ticks()
    assert not table.dealer.may_seal(b"", None)
    assert table.dealer.share(None, 7) == 7
    assert table.dealer.on_operation(None, b"", None, b"") is None
    assert table.dealer.settle(None, None, 0) is None
    assert table.dealer.next_settled({}) is None
    assert list(table.machine.invariants()) == []


@pytest.mark.parametrize(("drawn", "part", "whole"), [(40, 1, 2), (60, 1, 4), (50, 3, 8)])
def test_the_binomial_test_accuses_as_often_as_it_says(drawn, part, whole):
    """The chance of all counts that are accused, by fractions."""
    chance, tests = Fraction(part, whole), 4
    accused = [k for k in range(drawn + 1) if is_beyond_chance(k, drawn, part, whole, tests)]
    assert accused
    false = sum(comb(drawn, k) * chance**k * (1 - chance) ** (drawn - k) for k in accused)
    assert false <= Fraction(1, tests * FALSE_ALARMS)
    inside = [k for k in range(drawn + 1) if k not in accused]
    assert inside == list(range(inside[0], inside[-1] + 1))


def test_the_test_of_a_gain_accuses_as_often_as_it_says():
    draws, hits = 60, 50
    accused = [k for k in range(hits + 1) if is_gain(hits - k, draws, k, draws)]
    ways = sum(comb(draws, k) * comb(draws, hits - k) for k in accused)
    assert accused == list(range(accused[0], hits + 1))
    assert 0 < Fraction(ways, comb(2 * draws, hits)) <= Fraction(1, FALSE_ALARMS)


def test_a_toy_may_open_rights_without_owners():
    table = Table(TOYS, (1,), 0)
    applied = table.machine.apply(table._block(()))
    assert any(isinstance(one, RightOpened) and one.holder is None for one in applied.events)

"""Whom a wear kills and when: whatever was asked for, the log keeps its quorum and somebody
proves.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings, strategies as st

from scripts.launcher.attrition import RETURN_S, Kill, Wear, may_die, members_of, schedule
from scripts.launcher.faults import BadFault
from scripts.launcher.mischief import Mischief, make_mischief
from scripts.launcher.plan import Plan, Wish, make_plan

BOTH = (Wear("prover", 60), Wear("validator", 120))
"""As the longest of our runs has it."""


@cache
def plan(validators: int = 4, provers: int = 4, seed: str = "provnet") -> Plan:
    return make_plan(Wish(validators=validators, provers=provers, seed=seed))


def away(kills: tuple[Kill, ...], at_s: float) -> set[str]:
    """Who is dead or still on its way back at a moment, by the plan alone."""
    return {one.victim for one in kills if one.at_s <= at_s < one.restart_at_s + RETURN_S}


@settings(deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 5)),
    wears=st.lists(
        st.builds(Wear, st.sampled_from(["prover", "validator"]), st.integers(1, 90)),
        min_size=1,
        max_size=4,
    ),
    lasts_s=st.integers(10, 900),
    restart_s=st.integers(0, 200),
    seed=st.sampled_from(["provnet", "another", "third"]),
)
def test_the_log_keeps_its_quorum_and_somebody_proves(
    size: tuple[int, int], wears: list[Wear], lasts_s: int, restart_s: int, seed: str
) -> None:
    validators, provers = size
    try:
        kills = schedule(plan(*size, seed), wears, lasts_s, restart_s)
    except BadFault:
        assume(False)
    assert kills
    for one in kills:
        assert 0 < one.at_s < lasts_s
        assert one.restart_at_s == one.at_s + restart_s
        assert any(one.at_s % wear.every_s == 0 for wear in wears)
        gone = away(kills, one.at_s)
        standing = validators - sum(name.startswith("validator") for name in gone)
        assert 3 * standing > 2 * validators
        assert sum(name.startswith("prover") for name in gone) < provers
    for name in {one.victim for one in kills}:
        own = [one for one in kills if one.victim == name]
        assert all(one.restart_at_s + RETURN_S <= other.at_s for one, other in pairwise(own)), (
            "nobody is killed who is not back"
        )


def test_ten_minutes_kill_as_often_as_they_say() -> None:
    kills = schedule(plan(), BOTH, 600)
    moments = {
        role: [one.at_s for one in kills if one.victim.startswith(role)]
        for role in ("prover", "validator")
    }
    assert moments["prover"] == [60 * number for number in range(1, 10)]
    assert moments["validator"] == [120, 240, 360, 480]
    assert [one.at_s for one in kills] == sorted(one.at_s for one in kills)
    assert len({one.victim for one in kills}) > 4, "the lot falls on many"


def test_the_schedule_follows_from_the_seed() -> None:
    assert schedule(plan(), BOTH, 600) == schedule(plan(), BOTH, 600)
    others = {schedule(plan(seed=f"{number}"), BOTH, 600) for number in range(5)}
    assert len(others) == 5


def test_where_nobody_can_be_missed_the_moment_passes() -> None:
    kills = schedule(plan(), [Wear("validator", 20)], 100, 10)
    assert [one.at_s for one in kills] == [20, 60]


def test_cheats_are_not_counted_on() -> None:
    cheats = Mischief((("silent", "prover-1"), ("equivocate", "validator-1")))
    dishonest = make_mischief(plan(7, 2), cheats)
    assert not may_die(dishonest, "prover-2", ())
    assert may_die(dishonest, "prover-1", ())
    assert may_die(plan(7), "validator-2", {"validator-3"})
    assert not may_die(dishonest, "validator-2", {"validator-3"})
    assert may_die(dishonest, "validator-2", ())


def test_who_does_both_is_of_both_roles() -> None:
    backup = make_plan(Wish(backup=("validator-1",)))
    assert members_of(backup, "prover") == ["validator-1", *(f"prover-{at}" for at in range(1, 5))]
    assert members_of(backup, "validator") == [f"validator-{at}" for at in range(1, 5)]


@pytest.mark.parametrize("text", ["prover", "prover:", "prover:0", "prover:x", "nobody:5", ":5"])
def test_a_malformed_wear_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadFault, match="--attrition") as caught:
        Wear.parse(text)
    assert "--minutes" in caught.value.hint
    assert Wear.parse("validator:120") == Wear("validator", 120)


@pytest.mark.parametrize(
    ("wear", "size", "words", "hint"),
    [
        (Wear("validator", 20), (3, 4), "two thirds", "--validators"),
        (Wear("prover", 20), (4, 1), "left to prove", "--provers"),
        (Wear("prover", 60), (4, 4), "over before the first kill", "--minutes"),
    ],
)
def test_a_wear_that_never_kills_is_refused(
    wear: Wear, size: tuple[int, int], words: str, hint: str
) -> None:
    with pytest.raises(BadFault, match=words) as caught:
        schedule(plan(*size), [wear], 60)
    assert hint in caught.value.hint


def test_a_wear_that_always_comes_second_is_refused() -> None:
    wears = [Wear("validator", 20), Wear("validator", 20)]
    with pytest.raises(BadFault, match="somebody else is away"):
        schedule(plan(), wears, 60)

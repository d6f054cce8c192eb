"""Whom a fault kills, when, and which faults are refused."""

from __future__ import annotations

import pytest

from scripts.launcher.faults import BadFault, Fault, Striker, check_faults
from scripts.launcher.plan import Plan, Wish, is_possible, make_plan

JOB = "ab" * 32


def plan(**wish: object) -> Plan:
    return make_plan(Wish(**wish))


def assigned(plan: Plan, prover: str, level: int, position: int) -> dict[str, object]:
    account = next(one.identity.account.hex() for one in plan.members if one.name == prover)
    return {"kind": "Assigned", "job": JOB, "index": [level, position], "prover": account}


def started(level: int, position: int) -> dict[str, object]:
    return {"kind": "ProofStarted", "key": {"job": JOB, "index": [level, position]}}


def striker_of(plan: Plan, *texts: str) -> Striker:
    striker = Striker(tuple(Fault.parse(text, plan) for text in texts), plan)
    for position, prover in enumerate(["prover-2", "prover-1", "prover-4", "prover-3"]):
        striker.victims("validator-1", assigned(plan, prover, 0, position))
    return striker


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("prover-1", "after @"),
        ("prover-1@never", "after @"),
        ("nobody@leaf", "before @"),
        ("validator-1@leaf", "proves nothing"),
    ],
)
def test_a_malformed_fault_is_refused_with_what_is_wrong(text: str, word: str) -> None:
    with pytest.raises(BadFault, match=word):
        Fault.parse(text, plan())


def test_a_fault_that_breaks_the_quorum_is_refused() -> None:
    small = plan(validators=3)
    with pytest.raises(BadFault, match="two thirds"):
        check_faults((Fault("validator-1", "elected"),), small)
    check_faults((Fault("validator-1", "elected"),), plan(validators=4))


def test_the_only_prover_is_not_killed() -> None:
    with pytest.raises(BadFault, match="only prover"):
        check_faults((Fault("any", "leaf"),), plan(provers=1))


def test_any_is_whoever_does_it_first_and_only_once() -> None:
    striker = striker_of(plan(), "any@leaf")
    assert striker.victims("prover-3", started(1, 0)) == ()
    assert striker.victims("prover-3", started(0, 3)) == ("prover-3",)
    assert striker.victims("prover-1", started(0, 1)) == ()


@pytest.mark.parametrize(
    ("event", "level", "other"), [("leaf", 0, 1), ("merge", 1, 2), ("root", 2, 1)]
)
def test_a_fault_strikes_at_its_level_only(event: str, level: int, other: int) -> None:
    striker = striker_of(plan(), f"prover-1@{event}")
    assert striker.victims("prover-1", started(other, 0)) == ()
    assert striker.victims("prover-2", started(level, 0)) == ()
    assert striker.victims("prover-1", started(level, 0)) == ("prover-1",)


def test_a_pair_is_both_provers_of_the_actors_pair_of_leaves() -> None:
    striker = striker_of(plan(), "pair@leaf")
    assert striker.victims("prover-3", started(0, 3)) == ("prover-4", "prover-3")


def test_all_but_one_spares_one_that_is_not_the_actor() -> None:
    striker = striker_of(plan(), "all-but-one@merge")
    victims = striker.victims("prover-2", started(1, 0))
    assert "prover-2" in victims
    assert len(set(victims)) == 3


def test_elected_strikes_when_the_tree_node_is_assigned() -> None:
    network = plan()
    striker = Striker((Fault.parse("prover-2@elected", network),), network)
    assert striker.victims("validator-1", assigned(network, "prover-1", 0, 0)) == ()
    assert striker.victims("validator-1", assigned(network, "prover-2", 0, 1)) == ("prover-2",)


def test_the_number_of_provers_never_changes_the_log() -> None:
    stakes = [
        [(one.name, one.log_stake) for one in plan(provers=count).members if one.log_stake]
        for count in (1, 4, 9)
    ]
    assert stakes[0] == stakes[1] == stakes[2]
    assert len(stakes[0]) == 4


@pytest.mark.parametrize(
    "wish",
    [
        Wish(validators=0),
        Wish(provers=0),
        Wish(blocks=0),
        Wish(leaves=3),
        Wish(leaves=128),
        Wish(slot_ms=10),
        Wish(minutes=-1),
        Wish(backend="magic"),
    ],
)
def test_an_impossible_wish_is_refused_with_a_sentence(wish: Wish) -> None:
    assert is_possible(wish) is not None
    assert is_possible(Wish()) is None


def test_slots_are_short_where_proofs_take_no_processor() -> None:
    def slot_ms(**wish: object) -> int:
        return plan(**wish).genesis.network.slot_ms

    assert slot_ms() == 1_600
    assert slot_ms(backend="modelled") == 400
    assert slot_ms(backend="modelled", validators=1, provers=1) == 300
    assert slot_ms(backend="modelled", slot_ms=700) == 700


def test_more_leaves_get_longer_windows() -> None:
    def window(leaves: int) -> int:
        settings = plan(leaves=leaves).genesis.proving.settings
        return next(int(one.value) for one in settings if one.name == "leaf_window_ticks")

    assert window(16) > window(8) > window(4)


def test_a_stranger_that_is_elected_is_nobody_to_kill() -> None:
    striker = striker_of(plan(), "any@elected", "pair@leaf")
    stranger = {"kind": "Assigned", "job": JOB, "index": [0, 0], "prover": "cd" * 32}
    other = {**stranger, "job": "ef" * 32}
    assert striker.victims("validator-1", other) == ()
    assert striker.victims("validator-1", stranger) == ()
    assert striker.victims("prover-1", started(0, 1)) == ()
    assert striker.victims("prover-4", started(0, 2)) == ("prover-4", "prover-3")

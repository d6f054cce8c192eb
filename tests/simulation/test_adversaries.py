"""Every adversary in a small network: it acts, the promise holds, and a protocol that does not keep
it is found out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from p2p.archive import Archive
from protocol.ledger import Cause, Ledger, Moved
from protocol.machine import EVIDENCE
from protocol.proving import pay
from protocol.replica import Replica
from protocol.types import Amount
from scripts.configuration import ConfigurationError
from scripts.simulation.adversaries import ALL
from scripts.simulation.adversaries.adversary import Deed
from scripts.simulation.adversaries.casting import Hostility
from scripts.simulation.adversaries.promise import promised
from scripts.simulation.adversaries.telling import told
from scripts.simulation.checkers import ALL as CHECKERS
from scripts.simulation.draw import stream
from scripts.simulation.faults import FaultPlan, Hostile, read_plan, write_plan
from scripts.simulation.network import Size, planned
from scripts.simulation.run import Order, Outcome, simulate

SMALL = Size(nodes=7, validators=4, leaves=2)
UNCLES_COUNT = Size(
    nodes=7,
    validators=4,
    leaves=4,
    sets=(
        "proving.uncle_bps=5000",
        "proving.uncle_reserve_bps=2000",
        "proving.uncle_ticks=8",
        "proving.leaf_window_ticks=6",
        "proving.merge_window_ticks=6",
    ),
)


def against(*asked: str, seed: int = 1, blocks: int = 1, size: Size = SMALL) -> Outcome:
    return simulate(Order(seed, size, blocks, hostility=Hostility(asked)))


def only(outcome: Outcome) -> Deed:
    (deed,) = outcome.adversaries
    return deed


def first(
    asked: str, is_wanted: Callable[[Deed], bool], blocks: int = 1, size: Size = SMALL
) -> Outcome:
    """The first run of a few seeds in which lots gave an adversary its occasion; whatever they
    gave it, nothing is found.
    """
    for seed in range(1, 9):
        outcome = against(asked, seed=seed, blocks=blocks, size=size)
        assert outcome.violations == ()
        if is_wanted(only(outcome)):
            return outcome
    pytest.fail(f"{asked} had no occasion, or was not met")


# --- each of them ---

STORIES = {
    "equivocating-proposer": ("signs a second proposal", {"EQUIVOCATION_PUNISHED"}),
    "double-voter": ("signs a second vote", {"EQUIVOCATION_PUNISHED"}),
    "withholding-proposer": ("hides a proposal", set()),
    "censoring-validator": ("ignores a proposal", set()),
    "twins": ("signs something else than its twin", {"EQUIVOCATION_PUNISHED"}),
    "silent-prover": ("does not prove", {"RIGHT_MISSED"}),
    "late-prover": ("holds a proof back", {"RIGHT_MISSED"}),
    "prover-of-garbage": (
        "announces a forgery: bytes",
        {"INVALID_PROOF", "INVALID_PROOF_PUNISHED"},
    ),
    "neglecting-sibling": ("ignores its sibling", {"RIGHT_MISSED"}),
    "record-hoarder": ("keeps a record back", set()),
    "sybil-operator:2": ("waits for its one machine", set()),
    "starving-server": ("withholds", set()),
    "colluding-pair": (
        "vouches for a proof that it never saw",
        {"INVALID_PROOF", "INVALID_PROOF_PUNISHED"},
    ),
    "eclipse": ("is joined again", set()),
    "never-forwards": ("forwards nothing", set()),
    "replayer": ("says again", set()),
    "flooder": ("sends a wave", {"TOO_MANY_PENDING"}),
}

SLASHED = ("EQUIVOCATION_PUNISHED", "INVALID_PROOF_PUNISHED")


def test_every_adversary_has_a_story() -> None:
    assert {asked.partition(":")[0] for asked in STORIES} == set(ALL)
    for one in ALL.values():
        assert one.does
        assert one.promise
        assert one.nodes >= len(one.roles)


@pytest.mark.parametrize("asked", STORIES)
def test_it_acts_and_the_promise_holds(asked: str) -> None:
    what, reasons = STORIES[asked]

    def has_occasion(deed: Deed) -> bool:
        met = {reason for reason, _ in deed.met}
        return what in dict(deed.did) and reasons <= met

    outcome = first(asked, has_occasion, blocks=2 if asked == "neglecting-sibling" else 1)
    deed = only(outcome)
    assert (deed.slashed > 0) is bool(reasons.intersection(SLASHED))
    assert outcome.settled >= 1
    assert outcome.promise.waived == ()
    lines = list(told(outcome.adversaries, outcome.promise, outcome.violations))
    assert lines[0].startswith(f"adversary   {deed.hostile.adversary} ({deed.hostile.nodes[0]}")
    assert lines[-1] == "harmed      nobody else"


def test_who_never_proves_is_never_paid() -> None:
    deed = only(against("silent-prover"))
    assert (deed.earned, deed.recorded) == (0, 0)


def test_an_uncle_is_paid_as_an_uncle() -> None:
    outcome = first("late-prover", lambda deed: deed.earned > 0, 2, UNCLES_COUNT)
    assert {cause for cause, _ in only(outcome).paid} == {Cause.UNCLE_PAY.name}


# --- weaknesses that were planted ---


def nobody_reports(patch: pytest.MonkeyPatch) -> None:
    submit = Replica._submit

    def quiet(self: Replica, payload: Any, now_ms: Any) -> Iterator[Any]:
        if not isinstance(payload, EVIDENCE):
            yield from submit(self, payload, now_ms)

    patch.setattr(Replica, "_submit", quiet)


def nobody_verifies(patch: pytest.MonkeyPatch) -> None:
    async def fine(self: Archive, prover: Any, record: Any, job: Any) -> None:
        await self.fetch(record.proof, self._backend.proof_bytes, (prover,))

    patch.setattr(Archive, "_check_proof", fine)


def only_signers_are_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Archive, "_ask_order", lambda self, holders: iter(holders))


def nobody_else_proposes(patch: pytest.MonkeyPatch) -> None:
    members = planned(SMALL, 1).members
    (censor,) = Hostility(("censoring-validator",)).cast(stream(1, "adversaries"), members)
    (account,) = [one.identity.account for one in members if one.name in censor.nodes]
    propose = Replica._propose

    def leave_it(self: Replica, slot: Any, now_ms: Any) -> Iterator[Any]:
        if self.identity is not None and self.identity.account == account:
            yield from propose(self, slot, now_ms)

    patch.setattr(Replica, "_propose", leave_it)


def failures_are_forgiven(patch: pytest.MonkeyPatch) -> None:
    earned = pay.earned

    def forgiving(parameters: Any, progress: Any, place: Any, prover: Any, worth: Any) -> Any:
        amount, cause = earned(parameters, progress, place, prover, worth)
        return (worth, cause) if cause is Cause.PROVER_PAY else (amount, cause)

    patch.setattr(pay, "earned", forgiving)


def there_is_room_for_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("protocol.replica.PENDING_PER_SENDER_MAX", 1 << 20)


PLANTED = [
    (nobody_reports, "equivocating-proposer", "kept promises"),
    (nobody_reports, "double-voter", "kept promises"),
    (nobody_verifies, "prover-of-garbage", "nobody else harmed"),
    (only_signers_are_asked, "starving-server", "nobody else harmed"),
    (nobody_else_proposes, "censoring-validator", "kept promises"),
    (failures_are_forgiven, "late-prover", "kept promises"),
    (there_is_room_for_all, "flooder", "kept promises"),
]


@pytest.mark.parametrize(("plant", "name", "checker"), PLANTED)
def test_a_planted_weakness_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    name: str,
    checker: str,
) -> None:
    plant(monkeypatch)
    outcome = against(name, blocks=3)
    assert checker in {one.checker for one in outcome.violations}


# --- above the bound ---


@pytest.mark.parametrize(
    "asked", ["double-voter:3", "equivocating-proposer:100%", "colluding-pair:4"]
)
def test_money_is_safe_whoever_is_hostile(asked: str) -> None:
    outcome = against(asked)
    promise = outcome.promise
    assert dict(only(outcome).did)
    assert outcome.violations == ()
    assert not promise.finishes
    assert "conserved money" in promise.binding
    assert any(
        line.startswith("harmed      not asked") for line in told((only(outcome),), promise, ())
    )


def test_money_from_nowhere_is_noticed_above_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    move = Ledger.move

    def generous(self: Ledger, moved: Moved) -> None:
        move(self, moved)
        if moved.cause is Cause.OPERATION_FEE:
            self._pockets[moved.target] = Amount(self.holds(moved.target) + 1)

    monkeypatch.setattr(Ledger, "move", generous)
    outcome = against("double-voter:3")
    assert {one.checker for one in outcome.violations} == {"conserved money"}


def shares(hostile: int, of: int) -> Any:
    members = planned(Size(nodes=of + 2, validators=of), 1).members
    names = [one.name for one in members if one.log_stake][-hostile:] if hostile else []
    return promised(members, names, [one.name for one in CHECKERS] + ["verified work"])


@pytest.mark.parametrize(
    ("hostile", "of", "waived"),
    [
        (0, 3, set()),
        (1, 4, set()),
        (1, 3, {"one log", "equal digests", "nobody else harmed", "liveness"}),
        (2, 3, {"one log", "equal digests", "nobody else harmed", "liveness"}),
        (3, 4, {"one log", "equal digests", "nobody else harmed", "liveness", "verified work"}),
    ],
)
def test_what_binds_follows_from_the_stake(hostile: int, of: int, waived: set[str]) -> None:
    promise = shares(hostile, of)
    assert promise.log == Fraction(hostile, of)
    assert set(promise.waived) == waived
    assert not waived & set(promise.binding)
    assert set(promise.waived) | set(promise.binding) >= {one.name for one in CHECKERS}


# --- casting ---

MEMBERS = planned(Size(nodes=10, validators=5), 1).members


def cast(*asked: str, seed: int = 1, is_drawn: bool = False) -> list[Hostile]:
    return list(Hostility(asked, is_drawn=is_drawn).cast(stream(seed, "adversaries"), MEMBERS))


def test_nodes_play_what_they_can_and_only_once() -> None:
    (pair, sybil) = cast("colluding-pair:3", "sybil-operator:50%")
    assert pair.nodes[0].startswith("prover")
    assert all(one.startswith("validator") for one in pair.nodes[1:])
    assert len(sybil.nodes) == 2, "half of the four provers that are left"
    assert not set(pair.nodes) & set(sybil.nodes)
    (eclipse,) = cast("eclipse")
    assert len(eclipse.victims) == 1
    assert not set(eclipse.victims) & set(eclipse.nodes)


@pytest.mark.parametrize(
    "asked",
    ["nobody", "twins:1", "silent-prover:x", "silent-prover:0", "double-voter:6", "flooder:10"],
)
def test_what_nobody_can_play_is_refused(asked: str) -> None:
    with pytest.raises(ConfigurationError):
        cast(asked)


def test_adversaries_are_drawn_from_the_seed_within_what_liveness_bears() -> None:
    drawn = {seed: cast(seed=seed, is_drawn=True) for seed in range(400)}
    assert drawn[7] == cast(seed=7, is_drawn=True)
    assert {one.adversary for some in drawn.values() for one in some} == set(ALL)
    checkers = [one.name for one in CHECKERS]
    beyond = 0
    for some in drawn.values():
        hostile = {name for one in some for name in one.nodes}
        assert len(hostile) == sum(len(one.nodes) for one in some)
        assert len(hostile) < len(MEMBERS)
        beyond += bool(promised(MEMBERS, hostile, checkers).waived)
    assert 0 < beyond < 40


def test_adversaries_are_faults_that_can_be_written_down_and_left_out(tmp_path: Path) -> None:
    order = Order(1, SMALL, 1, hostility=Hostility(("silent-prover", "eclipse")))
    plan = order.plan()
    names = tuple(one.name for one in planned(SMALL, 1).members)
    write_plan(tmp_path / "plan.toml", plan)
    assert read_plan(tmp_path / "plan.toml", names) == plan
    assert order.repeated().plan() == plan
    assert [one.adversary for one in plan.without(0).faults if isinstance(one, Hostile)] == [
        "eclipse"
    ]
    assert plan.passing() == ()
    assert FaultPlan().joined(cast("replayer")).faults == tuple(cast("replayer"))

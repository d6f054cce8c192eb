"""Each harm to an honest node is found, and what only looks like one is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.launcher.harm import FOR_GOOD_S, harms
from scripts.launcher.mischief import Mischief, make_mischief
from scripts.launcher.plan import Plan, Wish, make_plan
from scripts.launcher.testimony import Witnessed

ENDED_MS = 1_000_000
JOB = "cd" * 32
AWARD = "ef" * 32


@pytest.fixture
def plan() -> Plan:
    return make_mischief(make_plan(Wish()), Mischief((("silent", "prover-1"),)))


def account(plan: Plan, name: str) -> str:
    return next(one.identity.account.hex() for one in plan.members if one.name == name)


def moved(
    source: tuple[str, str], target: tuple[str, str], cause: str, amount: int = 5
) -> dict[str, Any]:
    pockets = [{"kind": kind, "owner": owner} for kind, owner in (source, target)]
    return {
        "kind": "Moved",
        "tick": 1,
        "source": pockets[0],
        "target": pockets[1],
        "amount": amount,
        "cause": cause,
    }


def found(
    folder: Path, plan: Plan, story: list[dict[str, Any]], **conduct: list[dict[str, Any]]
) -> list[str]:
    names = [one.name for one in plan.members]
    reports: dict[str, Any] = {
        name: {"conduct": conduct.get(name.replace("-", "_"), []), "refused": []} for name in names
    }
    testimony = Witnessed(plan, folder, story, reports, killed=("prover-4",), ended_ms=ENDED_MS)
    return list(harms(testimony))


@pytest.mark.parametrize(
    "by", [("INVALID_PROOF", "PROVER_STAKE"), ("JOB_FAILED", "BALANCE")], ids=lambda one: one[0]
)
@pytest.mark.parametrize(
    ("name", "is_harm"), [("prover-2", True), ("prover-1", False), ("prover-4", False)]
)
def test_a_penalty_harms_the_honest_only(
    tmp_path: Path, plan: Plan, by: tuple[str, str], name: str, is_harm: bool
) -> None:
    cause, kind = by
    loss = moved((kind, account(plan, name)), ("BURNED", ""), cause)
    sentences = found(tmp_path, plan, [loss])
    assert sentences == ([f"{name} is honest and lost 5: {cause}"] if is_harm else [])


def test_fees_and_prices_are_paid_willingly(tmp_path: Path, plan: Plan) -> None:
    mine, other = account(plan, "validator-1"), account(plan, "validator-2")
    story = [
        moved(("BALANCE", mine), ("BALANCE", other), "OPERATION_FEE"),
        moved(("BALANCE", mine), ("PRICE", AWARD), "AWARD_PRICE"),
        moved(("PRICE", AWARD), ("BALANCE", other), "AWARD_PAY"),
        moved(("BALANCE", mine), ("LOG_STAKE", mine), "STAKED"),
        moved(("ESCROW", JOB), ("BURNED", ""), "FAILED_SHARE"),
    ]
    assert found(tmp_path, plan, story) == []


def test_a_pledge_is_its_owners_until_it_is_lost(tmp_path: Path, plan: Plan) -> None:
    mine = account(plan, "prover-2")
    pledge = moved(("BALANCE", mine), ("PROVER_BOND", AWARD), "AWARD_BOND")
    back = moved(("PROVER_BOND", AWARD), ("BALANCE", mine), "AWARD_BOND_RETURNED")
    lost = moved(("PROVER_BOND", AWARD), ("BURNED", ""), "AWARD_BOND_LOST")
    assert found(tmp_path, plan, [pledge, back]) == []
    assert found(tmp_path, plan, [pledge, lost]) == [
        "prover-2 is honest and lost 5: AWARD_BOND_LOST"
    ]


def test_a_punishment_harms_the_honest_only(tmp_path: Path, plan: Plan) -> None:
    def punished(name: str) -> dict[str, Any]:
        return {"kind": "EquivocationPunished", "tick": 1, "offender": account(plan, name)}

    assert found(tmp_path, plan, [punished("prover-1")]) == []
    (sentence,) = found(tmp_path, plan, [punished("validator-2")])
    assert sentence == "validator-2 is honest and was punished: EquivocationPunished"


def test_a_ban_among_the_honest_is_a_harm(tmp_path: Path, plan: Plan) -> None:
    def banned(name: str) -> list[dict[str, Any]]:
        return [{"kind": "banned", "from": account(plan, name), "detail": "why", "count": 1}]

    assert found(tmp_path, plan, [], validator_1=banned("prover-1")) == []
    assert found(tmp_path, plan, [], prover_1=banned("validator-1")) == []
    assert found(tmp_path, plan, [], validator_1=banned("prover-2")) == [
        "validator-1 banned prover-2, which is honest: why"
    ]


@pytest.mark.parametrize(
    ("away_s", "returns", "is_harm"),
    [(FOR_GOOD_S + 1, False, True), (FOR_GOOD_S + 1, True, False), (FOR_GOOD_S - 1, False, False)],
)
def test_the_honest_are_apart_for_good_when_they_are_so_at_the_end(
    tmp_path: Path, plan: Plan, away_s: int, returns: bool, is_harm: bool
) -> None:
    everybody = [one.identity.account.hex() for one in plan.members]
    without = [one for one in everybody if one != account(plan, "prover-2")]
    left_ms = ENDED_MS - 1000 * away_s
    stages = [(left_ms - 5_000, everybody), (left_ms, without), (left_ms + 1, without)]
    stages += [(ENDED_MS - 1, everybody)] if returns else []
    stages += [(ENDED_MS + 1, [])]
    folder = tmp_path / "nodes" / "validator-1"
    folder.mkdir(parents=True)
    lines = [
        {"at_ms": at_ms, "kind": "Stage", "stage": "connected", "peers": peers}
        for at_ms, peers in stages
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    sentences = found(tmp_path, plan, [])
    assert bool(sentences) is is_harm
    assert all("prover-2 and validator-1 are honest" in one for one in sentences)

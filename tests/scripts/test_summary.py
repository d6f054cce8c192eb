"""What the summary says of run folders that are right, and of those where something is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scripts.launcher.command import LONG_BLOCKS, show
from scripts.launcher.plan import Plan, Wish, make_plan
from scripts.launcher.summary import Verdict, judge
from scripts.money import add_up

JOB = "cd" * 32
NO_RULE = "NO RULE HAS IT SO"


@pytest.fixture
def plan() -> Plan:
    return make_plan(Wish(validators=1, provers=2, leaves=2, blocks=1)).starting_at(1_000)


def account(plan: Plan, name: str) -> str:
    return next(one.identity.account.hex() for one in plan.members if one.name == name)


def story(plan: Plan) -> list[dict[str, Any]]:
    """A block whose second leaf was taken over; nobody is paid in this story."""
    one, other = account(plan, "prover-1"), account(plan, "prover-2")

    def recorded(level: int, position: int, prover: str) -> dict[str, Any]:
        return {"kind": "ProofRecorded", "job": JOB, "index": [level, position], "prover": prover}

    lines = [
        {"kind": "JobOpened", "job": JOB, "header": {"content": {"leaves": []}}, "pool": []},
        recorded(0, 0, one),
        {"kind": "TakenOver", "job": JOB, "index": [0, 1], "previous": other, "heir": one},
        recorded(0, 1, one),
        recorded(1, 0, one),
        {"kind": "JobProven", "job": JOB},
        {"kind": "JobSettled", "job": JOB},
    ]
    return [
        {"at_ms": 1_000 + 500 * at, "tick": 1, **line}
        for at, line in enumerate([*lines, {"kind": "Final", "digest": "00"}])
    ]


def finished(level: int, position: int) -> dict[str, Any]:
    key = {"job": JOB, "index": [level, position]}
    return {"at_ms": 1, "kind": "ProofFinished", "key": key, "wall_ms": 700, "threads": 1}


def write_node(run: Path, plan: Plan, name: str, **changed: Any) -> None:
    folder = run / "nodes" / name
    folder.mkdir(parents=True, exist_ok=True)
    records = story(plan)
    if name == "prover-1":
        records += [finished(0, 0), finished(0, 1), finished(1, 0)]
    (folder / "events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    pockets = [
        {"kind": kind, "owner": owner, "amount": amount}
        for (kind, owner), amount in add_up(plan.genesis, []).pockets.items()
        if amount
    ]
    report = {
        "name": name,
        "account": account(plan, name),
        "final_height": 1,
        "digests": {"1": "00"},
        "halted": None,
        "invariants_broken": [],
        "open_jobs": [],
        "pockets": pockets,
        "refused": [],
        "conduct": [],
    }
    (folder / "report.json").write_text(json.dumps(report | changed))


NODES = ["prover-1", "prover-2", "validator-1"]


def judged(run: Path, plan: Plan, **changed: Any) -> Verdict:
    for name in NODES:
        write_node(run, plan, name)
    write_node(run, plan, "validator-1", **changed)
    return judge(plan, run, NODES)


def test_a_takeover_is_told_with_who_failed_and_who_helped(tmp_path: Path, plan: Plan) -> None:
    fields = judged(tmp_path, plan).fields
    assert fields["takeovers"] == [
        {"job": JOB, "level": 0, "position": 1, "failed": "prover-2", "by": "prover-1"}
    ]


def test_times_are_measured_from_the_opening_to_the_root(tmp_path: Path, plan: Plan) -> None:
    fields = judged(tmp_path, plan).fields
    assert fields["time_to_root_s"] == [2.5]
    assert fields["redundant_proofs"] == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"digests": {"1": "11"}}, "differ after tick 1"),
        ({"digests": {"2": "00"}}, "share no final block"),
        ({"halted": "because"}, "halted: because"),
        ({"invariants_broken": ["a pocket is torn"]}, "a pocket is torn"),
    ],
)
def test_what_is_wrong_with_a_node_is_a_fault(
    tmp_path: Path, plan: Plan, changed: dict[str, Any], words: str
) -> None:
    verdict = judged(tmp_path, plan, **changed)
    assert any(words in fault for fault in verdict.faults)
    assert verdict.fields["nodes_agree"] is False


def test_pockets_that_do_not_follow_from_the_moves_are_a_fault(tmp_path: Path, plan: Plan) -> None:
    verdict = judged(tmp_path, plan, pockets=[])
    assert verdict.fields["money_conserved"] is False
    assert verdict.fields["nodes_agree"] is True


def test_a_node_that_left_no_report_is_a_fault(tmp_path: Path, plan: Plan) -> None:
    judged(tmp_path, plan)
    (tmp_path / "nodes" / "prover-2" / "report.json").unlink()
    assert "prover-2 left no report" in judge(plan, tmp_path, NODES).faults


def test_a_block_that_was_not_proven_is_a_fault(tmp_path: Path, plan: Plan) -> None:
    for name in NODES:
        write_node(tmp_path, plan, name)
        path = tmp_path / "nodes" / name / "events.jsonl"
        path.write_text(
            "".join(line for line in path.read_text().splitlines(True) if "Settled" not in line)
        )
    assert "0 of 1 blocks were proven" in judge(plan, tmp_path, NODES).faults


# --- runs for some minutes, and kills ---


@pytest.fixture
def timed(plan: Plan) -> Plan:
    return replace(plan, wish=replace(plan.wish, minutes=2))


def without(run: Path, plan: Plan, kind: str) -> None:
    """Every node tells the story without records of a kind."""
    for name in NODES:
        path = run / "nodes" / name / "events.jsonl"
        lines = [one for one in path.read_text().splitlines(True) if f'"{kind}"' not in one]
        path.write_text("".join(lines))


def test_a_run_for_minutes_is_told_by_its_minutes(
    tmp_path: Path, timed: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = judged(tmp_path, timed)
    assert verdict.faults == ()
    show(verdict, tmp_path)
    told = capsys.readouterr().out
    assert "1 block proven in 2 minutes, 3 nodes agree" in told
    assert "growth: the run was too short to tell" in told


def test_a_run_for_minutes_has_to_finish_its_trees(tmp_path: Path, timed: Plan) -> None:
    judged(tmp_path, timed)
    without(tmp_path, timed, "JobSettled")
    assert set(judge(timed, tmp_path, NODES).faults) == {
        "no block was proven",
        "1 tree stayed open",
    }
    for name in NODES:
        path = tmp_path / "nodes" / name / "events.jsonl"
        path.write_text(path.read_text().replace("JobProven", "JobVoided"))
    assert judge(timed, tmp_path, NODES).faults == ("1 tree became void",)


def test_who_did_not_catch_up_is_named(tmp_path: Path, timed: Plan) -> None:
    assert judged(tmp_path, timed, final_height=0).faults == (
        "validator-1 did not catch up: its height is 0",
    )


def write_kills(run: Path, *kinds: tuple[int, str, str]) -> None:
    lines = [{"node": "launcher", "at_ms": 1_000, "kind": "Launched"}]
    lines += [{"node": "prover-1", "at_ms": 1_500, "kind": "Killed"}]
    lines += [
        {"node": "launcher", "at_ms": at_ms, "kind": kind, "victim": victim}
        for at_ms, kind, victim in kinds
    ]
    (run / "events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))


def test_kills_are_told_by_name_and_time(
    tmp_path: Path, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(tmp_path, plan)
    write_kills(
        tmp_path,
        (61_000, "Killed", "prover-2"),
        (71_000, "Restarted", "prover-2"),
        (121_000, "Killed", "prover-2"),
        (121_000, "Killed", "prover-1"),
        (131_000, "Restarted", "prover-2"),
    )
    verdict = judge(plan, tmp_path, NODES, killed=("prover-2", "prover-2", "prover-1"))
    assert verdict.fields["kills"] == [
        {"node": "prover-2", "at_s": 60.0, "restarted_s": 70.0},
        {"node": "prover-2", "at_s": 120.0, "restarted_s": 130.0},
        {"node": "prover-1", "at_s": 120.0, "restarted_s": None},
    ]
    show(verdict, tmp_path)
    told = capsys.readouterr().out
    assert "killed: prover-2 at 60, 120 s, and started again each time" in told
    assert "killed: prover-1 at 120 s, and not started again" in told
    assert "no node lost stake or a bond for having been killed" in told


@pytest.mark.parametrize(
    "by",
    [("JOB_FAILED", "the proving rule's slash_bps has it so"), ("EQUIVOCATION", NO_RULE)],
    ids=lambda one: one[0],
)
def test_what_the_killed_lost_is_told_with_the_rule_that_has_it_so(
    tmp_path: Path, plan: Plan, capsys: pytest.CaptureFixture[str], by: tuple[str, str]
) -> None:
    cause, told = by
    judged(tmp_path, plan)
    write_kills(tmp_path, (61_000, "Killed", "prover-2"))
    lost = {
        "at_ms": 1_000,
        "tick": 1,
        "kind": "Moved",
        "source": {"kind": "PROVER_STAKE", "owner": account(plan, "prover-2")},
        "target": {"kind": "BURNED", "owner": ""},
        "amount": 1_500,
        "cause": cause,
        "job": None,
        "operation": None,
    }
    for name in NODES:
        path = tmp_path / "nodes" / name / "events.jsonl"
        path.write_text(json.dumps(lost) + "\n" + path.read_text())
    verdict = judge(plan, tmp_path, NODES, killed=("prover-2",))
    sentence = f"prover-2 was only killed and lost 1,500: {cause}"
    assert (sentence in verdict.faults) == (told == NO_RULE)
    show(verdict, tmp_path)
    line = f"prover-2 lost 1,500 for having been killed, {cause}: {told}"
    assert line in capsys.readouterr().out


def test_a_killed_node_that_is_banned_is_a_fault(tmp_path: Path, plan: Plan) -> None:
    banned = {"kind": "banned", "from": account(plan, "prover-2"), "detail": "noise", "count": 1}
    judged(tmp_path, plan, conduct=[banned])
    faults = judge(plan, tmp_path, NODES, killed=("prover-2",)).faults
    assert faults == ("validator-1 banned prover-2, which was only killed: noise",)


def test_refusals_of_all_nodes_are_counted_by_kind_reason_and_sender(
    tmp_path: Path, plan: Plan
) -> None:
    one = {
        "kind": "proofs",
        "reason": "BAD_SIGNATURE",
        "from": account(plan, "prover-2"),
        "count": 2,
    }
    fields = judged(tmp_path, plan, refused=[one, one]).fields
    assert fields["refused"] == [one | {"from": "prover-2", "count": 4}]


def test_who_was_there_all_the_time_tells_the_story(tmp_path: Path, plan: Plan) -> None:
    judged(tmp_path, plan)
    assert judge(plan, tmp_path, NODES).reference == NODES[0]
    assert judge(plan, tmp_path, NODES, killed=NODES[:1]).reference == NODES[1]


def test_a_long_run_is_told_in_a_few_lines(
    tmp_path: Path, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = judged(tmp_path, plan)
    takeovers = verdict.fields["takeovers"] * LONG_BLOCKS
    times = {"time_to_root_s": [1.0, 2.0, 9.0] * 7, "critical_path_s": [0.5] * 21}
    fields = verdict.fields | times | {"takeovers": takeovers, "is_backup": [False] * 21}
    show(replace(verdict, fields=fields), tmp_path)
    told = capsys.readouterr().out
    assert "root after 2.0 s in the median, 1.0 to 9.0 s, critical path 0.5 s" in told
    assert f"takeovers: prover-1 proved {LONG_BLOCKS} tree nodes for prover-2" in told
    assert "block 1:" not in told


def test_a_backup_has_no_time_to_its_root(
    tmp_path: Path, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    times = {"time_to_root_s": [2.5, 0.0], "critical_path_s": [2.0, 9.0]}
    fields = judged(tmp_path, plan).fields | times | {"is_backup": [False, True]}
    show(Verdict(fields, (), NODES[0]), tmp_path)
    told = capsys.readouterr().out
    assert "block 1: root after 2.5 s, critical path 2.0 s" in told
    assert "block 2: came whole, as a backup" in told

"""Judges a run that is over, from what each node said by itself.

Nodes agree when all that were alive at the end have the same digest at every height they share, and
reached the height of the last settlement. A run for some minutes has to have finished every tree
that it began. Money is re-added from the nodes' events by
``scripts.money``, which shares no code with the ledger, and compared with each node's own pockets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from scripts.cheats.node import cheats_of
from scripts.launcher.cheated import outcomes
from scripts.launcher.growth import judge_run
from scripts.launcher.harm import costs_of_absence, harms, harms_of_kills
from scripts.launcher.plan import Plan
from scripts.launcher.testimony import Witnessed
from scripts.money import add_up
from scripts.records import read_lines
from scripts.report.records import EVENTS, LAUNCHER
from scripts.words import counted

ROOT_SLOTS = 2
"""Slots from the root's proof to the finality of its record, at the least."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a run.

    :ivar fields: the content of ``summary.json``.
    :ivar faults: a sentence for each thing that is not as it should be; nothing when all is well.
    :ivar reference: the node whose story the summary tells; None when no node left a report.
    :ivar is_interrupted: somebody stopped the run before it was over.
    """

    fields: dict[str, Any]
    faults: tuple[str, ...]
    reference: str | None
    is_interrupted: bool = False


def judge(
    plan: Plan,
    run: Path,
    alive: list[str],
    *,
    killed: tuple[str, ...] = (),
    ended_ms: int = 0,
) -> Verdict:
    """Compute the summary of a stopped run.

    :param alive: names of the nodes that were running at the end.
    :param killed: names of those that were killed on purpose.
    :param ended_ms: when the run ended, before any node was stopped.
    """
    reports = {name: _report(run, name) for name in alive}
    present = {name: report for name, report in reports.items() if report is not None}
    histories = {name: _history(run, name) for name in present}
    faults = [f"{name} left no report" for name, report in reports.items() if report is None]
    faults += _disagreements(present)
    for name, report in present.items():
        faults += [f"{name}: {sentence}" for sentence in report["invariants_broken"]]
        faults += [f"{name} halted: {report['halted']}"] if report["halted"] else []
    agree = not faults and bool(present)
    reference = _reference(plan, present, killed)
    story = histories[reference] if reference is not None else []
    money_faults = list(_money_faults(plan, present, histories))
    proven = sum(1 for record in story if record["kind"] == "JobSettled")
    asked = plan.wish.blocks_asked
    if asked is None:
        faults += _unfinished(present, story)
    elif proven < asked:
        faults.append(f"{proven} of {asked} blocks were proven")
    testimony = Witnessed(plan, run, story, present, killed=killed, ended_ms=ended_ms)
    met = list(outcomes(testimony)) if testimony.is_of_mischief else []
    harmed = list(harms(testimony)) if testimony.is_of_mischief else []
    faults += [f"this cheat was not met: {one.sentence}" for one in met if not one.is_met]
    faults += harmed
    faults += list(harms_of_kills(testimony))
    fields = {
        "blocks_asked": asked,
        "blocks_proven": proven,
        "minutes": plan.wish.minutes,
        "kills": list(_kills(run)),
        "costs_of_absence": [asdict(one) for one in costs_of_absence(testimony)],
        "nodes": sorted(present),
        "nodes_agree": agree,
        "money_conserved": not money_faults and bool(present),
        "takeovers": list(_takeovers(plan, story)),
        "cheats": [asdict(one) for one in met],
        "honest": testimony.honest,
        "harmed": harmed,
        "refused": list(_refused(plan, present)),
        "income": _income(plan, story),
        **_times(plan, run, story),
        "redundant_proofs": _redundant(run, plan, story),
        "final_height": max((one["final_height"] for one in present.values()), default=0),
        "growth": judge_run(run, sorted(present)),
        "voided": sum(1 for record in story if record["kind"] == "JobVoided"),
        "faults": faults + money_faults,
    }
    return Verdict(fields, tuple(faults + money_faults), reference)


def _reference(plan: Plan, reports: dict[str, dict[str, Any]], killed: Sequence[str]) -> str | None:
    """Who tells the story, times included: of the nodes that know most, an honest one that was
    there all the time, if there is one.
    """
    cheats = {one.name for one in plan.members if cheats_of(one.configuration.cheats)}
    return max(
        reports,
        key=lambda name: (
            name not in cheats,
            name not in killed,
            reports[name]["final_height"],
        ),
        default=None,
    )


def _report(run: Path, name: str) -> dict[str, Any] | None:
    path = run / "nodes" / name / "report.json"
    if not path.exists():
        return None
    report: dict[str, Any] = json.loads(path.read_text())
    return report


def _history(run: Path, name: str) -> list[dict[str, Any]]:
    """The final events of a node, each height once: a restarted node tells them again."""
    told: dict[int, list[dict[str, Any]]] = {}
    block: list[dict[str, Any]] = []
    for record in read_lines(run / "nodes" / name / "events.jsonl"):
        if record["kind"] == "Stage":
            block = []
        if "tick" not in record:
            continue
        block.append(record)
        if record["kind"] == "Final":
            told.setdefault(record["tick"], block)
            block = []
    return [record for tick in sorted(told) for record in told[tick]]


def _disagreements(reports: dict[str, dict[str, Any]]) -> Iterator[str]:
    names = sorted(reports)
    for one, other in pairwise(names):
        ours, theirs = reports[one]["digests"], reports[other]["digests"]
        shared = sorted(ours.keys() & theirs.keys(), key=int)
        if not shared:
            yield f"{one} and {other} share no final block"
        for tick in shared:
            if ours[tick] != theirs[tick]:
                yield f"{one} and {other} differ after tick {tick}"
                break


def _unfinished(reports: dict[str, dict[str, Any]], story: list[dict[str, Any]]) -> Iterator[str]:
    """What a run that was to finish all its trees left undone."""
    ends = [one["tick"] for one in story if one["kind"] in ("JobSettled", "JobVoided")]
    opened = sum(1 for one in story if one["kind"] == "JobOpened")
    voided = sum(1 for one in story if one["kind"] == "JobVoided")
    if not ends:
        yield "no block was proven"
    if voided:
        yield f"{counted(voided, 'tree')} became void"
    if opened > len(ends):
        yield f"{counted(opened - len(ends), 'tree')} stayed open"
    for name, report in reports.items():
        if report["final_height"] < max(ends, default=0):
            yield f"{name} did not catch up: its height is {report['final_height']}"


def _kills(run: Path) -> Iterator[dict[str, Any]]:
    """Who was killed and started again, in seconds since the launch, as the launcher wrote it."""
    path, launched_ms = run / EVENTS, 0
    kills: list[dict[str, Any]] = []
    for one in read_lines(path) if path.exists() else ():
        if one["node"] != LAUNCHER:
            continue
        at_s = round((one["at_ms"] - launched_ms) / 1000, 1)
        match one["kind"]:
            case "Launched":
                launched_ms = one["at_ms"]
            case "Killed":
                kills.append({"node": one["victim"], "at_s": at_s, "restarted_s": None})
            case "Restarted":
                (last, *_) = [kill for kill in kills[::-1] if kill["node"] == one["victim"]]
                last["restarted_s"] = at_s
    return iter(kills)


def _money_faults(
    plan: Plan, reports: dict[str, dict[str, Any]], histories: dict[str, list[dict[str, Any]]]
) -> Iterator[str]:
    for name, report in reports.items():
        balances = add_up(plan.genesis, histories[name])
        for sentence in (*balances.faults(), *balances.compare(report["pockets"])):
            yield f"{name}: {sentence}"


def _takeovers(plan: Plan, story: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Tree nodes that passed on and were recorded, by whomever."""
    passed: dict[tuple[str, int, int], str] = {}
    names = plan.names
    for record in story:
        if record["kind"] == "TakenOver":
            passed.setdefault((record["job"], *record["index"]), record["previous"])
        if record["kind"] == "ProofRecorded":
            level, position = record["index"]
            failed = passed.get((record["job"], level, position))
            if failed is not None and failed != record["prover"]:
                yield {
                    "job": record["job"],
                    "level": level,
                    "position": position,
                    "failed": names.get(failed, failed),
                    "by": names.get(record["prover"], record["prover"]),
                }


def _refused(plan: Plan, reports: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    counts: dict[tuple[str, str, str], int] = {}
    for report in reports.values():
        for one in report["refused"]:
            sender = plan.names.get(one["from"], one["from"])
            key = one["kind"], one["reason"], sender
            counts[key] = counts.get(key, 0) + one["count"]
    for (kind, reason, sender), count in sorted(counts.items()):
        yield {"kind": kind, "reason": reason, "from": sender, "count": count}


def _income(plan: Plan, story: list[dict[str, Any]]) -> dict[str, Any]:
    earned = add_up(plan.genesis, story).income()
    return {
        one.name: earned.get(one.identity.account.hex(), {"total": 0, "by_cause": {}})
        for one in plan.members
    }


def _times(plan: Plan, run: Path, story: list[dict[str, Any]]) -> dict[str, Any]:
    """For each settled job: seconds from opening to its root's record, and along the critical path;
    whether it came whole, as a backup.

    Times count from when the job's opening is final to when its root's record is.
    """
    finished = _proof_times(run, plan)
    opened: dict[str, int] = {}
    recorded: dict[str, int] = {}
    to_root: list[float] = []
    critical: list[float] = []
    whole: list[bool] = []
    backups = {record["job"] for record in story if record["kind"] == "BackupTaken"}
    for record in story:
        if record["kind"] == "JobOpened":
            opened[record["job"]] = record["at_ms"]
        elif record["kind"] == "JobProven":
            recorded[record["job"]] = record["at_ms"]
        elif record["kind"] == "JobSettled":
            job = record["job"]
            to_root.append(round((recorded[job] - opened[job]) / 1000, 1))
            critical.append(round(_critical_ms(job, plan, finished) / 1000, 1))
            whole.append(job in backups)
    return {"time_to_root_s": to_root, "critical_path_s": critical, "is_backup": whole}


def _proof_times(run: Path, plan: Plan) -> dict[tuple[str, int, int], int]:
    """Shortest measured proving time of each tree node, in milliseconds."""
    times: dict[tuple[str, int, int], int] = {}
    for member in plan.members:
        path = run / "nodes" / member.name / "events.jsonl"
        for record in read_lines(path) if path.exists() else ():
            if record["kind"] == "ProofFinished":
                place = record["key"]["job"], *record["key"]["index"]
                times[place] = min(times.get(place, record["wall_ms"]), record["wall_ms"])
    return times


def _critical_ms(job: str, plan: Plan, finished: dict[tuple[str, int, int], int]) -> int:
    """Longest chain of proof times as measured from a leaf to the root, and the root's finality.

    Minimal times cost nothing of their own: they count from the tick that opens a right, and have
    passed by the time that this tick is final. Work on a merge starts with its children's proofs,
    so their records cost nothing either. The root's record takes two slots until it is final.
    """

    def longest(level: int, position: int) -> int:
        own = finished.get((job, level, position), 0)
        if level == 0:
            return own
        return own + max(longest(level - 1, 2 * position), longest(level - 1, 2 * position + 1))

    root_level = plan.wish.leaves.bit_length() - 1
    return longest(root_level, 0) + ROOT_SLOTS * plan.genesis.network.slot_ms


def _redundant(run: Path, plan: Plan, story: list[dict[str, Any]]) -> int:
    """Finished proofs that nobody needed: more than one for a recorded tree node."""
    recorded = {
        (record["job"], *record["index"]) for record in story if record["kind"] == "ProofRecorded"
    }
    finished = 0
    for member in plan.members:
        path = run / "nodes" / member.name / "events.jsonl"
        for record in read_lines(path) if path.exists() else ():
            if record["kind"] == "ProofFinished":
                place = (record["key"]["job"], *record["key"]["index"])
                finished += place in recorded
    return max(0, finished - len(recorded))

"""The ``testnet`` command: checks what was asked for, runs it, prints what became of it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import trio
from rich.console import Console
from rich.table import Table

from scripts.complaint import Complaint
from scripts.launcher import growth
from scripts.launcher.attrition import RESTART_S, Kill, Wear, schedule
from scripts.launcher.faults import BadFault, Fault, check_faults
from scripts.launcher.harm import ABSENCE
from scripts.launcher.live import open_view
from scripts.launcher.mischief import Mischief, make_mischief
from scripts.launcher.plan import Plan, Wish, is_possible, make_plan
from scripts.launcher.summary import Verdict
from scripts.launcher.testnet import Order, TestnetFailed, make_run_folder, run_testnet
from scripts.report.command import REPORT
from scripts.words import counted

RUNS = Path("runs")
"""Where run folders go by default."""

LONG_BLOCKS = 20
"""A run of so many blocks is long enough to say whether anything grew."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def run(
    wish: Wish,
    kills: tuple[str, ...],
    restart_s: float | None,
    out: Path | None,
    *,
    keep_running: bool,
    plain: bool = False,
    mischief: Mischief | None = None,
    wears: tuple[str, ...] = (),
) -> int:
    """Run a testnet.

    :param wears: ``ROLE:SECONDS``, as :mod:`scripts.launcher.attrition` has it.

    Returns the exit code: 0 only if every node agrees, money is conserved and all is proven.
    """
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    objection = is_possible(wish)
    if objection is not None:
        return _refuse(errors, objection, "run ./scripts/provnet testnet --help")
    try:
        plan = make_mischief(make_plan(wish), mischief or Mischief())
        faults = tuple(Fault.parse(text, plan) for text in kills)
        check_faults(faults, plan)
        if wears and restart_s is None:
            restart_s = RESTART_S
        planned = _planned(plan, tuple(map(Wear.parse, wears)), restart_s)
    except Complaint as failure:
        return _refuse(errors, failure.sentence, failure.hint)
    try:
        folder = _folder(out)
        print(f"run folder: {folder}", flush=True)
        order = Order(plan, folder, faults, restart_s, keep_running, planned)
        with open_view(plan, folder, plain=plain) as view:
            verdict = trio.run(run_testnet, order, view)
    except Complaint as failure:
        return _refuse(errors, failure.sentence, failure.hint)
    show(verdict, folder)
    if not verdict.faults:
        return 0
    return INTERRUPTED if verdict.is_interrupted else 1


def _planned(plan: Plan, wears: tuple[Wear, ...], restart_s: float | None) -> tuple[Kill, ...]:
    if not wears or restart_s is None:
        return ()
    if not plan.wish.minutes:
        raise BadFault("--attrition needs to know for how long", "say --minutes 10")
    return schedule(plan, wears, 60 * plan.wish.minutes, restart_s)


def _folder(out: Path | None) -> Path:
    if out is None:
        return make_run_folder(RUNS)
    if out.exists() and any(out.iterdir()):
        raise TestnetFailed(f"{out} is not empty", "name a new folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    return out


def _refuse(errors: Console, sentence: str, hint: str) -> int:
    errors.print(f"error: {sentence}", markup=False)
    errors.print(f"hint: {hint}", markup=False)
    return 1


def _times(fields: dict[str, Any]) -> Iterator[str]:
    """A line a block, or one for all of a long run."""
    times, paths = fields["time_to_root_s"], fields["critical_path_s"]
    if len(times) < LONG_BLOCKS:
        rows = zip(times, paths, fields["is_backup"], strict=True)
        for number, (time_s, path_s, is_backup) in enumerate(rows, 1):
            story = f"root after {time_s} s, critical path {path_s} s"
            yield f"block {number}: {'came whole, as a backup' if is_backup else story}"
        return
    yield (
        f"blocks: root after {median(times):.1f} s in the median, {min(times)} to {max(times)} s, "
        f"critical path {median(paths):.1f} s"
    )


def _takeovers(fields: dict[str, Any]) -> Iterator[str]:
    """A line a takeover, or one for each pair of provers of a long run."""
    pairs = Counter((one["by"], one["failed"]) for one in fields["takeovers"])
    if len(fields["takeovers"]) < LONG_BLOCKS:
        for one in fields["takeovers"]:
            place = f"{one['level']}:{one['position']}"
            yield f"takeover: {one['by']} proved {place} for {one['failed']}"
        return
    for (by, failed), count in pairs.most_common():
        yield f"takeovers: {by} proved {count} tree nodes for {failed}"


def _kills(fields: dict[str, Any]) -> Iterator[str]:
    """A line for each node that was killed, and what that cost."""
    moments: dict[str, list[str]] = {}
    for one in fields["kills"]:
        moments.setdefault(one["node"], []).append(f"{one['at_s']:.0f}")
    dead = {one["node"] for one in fields["kills"] if one["restarted_s"] is None}
    for node, seconds in moments.items():
        end = "and not started again" if node in dead else "and started again each time"
        yield f"killed: {node} at {', '.join(seconds)} s, {end}"
    if moments and not fields["costs_of_absence"]:
        yield "no node lost stake or a bond for having been killed"
    for one in fields["costs_of_absence"]:
        rule = ABSENCE.get(one["cause"])
        why = f"{rule} has it so" if rule else "NO RULE HAS IT SO"
        yield f"{one['node']} lost {one['amount']:,} for having been killed, {one['cause']}: {why}"


def _proven(fields: dict[str, Any]) -> str:
    """How many blocks, of how many or in how long."""
    proven, asked = fields["blocks_proven"], fields["blocks_asked"]
    if asked is not None:
        return f"{proven} of {asked} blocks proven"
    return f"{counted(proven, 'block')} proven in {fields['minutes']:g} minutes"


def show(verdict: Verdict, folder: Path) -> None:
    """Print the end of a run: what was proven, who earned what, what was taken over, what is
    wrong.
    """
    console = Console(highlight=False, soft_wrap=True)
    fields = verdict.fields
    console.print()
    console.print(
        f"{_proven(fields)}, {len(fields['nodes'])} nodes "
        f"{'agree' if fields['nodes_agree'] else 'DISAGREE'}, money "
        f"{'conserved' if fields['money_conserved'] else 'NOT CONSERVED'}"
    )
    for sentence in (*_times(fields), *_kills(fields), *_takeovers(fields)):
        console.print(sentence)
    for one in fields["cheats"]:
        console.print(f"cheat: {one['sentence']}")
    if fields["cheats"] and not fields["harmed"]:
        console.print(
            f"nobody else harmed: {len(fields['honest'])} honest nodes lost nothing but fees, none "
            "was punished, banned or left alone"
        )
    table = Table("node", "income", "of which", box=None, pad_edge=False)
    for name, income in fields["income"].items():
        causes = ", ".join(
            f"{cause.lower().replace('_', ' ')} {amount:,}"
            for cause, amount in income["by_cause"].items()
        )
        table.add_row(name, f"{income['total']:,}", causes)
    console.print(table)
    if fields["minutes"] or fields["blocks_asked"] >= LONG_BLOCKS:
        for sentence in growth.sentences(fields["growth"], fields["blocks_proven"]):
            console.print(sentence)
    for sentence in verdict.faults:
        console.print(f"NOT AS IT SHOULD BE: {sentence}")
    console.print(f"look at it: {folder / REPORT}")
    console.print(f"everything about this run: {folder}")
    console.print(f"check it without trusting it: ./scripts/provnet verify {folder}")
    sys.stdout.flush()

"""One testnet from launch to summary.

Steps: a run folder with the genesis and one folder a node; the first validator, then everybody else
with its address; then watch, narrate, strike and restart until every block asked for is settled at
every live node; then stop all, judge, export what a light client needs, and write ``summary.json``
and ``report.html``.

A run for some minutes counts them from the first final block. When they are over nobody is killed
any more and the sequencers are paused, and the run ends once no tree is open anywhere.
"""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import trio

from p2p.registry import ungrouped
from protocol.params import format_genesis
from scripts.bundle import BOOTSTRAP_MAX, Bundle, format_bundle
from scripts.cheats.node import cheats_of
from scripts.complaint import Complaint
from scripts.configuration import ApiConfiguration, save_configuration
from scripts.export import export_run
from scripts.keys import save_identity
from scripts.launcher.attrition import Kill, may_die
from scripts.launcher.faults import Fault, Striker
from scripts.launcher.live import View
from scripts.launcher.narrate import Narrator
from scripts.launcher.plan import Member, Plan
from scripts.launcher.processes import Process, stop_all
from scripts.launcher.summary import Verdict, judge
from scripts.launcher.watch import NodeState, Story, Tail
from scripts.pausing import PAUSE, signal_node
from scripts.records import write_json
from scripts.report.command import write_report
from scripts.report.records import LAUNCHER
from scripts.words import counted

LOOK_S: Final = 0.1
"""Pause between two looks at what the nodes wrote."""

QUIET_SLOTS: Final = 12
"""So many slots without an open round or tree at any node end a run whose sequencers are paused: a
commitment that was under way would have opened its round.
"""

LAG_TICKS: Final = 4
"""A node that is further behind the others is still catching up."""

STALL_S: Final = 15.0
"""After so long without progress at start-up, say who waits for what."""

PATIENCE_S: Final = 600.0
"""After so long without a new final block, or with trees left open, the run is given up."""

LOOPBACK: Final = "127.0.0.1"

Say = Callable[[str], None]


class TestnetFailed(Complaint):
    """A run could not be carried out."""


@dataclass(frozen=True, slots=True)
class Order:
    """A testnet to be run.

    :ivar kills: who is killed when, beside ``faults``; only in a run for some minutes.
    :ivar restart_s: bring the killed back after so many seconds; None leaves them dead.
    :ivar keep_running: go on after the last block until interrupted.
    """

    plan: Plan
    run: Path
    faults: tuple[Fault, ...] = ()
    restart_s: float | None = None
    keep_running: bool = False
    kills: tuple[Kill, ...] = ()


@dataclass(slots=True)
class _Run:
    order: Order
    plan: Plan
    processes: dict[str, Process]
    states: dict[str, NodeState]
    tails: dict[str, Tail]
    story: Story
    narrator: Narrator
    view: View
    striker: Striker
    say: Say
    events: Any
    killed: list[str] = field(default_factory=list)
    paused: set[str] = field(default_factory=set)
    bootstrap: tuple[str, ...] = ()
    moved_at: float = 0.0
    works_since: float | None = None
    ending_since: float | None = None
    quiet_since: float = 0.0
    is_interrupted: bool = False

    def tell(self, sentence: str) -> None:
        """Say a line of the launcher's own."""
        self.say(self.narrator.line(_now_ms(), sentence))

    @property
    def away(self) -> set[str]:
        """Who does not run, or is still catching up."""
        least = self.story.height - LAG_TICKS
        return {
            name
            for name, process in self.processes.items()
            if not process.is_running or self.states[name].height < least
        }


async def run_testnet(order: Order, view: View) -> Verdict:
    """Run it before somebody's eyes. Returns the verdict; nothing is left running, whatever
    happens.

    :raises TestnetFailed: when it never got going.
    """
    now_ms = time.time_ns() // 1_000_000
    plan = _with_faucet(order.plan.starting_at(now_ms + order.plan.start_ms))
    processes = {one.name: _prepare(order.run, one) for one in plan.members}
    (order.run / "genesis.toml").write_text(format_genesis(plan.genesis))
    plan.copy_rules(order.run)
    with (
        (order.run / "events.jsonl").open("w") as events,
        (order.run / "story.txt").open("w", buffering=1) as lines,
    ):

        def say(sentence: str) -> None:
            lines.write(sentence + "\n")
            view.say(sentence)

        run = _Run(
            order=order,
            plan=plan,
            processes=processes,
            states={name: NodeState(name) for name in processes},
            tails={name: Tail(one.folder / "events.jsonl") for name, one in processes.items()},
            story=Story(),
            narrator=Narrator(plan, now_ms),
            view=view,
            striker=Striker(order.faults, plan),
            say=say,
            events=events,
        )
        faults = [f"{one.who}@{one.event}" for one in order.faults]
        _note(run, "Launched", faults=faults, restart_s=order.restart_s)
        try:
            async with ungrouped(), trio.open_nursery() as nursery:
                nursery.start_soon(_stop_on_signal, run, nursery.cancel_scope)
                await _start(run)
                await _watch(run, nursery)
                nursery.cancel_scope.cancel()
            alive = [name for name, one in processes.items() if one.is_running]
            ended_ms = _now_ms()
        finally:
            await stop_all(list(processes.values()))
            _look(run)
    return _finish(run, alive, ended_ms)


# --- start ---


def _with_faucet(plan: Plan) -> Plan:
    """The plan with a port for its faucet, so that all nodes can name it from the start."""
    if not plan.wish.faucet:
        return plan
    with socket.create_server((LOOPBACK, 0)) as probe:
        port: int = probe.getsockname()[1]
    return plan.with_faucet_at(f"http://{LOOPBACK}:{port}/", ApiConfiguration(LOOPBACK, port))


def _prepare(run: Path, member: Member) -> Process:
    folder = run / "nodes" / member.name
    folder.mkdir(parents=True)
    save_identity(folder / "keys.toml", member.secret)
    return Process(folder)


async def _start(run: _Run) -> None:
    first, *others = run.plan.members
    run.tell(f"starting {len(run.plan.members)} nodes")
    await _launch(run, first, ())
    while not run.states[first.name].addresses:
        with trio.move_on_after(STALL_S) as waiting:
            await _listening(run, first.name)
        if waiting.cancelled_caught:
            stage = run.states[first.name].stage
            sentence = f"waiting for {first.name} to listen; it is at: {stage}"
            run.tell(sentence)
    url = run.states[first.name].url
    run.tell(f"{first.name} shows the network at {url}")
    bootstrap = tuple(run.states[first.name].addresses)
    _keep_bundle(run)
    for member in others:
        await _launch(run, member, bootstrap)
    if run.plan.faucet_url:
        sentence = f"test money for whoever joins: --fund, at {run.plan.faucet_url}"
        run.say(run.narrator.line(_now_ms(), sentence))


async def _listening(run: _Run, name: str) -> None:
    while not run.states[name].addresses:
        await trio.sleep(LOOK_S)
        _look(run)
        _require_alive(run, name)


async def _launch(run: _Run, member: Member, bootstrap: tuple[str, ...]) -> None:
    process = run.processes[member.name]
    configuration = replace(member.configuration, bootstrap=bootstrap)
    save_configuration(process.folder / "node.toml", configuration)
    await process.start()


def _keep_bundle(run: _Run) -> None:
    """Write the bundle that lets others join, whenever more nodes listen, or elsewhere."""
    known = [one for state in run.states.values() for one in state.addresses]
    bootstrap = tuple(known[:BOOTSTRAP_MAX])
    if bootstrap == run.bootstrap:
        return
    run.bootstrap = bootstrap
    bundle = Bundle(run.plan.genesis, bootstrap, faucet=run.plan.faucet_url)
    draft = run.order.run / "join.toml.draft"
    draft.write_bytes(format_bundle(bundle))
    draft.replace(run.order.run / "join.toml")


def _require_alive(run: _Run, name: str) -> None:
    process = run.processes[name]
    if process.is_wanted and not process.is_running:
        raise TestnetFailed(
            f"{name} ended by itself with exit code {process.exit_code}",
            f"read {process.folder / 'log.txt'}",
        )


# --- watch ---


async def _watch(run: _Run, nursery: trio.Nursery) -> None:
    run.moved_at = trio.current_time()
    told_stall = False
    while run.order.keep_running or not _is_done(run):
        await trio.sleep(LOOK_S)
        for name, record in _look(run):
            for victim in run.striker.victims(name, record):
                await _strike(run, victim, nursery)
        _keep_bundle(run)
        for name in run.processes:
            _require_alive(run, name)
        _keep_time(run, nursery)
        idle_s = trio.current_time() - run.moved_at
        if idle_s > STALL_S and not told_stall and run.ending_since is None:
            told_stall = True
            _tell_stall(run)
        if idle_s > PATIENCE_S:
            run.tell(f"no final block for {PATIENCE_S:g} s: giving up")
            return
        if run.ending_since is not None and trio.current_time() > run.ending_since + PATIENCE_S:
            run.tell(f"trees are still open after {PATIENCE_S:g} s: giving up")
            return
        told_stall = told_stall and idle_s > STALL_S


def _look(run: _Run) -> list[tuple[str, dict[str, Any]]]:
    """Take in what the nodes wrote since the last look."""
    found = [(name, record) for name, tail in run.tails.items() for record in tail.fresh()]
    for name, record in found:
        run.states[name].take(record)
        run.events.write(json.dumps({"node": name} | record) + "\n")
        before = run.story.height
        for news in run.story.news(name, record):
            run.view.take(name, news)
            sentence = run.narrator.tell(name, news)
            if sentence is not None:
                run.say(sentence)
        if run.story.height > before:
            run.moved_at = trio.current_time()
    run.view.refresh({name for name, one in run.processes.items() if one.is_running})
    return found


def _is_done(run: _Run) -> bool:
    """Whether every block is settled at every honest node that is meant to be alive; of a run for
    some minutes, whether they are over and no tree is open there.

    A cheat may be left behind: a flooder that others ban, or one that waits for what it refuses.
    """
    cheats = {one.name for one in run.plan.members if cheats_of(one.configuration.cheats)}
    living = [
        run.states[name]
        for name, one in run.processes.items()
        if one.is_wanted and name not in cheats
    ]
    waiting = run.order.restart_s is not None and any(
        not run.processes[name].is_wanted for name in run.killed
    )
    asked = run.plan.wish.blocks_asked
    if asked is None:
        return _is_quiet(run, living) and not waiting
    return not waiting and all(one.settled >= asked for one in living)


# --- a run for some minutes ---


def _keep_time(run: _Run, nursery: trio.Nursery) -> None:
    """Begin to wear the network down once it works; when its time is over, see that it ends."""
    wish, now = run.plan.wish, trio.current_time()
    if wish.blocks_asked is not None or not run.story.height:
        return
    if run.works_since is None:
        run.works_since = now
        planned = counted(len(run.order.kills), "kill")
        run.tell(f"the log grows: {wish.minutes:g} minutes begin, {planned} planned")
        nursery.start_soon(_wear_down, run, nursery, now)
    elif now >= run.works_since + 60 * wish.minutes:
        if run.ending_since is None:
            run.ending_since = run.quiet_since = now
            run.tell(f"{wish.minutes:g} minutes are over: no new blocks, open trees are finished")
        for name in _busy_sequencers(run):
            if signal_node(run.processes[name].folder, PAUSE):
                run.paused.add(name)


async def _wear_down(run: _Run, nursery: trio.Nursery, began_at: float) -> None:
    """Kill as planned, but nobody who cannot be missed as things are."""
    for kill in run.order.kills:
        await trio.sleep_until(began_at + kill.at_s)
        is_told = False
        while not may_die(run.plan, kill.victim, run.away):
            if not is_told:
                run.tell(f"{kill.victim} is spared until {', '.join(sorted(run.away))} is back")
                is_told = True
            await trio.sleep(LOOK_S)
        if run.ending_since is not None:
            return
        await _strike(run, kill.victim, nursery)


def _busy_sequencers(run: _Run) -> list[str]:
    """Those that are meant to run and were not paused."""
    return [
        one.name
        for one in run.plan.members
        if one.configuration.sequencer is not None
        and run.processes[one.name].is_wanted
        and one.name not in run.paused
    ]


def _is_quiet(run: _Run, living: list[NodeState]) -> bool:
    """Whether nothing was left to finish at any of these nodes for :data:`QUIET_SLOTS`."""
    if run.ending_since is None:
        return False
    now, least = trio.current_time(), run.story.height - LAG_TICKS
    if _busy_sequencers(run) or any(one.open or one.height < least for one in living):
        run.quiet_since = now
    return now - run.quiet_since > QUIET_SLOTS * run.plan.genesis.network.slot_ms / 1000


async def _strike(run: _Run, victim: str, nursery: trio.Nursery) -> None:
    run.tell(f"SIGKILL to {victim}")
    await run.processes[victim].kill()
    run.killed.append(victim)
    _note(run, "Killed", victim=victim)
    if run.order.restart_s is not None:
        nursery.start_soon(_bring_back, run, victim, run.order.restart_s)


async def _bring_back(run: _Run, name: str, after_s: float) -> None:
    await trio.sleep(after_s)
    run.tell(f"{name} starts again")
    _note(run, "Restarted", victim=name)
    await run.processes[name].start()


def _note(run: _Run, kind: str, **fields: Any) -> None:
    """Tell among the records of the nodes what the launcher did to them."""
    line = {"node": LAUNCHER, "at_ms": _now_ms(), "kind": kind} | fields
    run.events.write(json.dumps(line) + "\n")


def _tell_stall(run: _Run) -> None:
    others = len(run.processes) - 1
    waits = [
        f"{state.name} waits for {what}"
        for state in run.states.values()
        if (what := state.waits_for(others)) is not None and run.processes[state.name].is_wanted
    ]
    story = "; ".join(waits) or "all nodes are up and connected, but the log does not grow"
    run.tell(f"no progress for {STALL_S:g} s: {story}")


async def _stop_on_signal(run: _Run, scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            run.tell("interrupted: stopping all nodes")
            run.is_interrupted = True
            scope.cancel()


# --- finish ---


def _finish(run: _Run, alive: list[str], ended_ms: int) -> Verdict:
    killed = tuple(run.killed)
    verdict = judge(run.plan, run.order.run, alive, killed=killed, ended_ms=ended_ms)
    verdict = replace(verdict, is_interrupted=run.is_interrupted)
    write_json(run.order.run / "summary.json", verdict.fields)
    if verdict.reference is not None:
        export_run(run.order.run, run.processes[verdict.reference].folder)
    write_report(run.order.run)
    return verdict


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def make_run_folder(parent: Path) -> Path:
    """A new folder named after the time, for one run."""
    name = time.strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{number}" for number in range(2, 100))):
        folder = parent / f"{name}{suffix}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise TestnetFailed(f"{parent} is full of runs of this second", "name a folder with --out")

"""What a node spends, by how many there are: real processes, real libp2p over loopback, modelled
proofs.

A network has four validators, one of which sends transfers while two make blocks, and a prover.
Further nodes are observers, or validators of another network, which the genesis names from the
start. *Idle* is a network all of whose nodes are paused: nothing is sent and nothing is waited for.
*Loaded*, :data:`PER_SLOT` transfers a slot are sent, and blocks are made of them as fast as the
rules allow. Slots are equally long for all sizes.

A figure is the mean over nodes: milliseconds of processor time, and bytes written to sockets, for
each second. What one more node costs those that are there already is the difference between
networks with :data:`MORE` more and without, divided by :data:`MORE`, over the same nodes.
"""

from __future__ import annotations

import signal
import statistics
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import trio

from p2p.registry import ungrouped
from protocol.params import format_genesis
from protocol.signing import digest
from scripts.benchmarks.counted_node import SPENT
from scripts.benchmarks.figures import BenchFailed, Figure, Listing, Section, compare
from scripts.configuration import NodeConfiguration, TrafficConfiguration, save_configuration
from scripts.keys import save_identity
from scripts.launcher.plan import Wish, make_plan
from scripts.launcher.processes import Process, stop_all
from scripts.launcher.watch import NodeState, Tail
from scripts.node import SystemClock
from scripts.pausing import PAUSE, RESUME, signal_node
from scripts.records import read_lines

SIZES: Final = (5, 10, 20)
"""Nodes that are measured one after the other, each with the ones before."""

MORE: Final = 3
"""Nodes that stand for one more: what they cost together shows above the noise."""

PER_SLOT: Final = 4
"""Transfers a slot of a loaded network."""

SLOT_MS: Final = 1_000
VALIDATORS: Final = 4
PEERS_MIN: Final = 2
"""A node with so many peers belongs to the network."""

_PROGRAM: Final = ("scripts.benchmarks.counted_node",)
_GENESIS: Final = "genesis.toml"
_LOOK_S: Final = 0.1
_PATIENCE_S: Final = 90.0
_AGAIN: Final = "run this again when the machine is idle"


@dataclass(frozen=True, slots=True)
class Lengths:
    """Seconds of each part of a measurement; a block takes about eleven slots.

    :ivar settle_s: after nodes came, or load came or went.
    """

    settle_s: float = 3.0
    idle_s: float = 8.0
    loaded_s: float = 16.0


@dataclass(frozen=True, slots=True)
class Spent:
    """What a node spends in a second: milliseconds of processor time, and bytes sent."""

    cpu_ms: float
    sent_bytes: float


@dataclass(frozen=True, slots=True)
class Both:
    """What nodes spend, each by its name, in a network that is idle and in one that is loaded."""

    idle: dict[str, Spent]
    loaded: dict[str, Spent]


LOADS: Final = ("idle", "loaded")


def measure_sizes(sizes: Sequence[int] = SIZES, lengths: Lengths | None = None) -> Section:
    """Measure networks of several sizes, in about two minutes for the usual ones.

    :param sizes: at least five each, growing.
    :raises BenchFailed: when a node ends, or the network does not come together.
    """
    measured = trio.run(_sizes, tuple(sizes), lengths or Lengths())
    first, *others = sizes
    figures = [
        figure
        for load in LOADS
        for size in others
        for figure in _pair(
            f"a node of {size}, {load}",
            f"a node of {first}",
            _mean(getattr(measured[size], load)),
            _mean(getattr(measured[first], load)),
        )
    ]
    rows = [
        (f"{size} nodes, {load}", *_numbers(_mean(getattr(measured[size], load))))
        for load in LOADS
        for size in sizes
    ]
    return Section("nodes", _notes(), tuple(figures), (_listing("of a node, each second", rows),))


def measure_joiners(more: int = MORE, lengths: Lengths | None = None) -> Section:
    """Measure what one more observer and one more validator cost each node that is there already,
    in about two minutes.

    :raises BenchFailed: when a node ends, or the network does not come together.
    """
    base, observers, validators = trio.run(_joiners, more, lengths or Lengths())
    names = tuple(base.idle)
    figures: list[Figure] = []
    rows: list[tuple[str, ...]] = []
    for what, grown in (("observer", observers), ("validator", validators)):
        for load in LOADS:
            alone = _mean(getattr(base, load))
            together = _mean({name: getattr(grown, load)[name] for name in names})
            extra = Spent(
                (together.cpu_ms - alone.cpu_ms) / more,
                (together.sent_bytes - alone.sent_bytes) / more,
            )
            one = Spent(alone.cpu_ms + extra.cpu_ms, alone.sent_bytes + extra.sent_bytes)
            figures += _pair(f"a node with one more {what}, {load}", "without", one, alone)
            rows.append((f"one more {what}, {load}", *_numbers(extra)))
    notes = (*_notes(), f"{len(names)} nodes without and {len(names) + more} with, shared out")
    title = "difference for each node that is there already, each second"
    return Section("joiners", notes, tuple(figures), (_listing(title, rows),))


def _notes() -> tuple[str, ...]:
    return (
        f"{VALIDATORS} validators, one prover, the others observe; slots of "
        f"{SLOT_MS / 1000:g} s, modelled proofs, no HTTP; a prover's workers are not counted",
        f"idle: all nodes paused; loaded: {PER_SLOT} transfers a slot, and blocks of them",
    )


def _mean(spent: dict[str, Spent]) -> Spent:
    return Spent(
        statistics.mean(one.cpu_ms for one in spent.values()),
        statistics.mean(one.sent_bytes for one in spent.values()),
    )


def _pair(name: str, baseline: str, own: Spent, base: Spent) -> list[Figure]:
    return [
        compare(f"processor time of {name}", baseline, "ms/s", [(own.cpu_ms, base.cpu_ms)]),
        compare(f"bytes sent by {name}", baseline, "B/s", [(own.sent_bytes, base.sent_bytes)]),
    ]


def _numbers(spent: Spent) -> tuple[str, str]:
    return f"{spent.cpu_ms:.2f}", f"{spent.sent_bytes:,.0f}"


def _listing(title: str, rows: Iterable[tuple[str, ...]]) -> Listing:
    return Listing(title, ("", "processor time, ms", "bytes sent"), tuple(rows))


# --- networks ---


async def _sizes(sizes: tuple[int, ...], lengths: Lengths) -> dict[int, Both]:
    measured = {}
    async with ungrouped(), _crowd(VALIDATORS) as crowd:
        for size in sizes:
            await crowd.grow(size)
            measured[size] = await crowd.spend(lengths)
    return measured


async def _joiners(more: int, lengths: Lengths) -> tuple[Both, Both, Both]:
    async with ungrouped(), _crowd(VALIDATORS) as crowd:
        base = await crowd.spend(lengths)
        await crowd.grow(len(base.idle) + more)
        observers = await crowd.spend(lengths)
    async with ungrouped(), _crowd(VALIDATORS + more) as crowd:
        return base, observers, await crowd.spend(lengths)


@asynccontextmanager
async def _crowd(validators: int) -> AsyncIterator[_Crowd]:
    """A network with one prover, all connected."""
    with tempfile.TemporaryDirectory(prefix="provnet-nodes-") as name:
        crowd = _Crowd(Path(name), validators)
        try:
            await crowd.start()
            yield crowd
        finally:
            await stop_all(crowd.processes)


class _Crowd:
    """Nodes that run, and what they tell."""

    def __init__(self, folder: Path, validators: int) -> None:
        wish = Wish(
            validators=validators,
            provers=1,
            leaves=2,
            slot_ms=SLOT_MS,
            backend="modelled",
            leaf_ms=300,
            merge_ms=300,
            minutes=1,
        )
        plan = make_plan(wish)
        self._plan = plan.starting_at(SystemClock().now_ms() + plan.start_ms)
        self._folder = folder
        self.processes: list[Process] = []
        self._tails: list[Tail] = []
        self._states: list[NodeState] = []
        (folder / _GENESIS).write_text(format_genesis(self._plan.genesis))

    async def start(self) -> None:
        """Start all members, and wait until the log has begun."""
        for member in self._plan.members:
            configuration = replace(member.configuration, api=None)
            if configuration.traffic is not None:
                traffic = TrafficConfiguration(
                    PER_SLOT, configuration.traffic.accounts, configuration.traffic.seed
                )
                configuration = replace(configuration, traffic=traffic)
            await self._add(configuration, member.secret)
        await self._until_together(1)

    async def grow(self, size: int) -> None:
        """Add observers until there are so many nodes."""
        for number in range(len(self.processes) + 1, size + 1):
            name = f"observer-{number}"
            secret = digest(b"provnet/nodes-benchmark/1", name.encode())
            await self._add(NodeConfiguration(name, f"../../{_GENESIS}"), secret)
        await self._until_together(max(one.height for one in self._states))

    async def _add(self, configuration: NodeConfiguration, secret: bytes) -> None:
        own = self._folder / "nodes" / configuration.name
        own.mkdir(parents=True)
        save_identity(own / "keys.toml", secret)
        bootstrap = tuple(self._states[0].addresses) if self._states else ()
        save_configuration(own / "node.toml", replace(configuration, bootstrap=bootstrap))
        process = Process(own, _PROGRAM)
        self.processes.append(process)
        self._tails.append(Tail(own / "events.jsonl"))
        self._states.append(NodeState(process.name))
        await process.start()
        if not bootstrap:
            await self._until(lambda: bool(self._states[0].addresses), "no node listens")

    async def _until_together(self, height: int) -> None:
        peers = min(PEERS_MIN, len(self.processes) - 1)
        await self._until(
            lambda: all(one.peers >= peers and one.height >= height for one in self._states),
            "the nodes do not come together",
        )

    async def _until_still(self, settle_s: float) -> None:
        """Wait until nothing is open, the log does not grow, and nobody meets new peers."""
        before: list[tuple[int, int]] | None = None
        deadline = trio.current_time() + _PATIENCE_S
        while (
            before != (now := [(one.height, one.peers) for one in self._states]) or self._is_busy()
        ):
            if trio.current_time() > deadline:
                raise BenchFailed("a paused network does not come to rest", _AGAIN)
            before = now
            await trio.sleep(settle_s)
            self._look()

    def _is_busy(self) -> bool:
        return any(one.open for one in self._states)

    def _look(self) -> None:
        for tail, state in zip(self._tails, self._states, strict=True):
            for record in tail.fresh():
                state.take(record)
        dead = [one for one in self.processes if not one.is_running]
        if dead:
            told = (dead[0].folder / "log.txt").read_text()
            raise BenchFailed(f"{dead[0].name} ended by itself", f"it said: {told}")

    async def _until(self, condition: Callable[[], bool], sentence: str) -> None:
        deadline = trio.current_time() + _PATIENCE_S
        while not condition():
            await trio.sleep(_LOOK_S)
            self._look()
            if trio.current_time() > deadline:
                raise BenchFailed(sentence, _AGAIN)

    async def spend(self, lengths: Lengths) -> Both:
        """What each node spends, idle first, then loaded; idle again afterwards."""
        self._tell(PAUSE)
        await self._until_still(lengths.settle_s)
        idle = await self._over(lengths.idle_s)
        self._tell(RESUME)
        await trio.sleep(lengths.settle_s)
        loaded = await self._over(lengths.loaded_s)
        self._tell(PAUSE)
        return Both(idle, loaded)

    def _tell(self, number: signal.Signals) -> None:
        for process in self.processes:
            if not signal_node(process.folder, number):
                raise BenchFailed(f"{process.name} does not listen to signals", _AGAIN)

    async def _over(self, seconds: float) -> dict[str, Spent]:
        began = {one.name: _last(one) for one in self.processes}
        await trio.sleep(seconds)
        return {one.name: _rate(began[one.name], _last(one)) for one in self.processes}


def _last(process: Process) -> dict[str, int]:
    """A node's last reading."""
    *_, reading = read_lines(process.folder / SPENT)
    return reading


def _rate(before: dict[str, int], after: dict[str, int]) -> Spent:
    seconds = (after["at_ns"] - before["at_ns"]) / 1e9
    return Spent(
        (after["cpu_ns"] - before["cpu_ns"]) / 1e6 / seconds,
        (after["sent_bytes"] - before["sent_bytes"]) / seconds,
    )

"""How fast a newcomer catches up with a log, against the time that the log took.

The log is made in the same run (:mod:`scripts.benchmarks.stored_log`). Observers that know it serve
it, each a process of its own, over real libp2p on the loopback interface. The newcomer is a node
with an empty folder in this process. Its time counts from when it is connected to all of them until
the last block of the log is final there. All share one machine, so peers that serve take processor
time from the one that checks.

*Virtual seconds* are ticks times the length of a slot: what the log took at the least.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Final

import trio

from p2p.host import LibP2PNetwork
from p2p.journal import Journal
from p2p.node import Node, NodeParts
from p2p.observing import NodeEvent
from p2p.peers import Address, AddressBook
from p2p.registry import ungrouped
from p2p.store import Store
from protocol.happenings import BlockFinal
from protocol.params import format_genesis, network_id
from protocol.signing import digest
from prover.modelled import ModelledBackend
from scripts.benchmarks.figures import Aim, BenchFailed, Figure, Section, compare
from scripts.benchmarks.stored_log import STORE, StoredLog, make_log
from scripts.configuration import NodeConfiguration, save_configuration
from scripts.keys import derive_identity, save_identity
from scripts.launcher.processes import Process, stop_all
from scripts.launcher.watch import NodeState, Tail
from scripts.node import SystemClock, in_thread, make_replica

EPOCHS: Final = 5
"""Length of the log; a little more is on top."""

SERVERS: Final = 3
ROUNDS: Final = 3
BUDGET_S: Final = 60.0

AIM: Final = 50.0
"""Virtual seconds of log for each second of catching up."""

PATIENCE_S: Final = 120.0
"""A newcomer that needs longer is stuck."""

_LOOK_S: Final = 0.1
_GENESIS: Final = "genesis.toml"


def measure(
    epochs: int = EPOCHS, rounds: int = ROUNDS, servers: int = SERVERS, **log: int
) -> Section:
    """Make the log, serve it, catch up with it in all ways in turn.

    :param log: further arguments of :func:`scripts.benchmarks.stored_log.make_log`.
    :raises BenchFailed: when a server ends, or the newcomer does not get there.
    """
    with tempfile.TemporaryDirectory(prefix="provnet-sync-") as name:
        folder = Path(name)
        began = time.monotonic()
        made = make_log(folder, epochs, **log)
        made_s = time.monotonic() - began
        return trio.run(_measure, folder, made, made_s, (rounds, servers))


async def _measure(folder: Path, log: StoredLog, made_s: float, sizes: tuple[int, int]) -> Section:
    rounds, servers = sizes
    async with ungrouped(), _served(folder, log, servers) as addresses:
        newcomers = _Newcomers(folder, log)
        ways = {
            "one peer": (addresses[:1], False),
            f"{servers} peers": (addresses, False),
            f"a snapshot and {servers} peers": (addresses, True),
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        began = time.monotonic()
        for number in range(rounds):
            if number and (time.monotonic() - began) * (number + 1) / number > BUDGET_S:
                break
            for way, (peers, is_quick) in ways.items():
                taken[way].append(await newcomers.sync(peers, is_quick=is_quick))
    return Section(
        name="sync",
        notes=(
            f"a log of {log.ticks} ticks, {log.operations} operations, {log.moves} of them moves "
            f"of money and stake, {log.blocks} blocks of the rollup; made in {made_s:.0f} s",
            f"slots of {log.genesis.network.slot_ms / 1000:g} s: {log.lasts_s:g} virtual seconds; "
            "all processes share this machine",
        ),
        figures=tuple(_figure(log, way, seconds) for way, seconds in taken.items()),
    )


def _figure(log: StoredLog, way: str, seconds: list[float]) -> Figure:
    aim = Aim(AIM, is_least=True)
    pairs = [(log.lasts_s, spent) for spent in seconds]
    return compare(f"virtual seconds of log from {way}", "seconds to sync", "s", pairs, aim)


# --- who serves ---


@asynccontextmanager
async def _served(folder: Path, log: StoredLog, servers: int) -> AsyncIterator[list[Address]]:
    """Addresses of observers that know the whole log."""
    (folder / _GENESIS).write_text(format_genesis(log.genesis))
    processes = [_server(folder, log, number) for number in range(servers)]
    try:
        for process in processes:
            await process.start()
        yield [await _ready(process, log) for process in processes]
    finally:
        await stop_all(processes)


def _server(folder: Path, log: StoredLog, number: int) -> Process:
    name = f"server-{number + 1}"
    own = folder / "servers" / name
    own.mkdir(parents=True)
    shutil.copyfile(log.store, own / STORE)
    save_identity(own / "keys.toml", digest(b"provnet/sync-benchmark/1", name.encode()))
    save_configuration(own / "node.toml", NodeConfiguration(name, f"../../{_GENESIS}"))
    return Process(own)


async def _ready(process: Process, log: StoredLog) -> Address:
    """Where a server listens, once it has gone on from its store."""
    tail, state = Tail(process.folder / "events.jsonl"), NodeState(process.name)
    while not state.addresses or state.height < log.ticks:
        if not process.is_running:
            told = (process.folder / "log.txt").read_text()
            raise BenchFailed(f"{process.name} ended by itself", f"it said: {told}")
        await trio.sleep(_LOOK_S)
        for record in tail.fresh():
            state.take(record)
    return Address.parse(state.addresses[0])


# --- who catches up ---


class _Newcomers:
    """Nodes with an empty folder, one after the other."""

    def __init__(self, folder: Path, log: StoredLog) -> None:
        self._folder = folder
        self._log = log
        self._names: Iterator[str] = (f"newcomer-{number}" for number in count(1))

    async def sync(self, servers: list[Address], *, is_quick: bool = False) -> float:
        """Seconds until a new node has all of the log.

        :param is_quick: it may begin with a snapshot.
        """
        name, genesis = next(self._names), self._log.genesis
        network, backend = network_id(genesis), ModelledBackend()
        identity = derive_identity(digest(b"provnet/sync-benchmark/1", name.encode()))
        state = backend.genesis([(one.account, one.balance) for one in genesis.rollup])
        folder, book, tip = self._folder / name, AddressBook(), _Tip(self._log.ticks)
        folder.mkdir()
        for address in servers:
            book.add(address, bootstrap=True)
        host = LibP2PNetwork(identity.signing_seed, network, ("127.0.0.1", 0), book, discover=False)
        with Store(folder / STORE, network) as store, Journal(folder / "journal") as journal:
            parts = NodeParts(
                replica=make_replica(genesis, state, identity, store),
                network=host,
                store=store,
                journal=journal,
                backend=backend,
                genesis_state=state,
                clock=SystemClock(),
                agents=(),
                workshop=None,
                offload=in_thread,
                observer=tip.observe,
                trusted=self._log.trusted if is_quick else None,
            )
            node = Node(parts)
            async with host.run():
                with trio.move_on_after(PATIENCE_S):
                    await host.wait_for_peers(len(servers))
                    began = time.monotonic()
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(node.run)
                        await tip.reached.wait()
                        spent = time.monotonic() - began
                        nursery.cancel_scope.cancel()
                    return spent
        raise BenchFailed(
            f"{name} has {node.machine.tick} of {self._log.ticks} blocks after {PATIENCE_S:g} s",
            "run tests/p2p/test_snapshots.py: who catches up there does not either",
        )


class _Tip:
    """Notes when the log's last block is final."""

    def __init__(self, ticks: int) -> None:
        self._ticks = ticks
        self.reached = trio.Event()

    def observe(self, event: NodeEvent) -> None:
        """Told of what the node does."""
        if isinstance(event, BlockFinal) and event.applied.tick >= self._ticks:
            self.reached.set()

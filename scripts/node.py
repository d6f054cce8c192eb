"""The composition root: makes one node out of its configuration and runs it until it is told to
stop.

It boots in numbered steps, each told in ``events.jsonl`` as a ``Stage``, so that whoever watches
sees what it waits for: configuration, backend, store, replica, agents, network, run. It stops on
SIGTERM, on SIGINT, and, when asked to, at the end of its standard input, which is how a launcher
that dies takes its nodes along. The last thing it does is to write ``report.json``.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import trio

from p2p.beginning import Trusted
from p2p.host import LibP2PNetwork, assert_free
from p2p.journal import Journal
from p2p.limits import Size
from p2p.mdns import interface_of, neighbours
from p2p.node import (
    Node,
    NodeParts,
    Worked,
    Workshop,
)
from p2p.observing import NodeEvent
from p2p.peers import Address, AddressBook
from p2p.registry import NetworkEvent, ungrouped
from p2p.store import Store, unusable
from protocol.agents import Agent
from protocol.errors import Refused
from protocol.happenings import BlockFinal
from protocol.messages import block_hash
from protocol.ordering.streamlet import SignedSlots
from protocol.ordering.validators import Identity
from protocol.params import MODELLED, Genesis, network_id, parse_genesis
from protocol.ports import Clock, RollupState
from protocol.replica import Replica
from protocol.signing import digest
from protocol.types import (
    Amount,
    BasisPoints,
    Count,
    Milliseconds,
    NetworkId,
    Slot,
    Tick,
)
from prover.agent import ProverAgent, ProverSettings
from prover.backend import Plonky2Backend
from prover.bidder import BidderAgent, BidderSettings
from prover.forecast import Capacity, Times
from prover.juror import JurorAgent
from prover.modelled import ModelledBackend
from prover.pool import PoolSettings, ProvingFailed, open_pool
from prover.tasks import ProvingTask
from scripts.bundle import parse_addresses
from scripts.cheats.node import Cheats
from scripts.clerk import Clerk
from scripts.configuration import ConfigurationError, NodeConfiguration, ProverConfiguration
from scripts.greeting import Greeter
from scripts.keys import load_identity
from scripts.overrides import Override, load_overridden
from scripts.pausing import obey_signals
from scripts.records import plain, read_lines, record, record_of, write_json
from scripts.rules import machine_of
from scripts.statistics import PAUSE_S, measure
from sequencer.agent import SequencerAgent, SequencerSettings
from sequencer.attendance import AttendanceAgent
from sequencer.awards import AwardAgent, AwardSettings
from sequencer.mempool import TRANSFERS_MAX
from sequencer.traffic import Traffic
from sequencer.traffic_agent import TrafficAgent

EVENTS: Final = "events.jsonl"
"""Name of the file of what a node saw and did."""

BOOK: Final = "peers.json"
"""Name of the file of addresses."""

BOOK_PAUSE_S: Final = 10.0
"""Pause between two savings of the address book."""

T = TypeVar("T")

_CHECKS: Final = trio.CapacityLimiter(4)

log = logging.getLogger("provnet")


class SystemClock:
    """The machine's wall clock."""

    def now_ms(self) -> Milliseconds:
        """Milliseconds since the Unix epoch."""
        return Milliseconds(time.time_ns() // 1_000_000)


async def in_thread(check: Callable[[], T], /) -> T:
    """Run a check in a thread, a few at a time, and leave the loop to others."""
    return await trio.to_thread.run_sync(check, limiter=_CHECKS)


class EventLog:
    """Appends records to ``events.jsonl``: what this node saw and did, one line each, whole
    lines only.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        """Append to a file, without a line that the death of a machine cut short.

        :raises StoreError: when the file cannot be written.
        """
        self._path = path
        self._clock = clock
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._end = _whole_lines_bytes(self._handle)
            os.ftruncate(self._handle, self._end)
        except OSError as error:
            raise unusable(path, error) from error

    def close(self) -> None:
        """Append nothing more."""
        os.close(self._handle)

    def write(self, fields: dict[str, Any]) -> None:
        """Append one record. Raises StoreError when there is no room for all of it."""
        line = (json.dumps(fields, separators=(",", ":")) + "\n").encode()
        try:
            if os.write(self._handle, line) != len(line):
                raise OSError("no space left for a whole line")
        except OSError as error:
            os.ftruncate(self._handle, self._end)
            raise unusable(self._path, error) from error
        self._end += len(line)

    def stage(self, sentence: str, **fields: Any) -> None:
        """Tell how far the node has come."""
        self.write(record("Stage", self._clock.now_ms(), stage=sentence, **fields))

    def tell(self, value: Any, **more: Any) -> None:
        """Tell a dataclass value, with ``more`` fields that are plain already."""
        self.write(record_of(value, self._clock.now_ms()) | more)

    def cheat(self, name: str, what: str, **fields: Any) -> None:
        """Tell that this node cheats, or that its network is made bad."""
        log.warning("CHEAT %s: %s", name, what)
        self.write(record("Cheat", self._clock.now_ms(), cheat=name, what=what, **fields))

    def observe(self, event: NodeEvent) -> None:
        """Tell what the node did."""
        now_ms = self._clock.now_ms()
        if isinstance(event, BlockFinal):
            self._observe_final(event, now_ms)
        else:
            self.write(record_of(event, now_ms))

    def _observe_final(self, final: BlockFinal, now_ms: int) -> None:
        applied, moment = final.applied, final.moment
        for event in applied.events:
            self.write(record_of(event, now_ms, tick=applied.tick))
        self.write(
            record(
                "Final",
                now_ms,
                tick=applied.tick,
                slot=moment.slot,
                block=block_hash(final.block.header),
                proposer=moment.proposer,
                digest=applied.digest,
                operations=len(final.block.operations),
            )
        )


def _whole_lines_bytes(handle: int) -> int:
    """How many bytes of a file are whole lines: all but what follows its last line's end."""
    end = os.fstat(handle).st_size
    while end and os.pread(handle, 1, end - 1) != b"\n":
        end -= 1
    return end


class Conduct:
    """Counts what the network tells of peers, by kind, account and detail."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()

    def observe(self, event: NetworkEvent) -> None:
        """Count one."""
        peer = "" if event.peer is None else event.peer.hex()
        self.counts[event.kind, peer, event.detail] += 1


class Observers:
    """Tells several observers of each event, in order."""

    def __init__(self, observers: Sequence[Callable[[NodeEvent], None]]) -> None:
        self._observers = observers

    def __call__(self, event: NodeEvent) -> None:
        """Tell all of them."""
        for observe in self._observers:
            observe(event)


class Service:
    """What shows a node to people; this one shows nothing.

    :ivar observers: told of what the node does.
    :ivar agents: act for the node beside its others.
    """

    observers: tuple[Callable[[NodeEvent], None], ...] = ()
    agents: tuple[Agent, ...] = ()

    def sizes(self) -> dict[str, Size]:
        """Entries of everything that it keeps in memory, by name."""
        return {}

    @asynccontextmanager
    async def run(
        self, node: Node, host: LibP2PNetwork, book: AddressBook, tell: Callable[..., None]
    ) -> AsyncIterator[None]:
        """Show the node until the block is left; ``tell`` is the event log's ``stage``."""
        del node, host, book, tell
        yield


@dataclass(frozen=True, slots=True)
class Running:
    """A node that runs, for those that accompany it.

    :ivar clerk: takes what they want ordered.
    :ivar sizes: entries of everything that its process keeps in memory, by name.
    """

    folder: Path
    configuration: NodeConfiguration
    identity: Identity
    node: Node
    host: LibP2PNetwork
    greeter: Greeter
    clerk: Clerk
    sizes: Callable[[], dict[str, Size]]


class Companion(Protocol):
    """Watches a node, and does something beside it."""

    def observe(self, event: NodeEvent) -> None:
        """Told of what the node did, also of what it finds in its store; quick, never raises."""

    async def accompany(self, running: Running) -> None:
        """Started once the network runs, cancelled when the node stops."""


Follow: TypeAlias = Callable[[Callable[[], None]], Companion]
"""Given a way to stop the node, makes a companion."""


class Nobody:
    """A companion that does nothing."""

    def observe(self, event: NodeEvent) -> None:
        """Nothing."""

    async def accompany(self, running: Running) -> None:
        """Nothing."""


def follow_nothing(_stop: Callable[[], None]) -> Companion:
    """Accompanies nobody."""
    return Nobody()


def run_node(
    path: Path,
    *,
    stop_with_input: bool,
    follow: Follow = follow_nothing,
    overrides: Sequence[Override] = (),
    trusted: Trusted | None = None,
) -> None:
    """Run the node of a ``node.toml`` until it is told to stop.

    :param stop_with_input: stop at the end of standard input.
    :param follow: makes a companion of the node.
    :param overrides: what stands above the file.
    :param trusted: who may prove a snapshot with which a new node begins; None: it begins with the
        genesis.
    :raises ConfigurationError: when the configuration cannot be used.
    """
    folder, clock = path.parent, SystemClock()
    configuration = load_overridden(path, overrides)
    check_listen(configuration)
    parse_addresses((*configuration.bootstrap, *configuration.announce))
    identity = load_identity(folder / configuration.keys)
    events = EventLog(folder / EVENTS, clock)
    events.stage("reading the configuration", process=os.getpid())
    stopping = trio.CancelScope()
    companion = follow(stopping.cancel)
    start = _Start(folder, configuration, identity, events, stopping, companion, trusted)
    try:
        trio.run(_run_stoppable, start, stop_with_input)
    finally:
        events.close()


def check_listen(configuration: NodeConfiguration) -> None:
    """Refuse an address that this node cannot listen on.

    :raises ConfigurationError: when another program has it, or the machine has not.
    """
    host, port = configuration.listen_host, configuration.listen_port
    try:
        assert_free(host, port)
    except OSError as failure:
        raise ConfigurationError(
            f"this node cannot listen on {host} port {port}: {failure.strerror or failure}",
            "stop what listens there, or choose another listen_port (0: any that is free)",
        ) from None


@dataclass(frozen=True, slots=True)
class _Start:
    folder: Path
    configuration: NodeConfiguration
    identity: Identity
    events: EventLog
    stopping: trio.CancelScope
    companion: Companion
    trusted: Trusted | None


async def _run_stoppable(start: _Start, stop_with_input: bool) -> None:
    """A signal also stops a node that still starts: as soon as it can."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with ungrouped(), trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, signals, start.stopping)
            if stop_with_input:
                nursery.start_soon(_stop_at_end_of_input, start.stopping)
            await _run_node(start)
            nursery.cancel_scope.cancel()


async def _run_node(start: _Start) -> None:
    folder, configuration, identity = start.folder, start.configuration, start.identity
    events, companion = start.events, start.companion
    # 1. genesis
    clock, genesis_path = SystemClock(), folder / configuration.genesis
    genesis = _read_genesis(genesis_path)
    network = network_id(genesis)
    # 2. backend
    events.stage("loading the proof system")
    backend = make_backend(genesis, configuration.prover)
    shortage = shortage_of(configuration.prover, backend)
    genesis_state = backend.genesis([(one.account, one.balance) for one in genesis.rollup])
    # 3. network
    book = make_book(folder / BOOK, configuration)
    listen = (configuration.listen_host, configuration.listen_port)
    conduct = Conduct()
    host = LibP2PNetwork(identity.signing_seed, network, listen, book, observer=conduct.observe)
    greeter = Greeter(clock, genesis.network.slot_ms, events.stage)
    greeter.serve(host)
    # 4. observers
    agents = make_agents(configuration, identity, genesis, backend)
    clerk = Clerk()
    cheats = Cheats(configuration.cheats, events.cheat)
    service = make_service(configuration, folder, identity, network, clock)
    with (
        # 5. store
        Store(folder / "store.sqlite", network) as store,
        Journal(folder / "journal") as journal,
    ):
        events.stage("starting workers", shortage=shortage)
        async with make_workshop(configuration.prover, backend) as workshop:
            # 6. node
            parts = NodeParts(
                replica=make_replica(genesis, genesis_state, identity, store, genesis_path.parent),
                network=host,
                store=store,
                journal=journal,
                backend=backend,
                genesis_state=genesis_state,
                clock=clock,
                agents=(*agents, clerk, *service.agents),
                workshop=workshop,
                offload=in_thread,
                observer=Observers((events.observe, companion.observe, *service.observers)),
                trusted=start.trusted,
            )
            node = Node(cheats.corrupt(parts))
            # 7. run
            nearby = _nearby(configuration, host, network)
            async with (
                host.run(),
                nearby,
                cheats.running(),
                service.run(node, host, book, events.stage),
            ):
                with start.stopping:
                    async with trio.open_nursery() as nursery:
                        sizes = partial(sizes_of, node, host, agents, service)
                        running = Running(
                            folder, configuration, identity, node, host, greeter, clerk, sizes
                        )
                        await greeter.begin(node)
                        _start_beside(nursery, start, running, book)
                        await node.run()
            book.save(folder / BOOK)
        digests = digests_of(folder / EVENTS)
        write_json(folder / "report.json", report(configuration.name, node, digests, conduct))
        events.stage("stopped")


def _read_genesis(path: Path) -> Genesis:
    """Raises ConfigurationError, StoreError."""
    try:
        return parse_genesis(path.read_text())
    except OSError as error:
        raise unusable(path, error) from error
    except (Refused, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} is damaged, or is no genesis: {error}",
            "take the genesis of the network again, from its join bundle or another node",
        ) from None


def digests_of(path: Path) -> dict[int, str]:
    """The state digest after every height, from what the node told."""
    return {one["tick"]: one["digest"] for one in read_lines(path) if one["kind"] == "Final"}


def report(name: str, node: Node, digests: dict[int, str], conduct: Conduct) -> dict[str, Any]:
    """What a node says about itself when it stops."""
    machine = node.machine
    return {
        "name": name,
        "account": node.account.hex(),
        "final_height": machine.tick,
        "digests": digests,
        "halted": node.replica.halted,
        "is_paused": node.is_paused,
        "invariants_broken": list(machine.invariants()),
        "open_jobs": [job.hex() for job in machine.jobs],
        "pockets": [
            {"kind": pocket.kind.name, "owner": pocket.owner.hex(), "amount": amount}
            for pocket, amount in machine.ledger.pockets().items()
        ],
        "refused": [
            {"kind": kind, "reason": reason, "from": peer, "count": count}
            for (kind, reason, peer), count in sorted(node.refusals.items())
        ],
        "conduct": [
            {"kind": kind, "from": peer, "detail": detail, "count": count}
            for (kind, peer, detail), count in sorted(conduct.counts.items())
        ],
    }


# --- parts ---


@asynccontextmanager
async def _nearby(
    configuration: NodeConfiguration, host: LibP2PNetwork, network: NetworkId
) -> AsyncIterator[None]:
    """Find nodes on the local network and be found, where the configuration asks for it.

    :raises ConfigurationError: when that cannot be done on this machine.
    """
    if not configuration.mdns:
        yield
        return
    own = host.addresses()[0]
    try:
        interface = interface_of(own)
    except OSError as failure:
        raise ConfigurationError(
            f"this node cannot be announced on the local network: {failure.strerror or failure}",
            "connect the machine to a network, listen on IPv4, or set mdns = false",
        ) from None
    async with neighbours(network, own, interface, host.hear_of):
        yield


def make_backend(
    genesis: Genesis, prover: ProverConfiguration | None
) -> Plonky2Backend | ModelledBackend:
    """The proof system that the genesis names."""
    if genesis.network.backend == MODELLED:
        declared = prover or ProverConfiguration()
        return ModelledBackend(
            leaf_ms=Milliseconds(declared.leaf_ms), merge_ms=Milliseconds(declared.merge_ms)
        )
    return Plonky2Backend()


def make_book(path: Path, configuration: NodeConfiguration) -> AddressBook:
    """The addresses known from before, and those that the configuration names."""
    book = AddressBook.load(path) if path.exists() else AddressBook()
    for text in configuration.bootstrap:
        book.add(Address.parse(text), bootstrap=True)
    return book


def make_replica(
    genesis: Genesis,
    genesis_state: RollupState,
    identity: Identity,
    store: Store,
    rules: Path = Path(),
) -> Replica:
    """A replica at the genesis that knows the slots in which it last signed something.

    :param rules: where paths of rules in files count from.
    """
    signed = SignedSlots(
        Slot(store.own_latest("proposal") or 0), Slot(store.own_latest("vote") or 0)
    )
    return Replica(machine_of(genesis, genesis_state.root, rules), identity, signed)


def make_agents(
    configuration: NodeConfiguration,
    identity: Identity,
    genesis: Genesis,
    backend: Plonky2Backend | ModelledBackend,
) -> tuple[Agent, ...]:
    """The agents that the configuration asks for, and those of whoever comes to have log stake."""
    agents: list[Agent] = [JurorAgent(), AttendanceAgent()]
    if configuration.prover is not None:
        agents += _proving_agents(configuration.prover, backend, backs_up=configuration.backup)
    if (own := configuration.sequencer) is not None:
        settings = SequencerSettings(
            Count(own.leaf_count),
            BasisPoints(own.fee_split),
            Count(own.transfers_min),
            own.blocks_max or None,
            configuration.backup,
        )
        awards = AwardSettings(
            bid_slots=Count(own.bid_slots), price_max_percent=Count(own.price_max_percent)
        )
        agents += [SequencerAgent(settings, identity, backend), AwardAgent(awards)]
    if (traffic := configuration.traffic) is not None:
        keys = traffic_keys(traffic.seed, traffic.accounts)
        source = Traffic(traffic.seed.encode(), network_id(genesis), keys)
        agents.append(TrafficAgent(source, traffic.per_slot))
    return tuple(agents)


def _proving_agents(
    own: ProverConfiguration, backend: Plonky2Backend | ModelledBackend, *, backs_up: bool
) -> tuple[Agent, ...]:
    cost, capacity = Amount(own.cost_per_work), capacity_of(own, backend)
    offers = BidderSettings(
        cost,
        BasisPoints(own.bid_margin_bps),
        Tick(own.bid_latency_ticks),
        Count(own.bid_blocks_max),
        capacity,
    )
    settings = ProverSettings(cost, backs_up=backs_up, capacity=capacity)
    return ProverAgent(settings, backend), BidderAgent(offers)


def make_service(
    configuration: NodeConfiguration,
    folder: Path,
    identity: Identity,
    network: NetworkId,
    clock: Clock,
) -> Service:
    """What answers over HTTP, where the configuration asks for it."""
    if configuration.api is None:
        return Service()
    from scripts.service.service import HttpService

    return HttpService(configuration, folder, identity, network, clock)


def traffic_keys(seed: str, count: int) -> tuple[bytes, ...]:
    """Ed25519 seeds of the test accounts that traffic is sent from."""
    return tuple(
        digest(b"provnet/traffic-key/1", seed.encode(), index.to_bytes(4, "big"))
        for index in range(count)
    )


def budgets_of(prover: ProverConfiguration) -> PoolSettings:
    """What a prover's workers may take."""
    return PoolSettings(
        workers=prover.workers,
        cores=prover.cores,
        memory_mib=prover.memory_mib,
        sharers=prover.sharers,
    )


def shortage_of(
    prover: ProverConfiguration | None, backend: Plonky2Backend | ModelledBackend
) -> str | None:
    """A sentence that says why a prover has fewer workers than it is configured for, if it has.

    :raises ConfigurationError: when its budgets hold no worker at all.
    """
    if prover is None:
        return None
    try:
        return budgets_of(prover).shortage(backend.worker_mib)
    except ValueError as failure:
        raise ConfigurationError(
            f"this node cannot prove: {failure}",
            "give [prover] at least one worker, one core and the memory of one worker",
        ) from None


def capacity_of(prover: ProverConfiguration, backend: Plonky2Backend | ModelledBackend) -> Capacity:
    """What a prover can do, from what was declared or calibrated. Its share of the cores counts,
    as if all sharers were busy.
    """
    cores = max(1, prover.cores // prover.sharers)
    workers = min(budgets_of(prover).worker_limit(backend.worker_mib), cores)
    if isinstance(backend, ModelledBackend):
        measured = cores
        whole = (int(backend.leaf_ms), int(backend.merge_ms))
        timed = [(one_ms, -(-one_ms // cores)) for one_ms in whole]
    elif prover.leaf_cores_ms and prover.merge_cores_ms:
        timed = [(prover.leaf_ms, prover.leaf_cores_ms), (prover.merge_ms, prover.merge_cores_ms)]
        measured = prover.cores
    else:
        return Capacity(Count(cores), Count(workers))
    leaf, merge = (
        Times.of({1: one_ms} if measured == 1 else {1: one_ms, measured: cores_ms})
        for one_ms, cores_ms in timed
    )
    return Capacity(Count(cores), Count(workers), leaf, merge)


@asynccontextmanager
async def make_workshop(
    prover: ProverConfiguration | None, backend: Plonky2Backend | ModelledBackend
) -> AsyncIterator[Workshop | None]:
    """Worker processes, for a node that proves."""
    if prover is None:
        yield None
        return
    async with open_pool(backend, budgets_of(prover)) as pool:
        await pool.warm()

        async def work(task: ProvingTask) -> Worked | str:
            try:
                proved = await pool.prove(task)
            except ProvingFailed as failure:
                return str(failure)
            return Worked(proved.proof, proved.wall_ms, proved.threads)

        yield work


# --- tasks beside the node ---


async def _stop_on_signal(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for number in signals:
        log.info("stopping on signal %d", number)
        scope.cancel()


async def _stop_at_end_of_input(scope: trio.CancelScope) -> None:
    """A launcher holds the other end of our standard input: when it is gone, so are we."""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stream:
        while await stream.receive_some(1):
            pass
    scope.cancel()


def _start_beside(
    nursery: trio.Nursery,
    start: _Start,
    running: Running,
    book: AddressBook,
) -> None:
    """All that goes on beside the node."""
    node, host = running.node, running.host
    nursery.start_soon(_tell_peers, host, start.events)
    nursery.start_soon(_tell_statistics, running, start.events)
    nursery.start_soon(_save_book, book, start.folder / BOOK)
    nursery.start_soon(running.greeter.run, node, host)
    nursery.start_soon(start.companion.accompany, running)
    nursery.start_soon(obey_signals, node, start.folder)


async def _tell_peers(host: LibP2PNetwork, events: EventLog) -> None:
    addresses = [str(one) for one in host.addresses()]
    events.stage("listening", addresses=addresses)
    before: tuple[bytes, ...] | None = None
    while True:
        peers = host.peers()
        if peers != before:
            events.stage("connected", peers=[plain(one) for one in peers])
            before = peers
        await trio.sleep(0.5)


async def _tell_statistics(running: Running, events: EventLog) -> None:
    while True:
        told = {name: list(one) for name, one in running.sizes().items()}
        events.tell(measure(running.folder), sizes=told, is_paused=running.node.is_paused)
        await trio.sleep(PAUSE_S)


def sizes_of(
    node: Node, host: LibP2PNetwork, agents: Sequence[Agent], service: Service
) -> dict[str, Size]:
    """Entries of everything that a node's process keeps in memory, by name."""
    sizes = {**node.sizes(), **host.sizes(), **service.sizes()}
    for agent in agents:
        if isinstance(agent, SequencerAgent) and agent.pool is not None:
            sizes["waiting_transfers"] = Size(len(agent.pool), TRANSFERS_MAX)
    return sizes


async def _save_book(book: AddressBook, path: Path) -> None:
    while True:
        await trio.sleep(BOOK_PAUSE_S)
        book.save(path)

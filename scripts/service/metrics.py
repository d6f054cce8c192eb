"""What a node measures of itself, for Prometheus.

Rules. A registry of its own. What happens is counted as the node's observer is told of it; what
stands is read when it is asked for. Units are in the names: seconds, bytes, ticks. Labels take
values from closed lists (kinds of messages, reasons, tables), never names of peers, so that nobody
outside can make series. A node that starts again counts what it finds in its store again.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import trio
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from p2p.observing import NodeEvent, ProofCancelled, ProofFinished
from protocol.events import (
    Event,
    JobOpened,
    JobSettled,
    JobVoided,
    OperationRefused,
    ProofRecorded,
    RightMissed,
    RightOpened,
    TakenOver,
)
from protocol.happenings import BlockFinal
from protocol.ports import Clock
from protocol.types import JobId, Tick, TreeIndex
from scripts.service.answers import Source
from scripts.service.live import Hub
from scripts.statistics import Statistics, measure

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""What Prometheus calls its text format."""

READING_S: Final = 1.0
"""A reading of the process is at most so old, however often it is asked for."""

TICKS: Final = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144)
"""Bounds of waits in ticks."""

SECONDS: Final = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)
"""Bounds of proving times and of lags in seconds."""

COUNTS: Final = {
    "jobs_opened": "Jobs opened by the log.",
    "jobs_settled": "Jobs proven and paid.",
    "jobs_void": "Jobs of which nothing happened.",
    "proofs_recorded": "Proofs of tree nodes recorded by the log.",
    "windows_missed": "Windows of rights that closed without a record.",
    "takeovers": "Rights to tree nodes that passed on.",
    "own_proofs_given_up": "Proofs of this node's workers that were cancelled or failed.",
}
"""What is counted, by name."""

_COUNTED: Final[dict[type, str]] = {
    JobOpened: "jobs_opened",
    JobSettled: "jobs_settled",
    JobVoided: "jobs_void",
    ProofRecorded: "proofs_recorded",
    RightMissed: "windows_missed",
    TakenOver: "takeovers",
}

NETWORK_COUNTS: Final = {
    "gossip_published": "Messages that this node gossiped of its own.",
    "gossip_accepted": "Gossiped messages that were accepted.",
    "gossip_ignored": "Gossiped messages that were ignored.",
    "gossip_rejected": "Gossiped messages that were rejected, to their sender's cost.",
    "gossip_duplicates": "Copies of gossiped messages that had been judged already.",
    "gossip_malformed": "Gossip frames and messages that no honest program sends.",
    "requests_made": "Requests to peers.",
    "requests_failed": "Requests to peers that failed.",
    "requests_answered": "Requests of peers that were answered.",
    "requests_refused": "Requests of peers over a limit.",
    "connections_refused": "Connections that were refused.",
    "penalties": "Faults held against peers.",
    "bans": "Peers that were banned.",
}
"""Counts of the network, by the name of their field."""

PROCESS: Final = {
    "resident_bytes": "Resident memory of the node's own process, in bytes.",
    "worker_bytes": "Resident memory of its worker processes together, in bytes.",
    "workers": "Worker processes.",
    "tasks": "Tasks of the node's loop.",
    "descriptors": "Open files, pipes and sockets.",
    "sockets": "Open sockets.",
    "store_bytes": "Size of the store on disk, in bytes.",
    "journal_bytes": "Size of the journal on disk, in bytes.",
    "events_bytes": "Size of the file of events on disk, in bytes.",
}
"""What is measured of the process, by the name of its field."""


class Metrics(Collector):
    """Counts, and answers Prometheus."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._refused_by_log: Counter[tuple[str, str]] = Counter()
        self._opened: dict[tuple[JobId, TreeIndex], Tick] = {}
        self._jobs: dict[JobId, Tick] = {}
        self._reading: tuple[float, Statistics] | None = None
        self._source: Source | None = None
        self._hub: Hub | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._proving = Histogram(
            "provnet_proof_seconds",
            "Time that this node's workers took for a proof, in seconds.",
            ("level",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._record_wait = Histogram(
            "provnet_record_wait_ticks",
            "From the opening of the right to a tree node to the record of its proof, in ticks.",
            buckets=TICKS,
            registry=self._registry,
        )
        self._job_wait = Histogram(
            "provnet_job_ticks",
            "From the opening of a job to its settlement, in ticks.",
            buckets=TICKS,
            registry=self._registry,
        )
        self._finality = Histogram(
            "provnet_finality_seconds",
            "From the beginning of a log block's slot to its finality here, in seconds.",
            buckets=SECONDS,
            registry=self._registry,
        )

    def attach(self, source: Source, hub: Hub) -> None:
        """From now on there is a node to be read."""
        self._source, self._hub = source, hub

    # --- counting ---

    def observe(self, event: NodeEvent) -> None:
        """Count what the node did."""
        match event:
            case BlockFinal():
                for one in event.applied.events:
                    self._count(one, event.applied.tick)
                self._note_lag(event)
            case ProofFinished(key, wall_ms, _):
                self._proving.labels(str(key.index.level)).observe(wall_ms / 1000)
            case ProofCancelled():
                self._counts["own_proofs_given_up"] += 1

    def _note_lag(self, final: BlockFinal) -> None:
        if self._source is None:  # what is told before the node runs is old
            return
        parameters = self._source.node.machine.genesis.network
        began_ms = parameters.genesis_time_ms + final.moment.slot * parameters.slot_ms
        self._finality.observe(max(0, self._clock.now_ms() - began_ms) / 1000)

    def _count(self, event: Event, tick: Tick) -> None:
        if type(event) in _COUNTED:
            self._counts[_COUNTED[type(event)]] += 1
        match event:
            case JobOpened(job):
                self._jobs[job] = tick
            case JobSettled(job) if job in self._jobs:
                self._job_wait.observe(tick - self._jobs[job])
                self._forget(job)
            case JobVoided(job):
                self._forget(job)
            case RightOpened(job, index):
                self._opened.setdefault((job, index), tick)
            case ProofRecorded(job, index) if (job, index) in self._opened:
                self._record_wait.observe(tick - self._opened.pop((job, index)))
            case OperationRefused():
                self._refused_by_log[event.payload, event.reason] += 1

    def _forget(self, job: JobId) -> None:
        self._jobs.pop(job, None)
        for key in [one for one in self._opened if one[0] == job]:
            del self._opened[key]

    # --- telling ---

    async def endpoint(self, _request: Request) -> Response:
        """The answer to a request."""
        return Response(generate_latest(self._registry), media_type=MEDIA_TYPE)

    def collect(self) -> Iterator[Metric]:
        """Everything that is not a histogram; the library calls it."""
        for name, sentence in COUNTS.items():
            yield CounterMetricFamily(f"provnet_{name}", sentence, self._counts[name])
        refused = CounterMetricFamily(
            "provnet_operations_refused",
            "Ordered operations that the log refused.",
            labels=("payload", "reason"),
        )
        for labels, count in sorted(self._refused_by_log.items()):
            refused.add_metric(labels, count)
        yield refused
        if self._source is not None and self._hub is not None:
            yield from self._standing(self._source, self._hub)
            yield from self._of_network(self._source)
            yield from self._tables(self._source)
            yield from self._process()

    def _standing(self, source: Source, hub: Hub) -> Iterator[Metric]:
        node = source.node
        is_halted = node.replica.halted is not None
        gauges = (
            ("final_height", "Height of the last final log block, in ticks.", node.machine.tick),
            ("slot", "Slot of the wall clock, as the node last looked.", node.replica.slot),
            ("jobs_open", "Jobs that are being proven.", len(node.machine.jobs)),
            ("halted", "1 when the node disagrees with its network.", int(is_halted)),
            ("followers", "Clients that follow final blocks.", hub.followers),
        )
        for name, sentence, value in gauges:
            yield GaugeMetricFamily(f"provnet_{name}", sentence, value)
        sentence = "Clients that were too slow to follow final blocks."
        yield CounterMetricFamily("provnet_followers_dropped", sentence, hub.dropped)
        refused = CounterMetricFamily(
            "provnet_messages_refused",
            "Messages that this node refused.",
            labels=("message", "reason"),
        )
        counts: Counter[tuple[str, str]] = Counter()
        for (message, reason, _), count in node.refusals.items():
            counts[message, reason] += count
        for labels, count in sorted(counts.items()):
            refused.add_metric(labels, count)
        yield refused

    def _of_network(self, source: Source) -> Iterator[Metric]:
        told = source.network.statistics()
        yield GaugeMetricFamily("provnet_peers", "Connected peers.", told.peers)
        for name, sentence in NETWORK_COUNTS.items():
            yield CounterMetricFamily(f"provnet_{name}", sentence, getattr(told, name))

    def _tables(self, source: Source) -> Iterator[Metric]:
        length = GaugeMetricFamily(
            "provnet_entries",
            "Entries of a queue or table that the node keeps in memory.",
            labels=("table",),
        )
        most = GaugeMetricFamily(
            "provnet_entries_max",
            "Most entries that a queue or table may have, where it is bounded by itself.",
            labels=("table",),
        )
        for name, size in sorted((source.node.sizes() | source.network.sizes()).items()):
            length.add_metric((name,), size.length)
            if size.most is not None:
                most.add_metric((name,), size.most)
        yield length
        yield most

    def _process(self) -> Iterator[Metric]:
        now = trio.current_time()
        if self._reading is None or now - self._reading[0] > READING_S:
            self._reading = now, measure(self._folder)
        told = dataclasses.asdict(self._reading[1])
        for name, sentence in PROCESS.items():
            yield GaugeMetricFamily(f"provnet_{name}", sentence, told[name])
        sentence = "Processor time of the node's own process, in seconds."
        yield CounterMetricFamily(
            "provnet_processor_seconds", sentence, told["processor_ms"] / 1000
        )

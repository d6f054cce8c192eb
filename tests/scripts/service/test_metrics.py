"""What Prometheus is told, against the events that it is told from."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from p2p.observing import ProofFinished
from protocol.events import (
    JobOpened,
    JobSettled,
    OperationRefused,
    ProofRecorded,
    RightMissed,
    RightOpened,
    TakenOver,
)
from scripts.service.live import Hub
from scripts.service.metrics import Metrics
from tests.p2p.town import Town
from tests.scripts.service.serving import Client, StoppedClock, serve, source_of

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(town: Town, name: str, folder: Path) -> tuple[Samples, dict[str, str]]:
    """Samples by name and labels, and the help of each metric."""
    metrics, source = Metrics(folder, StoppedClock()), source_of(town, name)
    for event in town[name].told:
        metrics.observe(event)
    metrics.attach(source, Hub())
    texts: list[str] = []

    async def talk(client: Client) -> None:
        reply = await client.ask("/metrics")
        assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        texts.append(reply.body.decode())

    serve(source, talk, others={"metrics": metrics.endpoint})
    families = list(text_string_to_metric_families(texts[0]))
    samples = {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }
    return samples, {family.name: family.documentation for family in families}


def test_what_happened_is_counted(town: Town, tmp_path: Path) -> None:
    samples, _ = scraped(town, "validator-1", tmp_path)
    witness = town["validator-1"]
    for kind, name in (
        (JobOpened, "jobs_opened"),
        (JobSettled, "jobs_settled"),
        (ProofRecorded, "proofs_recorded"),
        (RightMissed, "windows_missed"),
        (TakenOver, "takeovers"),
    ):
        assert samples[f"provnet_{name}_total", ()] == len(witness.events(kind)) > 0
    refused = witness.events(OperationRefused)
    told = [value for (name, _), value in samples.items() if "operations_refused_total" in name]
    assert sum(told) == len(refused)


def test_waits_are_those_of_the_log(town: Town, tmp_path: Path) -> None:
    samples, _ = scraped(town, "validator-1", tmp_path)
    opened: dict[object, int] = {}
    waits: list[int] = []
    for tick, final in sorted(town["validator-1"].finals.items()):
        for event in final.applied.events:
            if isinstance(event, RightOpened):
                opened.setdefault((event.job, event.index), tick)
            elif isinstance(event, ProofRecorded):
                waits.append(tick - opened[event.job, event.index])
    assert samples["provnet_record_wait_ticks_count", ()] == len(waits)
    assert samples["provnet_record_wait_ticks_sum", ()] == sum(waits)


def test_own_proofs_are_timed_by_level(town: Town, tmp_path: Path) -> None:
    samples, _ = scraped(town, "prover-2", tmp_path)
    took: dict[str, list[int]] = {}
    for event in town["prover-2"].told:
        if isinstance(event, ProofFinished):
            took.setdefault(str(event.key.index.level), []).append(event.wall_ms)
    assert took
    for level, times in took.items():
        label = (("level", level),)
        assert samples["provnet_proof_seconds_count", label] == len(times)
        assert abs(samples["provnet_proof_seconds_sum", label] - sum(times) / 1000) < 1e-6


def test_what_stands_is_read(town: Town, tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(bytes(123))
    samples, _ = scraped(town, "validator-1", tmp_path)
    node = town["validator-1"].running
    assert samples["provnet_final_height", ()] == node.machine.tick > 0
    assert samples["provnet_peers", ()] == 2
    assert samples["provnet_gossip_duplicates_total", ()] == 7
    assert samples["provnet_journal_bytes", ()] == 123
    assert samples["provnet_resident_bytes", ()] > 1_000_000
    for table, size in node.sizes().items():
        assert samples["provnet_entries", (("table", table),)] == size.length


def test_every_metric_says_what_it_is_and_in_which_unit(town: Town, tmp_path: Path) -> None:
    _, helps = scraped(town, "validator-1", tmp_path)
    assert len(helps) > 40
    for name, sentence in helps.items():
        assert name.startswith("provnet_")
        assert sentence.endswith(".")
        for unit in ("bytes", "seconds", "ticks"):
            assert (unit in name) <= (unit in sentence)

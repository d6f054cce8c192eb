"""Makes the story of a run out of its records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from protocol.params import MODELLED, network_id
from scripts.folder import SUMMARY, load_summary
from scripts.report.attempts import attempts_of
from scripts.report.blocks import blocks_of, note_of
from scripts.report.money import flows_of
from scripts.report.records import Records, read_records
from scripts.report.values import Attempt, BlockStory, CheatSeen, Mark, Note, Refusal, Story

THE_LOG: Final = "the log"
"""Stands for the node that refused, where all did: an ordered operation."""

_MARKS: Final = ("Killed", "Restarted")
_SHOWN: Final = frozenset(
    {
        "BlockSealed",
        "Final",
        "IntentRegistered",
        "LeaderElected",
        "Moved",
        "OperationAccepted",
        "OperationRefused",
        "RoundOpened",
    }
)
"""Kinds of final events outside jobs that need no line of their own."""


def gather(run: Path) -> Story:
    """All that the page of a run shows.

    :raises RunUnreadable: when the genesis, or a summary that is there, cannot be read.
    """
    records = read_records(run)
    marks = tuple(_marks(records))
    attempts = attempts_of(records, marks)
    blocks = blocks_of(records, attempts)
    network = records.genesis.network
    return Story(
        name=run.resolve().name,
        network=network_id(records.genesis).hex(),
        is_modelled=network.backend == MODELLED,
        provers=tuple(_provers(records, attempts)),
        reference=records.reference,
        ticks=max(records.final_ms, default=0),
        end_ms=records.end_ms,
        facts=tuple(_facts(records)),
        summary=load_summary(run) if (run / SUMMARY).exists() else None,
        blocks=blocks,
        attempts=tuple(_with_records(attempts, blocks)),
        marks=marks,
        flows=flows_of(records),
        refusals=tuple(_refusals(records)),
        cheats=tuple(_cheats(records)),
        notes=tuple(_notes(records)),
    )


def _marks(records: Records) -> Iterator[Mark]:
    for line in records.launcher:
        if line["kind"] in _MARKS:
            yield Mark(line["victim"], records.since(line), line["kind"])


def _provers(records: Records, attempts: tuple[Attempt, ...]) -> Iterator[str]:
    """Whoever has prover stake, proved, or was assigned or recorded anything."""
    seen = {one.node for one in attempts}
    seen |= {one.name for one in records.genesis.accounts if one.prover_stake}
    for line in records.story:
        if line["kind"] in ("Assigned", "ProofRecorded") and line["prover"] is not None:
            seen.add(records.name(line["prover"]))
    known = [one.name for one in records.genesis.accounts if one.name in seen]
    yield from (*known, *sorted(seen - set(known)))


def _with_records(
    attempts: tuple[Attempt, ...], blocks: tuple[BlockStory, ...]
) -> Iterator[Attempt]:
    """The attempts as their blocks have them; those of unknown jobs as they are."""
    known = {block.job for block in blocks}
    told = [one for block in blocks for place in block.places for one in place.attempts]
    told += [one for one in attempts if one.job not in known]
    yield from sorted(told, key=lambda one: (one.start_ms, one.node, one.job, one.place))


def _facts(records: Records) -> Iterator[tuple[str, str]]:
    genesis = records.genesis
    network = genesis.network
    yield "proofs", network.backend
    yield "sequencing", genesis.sequencing.name
    yield "proving", genesis.proving.name
    yield "slot", f"{network.slot_ms / 1000:g} s"
    yield "operation fee", f"{network.operation_fee:,}"
    for line in records.launcher:
        if line["kind"] == "Launched":
            yield "faults asked for", ", ".join(line["faults"]) or "none"
    for choice in (genesis.sequencing, genesis.proving):
        for one in choice.settings:
            yield one.name.replace("_", " "), one.value


def _refusals(records: Records) -> Iterator[Refusal]:
    """Messages that nodes refused, then ordered operations that the log refused."""
    counts: dict[tuple[str, str, str, str], int] = {}
    for node, lines in records.by_node.items():
        for line in lines:
            if line["kind"] == "MessageRefused":
                sender = "nobody known" if line["peer"] is None else records.name(line["peer"])
                key = sender, line["message"], line["reason"], node
                counts[key] = counts.get(key, 0) + 1
    for line in records.story:
        if line["kind"] == "OperationRefused":
            key = records.name(line["sender"]), line["payload"], line["reason"], THE_LOG
            counts[key] = counts.get(key, 0) + 1
    for (sender, kind, reason, seen_by), count in sorted(counts.items()):
        yield Refusal(sender, kind, reason, seen_by, count)


def _cheats(records: Records) -> Iterator[CheatSeen]:
    seen: dict[tuple[str, str, str], list[int]] = {}
    for node, lines in records.by_node.items():
        for line in lines:
            if line["kind"] == "Cheat":
                key = node, line["cheat"], line["what"]
                seen.setdefault(key, []).append(records.since(line))
    for (node, cheat, what), times in seen.items():
        yield CheatSeen(node, cheat, what, len(times), min(times), max(times))


def _notes(records: Records) -> Iterator[Note]:
    """Final events that belong to no job, of kinds that are shown nowhere else."""
    jobs = {line["job"] for line in records.story if line["kind"] == "JobOpened"}
    for line in records.story:
        if line["kind"] not in _SHOWN and line.get("job") not in jobs:
            yield note_of(records, line)

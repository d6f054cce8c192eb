"""The page of any story that the property kit tells: void blocks, draws, open stages, refusals."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from protocol.events import JobOpened, JobSettled, JobVoided, OperationRefused, ProofRecorded
from protocol.ledger import Moved
from protocol.params import format_genesis
from scripts.explain.publiclog import PublicLog
from scripts.records import record, record_of
from scripts.report.gather import gather
from scripts.report.page import page
from scripts.report.values import Outcome
from tests.scripts.public import STORIES, public_story
from tests.scripts.test_report import Tags

TICK_MS = 1_000


def run_of(log: PublicLog, folder: Path) -> Path:
    """A run folder in which one node told the story, a tick a second."""
    lines = []
    for step in log.steps:
        tick, at_ms = step.moment.tick, step.moment.tick * TICK_MS
        lines += [record_of(event, at_ms, tick=tick) for event in step.events]
        lines.append(record("Final", at_ms, tick=tick, slot=step.moment.slot))
    text = "".join(json.dumps({"node": "witness"} | line) + "\n" for line in lines)
    (folder / "events.jsonl").write_text(text)
    (folder / "genesis.toml").write_text(format_genesis(log.genesis))
    return folder


@pytest.mark.parametrize("seed", range(STORIES))
def test_the_page_tells_a_story_as_it_was(seed: int, tmp_path: Path) -> None:
    log = public_story(seed)
    run = run_of(log, tmp_path)
    story = gather(run)
    events = [one.event for one in log.happenings()]

    opened = [one.job.hex() for one in events if isinstance(one, JobOpened)]
    assert [block.job for block in story.blocks] == opened
    ends = {one.job.hex(): "settled" for one in events if isinstance(one, JobSettled)}
    ends |= {one.job.hex(): "void" for one in events if isinstance(one, JobVoided)}
    assert {block.job: block.end for block in story.blocks if block.end != "open"} == ends
    void = {one.job.hex(): one.because.hex() for one in events if isinstance(one, JobVoided)}
    for block in story.blocks:
        named = None if block.because is None else opened[block.because - 1]
        assert named == void.get(block.job)

    recorded = {
        (one.job.hex(), one.index.level, one.index.position): log.name(one.prover)
        for one in events
        if isinstance(one, ProofRecorded)
    }
    for block in story.blocks:
        for place in block.places:
            name = recorded.pop((block.job, place.level, place.position), None)
            assert (None if place.record is None else place.record.prover) == name
            is_own = place.outcome in (Outcome.OWN, Outcome.LATE)
            assert is_own == (name is not None and name in place.assigned)
    assert not recorded

    moved = Counter[str]()
    for one in events:
        if isinstance(one, Moved):
            moved[one.cause.name] += one.amount
    assert moved == sum((Counter({one.cause: one.gained}) for one in story.flows), Counter())
    assert moved == sum((Counter({one.cause: one.lost}) for one in story.flows), Counter())
    refused = sum(isinstance(one, OperationRefused) for one in events)
    assert sum(one.count for one in story.refusals) == refused

    tags = Tags()
    tags.feed(page(story))
    assert not tags.waiting


def test_the_stories_reach_every_outcome(tmp_path: Path) -> None:
    seen: set[Outcome] = set()
    ends: set[str] = set()
    for seed in range(STORIES):
        story = gather(run_of(public_story(seed), tmp_path))
        seen |= {place.outcome for block in story.blocks for place in block.places}
        ends |= {block.end for block in story.blocks}
    assert seen >= {Outcome.OWN, Outcome.TAKEOVER, Outcome.OPEN, Outcome.MISSED, Outcome.WAITING}
    assert ends == {"settled", "void", "open"}

"""What must hold of a town whose process was killed at every point of its writes.

The oracles read files only: what was seen before each death, and the stores that were left.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from p2p.store import Store
from protocol.codec import decode, encode
from protocol.messages import LOG_BLOCK_BYTES_MAX, VOTE_BYTES_MAX, LogBlock, SignedVote
from protocol.params import network_id
from protocol.ports import Topic
from scripts.node import EVENTS
from tests.p2p.crashing import SEEN, WISH
from tests.p2p.town import Town

ROOT = Path(__file__).resolve().parents[2]
KILLED = -9


@dataclass(frozen=True)
class Said:
    """A proposal or vote that others saw."""

    kind: str
    slot: int
    signed: bytes


@dataclass(frozen=True)
class Remains:
    """What a town left behind."""

    folder: Path
    ends: dict[str, int]
    seen: list[dict[str, Any]]
    town: Town

    def said(self) -> Iterator[tuple[str, Said]]:
        """Who said what in the log, in the order in which it was published."""
        names = {one.account.hex(): name for name, one in self.town.residents.items()}
        for one in self.seen:
            payload = bytes.fromhex(one.get("payload", ""))
            if one.get("topic") == Topic.LOG_VOTES.value:
                vote = decode(SignedVote, payload, size_max=VOTE_BYTES_MAX)
                yield names[one["by"]], Said("vote", vote.vote.slot, payload)
            elif one.get("topic") == Topic.LOG_PROPOSALS.value:
                block = decode(LogBlock, payload, size_max=LOG_BLOCK_BYTES_MAX)
                yield names[one["by"]], Said("proposal", block.header.slot, encode(block.signed))

    def store(self, name: str) -> Store:
        network = network_id(self.town.genesis)
        return Store(self.folder / name / "store.sqlite", network)

    def finals(self, name: str) -> Iterator[tuple[int, str]]:
        """Height and digest of every block that a node told was final, in all of its lives."""
        for line in (self.folder / name / EVENTS).read_text().splitlines():
            event = json.loads(line)
            if event["kind"] == "Final":
                yield event["tick"], event["digest"]


@pytest.fixture(scope="module")
def remains(tmp_path_factory: pytest.TempPathFactory) -> Remains:
    folder = tmp_path_factory.mktemp("crashing")
    command = [sys.executable, "-m", "tests.p2p.crashing", str(folder)]
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    stormy = folder / "stormy"
    return Remains(
        folder=stormy,
        ends=dict(json.loads(line) for line in told.splitlines()),
        seen=[json.loads(line) for line in (stormy / SEEN).read_text().splitlines()],
        town=Town(stormy, WISH),
    )


def test_it_died_at_every_point_and_lived_on(remains: Remains) -> None:
    ends = dict(remains.ends)
    assert (ends.pop("calm"), ends.pop("last")) == (0, 0)
    assert set(ends.values()) == {KILLED}
    assert {"append: begun", "append: written", "put_block: grouped"} <= set(ends)
    methods = ("remember_own", "finalise", "put_body", "put_note", "transaction", "prune_forks")
    states = ("begun", "written", "committed")
    assert {f"{method}: {state}" for method in methods for state in states} <= set(ends)


def test_nobody_signed_twice_for_one_slot(remains: Remains) -> None:
    said: dict[tuple[str, str, int], set[bytes]] = defaultdict(set)
    for name, one in remains.said():
        said[name, one.kind, one.slot].add(one.signed)
    assert len(said) > len(remains.ends)
    assert {place: len(ways) for place, ways in said.items() if len(ways) > 1} == {}


def test_what_was_said_was_durable_before(remains: Remains) -> None:
    with ExitStack() as stack:
        names = remains.town.residents
        stores = {name: stack.enter_context(remains.store(name)) for name in names}
        for name, one in remains.said():
            assert stores[name].own(one.kind, one.slot) == one.signed


def test_what_was_told_final_stays(remains: Remains) -> None:
    digests: dict[int, str] = {}
    for name in remains.town.residents:
        heights = set()
        for height, digest in remains.finals(name):
            heights.add(height)
            assert digests.setdefault(height, digest) == digest
        with remains.store(name) as store:
            assert heights == set(range(1, store.final_height() + 1))


def test_every_proof_and_body_that_was_served_was_whole(remains: Remains) -> None:
    served = [one["is_whole"] for one in remains.seen if one["kind"] == "served"]
    assert len(served) > len(remains.ends)
    assert all(served)

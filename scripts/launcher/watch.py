"""Reads what the nodes of a run write, as it grows, and keeps what a person or a judge wants to
know of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Tail:
    """The records that one node has appended to its ``events.jsonl`` since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def fresh(self) -> Iterator[dict[str, Any]]:
        """New records, whole lines only."""
        if not self._path.exists():
            return
        with self._path.open("rb") as lines:
            lines.seek(self._offset)
            for line in lines:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                yield json.loads(line)


class Story:
    """What all nodes tell, with each final tick once: whole, from the first that has it whole.

    What a node does by itself is passed on as it is told.

    :ivar height: greatest height that was told.
    """

    def __init__(self) -> None:
        self.height = 0
        self._waiting: dict[str, list[dict[str, Any]]] = {}

    def news(self, node: str, record: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The records that a record of a node brings to light, in their order; often none."""
        waiting = self._waiting.setdefault(node, [])
        if "tick" not in record:
            if record["kind"] == "Stage":  # a node that starts again tells its ticks anew
                waiting.clear()
            yield record
            return
        waiting.append(record)
        if record["kind"] != "Final":
            return
        self._waiting[node] = []
        if record["tick"] > self.height:
            self.height = record["tick"]
            yield from waiting


@dataclass(slots=True)
class NodeState:
    """What is known of one node.

    :ivar stage: how far it has come while booting.
    :ivar height: its final height, as told since it was started.
    :ivar settled: jobs that it saw settled, as told since then.
    :ivar open: rounds and jobs that it saw open and not come to an end.
    :ivar peers: how many peers it is connected to.
    :ivar url: where it shows itself to a browser; empty before.
    """

    name: str
    stage: str = "starting"
    height: int = 0
    settled: int = 0
    open: set[str] = field(default_factory=set)
    peers: int = 0
    addresses: list[str] = field(default_factory=list)
    url: str = ""

    def take(self, record: dict[str, Any]) -> None:
        """Note a record of this node."""
        match record["kind"]:
            case "Stage":
                self._take_stage(record)
            case "Final":
                self.height = record["tick"]
            case "RoundOpened":
                self.open.add(f"round {record['round']}")
            case "RoundSkipped":
                self.open.discard(f"round {record['round']}")
            case "JobOpened":
                self.open.discard(f"round {record['header']['round']}")
                self.open.add(record["job"])
            case "JobSettled" | "JobVoided":
                self.settled += record["kind"] == "JobSettled"
                self.open.discard(record["job"])

    def _take_stage(self, record: dict[str, Any]) -> None:
        self.stage = record["stage"]
        if "process" in record:
            self.height = self.settled = 0
            self.open.clear()
        if self.stage == "connected":
            self.peers = len(record["peers"])
        if "addresses" in record:
            self.addresses = record["addresses"]
        self.url = record.get("url", self.url)

    def waits_for(self, others: int) -> str | None:
        """What the node waits for before the first block, None when for nothing of its own."""
        if self.stage == "connected" and self.peers >= min(others, 2):
            return None
        if self.stage in ("listening", "connected"):
            return f"peers ({self.peers} of {others})"
        return self.stage

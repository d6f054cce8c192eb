"""A node like any other that also writes down what it spent, for :mod:`scripts.benchmarks.nodes`.

Run as ``python -m scripts.benchmarks.counted_node NODE.toml --stop-with-input``. Twice a second it
appends a line to ``spent.jsonl`` beside the file: the machine's monotonic clock, the processor time
of its own process (a prover's workers not among it), and the bytes that it wrote to its sockets.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from scripts.benchmarks.network_peer import bytes_sent, count_sent_bytes
from scripts.node import Nobody, Running, run_node

SPENT: Final = "spent.jsonl"
"""Name of the file."""

PAUSE_S: Final = 0.5
"""Seconds between two lines."""


class Meter(Nobody):
    """Writes down what its node spends."""

    async def accompany(self, running: Running) -> None:
        """A line now and then, until cancelled."""
        with (running.folder / SPENT).open("a", buffering=1) as lines:
            while True:
                reading = {
                    "at_ns": time.monotonic_ns(),
                    "cpu_ns": time.process_time_ns(),
                    "sent_bytes": bytes_sent(),
                }
                lines.write(json.dumps(reading) + "\n")
                await trio.sleep(PAUSE_S)


def _meter(_stop: Callable[[], None]) -> Meter:
    return Meter()


if __name__ == "__main__":
    count_sent_bytes()
    run_node(Path(sys.argv[1]), stop_with_input=True, follow=_meter)

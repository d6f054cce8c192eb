"""What gossip and exchange cost: eight processes on this machine, real libp2p over loopback.

Nobody proves or votes: the peers are guarded nodes whose judge accepts everything, connected to
each other and subscribed to every topic. CPU is the time of all their processes, less what they
spent in the same run on being connected; a delivery is one message that reached one peer that had
not published it. Times in milliseconds depend on what else the machine does, CPU much less.

Bounded in count and time; nothing leaves the loopback interface.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from scripts.benchmarks.network_peer import BODY_BYTES, PAYLOAD_BYTES, SETTLE_S

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS: Final = 8
RATES: Final = (1, 10, 50)
"""Messages a second, of all peers together."""

FETCHES: Final = 50
WARM_S: Final = 3.0
"""Seconds from the connection to the first phase: the meshes form."""

_LEAD_S: Final = 0.2
_STOP_S: Final = 10.0


def measure(
    seconds: float, peers: int = PEERS, rates: tuple[int, ...] = RATES, fetches: int = FETCHES
) -> dict[str, object]:
    """Measure idling, each rate, and fetching.

    :param seconds: of each phase; a run takes about ``(len(rates) + 1) * (seconds + 1) + 10``.
    :returns: numbers named with their units, ready for JSON.

    Raises RuntimeError when a peer ends or cannot connect.
    """
    with _running(peers) as crowd:
        crowd.ask({"do": "connect", "addresses": crowd.addresses})
        crowd.gossip(0, WARM_S)
        idle = crowd.gossip(0, seconds)
        idle_cpu_ms = _sum(idle, "cpu_ns") / 1e6
        idle_bytes = _sum(idle, "sent_bytes")
        gossip = []
        for rate in rates:
            spent = crowd.gossip(rate, seconds)
            delays_ms = [delay / 1000 for one in spent for delay in one["delays_us"]]
            deliveries = max(1, len(delays_ms))
            gossip.append(
                {
                    "messages_per_second": rate,
                    "deliveries": len(delays_ms),
                    "deliveries_missing": int(rate * seconds) * (peers - 1) - len(delays_ms),
                    "delay_p50_ms": percentile(delays_ms, 50),
                    "delay_p99_ms": percentile(delays_ms, 99),
                    "cpu_ms_per_delivery": (_sum(spent, "cpu_ns") / 1e6 - idle_cpu_ms) / deliveries,
                    "duplicates_per_delivery": _sum(spent, "duplicates") / deliveries,
                    "bytes_per_delivery": (_sum(spent, "sent_bytes") - idle_bytes) / deliveries,
                }
            )
        fetched = crowd.ask({"do": "fetch", "times": fetches}, only=0)
        delays_ms = [delay / 1000 for one in fetched for delay in one["delays_us"]]
    return {
        "peers": peers,
        "payload_bytes": PAYLOAD_BYTES,
        "idle_cpu_ms_per_second_per_peer": idle_cpu_ms / (seconds + SETTLE_S) / peers,
        "idle_bytes_per_second_per_peer": idle_bytes / (seconds + SETTLE_S) / peers,
        "gossip": gossip,
        "fetch": {
            "body_bytes": BODY_BYTES,
            "fetches": fetches,
            "delay_p50_ms": percentile(delays_ms, 50),
            "delay_p99_ms": percentile(delays_ms, 99),
        },
    }


def percentile(values: list[float], percent: int) -> float | None:
    """The smallest value that at least ``percent`` of all do not exceed; None without values."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None


def _sum(answers: list[dict[str, Any]], name: str) -> int:
    return sum(answer[name] for answer in answers)


class _Crowd:
    """The peers' processes; what is asked of them is answered or they are gone."""

    def __init__(self, children: list[subprocess.Popen[str]]) -> None:
        self._children = children
        self.addresses = [_answer(child) for child in children]

    def ask(self, command: dict[str, Any], only: int | None = None) -> list[dict[str, Any]]:
        """Tell all peers, or one, what to do; returns their answers."""
        asked = self._children if only is None else [self._children[only]]
        for child in asked:
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it is gone: its answer will be missing
                child.stdin.write(json.dumps(command) + "\n")
                child.stdin.flush()
        return [_answer(child) for child in asked]

    def gossip(self, rate: int, seconds: float) -> list[dict[str, Any]]:
        """One phase, begun by all peers at one moment."""
        begins_ns = time.monotonic_ns() + int(1e9 * _LEAD_S)
        return self.ask({"do": "gossip", "begins_ns": begins_ns, "rate": rate, "seconds": seconds})


def _answer(child: subprocess.Popen[str]) -> Any:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise RuntimeError("a peer of the network benchmark ended; its errors are above")
    return json.loads(line)


@contextlib.contextmanager
def _running(count: int) -> Iterator[_Crowd]:
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    with contextlib.ExitStack() as stack:
        children = []
        for index in range(count):
            command = [sys.executable, "-m", "scripts.benchmarks.network_peer"]
            child = subprocess.Popen(
                [*command, str(index), str(count)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                text=True,
            )
            stack.callback(_stop, child)
            children.append(child)
        yield _Crowd(children)


def _stop(child: subprocess.Popen[str]) -> None:
    # the end of its input ends a peer; one that does not hear it is killed
    assert child.stdin is not None
    assert child.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    child.stdout.close()

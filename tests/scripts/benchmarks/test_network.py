"""The network benchmark: a small run of real processes, and what it does when one of them ends."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from scripts.benchmarks import network


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert network.percentile(values, 50) == 50
    assert network.percentile(values, 99) == 99
    assert network.percentile(values, 100) == 100
    assert network.percentile([7.0], 1) == 7
    assert network.percentile([], 50) is None


def test_a_small_run_delivers_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "WARM_S", 1.0)
    found: Any = network.measure(0.5, peers=3, rates=(20,), fetches=4)
    assert json.loads(json.dumps(found)) == found
    (gossip,) = found["gossip"]
    assert gossip["messages_per_second"] == 20
    assert gossip["deliveries"] == 10 * 2
    assert gossip["deliveries_missing"] == 0
    assert 0 < gossip["delay_p50_ms"] <= gossip["delay_p99_ms"]
    # each copy carries the payload, the author, and two signatures' worth of envelope
    assert gossip["bytes_per_delivery"] > found["payload_bytes"]
    assert found["idle_cpu_ms_per_second_per_peer"] > 0
    assert found["fetch"]["fetches"] == 4
    assert 0 < found["fetch"]["delay_p50_ms"] <= found["fetch"]["delay_p99_ms"]


def test_a_peer_that_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network.sys, "executable", shutil.which("false"))
    with pytest.raises(RuntimeError, match="a peer of the network benchmark ended"):
        network.measure(0.1, peers=2)

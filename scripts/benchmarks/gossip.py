"""The figures of :mod:`scripts.benchmarks.network`: one run of eight processes, so one round.

*Messages sent for a delivery* are the copies that peers were sent, the one that was delivered among
them; *bytes* are all that went into sockets beyond what being connected takes: copies, their
envelopes, and what the mesh says of them.
"""

from __future__ import annotations

from typing import Any, Final

from scripts.benchmarks import network
from scripts.benchmarks.figures import Aim, Figure, Listing, Section, compare

SECONDS: Final = 10.0
"""Length of each phase."""

CPU_MS: Final = 2.4
"""Processor time of all processes for one delivery that is good enough, in milliseconds."""


def measure(seconds: float = SECONDS) -> Section:
    """Measure, in about a minute.

    Raises RuntimeError when a process ends or cannot connect.
    """
    measured: dict[str, Any] = network.measure(seconds)
    return section_of(measured)


def section_of(measured: dict[str, Any]) -> Section:
    """What :func:`scripts.benchmarks.network.measure` returned, as figures."""
    gossip, fetch = measured["gossip"], measured["fetch"]
    slowest = gossip[0]
    usual = f"delivery at {slowest['messages_per_second']}/s, median"
    figures = [
        _one(
            f"processor time of a delivery at {row['messages_per_second']}/s",
            f"{CPU_MS:g} ms",
            (row["cpu_ms_per_delivery"], CPU_MS),
            None if row is slowest else Aim(1.0, is_least=False),
        )
        for row in gossip
    ]
    figures += [figure for row in gossip for figure in _sent(row, measured["payload_bytes"])]
    if slowest["delay_p50_ms"] is not None:
        base = slowest["delay_p50_ms"]
        figures += [
            _one(f"delivery at {row['messages_per_second']}/s, {name}", usual, (row[key], base))
            for row in gossip
            for name, key in (("median", "delay_p50_ms"), ("p99", "delay_p99_ms"))
            if row[key] is not None and (row is not slowest or name != "median")
        ]
        body = f"fetch of {fetch['body_bytes']:,} bytes, median"
        figures.append(_one(body, usual, (fetch["delay_p50_ms"], base)))
    return Section(
        name="network",
        notes=(
            f"{measured['peers']} processes, messages of {measured['payload_bytes']} bytes",
            f"idle, each takes {measured['idle_cpu_ms_per_second_per_peer']:.3g} ms of processor "
            "time a second; deliveries are counted without it, so the slowest rate says little",
        ),
        figures=tuple(figures),
        listings=(_rates(gossip),),
    )


def _one(name: str, baseline: str, pair: tuple[float, float], aim: Aim | None = None) -> Figure:
    return compare(name, baseline, "ms", [pair], aim)


def _sent(row: dict[str, Any], payload_bytes: int) -> tuple[Figure, Figure]:
    """What all peers sent for one delivery: bytes of all kinds, and copies of the message."""
    copies, rate = 1 + row["duplicates_per_delivery"], f"at {row['messages_per_second']}/s"
    return (
        compare(
            f"bytes sent for a delivery {rate}",
            "its payload",
            "B",
            [(row["bytes_per_delivery"], payload_bytes)],
        ),
        compare(f"messages sent for a delivery {rate}", "one", "", [(copies, 1.0)]),
    )


def _rates(gossip: list[dict[str, Any]]) -> Listing:
    """Everything that was counted, by rate."""
    names = tuple(gossip[0])
    rows = tuple(
        tuple("" if row[name] is None else f"{row[name]:.4g}" for name in names) for row in gossip
    )
    return Listing("by rate", tuple(name.replace("_", " ") for name in names), rows)

"""What nodes spend: the arithmetic, and two small networks of real processes."""

from __future__ import annotations

import pytest

from scripts.benchmarks import nodes
from scripts.benchmarks.nodes import Both, Lengths, Spent

SHORT = Lengths(settle_s=0.5, idle_s=1.0, loaded_s=2.0)


def both(names: list[str], idle: Spent, loaded: Spent) -> Both:
    return Both(dict.fromkeys(names, idle), dict.fromkeys(names, loaded))


def test_a_rate_is_what_was_spent_in_the_time_between() -> None:
    before = {"at_ns": 10**9, "cpu_ns": 5 * 10**6, "sent_bytes": 100}
    after = {"at_ns": 3 * 10**9, "cpu_ns": 25 * 10**6, "sent_bytes": 900}
    assert nodes._rate(before, after) == Spent(cpu_ms=10.0, sent_bytes=400.0)


def test_one_more_node_is_the_difference_over_those_that_were_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The newcomers' own spending does not count."""
    base = both(["a", "b"], Spent(10.0, 1_000.0), Spent(20.0, 2_000.0))
    grown = both(["a", "b"], Spent(14.0, 1_600.0), Spent(20.0, 2_000.0))
    dear = dict.fromkeys(["c", "d"], Spent(99.0, 9_999.0))
    observers = Both(grown.idle | dear, grown.loaded | dear)

    async def joiners(_more: int, _lengths: Lengths) -> tuple[Both, Both, Both]:
        return base, observers, base

    monkeypatch.setattr(nodes, "_joiners", joiners)
    section = nodes.measure_joiners(2)
    (listing,) = section.listings
    assert listing.rows == (
        ("one more observer, idle", "2.00", "300"),
        ("one more observer, loaded", "0.00", "0"),
        ("one more validator, idle", "0.00", "0"),
        ("one more validator, loaded", "0.00", "0"),
    )
    ratios = {figure.name: figure.ratio.median for figure in section.figures}
    assert ratios["processor time of a node with one more observer, idle"] == 1.2
    assert ratios["bytes sent by a node with one more observer, idle"] == 1.3
    assert ratios["bytes sent by a node with one more validator, loaded"] == 1.0


def test_two_sizes_are_measured_with_real_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "VALIDATORS", 1)
    section = nodes.measure_sizes((2, 3), SHORT)
    assert [figure.name for figure in section.figures] == [
        "processor time of a node of 3, idle",
        "bytes sent by a node of 3, idle",
        "processor time of a node of 3, loaded",
        "bytes sent by a node of 3, loaded",
    ]
    assert all(figure.value > 0 for figure in section.figures)
    (listing,) = section.listings
    assert len(listing.rows) == 4

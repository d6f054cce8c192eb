"""Records and findings of stories that the property kit tells."""

from __future__ import annotations

from typing import Any

from protocol.events import Event
from protocol.machine import Applied, FinalBlock, Machine
from protocol.testing import Scenario
from protocol.testing.scenario import GENESIS_ROOT
from scripts.audit.books import Audit
from scripts.records import record, record_of


def replayed(machine: Machine, log: list[FinalBlock]) -> tuple[list[Event], list[dict[str, Any]]]:
    """All events of a log, and the lines that a node writes of them."""
    events: list[Event] = []
    lines: list[dict[str, Any]] = []
    for block in log:
        applied = machine.apply(block)
        events += applied.events
        lines += records_of(applied)
    return events, lines


def records_of(applied: Applied) -> list[dict[str, Any]]:
    lines = [record_of(event, 0, tick=applied.tick) for event in applied.events]
    return [*lines, record("Final", 0, tick=applied.tick)]


def audited(scenario: Scenario, log: list[FinalBlock]) -> Audit:
    audit = Audit(scenario.genesis(), GENESIS_ROOT)
    for block in log:
        audit.apply(block)
    return audit

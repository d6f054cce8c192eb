"""An explanation as calm text for a person, or as a record for tools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from protocol.params import network_id
from scripts.explain.publiclog import SHORT, PublicLog
from scripts.explain.steps import Explanation

INDENT = "    "


def as_lines(log: PublicLog, explanation: Explanation) -> Iterator[str]:
    """A heading, then each step behind its tick and the beginning of its log block's hash."""
    entry, index = explanation.entry, explanation.index
    yield f"block {entry.number} (job {entry.job.hex()[:SHORT]}), tree node {index}"
    yield explanation.outcome
    yield (
        f"From the genesis of network {network_id(log.genesis).hex()[:SHORT]} and its certified "
        f"log, {len(log.steps)} final blocks."
    )
    yield ""
    width = max([len("tick"), *(len(str(one.log.moment.tick)) for one in explanation.steps)])
    yield f"{'tick':>{width}}  log block"
    before = None
    for one in explanation.steps:
        tick, block = str(one.log.moment.tick), one.log.block.hex()[:SHORT]
        if before is one.log:
            tick, block = "", " " * SHORT
        before = one.log
        yield f"{tick:>{width}}  {block}   {one.sentence}"
        yield from (f"{'':>{width}}  {'':>{SHORT}}   {INDENT}{line}" for line in one.details)


def as_record(log: PublicLog, explanation: Explanation) -> dict[str, Any]:
    """Bytes as hex, tree nodes as pairs of level and position, amounts in micro-units."""
    entry, index = explanation.entry, explanation.index
    return {
        "network": network_id(log.genesis).hex(),
        "height": len(log.steps),
        "block": entry.number,
        "job": entry.job.hex(),
        "index": [index.level, index.position],
        "outcome": explanation.outcome,
        "steps": [
            {
                "tick": one.log.moment.tick,
                "log_block": one.log.block.hex(),
                "kind": one.kind,
                "sentence": one.sentence,
                "details": list(one.details),
                "fields": one.fields,
            }
            for one in explanation.steps
        ],
    }

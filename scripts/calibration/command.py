"""The ``calibrate`` command."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from p2p.store import Store, StoreError
from protocol.errors import Refused
from protocol.params import network_id
from prover.backend import BackendMissing, Plonky2Backend
from prover.modelled import ModelledBackend
from prover.pool import usable_cores
from prover.process import NoProof, WorkerDied
from scripts.benchmarks.figures import Spread
from scripts.calibration.earnings import Costs, Earnings, earnings
from scripts.calibration.edit import set_prover
from scripts.calibration.measure import Calibration, calibrate
from scripts.columns import aligned
from scripts.configuration import (
    ConfigurationError,
    ProverConfiguration,
    load_configuration,
)
from scripts.explain.publiclog import CannotTell, PublicLog, public_log, read_public_log
from scripts.export import ExportFailed, provable_log
from scripts.folder import RunUnreadable, load_genesis
from scripts.records import write_json

IDLE_LOAD = 0.5
"""With more tasks than this for a core, others use the machine."""

STEADY_PERCENT = 25
"""Farther than this from the median, times are not steady."""


_UNREADABLE = (RunUnreadable, Refused, BackendMissing, ExportFailed, ValueError, StoreError)


class CalibrationFailed(Exception):
    """Nothing could be measured; the sentence says why."""


def run(
    *,
    cores: int | None,
    memory_mib: int | None,
    rounds: int,
    source: Path | None,
    blocks: int,
    json: Path | None,
    write: Path | None,
    backend: Plonky2Backend | ModelledBackend,
    console: Console,
) -> None:
    """Measure, show, and write what was asked for. Budgets that are not given are those of the
    ``node.toml`` to write, else all cores and a node's usual memory.

    :raises ConfigurationError, CannotTell, CalibrationFailed: when something of it cannot be done;
        before anything is measured, where that can be known.
    """
    own = load_configuration(write).prover if write is not None else None
    usual = own or ProverConfiguration(cores=usable_cores())
    log = None if source is None else read_log(source)
    try:
        found = calibrate(
            backend,
            usual.cores if cores is None else cores,
            usual.memory_mib if memory_mib is None else memory_mib,
            rounds,
            lambda text: console.print(f"measuring: {text}", style="dim"),
        )
    except ValueError as failure:
        raise ConfigurationError(str(failure), "give more with --cores or --memory") from None
    except (NoProof, WorkerDied) as failure:
        raise CalibrationFailed(f"a worker gave up: {failure}") from None
    print("\n".join(told(found)))
    costs = Costs(usual.cost_per_work, usual.bid_margin_bps)
    gained = None if log is None else earnings(log, found.capacity, costs, blocks)
    if gained is not None:
        print("\n".join(("", *told_earnings(gained, costs))))
    if json is not None:
        write_json(json, as_record(found, gained))
    if write is not None:
        set_prover(write, entries(found))
        print(f"\nwritten into [prover] of {write}; it counts from the node's next start")


def read_log(folder: Path) -> PublicLog:
    """The replayed log of a run folder, or of a node's folder while the node does not run.

    :raises CannotTell: when there is none, or it does not verify.
    """
    if not (folder / "node.toml").exists():
        return read_public_log(folder)
    try:
        path = folder / load_configuration(folder / "node.toml").genesis
        genesis, store_path = load_genesis(path.parent), folder / "store.sqlite"
        if not store_path.exists():
            raise CannotTell(f"{folder} has no store", "run the node first")
        with Store(store_path, network_id(genesis)) as store:
            return public_log(genesis, provable_log(store), path.parent)
    except _UNREADABLE as failure:
        raise CannotTell(
            f"the log of {folder} cannot be replayed: {failure}",
            "stop the node, and name one that has its log from the genesis on",
        ) from None


def entries(found: Calibration) -> dict[str, int]:
    """The entries of ``[prover]`` that follow from a calibration."""
    capacity = found.capacity
    return {
        "workers": found.workers,
        "cores": found.cores,
        "memory_mib": found.memory_mib,
        "leaf_ms": capacity.leaf.ms(1),
        "merge_ms": capacity.merge.ms(1),
        "leaf_cores_ms": capacity.leaf.ms(found.cores),
        "merge_cores_ms": capacity.merge.ms(found.cores),
    }


def told(found: Calibration) -> Iterator[str]:
    """A calibration as a short table."""
    rows = [("", "median", "least", "most", "")]
    rows.append(("leaf, 1 thread", *_cells(found.leaf_one), "ms"))
    rows.append(("merge, 1 thread", *_cells(found.merge_one), "ms"))
    if found.cores > 1:
        rows.append((f"leaf, {found.cores} threads", *_cells(found.leaf_cores), "ms"))
        rows.append((f"merge, {found.cores} threads", *_cells(found.merge_cores), "ms"))
    if found.workers > 1:
        rows.append((f"leaf, {found.workers} workers busy", *_cells(found.leaf_busy), "ms"))
    rows.append(("start of a worker", *_cells(found.start), "ms"))
    yield from aligned(rows, right=(1, 2, 3))
    yield ""
    yield from aligned(
        [
            ("memory of a worker", f"{found.peak_mib} MiB, {found.worker_mib} MiB reserved"),
            ("budgets", f"{found.cores} cores, {found.memory_mib} MiB"),
            ("workers", f"{found.workers}; threads of each when all are busy: {found.share}"),
            (
                "proofs a minute",
                f"{found.leaves_a_minute:.1f} leaves or {found.merges_a_minute:.1f} merges",
            ),
            (
                "how sure",
                f"rounds: {found.rounds}, times within {found.deviation_percent} % of the median, "
                f"load of the machine before: {found.load:.1f} on {usable_cores()} cores",
            ),
        ]
    )
    if found.load > IDLE_LOAD * usable_cores() or found.deviation_percent > STEADY_PERCENT:
        yield "hint: something else uses this machine; calibrate again when it is idle"


def told_earnings(gained: Earnings, costs: Costs) -> Iterator[str]:
    """Expectations as a table with the sums behind each."""
    yield (
        f"expected on the last {len(gained.blocks)} settled blocks, rule {gained.rule}, one unit "
        f"of stake, {costs.per_work} micro-units a compute unit:"
    )
    seen = {name: {one.sums[name] for one in gained.blocks} for name in gained.blocks[0].sums}
    alike = [f"{_words(name)} {min(found)}" for name, found in seen.items() if len(found) == 1]
    if alike:
        yield f"in all of them: {', '.join(alike)}"
    names = [name for name, found in seen.items() if len(found) > 1]
    rows = [("block", "in time", "gain", "missed", "cost", *(_words(name) for name in names))]
    for one in gained.blocks:
        sums = (str(one.sums[name]) for name in names)
        amounts = (one.gain, one.missed, one.cost)
        rows.append((str(one.number), "yes" if one.fits else "no", *map(str, amounts), *sums))
    totals = [str(gained.total(name)) for name in ("gain", "missed", "cost")]
    rows.append(("all", "", *totals, *("" for _ in names)))
    yield from aligned(rows, right=tuple(range(2, len(rows[0]))))
    yield "this is an expectation, not a promise: amounts in micro-units, others as they were"


def as_record(found: Calibration, gained: Earnings | None) -> dict[str, Any]:
    """All of it for tools; times in milliseconds."""
    return {
        "calibration": asdict(found)
        | {
            "leaves_a_minute": round(found.leaves_a_minute, 1),
            "merges_a_minute": round(found.merges_a_minute, 1),
            "deviation_percent": found.deviation_percent,
        },
        "prover": entries(found),
        "expected_earnings": None if gained is None else asdict(gained),
    }


def _cells(spread: Spread) -> tuple[str, str, str]:
    return f"{spread.median:.0f}", f"{spread.low:.0f}", f"{spread.high:.0f}"


def _words(name: str) -> str:
    return name.replace("_", " ")

"""The ``bench`` command: which parts are measured, and what becomes of the figures."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console

from scripts.benchmarks import hardware
from scripts.benchmarks.figures import BenchFailed, Section
from scripts.benchmarks.table import as_json, show, show_hardware
from scripts.folder import RunUnreadable
from scripts.records import write_json

PARTS: Final = ("protocol", "prover", "network", "sync", "nodes", "joiners", "testnet")
"""What can be measured, quick parts first."""

FILE_COLUMNS: Final = 150
"""Width of what does not go to a terminal."""


def run(only: str | None, json_path: Path | None, testnet: Path | None) -> None:
    """Measure, print each part when it is done, write JSON at the end.

    :param only: a name of :data:`PARTS`; None: all of them.
    :param testnet: a run folder to analyse; None: run a testnet.
    :raises BenchFailed: when there is no such part, or no run of a testnet to analyse.
    :raises BackendMissing: when the proof system was not built.
    :raises ProvingFailed: when there is no proof.
    """
    if only is not None and only not in PARTS:
        raise BenchFailed(f"there is no part {only} to measure", f"name one of {', '.join(PARTS)}")
    parts: dict[str, Callable[[], Section]] = {
        "protocol": _protocol,
        "prover": _prover,
        "network": _network,
        "sync": _sync,
        "nodes": _nodes,
        "joiners": _joiners,
        "testnet": lambda: _testnet(testnet),
    }
    console = Console(highlight=False, width=None if sys.stdout.isatty() else FILE_COLUMNS)
    machine = hardware.look()
    show_hardware(console, machine)
    sections = []
    for name in PARTS:
        if only in (None, name):
            sections.append(parts[name]())
            show(console, sections[-1])
    if json_path is not None:
        write_json(json_path, as_json(machine, sections))
        console.print(f"\nwritten: {json_path}")


def _protocol() -> Section:
    from scripts.benchmarks.protocol import measure

    return measure()


def _prover() -> Section:
    from prover.backend import Plonky2Backend
    from scripts.benchmarks.prover import measure

    backend = Plonky2Backend()
    backend.require_circuits()
    return measure(backend)


def _network() -> Section:
    from scripts.benchmarks.gossip import measure

    return measure()


def _sync() -> Section:
    from scripts.benchmarks.sync import measure

    return measure()


def _nodes() -> Section:
    from scripts.benchmarks.nodes import measure_sizes

    return measure_sizes()


def _joiners() -> Section:
    from scripts.benchmarks.nodes import measure_joiners

    return measure_joiners()


def _testnet(run_folder: Path | None) -> Section:
    from scripts.benchmarks.testnet import launch, measure
    from scripts.launcher.command import RUNS
    from scripts.launcher.testnet import make_run_folder

    if run_folder is None:
        run_folder = make_run_folder(RUNS)
        code = launch(run_folder)
        if code:
            raise BenchFailed(
                f"the testnet ended with exit code {code}", f"see its output and {run_folder}"
            )
    try:
        return measure(run_folder)
    except RunUnreadable as failure:
        raise BenchFailed(
            f"{run_folder}: {failure}", "name the folder of a run that came to its end"
        ) from None

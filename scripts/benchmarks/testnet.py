"""How long a block takes on a testnet, against what it must take at the least.

*Time to root* and *critical path* are those of the run's summary. Blocks with a takeover, or on
whose critical chain a prover was down, are kept apart: what they take beyond the others is set
against one window, that of a leaf, and one proof.
Where the time goes is told by :mod:`scripts.benchmarks.chain`.

A run of its own kills whoever starts the first leaf and brings it back once the window is over, so
that the later blocks are undisturbed.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from protocol.params import Genesis
from scripts.benchmarks.chain import AWAY, FAILED, SPANS, ChainOfBlock, Story
from scripts.benchmarks.figures import Aim, Figure, Listing, Section, compare
from scripts.folder import SUMMARY, RunUnreadable, load_genesis, load_summary

BLOCKS: Final = 6
RESTART_S: Final = 60

TO_ROOT: Final = "time to root"
CRITICAL_PATH: Final = "critical path"
WINDOW: Final = "leaf_window_ticks"
"""Setting of a proving rule that says how long a leaf's first right lasts."""

Times: TypeAlias = tuple[float, float]
"""Time to root and critical path of a block, in seconds."""


def launch(run: Path, options: Sequence[str] = ()) -> int:
    """Run a testnet with one takeover into an empty folder; its progress goes to the terminal.

    :param options: further ones of the command ``testnet``.
    :returns: its exit code.
    """
    command = [
        *(sys.executable, "-m", "scripts.main", "testnet", "--out", str(run)),
        *("--blocks", str(BLOCKS), "--kill", "any@leaf", "--restart", str(RESTART_S)),
        *options,
    ]
    return subprocess.run(command, check=False).returncode


def measure(run: Path) -> Section:
    """Analyse a run that is over.

    :raises RunUnreadable: when its folder lacks something.
    """
    summary, genesis, story = load_summary(run), load_genesis(run), Story(run)
    try:
        times = list(zip(summary["time_to_root_s"], summary["critical_path_s"], strict=True))
        taken_over = {one["job"] for one in summary["takeovers"]}
    except (KeyError, TypeError, ValueError):
        raise RunUnreadable(SUMMARY, "it tells no times of blocks") from None
    if not times or len(times) != len(story.jobs):
        raise RunUnreadable(SUMMARY, "it tells of other blocks than the nodes do")
    chains = [story.chain(job) for job in story.jobs]
    disturbed = taken_over | {
        chain.job for chain in chains if chain.spans_ms[FAILED] or chain.spans_ms[AWAY]
    }
    quiet = [time for job, time in zip(story.jobs, times, strict=True) if job not in disturbed]
    figures = []
    if quiet:
        aim = Aim(1.3, is_least=False)
        figures.append(compare(TO_ROOT, CRITICAL_PATH, "s", quiet, aim))
    return Section(
        name="testnet",
        notes=(
            f"{run}: {len(times)} blocks, {len(disturbed)} of them disturbed",
            f"slots of {genesis.network.slot_ms / 1000:g} s, backend {genesis.network.backend}",
            *(() if quiet else ("no block was undisturbed: there is none to compare with",)),
        ),
        figures=(*figures, *_takeovers(genesis, story, times, quiet, taken_over)),
        listings=(_where(chains, disturbed),),
    )


def _takeovers(
    genesis: Genesis, story: Story, times: Sequence[Times], quiet: Sequence[Times], jobs: set[str]
) -> list[Figure]:
    """What takeovers added to ``jobs``; nothing without quiet blocks, or without windows."""
    settings = {one.name: one.value for one in genesis.proving.settings}
    late = [own for job, (own, _) in zip(story.jobs, times, strict=True) if job in jobs]
    if not quiet or not late or WINDOW not in settings:
        return []
    window_ms = int(settings[WINDOW]) * genesis.network.slot_ms
    least_s = (window_ms + statistics.median(story.proof_times_ms())) / 1000
    usual_s = statistics.median(own for own, _ in quiet)
    pairs = [(own - usual_s, least_s) for own in late]
    return [compare("what a takeover adds", "one window and one proof", "s", pairs)]


def _where(chains: list[ChainOfBlock], disturbed: set[str]) -> Listing:
    """Seconds of each span by block, and its part of all of them."""
    total_ms = sum(chain.to_root_ms for chain in chains)
    rows = []
    for span in SPANS:
        spent = [chain.spans_ms[span] for chain in chains]
        rows.append((span, *map(_seconds, spent), f"{100 * sum(spent) / total_ms:.0f} %"))
    rows.append((TO_ROOT, *(_seconds(chain.to_root_ms) for chain in chains), ""))
    titles = [
        f"block {number}{' *' if chain.job in disturbed else ''}"
        for number, chain in enumerate(chains, 1)
    ]
    return Listing(
        "where the time goes, in seconds along the critical chain (*: disturbed)",
        ("", *titles, "of all"),
        tuple(rows),
    )


def _seconds(time_ms: int) -> str:
    return f"{time_ms / 1000:.1f}"

"""Pausing a node that runs, from outside of it.

Rules. A paused prover takes on nothing new and serves what it has; a paused sequencer commits to no
block and reveals what it committed to. A node that runs keeps ``node.pid`` in its folder: its
process id and when that process began, as ``/proc`` counts, so that another process that got the
same id later is never taken for it. The file is there as long as the node listens to SIGUSR1
(pause) and SIGUSR2 (resume), and no longer. A pause is kept by the node's store; whoever has the
node itself calls ``node.pause()`` and ``node.resume()``.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

import trio

from p2p.node import Node
from scripts.configuration import ConfigurationError, load_configuration

PROCESS: Final = "node.pid"
"""Name of the file that names the process of a node."""

PAUSE: Final = signal.SIGUSR1
RESUME: Final = signal.SIGUSR2


async def obey_signals(node: Node, folder: Path) -> None:
    """Pause and resume the node upon signals, until cancelled."""
    path, process = folder / PROCESS, os.getpid()
    with trio.open_signal_receiver(PAUSE, RESUME) as signals:
        path.write_text(f"{process} {_began(process)}\n")
        try:
            async for number in signals:
                await (node.pause() if number == PAUSE else node.resume())
        finally:
            path.unlink(missing_ok=True)


def tell_node(folder: Path, number: signal.Signals) -> None:
    """Send a signal to the node of a folder.

    :raises ConfigurationError: when it neither proves nor makes blocks, or does not run.
    """
    configuration = load_configuration(folder / "node.toml")
    if configuration.prover is None and configuration.sequencer is None:
        raise ConfigurationError(
            f"the node of {folder} neither proves nor makes blocks",
            "name the folder of a node with a [prover] or a [sequencer]",
        )
    if not signal_node(folder, number):
        raise ConfigurationError(
            f"no node of {folder} runs, or it only starts",
            "name the folder with the node's node.toml, and wait until it is connected",
        )


def signal_node(folder: Path, number: signal.Signals) -> bool:
    """Send a signal to the node of a folder; whether it runs and listens."""
    process = _process(folder / PROCESS)
    if process is not None:
        os.kill(process, number)
    return process is not None


def _process(path: Path) -> int | None:
    """The process that a file names, if it is still the same."""
    try:
        process, began = (int(word) for word in path.read_text().split())
    except (FileNotFoundError, ValueError):
        return None
    return process if _began(process) == began else None


def _began(process: int) -> int | None:
    """When a process began, in ticks of the machine's clock since its start; None without it."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # the name of the program may hold anything but ends at the last parenthesis
    return int(text.rpartition(")")[2].split()[19])

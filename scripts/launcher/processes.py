"""Nodes as child processes: started with a pipe that ties them to us, killed or asked to stop,
never left behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import trio

ROOT: Final = Path(__file__).resolve().parent.parent.parent
"""The folder that holds the packages."""

STOP_S: Final = 20.0
"""Time that a node has to stop by itself."""


class Process:
    """One node's process.

    Its standard input is a pipe of ours: when we die, it reads the end and stops.

    :param program: module that runs the node of a file, and words between.
    """

    def __init__(self, folder: Path, program: tuple[str, ...] = ("scripts.main", "node")) -> None:
        self.folder = folder
        self.program = program
        self.name = folder.name
        self.is_wanted = True
        self._child: trio.Process | None = None

    async def start(self) -> None:
        """Start the node, or start it again; it counts as wanted once it runs."""
        environment = dict(os.environ, PYTHONPATH=str(ROOT), PYTHONUNBUFFERED="1")
        with (self.folder / "log.txt").open("ab") as output:
            self._child = await trio.lowlevel.open_process(
                [
                    sys.executable,
                    "-m",
                    *self.program,
                    str(self.folder / "node.toml"),
                    "--stop-with-input",
                ],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )
        self.is_wanted = True

    @property
    def is_running(self) -> bool:
        """Whether the process is alive."""
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended, if it did."""
        return None if self._child is None else self._child.poll()

    async def kill(self) -> None:
        """SIGKILL, without a word."""
        self.is_wanted = False
        if self._child is not None and self.is_running:
            self._child.send_signal(signal.SIGKILL)
            await self._child.wait()

    async def stop(self) -> None:
        """Ask it to stop; kill it when it does not in time."""
        self.is_wanted = False
        if self._child is None or not self.is_running:
            return
        self._child.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_S):
            await self._child.wait()
        await self.kill()


async def stop_all(processes: list[Process]) -> None:
    """Stop all of them at once; none is left when this returns, whatever happens meanwhile."""
    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            for process in processes:
                nursery.start_soon(process.stop)

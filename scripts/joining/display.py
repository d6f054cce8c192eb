"""What a person sees while a node joins: a bar on a terminal, plain lines everywhere else."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PLAIN_STEPS: Final = 10
"""Lines that tell of a sync where there is no terminal, at the most."""


class Display:
    """Lines, and the progress of one sync among them.

    :param plain: lines only, also on a terminal.
    """

    def __init__(self, console: Console, *, plain: bool = False) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("syncing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("ticks"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=plain or not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None)
        self._is_shown = False
        self._step = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """Show a line above the bar."""
        self._console.print(line, markup=False, soft_wrap=True)

    def sync(self, height: int, target: int) -> None:
        """Show how far a sync is."""
        if not self._bar.disable:
            if not self._is_shown:
                self._is_shown = True
                self._bar.start()
            self._bar.update(self._task, completed=height, total=max(target, 1))
            return
        step = PLAIN_STEPS * height // max(target, 1)
        if step > self._step:
            self._step = step
            self.say(f"syncing: tick {height} of {target}")

    def synced(self) -> None:
        """Take the bar away."""
        self._bar.stop()

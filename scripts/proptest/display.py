"""What a person sees while a rule is tried: lines, and a bar where there is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn


class Display:
    """Lines, and a bar for what takes long.

    :param plain: lines only, also on a terminal.
    """

    def __init__(self, console: Console, *, plain: bool) -> None:
        self._console = console
        self._has_bar = console.is_terminal and not plain

    def say(self, line: str = "") -> None:
        """Show a line."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Callable[[], None]]:
        """A bar that disappears when it is done; gives what moves it on by one."""
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
        progress = Progress(
            *columns, console=self._console, transient=True, disable=not self._has_bar
        )
        with progress:
            task = progress.add_task(title, total=total)
            yield lambda: progress.advance(task)

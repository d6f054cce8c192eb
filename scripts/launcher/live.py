"""Shows a run while it happens: a screen that is drawn again and again, or plain lines.

Problem. Eight nodes tell more than anybody reads, and lines that scroll by show no tree. But a log
file or a pipe wants lines, and a small terminal has no room.

Rules. The screen shows, from above: where the run is, the proof trees of all open jobs with each
tree node's prover and stage, what each node has earned, the end of the story. Trees are drawn as
large as the room allows: with times, with names, or as marks alone. Every prover has one colour
wherever it appears. The screen is the terminal's second one, so that the first is as it was when
the run ends or is interrupted; the summary follows there. Without a terminal, with ``NO_COLOR`` or
``TERM=dumb``, and when asked for, there are plain lines instead.

Properties. Drawing is a function of the scene, the time and the size; it changes nothing.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from scripts.launcher.plan import Plan
from scripts.launcher.scene import STORY_LINES, Outcome, Scene, Stage, Tree, TreeNode
from scripts.words import counted

DRAW_S: Final = 0.4
"""Least pause between two drawings."""

MIB: Final = 1 << 20

COLOURS: Final = (
    "cyan",
    "magenta",
    "yellow",
    "green",
    "dodger_blue1",
    "orange1",
    "medium_purple1",
    "spring_green2",
    "hot_pink",
    "khaki1",
    "turquoise2",
    "light_salmon1",
)
"""Colours of provers, in the order of the plan; red is kept for what goes wrong."""

STORY_LINES_MIN: Final = 4
"""Lines of the story that trees of open jobs must leave room for."""

CLOSED_MOST: Final = 4
"""Closed jobs that are drawn where there is room."""


class View(Protocol):
    """Somebody's eyes: told what happens, asked now and then to look."""

    def take(self, node: str, record: dict[str, Any]) -> None:
        """News of a node, as :class:`scripts.launcher.watch.Story` passes it on."""

    def say(self, sentence: str) -> None:
        """A line of the story."""

    def refresh(self, alive: set[str]) -> None:
        """Time passed; these nodes run now."""


class PlainView:
    """Prints the story, line by line."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to leave."""

    def take(self, node: str, record: dict[str, Any]) -> None:
        """Nothing: the story says it."""

    def say(self, sentence: str) -> None:
        """Print it."""
        print(sentence, flush=True)

    def refresh(self, alive: set[str]) -> None:
        """Nothing: lines stay."""


class LiveView:
    """Draws the scene on the terminal's second screen while it is entered."""

    def __init__(self, scene: Scene, console: Console) -> None:
        self._scene = scene
        self._drawn_at = 0.0
        self._live = Live(
            Picture(scene), console=console, screen=True, auto_refresh=False, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def take(self, node: str, record: dict[str, Any]) -> None:
        """Change the scene."""
        self._scene.take(node, record)

    def say(self, sentence: str) -> None:
        """Add it to the scene's story, and show it at once: the next look may be far."""
        self._scene.say(sentence)
        self._draw()

    def refresh(self, alive: set[str]) -> None:
        """Draw again if it is time."""
        self._scene.note_alive(frozenset(alive))
        if time.monotonic() >= self._drawn_at + DRAW_S:
            self._draw()

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        self._live.refresh()


def open_view(plan: Plan, folder: Path, *, plain: bool) -> PlainView | LiveView:
    """The view that suits standard output.

    :param plain: lines, whatever the output is.
    """
    console = Console()
    is_screen = sys.stdout.isatty() and not console.is_dumb_terminal
    if plain or not is_screen or "NO_COLOR" in os.environ:
        return PlainView()
    return LiveView(Scene(plan, str(folder), _now_ms()), console)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


# --- the picture ---


@dataclass(frozen=True, slots=True)
class Marks:
    """How stages and lines are drawn."""

    stages: dict[Stage, str]
    missed: str
    taken: str
    left: str
    right: str
    fork: str
    line: str
    between: str
    cut: str


FINE: Final = Marks(
    {
        Stage.WAITING: "·",
        Stage.OPEN: "○",
        Stage.PROVING: "▶",
        Stage.PROVEN: "●",
        Stage.RECORDED: "✔",
    },
    "✗",
    "↷",
    "┌",
    "┐",
    "┴",
    "─",
    "·",
    "…",
)
ASCII: Final = Marks(
    {
        Stage.WAITING: ".",
        Stage.OPEN: "o",
        Stage.PROVING: ">",
        Stage.PROVEN: "*",
        Stage.RECORDED: "#",
    },
    "x",
    "~",
    "+",
    "+",
    "+",
    "-",
    "|",
    "~",
)

_LEGEND: Final = {
    Stage.WAITING: "waits",
    Stage.OPEN: "open",
    Stage.PROVING: "proves",
    Stage.PROVEN: "proven",
    Stage.RECORDED: "recorded",
}


@dataclass(frozen=True, slots=True)
class Size:
    """How large a tree is drawn.

    :ivar columns: least columns of a leaf.
    :ivar has_forks: lines lead from merges to their children.
    """

    columns: int
    has_forks: bool

    def height(self, tree: Tree) -> int:
        """Lines of a tree's drawing with its title."""
        return 2 + tree.height * (2 if self.has_forks else 1)


NAMED: Final = 6
"""Columns of a tree node with its prover's name; with less there is the mark alone."""

FULL: Final = Size(11, has_forks=True)
"""A leaf with name, mark and time."""

SIZES: Final = (
    FULL,
    Size(NAMED, has_forks=True),
    Size(NAMED, has_forks=False),
    Size(2, has_forks=False),
    Size(1, has_forks=False),
)
"""From the largest drawing to the smallest."""

_GAP: Final = 2


class Picture:
    """A scene as rich draws it, in whatever size there is.

    :param now_ms: the time to draw for; None: the time of drawing.
    """

    def __init__(self, scene: Scene, now_ms: int | None = None) -> None:
        self._scene = scene
        self._now_ms = now_ms

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now_ms = _now_ms() if self._now_ms is None else self._now_ms
        marks = ASCII if options.ascii_only else FINE
        height = options.height or console.height
        brush = _Brush(self._scene, now_ms, options.max_width, marks)
        for line in brush.lines(height):
            line.truncate(options.max_width)
            yield line


class _Brush:
    """One drawing."""

    def __init__(self, scene: Scene, now_ms: int, width: int, marks: Marks) -> None:
        self._scene = scene
        self._now_ms = now_ms
        self._width = width
        self._marks = marks
        provers = [one.name for one in scene.plan.members if one.configuration.prover]
        self._colours = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(provers)}

    def lines(self, height: int) -> list[Text]:
        """At most ``height`` lines."""
        head = [*self._heading(), self._rule()]
        money = [self._rule(), *self._incomes()]
        room = height - len(head) - len(money) - 2 - STORY_LINES_MIN
        trees = self._trees(room)
        body = [*head, *trees, self._legend(), *money, self._rule()]
        left = max(0, height - len(body))
        story = [Text(one, no_wrap=True) for one in self._scene.story]
        return [*body, *(story[-left:] if left else [])][:height]

    # --- where the run is ---

    def _heading(self) -> Iterator[Text]:
        scene = self._scene
        seconds = max(0, self._now_ms - scene.start_ms) // 1000
        clock = f"{seconds // 60}:{seconds % 60:02}"
        room = self._width - len("provnet  ") - len(clock) - 1
        folder = (
            scene.folder
            if len(scene.folder) <= room
            else self._marks.cut + scene.folder[1 - room :]
        )
        title = Text("provnet  ", style="bold", no_wrap=True)
        title.append(folder, style="not bold")
        title.append(" " * (self._width - len(title) - len(clock)))
        title.append(clock)
        yield title
        asked, members = scene.plan.wish.blocks_asked, len(scene.plan.members)
        of = "" if asked is None else f" of {asked}"
        parts = [
            f"tick {scene.tick}",
            f"slot {scene.slot}",
            f"epoch {scene.epoch}",
            f"{scene.blocks_settled}{of} blocks proven",
            f"{len(scene.alive)} of {members} nodes run, {scene.connected} connected",
        ]
        if scene.transfers_waiting is not None:
            parts.append(f"{counted(scene.transfers_waiting, 'transfer')} waiting")
        if scene.operations_pending is not None:
            parts.append(f"{counted(scene.operations_pending, 'operation')} pending")
        if scene.memory:
            parts.append(f"{sum(scene.memory.values()) // MIB:,} MiB")
        yield from self._flowed([Text(one) for one in parts], f" {self._marks.between} ", most=2)

    def _rule(self) -> Text:
        return Text(self._marks.line * self._width, style="dim", no_wrap=True)

    def _flowed(self, parts: Sequence[Text], between: str, *, most: int) -> Iterator[Text]:
        """Parts side by side on as few lines as they need, at most ``most``."""
        line, lines = Text(no_wrap=True), 1
        for part in parts:
            if len(line) and len(line) + len(between) + len(part) > self._width:
                if lines == most:
                    break
                yield line
                line, lines = Text(no_wrap=True), lines + 1
            if len(line):
                line.append(between, style="dim")
            line.append_text(part)
        yield line

    def _incomes(self) -> Iterator[Text]:
        parts = []
        for name, amount in self._scene.income.items():
            style = "red strike" if self._is_dead(name) else self._style(name)
            part = Text(_short(name), style=style)
            part.append(f" {amount:,}", style="default not strike")
            parts.append(part)
        yield from self._flowed([Text("earned", style="dim"), *parts], "  ", most=3)

    def _style(self, name: str | None) -> str:
        return "white" if name is None else self._colours.get(name, "white")

    def _is_dead(self, name: str | None) -> bool:
        """Whether a member of the plan does not run, although others do."""
        is_member = name in self._scene.income
        return is_member and bool(self._scene.alive) and name not in self._scene.alive

    def _legend(self) -> Text:
        marks = self._marks
        parts = [f"{marks.stages[stage]} {word}" for stage, word in _LEGEND.items()]
        parts += [f"{marks.taken} taken over", f"{marks.missed} missed"]
        return Text("  ".join(parts), style="dim", no_wrap=True)

    # --- trees ---

    def _trees(self, room: int) -> list[Text]:
        """All open jobs as large as they fit, and closed ones where that takes nothing away."""
        trees = self._scene.shown(0)
        if not trees:
            waits = "no block yet: provers enlist, sequencers wait for transfers"
            return [Text(waits, style="dim", no_wrap=True)]
        spare = room - (STORY_LINES - STORY_LINES_MIN)
        for closed in range(CLOSED_MOST, 0, -1):
            drawn = self._fitted(self._scene.shown(closed), FULL, spare)
            if drawn is not None:
                return drawn
        for size in SIZES:
            drawn = self._fitted(trees, size, room)
            if drawn is not None:
                return drawn
        return [self._title(one, self._width) for one in trees][: max(room, 1)]

    def _fitted(self, trees: Sequence[Tree], size: Size, room: int) -> list[Text] | None:
        """Trees of one size in as few rows as they need; None when they do not fit."""
        for columns in range(len(trees), 0, -1):
            width = (self._width + _GAP) // columns - _GAP
            rows = [trees[at : at + columns] for at in range(0, len(trees), columns)]
            height = sum(max(size.height(one) for one in row) for row in rows)
            if all(one.leaves * size.columns <= width for one in trees) and height <= room:
                return [line for row in rows for line in self._row(row, size, width)]
        return None

    def _row(self, trees: Sequence[Tree], size: Size, width: int) -> Iterator[Text]:
        """Trees side by side."""
        drawings = [self._tree(one, size, width) for one in trees]
        for at in range(max(len(one) for one in drawings)):
            line = Text(no_wrap=True)
            for drawing in drawings:
                part = drawing[at] if at < len(drawing) else Text()
                part.truncate(width, pad=True)
                line.append_text(part)
                line.append(" " * _GAP)
            line.rstrip()
            yield line

    def _tree(self, tree: Tree, size: Size, width: int) -> list[Text]:
        cell = min(width // tree.leaves, 2 * FULL.columns)
        lines = [self._title(tree, width)]
        for level in range(tree.height, -1, -1):
            row = [tree.places[level, at] for at in range(tree.leaves >> level)]
            span = cell << level
            lines.append(_joined([self._label(one, tree, span) for one in row], span))
            if level and size.has_forks:
                lines.append(_joined([self._fork(span)] * len(row), span))
        return lines

    def _title(self, tree: Tree, width: int) -> Text:
        title = Text(f"block {tree.number}", style="bold", no_wrap=True)
        until_ms = self._now_ms if tree.closed_ms is None else tree.closed_ms
        seconds = max(0, until_ms - tree.opened_ms) // 1000
        told = f"{tree.outcome.value} for" if tree.outcome is Outcome.OPEN else tree.outcome.value
        after = "" if tree.outcome is Outcome.OPEN else " after"
        title.append(f"  {told}{after} {seconds} s  fees {tree.fees:,}", style="not bold")
        title.truncate(width)
        return title

    def _fork(self, span: int) -> Text:
        """The lines from a merge to the middles of its children."""
        marks, half = self._marks, span // 2
        arm = half - half // 2 - 1
        branch = marks.left + marks.line * arm + marks.fork + marks.line * arm + marks.right
        return Text(branch, style="dim")

    def _label(self, place: TreeNode, tree: Tree, room: int) -> Text:
        """A tree node as large as its room: mark alone, with a name, with a time."""
        style = "red" if place.is_missed else self._style(place.who)
        stage = place.stage
        mark = self._marks.missed if place.is_missed else self._marks.stages[stage]
        emphasis = {Stage.WAITING: " dim", Stage.RECORDED: " bold", Stage.PROVING: " bold"}
        style += emphasis.get(stage, "")
        if stage in (Stage.WAITING, Stage.OPEN) and self._is_dead(place.who):
            style += " strike"
        if room < NAMED:
            return Text(mark, style=style)
        name = "any" if place.is_open_to_anybody() and place.who is None else _short(place.who)
        taken = self._marks.taken if place.is_taken else ""
        text = f"{taken}{name} {mark}"
        detail = self._detail(place, tree)
        if detail and len(text) + 1 + len(detail) <= room - 2:
            text += f" {detail}"
        return Text(text[: room - 1], style=style)

    def _detail(self, place: TreeNode, tree: Tree) -> str:
        """For how long a tree node is proven, or how many ticks it must wait for its record."""
        if tree.outcome is not Outcome.OPEN or place.stage is Stage.RECORDED:
            return ""
        if place.proving:
            return f"{max(0, self._now_ms - min(place.proving.values())) // 1000} s"
        wait = (place.admissible or 0) - self._scene.tick
        return f"in {wait}" if wait > 0 else ""


def _joined(parts: Sequence[Text], span: int) -> Text:
    """Parts, each in the middle of ``span`` columns."""
    line = Text(no_wrap=True)
    for part in parts:
        before = (span - len(part)) // 2
        line.append(" " * before)
        line.append_text(part)
        line.append(" " * (span - before - len(part)))
    return line


def _short(name: str | None) -> str:
    """``p3`` for ``prover-3``; other names as they are, within six letters."""
    if name is None:
        return "?"
    kind, dash, number = name.rpartition("-")
    return f"{kind[0]}{number}" if dash and kind and number.isdecimal() else name[:6]

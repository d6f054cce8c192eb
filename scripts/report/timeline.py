"""Timelines: of the tree nodes of a block, of all nodes that proved, of where the time went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from scripts.report.draw import Axis, legend, row, seconds, swatch, titled
from scripts.report.style import prover_class, text_class
from scripts.report.values import Attempt, BlockStory, Ending, PlaceStory, Stage, Story, Turn

BAR: Final = 13
GAP: Final = 3
RIGHT: Final = 5
"""Height of the line that shows whose right it is."""

_LEGEND: Final = (
    (
        '<svg width="22" height="12"><rect class="nobody" y="2" width="22" height="9"/></svg>',
        "proving, in the prover's colour; pale: not recorded",
    ),
    (
        '<svg width="22" height="12"><rect class="nobody" y="4" width="22" height="5"/></svg>',
        "right, in its holder's colour",
    ),
    (
        '<svg width="22" height="12"><rect y="2" width="22" height="8" fill="url(#hatch)"/></svg>',
        "minimal time",
    ),
    ('<svg width="12" height="12"><circle class="dot" cx="6" cy="6" r="3.5"/></svg>', "ordered"),
    (
        '<svg width="12" height="12"><circle class="dot final" cx="6" cy="6" r="3.5"/></svg>',
        "recorded, final",
    ),
    ('<svg width="12" height="12"><path class="mark" d="M6 1V11"/></svg>', "window closes"),
    ('<svg width="12" height="12"><path class="mark" d="M3 2L9 6L3 10"/></svg>', "passes on"),
    (
        '<svg width="12" height="12"><path class="mark" d="M2 2L10 10M2 10L10 2"/></svg>',
        "killed, or given up",
    ),
)


def block_timeline(block: BlockStory, provers: tuple[str, ...]) -> str:
    """One line for each tree node, leaves first."""
    last_ms = max([block.proven_ms or block.end_ms, *(_last_ms(one) for one in block.places)])
    turns = [turn.since_ms for place in block.places for turn in place.turns]
    first_ms = min(turns, default=block.opened_ms)
    axis = Axis.around(first_ms, max(first_ms, last_ms))
    rows = [_place_row(axis, block, one, provers) for one in block.places]
    return "".join([*rows, row("", 18, axis.labels())])


def timeline_legend() -> str:
    """What the marks mean."""
    return legend(list(_LEGEND))


def _last_ms(place: PlaceStory) -> int:
    return place.record.final_ms if place.record is not None else 0


def _place_row(axis: Axis, block: BlockStory, place: PlaceStory, provers: tuple[str, ...]) -> str:
    lanes = _lanes(place.attempts)
    line = GAP + (BAR + GAP) * max(1, len(lanes))
    first = sum(not turn.is_inherited for turn in place.turns)
    height = line + (RIGHT + 1) * max(1, first) + 7
    drawn = [axis.grid(height)]
    for number, lane in enumerate(lanes):
        top = GAP + (BAR + GAP) * number
        drawn += [_attempt(axis, one, top, provers, "") for one in lane]
    for number, turn in enumerate(place.turns):
        below = 0 if turn.is_inherited else number * (RIGHT + 1)
        drawn += _turn(axis, turn, line + below, provers)
        if turn.is_inherited:
            before = place.turns[number - 1].holder or "anybody"
            told = f"passes from {before} to {turn.holder or 'anybody'}"
            drawn.append(titled(axis.arrow(turn.since_ms, line + 2), told))
    if place.record is not None:
        record = place.record
        if record.ordered_ms is not None:
            told = f"ordered by the log block of tick {record.tick}"
            drawn.append(titled(axis.dot(record.ordered_ms, line + 2), told))
        told = f"recorded for {record.prover} at tick {record.tick}"
        drawn.append(titled(axis.dot(record.final_ms, line + 2, "final"), told))
    name = f"b{block.number}-{place.level}-{place.position}"
    return row(place.name, height, "".join(drawn), name)


def _turn(axis: Axis, turn: Turn, line: int, provers: tuple[str, ...]) -> Iterator[str]:
    holder = turn.holder or "anybody"
    if turn.opened_ms is None:
        return
    kind = prover_class(provers, turn.holder)
    told = f"right of {holder} from tick {turn.opened_tick}"
    if turn.missed is not None:
        told += f", {turn.missed}"
    yield titled(axis.bar(turn.opened_ms, turn.until_ms, line, RIGHT, kind), told)
    if turn.admissible_ms is not None:
        bar = axis.bar(turn.opened_ms, turn.admissible_ms, line - 2, RIGHT + 4, "")
        bar = bar.replace('class=""', 'fill="url(#hatch)"')
        yield titled(bar, f"minimal time, until tick {turn.admissible_tick}")
    if turn.closes_ms is not None and turn.closes_ms <= turn.until_ms:
        stroke = axis.stroke(turn.closes_ms, line - 3, line + RIGHT + 3)
        yield titled(stroke, f"window of {holder} closes after tick {turn.closes_tick}")


def _attempt(axis: Axis, one: Attempt, top: int, provers: tuple[str, ...], caption: str) -> str:
    lost = "" if one.is_recorded else " lost"
    kind = prover_class(provers, one.node)
    parts = [axis.bar(one.start_ms, one.end_ms, top, BAR, f"{kind}{lost}")]
    ink = text_class(provers, one.node) if one.is_recorded else ""
    parts.append(axis.caption(one.start_ms, one.end_ms, top + 10, caption or one.node, ink))
    if one.ending is not Ending.FINISHED:
        parts.append(axis.cross(one.end_ms, top + BAR // 2))
    return titled("".join(parts), f"{caption} {_told(one)}".strip())


def _told(one: Attempt) -> str:
    story = f"{one.node}, {seconds(one.start_ms)} to {seconds(one.end_ms)} s: {one.ending.value}"
    if one.wall_ms is not None:
        story += f" after {seconds(one.wall_ms)} s of proving, threads: {one.threads}"
    if one.sentence:
        story += f" ({one.sentence})"
    return story if one.is_recorded else f"{story}; not recorded"


def _lanes(attempts: Sequence[Attempt]) -> list[list[Attempt]]:
    """Attempts at the same time go below each other."""
    lanes: list[list[Attempt]] = []
    for one in sorted(attempts, key=lambda one: one.start_ms):
        free = next((lane for lane in lanes if lane[-1].end_ms <= one.start_ms), None)
        if free is None:
            lanes.append([one])
        else:
            free.append(one)
    return lanes


# --- nodes ---


def prover_timeline(story: Story) -> str:
    """One line for each node that proves, over the whole run."""
    axis = Axis.around(_first_ms(story), story.end_ms)
    rows = [_prover_row(axis, name, story) for name in story.provers]
    return "".join([*rows, row("", 18, axis.labels())])


def _first_ms(story: Story) -> int:
    """The first moment of interest: before it, nodes start."""
    times = [block.opened_ms for block in story.blocks]
    times += [one.start_ms for one in story.attempts] + [one.at_ms for one in story.marks]
    return min(times, default=0)


def _prover_row(axis: Axis, name: str, story: Story) -> str:
    numbers = {block.job: block.number for block in story.blocks}
    lanes = _lanes([one for one in story.attempts if one.node == name])
    height = 2 * GAP + (BAR + GAP) * max(1, len(lanes))
    drawn = [axis.grid(height)]
    for number, lane in enumerate(lanes):
        for one in lane:
            level, position = one.place
            caption = f"{numbers.get(one.job, '?')}/{level}:{position}"
            drawn.append(_attempt(axis, one, GAP + (BAR + GAP) * number, story.provers, caption))
    for mark in (one for one in story.marks if one.node == name):
        draw = axis.cross if mark.what == "Killed" else axis.arrow
        told = f"{mark.what.lower()} at {seconds(mark.at_ms)} s"
        drawn.append(titled(draw(mark.at_ms, height // 2), told))
    return row(name, height, "".join(drawn))


# --- where the time went ---


def way_pictures(blocks: Sequence[BlockStory]) -> str:
    """One bar for each proven block, from its opening to its root's record."""
    proven = [block for block in blocks if block.way]
    longest_ms = max((_way_ms(block) for block in proven), default=1)
    axis = Axis(0, longest_ms)
    rows = []
    for block in proven:
        parts = [axis.grid(22)]
        for span in block.way:
            start_ms, end_ms = span.start_ms - block.opened_ms, span.end_ms - block.opened_ms
            took = seconds(end_ms - start_ms)
            bar = axis.bar(start_ms, end_ms, 3, 16, f"s{span.stage.name}")
            parts.append(titled(bar, f"{span.place}: {span.stage.value}, {took} s"))
            parts.append(axis.caption(start_ms, end_ms, 15, took, "on-light"))
        rows.append(row(f"block {block.number}", 22, "".join(parts)))
    return "".join([*rows, row("", 18, axis.labels())])


def _way_ms(block: BlockStory) -> int:
    return sum(one.end_ms - one.start_ms for one in block.way)


def way_legend(blocks: Sequence[BlockStory]) -> str:
    """The stages that occur."""
    seen = {span.stage for block in blocks for span in block.way}
    return legend([(swatch(f"s{one.name}"), one.value) for one in Stage if one in seen])

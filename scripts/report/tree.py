"""A block's proof tree: each tree node in its prover's colour, with how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scripts.report.draw import legend, seconds, swatch, text_of, titled
from scripts.report.style import prover_class, text_class
from scripts.report.values import BlockStory, Outcome, PlaceStory

BOX_HEIGHT: Final = 60
ROW_HEIGHT: Final = 96
STRIP: Final = 8
"""Width of the strip in the colour of whom a tree node was assigned to."""

PITCH: Final = {1: 168, 2: 168, 4: 152}
"""Distance of two leaves by their number, so that a tree of four fits a narrow window."""

PITCH_MANY: Final = 132
NARROW_LEAVES: Final = 4
"""Trees of more leaves are scrolled, not shrunk."""

LETTER_PX: Final = {"small": 6.0}
"""Width of a letter by kind of text."""

LETTER_PX_MOST: Final = 7.2
_OUTLINES: Final = {
    Outcome.OWN: "",
    Outcome.LATE: "takeover",
    Outcome.TAKEOVER: "takeover",
    Outcome.OPEN: "open",
}


def tree_picture(block: BlockStory, provers: tuple[str, ...]) -> str:
    """The tree as SVG, root at the top; each box leads to its line in the timeline."""
    pitch = PITCH.get(block.leaves, PITCH_MANY)
    levels = block.leaves.bit_length()
    width, height = pitch * block.leaves, ROW_HEIGHT * levels - (ROW_HEIGHT - BOX_HEIGHT) + 8
    wide = " wide" if block.leaves > NARROW_LEAVES else ""
    drawn = [*_edges(block, pitch), *(_box(block, one, pitch, provers) for one in block.places)]
    return (
        f'<div class="scroll"><svg class="tree{wide}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="proof tree of block '
        f'{block.number}">{"".join(drawn)}</svg></div>'
    )


def tree_legend(provers: tuple[str, ...]) -> str:
    """What the tree's colours and borders mean."""
    rows = [(swatch(prover_class(provers, one)), one) for one in provers]
    rows += [
        (_sample("outline"), "its own"),
        (_sample("outline takeover"), "taken over; the strip is whose it was"),
        (_sample("outline open"), "open to anybody"),
        (_sample("empty outline"), "no proof recorded"),
    ]
    return legend(rows)


def _sample(kind: str) -> str:
    box = f'<rect class="{kind}" x="1" y="1" width="20" height="10" rx="3"/>'
    return f'<svg width="22" height="12" aria-hidden="true">{box}</svg>'


def _middle(place: PlaceStory, pitch: int) -> int:
    span = 1 << place.level
    return pitch * (2 * place.position + 1) * span // 2


def _top(block: BlockStory, level: int) -> int:
    return 4 + ROW_HEIGHT * (block.leaves.bit_length() - 1 - level)


def _edges(block: BlockStory, pitch: int) -> Iterator[str]:
    places = {(one.level, one.position): one for one in block.places}
    for (level, position), place in places.items():
        for side in (0, 1) if level else ():
            child = places[level - 1, 2 * position + side]
            x1, y1 = _middle(place, pitch), _top(block, level) + BOX_HEIGHT
            x2, y2 = _middle(child, pitch), _top(block, level - 1)
            half = (y1 + y2) // 2
            yield f'<path class="edge" d="M{x1} {y1}V{half}H{x2}V{y2}"/>'


def _box(block: BlockStory, place: PlaceStory, pitch: int, provers: tuple[str, ...]) -> str:
    width = pitch - 14
    left, top = _middle(place, pitch) - width // 2, _top(block, place.level)
    record, box = place.record, f'x="{left}" y="{top}" width="{width}" height="{BOX_HEIGHT}" rx="6"'
    if record is None:
        shapes = [f'<rect class="empty" {box}/>']
        ink, inset = "", _strip(place, left, top, provers)
    else:
        shapes = [f'<rect class="{prover_class(provers, record.prover)}" {box}/>']
        ink = text_class(provers, record.prover)
        is_own = place.outcome in (Outcome.OWN, Outcome.LATE)
        inset = "" if is_own else _strip(place, left, top, provers)
    shapes += [inset, f'<rect class="outline {_OUTLINES.get(place.outcome, "")}" {box}/>']
    for number, (text, kind) in enumerate(_words(place)):
        room = int((width - STRIP - 10) / LETTER_PX.get(kind, LETTER_PX_MOST))
        shapes.append(
            f'<text class="{kind} {ink}" x="{left + STRIP + 8}" y="{top + 17 + 18 * number}">'
            f"{text_of(_cut(text, room))}</text>"
        )
    link = f'<a href="#b{block.number}-{place.level}-{place.position}">{"".join(shapes)}</a>'
    return titled(link, _title(place))


def _strip(place: PlaceStory, left: int, top: int, provers: tuple[str, ...]) -> str:
    owner = place.assigned[0] if place.assigned else None
    return (
        f'<rect class="{prover_class(provers, owner)}" x="{left + 3}" y="{top + 5}" '
        f'width="{STRIP}" height="{BOX_HEIGHT - 10}" rx="2" stroke="#14171b"/>'
    )


def _words(place: PlaceStory) -> Iterator[tuple[str, str]]:
    yield place.name, "strong"
    if place.record is not None:
        yield place.record.prover, ""
    else:
        yield ", ".join(place.assigned) or "anybody", ""
    took = place.winner.wall_ms if place.winner is not None else None
    time = "" if took is None else f" {seconds(took)} s"
    yield f"{place.outcome.value}{time}", "small"


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def _title(place: PlaceStory) -> str:
    owners = ", ".join(place.assigned) or "anybody"
    ended = place.outcome.value
    if place.record is not None:
        ended += f", recorded for {place.record.prover} at tick {place.record.tick}"
    return f"{place.name}: assigned to {owners}; {ended}"

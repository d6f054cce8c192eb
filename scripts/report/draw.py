"""Strokes of the pictures: bars, marks and axes as SVG that stretches with the window.

Places along a time axis are in per cent of the picture's width and everything else in pixels, so
that a wide window shows more time and no larger letters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

STEPS_S: Final = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600)
"""Distances between two labels of an axis that people like."""

LABELS_MAX: Final = 8
"""Most labels on an axis: they do not touch on a narrow window."""

NARROW_PX: Final = 480
"""A lane is hardly narrower; text in a bar is only drawn where it fits then."""

LETTER_PX: Final = 6.4
"""Width of a letter of small text."""

HATCH: Final = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><line class="hatch" x1="0" y1="0" x2="0" y2="5"/></pattern>'
    "</defs></svg>"
)
"""A pattern that other pictures of the page fill with."""


def text_of(value: object) -> str:
    """Text that may stand anywhere in the page."""
    return escape(str(value))


def seconds(span_ms: int) -> str:
    """Milliseconds as seconds, to a tenth; what rounds to nothing has no sign."""
    return f"{round(span_ms / 100) / 10 + 0.0:,.1f}"


def titled(shape: str, title: str) -> str:
    """A shape that tells more to whoever points at it."""
    return f"<g><title>{text_of(title)}</title>{shape}</g>"


@dataclass(frozen=True, slots=True)
class Axis:
    """A stretch of time."""

    start_ms: int
    end_ms: int

    @classmethod
    def around(cls, start_ms: int, end_ms: int) -> Axis:
        """With a little room at both ends."""
        room_ms = max(500, (end_ms - start_ms) // 40)
        return cls(start_ms - room_ms, end_ms + room_ms)

    def share(self, at_ms: int) -> float:
        """Where a moment is, in per cent; moments outside are at the ends."""
        whole = self.end_ms - self.start_ms
        return max(0.0, min(100.0, 100 * (at_ms - self.start_ms) / whole))

    def bar(self, start_ms: int, end_ms: int, top: int, height: int, kind: str) -> str:
        """A bar; never thinner than can be seen."""
        left, right = self.share(start_ms), self.share(end_ms)
        return (
            f'<rect class="{kind}" x="{left:.3f}%" y="{top}" '
            f'width="{max(right - left, 0.15):.3f}%" height="{height}"/>'
        )

    def caption(self, start_ms: int, end_ms: int, baseline: int, text: str, kind: str) -> str:
        """Text in a bar, when it fits even on a narrow window."""
        room_px = (self.share(end_ms) - self.share(start_ms)) / 100 * NARROW_PX
        if room_px < len(text) * LETTER_PX + 8:
            return ""
        at = f'<svg x="{self.share(start_ms):.3f}%" overflow="visible">'
        return f'{at}<text class="small {kind}" x="4" y="{baseline}">{text_of(text)}</text></svg>'

    def cross(self, at_ms: int, middle: int) -> str:
        """Something ended badly here."""
        at = f'<svg x="{self.share(at_ms):.3f}%" y="{middle}" overflow="visible">'
        return f'{at}<path class="mark" d="M-4-4L4 4M-4 4L4-4"/></svg>'

    def arrow(self, at_ms: int, middle: int) -> str:
        """Something passed on, or began again, here."""
        at = f'<svg x="{self.share(at_ms):.3f}%" y="{middle}" overflow="visible">'
        return f'{at}<path class="mark" d="M-3-4L3 0L-3 4"/></svg>'

    def stroke(self, at_ms: int, top: int, bottom: int) -> str:
        """A limit."""
        at = f"{self.share(at_ms):.3f}%"
        return f'<line class="mark" x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>'

    def dot(self, at_ms: int, middle: int, kind: str = "") -> str:
        """A moment."""
        at = f"{self.share(at_ms):.3f}%"
        return f'<circle class="dot {kind}" cx="{at}" cy="{middle}" r="3.5"/>'

    def _labels_ms(self) -> Iterator[int]:
        span_ms = self.end_ms - self.start_ms
        fitting = (one for one in STEPS_S if span_ms <= one * 1000 * LABELS_MAX)
        step_ms = int(next(fitting, STEPS_S[-1]) * 1000)
        at_ms = -(-self.start_ms // step_ms) * step_ms
        while at_ms <= self.end_ms:
            if 3 <= self.share(at_ms) <= 97:
                yield at_ms
            at_ms += step_ms

    def grid(self, height: int) -> str:
        """Lines under the labels."""
        lines = (
            f'<line class="grid" x1="{self.share(one):.3f}%" x2="{self.share(one):.3f}%" y1="0" '
            f'y2="{height}"/>'
            for one in self._labels_ms()
        )
        return "".join(lines)

    def labels(self) -> str:
        """Seconds since the launch."""
        words = (
            f'<text class="axis" x="{self.share(one):.3f}%" y="12" text-anchor="middle">'
            f"{one / 1000:g} s</text>"
            for one in self._labels_ms()
        )
        return "".join(words)


def row(label: str, height: int, drawn: str, name: str = "") -> str:
    """A line of a timeline: a label and a lane."""
    anchor = f' id="{name}"' if name else ""
    return (
        f'<div class="row"{anchor}><div class="label" title="{text_of(label)}">{text_of(label)}'
        f'</div><svg class="lane" height="{height}">{drawn}</svg></div>'
    )


def swatch(kind: str) -> str:
    """A square of a colour, for a legend."""
    square = f'<rect class="{kind}" width="14" height="12"/>'
    return f'<svg width="14" height="12" aria-hidden="true">{square}</svg>'


def legend(rows: list[tuple[str, str]]) -> str:
    """What pictures mean: pairs of a picture and words."""
    items = "".join(f"<li>{one}{text_of(word)}</li>" for one, word in rows)
    return f'<ul class="legend">{items}</ul>'

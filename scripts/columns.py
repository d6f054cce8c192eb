"""Text in columns that never folds or cuts a word, whatever is at the other end of the pipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

GAP = "  "


def aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Iterator[str]:
    """One line a row, each column as wide as its widest text.

    :param rows: of equal length.
    :param right: numbers of the columns that hold figures and are set against their right edge.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            text.rjust(width) if number in right else text.ljust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        yield GAP.join(cells).rstrip()

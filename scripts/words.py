"""Words that people read, the same everywhere."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """A number of things: ``1 thread``, ``2,000 threads``, ``3 leaves``.

    :param many: the plural where it is not ``one`` and an s.
    """
    return f"{count:,} {one}" if count == 1 else f"{count:,} {many or one + 's'}"

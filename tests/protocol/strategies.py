"""Hypothesis strategies for anything that protocol.codec has a form for."""

from __future__ import annotations

import dataclasses
import types
import typing
from enum import Enum
from typing import Any, Union, get_args, get_origin

from hypothesis import strategies as st

from protocol.codec import BYTES_MAX, TEXT_MAX
from protocol.types import BOUNDS, LENGTHS


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type; arrays are short."""
    if hint in BOUNDS:
        return numbers(BOUNDS[hint])
    if hint in LENGTHS:
        return st.binary(min_size=LENGTHS[hint], max_size=LENGTHS[hint])
    plain = {bool: st.booleans(), bytes: st.binary(max_size=BYTES_MAX), str: texts()}
    if hint in plain:
        return plain[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        names = [field.name for field in dataclasses.fields(hint)]
        return st.builds(hint, **{name: values(hints[name]) for name in names})
    return composites(get_origin(hint), get_args(hint))


def composites(origin: Any, arguments: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if origin in (Union, types.UnionType):
        return st.one_of(*(st.none() if one is type(None) else values(one) for one in arguments))
    if arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    return st.tuples(*map(values, arguments))


def numbers(largest: int) -> st.SearchStrategy[int]:
    """Numbers up to ``largest``, often where msgpack changes its width."""
    borders = [
        border + step for border in (0, 1 << 7, 1 << 8, 1 << 16, 1 << 32) for step in (-1, 0)
    ]
    fitting = [border for border in (*borders, largest) if 0 <= border <= largest]
    return st.sampled_from(fitting) | st.integers(0, largest)


def texts() -> st.SearchStrategy[str]:
    return st.text(max_size=TEXT_MAX // 4)

"""One digest for any state of plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import pytest
from hypothesis import given, strategies as st

from protocol.snapshot import plain_bytes, snapshot_digest


class Colour(Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Pair:
    left: object
    right: object


@dataclass(frozen=True)
class Couple:
    left: object
    right: object


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.binary(max_size=4)
    | st.text(max_size=4)
    | st.sampled_from(Colour),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers() | st.text(max_size=2), inner, max_size=3)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=8,
)


def exact(value):
    """Like ``==``, but tells True from 1."""
    if isinstance(value, tuple):
        return ("tuple", *map(exact, value))
    if isinstance(value, dict):
        return ("dict", frozenset((exact(key), exact(one)) for key, one in value.items()))
    if isinstance(value, Pair):
        return ("pair", exact(value.left), exact(value.right))
    return (type(value), value)


@given(plain, plain)
def test_different_values_have_different_bytes_and_equal_ones_equal(first, second):
    assert (plain_bytes(first) == plain_bytes(second)) == (exact(first) == exact(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((b"a", b"bc"), (b"ab", b"c")),
        (1, True),
        (0, None),
        ("1", 1),
        ("a", b"a"),
        ((), {}),
        (((),), ()),
        (Pair(1, 2), Couple(1, 2)),
        (Pair(1, 2), (1, 2)),
        (Colour.RED, Colour.BLUE),
        (Colour.RED, "Colour.RED"),
    ],
    ids=str,
)
def test_values_that_look_alike(first, second):
    assert snapshot_digest(first) != snapshot_digest(second)


def test_the_order_in_which_a_dict_came_about_is_no_matter():
    assert snapshot_digest({1: "a", 2: "b"}) == snapshot_digest({2: "b", 1: "a"})


def test_a_list_is_a_tuple():
    assert snapshot_digest([1, 2]) == snapshot_digest((1, 2))


@pytest.mark.parametrize("value", [0.5, {1, 2}, object(), Pair, lambda: None, (1, {2})], ids=str)
def test_what_is_not_plain_is_no_state(value):
    with pytest.raises(TypeError, match="no plain bytes"):
        plain_bytes(value)

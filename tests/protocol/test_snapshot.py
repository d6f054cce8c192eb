"""State as bytes and back."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import Enum

import pytest
from hypothesis import given, strategies as st

from protocol.errors import Reason, Refused
from protocol.snapshot import DIGITS_MAX, plain_bytes, read_plain, snapshot_digest
from protocol.types import Account, BasisPoints, Tick


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
        return ("dict", tuple((exact(key), exact(one)) for key, one in value.items()))
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
    assert snapshot_digest(plain_bytes(first)) != snapshot_digest(plain_bytes(second))


def test_the_order_of_a_dict_counts_because_rules_act_in_it():
    assert plain_bytes({1: "a", 2: "b"}) != plain_bytes({2: "b", 1: "a"})
    read = read_plain(dict[int, str], plain_bytes({2: "b", 1: "a"}), size_max=99)
    assert list(read) == [2, 1]


def test_a_list_is_written_as_a_tuple():
    assert plain_bytes([1, 2]) == plain_bytes((1, 2))


@pytest.mark.parametrize("value", [0.5, {1, 2}, object(), Pair, lambda: None, (1, {2})], ids=str)
def test_what_is_not_plain_is_no_state(value):
    with pytest.raises(TypeError, match="no plain bytes"):
        plain_bytes(value)


# --- reading ---


@dataclass(slots=True)
class Everything:
    number: int
    share: BasisPoints
    owner: Account
    words: tuple[str, ...]
    marks: list[bytes]
    pair: tuple[int, bool]
    table: dict[tuple[Account, Tick], Twin | Other | None]
    colour: Colour
    nothing: None
    maybe: Tick | None = None


@dataclass(frozen=True)
class Twin:
    left: int


@dataclass(frozen=True)
class Other:
    left: int


@dataclass(frozen=True)
class Recursive:
    inside: set[int]


accounts = st.binary(min_size=32, max_size=32)
everything = st.builds(
    Everything,
    st.integers(),
    st.integers(0, 10_000),
    accounts,
    st.lists(st.text(max_size=3), max_size=3).map(tuple),
    st.lists(st.binary(max_size=3), max_size=3),
    st.tuples(st.integers(), st.booleans()),
    st.dictionaries(
        st.tuples(accounts, st.integers(0, 9)),
        st.none() | st.builds(Twin, st.integers()) | st.builds(Other, st.integers()),
        max_size=3,
    ),
    st.sampled_from(Colour),
    st.none(),
    st.none() | st.integers(0, 9),
)


def read(kind, written: bytes):
    return read_plain(kind, written, size_max=10_000)


@given(everything)
def test_what_was_written_is_read_again(value):
    again = read(Everything, plain_bytes(value))
    assert again == value
    assert list(again.table) == list(value.table)
    assert type(again.words) is tuple
    assert type(again.marks) is list


@given(everything, st.data())
def test_other_bytes_are_refused_or_another_value(value, data):
    written = bytearray(plain_bytes(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(written) - 1))
        match data.draw(st.sampled_from(("change", "cut", "add"))):
            case "change":
                written[at] = data.draw(st.integers(0, 255))
            case "cut":
                del written[at:]
                written += b"x"
            case _:
                written[at:at] = data.draw(st.binary(min_size=1, max_size=3))
    try:
        again = read(Everything, bytes(written))
    except Refused:
        return
    assert plain_bytes(again) == bytes(written)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(written):
    for kind in (Everything, int, str, dict[int, int], Twin | Other):
        with contextlib.suppress(Refused):
            assert plain_bytes(read(kind, written)) == written


TWINS = Twin | Other


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (int, b""),
        (int, b"i1:1i1:2"),
        (int, b"i1"),
        (int, b"i:1"),
        (int, b"i2:1"),
        (int, b"i99999999999999999999:1"),
        (int, b"i-1:1"),
        (int, b"i1:x"),
        (int, b"i0:"),
        (int, b"b1:1"),
        (int, b"i1001:" + b"9" * (DIGITS_MAX + 1)),
        (BasisPoints, b"i5:10001"),
        (BasisPoints, b"i2:-1"),
        (Account, plain_bytes(bytes(31))),
        (str, b"s1:\xff"),
        (bool, b"k4:None"),
        (Colour, b"e9:Colour.RE"),
        (Colour, b"e10:Shape.RED"),
        (tuple[int, int], plain_bytes((1,))),
        (tuple[int, int], plain_bytes((1, 2, 3))),
        (dict[int, int], b"d3:i1:1"),
        (dict[int, int], b"d4:i1:1"),
        (Twin, plain_bytes(Other(1))),
        (Twin, b"r6:n4:Twin"),
        (Twin, b"r7:n4:Twin"),
        (Twin, b"r0:"),
        (TWINS, b"r0:"),
        (TWINS, plain_bytes(Pair(1, 2))),
        (TWINS, plain_bytes(None)),
        (Tick | None, plain_bytes("None")),
    ],
    ids=str,
)
def test_wrong_shapes_are_refused(kind, written):
    with pytest.raises(Refused) as refusal:
        read(kind, written)
    assert refusal.value.reason is Reason.WRONG_SHAPE


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (int, b"i2:01"),
        (int, b"i2:-0"),
        (int, b"i02:11"),
        (dict[int, int], b"d16:" + 2 * b"i1:1i1:2"),
    ],
    ids=str,
)
def test_a_second_spelling_is_refused(kind, written):
    with pytest.raises(Refused) as refusal:
        read(kind, written)
    assert refusal.value.reason is Reason.NOT_CANONICAL


def test_more_bytes_than_are_taken_are_not_looked_at():
    with pytest.raises(Refused) as refusal:
        read_plain(int, b"i3:100", size_max=5)
    assert refusal.value.reason is Reason.TOO_LARGE
    assert read_plain(int, b"i3:100", size_max=6) == 100


@pytest.mark.parametrize("kind", [object, set[int], int | str, Recursive, Twin | Colour], ids=str)
def test_a_type_that_is_not_plain_cannot_be_read(kind):
    with pytest.raises(TypeError):
        read(kind, b"i1:1")

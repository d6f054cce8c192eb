"""protocol.codec: one encoding a value, and nothing but a value or a refusal for all bytes."""

from __future__ import annotations

import dataclasses
import struct
import tracemalloc
import types
import typing
from dataclasses import dataclass
from enum import Enum
from typing import Any, NewType, Union, get_args, get_origin

import msgpack
import pytest
from hypothesis import given, settings, strategies as st

from protocol import messages
from protocol.codec import BYTES_MAX, ITEMS_MAX, TEXT_MAX, decode, encode
from protocol.errors import Reason, Refused
from protocol.messages import (
    BODY_BYTES_MAX,
    LOG_BLOCK_BYTES_MAX,
    OPERATION_BYTES_MAX,
    TRANSFER_BYTES_MAX,
    VOTE_BYTES_MAX,
    BlockBody,
    BlockContent,
    LogBlock,
    Operation,
    Payload,
    SignedOperation,
    SignedTransfer,
    SignedVote,
)
from protocol.types import BOUNDS, LENGTHS, Account, Amount, BasisPoints, Count, Salt, Tick
from tests.protocol.strategies import values
from tests.vectors.messages import examples

ROOMY = 1 << 20
"""A size that nothing here reaches, in bytes."""

MESSAGES = [
    kind
    for kind in vars(messages).values()
    if isinstance(kind, type)
    and dataclasses.is_dataclass(kind)
    and kind.__module__ == messages.__name__
]
GOSSIPED = [BlockBody, LogBlock, SignedOperation, SignedTransfer, SignedVote]

fewer = settings(max_examples=settings.default.max_examples // 4, deadline=None)
"""For properties that are tried with every kind."""

unhurried = settings(deadline=None)
"""For the others; how long an example takes says nothing on a busy machine."""


class Colour(Enum):
    """Known by name on the wire, whatever the members stand for."""

    RED = "red"
    GREEN = "green"


@dataclass(frozen=True, slots=True)
class Circle:
    radius: Amount


@dataclass(frozen=True, slots=True)
class Square:
    side: Amount
    colour: Colour


@dataclass(frozen=True, slots=True)
class Empty:
    pass


@dataclass(frozen=True, slots=True)
class Everything:
    """Every form that a field can have."""

    number: Count
    account: Account
    flag: bool
    label: str
    blob: bytes
    colour: Colour
    maybe_number: Tick | None
    maybe_shape: Circle | Square | None
    shapes: tuple[Circle | Square | Empty, ...]
    group: tuple[Count, Salt]
    rows: tuple[tuple[Count, ...], ...]


EXAMPLE = Everything(
    number=Count(300),
    account=Account(bytes(range(32))),
    flag=True,
    label="h\u00f6he",
    blob=b"\x00\x01",
    colour=Colour.GREEN,
    maybe_number=None,
    maybe_shape=Square(Amount(7), Colour.RED),
    shapes=(Circle(Amount(1)), Empty()),
    group=(Count(5), Salt(bytes(32))),
    rows=((), (Count(1), Count(2))),
)


ENCODED = {
    name: (type(value), encode(value))
    for name, value in (examples() | {"Everything": EXAMPLE}).items()
}


def named(value: Any) -> str:
    """A short name of a parameter for a report."""
    name = getattr(value, "__name__", ascii(value))
    return name if len(name) < 40 else f"{type(value).__name__} of {len(value)}"


def plain_example() -> list[Any]:
    """EXAMPLE as msgpack sees it, for tests to spoil."""
    plain: list[Any] = msgpack.unpackb(encode(EXAMPLE))
    return plain


def slowly_encoded(value: Any, hint: Any) -> bytes:
    """An independent reading of the rules: by the type, byte for byte."""
    if value is None:
        return b"\xc0"
    if type(value) is bool:
        return b"\xc3" if value else b"\xc2"
    if type(value) is int:
        return slowly_encoded_number(value)
    if type(value) is bytes:
        return b"\xc4" + bytes([len(value)]) + value
    if isinstance(value, (str, Enum)):
        text = (value.name if isinstance(value, Enum) else value).encode()
        return (bytes([0xA0 | len(text)]) if len(text) < 32 else bytes([0xD9, len(text)])) + text
    if get_origin(hint) in (Union, types.UnionType):
        return slowly_encoded_choice(value, hint)
    if dataclasses.is_dataclass(value):
        hints = typing.get_type_hints(type(value))
        fields = [(getattr(value, one.name), hints[one.name]) for one in dataclasses.fields(value)]
    else:
        arguments = get_args(hint)
        repeated = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        fields = list(zip(value, repeated, strict=True))
    return header(len(fields)) + b"".join(slowly_encoded(*field) for field in fields)


def slowly_encoded_choice(value: Any, hint: Any) -> bytes:
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    if len(kinds) == 1:
        return slowly_encoded(value, kinds[0])
    return b"\x92" + bytes([kinds.index(type(value))]) + slowly_encoded(value, type(value))


def slowly_encoded_number(value: int) -> bytes:
    if value < 128:
        return bytes([value])
    width = next(width for width in (1, 2, 4, 8) if value < 1 << 8 * width)
    return bytes([{1: 0xCC, 2: 0xCD, 4: 0xCE, 8: 0xCF}[width]]) + value.to_bytes(width, "big")


def header(count: int) -> bytes:
    return bytes([0x90 | count]) if count < 16 else b"\xdc" + struct.pack(">H", count)


def refusal(kind: Any, payload: bytes, size_max: int = ROOMY) -> Reason:
    with pytest.raises(Refused) as caught:
        decode(kind, payload, size_max=size_max)
    return caught.value.reason


def canonical_or_refused(kind: Any, payload: bytes) -> None:
    try:
        value = decode(kind, payload, size_max=ROOMY)
    except Refused:
        return
    assert encode(value, kind) == payload


# --- one encoding a value -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*MESSAGES, Everything], ids=named)
@fewer
@given(data=st.data())
def test_every_message_round_trips_as_the_rules_say(kind: Any, data: st.DataObject) -> None:
    value = data.draw(values(kind))
    payload = encode(value)
    assert payload == slowly_encoded(value, kind)
    assert decode(kind, payload, size_max=len(payload)) == value


@unhurried
@given(value=values(Payload))
def test_a_union_round_trips_as_a_kind_and_its_fields(value: Any) -> None:
    payload = encode(value, Payload)
    assert payload[:2] == bytes([0x92, get_args(Payload).index(type(value))])
    assert decode(Payload, payload, size_max=ROOMY) == value


@fewer
@given(kind=st.sampled_from([*GOSSIPED, BlockContent]), data=st.data())
def test_different_values_have_different_bytes(kind: Any, data: st.DataObject) -> None:
    one, other = data.draw(values(kind)), data.draw(values(kind))
    assert (encode(one) == encode(other)) == (one == other)


def test_decoded_arrays_are_tuples_and_enumerations_members() -> None:
    decoded = decode(Everything, encode(EXAMPLE), size_max=ROOMY)
    assert decoded == EXAMPLE
    assert type(decoded.rows[1]) is tuple
    assert decoded.colour is Colour.GREEN


# --- nothing else for all bytes -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*GOSSIPED, Everything], ids=named)
@fewer
@given(payload=st.binary(max_size=200))
def test_random_bytes_are_canonical_or_refused(kind: Any, payload: bytes) -> None:
    canonical_or_refused(kind, payload)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.binary(max_size=70)
    | st.text(max_size=70)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=8))
    | st.builds(msgpack.Timestamp, st.integers(0, 1 << 33), st.integers(0, 10)),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 9), inner, max_size=3)
    ),
    max_leaves=20,
)


@unhurried
@given(kind=st.sampled_from([*GOSSIPED, Everything]), plain=PLAIN)
def test_any_other_msgpack_is_canonical_or_refused(kind: Any, plain: Any) -> None:
    canonical_or_refused(kind, msgpack.packb(plain))


@unhurried
@given(place=st.integers(0, 10), plain=PLAIN)
def test_any_other_value_in_any_field_is_canonical_or_refused(place: int, plain: Any) -> None:
    spoilt = plain_example()
    spoilt[place] = plain
    canonical_or_refused(Everything, msgpack.packb(spoilt))


@unhurried
@given(example=st.sampled_from(sorted(ENCODED)), data=st.data())
def test_mutated_encodings_are_canonical_or_refused(example: str, data: st.DataObject) -> None:
    kind, payload = ENCODED[example]
    for _ in range(data.draw(st.integers(1, 3))):
        first = data.draw(st.integers(0, len(payload)))
        end = data.draw(st.integers(first, min(len(payload), first + 4)))
        payload = payload[:first] + data.draw(st.binary(max_size=4)) + payload[end:]
    canonical_or_refused(kind, payload)


@pytest.mark.parametrize("example", ["Everything", "Operation/ProofRecord", "SignedVote"])
def test_every_change_of_one_byte_is_canonical_or_refused(example: str) -> None:
    kind, payload = ENCODED[example]
    for place in range(len(payload)):
        for byte in (0x00, 0x7F, 0x80, 0x90, 0x91, 0xC0, 0xC4, 0xCC, 0xD9, 0xDC, 0xDD, 0xFF):
            canonical_or_refused(kind, payload[:place] + bytes([byte]) + payload[place + 1 :])


@unhurried
@given(value=values(SignedOperation), data=st.data())
def test_every_shortened_and_every_lengthened_encoding_is_not_canonical(
    value: SignedOperation, data: st.DataObject
) -> None:
    payload = encode(value)
    end = data.draw(st.integers(0, len(payload) - 1))
    assert refusal(SignedOperation, payload[:end]) is Reason.NOT_CANONICAL
    longer = payload + data.draw(st.binary(min_size=1, max_size=9))
    assert refusal(SignedOperation, longer) is Reason.NOT_CANONICAL


def test_the_size_is_looked_at_first() -> None:
    payload = encode(EXAMPLE)
    assert decode(Everything, payload, size_max=len(payload)) == EXAMPLE
    assert refusal(Everything, payload, len(payload) - 1) is Reason.TOO_LARGE
    assert refusal(Everything, b"\xc1" * 9, 8) is Reason.TOO_LARGE


# --- each shape that is refused -------------------------------------------------------------------


FIELDS = [field.name for field in dataclasses.fields(Everything)]


@pytest.mark.parametrize(
    ("name", "spoilt"),
    [
        ("number", -1),
        ("number", 1 << 16),
        ("number", (1 << 64) - 1),
        ("number", True),
        ("number", 1.0),
        ("number", None),
        ("number", "1"),
        ("number", b"1"),
        ("number", [1]),
        ("number", []),
        ("number", {}),
        ("number", {1: 1}),
        ("number", msgpack.ExtType(5, b"")),
        ("number", msgpack.ExtType(5, b"1")),
        ("number", msgpack.Timestamp(1)),
        ("account", bytes(31)),
        ("account", bytes(33)),
        ("account", bytes(81)),
        ("account", "a" * 32),
        ("account", None),
        ("flag", 1),
        ("flag", 0),
        ("flag", None),
        ("label", "a" * (TEXT_MAX + 1)),
        ("label", "\u00e4" * (TEXT_MAX // 2) + "a"),
        ("label", b"a"),
        ("blob", bytes(BYTES_MAX + 1)),
        ("blob", "a"),
        ("colour", "blue"),
        ("colour", "red"),
        ("colour", 0),
        ("colour", ["RED"]),
        ("maybe_number", False),
        ("maybe_number", [None]),
        ("maybe_shape", []),
        ("maybe_shape", [0]),
        ("maybe_shape", [0, [1], 0]),
        ("maybe_shape", [0, []]),
        ("maybe_shape", [1, [1]]),
        ("maybe_shape", [0, None]),
        ("shapes", None),
        ("shapes", 0),
        ("shapes", [None]),
        ("shapes", [[2, [0]]]),
        ("group", [1]),
        ("group", [1, bytes(32), 1]),
        ("group", [bytes(32), 1]),
        ("rows", [[[]]]),
        ("rows", [1]),
    ],
    ids=named,
)
def test_a_value_of_another_type_has_the_wrong_shape(name: str, spoilt: Any) -> None:
    plain = plain_example()
    plain[FIELDS.index(name)] = spoilt
    assert refusal(Everything, msgpack.packb(plain)) is Reason.WRONG_SHAPE


@pytest.mark.parametrize("kind", [3, 9, -1, 1 << 40, None, True, "0", b"\0", 0.0], ids=named)
def test_a_kind_that_is_no_place_in_the_union_is_unknown(kind: Any) -> None:
    plain = plain_example()
    plain[FIELDS.index("shapes")] = [[kind, [1]]]
    assert refusal(Everything, msgpack.packb(plain)) is Reason.UNKNOWN_KIND


@pytest.mark.parametrize("count", [0, 1, 10, 12, 15])
def test_a_message_has_exactly_its_fields(count: int) -> None:
    plain = (plain_example() + [0] * 4)[:count]
    assert refusal(Everything, msgpack.packb(plain)) is Reason.WRONG_SHAPE


@pytest.mark.parametrize(
    "payload", [b"\x80", b"\x05", b"\xc0", b"\xc1", b"\xc4\x01a", b"\xa1a"], ids=named
)
def test_a_message_is_an_array(payload: bytes) -> None:
    assert refusal(Everything, payload) is Reason.WRONG_SHAPE


def test_text_is_utf_8() -> None:
    payload = encode(EXAMPLE).replace("h\u00f6he".encode(), b"h\xff\xffhe")
    assert refusal(Everything, payload) is Reason.WRONG_SHAPE


@dataclass(frozen=True, slots=True)
class Three:
    number: Amount
    blob: bytes
    label: str
    numbers: tuple[Count, ...]


@pytest.mark.parametrize(
    "payload",
    [
        b"\x94\xcc\x05\xc4\x01a\xa1b\x91\x07",
        b"\x94\xcd\x00\x05\xc4\x01a\xa1b\x91\x07",
        b"\x94\xce\x00\x00\x00\x05\xc4\x01a\xa1b\x91\x07",
        b"\x94\xcf" + bytes(7) + b"\x05\xc4\x01a\xa1b\x91\x07",
        b"\x94\xd0\x05\xc4\x01a\xa1b\x91\x07",
        b"\x94\xd3" + bytes(7) + b"\x05\xc4\x01a\xa1b\x91\x07",
        b"\x94\x05\xc5\x00\x01a\xa1b\x91\x07",
        b"\x94\x05\xc6\x00\x00\x00\x01a\xa1b\x91\x07",
        b"\x94\x05\xc4\x01a\xd9\x01b\x91\x07",
        b"\x94\x05\xc4\x01a\xda\x00\x01b\x91\x07",
        b"\x94\x05\xc4\x01a\xdb\x00\x00\x00\x01b\x91\x07",
        b"\x94\x05\xc4\x01a\xa1b\xdc\x00\x01\x07",
        b"\x94\x05\xc4\x01a\xa1b\xdd\x00\x00\x00\x01\x07",
        b"\xdc\x00\x04\x05\xc4\x01a\xa1b\x91\x07",
        b"\xdd\x00\x00\x00\x04\x05\xc4\x01a\xa1b\x91\x07",
        b"\x94\x05\xc4\x01a\xa1b\x91\x07\xc0",
    ],
    ids=bytes.hex,
)
def test_there_is_no_second_encoding(payload: bytes) -> None:
    shortest = b"\x94\x05\xc4\x01a\xa1b\x91\x07"
    value = Three(Amount(5), b"a", "b", (Count(7),))
    assert decode(Three, shortest, size_max=ROOMY) == value
    assert refusal(Three, payload) is Reason.NOT_CANONICAL


def test_arrays_have_a_largest_length() -> None:
    full = Three(Amount(5), b"a", "b", (Count(7),) * ITEMS_MAX)
    payload = encode(full)
    assert decode(Three, payload, size_max=ROOMY) == full
    over = dataclasses.replace(full, numbers=(*full.numbers, Count(7)))
    longer = payload.replace(b"\xdc\x10\x00", b"\xdc\x10\x01") + b"\x07"
    assert refusal(Three, longer) is Reason.WRONG_SHAPE
    with pytest.raises(Refused) as caught:
        encode(over)
    assert caught.value.reason is Reason.WRONG_SHAPE


# --- what hostile bytes cost ----------------------------------------------------------------------


def claims(count: int) -> bytes:
    return b"\xdd" + struct.pack(">I", count)


def empties(size: int) -> bytes:
    """Nothing but empty arrays in full arrays in one array."""
    row = header(1000) + b"\x90" * 1000
    return (header(4) + header(4096) + row * 4096)[:size]


HOSTILE = {
    "a huge claim": lambda size: claims((1 << 32) - 1),
    "a huge claim in place": lambda size: b"\x91" + claims((1 << 32) - 1),
    "nested claims": lambda size: (claims(ITEMS_MAX) * size)[:size],
    "deep nesting": lambda size: (b"\x91" * size)[:size],
    "deep nesting of pairs": lambda size: (b"\x92\x00" * size)[:size],
    "empty arrays": empties,
    "a huge claim of bytes": lambda size: b"\x92" + b"\xc6" + b"\xff" * 4,
    "a huge claim of text": lambda size: b"\x92" + b"\xdb" + b"\xff" * 4,
    "a huge claim of a map": lambda size: b"\x92" + b"\xdf" + b"\xff" * 4,
    "a huge claim of an extension": lambda size: b"\x92" + b"\xc9" + b"\xff" * 5,
    "an array as a kind": lambda size: (b"\x92\x95" + bytes(48) + empties(size))[:size],
}


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        (SignedVote, VOTE_BYTES_MAX),
        (SignedTransfer, TRANSFER_BYTES_MAX),
        (SignedOperation, OPERATION_BYTES_MAX),
        (LogBlock, LOG_BLOCK_BYTES_MAX),
        (BlockBody, BODY_BYTES_MAX),
    ],
    ids=named,
)
@pytest.mark.parametrize("attack", HOSTILE)
def test_hostile_shapes_build_nothing(kind: Any, size: int, attack: str) -> None:
    payload = HOSTILE[attack](size)
    assert_builds_nothing(kind, payload)


@pytest.mark.parametrize("place", [b"\x9b", b"\x9b\x01\xc4\x20" + bytes(32)])
def test_a_map_in_a_fields_place_is_not_built(place: bytes) -> None:
    pairs = b"".join(b"\xa4%04x\x00" % key for key in range(20_000))
    assert_builds_nothing(Everything, place + b"\xde" + struct.pack(">H", 20_000) + pairs)


def assert_builds_nothing(kind: Any, payload: bytes) -> None:
    """Refused, and the peak of memory is a copy of the payload and small change, in bytes."""
    refusal(kind, payload, len(payload))
    tracemalloc.start()
    try:
        refusal(kind, payload, len(payload))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(payload) + 100_000


def test_a_hostile_kind_is_not_spelt_out() -> None:
    operation = b"\x92" + header(4) + b"\xc4\x20" + bytes(32) + b"\x01\x01\x92"
    assert refusal(SignedOperation, operation + header(1000) + b"\x90" * 1000) is Reason.WRONG_SHAPE
    with pytest.raises(Refused) as caught:
        decode(SignedOperation, operation + b"\xd9\x40" + b"a" * 64, size_max=ROOMY)
    assert caught.value.reason is Reason.UNKNOWN_KIND
    assert len(str(caught.value)) < 200


# --- our own mistakes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "spoilt"),
    [
        ("number", -1),
        ("number", 1 << 16),
        ("number", True),
        ("account", bytes(31)),
        ("account", bytearray(32)),
        ("flag", 1),
        ("label", "a" * (TEXT_MAX + 1)),
        ("blob", bytes(BYTES_MAX + 1)),
        ("maybe_number", -1),
        ("rows", ((Count(1), -1),)),
    ],
    ids=named,
)
def test_a_value_out_of_its_range_is_not_encoded(name: str, spoilt: Any) -> None:
    with pytest.raises(Refused) as caught:
        encode(dataclasses.replace(EXAMPLE, **{name: spoilt}))
    assert caught.value.reason is Reason.WRONG_SHAPE


def test_a_group_of_another_length_is_not_encoded() -> None:
    for group in ((Count(1),), (Count(1),) * 3):
        with pytest.raises(Refused, match="a group has 2 fields"):
            encode(dataclasses.replace(EXAMPLE, group=group))


@pytest.mark.parametrize(
    "hint", [int, float, dict[str, int], NewType("Unbounded", int), list[Count]], ids=named
)
def test_a_type_without_a_bound_has_no_form(hint: Any) -> None:
    with pytest.raises(TypeError, match="no canonical form"):
        encode(1, hint)


@pytest.mark.parametrize("hint", BOUNDS, ids=named)
def test_numbers_reach_their_bound_and_no_further(hint: Any) -> None:
    largest = BOUNDS[hint]
    assert decode(hint, encode(largest, hint), size_max=9) == largest
    assert refusal(hint, msgpack.packb(largest + 1)) is Reason.WRONG_SHAPE


@pytest.mark.parametrize("hint", LENGTHS, ids=named)
def test_byte_strings_have_their_length(hint: Any) -> None:
    length = LENGTHS[hint]
    assert decode(hint, encode(bytes(length), hint), size_max=ROOMY) == bytes(length)
    for other in (0, length - 1, length + 1):
        assert refusal(hint, msgpack.packb(bytes(other))) is Reason.WRONG_SHAPE


def test_the_largest_of_each_kind_fits_its_size() -> None:
    widest = {hint: BOUNDS[hint] for hint in BOUNDS}
    transfer = messages.Transfer(
        Account(bytes(32)),
        Account(bytes(32)),
        Amount(widest[Amount]),
        Amount(widest[Amount]),
        widest[messages.Nonce],
    )
    signed = SignedTransfer(transfer, messages.Signature(bytes(64)))
    assert len(encode(signed)) <= TRANSFER_BYTES_MAX
    leaf = messages.LeafHeader(
        messages.TransferDigest(bytes(32)), Amount(widest[Amount]), messages.Root(bytes(32))
    )
    content = BlockContent(
        messages.JobId(bytes(32)),
        messages.Root(bytes(32)),
        (leaf,) * 256,
        messages.BodyHash(bytes(32)),
    )
    reveal = messages.BlockReveal(widest[messages.Round], content, Salt(bytes(32)))
    operation = Operation(Account(bytes(32)), widest[messages.Nonce], widest[messages.Tick], reveal)
    assert len(encode(SignedOperation(operation, messages.Signature(bytes(64))))) <= (
        OPERATION_BYTES_MAX
    )
    body = BlockBody(((signed,) * 44,) * 256)
    assert len(encode(body)) <= BODY_BYTES_MAX
    assert messages.decode_body(encode(body)) == body
    assert BOUNDS[BasisPoints] == 10_000

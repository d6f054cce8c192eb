"""State as bytes and back: one encoding, whose digest headers commit to and whose bytes travel.

The problem: a newcomer takes a state over from a stranger. Its digest must be that of the very
bytes that came, and bytes must not become anything but the state that they spell.

The rules:

- Numbers of any size, bytes, text, truth values, None, enums, dataclasses, tuples, lists and dicts
  are written with a tag and a length, so that different values never have the same bytes. Anything
  else is a TypeError: state that cannot be written does not belong into the core.
- A dict is written in its own order, because rules act in that order. Lists and tuples are written
  alike; the type tells them apart when they are read.
- Bytes are read as a type says, never as they say themselves. The type of a rule's state is what
  its ``snapshot`` is annotated to return.
- Numbers and byte strings of ``protocol.types`` are held to their bounds and lengths. What was read
  is written again: other bytes than these are refused.

Deviation: messages have the shorter encoding of ``protocol.codec``, which knows neither dicts nor
numbers without a bound.

Properties. For all bytes, :func:`read_plain` returns a value whose :func:`plain_bytes` are those
bytes, or raises :class:`~protocol.errors.Refused`; nothing else. It builds nothing that is larger
than a fixed number of times the bytes, and nests as deep as the type.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from functools import cache
from typing import Any, Final, Protocol, TypeAlias, Union, get_args, get_origin

from protocol.errors import Reason, Refused
from protocol.signing import digest
from protocol.types import BOUNDS, LENGTHS, Digest

DIGITS_MAX: Final = 1_000
"""Most decimal digits of a number that is read: Fernet's scores have 159."""

_LENGTH_DIGITS_MAX: Final = 12


class Snapshooter(Protocol):
    """Whatever tells its state by ``snapshot``, annotated with the type of that."""

    def snapshot(self) -> object:
        """All state as a plain value."""


# --- writing ---


def snapshot_digest(written: bytes) -> Digest:
    """Digest of a state by its bytes."""
    return Digest(digest(b"provnet/snapshot/1", written))


def plain_bytes(value: Any) -> bytes:
    """Unambiguous bytes of a plain value. Raises TypeError for anything else."""
    if value is None or value is True or value is False:
        return _framed(b"k", str(value).encode())
    if type(value) is int:
        return _framed(b"i", str(value).encode())
    if type(value) is bytes:
        return _framed(b"b", value)
    if type(value) is str:
        return _framed(b"s", value.encode())
    if isinstance(value, Enum):
        return _framed(b"e", f"{type(value).__name__}.{value.name}".encode())
    if type(value) in (tuple, list):
        return _framed(b"l", b"".join([plain_bytes(one) for one in value]))
    if type(value) is dict:
        rows = (plain_bytes(key) + plain_bytes(one) for key, one in value.items())
        return _framed(b"d", b"".join(rows))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind: Any = type(value)
        fields = [plain_bytes(getattr(value, name)) for name in _field_names(kind)]
        return _framed(b"r", _framed(b"n", kind.__name__.encode()) + b"".join(fields))
    raise TypeError(f"no plain bytes for {type(value).__name__}")


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _framed(tag: bytes, content: bytes) -> bytes:
    return b"%b%d:%b" % (tag, len(content), content)


# --- reading ---


def state_type(owner: Snapshooter) -> Any:
    """The type that ``owner.snapshot`` is annotated to return.

    :raises Refused: UNTYPED_STATE when it says none, or one that cannot be read back.
    """
    name = type(owner).__name__
    try:
        kind = typing.get_type_hints(type(owner).snapshot)["return"]
        _form(kind)
    except (KeyError, NameError, TypeError) as failure:
        raise Refused(Reason.UNTYPED_STATE, f"{name}.snapshot: {failure}") from None
    return kind


def read_plain(kind: Any, written: bytes, *, size_max: int) -> Any:
    """The value of type ``kind`` that ``written`` spells.

    :param size_max: most bytes that are taken.
    :raises Refused: TOO_LARGE, WRONG_SHAPE or NOT_CANONICAL; never anything else for any bytes.
    """
    if len(written) > size_max:
        raise Refused(Reason.TOO_LARGE, f"{len(written)} bytes, at most {size_max}")
    pieces = list(_pieces(written))
    if len(pieces) != 1:
        raise _wrong("one value")
    value = _form(kind)(pieces[0])
    if plain_bytes(value) != written:
        raise Refused(Reason.NOT_CANONICAL)
    return value


_Piece: TypeAlias = tuple[bytes, bytes]
"""The tag and the content of something framed."""

_Read: TypeAlias = Callable[[_Piece], Any]


def _wrong(expected: str) -> Refused:
    return Refused(Reason.WRONG_SHAPE, f"expected {expected}")


def _pieces(written: bytes) -> Iterator[_Piece]:
    place = 0
    while place < len(written):
        colon = written.find(b":", place, place + _LENGTH_DIGITS_MAX + 2)
        length = written[place + 1 : colon]
        if colon < 0 or not length.isdigit():
            raise _wrong("a tag and a length")
        end = colon + 1 + int(length)
        if end > len(written):
            raise _wrong("as many bytes as the length says")
        yield written[place : place + 1], written[colon + 1 : end]
        place = end


def _content(piece: _Piece, tag: bytes, expected: str) -> bytes:
    if piece[0] != tag:
        raise _wrong(expected)
    return piece[1]


def _number(name: str, largest: int | None) -> _Read:
    def read(piece: _Piece) -> int:
        digits = _content(piece, b"i", name)
        if len(digits) > DIGITS_MAX or not digits.removeprefix(b"-").isdigit():
            raise _wrong(f"{name} in at most {DIGITS_MAX} digits")
        value = int(digits)
        if largest is not None and not 0 <= value <= largest:
            raise _wrong(f"{name} from 0 to {largest}")
        return value

    return read


def _byte_string(name: str, length: int | None) -> _Read:
    def read(piece: _Piece) -> bytes:
        value = _content(piece, b"b", name)
        if length is not None and len(value) != length:
            raise _wrong(f"{name} of {length} bytes")
        return value

    return read


def _text(piece: _Piece) -> str:
    try:
        return _content(piece, b"s", "text").decode()
    except UnicodeDecodeError:
        raise _wrong("text") from None


def _member(members: dict[bytes, Any], expected: str, tag: bytes) -> _Read:
    def read(piece: _Piece) -> Any:
        word = _content(piece, tag, expected)
        if word not in members:
            raise _wrong(expected)
        return members[word]

    return read


def _enumeration(kind: type[Enum]) -> _Read:
    name = kind.__name__
    return _member({f"{name}.{one.name}".encode(): one for one in kind}, f"a {name}", b"e")


def _sequence(inner: Any, build: Callable[[Iterator[Any]], Any]) -> _Read:
    read_one = _form(inner)
    return lambda piece: build(read_one(one) for one in _pieces(_content(piece, b"l", "a list")))


def _row(kinds: tuple[Any, ...]) -> _Read:
    reads = tuple(_form(kind) for kind in kinds)

    def read(piece: _Piece) -> tuple[Any, ...]:
        return _each(reads, list(_pieces(_content(piece, b"l", "a tuple"))), "a tuple")

    return read


def _each(reads: tuple[_Read, ...], pieces: list[_Piece], name: str) -> tuple[Any, ...]:
    if len(pieces) != len(reads):
        raise _wrong(f"{name} of {len(reads)}")
    return tuple(read_one(one) for read_one, one in zip(reads, pieces, strict=True))


def _mapping(key: Any, value: Any) -> _Read:
    read_key, read_value = _form(key), _form(value)

    def read(piece: _Piece) -> dict[Any, Any]:
        pieces = list(_pieces(_content(piece, b"d", "a dict")))
        if len(pieces) % 2:
            raise _wrong("a value for every key")
        keys = (read_key(one) for one in pieces[::2])
        return dict(zip(keys, (read_value(one) for one in pieces[1::2]), strict=True))

    return read


def _record(kind: type[Any]) -> _Read:
    hints, name = typing.get_type_hints(kind), kind.__name__
    reads = tuple(_form(hints[field.name]) for field in dataclasses.fields(kind))

    def read(piece: _Piece) -> Any:
        pieces = list(_pieces(_content(piece, b"r", f"a {name}")))
        if pieces[:1] != [(b"n", name.encode())]:
            raise _wrong(f"a {name}")
        return kind(*_each(reads, pieces[1:], name))

    return read


def _choice(kinds: tuple[Any, ...]) -> _Read:
    """One of several dataclasses, told apart by their names."""
    reads = {kind.__name__.encode(): _form(kind) for kind in kinds}
    if len(reads) < len(kinds) or not all(map(dataclasses.is_dataclass, kinds)):
        raise TypeError(f"only dataclasses of different names can be told apart, not {kinds}")
    expected = f"one of {', '.join(kind.__name__ for kind in kinds)}"

    def read(piece: _Piece) -> Any:
        first = next(_pieces(_content(piece, b"r", expected)), None)
        if first is None or first[1] not in reads:
            raise _wrong(expected)
        return reads[first[1]](piece)

    return read


def _optional(inner: _Read) -> _Read:
    return lambda piece: None if piece == (b"k", b"None") else inner(piece)


def _composite(kind: Any) -> _Read:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        kinds = tuple(one for one in arguments if one is not type(None))
        inner = _form(kinds[0]) if len(kinds) == 1 else _choice(kinds)
        return _optional(inner) if len(kinds) < len(arguments) else inner
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _row(arguments)
    if origin in (tuple, list):
        return _sequence(arguments[0], origin)
    if origin is dict:
        return _mapping(*arguments)
    raise TypeError(f"{kind!r} cannot be read back")


_PLAIN: Final[dict[Any, _Read]] = {
    int: _number("a number", None),
    bytes: _byte_string("bytes", None),
    str: _text,
    bool: _member({b"True": True, b"False": False}, "a truth value", b"k"),
    None: _member({b"None": None}, "nothing", b"k"),
    type(None): _member({b"None": None}, "nothing", b"k"),
}


@cache
def _form(kind: Any) -> _Read:
    """How a value of a type is read. Raises TypeError for a type that is not plain."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in BOUNDS:
        return _number(kind.__name__, BOUNDS[kind])
    if kind in LENGTHS:
        return _byte_string(kind.__name__, LENGTHS[kind])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enumeration(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _record(kind)
    return _composite(kind)

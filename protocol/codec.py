"""Canonical bytes for frozen dataclasses.

The problem: hashes and signatures need one encoding per value, and a decoder faces hostile bytes.
The rules:

- A dataclass is a msgpack array of its fields, in order. A union of dataclasses is
  ``[kind, fields]``, where ``kind`` is the class's place in the union. There are no maps, floats,
  extensions or strings of unbounded length.
- Every field has a type from ``protocol.types`` (its bound or length holds), or is ``bool``,
  ``T | None``, ``tuple[T, ...]`` with at most :data:`ITEMS_MAX` items, ``bytes`` of at most
  :data:`BYTES_MAX`, ``str`` of at most :data:`TEXT_MAX`, another dataclass, an ``Enum`` (by
  name), or a ``tuple[A, B]`` of fixed length.
- Decoding checks the size first, then reads one array header or plain value at a time, as the type
  asks for, with every limit of msgpack set, and re-encodes: bytes that are not the canonical
  encoding of what they decode to are refused.

Properties. For all bytes, :func:`decode` returns a value whose :func:`encode` is those bytes, or
raises :class:`~protocol.errors.Refused`; nothing else. Nothing is built that the type has no place
for: a claimed length allocates nothing, nesting is as deep as the type, and the first wrong byte
ends the work.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cache
from operator import attrgetter, call
from typing import Any, Final, TypeVar, Union, get_args, get_origin

import msgpack

from protocol.errors import Reason, Refused
from protocol.types import BOUNDS, LENGTHS

BYTES_MAX: Final = 64
"""Longest free-form byte string in a message, in bytes."""

TEXT_MAX: Final = 64
"""Longest text in a message, in bytes of UTF-8."""

ITEMS_MAX: Final = 4096
"""Most items of one array."""

T = TypeVar("T")

_LONGEST: Final = max(BYTES_MAX, *LENGTHS.values())
_NIL: Final = b"\xc0"

_write = msgpack.Packer().pack


class _Source:
    """Reads a payload piece by piece.

    :ivar count: the next piece, an array's header: how many items follow.
    :ivar value: the next piece, anything that holds no further pieces.
    """

    __slots__ = ("_payload", "_tell", "count", "value")

    def __init__(self, payload: bytes) -> None:
        unpacker = msgpack.Unpacker(
            raw=False,
            strict_map_key=True,
            max_buffer_size=len(payload),
            max_str_len=TEXT_MAX,
            max_bin_len=_LONGEST,
            max_array_len=0,
            max_map_len=0,
            max_ext_len=0,
        )
        unpacker.feed(payload)
        self._payload = payload
        self._tell = unpacker.tell
        self.count = unpacker.read_array_header
        self.value = unpacker.unpack

    def starts_with_nil(self) -> bool:
        """Whether the next piece is nil."""
        place = self._tell()
        return self._payload[place : place + 1] == _NIL


_Pack = Callable[[Any], Any]
_Read = Callable[[_Source], Any]


class _Form:
    """How one type becomes plain msgpack values, and is read back."""

    __slots__ = ("pack", "read")

    def __init__(self, pack: _Pack, read: _Read) -> None:
        self.pack = pack
        self.read = read


def _wrong(detail: str) -> Refused:
    return Refused(Reason.WRONG_SHAPE, detail)


def _scalar(pack: _Pack) -> _Form:
    """Plain values that ``pack`` lets pass; what is read passes the same check."""
    return _Form(pack, lambda source: pack(source.value()))


def _number(name: str, largest: int) -> _Form:
    def pack(value: Any) -> Any:
        if type(value) is int and 0 <= value <= largest:
            return value
        raise _wrong(f"{name} is an integer from 0 to {largest}")

    return _scalar(pack)


def _fixed_bytes(name: str, length: int) -> _Form:
    def pack(value: Any) -> Any:
        if type(value) is bytes and len(value) == length:
            return value
        raise _wrong(f"{name} has {length} bytes")

    return _scalar(pack)


def _free_bytes() -> _Form:
    def pack(value: Any) -> Any:
        if type(value) is bytes and len(value) <= BYTES_MAX:
            return value
        raise _wrong(f"bytes, at most {BYTES_MAX}")

    return _scalar(pack)


def _text() -> _Form:
    def pack(value: Any) -> Any:
        if type(value) is str and len(value.encode()) <= TEXT_MAX:
            return value
        raise _wrong(f"text, at most {TEXT_MAX} bytes")

    return _scalar(pack)


def _boolean() -> _Form:
    def pack(value: Any) -> Any:
        if type(value) is bool:
            return value
        raise _wrong("a truth value")

    return _scalar(pack)


def _enumeration(kind: type[Enum]) -> _Form:
    members = {member.name: member for member in kind}

    def read(source: _Source) -> Any:
        name = source.value()
        if type(name) is not str or name not in members:
            raise _wrong(f"one of {sorted(members)}")
        return members[name]

    return _Form(attrgetter("_name_"), read)


def _optional(inner: _Form) -> _Form:
    pack, read = inner.pack, inner.read
    return _Form(
        lambda value: None if value is None else pack(value),
        lambda source: source.value() if source.starts_with_nil() else read(source),
    )


def _sequence(inner: _Form) -> _Form:
    pack_one, read_one = inner.pack, inner.read

    def checked(count: int) -> int:
        if count > ITEMS_MAX:
            raise _wrong(f"an array of at most {ITEMS_MAX}")
        return count

    def pack(value: Any) -> list[Any]:
        checked(len(value))
        return [pack_one(one) for one in value]

    def read(source: _Source) -> tuple[Any, ...]:
        return tuple([read_one(source) for _ in range(checked(source.count()))])

    return _Form(pack, read)


def _row(
    forms: list[_Form], build: Callable[..., Any], parts: Callable[[Any], Any], name: str
) -> _Form:
    packs, reads = [form.pack for form in forms], [form.read for form in forms]

    def pack(value: Any) -> list[Any]:
        return list(map(call, packs, parts(value)))

    def read(source: _Source) -> Any:
        if source.count() != len(reads):
            raise _wrong(f"{name} has {len(reads)} fields")
        return build(*[read_one(source) for read_one in reads])

    return _Form(pack, read)


def _record(kind: type[Any]) -> _Form:
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    forms = [_form(hints[name]) for name in names]
    return _row(forms, kind, _fields_of(names), kind.__name__)


def _fields_of(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Reads the fields of a dataclass; attrgetter makes a tuple of two and more only."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


def _parts_of(count: int) -> Callable[[Any], Any]:
    """Reads the parts of a group."""

    def parts(value: Any) -> Any:
        if len(value) != count:
            raise _wrong(f"a group has {count} fields")
        return value

    return parts


def _group(*parts: Any) -> tuple[Any, ...]:
    return parts


def _choice(kinds: tuple[Any, ...]) -> _Form:
    forms = [_form(kind) for kind in kinds]
    places = {kind: (place, _form(kind).pack) for place, kind in enumerate(kinds)}

    def pack(value: Any) -> tuple[Any, ...]:
        place, pack_fields = places[type(value)]
        return place, pack_fields(value)

    def read(source: _Source) -> Any:
        if source.count() != 2:
            raise _wrong("a kind and its fields")
        place = source.value()
        if type(place) is not int or not 0 <= place < len(forms):
            raise Refused(Reason.UNKNOWN_KIND, f"kind {place!r}")
        return forms[place].read(source)

    return _Form(pack, read)


def _composite(hint: Any) -> _Form:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        kinds = tuple(kind for kind in arguments if kind is not type(None))
        inner = _form(kinds[0]) if len(kinds) == 1 else _choice(kinds)
        return _optional(inner) if len(kinds) < len(arguments) else inner
    if origin is tuple and arguments[-1] is Ellipsis:
        return _sequence(_form(arguments[0]))
    if origin is tuple:
        return _row([_form(one) for one in arguments], _group, _parts_of(len(arguments)), "a group")
    raise TypeError(f"no canonical form for {hint!r}")


_PLAIN: Final = {bool: _boolean, bytes: _free_bytes, str: _text}


@cache
def _form(hint: Any) -> _Form:
    if hint in BOUNDS:
        return _number(hint.__name__, BOUNDS[hint])
    if hint in LENGTHS:
        return _fixed_bytes(hint.__name__, LENGTHS[hint])
    if hint in _PLAIN:
        return _PLAIN[hint]()
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enumeration(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _record(hint)
    return _composite(hint)


def encode(value: Any, kind: Any = None) -> bytes:
    """Canonical bytes of ``value``.

    :param kind: the type to encode as; needed when it is a union, otherwise the value's own class.
    :raises Refused: when a field is out of its range, which is our bug if the value is ours.
    """
    hint: Any = type(value) if kind is None else kind
    return encoder(hint)(value)


@cache
def encoder(kind: Any) -> Callable[[Any], bytes]:
    """Encodes values as ``kind``, see :func:`encode`; for who encodes many as one union."""
    pack = _form(kind).pack

    def encoded(value: Any) -> bytes:
        written: bytes = _write(pack(value))
        return written

    return encoded


def decode(kind: type[T] | Any, payload: bytes, *, size_max: int) -> Any:
    """The value of type ``kind`` that ``payload`` encodes.

    :param size_max: largest acceptable payload, in bytes.
    :raises Refused: TOO_LARGE, NOT_CANONICAL (also for bytes missing or left over), WRONG_SHAPE or
        UNKNOWN_KIND; never anything else for any bytes.
    """
    if len(payload) > size_max:
        raise Refused(Reason.TOO_LARGE, f"{len(payload)} bytes, at most {size_max}")
    hint: Any = kind
    try:
        value = _form(hint).read(_Source(payload))
    except msgpack.OutOfData:
        raise Refused(Reason.NOT_CANONICAL, "the bytes end too early") from None
    except ValueError as failure:  # msgpack's own limits, and text that is not UTF-8
        raise Refused(Reason.WRONG_SHAPE, type(failure).__name__) from None
    if encode(value, hint) != payload:
        raise Refused(Reason.NOT_CANONICAL)
    return value

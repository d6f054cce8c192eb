"""Canonical bytes for frozen dataclasses.

The problem: hashes and signatures need one encoding per value, and a decoder faces hostile bytes. The rules:

- A dataclass is a msgpack array of its fields, in order. A union of dataclasses is ``[kind, fields]``, where ``kind``
  is the class's place in the union. There are no maps, floats, extensions or strings of unbounded length.
- Every field has a type from ``protocol.types`` (its bound or length holds), or is ``bool``, ``T | None``,
  ``tuple[T, ...]`` with at most :data:`ITEMS_MAX` items, ``bytes`` of at most :data:`BYTES_MAX`, another dataclass,
  an ``Enum`` of text values, or a ``tuple[A, B]`` of fixed length.
- Decoding checks the size first, unpacks with every limit of msgpack set, checks each field, and re-encodes: bytes
  that are not the canonical encoding of what they decode to are refused.

Property: for all bytes, :func:`decode` returns a value whose :func:`encode` is those bytes, or raises
:class:`~protocol.errors.Refused`; nothing else.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
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

DEPTH_MAX: Final = 12
"""Deepest nesting of arrays that any message type uses."""

T = TypeVar("T")

_Pack = Callable[[Any], Any]
_Unpack = Callable[[Any], Any]


class _Form:
    """How one type becomes plain msgpack values and back."""

    __slots__ = ("pack", "unpack")

    def __init__(self, pack: _Pack, unpack: _Unpack) -> None:
        self.pack = pack
        self.unpack = unpack


def _shape(condition: bool, detail: str) -> None:
    if not condition:
        raise Refused(Reason.WRONG_SHAPE, detail)


def _identity(value: Any) -> Any:
    return value


def _number(name: str, largest: int) -> _Form:
    def unpack(raw: Any) -> int:
        _shape(type(raw) is int and 0 <= raw <= largest, f"{name} is an integer from 0 to {largest}")
        return typing.cast(int, raw)

    return _Form(unpack, unpack)


def _fixed_bytes(name: str, length: int) -> _Form:
    def unpack(raw: Any) -> bytes:
        _shape(type(raw) is bytes and len(raw) == length, f"{name} has {length} bytes")
        return typing.cast(bytes, raw)

    return _Form(unpack, unpack)


def _free_bytes() -> _Form:
    def unpack(raw: Any) -> bytes:
        _shape(type(raw) is bytes and len(raw) <= BYTES_MAX, f"bytes, at most {BYTES_MAX}")
        return typing.cast(bytes, raw)

    return _Form(unpack, unpack)


def _text() -> _Form:
    def unpack(raw: Any) -> str:
        _shape(type(raw) is str and len(raw.encode()) <= TEXT_MAX, f"text, at most {TEXT_MAX} bytes")
        return typing.cast(str, raw)

    return _Form(unpack, unpack)


def _boolean() -> _Form:
    def unpack(raw: Any) -> bool:
        _shape(type(raw) is bool, "a truth value")
        return typing.cast(bool, raw)

    return _Form(unpack, unpack)


def _enumeration(kind: type[Enum]) -> _Form:
    members = {member.value: member for member in kind}

    def unpack(raw: Any) -> Enum:
        _shape(type(raw) is str and raw in members, f"one of {sorted(members)}")
        return members[raw]

    return _Form(lambda member: member.value, unpack)


def _optional(inner: _Form) -> _Form:
    return _Form(
        lambda value: None if value is None else inner.pack(value),
        lambda raw: None if raw is None else inner.unpack(raw),
    )


def _sequence(inner: _Form) -> _Form:
    pack_one, unpack_one = inner.pack, inner.unpack

    def unpack(raw: Any) -> tuple[Any, ...]:
        _shape(type(raw) is list and len(raw) <= ITEMS_MAX, f"an array of at most {ITEMS_MAX}")
        return tuple(unpack_one(one) for one in raw)

    return _Form(lambda value: [pack_one(one) for one in value], unpack)


def _row(forms: list[_Form], build: Callable[..., Any], parts: Callable[[Any], Any], name: str) -> _Form:
    def unpack(raw: Any) -> Any:
        _shape(type(raw) is list and len(raw) == len(forms), f"{name} has {len(forms)} fields")
        return build(*(form.unpack(one) for form, one in zip(forms, raw, strict=True)))

    def pack(value: Any) -> list[Any]:
        return [form.pack(one) for form, one in zip(forms, parts(value), strict=True)]

    return _Form(pack, unpack)


def _record(kind: type[Any]) -> _Form:
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    forms = [_form(hints[name]) for name in names]
    return _row(forms, kind, lambda value: (getattr(value, name) for name in names), kind.__name__)


def _choice(kinds: tuple[Any, ...]) -> _Form:
    forms = [_form(kind) for kind in kinds]
    places = {kind: place for place, kind in enumerate(kinds)}

    def pack(value: Any) -> list[Any]:
        place = places[type(value)]
        return [place, forms[place].pack(value)]

    def unpack(raw: Any) -> Any:
        _shape(type(raw) is list and len(raw) == 2, "a kind and its fields")
        place, fields = raw
        if type(place) is not int or not 0 <= place < len(forms):
            raise Refused(Reason.UNKNOWN_KIND, f"kind {place!r}"[:TEXT_MAX])
        return forms[place].unpack(fields)

    return _Form(pack, unpack)


def _composite(hint: Any) -> _Form:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        kinds = tuple(kind for kind in arguments if kind is not type(None))
        inner = _form(kinds[0]) if len(kinds) == 1 else _choice(kinds)
        return _optional(inner) if len(kinds) < len(arguments) else inner
    if origin is tuple and arguments[-1] is Ellipsis:
        return _sequence(_form(arguments[0]))
    if origin is tuple:
        return _row([_form(one) for one in arguments], lambda *parts: parts, _identity, "a group")
    raise TypeError(f"no canonical form for {hint!r}")


_PLAIN: Final = {bool: _boolean, bytes: _free_bytes, str: _text}


@lru_cache(maxsize=None)
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
    plain = _form(type(value) if kind is None else kind).pack(value)
    return typing.cast(bytes, msgpack.packb(plain, use_bin_type=True))


def decode(kind: type[T] | Any, payload: bytes, *, size_max: int) -> Any:
    """The value of type ``kind`` that ``payload`` encodes.

    :param size_max: largest acceptable payload, in bytes.
    :raises Refused: TOO_LARGE, NOT_CANONICAL, WRONG_SHAPE or UNKNOWN_KIND; never anything else for any bytes.
    """
    if len(payload) > size_max:
        raise Refused(Reason.TOO_LARGE, f"{len(payload)} bytes, at most {size_max}")
    value = _form(kind).unpack(_plain(payload))
    if encode(value, kind) != payload:
        raise Refused(Reason.NOT_CANONICAL)
    return value


def _plain(payload: bytes) -> Any:
    try:
        plain = msgpack.unpackb(
            payload,
            raw=False,
            strict_map_key=True,
            max_str_len=TEXT_MAX,
            max_bin_len=128,
            max_array_len=min(ITEMS_MAX, len(payload)),
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, RecursionError, MemoryError) as failure:
        raise Refused(Reason.NOT_CANONICAL, type(failure).__name__) from None
    if _depth_exceeds(plain, DEPTH_MAX):
        raise Refused(Reason.WRONG_SHAPE, f"nested deeper than {DEPTH_MAX}")
    return plain


def _depth_exceeds(plain: Any, limit: int) -> bool:
    if type(plain) is not list:
        return False
    return limit == 0 or any(_depth_exceeds(one, limit - 1) for one in plain)

"""One digest for any state made of plain values.

Numbers of any size, bytes, text, truth values, None, enums, dataclasses, tuples, lists and dicts
(in the order of their encoded keys) are written with a tag and a length, so that different values
never have the same bytes. Anything else is a TypeError: state that cannot be snapshotted does not
belong into the core.
"""

from __future__ import annotations

import dataclasses
from enum import Enum
from functools import cache
from typing import Any

from protocol.signing import digest
from protocol.types import Digest


def snapshot_digest(value: Any) -> Digest:
    """Digest of a state; equal states have equal digests whatever the order in which they came
    about.
    """
    return Digest(digest(b"provnet/snapshot/1", plain_bytes(value)))


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
        rows = sorted((plain_bytes(key), plain_bytes(one)) for key, one in value.items())
        return _framed(b"d", b"".join(key + one for key, one in rows))
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

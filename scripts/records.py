"""Values as JSON records, one a line, for people and for tools that share no code with ours.

A record has ``at_ms``, ``kind`` (the class of the value) and the value's fields: bytes as hex, tree
nodes as ``[level, position]``, enums by name, amounts and ticks as numbers.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from p2p.store import unusable
from protocol.types import TreeIndex


def plain(value: Any) -> Any:
    """A value of ours as JSON knows it. Raises TypeError for what has no place in a record."""
    if isinstance(value, TreeIndex):
        return [value.level, value.position]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a record")


def record(kind: str, at_ms: int, **fields: Any) -> dict[str, Any]:
    """A record of a kind."""
    return {"at_ms": at_ms, "kind": kind} | {name: plain(one) for name, one in fields.items()}


def record_of(value: Any, at_ms: int, **more: Any) -> dict[str, Any]:
    """The record of a dataclass value; ``more`` fields come first."""
    fields: dict[str, Any] = plain(value)
    return record(type(value).__name__, at_ms, **more) | fields


def write_json(path: Path, value: Any) -> None:
    """Write a file of JSON whole or not at all. Raises StoreError when it cannot be written."""
    draft = path.with_suffix(path.suffix + ".draft")
    try:
        draft.write_text(json.dumps(value, indent=1) + "\n")
        draft.replace(path)
    except OSError as error:
        raise unusable(path, error) from error


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file of lines; an end that was cut short by a crash is left out."""
    with path.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)

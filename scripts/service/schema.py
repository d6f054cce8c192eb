"""JSON for frozen values: what it looks like (JSON Schema 2020-12), and reading it back.

Rules. Both follow from a value's annotations, as :func:`scripts.records.plain` writes it: byte
strings are lower-case hexadecimal digits of the exact length, numbers stay within their type, enums
are names, tree nodes pairs, dataclasses objects without unknown entries. Where one of several
dataclasses may stand, ``kind`` names its class. Descriptions are those of the docstrings.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from enum import Enum
from typing import Any, Final

from protocol.types import BOUNDS, LENGTHS, Count, TreeIndex

Schema = dict[str, Any]

COMPONENTS: Final = "#/components/schemas/"
"""Where the document keeps the schemas of dataclasses and enums."""

NUMBER_MAX: Final = (1 << 63) - 1
"""Largest whole number that has no type of its own."""


class Misshapen(Exception):
    """A JSON value does not have the shape that it must have; says where and what was expected."""


def schema_of(kind: Any, components: dict[str, Schema]) -> Schema:
    """The schema of an annotation; dataclasses and enums that it names go into ``components``."""
    simple = _simple_schema(kind)
    if simple is not None:
        return simple
    arguments = typing.get_args(kind)
    if _is_union(kind):
        return _union_schema(arguments, components)
    if typing.get_origin(kind) is tuple:
        return _tuple_schema(arguments, components)
    name = kind.__name__
    if name not in components:
        components[name] = {}  # a value may contain its own kind
        is_enum = issubclass(kind, Enum)
        components[name] = _enum_schema(kind) if is_enum else _object_schema(kind, components)
    return {"$ref": COMPONENTS + name}


def _simple_schema(kind: Any) -> Schema | None:
    if kind in BOUNDS:
        return {"type": "integer", "minimum": 0, "maximum": BOUNDS[kind]}
    if kind in LENGTHS:
        digits = 2 * LENGTHS[kind]
        return {"type": "string", "pattern": f"^[0-9a-f]{{{digits}}}$"}
    if kind is TreeIndex:
        place = schema_of(Count, {})
        return {"type": "array", "prefixItems": [place, place], "minItems": 2, "maxItems": 2}
    if kind is bytes:
        return {"type": "string", "pattern": "^([0-9a-f]{2})*$"}
    plain = {str: "string", int: "integer", bool: "boolean", type(None): "null"}
    return {"type": plain[kind]} if kind in plain else None


def _union_schema(arguments: tuple[Any, ...], components: dict[str, Schema]) -> Schema:
    options = [one for one in arguments if one is not type(None)]
    schemas = [
        _kind_schema(one, components) if len(options) > 1 else schema_of(one, components)
        for one in options
    ]
    if len(options) < len(arguments):
        schemas.append({"type": "null"})
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _kind_schema(kind: Any, components: dict[str, Schema]) -> Schema:
    """The schema of a dataclass that is told from others by its name."""
    schema_of(kind, components)
    name = f"{kind.__name__}Named"
    if name not in components:
        own = _object_schema(kind, components)
        tag = {"kind": {"const": kind.__name__}}
        components[name] = own | {
            "properties": tag | own["properties"],
            "required": ["kind", *own["required"]],
        }
    return {"$ref": COMPONENTS + name}


def _tuple_schema(arguments: tuple[Any, ...], components: dict[str, Schema]) -> Schema:
    if arguments[-1] is Ellipsis:
        return {"type": "array", "items": schema_of(arguments[0], components)}
    items = [schema_of(one, components) for one in arguments]
    return {
        "type": "array",
        "prefixItems": items,
        "minItems": len(items),
        "maxItems": len(items),
    }


def _enum_schema(kind: type[Enum]) -> Schema:
    meanings = "; ".join(f"{one.name}: {one.value}" for one in kind)
    return {
        "type": "string",
        "enum": [one.name for one in kind],
        "description": f"{_description(kind)} {meanings}",
    }


def _object_schema(kind: Any, components: dict[str, Schema]) -> Schema:
    hints, told = typing.get_type_hints(kind), _told(kind)
    properties = {}
    for field in dataclasses.fields(kind):
        schema = schema_of(hints[field.name], components)
        sentence = told.get(field.name)
        properties[field.name] = schema | ({"description": sentence} if sentence else {})
    return {
        "type": "object",
        "description": _description(kind),
        "properties": properties,
        "required": [one.name for one in dataclasses.fields(kind) if _is_required(one)],
        "additionalProperties": False,
    }


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING


def _is_union(kind: Any) -> bool:
    return isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union


def _description(kind: Any) -> str:
    text = inspect.getdoc(kind) or ""
    return " ".join(text.partition(":ivar ")[0].split())


def _told(kind: Any) -> dict[str, str]:
    """What a docstring says of the fields."""
    text = inspect.getdoc(kind) or ""
    found = re.findall(r":ivar (\w+): (.*?)(?=\n:ivar |\n\n|\Z)", text, re.DOTALL)
    return {name: " ".join(sentence.split()) for name, sentence in found}


# --- reading ---


def parse(kind: Any, raw: Any, place: str = "body") -> Any:
    """The value that a JSON value is. Raises :class:`Misshapen`."""
    if kind in BOUNDS or kind is int:
        most = BOUNDS.get(kind, NUMBER_MAX)
        is_number = type(raw) is int and 0 <= raw <= most
        _expect(is_number, place, f"a whole number from 0 to {most}")
        return raw
    if kind in LENGTHS:
        return _parse_bytes(raw, LENGTHS[kind], place)
    if kind is bool or kind is str:
        _expect(type(raw) is kind, place, "true or false" if kind is bool else "text")
        return raw
    if kind is TreeIndex:
        return TreeIndex(*parse(tuple[Count, Count], raw, place))
    if isinstance(kind, type) and issubclass(kind, Enum):
        names = {one.name: one for one in kind}
        is_known = isinstance(raw, str) and raw in names
        _expect(is_known, place, f"one of {', '.join(names)}")
        return names[raw]
    if _is_union(kind):
        return _parse_union(typing.get_args(kind), raw, place)
    if typing.get_origin(kind) is tuple:
        return _parse_tuple(typing.get_args(kind), raw, place)
    return _parse_object(kind, raw, place)


def _parse_bytes(raw: Any, length: int, place: str) -> bytes:
    is_hex = isinstance(raw, str) and re.fullmatch(f"[0-9a-f]{{{2 * length}}}", raw)
    _expect(bool(is_hex), place, f"{2 * length} lower-case hexadecimal digits")
    return bytes.fromhex(raw)


def _parse_union(arguments: tuple[Any, ...], raw: Any, place: str) -> Any:
    options = [one for one in arguments if one is not type(None)]
    if raw is None and len(options) < len(arguments):
        return None
    if len(options) == 1:
        return parse(options[0], raw, place)
    kinds = {one.__name__: one for one in options}
    _expect(isinstance(raw, dict), place, "an object")
    name = raw.get("kind")
    is_known = isinstance(name, str) and name in kinds
    _expect(is_known, f"{place}.kind", f"one of {', '.join(kinds)}")
    rest = {entry: value for entry, value in raw.items() if entry != "kind"}
    return parse(kinds[name], rest, place)


def _parse_tuple(arguments: tuple[Any, ...], raw: Any, place: str) -> tuple[Any, ...]:
    _expect(isinstance(raw, list), place, "a list")
    inner = [arguments[0]] * len(raw) if arguments[-1] is Ellipsis else list(arguments)
    _expect(len(inner) == len(raw), place, f"a list of {len(inner)}")
    return tuple(
        parse(one, value, f"{place}[{at}]")
        for at, (one, value) in enumerate(zip(inner, raw, strict=True))
    )


def _parse_object(kind: Any, raw: Any, place: str) -> Any:
    _expect(isinstance(raw, dict), place, "an object")
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    unknown = sorted(set(raw) - {one.name for one in fields})
    _expect(not unknown, place, f"without the unknown entry {', '.join(unknown)}")
    lacking = [one.name for one in fields if one.name not in raw and _is_required(one)]
    _expect(not lacking, place, f"an object with the entry {', '.join(lacking)}")
    return kind(
        **{name: parse(hints[name], value, f"{place}.{name}") for name, value in raw.items()}
    )


def _expect(condition: bool, place: str, expected: str) -> None:
    if not condition:
        raise Misshapen(f"{place} must be {expected}")

"""Whether a JSON value fits a JSON Schema: the few words that the document uses, read strictly."""

from __future__ import annotations

import re
from typing import Any

KNOWN = {
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "default",
    "description",
    "enum",
    "items",
    "maximum",
    "maxItems",
    "minimum",
    "minItems",
    "pattern",
    "prefixItems",
    "properties",
    "required",
    "type",
}


def misfits(
    schema: dict[str, Any], value: Any, components: dict[str, Any], at: str = "$"
) -> list[str]:
    """Where and why the value does not fit; empty when it does."""
    unknown = set(schema) - KNOWN
    if unknown:
        return [f"{at}: a schema with the unknown words {sorted(unknown)}"]
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        return misfits(components[name], value, components, at)
    if "anyOf" in schema:
        found = [misfits(one, value, components, at) for one in schema["anyOf"]]
        return [] if [] in found else [f"{at}: none of {found}"]
    if "const" in schema:
        return [] if value == schema["const"] else [f"{at}: {value!r} is not {schema['const']!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {value!r} is none of {schema['enum']}"]
    if schema["type"] == "object":
        return _object(schema, value, components, at)
    if schema["type"] == "array":
        return _array(schema, value, components, at)
    return [] if _is_plain(schema, value) else [f"{at}: {value!r} does not fit {schema}"]


def _is_plain(schema: dict[str, Any], value: Any) -> bool:
    match schema["type"]:
        case "integer":
            least, most = schema.get("minimum", value), schema.get("maximum", value)
            return type(value) is int and least <= value <= most
        case "string":
            return isinstance(value, str) and bool(re.search(schema.get("pattern", ""), value))
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case other:
            raise AssertionError(f"unknown type {other}")


def _object(schema: dict[str, Any], value: Any, components: dict[str, Any], at: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: {value!r} is no object"]
    found = [f"{at}: lacks {one}" for one in schema["required"] if one not in value]
    assert schema["additionalProperties"] is False
    for name, inner in value.items():
        if name in schema["properties"]:
            found += misfits(schema["properties"][name], inner, components, f"{at}.{name}")
        else:
            found.append(f"{at}: {name} is not declared")
    return found


def _array(schema: dict[str, Any], value: Any, components: dict[str, Any], at: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{at}: {value!r} is no array"]
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return [f"{at}: has {len(value)} items"]
    kinds = schema.get("prefixItems") or [schema["items"]] * len(value)
    return [
        one
        for place, (kind, inner) in enumerate(zip(kinds, value, strict=True))
        for one in misfits(kind, inner, components, f"{at}[{place}]")
    ]

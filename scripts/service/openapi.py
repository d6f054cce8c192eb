"""The OpenAPI 3.1 document, written from the declarations that the application serves from."""

from __future__ import annotations

import inspect
from typing import Any, Final

from scripts.service.routes import (
    JSON_ROUTES,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    OTHER_ROUTES,
    JsonRoute,
    OtherRoute,
)
from scripts.service.schema import Schema, schema_of
from scripts.service.values import Fault, FinalEvents

API_VERSION: Final = "1.0.0"
"""Version of what the document describes; the first number is that of the paths."""

REFUSALS: Final = {
    400: "the request is not well formed",
    401: "it needs the node's token",
    403: "the proof does not hold",
    404: "there is no such thing",
    408: "the body did not arrive in time",
    409: "the node or the network would refuse it now",
    413: "the body is too large",
    421: "the request names a host that this node is not",
    429: "too much at once; Retry-After says when to try again, where that is known",
    503: "the node cannot answer yet",
}
"""What each status of a refusal means."""


def document() -> dict[str, Any]:
    """The document of all paths, as JSON knows it."""
    components: dict[str, Schema] = {}
    schema_of(Fault, components)
    schema_of(FinalEvents, components)
    paths: dict[str, dict[str, Any]] = {}
    for route in JSON_ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _json_operation(route, components)
    for other in OTHER_ROUTES:
        paths[other.path] = {"get": _other_operation(other)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "provnet node",
            "version": API_VERSION,
            "description": "What a node of a proving network knows, and what its owner may do. "
            "Accounts, jobs and hashes are hexadecimal digits, tree nodes are pairs of level and "
            "position, amounts are in micro-units, ticks are heights of the log.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The digits in api-token, in the node's folder.",
                }
            },
        },
    }


def _json_operation(route: JsonRoute, components: dict[str, Schema]) -> dict[str, Any]:
    success = {str(route.status): _content(route.gives, components, "the answer")}
    statuses = {400, 421, *route.refusals}
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": (inspect.getdoc(route.answer) or "").partition("\n")[0],
        "parameters": [
            {
                "name": one.name,
                "in": "path",
                "required": True,
                "description": one.sentence,
                "schema": {"type": "string"},
            }
            for one in route.parameters
        ],
    }
    if route.is_list:
        operation["parameters"].append(_limit())
    if route.takes is not None:
        body = _content(route.takes, components, "what to submit")
        operation["requestBody"] = body | {"required": True}
        statuses |= {408, 413}
    if route.needs_token:
        operation["security"] = [{"token": []}]
        statuses.add(401)
    refusals = {str(one): _content(Fault, components, REFUSALS[one]) for one in sorted(statuses)}
    return operation | {"responses": success | refusals}


def _limit() -> dict[str, Any]:
    bounds = {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}
    return {"name": "limit", "in": "query", "description": "most rows", "schema": bounds}


def _content(kind: Any, components: dict[str, Schema], description: str) -> dict[str, Any]:
    schema = schema_of(kind, components)
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _other_operation(route: OtherRoute) -> dict[str, Any]:
    content = {route.medium.value: {"schema": {"type": "string"}}}
    return {
        "operationId": route.name,
        "summary": route.sentence,
        "responses": {"200": {"description": route.sentence, "content": content}},
    }

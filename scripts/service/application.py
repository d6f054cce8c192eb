"""The service as an ASGI application: guards, then the routes as they are declared.

Rules, in this order, for every request:

1. Its ``Host`` must be an address, ``localhost``, or a name that the configuration lists. A page of
   somebody else whose name was made to point here (DNS rebinding) sends its own name and is
   refused; see "Protecting Browsers from DNS Rebinding Attacks", Jackson et al., 2007.
2. What acts in the node's name must carry the node's token.
3. A body has at most :data:`BODY_BYTES_MAX` bytes, arrives within :data:`BODY_S`, and is what the
   route takes.

There is no CORS: pages of other origins read nothing. Every refusal is a :class:`Fault` as JSON. A
fault of ours is logged with its traceback and answered with 500.
"""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import trio
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scripts.records import plain
from scripts.service.answers import Asked, Source, Unanswered, refuse
from scripts.service.openapi import document
from scripts.service.routes import JSON_ROUTES, LIMIT_DEFAULT, LIMIT_MAX, OTHER_ROUTES, JsonRoute
from scripts.service.schema import Misshapen, parse
from scripts.service.token import Token
from scripts.service.values import Fault, Refusal, fault

BODY_BYTES_MAX: Final = 256 * 1024
"""Largest body of a request: an operation of the largest kind as JSON, several times."""

BODY_S: Final = 10.0
"""Seconds for a body to arrive whole."""

HEADERS: Final = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Headers of every answer."""

Endpoint = Callable[[Request], Awaitable[Response]]

log = logging.getLogger("provnet.service")


def make_application(
    source: Source, token: Token, names: Sequence[str], others: Mapping[str, Endpoint]
) -> ASGIApp:
    """The application.

    :param names: host names under which it is served, beside addresses and ``localhost``.
    :param others: endpoints of the routes that do not answer with JSON values, by name; the
        document is added here.
    """
    text = json.dumps(document(), indent=1)

    async def tell_document(_request: Request) -> Response:
        return Response(text, media_type="application/json")

    endpoints: dict[str, Endpoint] = {"document": tell_document, **others}
    routes: list[BaseRoute] = [
        Route(one.path, _json_endpoint(one, source, token), methods=[one.method])
        for one in JSON_ROUTES
    ]
    routes += [Route(one.path, endpoints[one.name], methods=["GET"]) for one in OTHER_ROUTES]
    application = Starlette(
        routes=routes,
        exception_handlers={HTTPException: _tell_http, Exception: _tell_broken},
    )
    return Guard(application, names)


class Guard:
    """Refuses what is not meant for this node before anything else looks at it."""

    def __init__(self, application: ASGIApp, names: Sequence[str]) -> None:
        self._application = application
        self._names = frozenset(("localhost", *(one.lower() for one in names)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; connections of other kinds are closed."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self._is_ours(hosts[0].decode("latin-1")):
            hint = "use the node's address, localhost, or list the name under [api] names"
            refusal = fault(Refusal.WRONG_HOST, hint)
            await told(421, refusal)(scope, receive, send_with_headers)
            return
        await self._application(scope, receive, send_with_headers)

    def _is_ours(self, host: str) -> bool:
        bracket, _, _ = host.partition("]")
        name = bracket[1:] if host.startswith("[") else host.partition(":")[0]
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.lower() in self._names
        return True


def _json_endpoint(route: JsonRoute, source: Source, token: Token) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            if route.needs_token:
                _require_token(request, token)
            body = None if route.takes is None else await _read(request, route.takes)
            caller = "" if request.client is None else request.client.host
            asked = Asked(request.path_params, _limit(request, route), body, caller)
            return JSONResponse(plain(route.answer(source, asked)), route.status)
        except Unanswered as refusal:
            response = told(refusal.status, refusal.fault)
            if refusal.status == 401:
                response.headers["www-authenticate"] = "Bearer"
            if refusal.wait_ms:
                response.headers["retry-after"] = str(-(-refusal.wait_ms // 1_000))
            return response

    return endpoint


def _require_token(request: Request, token: Token) -> None:
    hint = "send Authorization: Bearer with the digits in api-token, in the node's folder"
    if not token.admits(request.headers.get("authorization", "")):
        raise refuse(401, Refusal.UNAUTHORISED, hint)


def _limit(request: Request, route: JsonRoute) -> int:
    known = {"limit"} if route.is_list else set()
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        hint = f"it takes {', '.join(known) or 'no parameter'}"
        raise refuse(400, Refusal.WRONG_PARAMETER, hint, f"{unknown[0][:64]} is unknown")
    text = request.query_params.get("limit", str(LIMIT_DEFAULT))
    is_number = text.isascii() and text.isdecimal() and len(text) < 8
    if not is_number or not 1 <= int(text) <= LIMIT_MAX:
        hint = f"give a whole number from 1 to {LIMIT_MAX}"
        raise refuse(400, Refusal.WRONG_PARAMETER, hint, "limit")
    return int(text)


async def _read(request: Request, kind: Any) -> Any:
    raw = bytearray()
    try:
        with trio.fail_after(BODY_S):
            async with aclosing(request.stream()) as parts:
                async for part in parts:
                    raw += part
                    if len(raw) > BODY_BYTES_MAX:
                        hint = f"send at most {BODY_BYTES_MAX} bytes"
                        raise refuse(413, Refusal.BODY_TOO_LARGE, hint)
    except (trio.TooSlowError, ClientDisconnect):
        hint = f"send it whole within {BODY_S:g} seconds"
        raise refuse(408, Refusal.BODY_TOO_SLOW, hint) from None
    try:
        table = json.loads(bytes(raw))
    except (ValueError, RecursionError):
        raise refuse(400, Refusal.NOT_JSON, "send one JSON object in UTF-8") from None
    try:
        return parse(kind, table)
    except Misshapen as misfit:
        hint = "see /v1/openapi.json"
        raise refuse(400, Refusal.WRONG_SHAPE, hint, str(misfit)) from None


def told(status: int, refusal: Fault) -> Response:
    """A refusal as an answer."""
    return JSONResponse(plain(refusal), status)


async def _tell_http(_request: Request, failure: Exception) -> Response:
    assert isinstance(failure, HTTPException), "it is registered for that"
    reason = Refusal.METHOD_NOT_ALLOWED if failure.status_code == 405 else Refusal.NOT_FOUND
    response = told(failure.status_code, fault(reason, "GET /v1/openapi.json lists all paths"))
    for name, value in (failure.headers or {}).items():
        response.headers[name] = value
    return response


async def _tell_broken(_request: Request, _failure: Exception) -> Response:
    # starlette raises it again once this is sent, and the server logs it with its traceback
    return told(500, fault(Refusal.BROKEN, "look into the node's log, and report it"))

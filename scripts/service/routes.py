"""Every path of the service, declared once: the application serves from here, and the OpenAPI
document is written from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from protocol.messages import Delegate, Pay, Payload, Undelegate, Unstake
from scripts.service import answers
from scripts.service.answers import Asked, Source
from scripts.service.values import (
    AccountLedger,
    Accounts,
    AccountState,
    FaucetOrder,
    Granted,
    Jobs,
    LogBlocks,
    NetworkState,
    OperationFate,
    Peers,
    PendingOperations,
    Queued,
    StakeOrder,
    TransferOrder,
    Tree,
    Validators,
)

LIMIT_DEFAULT: Final = 50
"""Rows of a list when no limit is asked for."""

LIMIT_MAX: Final = 500
"""Most rows of a list."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A part of a path that varies."""

    name: str
    sentence: str


@dataclass(frozen=True, slots=True)
class JsonRoute:
    """A path that answers with JSON.

    :ivar name: unique; the operation's id in the OpenAPI document.
    :ivar answer: makes the answer; its docstring is what the document says of the path.
    :ivar gives: type of the answer.
    :ivar takes: type of the body; None where there is none.
    :ivar is_list: whether it takes ``limit``.
    :ivar needs_token: whether it acts in the node's name.
    :ivar refusals: statuses with which it refuses what is well formed.
    """

    name: str
    path: str
    answer: Callable[[Source, Asked], Any]
    gives: type
    method: str = "GET"
    status: int = 200
    parameters: tuple[Parameter, ...] = ()
    takes: Any = None
    is_list: bool = False
    needs_token: bool = False
    refusals: tuple[int, ...] = ()


class Medium(Enum):
    """What the other paths answer with."""

    EVENTS = "text/event-stream"
    METRICS = "text/plain"
    DOCUMENT = "application/json"
    PAGE = "text/html"
    BUNDLE = "application/toml"


@dataclass(frozen=True, slots=True)
class OtherRoute:
    """A path that answers with something else.

    :ivar sentence: what the OpenAPI document says of it.
    """

    name: str
    path: str
    medium: Medium
    sentence: str


def _order(name: str, answer: Callable[[Source, Asked], Any], takes: type) -> JsonRoute:
    """A path that has an operation of the node's account ordered."""
    return JsonRoute(
        name,
        f"/v1/{name}",
        answer,
        Queued,
        method="POST",
        status=202,
        takes=takes,
        needs_token=True,
        refusals=(409, 429),
    )


_JOB: Final = Parameter("job", "the job's digits, or its number")
_ACCOUNT: Final = Parameter("account", "digits, a name of the genesis, or own")

JSON_ROUTES: Final = (
    JsonRoute("state", "/v1/state", answers.state, NetworkState),
    JsonRoute("blocks", "/v1/blocks", answers.blocks, LogBlocks, is_list=True),
    JsonRoute("jobs", "/v1/jobs", answers.jobs, Jobs, is_list=True),
    JsonRoute(
        "tree", "/v1/jobs/{job}/tree", answers.tree, Tree, parameters=(_JOB,), refusals=(404,)
    ),
    JsonRoute("accounts", "/v1/accounts", answers.accounts, Accounts, is_list=True),
    JsonRoute(
        "account",
        "/v1/accounts/{account}",
        answers.account,
        AccountState,
        parameters=(_ACCOUNT,),
        refusals=(404,),
    ),
    JsonRoute(
        "ledger",
        "/v1/accounts/{account}/ledger",
        answers.ledger,
        AccountLedger,
        parameters=(_ACCOUNT,),
        is_list=True,
        refusals=(404,),
    ),
    JsonRoute("peers", "/v1/peers", answers.peers, Peers),
    JsonRoute("validators", "/v1/validators", answers.validators, Validators),
    JsonRoute(
        "pending", "/v1/operations/pending", answers.pending, PendingOperations, is_list=True
    ),
    JsonRoute(
        "operation",
        "/v1/operations/{hash}",
        answers.operation,
        OperationFate,
        parameters=(Parameter("hash", "its digits, or the first eight or more"),),
        refusals=(404,),
    ),
    JsonRoute(
        "submit",
        "/v1/operations",
        answers.submit,
        Queued,
        method="POST",
        status=202,
        takes=Payload,
        needs_token=True,
        refusals=(409, 429),
    ),
    JsonRoute(
        "transfer",
        "/v1/transfers",
        answers.transfer,
        Queued,
        method="POST",
        status=202,
        takes=TransferOrder,
        needs_token=True,
        refusals=(409, 429, 503),
    ),
    _order("stake", answers.stake, StakeOrder),
    _order("unstake", answers.unstake, Unstake),
    _order("delegate", answers.delegate, Delegate),
    _order("undelegate", answers.undelegate, Undelegate),
    _order("pay", answers.pay, Pay),
    JsonRoute(
        "fund",
        "/v1/faucet",
        answers.fund,
        Granted,
        method="POST",
        status=202,
        takes=FaucetOrder,
        refusals=(403, 404, 409, 429, 503),
    ),
)
"""Paths that answer with JSON."""

OTHER_ROUTES: Final = (
    OtherRoute("document", "/v1/openapi.json", Medium.DOCUMENT, "This document."),
    OtherRoute(
        "events",
        "/v1/events",
        Medium.EVENTS,
        "Final log blocks as they come: server-sent events named block, with the height as id "
        "and the schema FinalEvents as data. "
        "With Last-Event-ID, first those after it that are remembered. A client that is too slow "
        "gets a last event named dropped.",
    ),
    OtherRoute("page", "/", Medium.PAGE, "The explorer page."),
    OtherRoute("metrics", "/metrics", Medium.METRICS, "What the node measures, for Prometheus."),
    OtherRoute(
        "bundle",
        "/v1/bundle",
        Medium.BUNDLE,
        "A fresh join bundle: genesis, addresses, and the last final block as checkpoint. "
        "503 while no address is known that others could dial.",
    ),
)
"""All other paths."""

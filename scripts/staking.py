"""The commands that move money and stake of a running node, and what came of them.

Rules. The node signs and submits; with ``wait`` the command follows the final log until it holds
the operation, and says at which height and what it means: from which epoch on log stake counts
(``protocol.sets``), when an exit is paid, why it was refused. An operation is told by its sender,
its kind, its amount and, of a payment, its receiver. Whoever has the same submitted twice at once
is told of the first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from protocol.errors import Reason
from protocol.messages import AddStake, Delegate, Pay, StakeKind, Undelegate, Unstake
from protocol.params import SNAPSHOT_EPOCHS
from scripts.client import NotAnswered, Shop
from scripts.configuration import ConfigurationError

ACCOUNT_DIGITS: Final = 64
"""Hexadecimal digits of an account."""


def kind_of(text: str) -> StakeKind:
    """A kind of stake from its name. Raises :class:`ConfigurationError`."""
    try:
        return StakeKind(text)
    except ValueError:
        known = ", ".join(one.value for one in StakeKind)
        raise ConfigurationError(f"{text} is no kind of stake", f"there is {known}") from None


@dataclass(frozen=True, slots=True)
class Order:
    """An operation to be ordered for a node's account.

    :ivar path: of the API.
    :ivar payload: class name of the operation's payload.
    :ivar body: of the request.
    """

    path: str
    payload: str
    body: Mapping[str, Any]


PAYLOADS: Final = {
    "stake": AddStake,
    "unstake": Unstake,
    "delegate": Delegate,
    "undelegate": Undelegate,
    "pay": Pay,
}
"""Payloads of operations by the name of the order: its command, and its path in the API."""


def own_stake(name: str, kind: StakeKind, amount: int) -> Order:
    """Free money becomes own stake, or own stake goes to its exit."""
    return _order(name, {"stake": kind.name, "amount": amount})


def lent_stake(shop: Shop, name: str, kind: StakeKind, who: str, amount: int) -> Order:
    """Free money is lent, or what was lent goes to its exit."""
    return _order(name, {"stake": kind.name, "delegate": _account(shop, who), "amount": amount})


def pay(shop: Shop, who: str, amount: int) -> Order:
    """Free money goes to somebody."""
    return _order("pay", {"receiver": _account(shop, who), "amount": amount})


def _order(name: str, body: Mapping[str, Any]) -> Order:
    return Order(f"/v1/{name}", PAYLOADS[name].__name__, body)


def _account(shop: Shop, who: str) -> str:
    """Digits as they are, and a name as the node knows it."""
    if len(who) == ACCOUNT_DIGITS:
        return who
    return str(shop.client.get(f"/v1/accounts/{quote(who, safe='')}")["account"])


def place(shop: Shop, order: Order, *, wait: bool) -> None:
    """Have an order submitted, and say what came of it.

    :param wait: until it is final.
    :raises NotAnswered: when the node does not take it, or the network refuses it.
    """
    state = shop.client.get("/v1/state")
    answer = shop.client.post(order.path, order.body)
    if not wait:
        if shop.as_json:
            shop.console.print_json(json.dumps(answer))
        else:
            shop.console.print("submitted: --wait says what comes of it")
        return
    tell_outcome(shop, order, state)


def tell_outcome(shop: Shop, order: Order, state: Mapping[str, Any]) -> None:
    """Follow the final log until it holds an operation, and say what it means.

    :param state: of the sender's node before it submitted.
    :raises NotAnswered: when the network refuses it, or never orders it.
    """
    until = int(state["tick"]) + int(state["epoch_ticks"])
    for block in shop.client.follow(int(state["tick"])):
        found = outcome(order, block, state)
        if found is not None:
            if shop.as_json:
                shop.console.print_json(json.dumps({"tick": block["tick"], "sentence": found}))
            else:
                shop.console.print(f"final at tick {block['tick']}: {found}", soft_wrap=True)
            return
        if int(block["tick"]) >= until:
            break
    raise NotAnswered(
        "the operation was not ordered while it was valid",
        "look at provnet status, whether the log grows, and try again",
    )


def outcome(order: Order, block: Mapping[str, Any], state: Mapping[str, Any]) -> str | None:
    """What a final block says of an order; None when it says nothing.

    :raises NotAnswered: when it was refused there.
    """
    events: list[dict[str, Any]] = block["events"]
    for one in events:
        if (one.get("sender"), one.get("payload")) != (state["account"], order.payload):
            continue
        if one["kind"] == "OperationRefused":
            raise NotAnswered(
                f"refused at tick {block['tick']}: {Reason[one['reason']].value}",
                "provnet account shows what the account holds",
            )
        moved = [move for move in events if _caused(move, one["operation"])]
        if any(_is_wanted(move, order) for move in moved):
            return _meaning(order, block, state)
    return None


def _caused(event: Mapping[str, Any], operation: str) -> bool:
    is_fee = event.get("cause") == "OPERATION_FEE"
    return event["kind"] == "Moved" and event["operation"] == operation and not is_fee


def _is_wanted(move: Mapping[str, Any], order: Order) -> bool:
    receiver = order.body.get("receiver", move["target"]["owner"])
    return (move["amount"], move["target"]["owner"]) == (order.body["amount"], receiver)


def _meaning(order: Order, block: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    amount = f"{order.body['amount']:,}"
    if order.payload == Pay.__name__:
        return f"{amount} paid to {order.body['receiver']}"
    kind = str(order.body["stake"])
    name = f"{kind.lower()} stake"
    ticks, is_log = int(state["epoch_ticks"]), kind == StakeKind.LOG.name
    border = log_stake_from(int(block["tick"]), ticks)
    for one in _own(block["events"], "Unstaked", state):
        if (one["stake"], one["amount"]) == (kind, order.body["amount"]):
            counts = f"counts until {border}" if is_log else "counts no more"
            return f"{amount} of {name} {counts}, and is paid at tick {one['due']}"
    if is_log:
        return f"{amount} of {name}, which counts from {border}"
    if kind == StakeKind.SEQUENCER.name:
        for one in _own(block["events"], "KeyRegistered", state, "account"):
            since = epoch_begins(int(one["counts_from"]), ticks)
            return f"{amount} of {name}, whose key counts from {since}"
    return f"{amount} of {name}, which counts at once"


def log_stake_from(tick: int, epoch_ticks: int) -> str:
    """From when on log stake that came or went at a tick orders the log, or does not."""
    return epoch_begins((tick - 1) // epoch_ticks + SNAPSHOT_EPOCHS, epoch_ticks)


def epoch_begins(epoch: int, epoch_ticks: int) -> str:
    """An epoch, and the tick at which it begins."""
    return f"epoch {epoch}, tick {epoch * epoch_ticks + 1}"


def _own(
    events: Iterable[dict[str, Any]], kind: str, state: Mapping[str, Any], field: str = "owner"
) -> list[dict[str, Any]]:
    return [one for one in events if one["kind"] == kind and one[field] == state["account"]]

"""Orders that move money and stake on the log: what is submitted, and what is refused before."""

from __future__ import annotations

import typing
from dataclasses import fields
from typing import Any

import pytest

from protocol import vrf
from protocol.agents import SlotBegan, Submit
from protocol.events import Event
from protocol.ledger import balance
from protocol.messages import AddStake, Delegate, Pay, Payload, StakeKind, Undelegate, Unstake
from protocol.types import Account, Amount, Slot
from scripts.service.openapi import document
from tests.p2p.town import Town
from tests.scripts.service.serving import OWNER, Client, Reply, serve, source_of
from tests.scripts.service.shape import misfits

DOCUMENT = document()
OWN = "own"
OTHER = Account(b"\xab" * 32)


def test_no_field_hides_the_class_of_what_is_told() -> None:
    """Records and the API tell events and payloads by ``kind``."""
    told = (*typing.get_args(Payload), *typing.get_args(Event))
    assert [one for one in told for field in fields(one) if field.name in ("kind", "at_ms")] == []


def ask(town: Town, *orders: tuple[str, dict[str, Any]]) -> tuple[list[Reply], list[Any]]:
    """The answers of a town's validator, and what its node is handed."""
    source, replies = source_of(town), list[Reply]()

    async def talk(client: Client) -> None:
        for path, body in orders:
            reply = await client.ask(path, "POST", body, OWNER)
            declared = DOCUMENT["paths"][path]["post"]["responses"][str(reply.status)]
            schema = declared["content"]["application/json"]["schema"]
            assert misfits(schema, reply.json, DOCUMENT["components"]["schemas"]) == []
            replies.append(reply)

    serve(source, talk)
    view: Any = source.node
    handed = source.desk.decide(view, SlotBegan(Slot(1)))
    return replies, [one.payload for one in handed if isinstance(one, Submit)]


def test_orders_go_to_the_node_with_its_own_key(town: Town) -> None:
    other = Account(town["validator-2"].account)
    taken: dict[str, Any] = {"stake": "LOG", "amount": 1}
    replies, handed = ask(
        town,
        ("/v1/stake", {"stake": "PROVER", "amount": 7}),
        ("/v1/unstake", taken),
        ("/v1/delegate", taken | {"delegate": other.hex()}),
        ("/v1/pay", {"receiver": OTHER.hex(), "amount": 5}),
        ("/v1/operations", {"kind": "Unstake"} | taken),
    )
    assert [one.status for one in replies] == [202] * 5
    key = vrf.public_key(town["validator-1"].member.identity.vrf_seed)
    assert handed == [
        AddStake(StakeKind.PROVER, Amount(7), key),
        Unstake(StakeKind.LOG, Amount(1)),
        Delegate(StakeKind.LOG, other, Amount(1)),
        Pay(OTHER, Amount(5)),
        Unstake(StakeKind.LOG, Amount(1)),
    ]


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("/v1/stake", {"stake": "LOG", "amount": 0}, "EMPTY_AMOUNT"),
        ("/v1/stake", {"stake": "LOG", "amount": 1 << 50}, "BALANCE_TOO_LOW"),
        ("/v1/unstake", {"stake": "LOG", "amount": 1 << 50}, "STAKE_TOO_LOW"),
        ("/v1/pay", {"receiver": OWN, "amount": 1}, "OWN_ACCOUNT"),
        ("/v1/delegate", {"delegate": OTHER.hex(), "stake": "LOG", "amount": 1}, "NO_DELEGATE"),
        ("/v1/delegate", {"delegate": OTHER.hex(), "stake": "SEQUENCER", "amount": 1}, "NOT_LENT"),
        ("/v1/undelegate", {"delegate": OTHER.hex(), "stake": "LOG", "amount": 1}, "STAKE_TOO_LOW"),
    ],
)
def test_what_the_log_would_refuse_is_not_submitted(
    town: Town, path: str, body: dict[str, Any], reason: str
) -> None:
    if body.get("receiver") == OWN:
        body = body | {"receiver": town["validator-1"].account.hex()}
    replies, handed = ask(town, (path, body))
    assert (replies[0].status, replies[0].json["reason"]) == (409, reason)
    assert replies[0].json["hint"]
    assert handed == []


def test_the_fee_must_be_left(town: Town) -> None:
    machine = town["validator-1"].running.machine
    held = machine.ledger.holds(balance(Account(town["validator-1"].account)))
    fee = machine.genesis.network.operation_fee
    assert fee > 0
    for amount, status in ((held, 409), (held - fee + 1, 409), (held - fee, 202)):
        replies, _ = ask(town, ("/v1/stake", {"stake": "LOG", "amount": amount}))
        assert replies[0].status == status


def test_a_kind_that_there_is_not_is_refused(town: Town) -> None:
    replies, handed = ask(town, ("/v1/stake", {"stake": "KING", "amount": 1}))
    assert (replies[0].status, replies[0].json["reason"]) == (400, "WRONG_SHAPE")
    assert handed == []


def test_lent_stake_is_taken_back_by_a_payload_of_its_own(town: Town) -> None:
    """Nothing was lent here: what is refused is what was asked for, not its shape."""
    body = {"kind": "Undelegate", "stake": "LOG", "delegate": OTHER.hex(), "amount": 1}
    replies, _ = ask(town, ("/v1/operations", body))
    assert replies[0].json["reason"] == "STAKE_TOO_LOW"
    assert Undelegate.__name__ in DOCUMENT["components"]["schemas"]

"""JSON for the protocol's values: read back as written, and as the schema says."""

from __future__ import annotations

import json
import typing
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from hypothesis import given, settings

from protocol.messages import Payload, ProofEvidence, ProofRecord
from scripts.records import plain
from scripts.service.schema import Misshapen, parse, schema_of
from scripts.service.values import TransferOrder
from tests.protocol.strategies import values
from tests.scripts.service.shape import misfits

KINDS = typing.get_args(Payload)


def told(payload: Any) -> Any:
    """A payload as a person would write it: with its kind, wherever there are several."""
    table = plain(payload) | {"kind": type(payload).__name__}
    if isinstance(payload, ProofEvidence):
        table["payload"] = told(payload.payload)
    return table


@pytest.mark.parametrize("kind", KINDS, ids=lambda one: one.__name__)
def test_every_payload_is_read_back(kind: type) -> None:
    components: dict[str, Any] = {}
    schema = schema_of(Payload, components)

    @settings(max_examples=20)
    @given(values(kind))
    def check(payload: Any) -> None:
        text = json.loads(json.dumps(told(payload)))
        assert parse(Payload, text) == payload
        assert misfits(schema, text, components) == []

    check()


@settings(max_examples=100)
@given(values(ProofRecord))
def test_a_record_that_lacks_or_adds_an_entry_is_refused(record: ProofRecord) -> None:
    table = told(record)
    components: dict[str, Any] = {}
    schema = schema_of(Payload, components)
    for one in fields(record):
        lacking = {name: value for name, value in table.items() if name != one.name}
        with pytest.raises(Misshapen):
            parse(Payload, lacking)
        assert misfits(schema, lacking, components)
    with pytest.raises(Misshapen, match="unknown entry more"):
        parse(Payload, table | {"more": 1})


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "text",
        {},
        {"recipient": "ab" * 32, "amount": 1},
        {"recipient": "ab" * 32, "amount": 1, "fee": -1},
        {"recipient": "ab" * 32, "amount": 1, "fee": 1 << 62},
        {"recipient": "ab" * 32, "amount": True, "fee": 1},
        {"recipient": "ab" * 32, "amount": 1.0, "fee": 1},
        {"recipient": "AB" * 32, "amount": 1, "fee": 1},
        {"recipient": "ab" * 31, "amount": 1, "fee": 1},
        {"recipient": "ab" * 32 + "\n", "amount": 1, "fee": 1},
        {"recipient": "ab" * 32, "amount": 1, "fee": 1, "nonce": "1"},
    ],
)
def test_what_is_no_transfer_is_refused(raw: Any) -> None:
    components: dict[str, Any] = {}
    schema = schema_of(TransferOrder, components)
    with pytest.raises(Misshapen):
        parse(TransferOrder, raw)
    is_end_of_line = isinstance(raw, dict) and str(raw.get("recipient")).endswith("\n")
    assert misfits(schema, raw, components) or is_end_of_line


@pytest.mark.parametrize("raw", [{"kind": "Nothing"}, {"kind": 1}, {"kind": ["Intent"]}, {}, 5])
def test_an_unknown_kind_is_refused(raw: Any) -> None:
    with pytest.raises(Misshapen):
        parse(Payload, raw)


def test_a_left_out_entry_has_its_default() -> None:
    order = parse(TransferOrder, {"recipient": "ab" * 32, "amount": 1, "fee": 2})
    assert order == TransferOrder(bytes.fromhex("ab" * 32), 1, 2, None)
    assert is_dataclass(order)

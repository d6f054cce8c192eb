"""The bytes of every message are those of the file; see tests/vectors/messages.py."""

from __future__ import annotations

import json

import pytest

from protocol.codec import decode
from tests.vectors.messages import PATH, examples, identities, text, vector

RECORDED = json.loads(PATH.read_text())
EXAMPLES = examples()


def test_every_message_has_a_vector() -> None:
    assert set(RECORDED["messages"]) == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_bytes_and_hash_are_as_recorded(name: str) -> None:
    assert vector(EXAMPLES[name]) == RECORDED["messages"][name]


@pytest.mark.parametrize("name", EXAMPLES)
def test_recorded_bytes_decode_to_the_example(name: str) -> None:
    payload = bytes.fromhex(RECORDED["messages"][name]["bytes"])
    assert decode(type(EXAMPLES[name]), payload, size_max=len(payload)) == EXAMPLES[name]


def test_identities_and_signatures_are_as_recorded() -> None:
    derived = {name: one.hex() for name, one in identities(EXAMPLES).items()}
    assert derived == RECORDED["identities"]


def test_the_file_is_what_regenerating_it_gives() -> None:
    assert PATH.read_text() == text()

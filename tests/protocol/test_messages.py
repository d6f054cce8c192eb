"""protocol.messages: signatures bind sender, network and content; a job header's figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol import messages
from protocol.messages import Certificate, SignedVote, Vote
from protocol.signing import public_key
from protocol.types import Account, BlockHash, NetworkId, Nonce, Signature, Slot
from tests.vectors.messages import NETWORK, SEED, examples

EXAMPLES = examples()
SENDER = public_key(SEED)
OTHER = NetworkId(bytes(32))

KINDS: dict[str, tuple[Any, Callable[..., Any], Callable[..., bool]]] = {
    "operation": (
        replace(EXAMPLES["Operation/Intent"], sender=SENDER),
        messages.sign_operation,
        messages.operation_is_signed,
    ),
    "transfer": (
        replace(EXAMPLES["Transfer"], sender=SENDER),
        messages.sign_transfer,
        messages.transfer_is_signed,
    ),
    "vote": (
        replace(EXAMPLES["Vote"], voter=SENDER),
        messages.sign_vote,
        messages.vote_is_signed,
    ),
    "header": (
        replace(EXAMPLES["LogHeader"], proposer=SENDER),
        messages.sign_header,
        messages.header_is_signed,
    ),
}


def changed(message: Any) -> Any:
    """The message with another number in one field."""
    name = "nonce" if hasattr(message, "nonce") else "slot"
    return replace(message, **{name: getattr(message, name) + 1})


@pytest.mark.parametrize("name", KINDS)
def test_a_signature_binds_sender_network_and_content(name: str) -> None:
    message, sign, is_signed = KINDS[name]
    signed = sign(SEED, NETWORK, message)
    assert is_signed(NETWORK, signed)
    assert not is_signed(OTHER, signed)
    assert not is_signed(NETWORK, sign(bytes(32), NETWORK, message))
    assert not is_signed(NETWORK, type(signed)(changed(message), signed.signature))
    assert not is_signed(NETWORK, replace(signed, signature=Signature(bytes(64))))


def test_a_certificate_stands_for_votes() -> None:
    slot, block = Slot(7), BlockHash(b"\x01" * 32)
    signed = messages.sign_vote(SEED, NETWORK, Vote(SENDER, slot, block))
    forged = (Account(b"\x02" * 32), Signature(bytes(64)))
    certificate = Certificate(slot, block, ((SENDER, signed.signature), forged))
    votes = messages.certificate_votes(certificate)
    assert votes == (signed, SignedVote(Vote(forged[0], slot, block), forged[1]))
    assert [messages.vote_is_signed(NETWORK, vote) for vote in votes] == [True, False]


def test_figures_of_a_job_header() -> None:
    job = EXAMPLES["JobHeader"]
    content = job.content
    assert job.leaf_count == 2
    assert job.fees == content.leaves[0].fees + content.leaves[1].fees
    assert job.to_root == content.leaves[1].to_root
    roots = [job.root_before(position) for position in range(3)]
    assert roots == [content.from_root, content.leaves[0].to_root, content.leaves[1].to_root]


def test_an_operation_is_the_same_whoever_signs_it_and_another_with_another_nonce() -> None:
    operation = EXAMPLES["Operation/Intent"]
    same = replace(operation)
    assert messages.operation_hash(operation) == messages.operation_hash(same)
    other = replace(operation, nonce=Nonce(operation.nonce - 1))
    assert messages.operation_hash(operation) != messages.operation_hash(other)


def test_a_log_block_has_the_header_that_its_proposer_signed() -> None:
    block = EXAMPLES["LogBlock"]
    assert block.header is block.signed.header

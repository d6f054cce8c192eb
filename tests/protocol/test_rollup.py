"""protocol.rollup: somebody else's block is executed, and refused for the right reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from protocol.codec import encode
from protocol.errors import Reason, Refused
from protocol.messages import (
    NO_JOB,
    BlockBody,
    BlockContent,
    LeafHeader,
    SignedTransfer,
    Transfer,
    body_hash,
    sign_transfer,
)
from protocol.rollup import (
    ExecutedBlock,
    body_bytes_max,
    execute_body,
    transfer_cost,
    transfer_hash,
)
from protocol.signing import digest, public_key
from protocol.types import (
    Account,
    Amount,
    BodyHash,
    JobId,
    NetworkId,
    Nonce,
    Root,
    Signature,
    TransferDigest,
)
from prover.modelled import ModelledBackend
from tests.protocol.strategies import values

NETWORK = NetworkId(bytes(31) + b"\x01")
OTHER_NETWORK = NetworkId(bytes(31) + b"\x02")
BACKEND = ModelledBackend(leaf_transfers=3)
KEYS = [digest(b"tests/rollup", bytes([place])) for place in range(3)]
ACCOUNTS = [public_key(key) for key in KEYS]
STATE = BACKEND.genesis([(account, Amount(1_000)) for account in ACCOUNTS])
STRANGER = Account(b"\x07" * 32)

Leaves = list[list[SignedTransfer]]


def signed(
    sender: int, nonce: int, amount: int = 10, fee: int = 1, to: Account = STRANGER
) -> SignedTransfer:
    transfer = Transfer(ACCOUNTS[sender], to, Amount(amount), Amount(fee), Nonce(nonce))
    return sign_transfer(KEYS[sender], NETWORK, transfer)


LEAVES: Leaves = [
    [signed(0, 0), signed(0, 1, to=ACCOUNTS[0]), signed(1, 0, amount=0, fee=0)],
    [],
    [signed(2, 0, amount=990, fee=10)],
    [signed(1, 1, to=ACCOUNTS[2]), signed(2, 1, amount=5, fee=5)],
]


def named(content: BlockContent, leaves: Leaves) -> tuple[BlockContent, bytes]:
    """The content with the hash of a body, and the body."""
    body = encode(BlockBody(tuple(tuple(leaf) for leaf in leaves)))
    return replace(content, body=body_hash(body)), body


def honest() -> tuple[BlockContent, bytes]:
    """A block made by the rules, without the sequencer's code."""
    headers, state = [], STATE
    for leaf in LEAVES:
        executed = state.execute([one.transfer for one in leaf])
        headers.append(LeafHeader(executed.digest, executed.fees, executed.state.root))
        state = executed.state
    return named(BlockContent(NO_JOB, STATE.root, tuple(headers), BodyHash(bytes(32))), LEAVES)


CONTENT, BODY = honest()


def refusal(content: BlockContent, body: bytes, network: NetworkId = NETWORK) -> Reason:
    outcome = execute_body(network, content, body, STATE, BACKEND)
    assert isinstance(outcome, Refused)
    return outcome.reason


def with_transfer(leaf: int, place: int, other: SignedTransfer) -> tuple[BlockContent, bytes]:
    """The honest block with one transfer of its body replaced and the body's hash made good."""
    leaves = [list(one) for one in LEAVES]
    leaves[leaf][place] = other
    return named(CONTENT, leaves)


def with_header(position: int, **fields: object) -> BlockContent:
    headers = list(CONTENT.leaves)
    headers[position] = replace(headers[position], **fields)
    return replace(CONTENT, leaves=tuple(headers))


def test_an_honest_block_executes() -> None:
    block = execute_body(NETWORK, CONTENT, BODY, STATE, BACKEND)
    assert isinstance(block, ExecutedBlock)
    assert block.content == CONTENT
    assert block.leaves == tuple(tuple(one.transfer for one in leaf) for leaf in LEAVES)
    roots = [state.root for state in block.states]
    assert roots == [CONTENT.from_root, *(header.to_root for header in CONTENT.leaves)]
    assert block.states[-1].total == STATE.total - sum(header.fees for header in CONTENT.leaves)
    for position, transfers in enumerate(block.leaves):
        assert block.witness(position) == block.states[position].witness(transfers)


def test_the_parent_is_the_callers_to_check() -> None:
    content = replace(CONTENT, parent=JobId(b"\x01" * 32))
    assert isinstance(execute_body(NETWORK, content, BODY, STATE, BACKEND), ExecutedBlock)


def test_another_root_before() -> None:
    content = replace(CONTENT, from_root=Root(bytes(32)))
    assert refusal(content, BODY) is Reason.WRONG_STATE_BEFORE
    later = STATE.execute([LEAVES[0][0].transfer]).state
    outcome = execute_body(NETWORK, CONTENT, BODY, later, BACKEND)
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.WRONG_STATE_BEFORE


@pytest.mark.parametrize("count", [0, 3, 5, 512])
def test_a_number_of_leaves_that_no_tree_has(count: int) -> None:
    content = replace(CONTENT, leaves=(CONTENT.leaves * 128)[:count])
    assert refusal(content, BODY) is Reason.WRONG_LEAF_COUNT


@pytest.mark.parametrize("count", [1, 2, 8])
def test_another_number_of_leaves_than_the_body(count: int) -> None:
    headers = (CONTENT.leaves * 2)[:count]
    roomy = ModelledBackend(leaf_transfers=30)
    outcome = execute_body(NETWORK, replace(CONTENT, leaves=headers), BODY, STATE, roomy)
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.BODY_LEAF_COUNT


def test_a_body_larger_than_its_leaves_allow() -> None:
    size_max = body_bytes_max(4, BACKEND.leaf_transfers)
    assert refusal(CONTENT, bytes(size_max)) is Reason.WRONG_BODY
    assert refusal(CONTENT, bytes(size_max + 1)) is Reason.TOO_LARGE


def test_full_leaves_of_the_largest_transfers_are_not_too_large() -> None:
    largest = Amount((1 << 62) - 1)
    transfer = Transfer(ACCOUNTS[0], STRANGER, largest, largest, Nonce(largest))
    leaf = (SignedTransfer(transfer, Signature(bytes(64))),) * 44
    for count in (1, 2, 16, 256):
        assert len(encode(BlockBody((leaf,) * count))) <= body_bytes_max(count, 44)


@pytest.mark.parametrize("place", [0, 1, len(BODY) // 2, len(BODY) - 1])
def test_other_bytes_than_the_content_names(place: int) -> None:
    changed = BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]
    assert refusal(CONTENT, changed) is Reason.WRONG_BODY
    assert refusal(CONTENT, BODY[:place]) is Reason.WRONG_BODY


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.NOT_CANONICAL),
        (BODY + b"\x90", Reason.NOT_CANONICAL),
        (b"\x91\xdc\x00\x04" + BODY[2:], Reason.NOT_CANONICAL),
        (b"\x90", Reason.WRONG_SHAPE),
        (b"\x80", Reason.WRONG_SHAPE),
    ],
    ids=["nothing", "too much", "longer header", "no leaves", "map"],
)
def test_a_body_that_does_not_decode(body: bytes, reason: Reason) -> None:
    assert refusal(replace(CONTENT, body=body_hash(body)), body) is reason


def test_more_transfers_than_a_leaf_holds() -> None:
    crowded = [[*LEAVES[0], signed(1, 1)], [], [], []]
    assert refusal(*named(CONTENT, crowded)) is Reason.LEAF_TOO_FULL


FIELDS: dict[str, Callable[[Transfer], Transfer]] = {
    "sender": lambda one: replace(one, sender=ACCOUNTS[2]),
    "recipient": lambda one: replace(one, recipient=ACCOUNTS[1]),
    "amount": lambda one: replace(one, amount=Amount(one.amount + 1)),
    "fee": lambda one: replace(one, fee=Amount(one.fee + 1)),
    "nonce": lambda one: replace(one, nonce=Nonce(one.nonce + 1)),
}


@pytest.mark.parametrize(("leaf", "place"), [(0, 0), (0, 2), (3, 0)])
@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_a_transfer_is_covered_by_its_signature(
    leaf: int, place: int, name: str
) -> None:
    old = LEAVES[leaf][place]
    changed = SignedTransfer(FIELDS[name](old.transfer), old.signature)
    assert refusal(*with_transfer(leaf, place, changed)) is Reason.BAD_SIGNATURE


def test_a_signature_of_somebody_else_or_for_another_network() -> None:
    old = LEAVES[2][0]
    forged = sign_transfer(KEYS[0], NETWORK, old.transfer)
    assert refusal(*with_transfer(2, 0, forged)) is Reason.BAD_SIGNATURE
    assert refusal(CONTENT, BODY, OTHER_NETWORK) is Reason.BAD_SIGNATURE
    broken = SignedTransfer(old.transfer, Signature(bytes(64)))
    assert refusal(*with_transfer(2, 0, broken)) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize(
    "transfer",
    [signed(2, 1), signed(2, 0, amount=1_000), signed(2, 0, fee=1 << 50, amount=0)],
    ids=["nonce", "balance", "fee"],
)
def test_a_signed_transfer_that_cannot_be_applied(transfer: SignedTransfer) -> None:
    assert refusal(*with_transfer(2, 0, transfer)) is Reason.NOT_EXECUTABLE


@pytest.mark.parametrize(
    "transfer",
    [
        signed(2, 0, amount=980),
        signed(2, 0, amount=989, fee=11),
        signed(2, 0, 990, 10, ACCOUNTS[0]),
    ],
    ids=["amount", "fee", "recipient"],
)
def test_another_signed_transfer_has_another_digest(transfer: SignedTransfer) -> None:
    assert refusal(*with_transfer(2, 0, transfer)) is Reason.WRONG_TRANSFER_DIGEST


def test_transfers_in_another_order_or_leaf() -> None:
    first, second, third = LEAVES[0]
    reordered = [[third, first, second], *LEAVES[1:]]
    assert refusal(*named(CONTENT, reordered)) is Reason.WRONG_TRANSFER_DIGEST
    moved = [[first, second], [third], *LEAVES[2:]]
    assert refusal(*named(CONTENT, moved)) is Reason.WRONG_TRANSFER_DIGEST


@pytest.mark.parametrize("position", range(4))
def test_each_field_of_each_leaf_header(position: int) -> None:
    header = CONTENT.leaves[position]
    assert (
        refusal(with_header(position, digest=TransferDigest(b"\x01" * 32)), BODY)
        is Reason.WRONG_TRANSFER_DIGEST
    )
    assert refusal(with_header(position, fees=header.fees + 1), BODY) is Reason.WRONG_FEES
    assert (
        refusal(with_header(position, to_root=Root(b"\x01" * 32)), BODY) is Reason.WRONG_STATE_AFTER
    )


@settings(max_examples=50, deadline=None)
@given(content=values(BlockContent), body=values(BlockBody), known=st.booleans())
def test_a_block_or_a_refusal_for_all_contents_and_bodies(
    content: BlockContent, body: BlockBody, known: bool
) -> None:
    payload = encode(body)
    if known:
        content = replace(content, from_root=STATE.root, body=body_hash(payload))
    outcome = execute_body(NETWORK, content, payload, STATE, BACKEND)
    assert isinstance(outcome, Refused)


def test_cost_and_hash_of_a_transfer() -> None:
    one = signed(0, 0, amount=10, fee=3)
    assert transfer_cost(one.transfer) == 13
    assert transfer_hash(one.transfer) == transfer_hash(replace(one).transfer)
    changed = {transfer_hash(change(one.transfer)) for change in FIELDS.values()}
    assert len(changed | {transfer_hash(one.transfer)}) == len(FIELDS) + 1

"""sequencer.builder: what it builds is what everybody else executes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from protocol.messages import NO_JOB, SignedTransfer, body_hash, decode_body
from protocol.rollup import ExecutedBlock, execute_body
from protocol.signing import digest, public_key
from protocol.types import Amount, JobId, NetworkId
from prover.modelled import ModelledBackend
from sequencer.builder import build_block, spread
from sequencer.traffic import Traffic

NETWORK = NetworkId(bytes(31) + b"\x01")
BACKEND = ModelledBackend(leaf_transfers=5)
KEYS = [digest(b"tests/builder", bytes([place])) for place in range(4)]
STATE = BACKEND.genesis([(public_key(key), Amount(10_000_000)) for key in KEYS])
PARENT = JobId(b"\x05" * 32)


def transfers(count: int, seed: bytes = b"tests/builder") -> tuple[SignedTransfer, ...]:
    return Traffic(seed, NETWORK, KEYS).next_transfers(STATE, count)


@settings(max_examples=30, deadline=None)
@given(leaf_count=st.sampled_from([1, 2, 4, 8]), share=st.integers(0, 100), seed=st.binary())
def test_a_built_block_executes_to_the_same_states(
    leaf_count: int, share: int, seed: bytes
) -> None:
    count = share * leaf_count * BACKEND.leaf_transfers // 100
    block = build_block(PARENT, STATE, transfers(count, seed), leaf_count, BACKEND)
    executed = execute_body(NETWORK, block.content, block.body, STATE, BACKEND)
    assert isinstance(executed, ExecutedBlock)
    assert executed.states == block.states
    assert executed.content == block.content


def test_the_content_says_what_is_in_the_body() -> None:
    made = transfers(7)
    block = build_block(PARENT, STATE, made, 4, BACKEND)
    assert block.content.parent == PARENT
    assert block.content.from_root == STATE.root
    assert block.content.body == body_hash(block.body)
    leaves = decode_body(block.body).leaves
    assert [len(leaf) for leaf in leaves] == [2, 2, 2, 1]
    assert tuple(one for leaf in leaves for one in leaf) == made
    fees = [sum(one.transfer.fee for one in leaf) for leaf in leaves]
    assert [header.fees for header in block.content.leaves] == fees
    assert block.states[0] is STATE
    assert block.states[-1].total == STATE.total - sum(fees)


def test_a_block_without_transfers_changes_nothing() -> None:
    block = build_block(NO_JOB, STATE, (), 2, BACKEND)
    assert [state.root for state in block.states] == [STATE.root] * 3
    assert [header.fees for header in block.content.leaves] == [0, 0]


@settings(deadline=None)
@given(count=st.integers(0, 60), leaf_count=st.integers(1, 9))
def test_leaves_differ_by_at_most_one_and_keep_the_order(count: int, leaf_count: int) -> None:
    made = transfers(60)[:count]
    leaves = spread(made, leaf_count)
    lengths = [len(leaf) for leaf in leaves]
    assert tuple(one for leaf in leaves for one in leaf) == made
    assert len(leaves) == leaf_count
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] - lengths[-1] <= 1


@pytest.mark.parametrize("leaf_count", [-1, 0, 3, 512])
def test_a_number_of_leaves_that_no_tree_has(leaf_count: int) -> None:
    with pytest.raises(ValueError, match=f"no proof tree has {leaf_count} leaves"):
        build_block(NO_JOB, STATE, (), leaf_count, BACKEND)


def test_more_transfers_than_fit() -> None:
    build_block(NO_JOB, STATE, transfers(10), 2, BACKEND)
    with pytest.raises(ValueError, match="11 transfers do not fit into 2 leaves"):
        build_block(NO_JOB, STATE, transfers(11), 2, BACKEND)


def test_transfers_that_cannot_be_applied() -> None:
    made = transfers(6)
    with pytest.raises(ValueError, match="transfer 1: the nonce"):
        build_block(NO_JOB, STATE, (made[0], made[0]), 1, BACKEND)

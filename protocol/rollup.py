"""What everybody does with a rollup block that somebody else made: execute it and compare.

Problem. A sequencer claims that a body of signed transfers leads from one root to others.
Validators must not vote for a false claim, and provers must not start to prove one.

Rules. In this order, cheap before dear, each failure with a reason of its own:

1. The number of leaves is that of a complete tree, and the block starts from the root of the given
   state.
2. The body is not larger than its leaves allow, has the hash that the content names, and decodes.
3. It has as many leaves as the content, none with more transfers than a proof can hold.
4. Leaf by leaf: every transfer is signed by its sender for this network, the leaf executes, and its
   digest, fees and root after are those of its header.

An empty leaf is legal: it leaves the root as it is. Which job a block may build on is not decided
here: the caller passes the state after ``content.parent``.

Property. :func:`execute_body` is total: for all contents and bytes it returns a block or a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.codec import decode, encode
from protocol.errors import Reason, Refused
from protocol.messages import (
    BODY_BYTES_MAX,
    TRANSFER_BYTES_MAX,
    BlockBody,
    BlockContent,
    LeafHeader,
    SignedTransfer,
    Transfer,
    body_hash,
    transfer_is_signed,
)
from protocol.ports import Executed, ProverBackend, RollupState
from protocol.signing import digest
from protocol.tree import is_leaf_count
from protocol.types import Amount, Digest, NetworkId

FEE_MAX: Final = Amount((1 << 50) - 1)
"""Largest fee of one transfer, in micro-units: a proof adds a leaf's fees in a 64-bit field."""

_ARRAY_HEADER_BYTES: Final = 3
"""Longest header of an array of at most 65,535 items, in bytes."""


@dataclass(frozen=True, slots=True)
class ExecutedBlock:
    """A rollup block that was executed and found to be what its content says.

    :ivar leaves: the transfers of each leaf, in order.
    :ivar states: the state before each leaf and after the last: one more than there are leaves.
    """

    content: BlockContent
    leaves: tuple[tuple[Transfer, ...], ...]
    states: tuple[RollupState, ...]

    def witness(self, position: int) -> bytes:
        """Everything a worker needs to prove the leaf at ``position``."""
        return self.states[position].witness(self.leaves[position])


def transfer_hash(transfer: Transfer) -> Digest:
    """The transfer's identity, without its signature."""
    return digest(b"provnet/transfer-hash/1", encode(transfer))


def transfer_cost(transfer: Transfer) -> Amount:
    """What the sender's balance loses, in micro-units."""
    return Amount(transfer.amount + transfer.fee)


def body_bytes_max(leaf_count: int, leaf_transfers: int) -> int:
    """Largest body of a block with so many leaves and transfers a leaf, in bytes."""
    leaf_bytes = _ARRAY_HEADER_BYTES + leaf_transfers * TRANSFER_BYTES_MAX
    return min(BODY_BYTES_MAX, 2 * _ARRAY_HEADER_BYTES + leaf_count * leaf_bytes)


def execute_body(
    network: NetworkId,
    content: BlockContent,
    body: bytes,
    state: RollupState,
    backend: ProverBackend,
) -> ExecutedBlock | Refused:
    """Execute somebody else's block on ``state`` and compare it with its content.

    :param state: the state after the block that ``content.parent`` names.
    :returns: the executed block, or why it is refused.
    """
    try:
        decoded = _decoded_body(content, body, state, backend)
        states = [state]
        for header, leaf in zip(content.leaves, decoded.leaves, strict=True):
            states.append(_executed_leaf(network, header, leaf, states[-1]))
    except Refused as refused:
        return refused
    leaves = tuple(tuple(signed.transfer for signed in leaf) for leaf in decoded.leaves)
    return ExecutedBlock(content, leaves, tuple(states))


def _decoded_body(
    content: BlockContent, body: bytes, state: RollupState, backend: ProverBackend
) -> BlockBody:
    leaf_count = len(content.leaves)
    size_max = body_bytes_max(leaf_count, backend.leaf_transfers)
    _demand(is_leaf_count(leaf_count), Reason.WRONG_LEAF_COUNT)
    _demand(content.from_root == state.root, Reason.WRONG_STATE_BEFORE)
    _demand(len(body) <= size_max, Reason.TOO_LARGE)
    _demand(body_hash(body) == content.body, Reason.WRONG_BODY)
    decoded: BlockBody = decode(BlockBody, body, size_max=size_max)
    _demand(len(decoded.leaves) == leaf_count, Reason.BODY_LEAF_COUNT)
    fullest = max(len(leaf) for leaf in decoded.leaves)
    _demand(fullest <= backend.leaf_transfers, Reason.LEAF_TOO_FULL)
    return decoded


def _executed_leaf(
    network: NetworkId, header: LeafHeader, leaf: tuple[SignedTransfer, ...], state: RollupState
) -> RollupState:
    signed_by_senders = all(transfer_is_signed(network, signed) for signed in leaf)
    _demand(signed_by_senders, Reason.BAD_SIGNATURE)
    executed = _executed(leaf, state)
    _demand(executed.digest == header.digest, Reason.WRONG_TRANSFER_DIGEST)
    _demand(executed.fees == header.fees, Reason.WRONG_FEES)
    _demand(executed.state.root == header.to_root, Reason.WRONG_STATE_AFTER)
    return executed.state


def _executed(leaf: tuple[SignedTransfer, ...], state: RollupState) -> Executed:
    try:
        return state.execute([signed.transfer for signed in leaf])
    except ValueError as failure:
        raise Refused(Reason.NOT_EXECUTABLE, str(failure)) from None


def _demand(condition: bool, reason: Reason) -> None:
    if not condition:
        raise Refused(reason)

"""Builds a rollup block: spreads transfers over leaves, executes them, fills in the headers.

Rules. Transfers keep their order. Leaves get as many as each other, the first ones one more where
it does not come out even, because a leaf takes as long to prove as its circuit is wide and all of
them start at once. Empty leaves are legal: a tree has a fixed number of leaves, a quiet hour has
few transfers.

Property. :func:`protocol.rollup.execute_body` accepts every block that is built here from signed
transfers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from protocol.codec import encode
from protocol.messages import BlockBody, BlockContent, LeafHeader, SignedTransfer, body_hash
from protocol.ports import ProverBackend, RollupState
from protocol.tree import is_leaf_count
from protocol.types import JobId


@dataclass(frozen=True, slots=True)
class BuiltBlock:
    """A new rollup block.

    :ivar body: canonical bytes of its transfers, whose hash ``content`` names.
    :ivar states: the state before each leaf and after the last: one more than there are leaves.
    """

    content: BlockContent
    body: bytes
    states: tuple[RollupState, ...]


def build_block(
    parent: JobId,
    state: RollupState,
    transfers: Sequence[SignedTransfer],
    leaf_count: int,
    backend: ProverBackend,
) -> BuiltBlock:
    """Build a block on ``state``, which is the state after ``parent``.

    :param transfers: executable in this order, as :meth:`sequencer.mempool.TransferPool.select`
    gives them.
    :raises ValueError: when the transfers do not fit or cannot be applied, or no tree has so many
    leaves.
    """
    if not is_leaf_count(leaf_count):
        raise ValueError(f"no proof tree has {leaf_count} leaves")
    if len(transfers) > leaf_count * backend.leaf_transfers:
        raise ValueError(f"{len(transfers)} transfers do not fit into {leaf_count} leaves")
    leaves = spread(transfers, leaf_count)
    headers, states = _execute(leaves, state)
    body = encode(BlockBody(leaves))
    content = BlockContent(parent, state.root, headers, body_hash(body))
    return BuiltBlock(content, body, states)


def spread(
    transfers: Sequence[SignedTransfer], leaf_count: int
) -> tuple[tuple[SignedTransfer, ...], ...]:
    """Cut ``transfers`` into ``leaf_count`` runs of nearly equal length, longer ones first."""
    share, longer = divmod(len(transfers), leaf_count)
    borders = [position * share + min(position, longer) for position in range(leaf_count + 1)]
    return tuple(tuple(transfers[first:end]) for first, end in pairwise(borders))


def _execute(
    leaves: tuple[tuple[SignedTransfer, ...], ...], state: RollupState
) -> tuple[tuple[LeafHeader, ...], tuple[RollupState, ...]]:
    headers, states = [], [state]
    for leaf in leaves:
        executed = states[-1].execute([signed.transfer for signed in leaf])
        headers.append(LeafHeader(executed.digest, executed.fees, executed.state.root))
        states.append(executed.state)
    return tuple(headers), tuple(states)

"""Proof-tree arithmetic: which tree node is whose parent, sibling, child and heir.

A tree of ``2**h`` leaves has levels 0 (leaves) to h (root); ``TreeIndex(level, position)`` has
children ``(level - 1, 2 * position)`` and ``(level - 1, 2 * position + 1)``. Everything here is
total on indices of the tree.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocol.types import Count, TreeIndex

LEAVES_MAX = 256
"""Most leaves of one tree."""


def is_leaf_count(count: int) -> bool:
    """Whether a complete binary tree with ``count`` leaves exists and is allowed: a power of
    two, at most 256.
    """
    return 1 <= count <= LEAVES_MAX and count & (count - 1) == 0


def height(leaf_count: int) -> int:
    """Level of the root of a tree with ``leaf_count`` leaves."""
    return leaf_count.bit_length() - 1


def root(leaf_count: int) -> TreeIndex:
    """The root of a tree with ``leaf_count`` leaves."""
    return TreeIndex(Count(height(leaf_count)), Count(0))


def parent(index: TreeIndex) -> TreeIndex:
    """The merge that consumes ``index``."""
    return TreeIndex(Count(index.level + 1), Count(index.position >> 1))


def sibling(index: TreeIndex) -> TreeIndex:
    """The other child of the same merge."""
    return TreeIndex(index.level, Count(index.position ^ 1))


def children(index: TreeIndex) -> tuple[TreeIndex, TreeIndex]:
    """Left and right child of a merge."""
    level, left = Count(index.level - 1), 2 * index.position
    return TreeIndex(level, Count(left)), TreeIndex(level, Count(left + 1))


def contains(leaf_count: int, index: TreeIndex) -> bool:
    """Whether ``index`` is a place in a tree with ``leaf_count`` leaves."""
    return index.level <= height(leaf_count) and index.position < leaf_count >> index.level


def span(index: TreeIndex) -> tuple[Count, Count]:
    """First leaf below ``index`` and the one after its last."""
    first = index.position << index.level
    return Count(first), Count(first + (1 << index.level))


def indices(leaf_count: int) -> Iterator[TreeIndex]:
    """All tree nodes, leaves first, each level from the left."""
    for level in range(height(leaf_count) + 1):
        for position in range(leaf_count >> level):
            yield TreeIndex(Count(level), Count(position))


def ancestor(leaf_position: int, level: int) -> TreeIndex:
    """The tree node at ``level`` above the leaf at ``leaf_position``."""
    return TreeIndex(Count(level), Count(leaf_position >> level))

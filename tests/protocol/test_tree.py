"""protocol.tree against a tree that is built link by link."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings, strategies as st

from protocol import tree
from protocol.types import Count, TreeIndex

LEAF_COUNTS = [1, 2, 4, 8, 16, 256]


@dataclass
class Link:
    """A tree node that knows its leaves and its neighbours."""

    index: TreeIndex
    leaves: list[int]
    children: tuple[Link, Link] | None = None
    parent: Link | None = None


def linked(leaf_count: int) -> list[list[Link]]:
    """The levels of a tree, leaves first, made by pairing neighbours until one is left."""
    levels = [[Link(TreeIndex(Count(0), Count(leaf)), [leaf]) for leaf in range(leaf_count)]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([])
        for left, right in zip(below[::2], below[1::2], strict=True):
            index = TreeIndex(Count(len(levels) - 1), Count(len(levels[-1])))
            merge = Link(index, left.leaves + right.leaves, (left, right))
            left.parent = right.parent = merge
            levels[-1].append(merge)
    return levels


@pytest.mark.parametrize("leaf_count", LEAF_COUNTS)
def test_levels_and_root(leaf_count: int) -> None:
    levels = linked(leaf_count)
    assert tree.height(leaf_count) == len(levels) - 1
    assert tree.root(leaf_count) == levels[-1][0].index
    assert list(tree.indices(leaf_count)) == [link.index for level in levels for link in level]


@pytest.mark.parametrize("leaf_count", LEAF_COUNTS)
def test_family_of_every_tree_node(leaf_count: int) -> None:
    for link in (link for level in linked(leaf_count) for link in level):
        assert tree.span(link.index) == (link.leaves[0], link.leaves[-1] + 1)
        assert all(tree.ancestor(leaf, link.index.level) == link.index for leaf in link.leaves)
        if link.children is not None:
            left, right = (child.index for child in link.children)
            assert tree.children(link.index) == (left, right)
            assert (tree.sibling(left), tree.sibling(right)) == (right, left)
        if link.parent is not None:
            assert tree.parent(link.index) == link.parent.index


@settings(deadline=None)
@given(
    leaf_count=st.sampled_from(LEAF_COUNTS),
    level=st.integers(0, 70_000),
    position=st.integers(0, 70_000),
)
def test_only_places_of_the_tree_are_contained(leaf_count: int, level: int, position: int) -> None:
    index = TreeIndex(Count(level), Count(position))
    assert tree.contains(leaf_count, index) == (index in set(tree.indices(leaf_count)))


@pytest.mark.parametrize("leaf_count", LEAF_COUNTS)
def test_all_places_of_the_tree_are_contained(leaf_count: int) -> None:
    assert all(tree.contains(leaf_count, index) for index in tree.indices(leaf_count))
    for level, row in enumerate(linked(leaf_count)):
        assert not tree.contains(leaf_count, TreeIndex(Count(level), Count(len(row))))


def test_leaf_counts_are_powers_of_two_up_to_the_limit() -> None:
    allowed = [count for count in range(-2, 2 * tree.LEAVES_MAX + 1) if tree.is_leaf_count(count)]
    assert allowed == [1, 2, 4, 8, 16, 32, 64, 128, 256]


def test_an_index_is_written_as_level_and_position() -> None:
    assert str(TreeIndex(Count(3), Count(7))) == "3:7"

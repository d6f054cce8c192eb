"""The deal of elected provers: who proves which tree node, and who inherits it.

Pure functions of public data, so that anybody can recompute a whole assignment from a job's seed,
its number of leaves and its frozen pool. The rule itself stands in ``protocol.proving.elected``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, islice, zip_longest
from typing import TypeAlias

from protocol import tree
from protocol.events import PoolMember
from protocol.signing import digest
from protocol.types import Account, Beacon, TreeIndex

Dealt: TypeAlias = Mapping[TreeIndex, tuple[Account, ...]]
"""The provers of every tree node, nobody twice; nobody at all when the pool is empty."""


def merge_side(seed: Beacon, index: TreeIndex) -> int:
    """0 or 1: which child's prover owns the merge at ``index``."""
    place = index.level.to_bytes(2, "big") + index.position.to_bytes(2, "big")
    return digest(b"provnet/merge-side/1", seed, place)[0] & 1


def deal(
    seed: Beacon, leaf_count: int, pool: tuple[PoolMember, ...], provers_per_node: int = 1
) -> dict[TreeIndex, tuple[Account, ...]]:
    """The provers of every tree node; as many as asked for, or as the pool has.

    A leaf gets the next cards of the shuffled deck, those of one prover counted once. A merge takes
    its provers by turns from the child that its bit names and from the other one.
    """
    deck = sorted(
        (digest(b"provnet/card/1", seed, member.prover, card.to_bytes(4, "big")), member.prover)
        for member in pool
        for card in range(member.cards)
    )
    cards = [prover for _, prover in deck]
    provers: dict[TreeIndex, tuple[Account, ...]] = {}
    for index in tree.indices(leaf_count):
        if index.level:
            side = merge_side(seed, index)
            below = tree.children(index)
            turns = zip_longest(provers[below[side]], provers[below[1 - side]])
            drawn: Iterable[Account | None] = chain.from_iterable(turns)
        else:
            first = index.position * provers_per_node % len(cards) if cards else 0
            drawn = (*cards[first:], *cards[:first])
        distinct = dict.fromkeys(one for one in drawn if one is not None)
        provers[index] = tuple(islice(distinct, provers_per_node))
    return provers


def heirs(seed: Beacon, leaf_count: int, provers: Dealt) -> dict[TreeIndex, tuple[Account, ...]]:
    """Who may take over each tree node, nearest first, without repeats and without its own provers.

    They stand outwards from a leaf, and a merge has those of the leaf that its bits lead to.
    """
    indices = list(tree.indices(leaf_count))
    outwards: dict[TreeIndex, tuple[Account, ...]] = {indices[-1]: ()}
    for index in reversed(indices[:-1]):
        outwards[index] = (*provers[tree.sibling(index)], *outwards[tree.parent(index)])
    lines: dict[TreeIndex, tuple[Account, ...]] = {}
    for index in indices:
        if index.level:
            lines[index] = lines[tree.children(index)[merge_side(seed, index)]]
        else:
            lines[index] = tuple(dict.fromkeys(outwards[index]))
    return {
        index: tuple([heir for heir in lines[index] if heir not in own])
        for index, own in provers.items()
    }

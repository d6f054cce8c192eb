"""The deal of elected provers: who proves which tree node, and who inherits it.

Pure functions of public data, so that anybody can recompute a whole assignment from a job's seed,
its number of leaves and its frozen pool. The rule itself stands in ``protocol.proving.elected``.
"""

from __future__ import annotations

from collections.abc import Mapping

from protocol import tree
from protocol.events import PoolMember
from protocol.signing import digest
from protocol.types import Account, Beacon, TreeIndex


def merge_side(seed: Beacon, index: TreeIndex) -> int:
    """0 or 1: which child's prover owns the merge at ``index``."""
    place = index.level.to_bytes(2, "big") + index.position.to_bytes(2, "big")
    return digest(b"provnet/merge-side/1", seed, place)[0] & 1


def origin(seed: Beacon, index: TreeIndex) -> TreeIndex:
    """The leaf whose prover the bits lead to from ``index``; a leaf is its own origin."""
    while index.level:
        index = tree.children(index)[merge_side(seed, index)]
    return index


def deal(
    seed: Beacon, leaf_count: int, pool: tuple[PoolMember, ...]
) -> dict[TreeIndex, Account | None]:
    """The prover of every tree node; None for all of them when the pool is empty."""
    deck = sorted(
        (digest(b"provnet/card/1", seed, member.prover, card.to_bytes(4, "big")), member.prover)
        for member in pool
        for card in range(member.cards)
    )
    provers: dict[TreeIndex, Account | None] = {}
    for index in tree.indices(leaf_count):
        if index.level:
            provers[index] = provers[tree.children(index)[merge_side(seed, index)]]
        else:
            provers[index] = deck[index.position % len(deck)][1] if deck else None
    return provers


def heirs(
    seed: Beacon, leaf_count: int, provers: Mapping[TreeIndex, Account | None], index: TreeIndex
) -> tuple[Account, ...]:
    """Who may take over ``index``, nearest first, without repeats and without its assigned
    prover.
    """
    leaf = origin(seed, index).position
    found: list[Account] = []
    for level in range(tree.height(leaf_count)):
        heir = provers[tree.sibling(tree.ancestor(leaf, level))]
        if heir is not None and heir != provers[index] and heir not in found:
            found.append(heir)
    return tuple(found)

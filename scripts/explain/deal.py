"""The deal of a job with every intermediate value, from its seed and its pool.

Written from the sentences of ``protocol.proving.elected``, calling nothing of that rule; what comes
out is compared with what the replay assigned, so that two readings of the rule have to agree before
anything of it is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from protocol import tree
from protocol.events import PoolMember
from protocol.signing import digest
from protocol.types import Account, TreeIndex

Owners: TypeAlias = dict[TreeIndex, tuple[Account, ...]]
"""The provers of each tree node, the first of them first."""


@dataclass(frozen=True, slots=True)
class Card:
    """A card and the hash by which the seed shuffles it."""

    lot: bytes
    prover: Account
    number: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One step down from a merge: the bit that its hash has, and the child that it names."""

    merge: TreeIndex
    bit: int
    child: TreeIndex


@dataclass(frozen=True, slots=True)
class Deal:
    """A job's deal.

    :ivar each: provers of each tree node, at most.
    :ivar deck: the cards in shuffled order.
    """

    seed: bytes
    leaves: int
    each: int
    deck: tuple[Card, ...]
    owners: Owners

    @classmethod
    def of(cls, seed: bytes, leaves: int, pool: tuple[PoolMember, ...], each: int) -> Deal:
        """Shuffle and deal."""
        cards = [
            Card(_lot(seed, member.prover, number), member.prover, number)
            for member in pool
            for number in range(member.cards)
        ]
        cards.sort(key=lambda card: card.lot)
        deal = cls(seed, leaves, each, tuple(cards), {})
        for index in tree.indices(leaves):
            deal.owners[index] = tuple(deal._drawn(index))
        return deal

    def _drawn(self, index: TreeIndex) -> Iterator[Account]:
        """Different provers, as many as are wanted: a leaf's from its card on, a merge's by turns
        from the child that its bit names and the other one.
        """
        if index.level:
            named = self._turn(index).child
            rows = self.owners[named], self.owners[tree.sibling(named)]
            longest = max(map(len, rows))
            offered = [row[at] for at in range(longest) for row in rows if at < len(row)]
        else:
            first = self.card_of(index.position) if self.deck else 0
            offered = [card.prover for card in (*self.deck[first:], *self.deck[:first])]
        yield from list(dict.fromkeys(offered))[: self.each]

    def _turn(self, merge: TreeIndex) -> Turn:
        place = merge.level.to_bytes(2, "big") + merge.position.to_bytes(2, "big")
        bit = digest(b"provnet/merge-side/1", self.seed, place)[0] % 2
        return Turn(merge, bit, tree.children(merge)[bit])

    def turns(self, index: TreeIndex) -> tuple[Turn, ...]:
        """The way down from a tree node to the leaf that it has its first prover from."""
        found: list[Turn] = []
        while index.level:
            found.append(self._turn(index))
            index = found[-1].child
        return tuple(found)

    def leaf_of(self, index: TreeIndex) -> int:
        """Position of the leaf that a tree node has its first prover from."""
        turns = self.turns(index)
        return int((turns[-1].child if turns else index).position)

    def card_of(self, leaf: int) -> int:
        """Place in the deck, from 0, of the first card that a leaf was dealt."""
        return leaf * self.each % len(self.deck)

    def heirs(self, index: TreeIndex) -> tuple[tuple[Account, TreeIndex], ...]:
        """Who may inherit a tree node, nearest first, each with the sibling that makes it so."""
        leaf, found = self.leaf_of(index), dict[Account, TreeIndex]()
        for level in range(tree.height(self.leaves)):
            sibling = tree.sibling(tree.ancestor(leaf, level))
            for heir in self.owners[sibling]:
                if heir not in self.owners[index]:
                    found.setdefault(heir, sibling)
        return tuple(found.items())


def _lot(seed: bytes, prover: Account, number: int) -> bytes:
    return digest(b"provnet/card/1", seed, prover, number.to_bytes(4, "big"))

"""The deal of a job with every intermediate value, from its seed and its pool.

Written from the sentences of ``protocol.proving.elected``, with the tree arithmetic of
:mod:`scripts.audit.elected`; what comes out is compared with what the replay assigned, so that two
readings of the rule have to agree before anything of it is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from protocol.events import PoolMember
from protocol.signing import digest
from protocol.types import Account, Count, TreeIndex
from scripts.audit.elected import below, dealt, first_leaf, places, successors


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

    :ivar deck: the cards in shuffled order.
    :ivar owners: who was dealt each tree node, as level and position.
    """

    seed: bytes
    leaves: int
    deck: tuple[Card, ...]
    owners: dict[tuple[int, int], Account | None]

    @classmethod
    def of(cls, seed: bytes, leaves: int, pool: tuple[PoolMember, ...]) -> Deal:
        """Shuffle and deal."""
        cards = [
            Card(_lot(seed, member.prover, number), member.prover, number)
            for member in pool
            for number in range(member.cards)
        ]
        cards.sort(key=lambda card: card.lot)
        return cls(seed, leaves, tuple(cards), dealt(seed, leaves, pool))

    def agrees(self, assigned: Mapping[TreeIndex, Account | None]) -> bool:
        """Whether the replay assigned every tree node as it was dealt here."""
        theirs = {(index.level, index.position): who for index, who in assigned.items()}
        return theirs == self.owners and list(theirs) == places(self.leaves)

    def turns(self, index: TreeIndex) -> tuple[Turn, ...]:
        """The way down from a tree node to the leaf that it has its prover from."""
        found: list[Turn] = []
        while index.level:
            level, position = below(self.seed, (index.level, index.position))
            child = TreeIndex(Count(level), Count(position))
            found.append(Turn(index, position & 1, child))
            index = child
        return tuple(found)

    def card_of(self, leaf: int) -> int:
        """Place in the deck, from 0, of the card that a leaf was dealt."""
        return leaf % len(self.deck)

    def leaf_of(self, index: TreeIndex) -> int:
        """Position of the leaf that a tree node has its prover from."""
        return first_leaf(self.seed, (index.level, index.position))

    def heirs(self, index: TreeIndex) -> tuple[tuple[Account, tuple[int, int]], ...]:
        """Who may inherit a tree node, nearest first, each with the sibling that makes it so."""
        place = (index.level, index.position)
        heirs, leaf = successors(self.seed, self.leaves, self.owners, place), self.leaf_of(index)
        found = []
        for heir in heirs:
            levels = range(self.leaves.bit_length() - 1)
            sibling = next(
                (level, (leaf >> level) ^ 1)
                for level in levels
                if self.owners[level, (leaf >> level) ^ 1] == heir
            )
            found.append((heir, sibling))
        return tuple(found)


def _lot(seed: bytes, prover: Account, number: int) -> bytes:
    return digest(b"provnet/card/1", seed, prover, number.to_bytes(4, "big"))

"""The blocks above the last final one: a tree of which finality keeps one branch.

Invariants:

- Every block here descends from the anchor, which is the last final block.
- Every block but a leaf is notarised, for a child carries the certificate of its parent.
- The tip is a notarised block of the greatest height; of several the one with the latest slot,
  since a run can only continue there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from protocol.messages import Certificate, LogBlock
from protocol.ordering.chain import Anchor, Link
from protocol.ordering.outputs import Finalised
from protocol.types import BlockHash, Slot


@dataclass(slots=True)
class Entry:
    """A block of the tree.

    :ivar in_time: arrived before the middle of its slot.
    :ivar dismissed: the owner found its content invalid.
    """

    block: LogBlock
    link: Link
    rank: int
    in_time: bool
    dismissed: bool = False
    certificate: Certificate | None = None


class Forks:
    """The tree, rooted at a final block."""

    def __init__(self, anchor: Anchor) -> None:
        self.anchor = anchor
        self.tip = anchor
        self._entries: dict[BlockHash, Entry] = {}  # parents before their children

    def __contains__(self, block: BlockHash) -> bool:
        return self.link(block) is not None

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, block: BlockHash) -> Entry | None:
        """The block above the anchor with this hash."""
        return self._entries.get(block)

    def link(self, block: BlockHash) -> Link | None:
        """The place of a block of the tree, the anchor included."""
        if block == self.anchor.link.block:
            return self.anchor.link
        entry = self._entries.get(block)
        return None if entry is None else entry.link

    def path(self, block: BlockHash) -> tuple[Entry, ...]:
        """The blocks above the anchor up to ``block``. Raises KeyError when it is not here."""
        entries = []
        while block != self.anchor.link.block:
            entry = self._entries[block]
            entries.append(entry)
            block = entry.block.header.parent
        return tuple(reversed(entries))

    def add(self, entry: Entry) -> None:
        """Add a block whose parent is in the tree."""
        self._entries[entry.link.block] = entry

    def notarise(self, block: BlockHash, certificate: Certificate) -> Entry | None:
        """Note the certificate of a block; None when it changes nothing."""
        entry = self._entries.get(block)
        if entry is None or entry.certificate is not None:
            return None
        entry.certificate = certificate
        self._choose_tip()
        return entry

    def finalise(self, height: int, tip: BlockHash) -> tuple[Finalised, ...]:
        """Make the chain to ``tip`` final up to ``height``, and drop all other branches."""
        if height <= self.anchor.link.height:
            return ()
        final = []
        for entry in self.path(tip)[: height - self.anchor.link.height]:
            assert entry.certificate is not None, "a child shows that its parent is notarised"
            final.append(Finalised(entry.block, entry.link, entry.certificate))
        self.anchor = final[-1].anchor
        self._keep_descendants()
        return tuple(final)

    def forget_before(self, slot: int) -> None:
        """Drop blocks of slots before ``slot`` that are not notarised."""
        self._entries = {
            block: entry
            for block, entry in self._entries.items()
            if entry.certificate is not None or entry.link.slot >= slot
        }

    def _keep_descendants(self) -> None:
        kept: dict[BlockHash, Entry] = {}
        for block, entry in self._entries.items():
            parent = entry.block.header.parent
            if parent == self.anchor.link.block or parent in kept:
                kept[block] = entry
        self._entries = kept
        self._choose_tip()

    def _choose_tip(self) -> None:
        notarised = (
            Anchor(entry.link, entry.certificate)
            for entry in self._entries.values()
            if entry.certificate is not None
        )
        self.tip = max(notarised, key=_length, default=self.anchor)


def _length(anchor: Anchor) -> tuple[int, Slot, BlockHash]:
    return anchor.link.height, anchor.link.slot, anchor.link.block

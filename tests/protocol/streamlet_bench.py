"""Blocks, votes and certificates by hand, for tests of one engine."""

from __future__ import annotations

from dataclasses import replace

from protocol.messages import (
    Certificate,
    CertifiedBlock,
    LogBlock,
    LogHeader,
    block_hash,
    sign_header,
)
from protocol.ordering import Anchor, Finalised, Notarised, Output, Streamlet, genesis
from protocol.types import Slot
from tests.protocol.streamlet_network import (
    NETWORK,
    SLOT_MS,
    compose,
    draft_on,
    identity,
    settings,
    validators,
    vote_for,
)


class Bench:
    """Validators numbered from 0, of whom none follows any rule but those of the test."""

    def __init__(self, stakes: tuple[int, ...] = (1, 1, 1, 1), epoch_ticks: int = 1_000) -> None:
        self.settings = settings(epoch_ticks)
        self.identities = [identity(number) for number in range(len(stakes))]
        self.validators = validators(self.identities, list(stakes))
        self.genesis = genesis(self.settings)

    def engine(self, number: int | None = None) -> Streamlet:
        """The engine of a validator, or of an observer."""
        who = None if number is None else self.identities[number]
        return Streamlet(self.settings, self.validators, who)

    def block(self, parent: Anchor, slot: int, by: int = 0, label: object = "") -> LogBlock:
        who = self.identities[by]
        return compose(
            who, draft_on(who, parent, slot, self.settings, successors=self.validators), label
        )

    def votes(self, block: LogBlock, *voters: int):
        return [vote_for(self.identities[number], block.header) for number in voters]

    def certificate(self, block: LogBlock, *voters: int) -> Certificate:
        votes = self.votes(block, *(voters or (0, 1, 2)))
        signatures = sorted((one.vote.voter, one.signature) for one in votes)
        return Certificate(block.header.slot, block_hash(block.header), tuple(signatures))

    def certified(self, block: LogBlock, *voters: int) -> CertifiedBlock:
        return CertifiedBlock(block, self.certificate(block, *voters))

    def anchor(self, parent: Anchor, block: LogBlock) -> Anchor:
        """The block as a parent, once certified."""
        if parent.link.height and parent.link.height % self.settings.epoch_ticks == 0:
            parent = Anchor(parent.link.rooted, parent.certificate)
        watcher = Streamlet(self.settings, self.validators, anchor=parent)
        watcher.on_certified(self.certified(block), at(block.header.slot, 999))
        return watcher.tip

    def chain(self, *slots: int, on: Anchor | None = None, label: object = "") -> list[Anchor]:
        """Notarised blocks in a chain, one in each slot."""
        anchors = [self.genesis if on is None else on]
        for slot in slots:
            block = self.block(anchors[-1], slot, label=label)
            anchors.append(self.anchor(anchors[-1], block))
        return anchors[1:]

    def blocks(
        self, *slots: int, on: Anchor | None = None, label: object = "", by: int = 0
    ) -> list[CertifiedBlock]:
        """The same as certified blocks."""
        parent, certified = self.genesis if on is None else on, []
        for slot in slots:
            block = self.block(parent, slot, by, label)
            certified.append(self.certified(block))
            parent = self.anchor(parent, block)
        return certified

    def feed(self, engine: Streamlet, *slots: int) -> tuple[Output, ...]:
        """Give an engine a chain of notarised blocks in these slots; the outputs of the last."""
        outputs: tuple[Output, ...] = ()
        for certified in self.blocks(*slots):
            outputs = engine.on_certified(certified, at(certified.block.header.slot, 999))
        return outputs

    def take(
        self, engine: Streamlet, certified: CertifiedBlock, now: int
    ) -> tuple[Streamlet, tuple[Output, ...]]:
        """Give a block to an engine, and across a border to the next one, too."""
        outputs = engine.on_certified(certified, now)
        if engine.is_over:
            engine = engine.next(self.validators)
            if certified.block.header.epoch == engine.epoch:
                outputs += engine.on_certified(certified, now)
        return engine, outputs

    def altered(self, block: LogBlock, by: int = 0, **fields: object) -> LogBlock:
        """The block with other header fields, signed again."""
        header: LogHeader = replace(block.header, **fields)
        return LogBlock(sign_header(self.identities[by].signing_seed, NETWORK, header), ())


def at(slot: int, ms: int = 0) -> int:
    """A moment in a slot."""
    return Slot(slot) * SLOT_MS + ms


def final_slots(outputs: tuple[Output, ...]) -> list[int]:
    return [one.link.slot for one in outputs if isinstance(one, Finalised)]


def notarised_slots(outputs: tuple[Output, ...]) -> list[int]:
    return [one.link.slot for one in outputs if isinstance(one, Notarised)]

"""What the engine tells its owner, as values in the order in which they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from protocol.errors import Reason
from protocol.messages import (
    Certificate,
    CertifiedBlock,
    LogBlock,
    LogHeader,
    ProposalEvidence,
    VoteEvidence,
)
from protocol.ordering.chain import Anchor, Link
from protocol.types import Account, BlockHash, Digest, Epoch, Slot, Tick, VrfProof


@dataclass(frozen=True, slots=True)
class ProposalDue:
    """Our rank allows us to propose in this slot, and no better proposal is known."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class VoteDue:
    """It is time to vote in this slot; the ballot says for what."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class Notarised:
    """A block has its certificate. Once a block, its parent before it.

    Duty: on disk before any later vote of ours leaves, or a restart forgets how long a notarised
    chain it has seen and may vote for a shorter one.
    """

    block: LogBlock
    link: Link
    certificate: Certificate

    @property
    def certified(self) -> CertifiedBlock:
        """The block with its certificate, as it is stored and served to peers."""
        return CertifiedBlock(self.block, self.certificate)


@dataclass(frozen=True, slots=True)
class Finalised:
    """A block is final for ever. One a block, in the order of heights, after its Notarised."""

    block: LogBlock
    link: Link
    certificate: Certificate

    @property
    def anchor(self) -> Anchor:
        """Where an engine can start instead of at the genesis."""
        return Anchor(self.link, self.certificate)


@dataclass(frozen=True, slots=True)
class Missing:
    """A block is notarised that we do not have.

    Ask peers for it, or for all certified blocks from above the final height.

    :ivar height: its height as a child claims it; None when only votes name the block.
    """

    block: BlockHash
    height: Tick | None


@dataclass(frozen=True, slots=True)
class Equivocation:
    """A validator signed two messages of which it may sign one. Once a slot, validator and kind."""

    evidence: VoteEvidence | ProposalEvidence


@dataclass(frozen=True, slots=True)
class Discarded:
    """A block that waited for its parent is refused now that the parent is known."""

    block: LogBlock
    reason: Reason


Output: TypeAlias = (
    ProposalDue | VoteDue | Notarised | Finalised | Missing | Equivocation | Discarded
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proposal that may be voted for, if its content is valid.

    ``link.settled`` is the height after which ``state`` of its header must be the state's digest.
    """

    block: LogBlock
    link: Link
    rank: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A proposal of ours but for its content.

    :ivar settled: height after which the state's digest goes into the header.
    :ivar successors: digest of the validators of the next epoch.
    """

    slot: Slot
    epoch: Epoch
    height: Tick
    parent: BlockHash
    certificate: Certificate | None
    proposer: Account
    vrf_proof: VrfProof
    settled: Tick
    successors: Digest

    def header(self, operations: Digest, state: Digest) -> LogHeader:
        """The header, to be signed."""
        return LogHeader(
            slot=self.slot,
            epoch=self.epoch,
            height=self.height,
            parent=self.parent,
            certificate=self.certificate,
            proposer=self.proposer,
            vrf_proof=self.vrf_proof,
            operations=operations,
            state=state,
            successors=self.successors,
        )

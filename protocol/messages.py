"""Everything that nodes say to each other, as frozen values.

- An :class:`Operation` must be ordered to count. It carries a nonce that makes it unique and the
  last tick at which it is valid; replay is refused by the hashes seen within that time. Its
  signature covers the network id.
- A :class:`LogBlock` orders operations; a :class:`Vote` supports one; a :class:`Certificate` is
  votes of more than two thirds of the log stake.
- A :class:`BlockBody` and a proof never travel by gossip: an operation names their hash, a request
  fetches the bytes.

The order of kinds in :data:`Payload` is part of the encoding: new kinds go to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from protocol import signing
from protocol.codec import decode, encode
from protocol.signing import Domain, digest
from protocol.types import (
    FULL_SHARE,
    Account,
    Amount,
    BasisPoints,
    Beacon,
    BlockHash,
    BodyHash,
    Claim,
    Count,
    Digest,
    Epoch,
    JobId,
    NetworkId,
    Nonce,
    OperationHash,
    Root,
    Round,
    Salt,
    Signature,
    Slot,
    Tick,
    TransferDigest,
    TreeIndex,
    VrfKey,
    VrfProof,
)

OPERATION_BYTES_MAX: Final = 40_000
"""Largest signed operation, in bytes: a reveal of 256 leaves."""

LOG_BLOCK_BYTES_MAX: Final = 240_000
"""Largest signed log proposal, in bytes; fits one gossip message with room."""

VOTE_BYTES_MAX: Final = 256
"""Largest signed vote, in bytes."""

BID_BYTES_MAX: Final = 256
"""Largest signed bid, in bytes."""

TRANSFER_BYTES_MAX: Final = 256
"""Largest signed transfer, in bytes."""

BODY_BYTES_MAX: Final = 4_000_000
"""Largest block body, in bytes: 256 leaves of 44 transfers at 170 bytes, with room."""

NO_JOB: Final = JobId(bytes(32))
"""Stands for the genesis where a job's parent is named."""


NO_POOL: Final = Digest(digest(b"provnet/pool/1"))
"""Digest of a pool without provers."""


# --- transfers and block bodies ---


@dataclass(frozen=True, slots=True)
class Transfer:
    """A move of money inside the rollup.

    ``amount`` goes to ``recipient``, ``fee`` leaves the rollup for the job's escrow, ``nonce`` must
    equal the sender's count of transfers so far.
    """

    sender: Account
    recipient: Account
    amount: Amount
    fee: Amount
    nonce: Nonce


@dataclass(frozen=True, slots=True)
class SignedTransfer:
    """A transfer with its sender's signature over it and the network id.

    Checked by every validator, not in circuit.
    """

    transfer: Transfer
    signature: Signature


@dataclass(frozen=True, slots=True)
class BlockBody:
    """A rollup block's transfers, leaf by leaf."""

    leaves: tuple[tuple[SignedTransfer, ...], ...]


@dataclass(frozen=True, slots=True)
class LeafHeader:
    """What a leaf's proof must show: digest and fee sum of its transfers, and the root after
    them.
    """

    digest: TransferDigest
    fees: Amount
    to_root: Root


@dataclass(frozen=True, slots=True)
class BlockContent:
    """A rollup block without its bytes: on which job it builds, its leaves, where its body is
    found.
    """

    parent: JobId
    from_root: Root
    leaves: tuple[LeafHeader, ...]
    body: BodyHash


# --- operations ---


@dataclass(frozen=True, slots=True)
class Intent:
    """A prover's word that it is there to be elected until tick ``until``, for ``capacity``
    proofs at a time.
    """

    capacity: Count
    until: Tick


@dataclass(frozen=True, slots=True)
class BlockCommitment:
    """A sequencer's hidden block proposal for ``round`` with its claim to lead it.

    ``content`` is :func:`commitment_digest`; ``fee_split`` is the share of fees promised to
    provers.
    """

    round: Round
    content: Digest
    fee_split: BasisPoints
    vrf_proof: VrfProof


@dataclass(frozen=True, slots=True)
class BlockReveal:
    """The elected leader opens its commitment: this seals the block."""

    round: Round
    content: BlockContent
    salt: Salt


@dataclass(frozen=True, slots=True)
class ProofRecord:
    """The sender proved a tree node of a job. ``children`` are the claims a merge consumed, None
    for a leaf.

    The proof's bytes are fetched by their hash; the hash is never the proof's identity, because
    proof bytes are not deterministic. A record is known by job, index, sender and claim.
    """

    job: JobId
    index: TreeIndex
    claim: Claim
    children: tuple[Claim, Claim] | None
    proof: BodyHash


@dataclass(frozen=True, slots=True)
class VoteEvidence:
    """Two votes of one validator in one slot for different blocks."""

    first: SignedVote
    second: SignedVote


@dataclass(frozen=True, slots=True)
class ProposalEvidence:
    """Two different headers signed by one proposer for one slot."""

    first: SignedHeader
    second: SignedHeader


@dataclass(frozen=True, slots=True)
class UncleClaim:
    """The sender proved a tree node, too, for which somebody else's proof was recorded.

    ``record`` is what it would have had recorded; a merge builds on the recorded claims of its
    children.
    """

    record: ProofRecord


@dataclass(frozen=True, slots=True)
class ProofEvidence:
    """A signed record, or claim, whose bytes have the hash it names and do not prove it.

    The operation in its parts: ``sender`` signed ``payload`` with ``nonce`` and ``valid_until``.
    """

    sender: Account
    nonce: Nonce
    valid_until: Tick
    payload: ProofRecord | UncleClaim
    signature: Signature

    @property
    def signed(self) -> SignedOperation:
        """The operation that is the evidence."""
        operation = Operation(self.sender, self.nonce, self.valid_until, self.payload)
        return SignedOperation(operation, self.signature)

    @property
    def record(self) -> ProofRecord:
        """What was said to be proven."""
        return self.payload.record if isinstance(self.payload, UncleClaim) else self.payload


@dataclass(frozen=True, slots=True)
class Inclusion:
    """The owner of a merge takes ``prover``'s proof of one of the merge's children.

    Only where the merge owner, and not the log, decides what counts as delivered.
    """

    job: JobId
    index: TreeIndex
    prover: Account
    claim: Claim


@dataclass(frozen=True, slots=True)
class SlashVote:
    """A validator's word on whether ``prover`` shall be slashed for having failed ``job``."""

    job: JobId
    prover: Account
    is_guilty: bool


@dataclass(frozen=True, slots=True)
class Bid:
    """A prover's offer to prove the whole block of ``round``; gossiped, never ordered by itself.

    :ivar sequencer: whose block; the offer holds for nobody else's.
    :ivar price: what the prover asks, in micro-units.
    :ivar bond: what it loses on a miss, in micro-units.
    :ivar latency_ticks: how long it expects to take, from the opening of the job.
    :ivar valid_until: last tick at which the offer may be accepted.
    """

    prover: Account
    round: Round
    sequencer: Account
    price: Amount
    bond: Amount
    latency_ticks: Tick
    valid_until: Tick


@dataclass(frozen=True, slots=True)
class SignedBid:
    """A bid with its prover's signature over it and the network id."""

    bid: Bid
    signature: Signature


@dataclass(frozen=True, slots=True)
class Award:
    """The sequencer of a round accepts a bid for its block: this locks bond and price."""

    bid: SignedBid


@dataclass(frozen=True, slots=True)
class BackupBlock:
    """A whole block with the proof of its root, from anybody, where a round came to nothing.

    The sender is the prover of every tree node; ``proof`` names the root's bytes.
    """

    round: Round
    content: BlockContent
    proof: BodyHash


@dataclass(frozen=True, slots=True)
class Pay:
    """Free money of the sender goes to ``receiver``, an account that may be new."""

    receiver: Account
    amount: Amount


class StakeKind(Enum):
    """What stake is for; the three are never mixed."""

    LOG = "log"
    PROVER = "prover"
    SEQUENCER = "sequencer"


@dataclass(frozen=True, slots=True)
class AddStake:
    """Free money of the sender becomes its own stake.

    :ivar vrf_key: the key of its lots; the first one of an account stays for ever.
    """

    stake: StakeKind
    amount: Amount
    vrf_key: VrfKey


@dataclass(frozen=True, slots=True)
class Unstake:
    """The sender takes out own stake; it is paid after the exit delay."""

    stake: StakeKind
    amount: Amount


@dataclass(frozen=True, slots=True)
class Delegate:
    """Free money of the sender is lent to ``delegate`` as its log or prover stake."""

    stake: StakeKind
    delegate: Account
    amount: Amount


@dataclass(frozen=True, slots=True)
class Undelegate:
    """The sender takes back what it lent; it is paid after the exit delay."""

    stake: StakeKind
    delegate: Account
    amount: Amount


@dataclass(frozen=True, slots=True)
class Presence:
    """The sender is there: a validator that was left out as absent comes back."""


Payload: TypeAlias = (
    Intent
    | BlockCommitment
    | BlockReveal
    | ProofRecord
    | VoteEvidence
    | ProposalEvidence
    | UncleClaim
    | ProofEvidence
    | Inclusion
    | SlashVote
    | Award
    | BackupBlock
    | Pay
    | AddStake
    | Unstake
    | Delegate
    | Undelegate
    | Presence
)


@dataclass(frozen=True, slots=True)
class Operation:
    """A message that must be ordered to count."""

    sender: Account
    nonce: Nonce
    valid_until: Tick
    payload: Payload


@dataclass(frozen=True, slots=True)
class SignedOperation:
    """An operation with its sender's signature over it and the network id."""

    operation: Operation
    signature: Signature


# --- the log ---


@dataclass(frozen=True, slots=True)
class Vote:
    """``voter`` supports ``block`` in ``slot``; at most one a slot."""

    voter: Account
    slot: Slot
    block: BlockHash


@dataclass(frozen=True, slots=True)
class SignedVote:
    """A vote with its voter's signature over it and the network id."""

    vote: Vote
    signature: Signature


@dataclass(frozen=True, slots=True)
class Certificate:
    """Signatures of voters for one block, sorted by account, that together hold more than two
    thirds of log stake.
    """

    slot: Slot
    block: BlockHash
    signatures: tuple[tuple[Account, Signature], ...]


@dataclass(frozen=True, slots=True)
class LogHeader:
    """Header of a log block.

    :ivar epoch: in which the block is ordered. Blocks above the last of an epoch belong to it until
        that one is final.
    :ivar certificate: makes the parent notarised; None only when the parent is the genesis.
    :ivar vrf_proof: the proposer's lot for ``slot``.
    :ivar operations: :func:`operations_digest` of the block's operations.
    :ivar state: digest of the state after the last block that this block's own ancestors finalise.
    :ivar successors: digest of the validators of the next epoch.
    """

    slot: Slot
    epoch: Epoch
    height: Tick
    parent: BlockHash
    certificate: Certificate | None
    proposer: Account
    vrf_proof: VrfProof
    operations: Digest
    state: Digest
    successors: Digest


@dataclass(frozen=True, slots=True)
class SignedHeader:
    """A header with its proposer's signature over it and the network id."""

    header: LogHeader
    signature: Signature


@dataclass(frozen=True, slots=True)
class LogBlock:
    """A signed header with the operations it orders."""

    signed: SignedHeader
    operations: tuple[SignedOperation, ...]

    @property
    def header(self) -> LogHeader:
        """The header without its signature."""
        return self.signed.header


@dataclass(frozen=True, slots=True)
class CertifiedBlock:
    """A log block with the certificate that makes it notarised."""

    block: LogBlock
    certificate: Certificate


# --- jobs ---


@dataclass(frozen=True, slots=True)
class JobHeader:
    """Everything that a job's proofs and payments depend on; its digest is the job id.

    :ivar network: binds the genesis, hence all parameters and both rules.
    :ivar fee_split: share of the block's fees that goes to provers.
    :ivar seed: randomness fixed after content, timing and pool were.
    :ivar pool: digest of the frozen pool of provers.
    """

    network: NetworkId
    round: Round
    sequencer: Account
    content: BlockContent
    fee_split: BasisPoints
    seed: Beacon
    pool: Digest

    @property
    def leaf_count(self) -> int:
        """Number of leaves of the proof tree."""
        return len(self.content.leaves)

    @property
    def fees(self) -> Amount:
        """Sum of the fees of all leaves."""
        return Amount(sum(leaf.fees for leaf in self.content.leaves))

    @property
    def to_root(self) -> Root:
        """Root after the whole block."""
        return self.content.leaves[-1].to_root

    def root_before(self, position: int) -> Root:
        """Root before the leaf at ``position``; at ``leaf_count`` it is the root after the
        block.
        """
        return self.content.leaves[position - 1].to_root if position else self.content.from_root


# --- identities and signatures ---


def backup_header(network: NetworkId, sender: Account, backup: BackupBlock) -> JobHeader:
    """The job of a backup block: nobody drew, nobody was elected, all fees go to its prover."""
    return JobHeader(
        network=network,
        round=backup.round,
        sequencer=sender,
        content=backup.content,
        fee_split=FULL_SHARE,
        seed=Beacon(bytes(32)),
        pool=NO_POOL,
    )


def job_id(header: JobHeader) -> JobId:
    """The job's identity: digest of its header."""
    return JobId(digest(b"provnet/job/1", encode(header)))


def block_hash(header: LogHeader) -> BlockHash:
    """The log block's identity: digest of its header, which binds its operations."""
    return BlockHash(digest(b"provnet/log-header/1", encode(header)))


def operations_digest(operations: tuple[SignedOperation, ...]) -> Digest:
    """Digest of a block's operations in order, signatures included."""
    return Digest(digest(b"provnet/operations/1", *(encode(one) for one in operations)))


def operation_hash(operation: Operation) -> OperationHash:
    """The operation's identity, without its signature: re-signing the same operation makes no
    new one.
    """
    return OperationHash(digest(b"provnet/operation-hash/1", encode(operation)))


def body_hash(body: bytes) -> BodyHash:
    """Name of bytes that travel by request."""
    return BodyHash(digest(b"provnet/body/1", body))


def commitment_digest(content: BlockContent, salt: Salt) -> Digest:
    """What a sequencer commits to: its content, hidden by ``salt``."""
    return Digest(digest(b"provnet/commitment/1", encode(content), salt))


def sign_operation(seed: bytes, network: NetworkId, operation: Operation) -> SignedOperation:
    """Sign with the sender's Ed25519 seed (32 bytes)."""
    signature = signing.sign(seed, Domain.OPERATION, network, encode(operation))
    return SignedOperation(operation, signature)


def sign_transfer(seed: bytes, network: NetworkId, transfer: Transfer) -> SignedTransfer:
    """Sign with the sender's Ed25519 seed (32 bytes)."""
    return SignedTransfer(transfer, signing.sign(seed, Domain.TRANSFER, network, encode(transfer)))


def sign_bid(seed: bytes, network: NetworkId, bid: Bid) -> SignedBid:
    """Sign with the prover's Ed25519 seed (32 bytes)."""
    return SignedBid(bid, signing.sign(seed, Domain.BID, network, encode(bid)))


def sign_vote(seed: bytes, network: NetworkId, vote: Vote) -> SignedVote:
    """Sign with the voter's Ed25519 seed (32 bytes)."""
    return SignedVote(vote, signing.sign(seed, Domain.LOG_VOTE, network, encode(vote)))


def sign_header(seed: bytes, network: NetworkId, header: LogHeader) -> SignedHeader:
    """Sign with the proposer's Ed25519 seed (32 bytes)."""
    return SignedHeader(header, signing.sign(seed, Domain.LOG_PROPOSAL, network, encode(header)))


def operation_is_signed(network: NetworkId, signed: SignedOperation) -> bool:
    """Whether the sender signed this operation for this network."""
    operation = signed.operation
    return signing.verify(
        operation.sender, Domain.OPERATION, network, encode(operation), signed.signature
    )


def transfer_is_signed(network: NetworkId, signed: SignedTransfer) -> bool:
    """Whether the sender signed this transfer for this network."""
    transfer = signed.transfer
    return signing.verify(
        transfer.sender, Domain.TRANSFER, network, encode(transfer), signed.signature
    )


def bid_is_signed(network: NetworkId, signed: SignedBid) -> bool:
    """Whether the prover signed this bid for this network."""
    bid = signed.bid
    return signing.verify(bid.prover, Domain.BID, network, encode(bid), signed.signature)


def vote_is_signed(network: NetworkId, signed: SignedVote) -> bool:
    """Whether the voter signed this vote for this network."""
    vote = signed.vote
    return signing.verify(vote.voter, Domain.LOG_VOTE, network, encode(vote), signed.signature)


def header_is_signed(network: NetworkId, signed: SignedHeader) -> bool:
    """Whether the proposer signed this header for this network."""
    header = signed.header
    return signing.verify(
        header.proposer, Domain.LOG_PROPOSAL, network, encode(header), signed.signature
    )


def certificate_votes(certificate: Certificate) -> tuple[SignedVote, ...]:
    """The votes that a certificate stands for."""
    return tuple(
        SignedVote(Vote(voter, certificate.slot, certificate.block), signature)
        for voter, signature in certificate.signatures
    )


def decode_body(payload: bytes) -> BlockBody:
    """A block body from its bytes. Raises :class:`~protocol.errors.Refused`."""
    body: BlockBody = decode(BlockBody, payload, size_max=BODY_BYTES_MAX)
    return body

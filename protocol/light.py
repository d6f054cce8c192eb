"""What a light client checks: one proof a block, and the certificates of the log.

Problem. Somebody who ran no node, and trusts none, wants to know that a rollup's blocks are right
and that what was paid for them follows from the log.

Rules.

- A *block* is its job's header, the prover of every tree node, and the root's proof. From these
  the claim of every tree node is computed, leaves first, and with it the statement of the root,
  which the proof must prove. So the proof binds each leaf's digest and fees, each prover, both
  roots and, through the job id, everything else in the header. A block names the job and the root
  that it builds on: checked in order from the genesis, blocks form one chain.
- A *log* is certified log blocks, checked from the genesis as one chain: signature, lot, place,
  operations and two certificates of each, its parent's in its header and its own. The first
  validators are those of the genesis; every header, hence every certificate, names those of the
  next epoch by their digest, and who they are is looked up among lists that nobody is trusted for.
  Final is what three notarised blocks of consecutive slots in it finalise, and the last block of an
  epoch under a block of the next one; nothing else.

Deviations. Light clients of Ethereum follow a sampled committee (ethereum/consensus-specs,
``sync-protocol``); here every certificate carries the whole quorum. That a header's state digest is
right is not checked: it takes the machine.

Properties. Pure. Of all bytes given, each is either bound or refused, so that whatever is changed
is found out. Without the log nobody learns that a block is the canonical one, or who was paid.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from protocol import tree, vrf
from protocol.beacon import log_alpha
from protocol.codec import decode, encode
from protocol.errors import Reason, Refused
from protocol.machine import FinalBlock, moment_of
from protocol.messages import (
    CertifiedBlock,
    JobHeader,
    LogBlock,
    LogHeader,
    block_hash,
    header_is_signed,
    job_id,
    operation_is_signed,
    operations_digest,
)
from protocol.ordering.certificates import Certificates
from protocol.ordering.chain import Link, genesis as genesis_anchor
from protocol.ordering.settings import Settings
from protocol.ordering.validators import Validator, Validators
from protocol.params import Genesis, network_id
from protocol.ports import LeafContent, MergeContent, ProverBackend, Statement
from protocol.sets import genesis_validators
from protocol.types import (
    Account,
    Claim,
    Count,
    Digest,
    Epoch,
    JobId,
    NetworkId,
    Root,
    Tick,
    TreeIndex,
)

DESCRIPTION_BYTES_MAX: Final = 64_000
"""Largest header with its provers, in bytes: 256 leaves, with room."""

_BLOCK_HEADING: Final = b"provnet/block-proof/1"
_LENGTH_BYTES: Final = 4


# --- bytes ---


def frame(heading: bytes, parts: Iterable[bytes]) -> bytes:
    """One byte string of parts, each preceded by its length in four big-endian bytes."""
    framed = bytearray(heading)
    for part in parts:
        framed += len(part).to_bytes(_LENGTH_BYTES, "big")
        framed += part
    return bytes(framed)


def read_frames(heading: bytes, framed: bytes) -> tuple[bytes, ...]:
    """The parts that :func:`frame` made ``framed`` of.

    :raises Refused: NOT_CANONICAL for another heading, and for bytes that are missing or left over.
    """
    if not framed.startswith(heading):
        raise Refused(Reason.NOT_CANONICAL, f"it does not begin with {heading.decode()}")
    parts, place = [], len(heading)
    while place < len(framed):
        start = place + _LENGTH_BYTES
        place = start + int.from_bytes(framed[place:start], "big")
        if max(start, place) > len(framed):
            raise Refused(Reason.NOT_CANONICAL, "the bytes end too early")
        parts.append(framed[start:place])
    return tuple(parts)


# --- blocks ---


@dataclass(frozen=True, slots=True)
class _Description:
    header: JobHeader
    provers: tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class BlockProof:
    """A rollup block as a light client sees it.

    :ivar provers: who proved each tree node, in the order of :func:`protocol.tree.indices`.
    :ivar proof: the bytes of the root's proof.
    """

    header: JobHeader
    provers: tuple[Account, ...]
    proof: bytes

    def to_bytes(self) -> bytes:
        """The one byte string that :meth:`read` accepts for this value."""
        description = encode(_Description(self.header, self.provers))
        return frame(_BLOCK_HEADING, (description, self.proof))

    @classmethod
    def read(cls, payload: bytes) -> BlockProof:
        """The block that ``payload`` encodes.

        :raises Refused: for any other bytes, with the reasons of :func:`read_frames` and
            :func:`protocol.codec.decode`.
        """
        parts = read_frames(_BLOCK_HEADING, payload)
        if len(parts) != 2:
            raise Refused(Reason.NOT_CANONICAL, f"{len(parts)} parts, not 2")
        description: _Description = decode(_Description, parts[0], size_max=DESCRIPTION_BYTES_MAX)
        return cls(description.header, description.provers, parts[1])


def check_block(
    network: NetworkId, backend: ProverBackend, previous: JobId, from_root: Root, block: BlockProof
) -> JobId:
    """Check the block that follows the job ``previous`` and the root after it.

    :param previous: the job before, :data:`protocol.messages.NO_JOB` for the first block.
    :returns: the block's job; the root after it is ``block.header.to_root``.
    :raises Refused: WRONG_NETWORK, WRONG_PARENT, WRONG_STATE_BEFORE, WRONG_LEAF_COUNT,
        WRONG_PROVER_COUNT, or INVALID_PROOF with the backend's word.
    """
    header = block.header
    _demand(header.network == network, Reason.WRONG_NETWORK)
    _demand(header.content.parent == previous, Reason.WRONG_PARENT)
    _demand(header.content.from_root == from_root, Reason.WRONG_STATE_BEFORE)
    _demand(tree.is_leaf_count(header.leaf_count), Reason.WRONG_LEAF_COUNT)
    _demand(len(block.provers) == 2 * header.leaf_count - 1, Reason.WRONG_PROVER_COUNT)
    word = backend.verify(root_statement(backend, block), block.proof)
    _demand(word is None, Reason.INVALID_PROOF, word or "")
    return job_id(header)


def root_statement(backend: ProverBackend, block: BlockProof) -> Statement:
    """What the root's proof must prove, from the block's leaves and provers alone.

    :param block: with a leaf count and as many provers as a tree has.
    :raises Refused: INVALID_PROOF when a leaf's digest is none, so that no proof can show it.
    """
    claims: dict[TreeIndex, Claim] = {}
    root, prover = tree.root(block.header.leaf_count), block.provers[-1]
    for index, owner in zip(tree.indices(block.header.leaf_count), block.provers, strict=True):
        content = _content(block.header, index, claims)
        claims[index] = _claim(backend, owner, index, content)
    first, end = tree.span(root)
    return Statement(
        job=job_id(block.header),
        index=root,
        prover=prover,
        first=first,
        end=end,
        from_root=block.header.content.from_root,
        to_root=block.header.to_root,
        claim=claims[root],
        content=_content(block.header, root, claims),
    )


def _content(
    header: JobHeader, index: TreeIndex, claims: dict[TreeIndex, Claim]
) -> LeafContent | MergeContent:
    if index.level:
        left, right = tree.children(index)
        return MergeContent(claims[left], claims[right])
    leaf = header.content.leaves[index.position]
    return LeafContent(leaf.digest, leaf.fees)


def _claim(
    backend: ProverBackend, prover: Account, index: TreeIndex, content: LeafContent | MergeContent
) -> Claim:
    try:
        if isinstance(content, LeafContent):
            return backend.leaf_claim(prover, Count(index.position), content)
        return backend.merge_claim(prover, content)
    except ValueError as failure:
        raise Refused(Reason.INVALID_PROOF, f"leaf {index}: {failure}") from None


def _demand(condition: bool, reason: Reason, detail: str = "") -> None:
    if not condition:
        raise Refused(reason, detail)


# --- the log ---


def check_log(
    genesis: Genesis,
    certified: Iterable[CertifiedBlock],
    sets: Iterable[tuple[Validator, ...]] = (),
) -> tuple[FinalBlock, ...]:
    """The final blocks of a log that begins at the genesis.

    :param certified: one chain, lowest first. Its last blocks may serve only to show that others
        are final: those are not returned.
    :param sets: the members of every set of validators but the first, in any order; what is not
        named by a header is not looked at.
    :raises Refused: BROKEN_CHAIN, WRONG_HEIGHT, WRONG_SLOT, BAD_SIGNATURE, NOT_A_VALIDATOR,
        BAD_VRF_PROOF, WRONG_OPERATIONS, BAD_CERTIFICATE, PAST_EPOCH, LATER_EPOCH,
        WRONG_SUCCESSORS, BEYOND_BORDER or UNKNOWN_SET, with the height.
    """
    reader = _LogReader(genesis, sets)
    found = [reader.read(one) for one in certified]
    return tuple(one for one in found if one.moment.tick <= reader.final)


def members_of(sets: Iterable[Iterable[Validator]]) -> dict[Digest, Validators]:
    """Sets of validators by their digests; lists that are none are left out."""
    found = {}
    for members in sets:
        with suppress(ValueError):
            one = Validators(members)
            found[one.digest] = one
    return found


class _LogReader:
    """Checks one block after the other; ``link`` is the place of the last one."""

    def __init__(self, genesis: Genesis, sets: Iterable[tuple[Validator, ...]]) -> None:
        parameters = genesis.network
        self._network = network_id(genesis)
        self._settings = Settings(
            self._network, parameters.genesis_time_ms, parameters.slot_ms, parameters.epoch_ticks
        )
        self._validators = genesis_validators(genesis)
        self._sets = members_of((*sets, self._validators.members))
        self._certificates = self._root_certificates = self._checker()
        self._epoch = Epoch(0)
        self._successors = self._validators.digest
        self.link = genesis_anchor(self._settings).link

    @property
    def final(self) -> Tick:
        """The height that is shown to be final."""
        return Tick(min(self.link.settles, self._border))

    @property
    def _border(self) -> int:
        return (self._epoch + 1) * self._settings.epoch_ticks

    def _checker(self) -> Certificates:
        return Certificates(self._network, self._validators, lambda _vote: False)

    def _check_epoch(self, block: LogBlock) -> None:
        """Of the epoch of the block before, or the first of the next one."""
        header = block.header
        if header.epoch == self._epoch + 1 and self.link.height == self._border:
            self._begin_epoch(header)
        _demand(header.epoch >= self._epoch, Reason.PAST_EPOCH)
        _demand(header.epoch == self._epoch, Reason.LATER_EPOCH)
        _demand(header.successors == self._successors, Reason.WRONG_SUCCESSORS)
        is_empty = header.operations == operations_digest(())
        _demand(is_empty or header.height <= self._border, Reason.BEYOND_BORDER)

    def _begin_epoch(self, header: LogHeader) -> None:
        if self._successors not in self._sets:
            raise Refused(Reason.UNKNOWN_SET, self._successors.hex())
        self._validators = self._sets[self._successors]
        self._root_certificates, self._certificates = self._certificates, self._checker()
        self._epoch, self._successors = header.epoch, header.successors
        self.link = self.link.rooted

    def read(self, certified: CertifiedBlock) -> FinalBlock:
        """Check the next block. Raises Refused."""
        height = self.link.height + 1
        try:
            block = certified.block
            self._check_place(block)
            self._check_epoch(block)
            self._check_parent(block)
            self._check_content(block)
            self.link = self._extended(certified.block)
            self._check_own(certified)
        except Refused as refusal:
            detail = f"at height {height} {refusal.detail}".rstrip()
            raise Refused(refusal.reason, detail) from None
        moment = moment_of(certified.block.header, self.link)
        return FinalBlock(moment, certified.block.operations)

    def _check_place(self, block: LogBlock) -> None:
        header, link = block.header, self.link
        _demand(header.parent == link.block, Reason.BROKEN_CHAIN)
        _demand(header.height == link.height + 1, Reason.WRONG_HEIGHT)
        _demand(header.slot > link.slot, Reason.WRONG_SLOT)

    def _check_parent(self, block: LogBlock) -> None:
        """The header's certificate is its parent's; the genesis has none."""
        certificate, link = block.header.certificate, self.link
        if link.height == 0:
            _demand(certificate is None, Reason.BAD_CERTIFICATE, "the genesis has none")
            return
        is_root = block.header.height == self._epoch * self._settings.epoch_ticks + 1
        certificates = self._root_certificates if is_root else self._certificates
        good = certificates.check(certificate, link.block)
        _demand(good.slot == link.slot, Reason.BAD_CERTIFICATE, "for another slot")

    def _check_content(self, block: LogBlock) -> None:
        header = block.header
        _demand(
            header_is_signed(self._network, block.signed), Reason.BAD_SIGNATURE, "of the header"
        )
        _demand(operations_digest(block.operations) == header.operations, Reason.WRONG_OPERATIONS)
        signed = all(operation_is_signed(self._network, one) for one in block.operations)
        _demand(signed, Reason.BAD_SIGNATURE, "of an operation")

    def _extended(self, block: LogBlock) -> Link:
        """The block's place, if its proposer is a validator and shows its lot."""
        header, link = block.header, self.link
        validator = self._validators.get(header.proposer)
        if validator is None:
            raise Refused(Reason.NOT_A_VALIDATOR, header.proposer.hex())
        alpha = log_alpha(link.seed_of_child(self._settings), header.slot)
        output = vrf.verify(validator.vrf_key, alpha, header.vrf_proof)
        if output is None:
            raise Refused(Reason.BAD_VRF_PROOF)
        return link.child(block_hash(header), header.slot, output, self._settings)

    def _check_own(self, certified: CertifiedBlock) -> None:
        good = self._certificates.check(certified.certificate, self.link.block)
        _demand(good.slot == self.link.slot, Reason.BAD_CERTIFICATE, "for another slot")

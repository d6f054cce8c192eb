"""The light client's framing, and each of its refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from protocol import tree, vrf
from protocol.beacon import log_alpha
from protocol.errors import Reason, Refused
from protocol.light import (
    BlockProof,
    check_block,
    check_log,
    frame,
    read_frames,
    root_statement,
)
from protocol.messages import (
    NO_JOB,
    BlockContent,
    Certificate,
    CertifiedBlock,
    Intent,
    JobHeader,
    LeafHeader,
    LogBlock,
    LogHeader,
    Operation,
    Vote,
    block_hash,
    job_id,
    operations_digest,
    sign_header,
    sign_operation,
    sign_vote,
)
from protocol.ordering.chain import Link, genesis as genesis_anchor
from protocol.ordering.settings import Settings
from protocol.ordering.validators import Validator, Validators
from protocol.params import network_id
from protocol.testing import Scenario, actor
from protocol.testing.cast import SEQUENCERS, Actor, draw_lot
from protocol.types import (
    Account,
    Amount,
    BasisPoints,
    Beacon,
    BodyHash,
    Count,
    Digest,
    Epoch,
    JobId,
    NetworkId,
    Nonce,
    Root,
    Round,
    Slot,
    Stake,
    Tick,
    TransferDigest,
)
from prover.modelled import Attested, ModelledBackend

NETWORK = NetworkId(b"n" * 32)
START = Root(b"s" * 32)
BACKEND = ModelledBackend()


def made(leaf_count: int, **fields: Any) -> BlockProof:
    """A block whose attestation fits it."""
    leaves = tuple(
        LeafHeader(TransferDigest(bytes([at]) * 32), Amount(at), Root(bytes([at ^ 1]) * 32))
        for at in range(leaf_count)
    )
    header = JobHeader(
        network=NETWORK,
        round=Round(0),
        sequencer=Account(b"q" * 32),
        content=BlockContent(NO_JOB, START, leaves, BodyHash(b"b" * 32)),
        fee_split=BasisPoints(5_000),
        seed=Beacon(b"e" * 32),
        pool=Digest(b"p" * 32),
    )
    provers = tuple(
        Account(bytes([one.level, one.position]) * 16) for one in tree.indices(leaf_count)
    )
    block = BlockProof(replace(header, **fields), provers, b"")
    if leaf_count not in (1, 2, 4):
        return block
    return attested(block)


def attested(block: BlockProof) -> BlockProof:
    one = root_statement(BACKEND, block)
    is_merge = one.index.level > 0
    proof = Attested(
        is_merge, one.first, one.end, one.job, one.prover, one.from_root, one.to_root, one.claim
    )
    return replace(block, proof=proof.to_bytes(BACKEND.proof_bytes))


def refusal(action: Callable[..., Any], *arguments: Any) -> Reason:
    with pytest.raises(Refused) as caught:
        action(*arguments)
    return caught.value.reason


# --- bytes ---


def test_framing() -> None:
    parts = (b"", b"a", b"b" * 300)
    assert read_frames(b"head", frame(b"head", parts)) == parts
    assert read_frames(b"head", b"head") == ()


@pytest.mark.parametrize(
    "framed",
    [b"", b"hea", b"tail", b"head\0", b"head\0\0\0\1", b"head\0\0\0\0\0", b"head\xff\xff\xff\xffa"],
)
def test_bytes_that_are_no_frames(framed: bytes) -> None:
    assert refusal(read_frames, b"head", framed) is Reason.NOT_CANONICAL


@pytest.mark.parametrize("leaf_count", [1, 2, 4])
def test_a_block_is_read_back(leaf_count: int) -> None:
    block = made(leaf_count)
    assert BlockProof.read(block.to_bytes()) == block


def test_the_largest_block_fits() -> None:
    block = replace(made(256), proof=bytes(133_000))
    assert BlockProof.read(block.to_bytes()) == block


def test_block_bytes_cut_or_extended() -> None:
    payload = made(2).to_bytes()
    for end in range(0, len(payload), 11):
        assert refusal(BlockProof.read, payload[:end]) is Reason.NOT_CANONICAL
    for more in (b"\0", frame(b"", (b"",))):
        assert refusal(BlockProof.read, payload + more) is Reason.NOT_CANONICAL


# --- blocks ---


@pytest.mark.parametrize("leaf_count", [1, 2, 4])
def test_a_right_block(leaf_count: int) -> None:
    block = made(leaf_count)
    assert check_block(NETWORK, BACKEND, NO_JOB, START, block) == job_id(block.header)


def test_what_a_block_builds_on() -> None:
    block = made(2)
    assert refusal(check_block, b"x" * 32, BACKEND, NO_JOB, START, block) is Reason.WRONG_NETWORK
    other = JobId(b"j" * 32)
    assert refusal(check_block, NETWORK, BACKEND, other, START, block) is Reason.WRONG_PARENT
    reason = refusal(check_block, NETWORK, BACKEND, NO_JOB, Root(bytes(32)), block)
    assert reason is Reason.WRONG_STATE_BEFORE


@pytest.mark.parametrize("leaf_count", [0, 3])
def test_no_tree(leaf_count: int) -> None:
    block = made(leaf_count)
    assert refusal(check_block, NETWORK, BACKEND, NO_JOB, START, block) is Reason.WRONG_LEAF_COUNT


def test_a_prover_too_few_or_too_many() -> None:
    block = made(2)
    for provers in (block.provers[1:], (*block.provers, block.provers[0])):
        wrong = replace(block, provers=provers)
        reason = refusal(check_block, NETWORK, BACKEND, NO_JOB, START, wrong)
        assert reason is Reason.WRONG_PROVER_COUNT


def test_a_proof_of_another_block() -> None:
    block = replace(made(2), proof=made(2, round=Round(1)).proof)
    assert refusal(check_block, NETWORK, BACKEND, NO_JOB, START, block) is Reason.INVALID_PROOF


def test_a_digest_that_no_proof_can_show() -> None:
    class Picky(ModelledBackend):
        def leaf_claim(self, *_: Any) -> Any:
            raise ValueError("not canonical")

    assert refusal(check_block, NETWORK, Picky(), NO_JOB, START, made(2)) is Reason.INVALID_PROOF


# --- the log ---

GENESIS = Scenario().genesis()
LOG_NETWORK = network_id(GENESIS)
SETTINGS = Settings(
    LOG_NETWORK,
    GENESIS.network.genesis_time_ms,
    GENESIS.network.slot_ms,
    GENESIS.network.epoch_ticks,
)
VOTERS = tuple(sorted((actor(name) for name in SEQUENCERS), key=lambda one: one.account))


def certificate(header: LogHeader, slot: int | None = None, voters: Any = VOTERS) -> Certificate:
    at, name = Slot(header.slot if slot is None else slot), block_hash(header)
    signatures = tuple(
        (one.account, sign_vote(one.seed, LOG_NETWORK, Vote(one.account, at, name)).signature)
        for one in voters
    )
    return Certificate(at, name, signatures)


GENESIS_SET = tuple(Validator(one.account, Stake(5), one.vrf_key) for one in VOTERS)
OTHERS = tuple(sorted((actor(name) for name in ("p0", "p1")), key=lambda one: one.account))
OTHER_SET = tuple(Validator(one.account, Stake(7), one.vrf_key) for one in OTHERS)


class Chain:
    """A log in the making; from epoch ``changes`` on the others order it."""

    def __init__(self, changes: int = 99) -> None:
        self.link: Link = genesis_anchor(SETTINGS).link
        self.blocks: list[CertifiedBlock] = []
        self.epoch, self.changes = 0, changes

    def voters(self, epoch: int) -> tuple[Actor, ...]:
        return OTHERS if epoch >= self.changes else VOTERS

    def successors(self) -> Digest:
        return Validators(OTHER_SET if self.epoch + 1 >= self.changes else GENESIS_SET).digest

    def begin_epoch(self) -> None:
        """The next block is of the next epoch, if the last one is of the last height of this."""
        if self.link.height == (self.epoch + 1) * SETTINGS.epoch_ticks:
            self.epoch, self.link = self.epoch + 1, self.link.rooted

    def header(self, slot: int, proposer: Actor = VOTERS[0], **fields: Any) -> LogHeader:
        alpha = log_alpha(self.link.seed_of_child(SETTINGS), Slot(slot))
        proof, _ = draw_lot(proposer.name, alpha)
        header = LogHeader(
            slot=Slot(slot),
            epoch=Epoch(self.epoch),
            height=Tick(self.link.height + 1),
            parent=self.link.block,
            certificate=self.blocks[-1].certificate if self.blocks else None,
            proposer=proposer.account,
            vrf_proof=proof,
            operations=operations_digest(()),
            state=Digest(bytes(32)),
            successors=self.successors(),
        )
        return replace(header, **fields)

    def grow(self, *slots: int) -> Chain:
        for slot in slots:
            self.begin_epoch()
            voters = self.voters(self.epoch)
            header = self.header(slot, voters[0])
            signed = sign_header(voters[0].seed, LOG_NETWORK, header)
            shown = certificate(header, voters=voters)
            self.blocks.append(CertifiedBlock(LogBlock(signed, ()), shown))
            alpha = log_alpha(self.link.seed_of_child(SETTINGS), Slot(slot))
            output = vrf.verify(voters[0].vrf_key, alpha, header.vrf_proof)
            assert output is not None
            self.link = self.link.child(block_hash(header), Slot(slot), output, SETTINGS)
        return self

    def with_block(self, header: LogHeader, *operations: Any, signer: Actor = VOTERS[0]) -> Any:
        signed = sign_header(signer.seed, LOG_NETWORK, header)
        return [*self.blocks, CertifiedBlock(LogBlock(signed, operations), certificate(header))]


@pytest.mark.parametrize(
    ("slots", "final"),
    [
        ((), 0),
        ((1,), 0),
        ((1, 2), 1),
        ((1, 2, 3), 2),
        ((2, 3), 0),
        ((2, 3, 4), 2),
        ((1, 2, 4, 5), 1),
        ((1, 3, 4, 5, 9), 3),
    ],
)
def test_what_a_log_shows_to_be_final(slots: tuple[int, ...], final: int) -> None:
    blocks = check_log(GENESIS, Chain().grow(*slots).blocks)
    assert [one.moment.tick for one in blocks] == list(range(1, final + 1))
    assert [one.moment.slot for one in blocks] == list(slots[:final])


def test_a_long_log_crosses_epochs() -> None:
    chain = Chain().grow(*range(1, 4 * GENESIS.network.epoch_ticks))
    blocks = check_log(GENESIS, chain.blocks)
    assert len(blocks) == len(chain.blocks) - 1
    assert len({one.moment.beacon for one in blocks}) == len(blocks)
    assert blocks[5].moment.settled == 4
    assert blocks[5].moment.proposer == VOTERS[0].account


@pytest.mark.parametrize("gap", [1, 7])
def test_a_log_is_followed_to_other_validators(gap: int) -> None:
    """The first block of theirs shows that the last one of the old ones is final."""
    ticks = 2 * SETTINGS.epoch_ticks
    chain = Chain(changes=2).grow(*range(1, ticks + 1))
    assert len(check_log(GENESIS, chain.blocks)) == ticks - 1
    chain.grow(ticks + gap)
    assert len(check_log(GENESIS, chain.blocks, [GENESIS_SET, OTHER_SET])) == ticks
    chain.grow(ticks + gap + 1, ticks + gap + 2)
    blocks = check_log(GENESIS, chain.blocks, [OTHER_SET])
    assert len(blocks) == ticks + 2
    assert blocks[ticks].moment.settled == ticks
    assert blocks[ticks].moment.proposer == OTHERS[0].account
    assert blocks[ticks].moment.voters == tuple(one.account for one in VOTERS)
    for sets in ([], [GENESIS_SET], [OTHER_SET[:1]], [()], [(*OTHER_SET, OTHER_SET[0])]):
        with pytest.raises(Refused) as caught:
            check_log(GENESIS, chain.blocks, sets)
        assert caught.value.reason is Reason.UNKNOWN_SET


def test_epochs_change_at_their_border_and_nowhere_else() -> None:
    ticks = SETTINGS.epoch_ticks
    chain = Chain().grow(1)
    header = replace(chain.header(2), epoch=Epoch(1))
    assert log_refusal(chain.with_block(header)) is Reason.LATER_EPOCH
    header = replace(chain.header(2), successors=Digest(bytes(32)))
    assert log_refusal(chain.with_block(header)) is Reason.WRONG_SUCCESSORS
    chain = Chain().grow(*range(1, ticks + 1))
    above = chain.header(ticks + 1)
    assert len(check_log(GENESIS, chain.with_block(above))) == ticks
    who = actor("outsider")
    operation = Operation(who.account, Nonce(1), Tick(3), Intent(Count(1), Tick(3)))
    signed = sign_operation(who.seed, LOG_NETWORK, operation)
    full = replace(above, operations=operations_digest((signed,)))
    assert log_refusal(chain.with_block(full, signed)) is Reason.BEYOND_BORDER
    chain.grow(ticks + 1)
    late = replace(chain.header(ticks + 2), epoch=Epoch(0))
    assert log_refusal(chain.with_block(late)) is Reason.PAST_EPOCH


def log_refusal(blocks: list[CertifiedBlock]) -> Reason:
    with pytest.raises(Refused, match=f"at height {len(blocks)}") as caught:
        check_log(GENESIS, blocks)
    return caught.value.reason


def test_places() -> None:
    chain = Chain().grow(1, 2)
    wrong = [
        ({"parent": bytes(32)}, Reason.BROKEN_CHAIN),
        ({"height": Tick(4)}, Reason.WRONG_HEIGHT),
        ({"slot": Slot(2)}, Reason.WRONG_SLOT),
        ({"operations": Digest(bytes(32))}, Reason.WRONG_OPERATIONS),
        ({"proposer": actor("outsider").account}, Reason.BAD_SIGNATURE),
        ({"vrf_proof": bytes(80)}, Reason.BAD_VRF_PROOF),
    ]
    for fields, reason in wrong:
        assert log_refusal(chain.with_block(replace(chain.header(3), **fields))) is reason


def test_a_proposer_without_stake() -> None:
    chain, outsider = Chain().grow(1), actor("outsider")
    header = chain.header(2, outsider)
    assert log_refusal(chain.with_block(header, signer=outsider)) is Reason.NOT_A_VALIDATOR


def test_operations_are_signed() -> None:
    chain = Chain().grow(1)
    who = actor("outsider")
    operation = Operation(who.account, Nonce(1), Tick(3), Intent(Count(1), Tick(3)))
    good = sign_operation(who.seed, LOG_NETWORK, operation)
    bad = sign_operation(VOTERS[0].seed, LOG_NETWORK, operation)
    for signed in (good, bad):
        header = chain.header(2, operations=operations_digest((signed,)))
        blocks = chain.with_block(header, signed)
        if signed is good:
            assert check_log(GENESIS, blocks)
        else:
            assert log_refusal(blocks) is Reason.BAD_SIGNATURE


def test_certificates() -> None:
    chain = Chain().grow(1, 2)
    *before, last = chain.blocks
    header = last.block.header
    for wrong in (
        certificate(header, voters=VOTERS[1:]),
        certificate(header, slot=3),
        certificate(before[0].block.header),
        replace(certificate(header), slot=Slot(3)),
    ):
        assert log_refusal([*before, replace(last, certificate=wrong)]) is Reason.BAD_CERTIFICATE


def test_certificates_in_headers() -> None:
    first = Chain().grow(1).blocks[0]
    root = Chain()
    header = root.header(1, certificate=first.certificate)
    assert log_refusal(root.with_block(header)) is Reason.BAD_CERTIFICATE
    chain = Chain().grow(1)
    for wrong in (None, certificate(first.block.header, slot=2)):
        blocks = chain.with_block(chain.header(3, certificate=wrong))
        assert log_refusal(blocks) is Reason.BAD_CERTIFICATE

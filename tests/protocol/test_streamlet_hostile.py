"""Hostile messages: each is refused for its own reason, and refused before it changed anything."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings as budget, strategies as st

from protocol import signing
from protocol.errors import Reason, Refused
from protocol.messages import (
    Certificate,
    CertifiedBlock,
    LogBlock,
    Vote,
    block_hash,
    sign_vote,
)
from protocol.ordering.certificates import REMEMBERED_MAX, Certificates
from protocol.ordering.streamlet import SLOTS_KEPT
from tests.protocol.streamlet_bench import Bench, at
from tests.protocol.streamlet_network import NETWORK, identity, quick_cryptography, vote_for


@pytest.fixture(autouse=True)
def _quick():
    with quick_cryptography():
        yield


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def engine(bench):
    """Knows notarised blocks in slots 1, 3 and 4; nothing is final."""
    engine = bench.engine(3)
    bench.feed(engine, 1, 3, 4)
    return engine


def shape(engine):
    """Everything that a refused message must leave alone."""
    return (
        engine.tip,
        engine.anchor,
        [(entry.block, entry.certificate) for entry in engine._forks],
        list(engine._orphans),
        engine.missing(),
        [list(engine._votes.of_slot(slot)) for slot in engine._votes.slots()],
    )


def refusal(engine, hand_in, message, now):
    engine.on_time(now)
    before = shape(engine)
    with pytest.raises(Refused) as refused:
        hand_in(message, now)
    assert shape(engine) == before
    return refused.value.reason


def vote_for_slot(who, slot, block):
    return sign_vote(who.signing_seed, NETWORK, Vote(who.account, slot, block))


def certificate_of(votes):
    signatures = sorted((one.vote.voter, one.signature) for one in votes)
    return Certificate(votes[0].vote.slot, votes[0].vote.block, tuple(signatures))


def good(bench, slot=5, by=0):
    return bench.block(bench.chain(1, 3, 4)[-1], slot, by)


# proposals


def test_a_good_proposal_is_taken(bench, engine):
    engine.on_block(good(bench), at(5))
    assert len(engine.ballot(5)) == 1


def test_a_proposal_of_somebody_without_stake(bench, engine):
    block = bench.altered(good(bench), proposer=identity(9).account)
    assert refusal(engine, engine.on_block, block, at(5)) is Reason.NOT_A_VALIDATOR


def test_a_proposal_from_the_future(bench, engine):
    block = good(bench, 5)
    assert refusal(engine, engine.on_block, block, at(4, 499)) is Reason.FUTURE_SLOT
    engine.on_block(block, at(4, 500))
    assert len(engine.ballot(5)) == 1


def test_a_proposal_that_only_a_certificate_could_save(bench, engine):
    block = good(bench, 5)
    late = at(6 + SLOTS_KEPT)
    assert refusal(engine, engine.on_block, block, late) is Reason.PAST_SLOT
    assert engine.on_certified(bench.certified(block), late) != ()
    in_time = bench.engine(3)
    bench.feed(in_time, 1, 3, 4)
    assert in_time.on_block(block, late - 1000) == ()


def test_a_proposal_with_other_operations_than_its_header_names(bench, engine):
    block = bench.altered(good(bench), operations=bytes(32))
    assert refusal(engine, engine.on_block, block, at(5)) is Reason.WRONG_OPERATIONS
    certified = bench.certified(block)
    with pytest.raises(Refused) as refused:
        engine.on_certified(certified, at(5))
    assert refused.value.reason is Reason.WRONG_OPERATIONS


@pytest.mark.parametrize("height", [3, 5, 6, 2**48 - 1])
def test_a_proposal_of_a_wrong_height(bench, engine, height):
    block = bench.altered(good(bench), height=height)
    assert refusal(engine, engine.on_block, block, at(5)) is Reason.WRONG_HEIGHT


@pytest.mark.parametrize("slot", [3, 4])
def test_a_proposal_of_a_slot_not_after_its_parents(bench, engine, slot):
    block = good(bench, slot, by=1)
    assert refusal(engine, engine.on_block, block, at(5)) is Reason.WRONG_SLOT


def test_a_proposal_with_anothers_lot(bench, engine):
    block = good(bench)
    for proof in (good(bench, by=1), good(bench, slot=6)):
        stolen = bench.altered(block, vrf_proof=proof.header.vrf_proof)
        fresh = bench.engine(3)
        bench.feed(fresh, 1, 3, 4)
        assert refusal(fresh, fresh.on_block, stolen, at(5)) is Reason.BAD_VRF_PROOF


def test_a_lot_drawn_with_the_seed_of_another_epoch():
    bench = Bench(epoch_ticks=2)
    chain = bench.chain(1, 2, 3, 4, 5, 6, 8)
    engine = bench.engine(3)
    for certified in bench.blocks(1, 2, 3, 4, 5, 6, 8):
        engine, _ = bench.take(engine, certified, at(8, 999))
    fresh, stale = (bench.block(parent, 9).header.vrf_proof for parent in (chain[6], chain[4]))
    assert fresh != stale
    block = bench.altered(bench.block(chain[6], 9), vrf_proof=stale)
    assert refusal(engine, engine.on_block, block, at(9)) is Reason.BAD_VRF_PROOF


def test_a_proposal_beside_the_final_chain(bench):
    engine = bench.engine(3)
    bench.feed(engine, 2, 3, 4)
    fork = bench.block(bench.chain(1, label="fork")[-1], 5)
    for block in (fork, bench.altered(fork, height=3), bench.block(bench.genesis, 5, by=1)):
        fresh = bench.engine(3)
        bench.feed(fresh, 2, 3, 4)
        assert refusal(fresh, fresh.on_block, block, at(5)) is Reason.OFF_FINAL_CHAIN
        certified = bench.certified(block)
        assert refusal(engine, engine.on_certified, certified, at(5)) is Reason.OFF_FINAL_CHAIN


def test_a_proposal_without_the_certificate_of_its_parent(bench, engine):
    other = bench.chain(1)[-1].certificate
    for certificate in (None, other):
        block = bench.altered(good(bench), certificate=certificate)
        fresh = bench.engine(3)
        bench.feed(fresh, 1, 3, 4)
        assert refusal(fresh, fresh.on_block, block, at(5)) is Reason.BAD_CERTIFICATE


def test_a_proposal_with_a_certificate_of_the_genesis(bench):
    """Even one that everybody signed."""
    engine, name = bench.engine(3), bench.settings.genesis_hash
    certificate = certificate_of([vote_for_slot(who, 0, name) for who in bench.identities])
    block = bench.altered(bench.block(bench.genesis, 1), certificate=certificate)
    assert refusal(engine, engine.on_block, block, at(1)) is Reason.BAD_CERTIFICATE


def test_a_certificate_of_another_slot_than_its_block(bench, engine):
    """Votes that name the block with a wrong slot: only its own slot counts."""
    block = good(bench)
    name = block_hash(block.header)
    certificate = certificate_of([vote_for_slot(who, 6, name) for who in bench.identities])
    with pytest.raises(Refused) as refused:
        engine.on_certified(CertifiedBlock(block, certificate), at(6))
    assert refused.value.reason is Reason.BAD_CERTIFICATE
    engine.on_block(block, at(6))
    child = bench.altered(
        bench.block(bench.anchor(bench.chain(1, 3, 4)[-1], block), 7, by=1),
        by=1,
        certificate=certificate,
    )
    with pytest.raises(Refused) as refused:
        engine.on_block(child, at(7))
    assert refused.value.reason is Reason.BAD_CERTIFICATE
    assert engine.tip.link.slot == 4


def test_an_orphan_without_a_good_certificate_does_not_wait(bench, engine):
    unknown = bench.chain(1, 3, 4, 5)[-1]
    block = bench.block(unknown, 6)
    thin = replace(unknown.certificate, signatures=unknown.certificate.signatures[:2])
    for certificate in (None, thin):
        bad = bench.altered(block, certificate=certificate)
        fresh = bench.engine(3)
        bench.feed(fresh, 1, 3, 4)
        assert refusal(fresh, fresh.on_block, bad, at(6)) is Reason.BAD_CERTIFICATE
    engine.on_block(block, at(6))
    assert len(engine.missing()) == 1


# votes


def test_a_vote_of_somebody_without_stake(bench, engine):
    vote = vote_for(identity(9), good(bench).header)
    assert refusal(engine, engine.on_vote, vote, at(5)) is Reason.NOT_A_VALIDATOR


def test_a_vote_from_the_future(bench, engine):
    [vote] = bench.votes(good(bench, 5), 0)
    assert refusal(engine, engine.on_vote, vote, at(4, 499)) is Reason.FUTURE_SLOT
    engine.on_vote(vote, at(4, 500))


def test_a_vote_of_a_slot_long_past(bench, engine):
    [vote] = bench.votes(good(bench, 5), 0)
    assert refusal(engine, engine.on_vote, vote, at(6 + SLOTS_KEPT)) is Reason.PAST_SLOT
    fresh = bench.engine(3)
    fresh.on_vote(vote, at(5 + SLOTS_KEPT, 999))


def test_a_vote_that_names_a_block_of_another_slot(bench, engine):
    block = good(bench, 5)
    engine.on_block(block, at(5))
    vote = vote_for_slot(bench.identities[0], 6, block_hash(block.header))
    assert refusal(engine, engine.on_vote, vote, at(6)) is Reason.WRONG_SLOT


def test_votes_for_a_slot_that_is_not_the_blocks_do_not_notarise_it_when_it_comes(bench, engine):
    block = good(bench, 5)
    for who in bench.identities:
        engine.on_vote(vote_for_slot(who, 6, block_hash(block.header)), at(6))
    assert engine.on_block(block, at(6)) == ()
    assert engine.tip.link.slot == 4


# certificates


def test_certificates_that_prove_nothing(bench):
    block, other = (bench.block(bench.genesis, 1, by=number) for number in range(2))
    right = bench.certificate(block, 0, 1, 2)
    signatures = right.signatures
    wrong = {
        "of another block": bench.certificate(other, 0, 1, 2),
        "of nobody": replace(right, signatures=()),
        "of too few": bench.certificate(block, 0, 1),
        "with a voter twice": replace(right, signatures=(signatures[0], *signatures)),
        "unsorted": replace(right, signatures=signatures[::-1]),
        "with a stranger": certificate_of(
            [*bench.votes(block, 0, 1, 2), vote_for(identity(9), block.header)]
        ),
        "with votes for another block": replace(
            bench.certificate(other, 0, 1, 2), block=right.block
        ),
        "with a bad signature too many": replace(
            bench.certificate(block, 0, 1, 2, 3),
            signatures=tuple(
                (account, signature if place else bytes(64))
                for place, (account, signature) in enumerate(
                    bench.certificate(block, 0, 1, 2, 3).signatures
                )
            ),
        ),
    }
    for name, certificate in wrong.items():
        engine = bench.engine()
        certified = CertifiedBlock(block, certificate)
        reason = refusal(engine, engine.on_certified, certified, at(1))
        assert reason is Reason.BAD_CERTIFICATE, name


@st.composite
def certificate_shapes(draw):
    count = draw(st.integers(1, 6))
    stakes = tuple(draw(st.lists(st.integers(1, 9), min_size=count, max_size=count)))
    voters = draw(st.lists(st.integers(0, count), max_size=count + 2))
    if draw(st.booleans()):
        voters = sorted(set(voters))
    forged = draw(st.none() | st.integers(0, max(0, len(voters) - 1)))
    return stakes, voters, forged


@budget(deadline=None)
@given(certificate_shapes())
def test_a_certificate_is_good_iff_sorted_heavy_enough_and_signed(case):
    """Whoever has no stake is number ``len(stakes)``."""
    stakes, places, forged = case
    with quick_cryptography():
        bench = Bench(stakes)
        everybody = sorted(bench.identities, key=lambda one: one.account)
        weight = [bench.validators.get(one.account).stake for one in everybody]
        outsider = identity(99)
        people = [*everybody, outsider]
        block = bench.block(bench.genesis, 1)
        votes = [vote_for(people[place], block.header) for place in places]
        signatures = [(one.vote.voter, one.signature) for one in votes]
        if forged is not None and signatures:
            signatures[forged] = (signatures[forged][0], bytes(64))
        name = block_hash(block.header)
        certificate = Certificate(1, name, tuple(signatures))
        ascending = all(one < two for one, two in pairwise(places))
        expected = (
            ascending
            and len(stakes) not in places
            and 3 * sum(weight[place] for place in places) > 2 * sum(stakes)
            and (forged is None or not signatures)
        )
        engine = bench.engine()
        if expected:
            [output] = engine.on_certified(CertifiedBlock(block, certificate), at(1))
            assert output.certificate == certificate
        else:
            assert (
                refusal(engine, engine.on_certified, CertifiedBlock(block, certificate), at(1))
                is Reason.BAD_CERTIFICATE
            )


def test_a_certificate_is_verified_once_and_what_was_heard_not_again(bench, monkeypatch):
    block = bench.block(bench.genesis, 1)
    child = bench.block(bench.anchor(bench.genesis, block), 2)
    certified = bench.certified(block, 0, 1, 2)
    engine = bench.engine()
    engine.on_vote(bench.votes(block, 0)[0], at(1))
    verified, verify = [], signing.verify
    monkeypatch.setattr(
        signing, "verify", lambda *parts: verified.append(parts[0]) or verify(*parts)
    )
    engine.on_certified(certified, at(1))
    assert sorted(verified) == sorted(bench.identities[number].account for number in (1, 2))
    engine.on_certified(certified, at(1))
    engine.on_block(child, at(2))
    assert len(verified) == 2


def test_the_memory_of_certificates_is_bounded(bench):
    checker = Certificates(NETWORK, bench.validators, lambda vote: True)
    accounts = [member.account for member in bench.validators.members]
    for number in range(REMEMBERED_MAX + 5):
        name = number.to_bytes(32, "little")
        checker.check(
            Certificate(1, name, tuple((account, bytes(64)) for account in accounts)), name
        )
    assert len(checker._good) == REMEMBERED_MAX
    assert next(iter(checker._good)).block == (5).to_bytes(32, "little")


# garbage


@budget(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_header_or_vote_makes_anything_but_a_refusal(data):
    """Fields drawn from values that mean something, in combinations that mean nothing."""
    with quick_cryptography():
        bench = Bench()
        chain = bench.chain(1, 2, 4, 5)
        fork = bench.chain(3, label="fork")
        engine = bench.engine(3)
        bench.feed(engine, 1, 2, 4)
        anchors = [bench.genesis, *chain, *fork]
        for _ in range(data.draw(st.integers(1, 8))):
            parent = data.draw(st.sampled_from(anchors))
            other = data.draw(st.sampled_from(anchors))
            slot = data.draw(st.integers(1, 9))
            by = data.draw(st.integers(0, 3))
            block = bench.altered(
                bench.block(parent, slot, by, label=data.draw(st.integers(0, 2))),
                by=by,
                height=data.draw(st.sampled_from([parent.link.height + 1, 1, 3, 2**48 - 1])),
                certificate=data.draw(st.sampled_from([parent.certificate, other.certificate])),
                slot=data.draw(st.sampled_from([slot, 2**48 - 1])),
            )
            now = data.draw(st.sampled_from([0, at(slot), at(slot, 600), at(slot + 70)]))
            hand_ins = [
                (engine.on_block, block),
                (engine.on_vote, bench.votes(block, by)[0]),
                (engine.on_certified, bench.certified(block)),
                (engine.on_certified, bench.certified(block, 0, 1)),
            ]
            hand_in, message = data.draw(st.sampled_from(hand_ins))
            with suppress(Refused):
                hand_in(message, now)
            engine.on_time(now)
            engine.missing()
            engine.draft(slot)
            assert engine.next_wake_ms > now
            assert all(isinstance(one.block, LogBlock) for one in engine.ballot(slot))

"""The rules, one sentence after another.

The paper is Chan and Shi, "Streamlet: Textbook Streamlined Blockchains", eprint 2020/088; the
design is this project's. Their sentences are given in substance, not to the letter. The engine
under test is number 3 of four validators of equal stake.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.errors import Reason, Refused
from protocol.messages import (
    Certificate,
    CertifiedBlock,
    LogBlock,
    ProposalEvidence,
    Vote,
    VoteEvidence,
    block_hash,
    sign_vote,
)
from protocol.ordering import (
    Discarded,
    Equivocation,
    Missing,
    Notarised,
    ProposalDue,
    SignedSlots,
    Streamlet,
    Validators,
    VoteDue,
)
from protocol.ordering.orphans import ORPHANS_PER_PROPOSER
from protocol.ordering.streamlet import SLOTS_KEPT
from protocol.types import Slot
from tests.protocol.streamlet_bench import Bench, at, final_slots, notarised_slots
from tests.protocol.streamlet_network import (
    NETWORK,
    compose,
    identity,
    quick_cryptography,
    vote_for,
)

ME = 3


@pytest.fixture(autouse=True)
def _quick():
    with quick_cryptography():
        yield


@pytest.fixture
def bench():
    return Bench()


def ballot_slots(engine, slot):
    return [one.link.height for one in engine.ballot(slot)]


# The paper, "epoch e's designated leader proposes a new block extending from the longest
# notarized chain it has seen (if there are multiple, break ties arbitrarily)"


def test_a_draft_extends_the_longest_notarised_chain(bench):
    engine = bench.engine(ME)
    bench.feed(engine, 1, 3)
    draft = engine.draft(5)
    tip = bench.chain(1, 3)[-1]
    assert (draft.parent, draft.height, draft.slot) == (tip.link.block, 3, 5)
    assert draft.certificate == tip.certificate
    assert draft.proposer == bench.identities[ME].account


def test_a_block_that_is_not_notarised_does_not_lengthen_the_chain(bench):
    engine = bench.engine(ME)
    bench.feed(engine, 1)
    engine.on_block(bench.block(bench.chain(1)[-1], 2), at(2))
    assert engine.draft(3).height == 2


def test_of_equally_long_chains_the_one_with_the_latest_slot_is_extended(bench):
    for order in (0, 1), (1, 0):
        engine = bench.engine(ME)
        pair = [bench.blocks(2)[0], bench.blocks(3, label="other")[0]]
        for place in order:
            engine.on_certified(pair[place], at(4))
        assert engine.draft(5).parent == block_hash(pair[1].block.header)


def test_the_draft_of_the_first_block_shows_no_certificate(bench):
    draft = bench.engine(ME).draft(1)
    assert draft.certificate is None
    assert draft.parent == bench.settings.genesis_hash


def test_a_header_made_from_a_draft_is_a_candidate(bench):
    engine = bench.engine(ME)
    bench.feed(engine, 1)
    block = compose(bench.identities[ME], engine.draft(2))
    engine.on_block(block, at(2))
    assert [one.block for one in engine.ballot(2)] == [block]
    assert engine.chain(block_hash(block.header))[-1] == block


# The design, "it publishes after a delay proportional to that output unless it has seen a better
# one"


def ranked(bench, slot):
    """Validators from the best to the worst rank in a slot on the genesis."""
    engine = bench.engine()
    for number in range(4):
        engine.on_block(bench.block(bench.genesis, slot, number), at(slot))
    everything = Streamlet(bench.settings, bench.validators, bench.identities[ME])
    for number in range(4):
        everything.on_block(bench.block(bench.genesis, slot, number), at(slot))
    accounts = [one.account for one in bench.identities]
    return [
        (accounts.index(one.block.header.proposer), one.rank) for one in everything.ballot(slot)
    ]


def test_proposals_are_due_when_the_rank_allows_and_not_before(bench):
    for number, rank in ranked(bench, 1):
        engine = bench.engine(number)
        due = at(1) + (300 * rank >> 64)
        assert engine.on_time(due - 1) == ()
        assert engine.next_wake_ms == due
        assert engine.on_time(due) == (ProposalDue(1),)
        assert engine.on_time(due + 1) == ()
        assert due - at(1) < 300


def test_better_ranks_publish_earlier(bench):
    ranks = [rank for _, rank in ranked(bench, 1)]
    assert ranks == sorted(ranks)
    moments = [bench.settings.publishes_at(1, rank) for rank in (0, *ranks, 2**64 - 1)]
    assert moments == sorted(moments)
    assert (moments[0], moments[-1]) == (at(1), at(1, 299))


def test_nobody_proposes_below_a_better_proposal_and_everybody_above_a_worse(bench):
    order = [number for number, _ in ranked(bench, 1)]
    engine = bench.engine(order[1])
    engine.on_block(bench.block(bench.genesis, 1, order[0]), at(1))
    assert engine.on_time(at(1, 400)) == ()
    engine = bench.engine(order[1])
    engine.on_block(bench.block(bench.genesis, 1, order[2]), at(1))
    assert engine.on_time(at(1, 400)) == (ProposalDue(1),)


def test_a_better_proposal_of_invalid_content_is_no_reason_not_to_propose(bench):
    order = [number for number, _ in ranked(bench, 1)]
    engine, block = bench.engine(order[1]), bench.block(bench.genesis, 1, order[0])
    engine.on_block(block, at(1))
    engine.dismiss(block_hash(block.header))
    engine.dismiss(bench.settings.genesis_hash)
    assert engine.on_time(at(1, 400)) == (ProposalDue(1),)
    assert engine.ballot(1) == ()


def test_a_better_proposal_on_a_shorter_chain_is_no_reason_not_to_propose(bench):
    order = [number for number, _ in ranked(bench, 2)]
    engine = bench.engine(order[1])
    engine.on_block(bench.block(bench.genesis, 2, order[0]), at(2))
    assert engine.on_time(at(2, 400)) == ()
    engine = bench.engine(order[1])
    bench.feed(engine, 1)
    engine.on_block(bench.block(bench.genesis, 2, order[0]), at(2))
    assert engine.on_time(at(2, 400)) == (ProposalDue(2),)


def test_nobody_proposes_from_the_middle_of_the_slot_on(bench):
    assert bench.engine(ME).on_time(at(1, 499)) == (ProposalDue(1),)
    assert bench.engine(ME).on_time(at(1, 500)) == (VoteDue(1),)


def test_nobody_proposes_twice_in_a_slot_or_in_an_earlier_one(bench):
    engine = bench.engine(ME)
    engine.on_block(compose(bench.identities[ME], engine.draft(2)), at(2))
    assert engine.draft(2) is None
    assert engine.draft(1) is None
    assert engine.on_time(at(2, 400)) == ()
    assert engine.draft(3) is not None


def test_nobody_proposes_in_the_slot_of_the_tip_or_before(bench):
    engine = bench.engine(ME)
    bench.feed(engine, 2)
    assert [engine.draft(slot) is None for slot in (1, 2, 3)] == [True, True, False]


def test_slot_zero_belongs_to_the_genesis(bench):
    engine = bench.engine(ME)
    for moment in (-5000, 0, 400, 700):
        assert engine.on_time(moment) == ()
        assert engine.draft(0) is None
    assert engine.slot_at(-5000) == 0
    assert engine.next_wake_ms == at(1)


def test_an_observer_is_never_asked_for_anything(bench):
    stranger = Streamlet(bench.settings, bench.validators, identity(77))
    for engine in (bench.engine(), stranger):
        engine.on_block(bench.block(bench.genesis, 1), at(1))
        assert engine.on_time(at(1, 400)) == engine.on_time(at(1, 600)) == ()
        assert engine.draft(1) is None
        assert engine.ballot(1) == ()
        assert engine.next_wake_ms == at(2)


def test_time_wakes_for_publishing_voting_and_the_next_slot(bench):
    engine = bench.engine(ME)
    engine.on_time(at(1))
    moments = []
    for _ in range(5):
        moments.append(engine.next_wake_ms)
        engine.on_time(moments[-1])
    assert moments[1:4] == [at(1, 500), at(2), moments[3]]
    assert at(1) < moments[0] < at(1, 300) < at(2) < moments[3] < at(2, 300)
    assert moments[4] == at(2, 500)


# The paper, "each player votes for the first proposal they see from epoch e's leader, as long as
# the proposed block extends from (one of) the longest notarized chain(s) that the voter has seen"


def test_a_proposal_on_a_shorter_chain_is_on_no_ballot(bench):
    engine = bench.engine(ME)
    bench.feed(engine, 1)
    engine.on_block(bench.block(bench.genesis, 2), at(2))
    assert engine.ballot(2) == ()
    engine.on_block(bench.block(bench.chain(1)[-1], 2, by=1), at(2))
    assert ballot_slots(engine, 2) == [2]


def test_a_proposal_on_any_of_the_longest_chains_is_on_the_ballot(bench):
    engine = bench.engine(ME)
    pair = [bench.blocks(1)[0], bench.blocks(2, label="other")[0]]
    for certified in pair:
        engine.on_certified(certified, at(3))
    for number, certified in enumerate(pair):
        parent = bench.anchor(bench.genesis, certified.block)
        engine.on_block(bench.block(parent, 3, by=number), at(3))
    assert ballot_slots(engine, 3) == [2, 2]


def test_a_proposal_that_was_timely_leaves_the_ballot_when_a_longer_chain_appears(bench):
    engine = bench.engine(ME)
    first = bench.blocks(1)[0]
    engine.on_block(first.block, at(1))
    engine.on_block(bench.block(bench.genesis, 2, by=1), at(2))
    assert ballot_slots(engine, 2) == [1]
    engine.on_certified(first, at(2))
    assert engine.ballot(2) == ()


# The design, "voters take the best by mid-slot"


def test_the_ballot_names_the_best_rank_first(bench):
    engine = bench.engine(ME)
    order = [number for number, _ in ranked(bench, 1)]
    for number in range(4):
        engine.on_block(bench.block(bench.genesis, 1, number), at(1, 100 * number))
    accounts = [bench.identities[number].account for number in order]
    assert [one.block.header.proposer for one in engine.ballot(1)] == accounts
    ranks = [one.rank for one in engine.ballot(1)]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize(("ms", "voted"), [(499, 1), (500, 0), (900, 0)])
def test_what_arrives_from_the_middle_of_the_slot_on_is_kept_and_not_voted_for(bench, ms, voted):
    engine, block = bench.engine(ME), bench.block(bench.genesis, 1)
    engine.on_block(block, at(1, ms))
    assert len(engine.ballot(1)) == voted
    outputs = [engine.on_vote(vote, at(1, 950)) for vote in bench.votes(block, 0, 1, 2)]
    assert notarised_slots(outputs[-1]) == [1]


def test_what_waited_for_its_parent_is_timely_if_it_arrived_in_time(bench):
    for moment, timely in (at(2, 100), 1), (at(2, 600), 0):
        for completed in (False, True):
            engine = bench.engine(ME)
            parent = bench.blocks(1)[0]
            child = bench.block(bench.chain(1)[-1], 2)
            engine.on_block(child, moment)
            if completed:
                engine.on_certified(bench.certified(child), at(2, 700))
            engine.on_certified(parent, at(2, 700))
            assert len(engine.ballot(2)) == timely


def test_a_vote_is_due_in_the_middle_of_the_slot_and_once(bench):
    engine = bench.engine(ME)
    assert VoteDue(1) not in engine.on_time(at(1, 499))
    assert engine.on_time(at(1, 500)) == (VoteDue(1),)
    assert engine.on_time(at(1, 600)) == ()


# The paper, "every player votes at most once in an epoch"; nor may it go back


def test_after_a_vote_there_is_no_ballot_in_that_slot_or_an_earlier_one(bench):
    engine = bench.engine(ME)
    for slot in (1, 2, 3):
        engine.on_block(bench.block(bench.genesis, slot), at(slot))
    assert [len(engine.ballot(slot)) for slot in (1, 2, 3)] == [1, 1, 1]
    engine.on_vote(vote_for(bench.identities[ME], engine.ballot(2)[0].block.header), at(2, 500))
    assert [len(engine.ballot(slot)) for slot in (1, 2, 3)] == [0, 0, 1]
    assert engine.on_time(at(2, 600)) == ()
    assert engine.on_time(at(3, 600)) == (VoteDue(3),)


def test_a_restart_neither_votes_nor_proposes_again(bench):
    engine = Streamlet(
        bench.settings,
        bench.validators,
        bench.identities[ME],
        signed=SignedSlots(proposal=4, vote=3),
    )
    engine.on_block(bench.block(bench.genesis, 3), at(3))
    engine.on_block(bench.block(bench.genesis, 4), at(4))
    assert (engine.ballot(3), len(engine.ballot(4))) == ((), 1)
    assert [engine.draft(slot) is None for slot in (4, 5)] == [True, False]
    assert engine.on_time(at(3, 600)) == ()
    assert engine.on_time(at(4, 600)) == (VoteDue(4),)


def test_the_slots_last_signed_in_are_those_before_the_restart_until_later_ones(bench):
    signed = SignedSlots(proposal=2, vote=3)
    engine = Streamlet(bench.settings, bench.validators, bench.identities[ME], signed=signed)
    assert engine.signed == signed
    block = bench.block(bench.genesis, 4, by=ME)
    engine.on_block(block, at(4))
    assert engine.signed == SignedSlots(proposal=4, vote=3)
    engine.on_vote(bench.votes(block, ME)[0], at(4, 500))
    assert engine.signed == SignedSlots(proposal=4, vote=4)


def test_our_own_word_from_an_earlier_life_binds_us_even_if_it_is_refused(bench):
    engine = bench.engine(ME)
    own = bench.block(bench.genesis, 1, by=ME)
    late = at(SLOTS_KEPT + 5)
    for hand_in, message in (engine.on_block, own), (engine.on_vote, bench.votes(own, ME)[0]):
        with pytest.raises(Refused):
            hand_in(message, late)
    assert engine.draft(1) is None
    assert engine.ballot(1) == ()
    future = bench.block(bench.genesis, 90, by=ME)
    with pytest.raises(Refused):
        engine.on_vote(bench.votes(future, ME)[0], late)
    assert VoteDue(89) not in engine.on_time(at(89, 600))
    assert VoteDue(91) in engine.on_time(at(91, 600))


# Deviation 4: "a proposal already notarised in its slot may still be voted for by who comes last"


def test_who_comes_last_may_still_vote_for_what_is_notarised_in_its_slot(bench):
    engine = bench.engine(ME)
    block, other = bench.block(bench.genesis, 1), bench.block(bench.genesis, 1, by=1)
    engine.on_block(block, at(1))
    engine.on_block(other, at(1))
    for vote in bench.votes(block, 0, 1, 2):
        engine.on_vote(vote, at(1, 600))
    assert [one.block for one in engine.ballot(1)] == [block]


# The paper, "a block becomes notarized when it gains votes from 2n/3 distinct players"; the design,
# "quorum above two thirds of log stake"


@pytest.mark.parametrize(
    ("stakes", "voters", "notarised"),
    [
        ((1, 1, 1, 1), (0, 1), False),
        ((1, 1, 1, 1), (0, 1, 2), True),
        ((1, 1, 1), (0, 1), False),
        ((1, 1, 1), (0, 1, 2), True),
        ((1, 1, 1, 1, 1, 1), (0, 1, 2, 3), False),
        ((1, 1, 1, 1, 1, 1), (0, 1, 2, 3, 4), True),
        ((2, 4), (1,), False),
        ((2, 5), (1,), True),
        ((1, 1, 7), (0, 1), False),
        ((10**17, 10**17, 10**17), (0, 2), False),
        ((10**17, 10**17, 10**17 + 1), (0, 2), True),
    ],
)
def test_a_quorum_is_strictly_more_than_two_thirds_of_the_stake(stakes, voters, notarised):
    bench = Bench(stakes)
    engine, block = bench.engine(), bench.block(bench.genesis, 1)
    engine.on_block(block, at(1))
    outputs = [engine.on_vote(vote, at(1)) for vote in bench.votes(block, *voters)]
    assert [bool(one) for one in outputs] == [False] * (len(voters) - 1) + [notarised]
    certified = bench.certified(block, *voters)
    if notarised:
        assert outputs[-1] == bench.engine().on_certified(certified, at(1))
        assert outputs[-1][0].certified == certified
    else:
        with pytest.raises(Refused) as refusal:
            engine.on_certified(certified, at(1))
        assert refusal.value.reason is Reason.BAD_CERTIFICATE


def test_a_voter_counts_once(bench):
    engine, block = bench.engine(), bench.block(bench.genesis, 1)
    engine.on_block(block, at(1))
    for _ in range(3):
        for vote in bench.votes(block, 0, 1):
            assert engine.on_vote(vote, at(1)) == ()
    assert engine.tip == bench.genesis


def test_a_second_vote_does_not_count(bench):
    engine = bench.engine()
    blocks = [bench.block(bench.genesis, 1, by=number) for number in range(2)]
    for block in blocks:
        engine.on_block(block, at(1))
    engine.on_vote(bench.votes(blocks[0], 0)[0], at(1))
    for vote in bench.votes(blocks[1], 0, 1, 2):
        assert notarised_slots(engine.on_vote(vote, at(1))) == []


def test_votes_may_come_before_their_block(bench):
    engine, block = bench.engine(), bench.block(bench.genesis, 1)
    outputs = [engine.on_vote(vote, at(1)) for vote in bench.votes(block, 0, 1, 2)]
    name = block_hash(block.header)
    assert outputs == [(), (), (Missing(name, None),)]
    assert engine.missing() == (Missing(name, None),)
    assert notarised_slots(engine.on_block(block, at(1))) == [1]
    assert engine.missing() == ()


def test_notarised_is_told_once(bench):
    engine, block = bench.engine(), bench.block(bench.genesis, 1)
    assert notarised_slots(engine.on_certified(bench.certified(block), at(1))) == [1]
    assert engine.on_certified(bench.certified(block, 0, 1, 2, 3), at(1)) == ()
    assert engine.on_block(block, at(1)) == ()
    for vote in bench.votes(block, 0, 1, 2, 3):
        assert engine.on_vote(vote, at(1)) == ()


def test_a_proposal_becomes_notarised_by_a_certificate(bench):
    engine, block = bench.engine(), bench.block(bench.genesis, 1)
    engine.on_block(block, at(1))
    assert notarised_slots(engine.on_certified(bench.certified(block), at(1))) == [1]


# The design, "a header carries its parent's certificate"


def test_a_header_notarises_its_parent(bench):
    engine = bench.engine()
    parent = bench.blocks(1)[0]
    child = bench.block(bench.chain(1)[-1], 2)
    engine.on_block(parent.block, at(1))
    [output] = engine.on_block(child, at(2))
    assert isinstance(output, Notarised)
    assert output.certified == parent


def test_a_draft_carries_every_vote_that_was_heard(bench):
    engine, block = bench.engine(ME), bench.block(bench.genesis, 1)
    engine.on_certified(bench.certified(block, 0, 1, 2), at(1))
    engine.on_vote(bench.votes(block, 3)[0], at(1))
    assert engine.draft(2).certificate == bench.certificate(block, 0, 1, 2, 3)
    assert engine.tip.certificate == bench.certificate(block, 0, 1, 2)
    engine.on_time(at(SLOTS_KEPT + 9))
    assert engine.draft(SLOTS_KEPT + 9).certificate == bench.certificate(block, 0, 1, 2)


# The paper, "on seeing three adjacent blocks in a notarized blockchain with consecutive epoch
# numbers, a player can finalize the second of the three blocks, and its entire prefix chain"


@pytest.mark.parametrize(
    ("slots", "final"),
    [
        ((2,), []),
        ((2, 3), []),
        ((2, 3, 4), [2, 3]),
        ((2, 3, 5), []),
        ((2, 4, 5), []),
        ((2, 4, 6), []),
        ((2, 4, 5, 6), [2, 4, 5]),
        ((2, 4, 6, 7, 9, 11, 12), []),
        ((2, 4, 6, 7, 9, 11, 12, 13), [2, 4, 6, 7, 9, 11, 12]),
    ],
)
def test_three_consecutive_slots_finalise_the_middle_one_and_all_before(bench, slots, final):
    engine = bench.engine()
    for certified in bench.blocks(*slots[:-1]):
        assert final_slots(engine.on_certified(certified, at(99))) == []
    outputs = engine.on_certified(bench.blocks(*slots)[-1], at(99))
    assert final_slots(outputs) == final
    assert engine.final_height == len(final)
    unfinal = slots[len(final) :]
    assert tuple(one.header.slot for one in engine.unfinalised()) == unfinal


def test_finality_goes_on_block_by_block(bench):
    engine = bench.engine()
    told = [final_slots(engine.on_certified(one, at(9))) for one in bench.blocks(2, 3, 4, 5, 7)]
    assert told == [[], [], [2, 3], [4], []]


def test_the_genesis_is_notarised_in_slot_zero_and_takes_part(bench):
    assert final_slots(bench.feed(bench.engine(), 1, 2)) == [1]
    assert final_slots(bench.feed(bench.engine(), 1, 3)) == []


def test_a_proposal_that_is_not_notarised_finalises_nothing(bench):
    engine = bench.engine()
    bench.feed(engine, 2, 3)
    outputs = engine.on_block(bench.block(bench.chain(2, 3)[-1], 4), at(4))
    assert final_slots(outputs) == []
    assert engine.final_height == 0


def test_the_certificate_in_a_header_can_complete_the_three(bench):
    engine = bench.engine()
    bench.feed(engine, 2, 3)
    third = bench.block(bench.chain(2, 3)[-1], 4)
    engine.on_block(third, at(4))
    outputs = engine.on_block(bench.block(bench.chain(2, 3, 4)[-1], 7), at(7))
    assert (notarised_slots(outputs), final_slots(outputs)) == ([4], [2, 3])


def test_every_final_block_is_told_with_its_certificate_in_order_of_height(bench):
    engine, blocks = bench.engine(), bench.blocks(1, 3, 4, 5)
    outputs = [one for block in blocks for one in engine.on_certified(block, at(9))]
    assert [type(one).__name__ for one in outputs] == ["Notarised"] * 4 + ["Finalised"] * 3
    final = outputs[4:]
    assert [one.link.height for one in final] == [1, 2, 3]
    assert [one.block for one in final] == [one.block for one in blocks[:3]]
    assert [one.certificate for one in final] == [one.certificate for one in blocks[:3]]
    assert final[-1].anchor == engine.anchor


def test_finality_excludes_forks(bench):
    engine = bench.engine()
    fork = bench.blocks(1, label="fork")[0]
    engine.on_certified(fork, at(1))
    engine.on_block(bench.block(bench.chain(1, label="fork")[-1], 2, by=1), at(2))
    blocks = bench.blocks(2, 3, 4)
    for certified in blocks:
        engine.on_certified(certified, at(5))
    assert engine.final_height == 2
    with pytest.raises(KeyError):
        engine.chain(block_hash(fork.block.header))
    with pytest.raises(Refused) as refusal:
        engine.on_certified(fork, at(5))
    assert refusal.value.reason is Reason.OFF_FINAL_CHAIN


# The design, "the digest of the state after the last block that its own ancestors finalise: a
# function of the chain"


@pytest.mark.parametrize(
    ("slots", "settled"),
    [
        ((), 0),
        ((1,), 0),
        ((1, 2), 1),
        ((2, 3), 0),
        ((2, 3, 4), 2),
        ((2, 3, 4, 5), 3),
        ((2, 3, 4, 6), 2),
        ((2, 3, 4, 6, 7, 8), 5),
    ],
)
def test_settled_is_what_the_ancestors_alone_finalise(bench, slots, settled):
    engine = bench.engine(ME)
    bench.feed(engine, *slots)
    next_slot = (0, *slots)[-1] + 1
    assert engine.draft(next_slot).settled == settled
    parent = bench.chain(*slots)[-1] if slots else bench.genesis
    engine.on_block(bench.block(parent, next_slot), at(next_slot))
    [candidate] = engine.ballot(next_slot)
    assert candidate.link.settled == settled


def test_settled_does_not_depend_on_what_else_was_seen(bench):
    engine = bench.engine(ME)
    bench.feed(engine, 2, 3, 4)
    engine.on_block(bench.block(bench.chain(2, 3)[-1], 5), at(5))
    assert engine.final_height == 2
    late = bench.block(bench.chain(2, 3)[-1], 5)
    [entry] = [one for one in engine._forks if one.block == late]
    assert entry.link.settled == 0


# The design, "beacon R' = H(R, slot, beta of the proposer)"; no draw may depend on contents


def test_the_beacon_does_not_depend_on_contents(bench):
    one, other = (bench.chain(1, 2, label=label)[-1].link for label in "ab")
    assert one.block != other.block
    assert one.beacon == other.beacon
    assert one.beacon != bench.chain(1, 3)[-1].link.beacon
    proposed_by_another = bench.anchor(bench.genesis, bench.block(bench.genesis, 1, by=1))
    assert proposed_by_another.link.beacon != bench.chain(1)[-1].link.beacon


def test_a_proof_of_another_parent_of_the_same_epoch_is_as_good(bench):
    proofs = {bench.block(parent, 5).header.vrf_proof for parent in bench.chain(1, 2, 3)}
    assert len(proofs) == 1


# The design, "two votes or proposals in one slot are evidence"


def test_two_votes_in_one_slot_are_evidence_once_and_in_one_form(bench):
    blocks = [bench.block(bench.genesis, 1, by=number) for number in range(3)]
    votes = [bench.votes(block, 2)[0] for block in blocks]
    expected = VoteEvidence(*sorted(votes[:2], key=lambda one: one.vote.block))
    for first, second in ((0, 1), (1, 0)):
        engine = bench.engine()
        assert engine.on_vote(votes[first], at(1)) == ()
        assert engine.on_vote(votes[second], at(1)) == (Equivocation(expected),)
        assert engine.on_vote(votes[second], at(1)) == ()
        assert engine.on_vote(votes[2], at(1)) == ()


def test_votes_in_different_slots_or_repeated_are_no_evidence(bench):
    engine = bench.engine()
    for slot in (1, 2):
        [vote] = bench.votes(bench.block(bench.genesis, slot), 2)
        resigned = replace(vote, signature=bytes(64))
        for one in (vote, vote, resigned):
            assert engine.on_vote(one, at(slot)) == ()


def test_a_vote_inside_a_certificate_can_be_half_of_the_evidence(bench):
    engine = bench.engine()
    one, other = (bench.block(bench.genesis, 1, by=number) for number in range(2))
    engine.on_vote(bench.votes(other, 2)[0], at(1))
    outputs = engine.on_certified(bench.certified(one, 0, 1, 2), at(1))
    assert [type(output) for output in outputs] == [Equivocation, Notarised]


def test_what_a_refused_message_taught_comes_with_the_next_call(bench):
    engine = bench.engine()
    one, other = (bench.block(bench.genesis, 1, by=number) for number in range(2))
    engine.on_vote(bench.votes(other, 2)[0], at(1))
    hollow = bench.altered(one, operations=bytes(32))
    with pytest.raises(Refused):
        engine.on_certified(bench.certified(hollow, 0, 1, 2), at(1))
    [output] = engine.on_time(at(1))
    assert isinstance(output, Equivocation)


def test_two_proposals_in_one_slot_are_evidence_once_and_in_one_form(bench):
    blocks = [bench.block(bench.genesis, 1, label=label) for label in "abc"]
    pair = sorted((one.signed for one in blocks[:2]), key=lambda one: block_hash(one.header))
    for first, second in ((0, 1), (1, 0)):
        engine = bench.engine(ME)
        assert engine.on_block(blocks[first], at(1)) == ()
        expected = (Equivocation(ProposalEvidence(*pair)),)
        assert engine.on_block(blocks[second], at(1)) == expected
        assert engine.on_block(blocks[second], at(1)) == ()
        assert engine.on_block(blocks[2], at(1)) == ()
        assert [one.block for one in engine.ballot(1)] == [blocks[first]]


def test_proposals_in_different_slots_or_repeated_are_no_evidence(bench):
    engine = bench.engine(ME)
    for slot in (1, 2):
        block = bench.block(bench.genesis, slot)
        resigned = replace(block, signed=replace(block.signed, signature=bytes(64)))
        for one in (block, block, resigned):
            assert engine.on_block(one, at(slot)) == ()
    assert len(engine.ballot(2)) == 1


def test_a_second_proposal_enters_with_a_certificate_and_is_evidence_as_well(bench):
    engine = bench.engine()
    first, second = (bench.block(bench.genesis, 1, label=label) for label in "ab")
    engine.on_block(first, at(1))
    outputs = engine.on_certified(bench.certified(second), at(1))
    assert [type(output) for output in outputs] == [Notarised, Equivocation]
    assert engine.unfinalised() == (second,)


def test_contradictions_long_past_are_not_looked_for(bench):
    engine = bench.engine()
    first, second = (bench.block(bench.genesis, 1, label=label) for label in "ab")
    engine.on_block(first, at(1))
    late = at(SLOTS_KEPT + 5)
    [output] = engine.on_certified(bench.certified(second), late)
    assert isinstance(output, Notarised)


# catching up


def test_blocks_wait_for_their_parents_in_any_order(bench):
    blocks = bench.blocks(2, 3, 4, 5)
    for order in ((3, 2, 1, 0), (2, 3, 0, 1), (1, 3, 2, 0)):
        engine = bench.engine()
        outputs = [one for place in order for one in engine.on_certified(blocks[place], at(9))]
        assert final_slots(tuple(outputs)) == [2, 3, 4]
        assert notarised_slots(tuple(outputs)) == [2, 3, 4, 5]
        assert engine.missing() == ()


def test_an_unknown_parent_is_asked_for(bench):
    engine, blocks = bench.engine(), bench.blocks(1, 2, 3)
    names = [block_hash(one.block.header) for one in blocks]
    assert engine.on_block(blocks[2].block, at(3)) == (Missing(names[1], 2),)
    assert engine.missing() == (Missing(names[1], 2),)
    assert engine.on_block(blocks[2].block, at(3)) == ()
    assert engine.on_certified(blocks[1], at(3)) == (Missing(names[0], 1),)
    assert engine.missing() == (Missing(names[0], 1),)
    sibling = bench.block(bench.chain(1, 2)[-1], 3, by=1)
    assert engine.on_block(sibling, at(3)) == ()
    outputs = engine.on_certified(blocks[0], at(3))
    assert (notarised_slots(outputs), final_slots(outputs)) == ([1, 2], [1])
    assert engine.missing() == ()


def test_a_waiting_block_can_gain_its_certificate(bench):
    engine, blocks = bench.engine(), bench.blocks(1, 2)
    engine.on_block(blocks[1].block, at(2))
    engine.on_certified(blocks[1], at(2))
    assert notarised_slots(engine.on_certified(blocks[0], at(2))) == [1, 2]


def test_votes_for_a_waiting_block_count_when_it_enters(bench):
    engine, blocks = bench.engine(), bench.blocks(1, 2)
    engine.on_block(blocks[1].block, at(2))
    for vote in bench.votes(blocks[1].block, 0, 1, 2):
        assert engine.on_vote(vote, at(2)) == ()
    assert notarised_slots(engine.on_certified(blocks[0], at(2))) == [1, 2]


def test_a_waiting_block_that_turns_out_bad_is_discarded(bench):
    engine = bench.engine()
    child = bench.block(bench.chain(1, 2)[-1], 3)
    bad = bench.altered(child, height=7)
    engine.on_block(bad, at(3))
    outputs = [engine.on_certified(one, at(3)) for one in bench.blocks(1, 2)]
    assert outputs[1][-1] == Discarded(bad, Reason.WRONG_HEIGHT)
    assert engine.missing() == ()


def test_a_waiting_block_whose_parent_was_excluded_is_discarded_or_forgotten(bench):
    """Two forks wait on one block; the one adopted first becomes final and excludes the other."""
    root = bench.blocks(1)[0]
    on = bench.chain(1)[-1]
    fork = bench.blocks(2, on=on, label="fork")[0]
    leaf = bench.block(bench.anchor(on, fork.block), 9, by=1)
    liar = bench.altered(bench.block(bench.anchor(on, fork.block), 8, by=2), by=2, height=50)
    main = bench.blocks(3, 4, 5, 6, on=on, by=3)
    engine = bench.engine()
    for orphan in (fork, *main):
        engine.on_certified(orphan, at(9))
    for block in (leaf, liar):
        engine.on_block(block, at(9))
    outputs = engine.on_certified(root, at(9))
    assert final_slots(outputs) == [1, 3, 4, 5]
    assert Discarded(liar, Reason.OFF_FINAL_CHAIN) in outputs
    assert engine.missing() == ()


def test_a_waiting_block_beside_the_final_chain_is_forgotten_with_its_parent(bench):
    engine = bench.engine()
    lost, far = bench.chain(1, 9, label="fork")
    engine.on_block(bench.block(lost, 10), at(10))
    engine.on_block(bench.block(bench.anchor(far, bench.block(far, 11)), 12, by=1), at(12))
    assert [one.height for one in engine.missing()] == [1, 3]
    bench.feed(engine, 2, 3, 4)
    assert engine.final_height == 2
    assert [one.height for one in engine.missing()] == [3]


def test_a_proposer_can_only_displace_its_own_waiting_blocks(bench):
    engine = bench.engine()
    tip = bench.chain(1, 2)[-1]
    names = []
    for slot in range(3, 3 + ORPHANS_PER_PROPOSER + 1):
        block = bench.block(tip, slot)
        names.append(block_hash(block.header))
        engine.on_block(block, at(slot))
    other = bench.block(tip, 3, by=1)
    engine.on_block(other, at(9))
    waiting = [one.hash for one in engine._orphans]
    assert waiting == [*names[1:], block_hash(other.header)]


def test_an_engine_goes_on_from_a_final_block_as_if_it_had_seen_all(bench):
    bench = Bench(epoch_ticks=2)
    slots = (1, 2, 3, 5, 6, 7, 8, 10, 11, 12)
    whole, blocks = bench.engine(ME), bench.blocks(*slots)
    for certified in blocks[:6]:
        whole, _ = bench.take(whole, certified, at(20))
    part = Streamlet(bench.settings, bench.validators, bench.identities[ME], anchor=whole.anchor)
    assert part.final_height == whole.final_height == 5
    part, _ = bench.take(part, blocks[5], at(20))
    for certified in blocks[6:]:
        part, outputs = bench.take(part, certified, at(20))
        whole, expected = bench.take(whole, certified, at(20))
        assert outputs == expected
    assert part.anchor == whole.anchor
    assert part.draft(20) == whole.draft(20)


# bounds


def test_what_is_not_notarised_is_forgotten_after_the_slots_kept(bench):
    engine, block = bench.engine(), bench.block(bench.genesis, 1)
    kept = bench.blocks(2)[0]
    engine.on_block(block, at(1))
    engine.on_certified(kept, at(2))
    for vote in bench.votes(block, 0, 1):
        engine.on_vote(vote, at(1))
    engine.on_time(at(1 + SLOTS_KEPT, 999))
    assert len(list(engine._forks)) == 2
    assert sorted(engine._votes.slots()) == [1, 2]
    engine.on_time(at(2 + SLOTS_KEPT))
    assert [one.block for one in engine._forks] == [kept.block]
    assert list(engine._votes.slots()) == [2]
    assert list(engine._headers.slots()) == [2]
    engine.on_time(at(3 + SLOTS_KEPT))
    assert list(engine._votes.slots()) == list(engine._headers.slots()) == []
    assert engine.tip.link.slot == 2


def test_votes_named_by_a_certificate_of_a_slot_to_come_are_not_kept(bench):
    engine, ahead = bench.engine(), bench.blocks(9)[0]
    assert notarised_slots(engine.on_certified(ahead, at(1))) == [9]
    assert list(engine._votes.slots()) == list(engine._headers.slots()) == []


def test_blocks_of_slots_before_the_last_final_one_are_not_wanted(bench):
    ghost = bench.block(bench.genesis, 1)
    name, votes = block_hash(ghost.header), bench.votes(ghost, 0, 1, 2)
    before, after = bench.engine(), bench.engine()
    assert [before.on_vote(vote, at(1)) for vote in votes][-1] == (Missing(name, None),)
    bench.feed(before, 2, 3)
    assert before.missing() == (Missing(name, None),)
    bench.feed(before, 2, 3, 4)
    bench.feed(after, 2, 3, 4)
    assert [after.on_vote(vote, at(4)) for vote in votes] == [(), (), ()]
    assert before.missing() == after.missing() == ()


# shapes


def test_validators_are_distinct_and_have_stake(bench):
    members = bench.validators.members
    for wrong in ((), (*members, members[0]), (replace(members[0], stake=0),)):
        with pytest.raises(ValueError, match="at least one"):
            Validators(wrong)


# Epochs: the last block of one is final by a certified first block of the next one


SHORT = 3


def at_border() -> tuple[Bench, Streamlet, LogBlock]:
    """An engine that knows the last block of its epoch, and a first block of the next one."""
    bench = Bench(epoch_ticks=SHORT)
    engine = bench.engine(ME)
    bench.feed(engine, 1, 2, 4)
    assert not engine.is_over
    return bench, engine, bench.block(bench.chain(1, 2, 4)[-1], 5)


def shown_in(bench: Bench, block: LogBlock, slot: int) -> Certificate:
    """Votes of a quorum for the block, given in a slot."""
    name = block_hash(block.header)
    votes = [
        sign_vote(one.signing_seed, NETWORK, Vote(one.account, Slot(slot), name))
        for one in bench.identities[:3]
    ]
    return Certificate(
        Slot(slot), name, tuple(sorted((one.vote.voter, one.signature) for one in votes))
    )


def refused(engine: Streamlet, block: LogBlock, certificate: Certificate) -> Reason:
    with pytest.raises(Refused) as refusal:
        engine.on_certified(CertifiedBlock(block, certificate), at(7))
    assert not engine.is_over
    return refusal.value.reason


def test_the_first_block_of_the_next_epoch_makes_the_last_one_final():
    bench, engine, block = at_border()
    outputs = engine.on_certified(CertifiedBlock(block, shown_in(bench, block, 5)), at(7))
    assert final_slots(outputs)[-1] == 4
    assert engine.is_over
    assert engine.next(bench.validators).epoch == 1


def test_a_first_block_whose_parent_is_not_known_shows_that_we_are_behind():
    bench, _, block = at_border()
    behind = bench.engine(ME)
    bench.feed(behind, 1, 2)
    assert refused(behind, block, shown_in(bench, block, 5)) is Reason.LATER_EPOCH


def test_a_first_block_on_another_than_the_last_shows_nothing():
    bench, engine, block = at_border()
    second = bench.chain(1, 2)[-1]
    astray = bench.altered(block, parent=second.link.block, certificate=second.certificate)
    assert refused(engine, astray, shown_in(bench, astray, 5)) is Reason.LATER_EPOCH


def test_certificates_at_a_border_are_of_the_slots_of_their_blocks():
    bench, engine, block = at_border()
    assert refused(engine, block, shown_in(bench, block, 6)) is Reason.BAD_CERTIFICATE
    border = bench.blocks(1, 2, 4)[-1].block
    late = bench.altered(block, certificate=shown_in(bench, border, 3))
    assert refused(engine, late, shown_in(bench, late, 5)) is Reason.BAD_CERTIFICATE


def test_a_header_that_names_other_successors_is_refused(bench):
    block = bench.altered(bench.block(bench.genesis, 1), successors=bytes(32))
    with pytest.raises(Refused) as refusal:
        bench.engine(ME).on_block(block, at(1))
    assert refusal.value.reason is Reason.WRONG_SUCCESSORS

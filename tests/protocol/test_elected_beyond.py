"""Elected provers beyond the thread's rule: several provers, inclusion, uncles, slashes, void jobs.

Tests are named after the numbers of the docstring of ``protocol.proving.elected``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from protocol import tree
from protocol.errors import Reason, Refused
from protocol.events import (
    Acquittal,
    JobSettled,
    JobVoided,
    PoolMember,
    ProofOffered,
    ProofPassedOver,
    ProofRecorded,
    ProverAcquitted,
    ProverSlashed,
    RightMissed,
    SlashPending,
    SlashVoted,
    TakenOver,
    UncleClaimed,
)
from protocol.ledger import BURNED, Cause, Moved, prover_stake, uncle_reserve
from protocol.machine import FinalBlock
from protocol.messages import Inclusion, Intent, SlashVote, UncleClaim
from protocol.proving.deal import deal
from protocol.proving.elected import Elected
from protocol.proving.elected_parameters import (
    ElectedParameters,
    FailedShare,
    IncludedBy,
    UncleScope,
)
from protocol.rules import Ballot, Stage
from protocol.signing import digest
from protocol.testing import actor
from protocol.testing.cast import OUTSIDER, PROVERS
from protocol.testing.moves import record_of
from protocol.types import Amount, BasisPoints, Beacon, Claim, Count, JobId, Slot, Tick
from tests.protocol.desk import (
    NAMES,
    assigned,
    at,
    deliver,
    job_where,
    network,
    of,
    open_job,
    paid,
    places,
    play_on,
    refusals,
)

UNCLES = {
    "uncle_bps": BasisPoints(8_000),
    "uncle_reserve_bps": BasisPoints(2_000),
    "uncle_ticks": Tick(8),
}
SLASHES = {"slash_bps": BasisPoints(5_000), "grace_ticks": Tick(6)}
TWO = {"provers_per_node": Count(2), "primary_bps": BasisPoints(6_000)}
BY_OWNER = {"inclusion": IncludedBy.MERGE_OWNER}


def all_differ(job):
    return len({node.assigned for node in job.nodes.values()}) == 4


def claim(world, job, index, who, lie="no lie"):
    world.say(who, UncleClaim(record_of(job, index, who, lie)))


def stake(world, who):
    return world.machine.ledger.holds(prover_stake(actor(who).account))


def miss_the_first(elected):
    """All do their part in time but the prover of the first leaf; its heir may deliver."""
    world, job = job_where(all_differ, elected=elected)
    world.wait(2)
    for position in (1, 2, 3):
        deliver(world, job, at(0, position), assigned(job, at(0, position)))
    world.wait(1)
    deliver(world, job, at(1, 1), assigned(job, at(1, 1)))
    world.wait(5)
    return world, job, assigned(job, at(0, 0)), assigned(job, at(0, 1))


def missed_leaf(**elected):
    """The first leaf was missed by its prover and recorded by its heir; the rest is in time."""
    world, job, original, heir = miss_the_first(elected)
    deliver(world, job, at(0, 0), heir)
    world.wait(2)
    assert NAMES[job.nodes[at(0, 0)].record.prover] == heir
    return world, job, original, heir


def settled(world, job, dead=()):
    """Play on to settlement; returns the events."""
    told = play_on(world, dead=dead)
    assert job.is_settled
    return told


# --- 1. deal ---


def test_1_several_provers_differ_and_merges_take_theirs_from_both_children():
    pool = tuple(PoolMember(actor(name).account, Count(2)) for name in PROVERS[:5])
    for number in range(30):
        seed = Beacon(digest(b"seed", bytes([number])))
        dealt = deal(seed, 8, pool, 3)
        for index, provers in dealt.items():
            assert len(set(provers)) == len(provers) == 3
            if index.level:
                below = [dealt[child] for child in tree.children(index)]
                assert set(provers) <= {*below[0], *below[1]}
                firsts = {below[0][0], below[1][0]}
                assert provers[0] in firsts
                assert firsts <= set(provers)
        assert all(provers[:1] for provers in deal(seed, 8, pool).values())


def test_1_a_small_pool_gives_fewer_provers():
    pool = tuple(PoolMember(actor(name).account, Count(1)) for name in PROVERS[:2])
    assert {len(provers) for provers in deal(Beacon(bytes(32)), 4, pool, 3).values()} == {2}
    assert set(deal(Beacon(bytes(32)), 4, (), 3).values()) == {()}


def test_1_work_follows_stake_with_several_provers():
    cards = (1, 2, 3, 4)
    pool = tuple(
        PoolMember(actor(name).account, Count(count))
        for name, count in zip(PROVERS, cards, strict=False)
    )
    leaves: Counter[bytes] = Counter()
    for number in range(600):
        seed = Beacon(digest(b"seed", number.to_bytes(4, "big")))
        dealt = deal(seed, 4, pool, 1)
        leaves.update(dealt[at(0, position)][0] for position in range(4))
    shares = [leaves[member.prover] / 2_400 for member in pool]
    assert all(abs(share - count / 10) < 0.03 for share, count in zip(shares, cards, strict=True))


# --- 4. miss ---


def test_4_who_shares_a_tree_node_that_is_recorded_has_not_failed():
    world = network(cards=(1, 1), elected=TWO)
    job = open_job(world, height=0)
    world.step()
    deliver(world, job, at(0, 0), "p0")
    told = settled(world, job, dead=("p1",))
    assert of(RightMissed, told) == []
    assert job.failed == []


def test_4_who_share_a_tree_node_that_nobody_records_have_all_failed():
    world = network(cards=(1, 1, 1), elected=TWO)
    job = open_job(world, height=0)
    told = world.wait(8)
    owners = job.nodes[at(0, 0)].owners
    assert [one.holder for one in of(RightMissed, told)] == list(owners)
    (taken,) = of(TakenOver, told)
    assert (taken.previous, taken.heir) == (owners[0], None)


def only_one_shared(job):
    """Two leaves share one prover, and the other one of the second leaf owns the root, too."""
    first, second = (set(job.nodes[at(0, position)].owners) for position in (0, 1))
    return len(first & second) == 1 and second - first <= set(job.nodes[at(1, 0)].owners)


def test_4_who_failed_before_is_not_missed_again():
    world, job = job_where(only_one_shared, cards=(2, 1, 1), height=1, elected=TWO)
    failed = set(job.nodes[at(0, 0)].owners)
    (other,) = set(job.nodes[at(0, 1)].owners) - failed
    world.step()
    deliver(world, job, at(0, 1), NAMES[other])
    told = world.wait(7)
    assert {one.holder for one in of(RightMissed, told)} == failed
    deliver(world, job, at(0, 0), NAMES[other])
    told = world.wait(12)
    assert failed & set(job.nodes[at(1, 0)].owners)
    assert [one.holder for one in of(RightMissed, told) if one.failed] == [other]


# --- 7. pay ---


def test_7_the_rest_of_the_pay_goes_to_own_provers_that_showed_a_proof():
    world = network(cards=(1, 1), elected={**TWO, "failed_share": FailedShare.REFUND})
    job = open_job(world, height=1)
    world.step()
    for position in (0, 1):
        deliver(world, job, at(0, position), "p0")
    world.wait(2)
    claim(world, job, at(0, 0), "p1")
    (claimed,) = of(UncleClaimed, world.step().events)
    assert NAMES[claimed.prover] == "p1"
    told = settled(world, job, dead=("p1",))
    share = job.header.fees
    worths = {index: share * (33 if index.level else 15) // 63 for index in places(job)}
    assert paid(told, job, Cause.PROVER_PAY) == {
        (index, actor("p0").account): worth * 6_000 // 10_000 for index, worth in worths.items()
    }
    rest = worths[at(0, 0)] - worths[at(0, 0)] * 6_000 // 10_000
    assert paid(told, job, Cause.CO_PAY) == {(at(0, 0), actor("p1").account): rest}
    assert paid(told, job, Cause.FAILED_SHARE) == {}
    refund = sum(worths.values()) - rest - sum(worth * 6_000 // 10_000 for worth in worths.values())
    (kept,) = [one for one in of(Moved, told) if one.cause is Cause.SEQUENCER_SHARE]
    assert kept.amount == refund > 0


def test_7_who_was_paid_its_share_is_no_uncle():
    world = network(cards=(1, 1), elected={**TWO, **UNCLES})
    job = open_job(world, height=1)
    world.step()
    for position in (0, 1):
        deliver(world, job, at(0, position), "p0")
    world.wait(2)
    claim(world, job, at(0, 0), "p1")
    told = settled(world, job, dead=("p1",))
    assert list(paid(told, job, Cause.CO_PAY)) == [(at(0, 0), actor("p1").account)]
    claim(world, job, at(0, 1), "p1")
    told = world.wait(9)
    assert list(paid(told, job, Cause.UNCLE_PAY)) == [(at(0, 1), actor("p1").account)]


# --- 8. inclusion ---


def test_8_an_offer_counts_when_the_owner_of_the_merge_takes_it():
    world, job = job_where(all_differ, elected=BY_OWNER)
    rule = world.machine.proving
    owner = assigned(job, at(1, 0))
    child = next(at(0, side) for side in (0, 1) if assigned(job, at(0, side)) != owner)
    maker = assigned(job, child)
    world.step()
    deliver(world, job, child, maker)
    (offered,) = of(ProofOffered, world.step().events)
    assert (offered.index, NAMES[offered.prover]) == (child, maker)
    assert job.nodes[child].record is None
    assert not [one for one in rule.duties(actor(maker).account) if one.index == child]
    deliver(world, job, child, maker)
    taking = Inclusion(job.id, child, offered.prover, offered.claim)
    assert rule.errands(actor(owner).account, world.tick) == (taking,)
    assert rule.errands(actor(maker).account, world.tick) == ()
    world.say(maker, taking)
    world.say(owner, replace(taking, claim=Claim(bytes(32))))
    world.say(owner, replace(taking, index=at(0, 9)))
    world.say(owner, replace(taking, job=JobId(bytes(32))))
    world.say(owner, replace(taking, index=at(2, 0)))
    told = world.step().events
    assert refusals(told) == ["ALREADY_OFFERED", "NO_RIGHT", *["NOTHING_OFFERED"] * 4]
    world.say(owner, taking)
    (recorded,) = of(ProofRecorded, world.step().events)
    assert (recorded.index, recorded.claim) == (child, offered.claim)
    settled(world, job)


def test_8_the_owner_includes_its_own_and_passes_over_what_was_offered():
    world, job = job_where(all_differ, elected=BY_OWNER)
    owner = assigned(job, at(1, 0))
    mine, other = (at(0, 0), at(0, 1))
    mine, other = (mine, other) if assigned(job, mine) == owner else (other, mine)
    world.step()
    deliver(world, job, other, assigned(job, other))
    deliver(world, job, mine, owner)
    told = world.step().events
    assert [one.index for one in of(ProofRecorded, told)] == [mine]
    told = world.wait(4)  # the other leaf passes to its sibling's prover, the owner
    assert {NAMES[one.heir] for one in of(TakenOver, told) if one.index == other} == {owner}
    world.wait(1)
    deliver(world, job, other, owner)
    told = world.step().events
    assert [NAMES[one.prover] for one in of(ProofPassedOver, told)] == [assigned(job, other)]
    assert [NAMES[one.prover] for one in of(ProofRecorded, told)] == [owner]


def test_8_by_the_log_nothing_is_offered():
    world = network()
    job = open_job(world)
    world.say("p0", Inclusion(job.id, at(0, 0), actor("p1").account, Claim(bytes(32))))
    assert refusals(world.step().events) == ["NOTHING_OFFERED"]


def test_8_what_is_open_to_anybody_is_included_by_the_log_with_the_offers_from_before():
    world, job = job_where(all_differ, elected=BY_OWNER)
    owner = assigned(job, at(1, 0))
    child = next(at(0, side) for side in (0, 1) if assigned(job, at(0, side)) != owner)
    world.step()
    deliver(world, job, child, assigned(job, child))
    world.step()
    while job.nodes[child].open_to_all_since is None:
        assert of(ProofRecorded, world.step().events) == []
    (recorded,) = of(ProofRecorded, world.step().events)
    assert (recorded.index, NAMES[recorded.prover]) == (child, assigned(job, child))


def test_8_a_record_waits_for_what_owners_include():
    world, job = job_where(all_differ, elected=BY_OWNER)
    rule, owner = world.machine.proving, assigned(job, at(1, 0))
    mine, other = (at(0, 0), at(0, 1))
    mine, other = (mine, other) if assigned(job, mine) == owner else (other, mine)
    maker = assigned(job, other)
    world.step()
    deliver(world, job, mine, owner)
    world.step()
    merge = record_of(job, at(1, 0), owner)
    offer = record_of(job, other, maker)

    def earliest(*ordered):
        said = [(Tick(tick), world.say(who, what).operation) for tick, who, what in ordered]
        world.waiting.clear()
        return rule.earliest(actor(owner).account, merge, said)

    taking = Inclusion(job.id, other, actor(maker).account, offer.claim)
    assert earliest((50, maker, offer)) is None
    assert earliest((50, maker, offer), (51, owner, taking)) == 52
    assert earliest((50, owner, record_of(job, other, owner))) == 51
    assert earliest((50, owner, Intent(Count(1), Tick(60)))) is None
    assert rule.earliest(actor(owner).account, taking, ()) is None
    deliver(world, job, other, maker)
    world.step()
    assert rule.earliest(actor(owner).account, taking, ()) == 0
    assert rule.earliest(actor(maker).account, offer, ()) is None


# --- 9. uncles ---


def test_9_a_claim_is_paid_from_the_reserve_when_the_time_is_over():
    world, job, original, heir = missed_leaf(**UNCLES)
    claim(world, job, at(0, 0), original)
    world.step()
    told = settled(world, job, dead=(original,))
    share = job.header.fees
    reserve = share * 2_000 // 10_000
    assert world.machine.ledger.holds(uncle_reserve(job.id)) == reserve
    worth = (share - reserve) * 15 // 159
    taken = paid(told, job, Cause.TAKEOVER_PAY)
    assert taken[at(0, 0), actor(heir).account] == worth * 2_500 // 10_000
    at_settlement = world.tick
    assert world.machine.proving.needs_ticks()
    told = world.wait(8)
    assert of(Moved, told) == []
    told = world.step().events
    assert world.tick == at_settlement + 9
    due = worth * 8_000 // 10_000
    assert paid(told, job, Cause.UNCLE_PAY) == {(at(0, 0), actor(original).account): due}
    (left,) = [one for one in of(Moved, told) if one.cause is Cause.RESERVE_LEFT]
    assert (left.target, left.amount) == (BURNED, reserve - due)
    assert world.machine.proving.job(job.id) is None
    assert not world.machine.proving.needs_ticks()


@pytest.mark.parametrize("delay", [1, 5, 8])
def test_9_a_late_claim_fades(delay):
    world, job, original, _ = missed_leaf(**UNCLES)
    settled(world, job, dead=(original,))
    world.wait(delay - 1)
    claim(world, job, at(0, 0), original)
    assert len(of(UncleClaimed, world.step().events)) == 1
    told = world.wait(9 - delay)
    share = job.header.fees - job.header.fees * 2_000 // 10_000
    due = share * 15 // 159 * 8_000 * (8 - delay) // (10_000 * 8)
    assert sum(paid(told, job, Cause.UNCLE_PAY).values()) == due


def test_9_after_its_time_a_claim_finds_no_job():
    world, job, original, _ = missed_leaf(**UNCLES)
    settled(world, job, dead=(original,))
    world.wait(9)
    claim(world, job, at(0, 0), original)
    assert refusals(world.step().events) == ["UNKNOWN_JOB"]


def test_9_claims_share_a_reserve_that_does_not_suffice():
    scarce = {**UNCLES, "uncle_reserve_bps": BasisPoints(10), "uncle_scope": UncleScope.OPEN}
    world = network(cards=(1, 1, 1), elected={**scarce, "provers_per_node": Count(3)})
    job = open_job(world, height=0)
    world.step()
    for who in ("p0", "p1", "p2"):
        deliver(world, job, at(0, 0), who)
    told = world.wait(2)
    (won,) = of(ProofRecorded, told)
    losers = [name for name in ("p0", "p1", "p2") if actor(name).account != won.prover]
    for who in losers:
        claim(world, job, at(0, 0), who)
    told = world.wait(12)
    reserve = job.header.fees * 10 // 10_000
    shares = paid(told, job, Cause.UNCLE_PAY)
    assert {NAMES[who] for _, who in shares} <= set(losers)
    assert sum(shares.values()) <= reserve


@pytest.mark.parametrize(
    ("scope", "expected"), [(UncleScope.ASSIGNED, ["NO_RIGHT"]), (UncleScope.OPEN, [])]
)
def test_9_whose_claims_count(scope, expected):
    world, job, original, heir = miss_the_first({**UNCLES, "uncle_scope": scope})
    deliver(world, job, at(0, 0), original)
    world.wait(2)
    claim(world, job, at(0, 0), heir)
    assert refusals(world.step().events) == expected
    node = job.nodes[at(0, 0)]
    stranger = next(
        name for name in world.scenario.provers if not node.is_held_by(actor(name).account)
    )
    claim(world, job, at(0, 0), stranger)
    assert refusals(world.step().events) == ["NO_RIGHT"]


def test_9_open_uncles_have_a_number_and_own_provers_are_not_counted():
    wide = {**UNCLES, "uncle_scope": UncleScope.OPEN, "uncles_per_node_max": Count(1)}
    world = network(cards=(1, 1, 1, 1), elected=wide)
    job = open_job(world, height=1)
    owner = assigned(job, at(0, 0))
    world.wait(14)  # everybody missed everything: open to anybody
    assert job.nodes[at(0, 0)].open_to_all_since is not None
    others = [name for name in world.scenario.provers if name != owner]
    world.wait(2)
    deliver(world, job, at(0, 0), others[0])
    world.wait(2)
    rule = world.machine.proving
    second = UncleClaim(record_of(job, at(0, 0), others[1]))
    assert rule.earliest(actor(others[1]).account, second, ()) is not None
    claim(world, job, at(0, 0), others[1])
    claim(world, job, at(0, 0), others[2])
    claim(world, job, at(0, 0), owner)
    claim(world, job, at(0, 0), OUTSIDER)
    told = world.step().events
    assert [NAMES[one.prover] for one in of(UncleClaimed, told)] == [others[1], owner]
    assert refusals(told) == ["TOO_MANY_UNCLES", "NO_PROVER_STAKE"]
    late = UncleClaim(record_of(job, at(0, 0), others[2]))
    assert rule.earliest(actor(others[2]).account, late, ()) is None


def test_9_what_a_claim_must_be():
    world, job, original, heir = missed_leaf(**UNCLES)
    rule = world.machine.proving
    record = record_of(job, at(0, 0), original)
    claim(world, job, at(0, 0), original, "no children")
    claim(world, job, at(0, 0), original, "no such place")
    claim(world, job, at(0, 2), assigned(job, at(0, 2)))
    world.say(original, UncleClaim(replace(record, job=JobId(bytes(32)))))
    assert refusals(world.step().events) == [
        "WRONG_CHILDREN",
        "NO_SUCH_TREE_NODE",
        "ALREADY_SHOWN",
        "UNKNOWN_JOB",
    ]
    unknown = UncleClaim(replace(record, job=JobId(bytes(32))))
    assert rule.earliest(actor(original).account, unknown, ()) is None
    nowhere = UncleClaim(replace(record, index=at(0, 9)))
    assert rule.earliest(actor(original).account, nowhere, ()) is None
    assert rule.earliest(actor(heir).account, UncleClaim(record), ()) is None
    assert rule.earliest(actor(original).account, UncleClaim(record), ()) is not None


def test_9_a_claim_is_no_way_around_a_record_or_the_minimal_time():
    slow = {**UNCLES, "min_leaf_ticks": Tick(4), "uncle_scope": UncleScope.OPEN}
    world, job = job_where(all_differ, elected=slow)
    original, heir = assigned(job, at(0, 0)), assigned(job, at(0, 1))
    world.step()
    claim(world, job, at(0, 0), original)
    assert refusals(world.step().events) == ["NOT_RECORDED"]
    while heir not in [NAMES.get(one) for one in job.nodes[at(0, 0)].rights]:
        for position in (1, 2, 3):
            if job.nodes[at(0, position)].record is None:
                deliver(world, job, at(0, position), assigned(job, at(0, position)))
        world.step()
    deliver(world, job, at(0, 0), original)
    world.wait(2)
    claim(world, job, at(0, 0), heir)
    assert refusals(world.step().events) == ["TOO_EARLY"]


def test_9_where_nothing_follows_no_claim_is_taken():
    world, job, original, _ = missed_leaf()
    claim(world, job, at(0, 0), original)
    assert refusals(world.step().events) == ["NO_UNCLES"]
    late = UncleClaim(record_of(job, at(0, 0), original))
    assert world.machine.proving.earliest(actor(original).account, late, ()) is None


def test_9_duties_say_what_a_claim_would_pay():
    world, job, original, _ = missed_leaf(**UNCLES)
    rule, account = world.machine.proving, actor(original).account
    share = job.header.fees - job.header.fees * 2_000 // 10_000
    due = share * 15 // 159 * 8_000 // 10_000
    (duty,) = [one for one in rule.duties(account) if one.index == at(0, 0)]
    assert (duty.stage, duty.reward, duty.at_stake) == (Stage.UNCLE, due, 0)
    settled(world, job, dead=(original,))
    (duty,) = [one for one in rule.duties(account) if one.index == at(0, 0)]
    assert (duty.stage, duty.reward) == (Stage.UNCLE, due)
    assert rule.recorded_claim(job.id, at(0, 0)) == job.nodes[at(0, 0)].record.claim
    assert not rule.may_deliver(job.id, at(0, 0), account)
    world.wait(9)
    assert rule.duties(account) == ()
    assert rule.recorded_claim(job.id, at(0, 0)) is None


def test_9_duties_name_the_share_of_who_delivers_beside():
    world = network(cards=(1, 1), elected=TWO)
    job = open_job(world, height=1)
    world.step()
    deliver(world, job, at(0, 0), "p0")
    world.wait(2)
    worth = job.header.fees * 15 // 63
    duties = {one.index: one for one in world.machine.proving.duties(actor("p1").account)}
    assert duties[at(0, 0)].stage is Stage.UNCLE
    assert duties[at(0, 0)].reward == worth - worth * 6_000 // 10_000
    assert duties[at(0, 1)].stage is Stage.OWN
    assert duties[at(0, 1)].reward == worth * 6_000 // 10_000


# --- 10. slash ---


def test_10_who_failed_and_shows_nothing_loses_its_stake_when_the_grace_is_over():
    world, job, original, _ = missed_leaf(**SLASHES)
    before = stake(world, original)
    told = settled(world, job, dead=(original,))
    (pending,) = of(SlashPending, told)
    assert (NAMES[pending.prover], pending.penalty) == (original, before // 2)
    assert (pending.grace_ends, pending.decided) == (world.tick + 6, world.tick + 6)
    assert of(ProverSlashed, world.wait(6)) == []
    assert len(of(ProverSlashed, world.step().events)) == 1
    assert stake(world, original) == before - before // 2
    assert world.machine.proving.job(job.id) is None


def test_10_a_late_record_of_all_that_was_missed_is_enough():
    world, job, original, _ = miss_the_first(SLASHES)
    assert original in {NAMES[one] for one in job.failed}
    deliver(world, job, at(0, 0), original)
    world.wait(2)
    duties = world.machine.proving.duties(actor(original).account)
    assert at(0, 0) not in {one.index for one in duties}
    told = settled(world, job, dead=(original,))
    assert of(SlashPending, told) == []


def test_10_duties_of_who_failed_name_the_stake_at_risk():
    world, job = job_where(all_differ, elected=SLASHES)
    original = assigned(job, at(0, 0))
    before = stake(world, original)
    world.wait(8)
    duties = {one.index: one for one in world.machine.proving.duties(actor(original).account)}
    assert (duties[at(0, 0)].reward, duties[at(0, 0)].at_stake) == (0, before // 2)


@pytest.mark.parametrize(("wait", "is_saved"), [(0, True), (5, True), (6, False)])
def test_10_an_uncle_claim_within_the_grace_saves(wait, is_saved):
    world, job, original, _ = missed_leaf(**SLASHES)
    before = stake(world, original)
    settled(world, job, dead=(original,))
    world.wait(wait)
    account = actor(original).account
    duties = [one for one in world.machine.proving.duties(account) if one.job == job.id]
    assert [(one.stage, one.at_stake) for one in duties] == [(Stage.UNCLE, before // 2)]
    claim(world, job, at(0, 0), original)
    told = [*world.step().events, *world.wait(7)]
    acquitted = of(ProverAcquitted, told)
    assert [one.why for one in acquitted] == [Acquittal.PROOFS_SHOWN] * is_saved
    assert stake(world, original) == (before if is_saved else before - before // 2)


def test_10_a_claim_that_neither_pays_nor_saves_is_too_late():
    """The heir did not fail; the reserve is paid, and only the grace of another still runs."""
    settings = {
        **SLASHES,
        **UNCLES,
        "grace_ticks": Tick(20),
        "uncle_ticks": Tick(2),
        "uncle_scope": UncleScope.OPEN,
    }
    world, job = job_where(all_differ, elected=settings)
    original, heir = assigned(job, at(0, 0)), assigned(job, at(0, 1))
    second = assigned(job, at(0, 2))
    world.wait(2)
    for position in (1, 3):
        deliver(world, job, at(0, position), assigned(job, at(0, position)))
    world.wait(6)
    deliver(world, job, at(0, 0), original)
    deliver(world, job, at(0, 2), assigned(job, at(0, 3)))
    world.wait(2)
    told = settled(world, job, dead=(original, second))
    assert [NAMES[one.prover] for one in of(SlashPending, told)] == [second]
    world.wait(3)
    duties = world.machine.proving.duties(actor(heir).account)
    assert [one for one in duties if one.job == job.id] == []
    claim(world, job, at(0, 0), heir)
    assert refusals(world.step().events) == ["CLAIM_TOO_LATE"]


def test_10_who_lost_its_whole_stake_is_not_heard():
    world, job, original, _ = missed_leaf(**{**SLASHES, **UNCLES, "slash_bps": BasisPoints(10_000)})
    settled(world, job, dead=(original,))
    world.wait(7)
    assert stake(world, original) == 0
    claim(world, job, at(0, 0), original)
    assert refusals(world.step().events) == ["NO_PROVER_STAKE"]


def test_10_a_sibling_that_neglects_a_proof_harms_only_itself():
    """By the log, whoever owns the merge above may ignore a child: it is recorded all the same."""
    world, job = job_where(all_differ, elected=SLASHES)
    neglecter = assigned(job, at(1, 0))
    pair = (assigned(job, at(0, 0)), assigned(job, at(0, 1)))
    victim = next(name for name in pair if name != neglecter)
    stakes = {name: stake(world, name) for name in (neglecter, victim)}
    for _ in range(60):
        for name in world.scenario.provers:
            for index in places(job):
                node, account = job.nodes[index], actor(name).account
                since = node.admissible(account)
                is_due = node.record is None and since is not None and since <= world.tick + 1
                if is_due and not (name == neglecter and index == at(1, 0)):
                    deliver(world, job, index, name)
        world.step()
        if job.is_settled:
            break
    world.wait(8)
    assert victim not in {NAMES[one] for one in job.failed}
    assert stake(world, victim) == stakes[victim]
    assert stake(world, neglecter) < stakes[neglecter]


def griefed(**elected):
    """A merge owner ignores its sibling's offer and proves the child again itself.

    Returns world, job, victim, attacker, the stakes before, and all events to settlement.
    """
    world, job = job_where(all_differ, elected={**BY_OWNER, **elected})
    attacker = assigned(job, at(1, 0))
    child = next(at(0, side) for side in (0, 1) if assigned(job, at(0, side)) != attacker)
    victim, told = assigned(job, child), []
    before = {name: stake(world, name) for name in (victim, attacker)}
    for _ in range(80):
        for name in world.scenario.provers:
            account = actor(name).account
            for index in places(job):
                node = job.nodes[index]
                since = node.admissible(account)
                has_offered = any(one.prover == account for one in node.offers)
                is_due = node.record is None and not has_offered and since is not None
                if is_due and since <= world.tick + 1:
                    deliver(world, job, index, name)
            for errand in world.machine.proving.errands(account, world.tick):
                if not (name == attacker and errand.prover == actor(victim).account):
                    world.say(name, errand)
        told += world.step().events
        if job.is_settled:
            return world, job, child, victim, attacker, before, told
    raise AssertionError("the job does not end")


def test_10_neglect_by_a_merge_owner_costs_the_victim_more_than_the_attacker():
    """The thread's question. Cost of a proof is what the protocol pays for one at most."""
    world, job, child, victim, attacker, before, told = griefed(slash_bps=BasisPoints(5_000))
    share = job.header.fees
    cost = share * 15 // 159
    own = [index for index in places(job) if assigned(job, index) == victim]
    lost_pay = sum(share * (33 if index.level else 15) // 159 for index in own)
    assert NAMES[job.nodes[child].record.prover] == attacker
    assert victim in {NAMES[one] for one in job.failed}
    assert attacker not in {NAMES[one] for one in job.failed}
    assert victim not in {NAMES[who] for _, who in paid(told, job, Cause.PROVER_PAY)}
    world.wait(2)
    lost_stake = before[victim] - stake(world, victim)
    assert lost_stake == before[victim] // 2
    factor = (lost_pay + lost_stake) / cost
    assert factor >= lost_pay / cost >= 1
    assert stake(world, attacker) == before[attacker]


def test_10_the_victim_of_neglect_keeps_its_stake_where_there_is_grace():
    world, job, child, victim, _, before, _ = griefed(**SLASHES)
    claim(world, job, child, victim)
    told = [*world.step().events, *world.wait(7)]
    assert [one.why for one in of(ProverAcquitted, told)] == [Acquittal.PROOFS_SHOWN]
    assert stake(world, victim) == before[victim]


def test_10_proposers_that_leave_records_out_must_do_so_for_the_grace_as_well():
    """The record is made in time and ordered by nobody until the last tick of the grace."""
    world, job = job_where(all_differ, elected=SLASHES)
    victim = assigned(job, at(0, 0))
    before = stake(world, victim)
    withheld = record_of(job, at(0, 0), victim)
    settled(world, job, dead=(victim,))
    world.wait(5)
    world.say(victim, UncleClaim(withheld))
    world.step()
    assert len(of(ProverAcquitted, world.step().events)) == 1
    assert stake(world, victim) == before


def test_10_no_time_passes_while_the_log_halts():
    """Slots go by, ticks do not; and while nothing becomes final, no window starts."""
    world, job = job_where(all_differ, elected=SLASHES)
    assert of(RightMissed, world.wait(40, lag=1_000)) == []
    assert job.failed == []
    machine, last = world.machine, world.log[-1].moment
    gap = replace(last, tick=Tick(last.tick + 1), slot=Slot(last.slot + 100_000))
    applied = machine.apply(FinalBlock(gap, ()))
    assert of(RightMissed, applied.events) == []


def voting(**elected):
    """A prover failed, the grace is over, and the log stake is asked."""
    settings = {**SLASHES, "governance_ticks": Tick(4), **elected}
    world, job, original, _ = missed_leaf(**settings)
    told = settled(world, job, dead=(original,))
    (pending,) = of(SlashPending, told)
    assert pending.decided == pending.grace_ends + 4
    return world, job, original, pending


def test_10_more_than_half_of_the_log_stake_slashes():
    world, job, original, pending = voting()
    rule, account, before = world.machine.proving, actor(original).account, stake(world, original)
    vote = SlashVote(job.id, account, True)
    world.say("s0", vote)
    assert refusals(world.step().events) == ["NO_VOTE_OPEN"]
    assert rule.earliest(actor("s0").account, vote, ()) == pending.grace_ends + 1
    stranger = SlashVote(job.id, actor(OUTSIDER).account, True)
    assert rule.earliest(actor("s0").account, stranger, ()) is None
    assert rule.errands(actor("s0").account, world.tick) == ()
    while world.tick < pending.grace_ends:
        world.step()
    ballot = Ballot(job.id, account, (at(0, 0),))
    assert rule.errands(actor("s0").account, world.tick) == (ballot,)
    for who in ("s0", "s0", "p0", "s1"):
        world.say(who, vote)
    told = world.step().events
    assert refusals(told) == ["ALREADY_VOTED", "NOT_A_VALIDATOR"]
    assert [NAMES[one.voter] for one in of(SlashVoted, told)] == ["s0", "s1"]
    assert rule.errands(actor("s0").account, world.tick) == ()
    told = world.wait(4)
    assert len(of(ProverSlashed, told)) == 1
    assert stake(world, original) == before - before // 2


@pytest.mark.parametrize("votes", [(), (True,), (True, False, False)])
def test_10_without_a_majority_nobody_is_slashed(votes):
    world, job, original, pending = voting()
    before = stake(world, original)
    while world.tick < pending.grace_ends:
        world.step()
    for who, is_guilty in zip(("s0", "s1", "s2"), votes, strict=False):
        world.say(who, SlashVote(job.id, actor(original).account, is_guilty))
    told = world.wait(5)
    assert [one.why for one in of(ProverAcquitted, told)] == [Acquittal.NOT_VOTED]
    assert stake(world, original) == before


def test_10_a_proof_that_is_shown_during_the_vote_still_counts():
    world, job, original, pending = voting()
    while world.tick < pending.grace_ends:
        world.step()
    for who in ("s0", "s1", "s2"):
        world.say(who, SlashVote(job.id, actor(original).account, True))
    claim(world, job, at(0, 0), original)
    world.step()
    assert world.machine.proving.errands(actor("s0").account, world.tick) == ()
    told = world.wait(4)
    assert [one.why for one in of(ProverAcquitted, told)] == [Acquittal.PROOFS_SHOWN]


# --- 11. void ---


def voided(bond, **elected):
    """A job of which two leaves are recorded, and which nobody proves in time."""
    fernet = {"block_bond": Amount(bond)}
    world = network(elected=elected, fernet=fernet)
    job = open_job(world)
    world.step()
    for position in (0, 1):
        deliver(world, job, at(0, position), assigned(job, at(0, position)))
    told = []
    while not job.is_void:
        told += world.step().events
    return world, job, told


@pytest.mark.parametrize("bond", [90, 20])
def test_11_recorded_tree_nodes_of_a_void_job_are_paid_from_the_bond(bond):
    _, job, told = voided(bond, void_bps=BasisPoints(500))
    due = job.header.fees * 15 // 159 * 500 // 10_000
    each = due if 2 * due <= bond else due * bond // (2 * due)
    assert paid(told, job, Cause.VOID_PAY) == {
        (at(0, position), job.nodes[at(0, position)].record.prover): each for position in (0, 1)
    }


def test_11_a_proof_of_what_was_missed_saves_also_when_the_job_fell():
    world, job, told = voided(0, **SLASHES, void_bps=BasisPoints(0))
    accused = {one.prover for one in of(SlashPending, told)}
    who = assigned(job, at(0, 2))
    assert actor(who).account in accused
    assert of(JobVoided, told)
    assert of(JobSettled, told) == []
    mine = [index for index in places(job) if assigned(job, index) == who and index.level == 0]
    duties = {one.index: one.stage for one in world.machine.proving.duties(actor(who).account)}
    assert {duties[index] for index in mine} == {Stage.UNCLE}
    for index in mine:
        claim(world, job, index, who)
    told = world.wait(8)
    assert who in {NAMES[one.prover] for one in of(ProverAcquitted, told)}


# --- intents and parameters ---


def test_an_intent_reaches_only_so_far():
    world = network(elected={"intent_ticks_max": Tick(20)})
    world.say("p0", Intent(Count(1), Tick(world.tick + 22)))
    world.say("p0", Intent(Count(1), Tick(world.tick + 21)))
    assert refusals(world.step().events) == ["INTENT_TOO_LONG"]
    rule = world.machine.proving
    capped = Intent(Count(1), Tick(25))
    unit = rule.parameters.stake_unit
    assert rule.enlistment(actor(OUTSIDER).account, unit, Tick(5), Tick(400)) == capped


@pytest.mark.parametrize(
    "wrong",
    [
        {"provers_per_node": Count(0)},
        {"intent_ticks_max": Tick(0)},
        {"uncle_bps": BasisPoints(1), "uncle_ticks": Tick(1)},
        {"uncle_reserve_bps": BasisPoints(1), "uncle_ticks": Tick(1)},
        {"uncle_bps": BasisPoints(1), "uncle_reserve_bps": BasisPoints(1)},
        {"grace_ticks": Tick(1)},
        {"governance_ticks": Tick(1)},
    ],
    ids=str,
)
def test_parameters_that_contradict_each_other_are_refused(wrong):
    with pytest.raises(Refused) as refusal:
        Elected(replace(ElectedParameters(), **wrong))
    assert refusal.value.reason is Reason.CONTRADICTORY_GENESIS
    assert refusal.value.detail

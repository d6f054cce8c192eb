"""Elected provers, sentence by sentence: tests are named after the numbers of the docstring."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import replace
from itertools import combinations

import pytest

from protocol import tree
from protocol.errors import Reason, Refused
from protocol.events import (
    IntentRegistered,
    PoolMember,
    ProofPassedOver,
    ProofRecorded,
    RightMissed,
    RightOpened,
    TakenOver,
    WindowStarted,
)
from protocol.ledger import BURNED, Cause, Moved
from protocol.machine import FinalBlock
from protocol.messages import Intent, JobHeader, Operation, SignedOperation
from protocol.proving.deal import deal, heirs, merge_side
from protocol.proving.elected import CARDS_MAX, Elected
from protocol.proving.elected_parameters import ElectedParameters
from protocol.proving.progress import Place, Progress, Recorded, Right
from protocol.rules import Election, Job, Moment, Stage
from protocol.signing import digest
from protocol.testing import actor
from protocol.testing.cast import OUTSIDER, PROVERS
from protocol.testing.moves import due_records, record_of
from protocol.testing.oracle_elected import owner_leaf
from protocol.types import (
    Account,
    BasisPoints,
    Beacon,
    Claim,
    Count,
    JobId,
    Nonce,
    Signature,
    Slot,
    Stake,
    Tick,
    Work,
)
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


def seeds(count):
    return [Beacon(digest(b"seed", number.to_bytes(4, "big"))) for number in range(count)]


def pool_of(*cards):
    return tuple(
        PoolMember(actor(name).account, Count(count))
        for name, count in zip(PROVERS, cards, strict=False)
    )


# --- 1. deal ---


def chi_square(observed, expected):
    """Sum of squares over expectations, in thousandths, on integers."""
    return sum(
        1_000 * (seen - due) ** 2 // due for seen, due in zip(observed, expected, strict=True)
    )


def test_1_work_follows_stake():
    pool, rounds, leaves = pool_of(1, 2, 3, 10), 2_000, 4
    leaf, merge = Counter(), Counter()
    for seed in seeds(rounds):
        for index, (prover,) in deal(seed, leaves, pool).items():
            (merge if index.level else leaf)[prover] += 1
    for counted, drawn in ((leaf, leaves * rounds), (merge, (leaves - 1) * rounds)):
        observed = [counted[member.prover] for member in pool]
        expected = [drawn * member.cards // 16 for member in pool]
        assert chi_square(observed, expected) < 16_266 * leaves  # 3 degrees, 1 in 1,000


def test_1_splitting_an_identity_gains_nothing():
    whole, split = pool_of(6, 2), pool_of(3, 2, 3)
    shares = []
    for pool, mine in ((whole, {0}), (split, {0, 2})):
        accounts = {pool[at].prover for at in mine}
        shares.append(
            sum(who in accounts for seed in seeds(2_000) for (who,) in deal(seed, 4, pool).values())
        )
    assert abs(shares[0] - shares[1]) < 28 * 2_000 * 3 // 100 // 4


def test_1_cards_are_dealt_without_repeats_until_they_are_used_up():
    pool = pool_of(1, 2, 1)
    for seed in seeds(50):
        leaves = [deal(seed, 8, pool)[at(0, position)][0] for position in range(8)]
        assert leaves[:4] == leaves[4:]
        assert Counter(leaves[:4]) == {member.prover: member.cards for member in pool}


def test_1_a_merge_goes_to_a_prover_of_its_children_by_a_fair_bit():
    pool, sides = pool_of(1, 1, 1, 1), Counter()
    for seed in seeds(500):
        provers = deal(seed, 4, pool)
        for index in (at(1, 0), at(1, 1), at(2, 0)):
            side = merge_side(seed, index)
            sides[side] += 1
            assert provers[index] == provers[tree.children(index)[side]]
            assert provers[index] == provers[at(0, owner_leaf(seed, index.level, index.position))]
    assert abs(sides[0] - sides[1]) < 200


def test_1_an_empty_pool_opens_everything_to_anybody():
    assert set(deal(seeds(1)[0], 4, ()).values()) == {()}
    assert set(heirs(seeds(1)[0], 4, deal(seeds(1)[0], 4, ())).values()) == {()}
    world = network(cards=(0, 1))
    world.say("p1", Intent(Count(1), Tick(world.tick + 1)))  # over by the election
    job = open_job(world)
    assert job.pool == ()
    told = play_on(world)
    assert job.is_settled
    open_pay = paid(told, job, Cause.OPEN_PAY)
    assert {NAMES[who] for _, who in open_pay} == {"p1"}
    assert len(open_pay) == 7


def test_1_the_pool_needs_a_live_intent_and_a_card():
    world = network(cards=(1, 0, 3))
    job = open_job(world)
    assert {NAMES[one.prover]: one.cards for one in job.pool} == {"p0": 1, "p2": 3}


def test_1_an_account_has_so_many_cards_and_no_more():
    world = network(cards=(CARDS_MAX + 5, 1))
    assert max(one.cards for one in open_job(world).pool) == CARDS_MAX


def test_1_the_pool_freezes_at_the_election():
    world = network(cards=(1, 1))
    world.say("p1", Intent(Count(1), Tick(world.tick + 4)))
    job = open_job(world)
    assert job.opened_at > world.machine.proving.intent_until(actor("p1").account)
    assert len(job.pool) == 2


# --- 2. opening ---


def test_2_leaves_open_with_the_job_and_a_merge_when_both_inputs_are_recorded():
    world = network()
    job = open_job(world)
    assert [index for index in places(job) if job.nodes[index].opened_at is not None] == [
        at(0, 0),
        at(0, 1),
        at(0, 2),
        at(0, 3),
    ]
    world.step()
    deliver(world, job, at(0, 0), assigned(job, at(0, 0)))
    assert of(RightOpened, world.step().events) == []
    deliver(world, job, at(0, 1), assigned(job, at(0, 1)))
    (opened,) = of(RightOpened, world.step().events)
    assert (opened.index, opened.holder) == (at(1, 0), job.nodes[at(1, 0)].assigned)
    assert opened.admissible == world.tick + 1


def test_2_a_record_is_admissible_from_the_minimal_time_on():
    world = network()
    job = open_job(world)
    who = assigned(job, at(0, 0))
    deliver(world, job, at(0, 0), who)
    assert refusals(world.step().events) == ["TOO_EARLY"]
    deliver(world, job, at(0, 0), who)
    assert of(ProofRecorded, world.step().events)[0].index == at(0, 0)
    assert world.tick == job.opened_at + 2


def test_2_a_merge_needs_recorded_inputs():
    world = network()
    job = open_job(world)
    deliver(world, job, at(1, 0), assigned(job, at(1, 0)))
    assert refusals(world.step().events) == ["INPUTS_MISSING"]


# --- 3. window ---


def test_3_a_window_starts_when_its_right_is_final_and_lasts():
    world = network(elected={"leaf_window_ticks": Tick(6)})
    job = open_job(world)
    assert of(WindowStarted, world.wait(9, lag=100)) == []
    started = of(WindowStarted, world.step(lag=1).events)
    assert {one.index for one in started} == {at(0, position) for position in range(4)}
    assert {one.closes for one in started} == {world.tick + 6}
    assert of(RightMissed, world.wait(6)) == []
    assert len(of(RightMissed, world.step().events)) == 4
    assert world.tick == job.opened_at + 9 + 1 + 6 + 1


def test_3_the_last_tick_of_a_window_still_counts():
    world = network()
    job = open_job(world)
    world.wait(4)
    deliver(world, job, at(0, 0), assigned(job, at(0, 0)))
    told = world.step().events
    assert of(ProofRecorded, told)
    missed = of(RightMissed, world.step().events)
    assert {one.index.position for one in missed} == {1, 2, 3}


# --- 4. miss ---


def test_4_a_miss_passes_on_all_unrecorded_tree_nodes_of_the_failed_prover():
    def owns_a_merge(job):
        return job.nodes[at(2, 0)].assigned == job.nodes[at(0, 0)].assigned

    world, job = job_where(owns_a_merge)
    failed = assigned(job, at(0, 0))
    told = [event for _ in range(6) for event in world.step().events]
    for position in (1, 2, 3):
        assert job.nodes[at(0, position)].record is None
    (miss,) = [e for e in of(RightMissed, told) if NAMES[e.holder] == failed]
    assert miss.failed
    passed = {e.index for e in of(TakenOver, told) if NAMES[e.previous] == failed}
    assert passed == {i for i in places(job) if assigned(job, i) == failed}


def test_4_who_failed_forfeits_the_whole_job():
    def owns_two_leaves(job):
        leaves = [assigned(job, at(0, position)) for position in range(4)]
        return leaves[0] == leaves[2]

    world, job = job_where(owns_two_leaves, cards=(2, 1, 1))
    failed = assigned(job, at(0, 0))
    world.step()
    deliver(world, job, at(0, 0), failed)
    told = [*world.step().events, *play_on(world, dead=(failed,))]
    assert job.nodes[at(0, 0)].record.prover == actor(failed).account
    causes = (Cause.PROVER_PAY, Cause.TAKEOVER_PAY, Cause.OPEN_PAY)
    payees = {NAMES[who] for cause in causes for _, who in paid(told, job, cause)}
    assert failed not in payees
    assert (at(0, 0), b"") in paid(told, job, Cause.FAILED_SHARE)


def test_4_an_heir_that_misses_declined_that_tree_node_and_keeps_its_pay():
    world, job = job_where(lambda job: len({n.assigned for n in job.nodes.values()}) == 4)
    failed, heir = assigned(job, at(0, 0)), assigned(job, at(0, 1))
    told = []
    for _ in range(60):
        for name in world.scenario.provers:
            for index in places(job):
                node = job.nodes[index]
                due = node.admissible(actor(name).account)
                is_shy = name == heir and assigned(job, index) != heir
                is_due = not node.record and due and due <= world.tick + 1
                if name != failed and not is_shy and is_due:
                    deliver(world, job, index, name)
        told += world.step().events
        if job.is_settled:
            break
    declined = [e for e in of(RightMissed, told) if NAMES[e.holder] == heir]
    assert declined
    assert not any(one.failed for one in declined)
    assert heir in {NAMES[who] for _, who in paid(told, job, Cause.PROVER_PAY)}


# --- 5. heirs ---


def test_5_heirs_are_siblings_along_the_path_from_the_origin_outwards():
    pool = pool_of(1, 1, 1, 1, 1, 1, 1, 1)
    for seed in seeds(20):
        provers = deal(seed, 8, pool)
        lines = heirs(seed, 8, provers)
        for index in tree.indices(8):
            leaf, expected = owner_leaf(seed, index.level, index.position), []
            for level in range(3):
                sibling = tree.sibling(tree.ancestor(leaf, level))
                if provers[sibling][0] not in (*provers[index], *expected):
                    expected += provers[sibling]
            assert list(lines[index]) == expected
            assert expected[0] == provers[at(0, leaf ^ 1)][0]


def test_5_repeats_and_the_assigned_prover_are_left_out():
    for seed in seeds(50):
        provers = deal(seed, 8, pool_of(4, 1, 1))
        for index, line in heirs(seed, 8, provers).items():
            assert len(set(line)) == len(line)
            assert provers[index][0] not in line


def test_5_a_pair_that_misses_together_goes_outwards_at_once():
    world, job = job_where(lambda job: len({n.assigned for n in job.nodes.values()}) == 4)
    pair = {assigned(job, at(0, 0)), assigned(job, at(0, 1))}
    world.wait(2)
    for position in (2, 3):
        deliver(world, job, at(0, position), assigned(job, at(0, position)))
    told = world.wait(4)
    passed = {e.index: e for e in of(TakenOver, told)}
    for position in (0, 1):
        assert NAMES[passed[at(0, position)].heir] not in pair
        assert NAMES[passed[at(0, position)].heir] == assigned(job, at(1, 1))


def test_5_after_the_last_heir_anybody_with_stake():
    world = network()
    job = open_job(world)
    told = world.wait(10)  # all four miss together
    assert {e.heir for e in of(TakenOver, told)} == {None}
    deliver(world, job, at(0, 0), OUTSIDER)
    assert refusals(world.step().events) == ["NO_PROVER_STAKE"]
    play_on(world, dead=("p0", "p1", "p2"))
    assert job.is_settled


# --- 6. rights only widen ---


def late_original():
    """The first leaf was missed by its prover and passed on."""
    world, job = job_where(lambda job: len({n.assigned for n in job.nodes.values()}) == 4)
    original, heir = assigned(job, at(0, 0)), assigned(job, at(0, 1))
    world.wait(2)
    for position in (1, 2, 3):
        deliver(world, job, at(0, position), assigned(job, at(0, position)))
    world.wait(6)
    assert list(job.nodes[at(0, 0)].rights) == [actor(original).account, actor(heir).account]
    return world, job, original, heir


def test_6_a_late_original_is_recorded_and_not_paid():
    world, job, original, _ = late_original()
    deliver(world, job, at(0, 0), original)
    world.step()
    (recorded,) = of(ProofRecorded, world.step().events)
    assert NAMES[recorded.prover] == original
    told = play_on(world, dead=(original,))
    assert (at(0, 0), b"") in paid(told, job, Cause.FAILED_SHARE)
    assert original not in {NAMES[who] for _, who in paid(told, job, Cause.PROVER_PAY)}


def test_6_records_of_one_block_are_drawn_by_the_next_beacon_not_by_order():
    winners = Counter()
    for turn in range(4):
        world, job, original, heir = late_original()
        world.wait(turn)
        senders = (original, heir) if turn % 2 else (heir, original)
        for who in senders:
            deliver(world, job, at(0, 0), who)
        assert of(ProofRecorded, world.step().events) == []
        told = world.step().events
        (won,), (lost,) = of(ProofRecorded, told), of(ProofPassedOver, told)
        beacon = world.log[-1].moment.beacon
        lots = [digest(b"provnet/contest/1", beacon, one.prover, one.claim) for one in (won, lost)]
        assert lots[0] < lots[1]
        winners[senders.index(NAMES[won.prover])] += 1
    assert winners.total() == 4


def test_6_one_word_an_account_in_a_contest():
    world, job, original, _ = late_original()
    deliver(world, job, at(0, 0), original)
    deliver(world, job, at(0, 0), original)
    assert refusals(world.step().events) == ["ALREADY_OFFERED"]


def test_6_the_first_recorded_proof_is_final():
    world = network()
    job = open_job(world)
    world.step()
    who = assigned(job, at(0, 0))
    deliver(world, job, at(0, 0), who)
    world.step()
    deliver(world, job, at(0, 0), who)
    assert refusals(world.step().events) == ["ALREADY_RECORDED"]


@pytest.mark.parametrize("lie", ["no children", "swapped children"])
def test_6_a_merge_must_use_the_recorded_claims(lie):
    world = network()
    job = open_job(world)
    world.step()
    for position in (0, 1):
        deliver(world, job, at(0, position), assigned(job, at(0, position)))
    world.step()
    deliver(world, job, at(1, 0), assigned(job, at(1, 0)), lie)
    assert refusals(world.step().events) == ["WRONG_CHILDREN"]


def test_6_a_leaf_has_no_children():
    world = network()
    job = open_job(world)
    deliver(world, job, at(0, 0), assigned(job, at(0, 0)), "no children")
    assert refusals(world.step().events) == ["WRONG_CHILDREN"]


def test_6_only_of_places_jobs_and_rights_that_are():
    world = network()
    job = open_job(world)
    world.step()
    deliver(world, job, at(0, 0), "p0", "no such place")
    other = next(i for i in places(job) if i.level == 0 and assigned(job, i) != "p0")
    deliver(world, job, other, "p0")
    world.say("p0", replace(record_of(job, at(0, 0), "p0"), job=JobId(bytes(32))))
    assert refusals(world.step().events) == ["NO_SUCH_TREE_NODE", "NO_RIGHT", "UNKNOWN_JOB"]


# --- 7. pay ---


def test_7_everybody_is_paid_by_work_and_what_is_left_over_is_burned():
    world = network()
    job = open_job(world, fee=7, split=5_000)
    told = play_on(world)
    share = job.header.fees * 5_000 // 10_000
    whole = 4 * 15 + 3 * 33
    pay = paid(told, job, Cause.PROVER_PAY)
    assert pay == {
        (index, node.assigned): share * (33 if index.level else 15) // whole
        for index, node in job.nodes.items()
        if share * (33 if index.level else 15) // whole
    }
    (rounding,) = [e for e in of(Moved, told) if e.cause is Cause.ROUNDING]
    assert rounding.target == BURNED
    assert rounding.amount == share - sum(pay.values()) > 0
    (vault,) = [e for e in of(Moved, told) if e.cause is Cause.PROVEN_FEES]
    assert vault.amount == job.header.fees


@pytest.mark.parametrize("takeover_bps", [0, 2_500, 10_000])
def test_7_an_heir_gets_its_share_and_the_rest_is_burned(takeover_bps):
    settings = {"takeover_bps": BasisPoints(takeover_bps)}
    world, job = job_where(
        lambda job: len({n.assigned for n in job.nodes.values()}) == 4, elected=settings
    )
    failed, heir = assigned(job, at(0, 0)), assigned(job, at(0, 1))
    told = play_on(world, dead=(failed,))
    worth = job.header.fees * 15 // 159
    taken = paid(told, job, Cause.TAKEOVER_PAY)
    burned = paid(told, job, Cause.FAILED_SHARE)
    earned = worth * takeover_bps // 10_000
    assert taken.get((at(0, 0), actor(heir).account), 0) == earned
    assert burned.get((at(0, 0), b""), 0) == worth - earned
    assert failed not in {NAMES[who] for _, who in paid(told, job, Cause.PROVER_PAY)}


def test_7_the_open_stage_pays_who_had_no_right_before():
    world, job = job_where(
        lambda job: len({n.assigned for n in job.nodes.values()}) == 1, cards=(1, 1), height=0
    )
    owner = assigned(job, at(0, 0))
    other = "p1" if owner == "p0" else "p0"
    told = play_on(world, dead=(owner,))
    worth = job.header.fees
    assert paid(told, job, Cause.OPEN_PAY) == {(at(0, 0), actor(other).account): worth // 2}
    assert paid(told, job, Cause.FAILED_SHARE) == {(at(0, 0), b""): worth - worth // 2}


def test_7_who_held_a_right_is_not_paid_for_the_open_stage():
    world = network(cards=(1, 1))
    job = open_job(world, height=1)
    world.wait(8)  # both miss, both leaves are open to anybody
    told = play_on(world, dead=("p0",))
    assert job.is_settled
    leaves = [(index, who) for index, who in paid(told, job, Cause.OPEN_PAY) if not index.level]
    own = {index for index in places(job) if assigned(job, index) == "p1"}
    assert not {index for index, _ in leaves} & own


# --- intents ---


def test_an_intent_needs_stake_capacity_and_a_future():
    world = network(cards=(1, 0))
    world.say("p1", Intent(Count(1), Tick(99)))
    world.say("p0", Intent(Count(0), Tick(99)))
    world.say("p0", Intent(Count(1), Tick(world.tick)))
    world.say("p0", Intent(Count(1), Tick(world.tick + 1)))
    told = world.step().events
    assert refusals(told) == ["NO_PROVER_STAKE", "EMPTY_INTENT", "EMPTY_INTENT"]
    assert of(IntentRegistered, told) == [IntentRegistered(actor("p0").account, Tick(world.tick))]


def test_intents_that_passed_are_forgotten_at_the_epoch():
    world = network(cards=(1, 1))
    world.say("p0", Intent(Count(1), Tick(world.tick + 3)))
    world.step()
    account = actor("p0").account
    assert world.machine.proving.intent_until(account) == 4
    world.wait(20)
    assert world.machine.proving.intent_until(account) is None
    assert world.machine.proving.intent_until(actor("p1").account) is not None


def test_an_intent_lasts_through_its_last_tick_over_the_border_of_an_epoch():
    world = network(cards=(1,))
    world.say("p0", Intent(Count(1), Tick(17)))
    world.wait(17 - world.tick)
    assert world.machine.proving.intent_until(actor("p0").account) == 17


def test_an_enlistment_is_due_at_half_of_its_lifetime():
    world = network(cards=(1,))
    rule, account = world.machine.proving, actor("p0").account
    until = rule.intent_until(account)
    unit = rule.parameters.stake_unit
    assert rule.enlistment(account, unit, Tick(until - 51), Tick(100)) is None
    assert rule.enlistment(account, unit, Tick(until - 50), Tick(100)) == Intent(
        Count(1), Tick(until + 50)
    )
    assert rule.enlistment(account, Stake(unit - 1), Tick(until - 50), Tick(100)) is None


def test_an_election_names_the_last_tick_of_the_intent_and_the_windows():
    world = network(cards=(1,))
    rule, parameters = world.machine.proving, world.machine.proving.parameters
    windows = parameters.leaf_window_ticks, parameters.merge_window_ticks
    until = rule.intent_until(actor("p0").account)
    assert rule.election(actor("p0").account) == Election(until, *windows)
    assert rule.election(actor("s0").account) == Election(Tick(0), *windows)


# --- what agents and proposers ask ---


def test_duties_promise_what_is_paid():
    world, job = job_where(lambda job: len({n.assigned for n in job.nodes.values()}) == 4)
    rule = world.machine.proving
    failed, heir = assigned(job, at(0, 0)), assigned(job, at(0, 1))
    promised = {}
    told = []
    while job.is_open:
        for name in world.scenario.provers:
            for duty in rule.duties(actor(name).account):
                promised[name, duty.index] = duty
        told += play_some(world, failed)
    assert promised[failed, at(0, 0)].stage is Stage.OWN
    assert promised[failed, at(0, 0)].reward == 0
    assert promised[heir, at(0, 0)].stage is Stage.TAKEOVER
    for cause in (Cause.PROVER_PAY, Cause.TAKEOVER_PAY):
        for (index, who), amount in paid(told, job, cause).items():
            assert promised[NAMES[who], index].reward == amount
            assert promised[NAMES[who], index].work == (33 if index.level else 15)
    assert rule.duties(actor(heir).account) == ()


def play_some(world, dead):
    for name in world.scenario.provers:
        for record in due_records(world, name) if name != dead else ():
            world.say(name, record)
    return world.step().events


def test_duties_of_the_open_stage():
    world = network(cards=(1, 1))
    open_job(world, height=0)
    world.wait(9)
    stages = {
        name: [
            (one.stage, one.reward > 0) for one in world.machine.proving.duties(actor(name).account)
        ]
        for name in ("p0", "p1", OUTSIDER)
    }
    assert (Stage.OPEN, True) in stages[OUTSIDER]
    assert sorted(str(one[0][0]) for one in (stages["p0"], stages["p1"])) == [
        "Stage.OPEN",
        "Stage.OWN",
    ]


def test_may_deliver_and_recorded_claim():
    world = network()
    job = open_job(world)
    rule, who = world.machine.proving, assigned(job, at(0, 0))
    other = next(name for name in world.scenario.provers if name != who)
    assert rule.may_deliver(job.id, at(0, 0), actor(who).account)
    assert not rule.may_deliver(job.id, at(0, 0), actor(other).account)
    assert not rule.may_deliver(job.id, at(0, 9), actor(who).account)
    assert not rule.may_deliver(JobId(bytes(32)), at(0, 0), actor(who).account)
    assert rule.recorded_claim(job.id, at(0, 0)) is None
    world.step()
    deliver(world, job, at(0, 0), who)
    world.step()
    assert rule.recorded_claim(job.id, at(0, 0)) == job.nodes[at(0, 0)].record.claim


def earliest(world, who, payload, ordered=()):
    return world.machine.proving.earliest(actor(who).account, payload, ordered)


def test_earliest_keeps_a_record_until_it_counts():
    world = network()
    job = open_job(world)
    leaves = [assigned(job, at(0, position)) for position in range(4)]
    other = next(name for name in world.scenario.provers if name != leaves[0])
    leaf, merge = record_of(job, at(0, 0), leaves[0]), record_of(job, at(1, 0), leaves[0])
    owner = assigned(job, at(1, 0))
    assert earliest(world, leaves[0], Intent(Count(1), Tick(9))) == 0
    assert earliest(world, leaves[0], leaf) == job.opened_at + 2
    assert earliest(world, leaves[0], replace(leaf, job=JobId(bytes(32)))) is None
    assert earliest(world, leaves[0], replace(leaf, index=at(0, 9))) is None
    assert earliest(world, other, leaf) is None
    assert owner in leaves[:2]

    def said(position, tick):
        record = record_of(job, at(0, position), leaves[position])
        return (
            Tick(tick),
            Operation(actor(leaves[position]).account, Nonce(1), Tick(99), record),
        )

    holder = owner if owner == leaves[0] else None
    stranger = next(n for n in world.scenario.provers if n != owner)
    assert earliest(world, stranger, merge) is None or holder
    assert earliest(world, owner, merge) is None
    noise = (Tick(3), Operation(actor("p0").account, Nonce(1), Tick(9), Intent(Count(1), Tick(9))))
    assert earliest(world, owner, merge, (noise, said(0, 20))) is None
    assert earliest(world, owner, merge, (said(0, 20), said(1, 22))) == 23
    world.step()
    deliver(world, job, at(0, 0), leaves[0])
    world.step()
    assert earliest(world, leaves[0], leaf) is None
    assert earliest(world, owner, merge, (said(1, 30),)) == 31


def test_earliest_counts_a_tick_for_a_draw():
    world, job, original, heir = late_original()
    owner = assigned(job, at(1, 0))
    holder = heir if owner == original else owner
    record = record_of(job, at(0, 0), heir)
    ordered = ((Tick(40), Operation(actor(heir).account, Nonce(1), Tick(99), record)),)
    assert earliest(world, holder, record_of(job, at(1, 0), holder), ordered) == 42


# --- parameters ---


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_leaf_ticks": Tick(13)},
        {"min_merge_ticks": Tick(13)},
        {"open_ticks": Tick(1)},
        {"stake_unit": Stake(0)},
        {"leaf_work": Work(0)},
    ],
    ids=str,
)
def test_parameters_under_which_nobody_delivers_are_refused(wrong):
    with pytest.raises(Refused) as refusal:
        Elected(replace(ElectedParameters(), **wrong))
    assert refusal.value.reason is Reason.CONTRADICTORY_GENESIS


# --- the bound ---


def unsigned_record(job, index, who, tick):
    """The machine leaves signatures to voters."""
    record = record_of(job, index, who)
    operation = Operation(actor(who).account, Nonce(0), tick, record)
    return SignedOperation(operation, Signature(bytes(64)))


def settle_with(world, job, dead, *, lag, is_lazy):
    """The tick of settlement when ``dead`` never deliver; the lazy wait for their last tick."""
    machine, board = deepcopy(world.machine), deepcopy(world.board)
    job, rule, end = board.jobs[job.id], machine.proving, None
    living = [name for name in world.scenario.provers if name not in dead]
    beacon = world.log[-1].moment.beacon
    bound = rule.latest(job.id, machine.tick)
    settled = machine.tick - lag
    while job.is_open and machine.tick <= bound + 5:
        tick, operations = Tick(machine.tick + 1), []
        settled = max(settled, tick - lag)
        places_ = rule.progress(job.id).places
        for name in living:
            account = actor(name).account
            for index, place in places_.items():
                due = rule.admissible_from(place, index, account)
                if place.record is not None or due is None or due > tick:
                    continue
                last = place.right.closes or 0
                if place.is_open_to_all:
                    last = place.right.opens + rule.parameters.open_ticks
                if not is_lazy or (
                    (account in place.right.holders or place.is_open_to_all) and tick == last
                ):
                    operations.append(unsigned_record(job, index, name, tick))
        beacon = Beacon(digest(b"next", beacon))
        moment = Moment(tick, Slot(2 * tick), beacon, Tick(settled), actor("s0").account, ())
        for event in machine.apply(FinalBlock(moment, tuple(operations))).events:
            board.observe(tick, event)
        end = tick
    assert job.is_settled, f"void or late with {dead} dead"
    assert end <= bound, f"{end} after {bound} with {dead} dead"
    return end


@pytest.mark.parametrize("provers", [4, 5, 6, 7, 8])
def test_latest_bounds_the_end_whatever_set_of_provers_fails(provers):
    world = network(cards=(1,) * provers)
    world.oracles.clear()
    job = open_job(world, height=3)
    names = world.scenario.provers
    for count in range(provers):
        for dead in combinations(names, count):
            settle_with(world, job, dead, lag=world.scenario.usual_lag, is_lazy=False)


def test_latest_bounds_the_end_when_survivors_wait_for_their_last_tick():
    world = network(cards=(1,) * 4)
    job = open_job(world, height=2)
    ends = [
        settle_with(world, job, dead, lag=world.scenario.usual_lag, is_lazy=True)
        for count in range(4)
        for dead in combinations(world.scenario.provers, count)
    ]
    assert max(ends) > min(ends)


def test_the_bound_of_a_tree_node_is_its_last_possible_tick():
    """One prover is dead, the heirs record their own and decline, one waits to the very end."""
    world, job = job_where(
        lambda job: len({node.assigned for node in job.nodes.values()}) == 4, cards=(1,) * 5
    )
    rule, lag = world.machine.proving, world.scenario.usual_lag
    leaf = at(0, 0)
    owners = [assigned(job, at(0, position)) for position in range(4)]
    idle = next(name for name in world.scenario.provers if name not in owners)
    bound = rule._latest_record(rule.progress(job.id), leaf, job.opened_at, world.tick)
    world.step(lag)
    for position in (1, 2, 3):
        deliver(world, job, at(0, position), owners[position])
    world.step(lag)
    deliver(world, job, at(1, 1), assigned(job, at(1, 1)))
    world.step(lag)
    node = job.nodes[leaf]
    while node.open_to_all_since is None:
        world.step(lag)
    assert len(node.rights) == 4  # its own, two heirs, anybody
    world.wait(rule.parameters.open_ticks - 1, lag)
    assert world.tick == node.open_to_all_since + rule.parameters.open_ticks - 1
    deliver(world, job, leaf, idle)
    world.wait(2, lag)
    assert NAMES[node.record.prover] == idle
    assert world.tick == bound


def test_latest_moves_on_while_finality_stands_still():
    world = network()
    job = open_job(world)
    first = world.machine.proving.latest(job.id, world.tick)
    world.wait(60, lag=1_000)
    assert job.is_open
    assert world.machine.proving.latest(job.id, world.tick) > first + 40
    play_on(world, dead=("p1", "p2", "p3"))
    assert job.is_settled


# --- invariants ---


def test_invariants_name_what_is_wrong():
    rule = Elected(ElectedParameters())
    header = JobHeader.__new__(JobHeader)
    job = Job(JobId(bytes(32)), header, Tick(1))
    record = Recorded(Account(bytes(32)), Claim(bytes(32)), Tick(1))
    right = Right((Account(bytes(32)),))
    rule._progress[job.id] = Progress(
        job,
        {
            at(0, 0): Place((), (), [right, right]),
            at(0, 1): Place((), (), [right]),
            at(1, 0): Place((), (), [right], record, claims=[record]),
        },
    )
    assert list(rule.invariants()) == [
        "0:0 had a holder twice",
        "1:0 is recorded before its children",
        "1:0 is shown twice by one prover",
    ]
    assert rule.needs_ticks()

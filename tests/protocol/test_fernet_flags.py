"""Fernet beyond its plainest form: penalties, bonds, several candidates, known draws, backup."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.errors import Reason, Refused
from protocol.events import (
    BackupOpened,
    BackupTaken,
    JobOpened,
    JobSettled,
    JobVoided,
    LeaderElected,
    RoundSkipped,
    RunnerUpElected,
    Skip,
)
from protocol.ledger import BURNED, VAULT, Cause, Moved, balance, block_bond, sequencer_stake
from protocol.messages import (
    NO_JOB,
    NO_POOL,
    BackupBlock,
    BlockCommitment,
    BlockReveal,
    backup_header,
    commitment_digest,
)
from protocol.params import RuleChoice, parse_settings, settings_of
from protocol.proving.elected import Elected
from protocol.rules import AwaitedBlock, BackupDuty, CommitDuty, RevealDuty
from protocol.sequencing.fernet import Fernet, OpenBlock, pool_digest
from protocol.sequencing.fernet_parameters import (
    F0,
    F1,
    F2,
    FernetParameters,
    ScoreKind,
    public_draw,
    score,
)
from protocol.testing import World, actor
from protocol.testing.cast import OUTSIDER, SEQUENCERS
from protocol.testing.moves import everybody_enlists
from protocol.testing.scenario import GENESIS_ROOT
from protocol.types import (
    Amount,
    BasisPoints,
    BodyHash,
    Count,
    Root,
    Round,
    Tick,
)
from tests.protocol.desk import NAMES, deliver, network, of, open_job, play_on, refusals, scenario
from tests.protocol.test_fernet import SALT, content_on, duty, offer, until

PLAIN = {
    "reveal_penalty_bps": BasisPoints(0),
    "block_bond": Amount(0),
    "orphan_bps": BasisPoints(0),
}


def stake(world, who):
    return world.machine.ledger.holds(sequencer_stake(actor(who).account))


def held(world, who):
    return world.machine.ledger.holds(balance(actor(who).account))


def moves(told, cause):
    return [one for one in of(Moved, told) if one.cause is cause]


def compete(world, *, reveal=SEQUENCERS, marks=b"012", content=None):
    """All sequencers commit to blocks of their own; some reveal. Returns the round's jobs."""
    head = world.machine.sequencing.head
    blocks = {
        who: content or replace(content_on(*head), body=BodyHash(bytes([mark]) * 32))
        for who, mark in zip(SEQUENCERS, marks, strict=True)
    }
    for who, block in blocks.items():
        offer(world, who, block)
    told = []
    for _ in range(20):
        for who in SEQUENCERS:
            calls = list(world.duties(who, RevealDuty))
            if calls and who in reveal and not world.waiting:
                world.say(who, BlockReveal(calls[0].round, blocks[who], SALT))
        told += world.step().events
        if of(JobOpened, told) or of(RoundSkipped, told):
            return told
    raise AssertionError("the round does not end")


def prove(world, job):
    """One prover records all of a job of one leaf."""
    view = world.board.jobs[job]
    for index, node in view.nodes.items():
        while world.tick + 1 < min(one for one in node.rights.values() if one is not None):
            world.step()
        deliver(world, view, index, NAMES[node.assigned])
    return world.step().events


# --- 4. a missing reveal ---


@pytest.mark.parametrize(("share", "lost"), [(0, 0), (1_000, 10), (10_000, 100)])
def test_4_a_leader_that_does_not_reveal_loses_its_share_of_free_stake(share, lost):
    world = network(fernet=PLAIN | {"reveal_penalty_bps": BasisPoints(share)})
    offer(world)
    skipped = until(RoundSkipped, world)
    assert skipped == RoundSkipped(Round(0), actor("s0").account, Skip.NOT_REVEALED)
    assert stake(world, "s0") == 100 - lost
    assert world.machine.ledger.holds(BURNED) == lost
    assert moves(world.wait(5), Cause.REVEAL_MISSING) == []


def test_4_a_leader_whose_head_falls_is_not_to_blame():
    world = network(fernet={"deadline_ticks": Tick(1), "reveal_ticks": Tick(60)})
    first = open_job(world, height=0)
    offer(world, "s1", content_on(first.id, first.header.to_root))
    until(LeaderElected, world)
    told = []
    while not of(RoundSkipped, told):
        told = world.step().events
    assert of(RoundSkipped, told) == [RoundSkipped(Round(1), actor("s1").account, Skip.PARENT_FELL)]
    assert first.is_void
    assert stake(world, "s1") == 100
    late = BlockReveal(Round(1), content_on(first.id, first.header.to_root), SALT)
    world.say("s1", late)
    assert refusals(world.step().events) == ["WRONG_ROUND"]


def test_6_the_round_is_skipped_with_its_head_even_before_anybody_leads():
    world = network(fernet={"deadline_ticks": Tick(1)})
    call = duty(world, "s1")
    open_job(world, height=0)
    later = duty(world, "s1")
    assert (call.round, later.round) == (0, 1)
    skipped = until(RoundSkipped, world, 60)
    assert skipped == RoundSkipped(Round(1), None, Skip.PARENT_FELL)
    # a commitment made on the fallen head is of the round that was skipped with it
    assert duty(world, "s1").round == 2


# --- 8. the bond ---


def test_8_a_bond_is_pledged_at_the_opening_and_returns_at_settlement():
    world = network(fernet={"block_bond": Amount(30)})
    job = open_job(world)
    assert (stake(world, "s0"), world.machine.ledger.holds(block_bond(job.id))) == (70, 30)
    told = play_on(world)
    assert job.is_settled
    assert [(one.amount, one.job) for one in moves(told, Cause.BOND_RETURNED)] == [(30, job.id)]
    assert (stake(world, "s0"), world.machine.ledger.holds(block_bond(job.id))) == (100, 0)


@pytest.mark.parametrize(
    ("bond", "least", "reason"),
    [(100, 100, []), (101, 1, ["BOND_NOT_COVERED"]), (100, 101, ["NOT_A_SEQUENCER"])],
)
def test_8_a_commitment_needs_a_free_bond(bond, least, reason):
    world = network(fernet={"block_bond": Amount(bond), "sequencer_stake_min": Amount(least)})
    offer(world)
    assert refusals(world.step().events) == reason


def test_8_what_is_pledged_still_makes_a_sequencer_but_covers_no_other_bond():
    world = network(
        fernet={
            "block_bond": Amount(50),
            "sequencer_stake_min": Amount(100),
            "max_unproven_jobs": Count(3),
            "deadline_ticks": Tick(200),
        }
    )
    first = open_job(world, height=0)
    second = open_job(world, height=0)
    assert second.parent == first.id
    assert stake(world, "s0") == 0
    offer(world)
    assert refusals(world.step().events) == ["BOND_NOT_COVERED"]


class Generous(Elected):
    """Elected provers that pay 7 for every recorded proof of a job that falls."""

    def compensate(self, frame, job, purse, budget):
        paid = 0
        for index, place in self._progress[job.id].places.items():
            if place.record is not None:
                pay = min(7, budget - paid)
                target = balance(place.record.prover)
                frame.ledger.move(
                    Moved(purse, target, Amount(pay), Cause.VOID_PAY, job.id, place=index)
                )
                paid += pay
        return Amount(paid)


@pytest.mark.parametrize(
    ("orphan_bps", "to_orphan", "burned"), [(0, 0, 93), (2_500, 23, 70), (10_000, 93, 0)]
)
def test_8_a_lost_bond_pays_recorded_proofs_then_orphans_then_the_burn(
    orphan_bps, to_orphan, burned
):
    like = scenario(
        fernet={
            "deadline_ticks": Tick(40),
            "block_bond": Amount(100),
            "orphan_bps": BasisPoints(orphan_bps),
        },
        operation_fee=0,
    )
    world = World(replace(like, proving=Generous))
    # the judge of elected provers knows of no such pay
    world.oracles = [one for one in world.oracles if "Elected" not in type(one).__name__]
    everybody_enlists(world)
    world.step()
    first, second = open_job(world, height=0, who="s0"), open_job(world, height=0, who="s1")
    told = prove(world, second.id)
    assert second.is_proven
    before = held(world, "s1")
    while world.machine.jobs:
        told = world.step().events
    voided = [(one.job, one.because) for one in of(JobVoided, told)]
    assert voided == [(second.id, first.id), (first.id, first.id)]
    assert [(one.amount, one.job) for one in moves(told, Cause.VOID_PAY)] == [(7, second.id)]
    assert held(world, "s1") - before == to_orphan
    assert [one.amount for one in moves(told, Cause.BOND_LOST)] == ([burned] if burned else [])
    assert (stake(world, "s0"), stake(world, "s1")) == (0, 100)
    assert world.machine.ledger.holds(BURNED) == burned


def test_8_who_failed_is_no_orphan_of_its_own():
    world = network(
        fernet={
            "deadline_ticks": Tick(1),
            "block_bond": Amount(50),
            "orphan_bps": BasisPoints(10_000),
        }
    )
    open_job(world, height=0)
    open_job(world, height=0)
    told = []
    while world.machine.jobs:
        told += world.step().events
    assert moves(told, Cause.ORPHAN_PAY) == []
    assert [one.amount for one in moves(told, Cause.BOND_LOST)] == [50]
    assert [one.amount for one in moves(told, Cause.BOND_RETURNED)] == [50]


# --- 2. and 7. candidates ---


def rivals(**more):
    return network(
        fernet={"candidates_max": Count(2), "deadline_ticks": Tick(200), "block_bond": Amount(10)}
        | more
    )


def test_2_the_best_scores_are_elected_in_their_order():
    world = rivals()
    told = compete(world)
    leader, runner_up = of(LeaderElected, told)[0], of(RunnerUpElected, told)[0]
    assert leader.candidates == 3
    assert len(of(RunnerUpElected, told)) == 1
    jobs = of(JobOpened, told)
    assert [one.header.sequencer for one in jobs] == [leader.leader, runner_up.sequencer]
    assert {one.header.content.parent for one in jobs} == {NO_JOB}
    assert {one.header.seed for one in jobs} == {world.log[-1].moment.beacon}
    third = next(
        one for one in SEQUENCERS if actor(one).account not in [j.header.sequencer for j in jobs]
    )
    world = rivals()
    for who in SEQUENCERS:
        offer(world, who)
    until(LeaderElected, world)
    assert list(world.duties(third, RevealDuty)) == []
    world.say(third, BlockReveal(Round(0), content_on(), SALT))
    assert refusals(world.step().events) == ["NOT_THE_LEADER"]


def test_7_a_worse_candidate_waits_and_is_void_when_a_better_one_is_settled():
    world = rivals()
    best, worse = (one.job for one in of(JobOpened, compete(world)))
    told = prove(world, worse)
    assert of(JobSettled, told) == []
    assert world.machine.sequencing.head[0] == best
    told = prove(world, best)
    assert of(JobSettled, told) == [JobSettled(best)]
    assert of(JobVoided, told) == [JobVoided(worse, best)]
    assert {stake(world, who) for who in SEQUENCERS} == {100}


def test_7_a_worse_candidate_counts_once_the_better_one_is_overdue():
    world = rivals(deadline_ticks=Tick(1))
    best, worse = (one.job for one in of(JobOpened, compete(world)))
    prove(world, worse)
    assert world.machine.sequencing.head[0] == best
    told = []
    while world.machine.jobs:
        told += world.step().events
    assert of(JobVoided, told) == [JobVoided(best, best)]
    assert of(JobSettled, told) == [JobSettled(worse)]
    assert of(RoundSkipped, told) == [RoundSkipped(Round(1), None, Skip.PARENT_FELL)]
    assert sorted(stake(world, who) for who in SEQUENCERS) == [90, 100, 100]


def test_7_the_next_round_builds_on_the_best_and_falls_with_it():
    world = rivals(max_unproven_jobs=Count(2), deadline_ticks=Tick(1))
    best, worse = (one.job for one in of(JobOpened, compete(world)))
    nexts = of(JobOpened, compete(world))
    assert {one.header.content.parent for one in nexts} == {best}
    assert not world.machine.sequencing.takes_commitments, "rivals count once"
    told = []
    while best in world.machine.jobs:
        told += world.step().events
    fallen = {one.job for one in of(JobVoided, told) if one.because == best}
    assert fallen == {best, *(one.job for one in nexts)}
    assert world.machine.sequencing.head[0] in (worse, NO_JOB)


def test_7_rivals_pledge_the_same_fees():
    world = rivals()
    everything = world.machine.ledger.holds(VAULT)
    rich = content_on(fee=everything)
    jobs = of(JobOpened, compete(world, content=rich))
    assert len(jobs) == 2
    greedy = content_on(jobs[0].job, jobs[0].header.to_root, fee=1)
    offer(world, content=greedy)
    until(LeaderElected, world)
    world.say("s0", BlockReveal(Round(1), greedy, SALT))
    assert refusals(world.step().events) == ["FEES_NOT_BACKED"]


def test_7_a_candidate_that_is_silent_is_out_and_only_a_round_without_any_is_skipped():
    world = rivals()
    told = compete(world)
    order = [one.header.sequencer for one in of(JobOpened, told)]
    leader = NAMES[order[0]]
    world = rivals()
    told = compete(world, reveal=[one for one in SEQUENCERS if one != leader])
    assert [one.header.sequencer for one in of(JobOpened, told)] == [order[1]]
    assert stake(world, leader) == 100
    world = rivals()
    told = compete(world, reveal=())
    assert [one.leader for one in of(RoundSkipped, told)] == [order[0]]
    assert stake(world, leader) == 90
    assert stake(world, NAMES[order[1]]) == 100


def test_7_a_deadline_does_not_matter_to_who_has_lost():
    """A better rival is proven and waits for what it is built on."""
    world = rivals()
    best, worse = (one.job for one in of(JobOpened, compete(world)))
    rule, jobs = world.machine.sequencing, world.machine.jobs
    jobs[best] = replace(jobs[best], is_proven=True)
    rule._state.open_blocks.insert(
        0, OpenBlock(NO_JOB, GENESIS_ROOT, Round(0), actor("s0").account)
    )
    jobs[NO_JOB] = replace(jobs[best], id=NO_JOB, is_proven=False)
    frame = world.machine._frame(world.log[-1].moment)
    assert rule._has_lost(frame, jobs[worse])
    assert not rule._is_overdue(frame, jobs[worse])
    assert not rule._has_lost(frame, jobs[best])


# --- 2. known draws ---


def test_2_public_draws_follow_from_seed_round_and_account_alone():
    world = network(fernet={"score": ScoreKind.PUBLIC})
    assert duty(world, "s0") == CommitDuty(Round(0), None, NO_JOB, GENESIS_ROOT)
    seed = world.machine.epoch_seed
    for who in SEQUENCERS:
        call = duty(world, who)
        content = commitment_digest(content_on(), SALT)
        world.say(who, BlockCommitment(call.round, content, BasisPoints(0), bytes(80)))
    elected = until(LeaderElected, world)
    draws = {who: public_draw(seed, Round(0), actor(who).account) for who in SEQUENCERS}
    best = max(SEQUENCERS, key=lambda who: score(draws[who], BasisPoints(0)))
    assert NAMES[elected.leader] == best
    others = {
        public_draw(seed, Round(1), actor(best).account),
        public_draw(GENESIS_ROOT, Round(0), actor(best).account),
        *draws.values(),
    }
    assert len(others) == 5


def test_2_where_draws_are_public_a_proof_carries_nothing():
    world = network(fernet={"score": ScoreKind.PUBLIC})
    content = commitment_digest(content_on(), SALT)
    world.say("s0", BlockCommitment(Round(0), content, BasisPoints(0), bytes(79) + b"1"))
    assert refusals(world.step().events) == ["BAD_VRF_PROOF"]


# --- 3. prover commitment ---


class Hesitant(Elected):
    """Elected provers, but only some sequencers' blocks have one."""

    willing: tuple[str, ...] = ()

    def is_committed(self, round, sequencer):
        return NAMES[sequencer] in self.willing


def hesitant(*willing, **fernet):
    rule = type("Hesitant", (Hesitant,), {"willing": willing})
    world = World(replace(scenario(fernet=fernet), proving=rule))
    # the judge of Fernet takes elected provers to be committed always
    world.oracles = [one for one in world.oracles if type(one).__name__ != "FernetRounds"]
    everybody_enlists(world)
    world.step()
    return world


def test_3_provers_commit_between_election_and_reveal():
    world = hesitant("s0", prover_commit_ticks=Tick(3))
    offer(world)
    leader = until(LeaderElected, world)
    assert leader.reveal_ends == world.tick + 3 + 3
    until_tick = Tick(world.tick + 2)
    due = AwaitedBlock(Round(0), actor("s0").account, until_tick, Count(8))
    assert world.machine.sequencing.awaited() == (due,)
    assert duty(world, "s0") is None
    world.say("s0", BlockReveal(Round(0), content_on(), SALT))
    assert refusals(world.step().events) == ["WRONG_ROUND"]
    world.wait(1)
    assert duty(world, "s0") is None
    world.wait(1)
    assert duty(world, "s0") == RevealDuty(Round(0))
    world.say("s0", BlockReveal(Round(0), content_on(), SALT))
    assert until(JobOpened, world)
    assert world.tick == leader.reveal_ends


def test_3_without_a_prover_the_round_is_skipped_and_the_leader_is_not_punished():
    world = hesitant(prover_commit_ticks=Tick(3), backup_ticks=Tick(5))
    offer(world)
    leader = until(LeaderElected, world)
    told = world.wait(3)
    assert of(RoundSkipped, told) == [RoundSkipped(Round(0), leader.leader, Skip.NOT_COMMITTED)]
    assert of(BackupOpened, told) == [BackupOpened(Round(1), Tick(world.tick + 6))]
    assert stake(world, "s0") == 100


def test_3_a_candidate_without_a_prover_is_out():
    world = hesitant("s0", prover_commit_ticks=Tick(2), candidates_max=Count(3))
    told = compete(world)
    assert [NAMES[one.header.sequencer] for one in of(JobOpened, told)] == ["s0"]


def test_5_at_the_opening_a_block_needs_its_prover():
    world = hesitant(backup_ticks=Tick(5))
    offer(world)
    until(LeaderElected, world)
    world.say("s0", BlockReveal(Round(0), content_on(), SALT))
    world.step()
    revealed = world.machine.sequencing.awaited()[0]
    assert revealed.leaf_count == 1
    told = world.wait(3)
    assert of(RoundSkipped, told)[0].why is Skip.NOT_COMMITTED
    assert of(BackupOpened, told)


# --- 9. backup ---


def waiting_for_backup(**more):
    """A network whose only job missed its deadline."""
    world = network(
        fernet={"deadline_ticks": Tick(1), "backup_ticks": Tick(4), "max_unproven_jobs": Count(1)}
        | more
    )
    open_job(world, height=0)
    return world, until(BackupOpened, world, 80)


def backup_of(world, round_, content=None):
    return BackupBlock(Round(round_), content or content_on(leaves=2), BodyHash(b"2" * 32))


def test_9_anybody_brings_a_block_after_a_missed_deadline_and_gets_all_of_it():
    world, opened = waiting_for_backup()
    assert opened.closes == world.tick + 5
    assert duty(world, OUTSIDER) == BackupDuty(opened.round, NO_JOB, opened.closes)
    before = held(world, OUTSIDER)
    payload = backup_of(world, opened.round)
    world.say(OUTSIDER, payload)
    told = world.step().events
    header = of(JobOpened, told)[0].header
    assert header == backup_header(world.machine.network, actor(OUTSIDER).account, payload)
    assert header.pool == NO_POOL == pool_digest(())
    job = of(JobOpened, told)[0].job
    assert of(BackupTaken, told) == [BackupTaken(job, actor(OUTSIDER).account)]
    assert of(JobSettled, told) == [JobSettled(job)]
    assert held(world, OUTSIDER) == before + 14 - world.scenario.operation_fee
    assert world.machine.sequencing.head == (job, header.to_root)
    assert world.machine.jobs == {}
    assert duty(world, "s0") == replace(
        duty(world, "s0"), round=Round(opened.round + 1), parent=job
    )


def test_9_a_backup_gets_the_block_reward_too():
    like = scenario(fernet={"deadline_ticks": Tick(1), "backup_ticks": Tick(4)}, operation_fee=0)
    world = World(replace(like, block_reward=50, treasury=70))
    everybody_enlists(world)
    world.step()
    open_job(world, height=0)
    opened = until(BackupOpened, world, 80)
    world.say(OUTSIDER, backup_of(world, opened.round))
    before = held(world, OUTSIDER)
    world.step()
    assert held(world, OUTSIDER) - before == 14 + 50


@pytest.mark.parametrize(
    ("round_", "content", "reason"),
    [
        (1, content_on(), "WRONG_ROUND"),
        (0, content_on(leaves=3), "WRONG_LEAF_COUNT"),
        (0, content_on(root=Root(b"1" * 32)), "WRONG_PARENT"),
        (0, content_on(fee=100_001), "FEES_NOT_BACKED"),
    ],
)
def test_9_backups_that_do_not_count(round_, content, reason):
    world, opened = waiting_for_backup()
    world.say("p0", backup_of(world, opened.round + round_, content))
    assert refusals(world.step().events) == [reason]


def test_9_the_first_one_counts_and_none_after_its_time():
    world, opened = waiting_for_backup()
    world.say("p0", backup_of(world, opened.round))
    world.say("p1", backup_of(world, opened.round))
    assert refusals(world.step().events) == ["WRONG_ROUND"]
    world, opened = waiting_for_backup()
    while world.tick + 2 < opened.closes:
        world.step()
    assert duty(world, "p0") is not None
    world.step()
    assert duty(world, "p0") is None, "the next block is too late"
    world.say("p0", backup_of(world, opened.round))
    assert refusals(world.step().events) == ["WRONG_ROUND"]


def test_9_no_commitments_while_a_backup_is_awaited_and_rounds_go_on_after_it():
    world, opened = waiting_for_backup()
    assert list(world.duties("s0", CommitDuty)) == []
    assert world.machine.needs_ticks()
    world.last_duty = CommitDuty(opened.round, None, NO_JOB, GENESIS_ROOT)
    content = commitment_digest(content_on(), SALT)
    world.say("s0", BlockCommitment(opened.round, content, BasisPoints(0), bytes(80)))
    assert refusals(world.step().events) == ["WRONG_ROUND"]
    while world.tick < opened.closes:
        world.step()
    assert duty(world, "s0").round == opened.round
    assert not world.machine.needs_ticks()


def test_9_not_without_backup_ticks_and_not_beside_an_open_job():
    world = network(fernet={"deadline_ticks": Tick(1)})
    open_job(world, height=0)
    told = []
    while world.machine.jobs:
        told += world.step().events
    assert of(BackupOpened, told) == []
    world = rivals(deadline_ticks=Tick(1), backup_ticks=Tick(4))
    best, worse = (one.job for one in of(JobOpened, compete(world)))
    prove(world, worse)
    told = []
    while world.machine.jobs:
        told += world.step().events
    assert of(JobVoided, told) == [JobVoided(best, best)]
    assert of(BackupOpened, told) == []


# --- what may be sealed ---


def test_only_what_the_rule_awaits_may_be_sealed():
    world, opened = waiting_for_backup()
    rule, who = world.machine.sequencing, actor(OUTSIDER).account
    good = backup_of(world, opened.round)
    assert rule.may_seal(who, good)
    assert not rule.may_seal(who, replace(good, round=Round(opened.round + 1)))
    assert not rule.may_seal(who, replace(good, content=content_on(Root(b"1" * 32))))
    assert not rule.may_seal(who, BlockReveal(opened.round, content_on(), SALT))
    assert not rule.may_seal(who, content_on())
    world = network()
    offer(world)
    until(LeaderElected, world)
    rule, reveal = world.machine.sequencing, BlockReveal(Round(0), content_on(), SALT)
    assert rule.may_seal(actor("s0").account, reveal)
    assert not rule.may_seal(actor("s1").account, reveal)
    assert not rule.may_seal(actor("s0").account, replace(good, round=Round(0)))


# --- presets ---


@pytest.mark.parametrize("preset", [F0, F1, F2], ids=["F0", "F1", "F2"])
def test_presets_are_rules_and_survive_a_genesis(preset):
    Fernet(preset)
    choice = RuleChoice("fernet", settings_of(preset))
    assert parse_settings(FernetParameters, choice) == preset


def test_presets_are_what_they_are_called():
    assert FernetParameters() == F1
    assert (F0.candidates_max > 1, F1.candidates_max, F2.candidates_max) == (True, 1, 1)
    assert F2.max_unproven_jobs == 1 < F1.max_unproven_jobs
    assert F2.score is ScoreKind.PUBLIC
    assert min(F2.prover_commit_ticks, F2.backup_ticks) > 0
    with pytest.raises(Refused) as refusal:
        Fernet(replace(F0, candidates_max=Count(0)))
    assert refusal.value.reason is Reason.CONTRADICTORY_GENESIS

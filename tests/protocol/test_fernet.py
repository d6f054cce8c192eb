"""Fernet, sentence by sentence: tests are named after the numbers of the docstring."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from protocol import vrf
from protocol.errors import Reason, Refused
from protocol.events import (
    BlockSealed,
    JobOpened,
    JobSettled,
    JobVoided,
    LeaderElected,
    PoolMember,
    RoundOpened,
    RoundSkipped,
    Skip,
)
from protocol.ledger import VAULT, Cause, Moved
from protocol.messages import (
    NO_JOB,
    BlockCommitment,
    BlockContent,
    BlockReveal,
    LeafHeader,
    commitment_digest,
)
from protocol.rules import CommitDuty, RevealDuty
from protocol.sequencing.fernet import (
    AwaitingBackup,
    Candidate,
    Collecting,
    Fernet,
    OpenBlock,
    pool_digest,
)
from protocol.sequencing.fernet_parameters import FernetParameters, lot, score
from protocol.testing import actor
from protocol.testing.cast import OUTSIDER, SEQUENCERS, draw_lot
from protocol.testing.moves import commit, reveal
from protocol.testing.scenario import GENESIS_ROOT
from protocol.types import (
    Account,
    Amount,
    BasisPoints,
    Beacon,
    BodyHash,
    Count,
    Digest,
    JobId,
    Root,
    Round,
    Salt,
    Stake,
    Tick,
    TransferDigest,
    VrfOutput,
)
from tests.protocol.desk import NAMES, deliver, network, of, open_job, paid, play_on, refusals

SALT = Salt(b"salt" * 8)


def content_on(parent=NO_JOB, root=GENESIS_ROOT, leaves=1, fee=7):
    headers = tuple(
        LeafHeader(TransferDigest(bytes(32)), Amount(fee), Root(bytes([at + 1]) * 32))
        for at in range(leaves)
    )
    return BlockContent(parent, root, headers, BodyHash(bytes(32)))


def duty(world, who):
    return next(world.duties(who, object), None)


def offer(world, who="s0", content=None, split=5_000, **changes):
    """A commitment to a content of ours."""
    call = duty(world, who)
    drawn, _ = draw_lot(who, call.lot)
    commitment = BlockCommitment(
        call.round, commitment_digest(content or content_on(), SALT), BasisPoints(split), drawn
    )
    world.say(who, replace(commitment, **changes))


def until(kind, world, ticks=20):
    for _ in range(ticks):
        found = of(kind, world.step().events)
        if found:
            return found[0]
    raise AssertionError(f"no {kind.__name__}")


# --- 1. proposal ---


def test_1_a_round_opens_with_its_first_commitment_and_closes_after_the_window():
    world = network()
    assert world.machine.sequencing.phase is None
    assert world.machine.sequencing.round == 0
    assert not world.machine.needs_ticks()
    world.wait(3)
    offer(world)
    told = world.step().events
    assert of(RoundOpened, told) == [RoundOpened(Round(0), Tick(world.tick + 2))]
    assert world.machine.needs_ticks()
    offer(world, "s1")
    assert of(RoundOpened, world.step().events) == []
    elected = until(LeaderElected, world)
    assert world.tick == of(RoundOpened, told)[0].closes
    assert elected.candidates == 2


def test_1_one_commitment_a_sequencer():
    world = network()
    call = duty(world, "s0")
    offer(world)
    world.step()
    assert duty(world, "s0") is None
    drawn, _ = draw_lot("s0", call.lot)
    world.say("s0", BlockCommitment(call.round, Digest(bytes(32)), BasisPoints(0), drawn))
    assert refusals(world.step().events) == ["ALREADY_COMMITTED"]


@pytest.mark.parametrize(
    ("who", "changes", "reason"),
    [
        ("s0", {"round": Round(1)}, "WRONG_ROUND"),
        (OUTSIDER, {}, "NOT_A_SEQUENCER"),
        ("s0", {"vrf_proof": bytes(80)}, "BAD_VRF_PROOF"),
    ],
)
def test_1_commitments_that_do_not_count(who, changes, reason):
    world = network()
    offer(world, who, **changes)
    assert refusals(world.step().events) == [reason]
    assert world.machine.sequencing.phase is None


@pytest.mark.parametrize(("least", "who"), [(101, "s0"), (0, OUTSIDER)])
def test_1_a_sequencer_has_the_least_stake_and_never_none(least, who):
    world = network(fernet={"sequencer_stake_min": Stake(least)})
    offer(world, who)
    assert refusals(world.step().events) == ["NOT_A_SEQUENCER"]


def test_1_an_account_without_a_vrf_key_draws_no_lot():
    world = network()
    for machine in (world.machine, world._twin):
        del machine.vrf_keys[actor("s0").account]
    world.oracles.clear()
    offer(world)
    assert refusals(world.step().events) == ["BAD_VRF_PROOF"]


def test_1_no_commitments_while_the_round_is_in_another_phase():
    world = network()
    call = duty(world, "s1")
    offer(world)
    until(LeaderElected, world)
    assert duty(world, "s1") is None
    drawn, _ = draw_lot("s1", call.lot)
    world.say("s1", BlockCommitment(call.round, Digest(bytes(32)), BasisPoints(0), drawn))
    assert refusals(world.step().events) == ["WRONG_ROUND"]


def test_1_no_round_opens_while_too_many_jobs_are_open():
    world = network(fernet={"deadline_ticks": Tick(200)})
    first, second = open_job(world), open_job(world)
    assert second.header.content.parent == first.id
    assert duty(world, "s0") is None
    call = CommitDuty(Round(2), lot(world.machine.epoch_seed, Round(2)), NO_JOB, GENESIS_ROOT)
    world.last_duty = call
    commit(world, who="s0", height=0, split=0, fee=0, how="honest")
    assert refusals(world.step().events) == ["WRONG_ROUND"]
    play_on(world)
    assert isinstance(duty(world, "s0"), CommitDuty)


def test_1_a_round_keeps_the_seed_of_the_epoch_it_opened_in():
    world = network(epoch_ticks=8, fernet={"proposal_ticks": Tick(4)})
    world.wait(8 * 4 - world.tick - 1)
    old = world.machine.epoch_seed
    offer(world)
    world.step()
    assert world.tick == 32
    assert world.machine.epoch_seed != old
    assert duty(world, "s1").lot == lot(old, Round(0))
    offer(world, "s1")
    assert refusals(world.step().events) == []


# --- 2. election ---


def test_2_the_score_is_the_output_times_one_and_the_split():
    output = VrfOutput(bytes(62) + b"\x01\x00")
    assert score(output, BasisPoints(0)) == 256 * 10_000
    assert score(output, BasisPoints(10_000)) == 256 * 20_000


def test_2_the_greatest_score_leads():
    world = network()
    for who in SEQUENCERS:
        offer(world, who, split=0)
    elected = until(LeaderElected, world)
    seed = world.machine.epoch_seed
    best = max(SEQUENCERS, key=lambda who: draw_lot(who, lot(seed, Round(0)))[1])
    assert NAMES[elected.leader] == best


def test_2_a_full_split_doubles_the_draw():
    """A split of s against all others' t wins as if the draw were multiplied by (1+s)/(1+t)."""
    wins = Counter()
    for number in range(400):
        seed = Beacon(number.to_bytes(32, "big"))
        scores = {
            who: score(
                draw_lot(who, lot(seed, Round(0)))[1], BasisPoints(10_000 if who == "s0" else 0)
            )
            for who in SEQUENCERS
        }
        wins[max(scores, key=scores.get)] += 1
    # closed form: 1 - (1 - 1/n) / r with n = 3 and r = 2, so 2/3; others 1/6 each
    assert abs(wins["s0"] - 400 * 2 // 3) < 30
    assert abs(wins["s1"] - wins["s2"]) < 40


def test_2_the_pool_freezes_at_the_election():
    world = network(cards=(1, 2))
    offer(world)
    until(LeaderElected, world)
    pool = world.machine.sequencing.phase.pool
    assert {NAMES[one.prover]: one.cards for one in pool} == {"p0": 1, "p1": 2}
    world.say("s0", BlockReveal(Round(0), content_on(), SALT))
    opened = until(JobOpened, world)
    assert opened.pool == pool
    assert opened.header.pool == pool_digest(pool)
    assert pool_digest(pool) != pool_digest((PoolMember(pool[0].prover, Count(9)), *pool[1:]))


# --- 3. reveal ---


def elected(world, content=None, **changes):
    offer(world, content=content)
    leader = until(LeaderElected, world)
    assert duty(world, "s0") == RevealDuty(Round(0))
    assert duty(world, "s1") is None
    return leader


@pytest.mark.parametrize(
    ("who", "round_", "salt", "reason"),
    [
        ("s0", 1, SALT, "WRONG_ROUND"),
        ("s1", 0, SALT, "NOT_THE_LEADER"),
        ("s0", 0, Salt(bytes(32)), "WRONG_REVEAL"),
    ],
)
def test_3_only_the_leader_reveals_what_it_committed_to(who, round_, salt, reason):
    world = network()
    elected(world)
    world.say(who, BlockReveal(Round(round_), content_on(), salt))
    assert refusals(world.step().events) == [reason]


def test_3_no_reveal_without_a_leader():
    world = network()
    world.say("s0", BlockReveal(Round(0), content_on(), SALT))
    assert refusals(world.step().events) == ["WRONG_ROUND"]


def test_3_a_reveal_seals_the_block_once():
    world = network()
    elected(world)
    for _ in range(2):
        world.say("s0", BlockReveal(Round(0), content_on(), SALT))
    told = world.step().events
    assert of(BlockSealed, told) == [BlockSealed(Round(0), actor("s0").account)]
    assert refusals(told) == ["ALREADY_REVEALED"]
    assert duty(world, "s0") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (content_on(leaves=3), "WRONG_LEAF_COUNT"),
        (content_on(leaves=16), "WRONG_LEAF_COUNT"),
        (content_on(leaves=0), "WRONG_LEAF_COUNT"),
        (content_on(parent=JobId(b"1" * 32)), "WRONG_PARENT"),
        (content_on(root=Root(b"1" * 32)), "WRONG_PARENT"),
        (content_on(fee=100_001), "FEES_NOT_BACKED"),
    ],
)
def test_3_a_content_that_cannot_stand_is_refused(content, reason):
    world = network()
    elected(world, content)
    world.say("s0", BlockReveal(Round(0), content, SALT))
    assert refusals(world.step().events) == [reason]


def test_3_fees_of_open_jobs_are_pledged_already():
    world = network(fernet={"deadline_ticks": Tick(200)})
    job = open_job(world, height=0, fee=1_000)
    everything = world.machine.ledger.holds(VAULT)
    greedy = content_on(job.id, job.header.to_root, fee=everything - 999)
    offer(world, content=greedy)
    until(LeaderElected, world)
    world.say("s0", BlockReveal(Round(1), greedy, SALT))
    assert refusals(world.step().events) == ["FEES_NOT_BACKED"]


def test_3_without_a_reveal_the_round_is_skipped_and_the_next_builds_on_the_same_head():
    world = network()
    leader = elected(world)
    skipped = until(RoundSkipped, world)
    assert skipped == RoundSkipped(Round(0), leader.leader, Skip.NOT_REVEALED)
    assert world.tick == leader.reveal_ends
    assert duty(world, "s0") == CommitDuty(
        Round(1), lot(world.machine.epoch_seed, Round(1)), NO_JOB, GENESIS_ROOT
    )


# --- 4. opening ---


@pytest.mark.parametrize("wait", [0, 1])
def test_4_the_job_opens_at_the_fixed_end_with_that_beacon_whenever_the_reveal_came(wait):
    world = network()
    leader = elected(world)
    world.wait(wait)
    world.say("s0", BlockReveal(Round(0), content_on(), SALT))
    opened = until(JobOpened, world)
    assert world.tick == leader.reveal_ends
    assert opened.header.seed == world.log[-1].moment.beacon
    assert opened.header.content == content_on()
    assert (opened.header.round, opened.header.fee_split) == (0, 5_000)


def test_4_the_block_that_gives_the_seed_takes_no_reveal():
    world = network()
    leader = elected(world)
    world.wait(leader.reveal_ends - world.tick - 1)
    world.say("s0", BlockReveal(Round(0), content_on(), SALT))
    told = world.step().events
    assert refusals(told) == ["WRONG_ROUND"]
    assert of(RoundSkipped, told)


# --- 5. proving ---


def test_5_a_job_that_misses_its_deadline_is_void_with_all_that_is_built_on_it():
    world = network(fernet={"deadline_ticks": Tick(60)})
    first, second = open_job(world), open_job(world)
    told = world.wait(62 - (world.tick - first.opened_at))
    voided = of(JobVoided, told)
    assert [(one.job, one.because) for one in voided] == [
        (second.id, first.id),
        (first.id, first.id),
    ]
    assert world.tick <= first.opened_at + 62
    assert duty(world, "s0").parent == NO_JOB
    assert world.machine.ledger.holds(VAULT) == 100_000


def test_5_never_before_the_proving_rule_has_let_everybody_have_their_time():
    world = network(fernet={"deadline_ticks": Tick(1)})
    job = open_job(world)
    latest = world.machine.proving.latest(job.id, world.tick)
    assert latest > job.opened_at + 1
    play_on(world, dead=("p0", "p1", "p2"))
    assert job.is_settled


def test_5_a_content_whose_parent_fell_is_skipped():
    world = network(fernet={"deadline_ticks": Tick(1), "reveal_ticks": Tick(60)})
    first = open_job(world, height=0)
    commit(world, who="s0", height=0, split=0, fee=0, how="honest")
    until(LeaderElected, world)
    reveal(world, how="honest", who="s0")
    assert of(BlockSealed, world.step().events)
    told = []
    while not of(RoundSkipped, told):
        told = world.step().events
    assert first.is_void
    assert world.machine.jobs == {}


# --- 6. pay ---


@pytest.mark.parametrize("split", [0, 2_500, 10_000])
def test_6_the_split_goes_to_provers_and_the_rest_to_the_sequencer(split):
    world = network()
    job = open_job(world, height=1, split=split, fee=1_001)
    told = play_on(world)
    fees = job.header.fees
    share = [one for one in of(Moved, told) if one.cause is Cause.SEQUENCER_SHARE]
    provers = sum(paid(told, job, Cause.PROVER_PAY).values())
    assert sum(one.amount for one in share) == fees - fees * split // 10_000
    assert {one.target.owner for one in share} <= {actor("s0").account}
    rounding = sum(one.amount for one in of(Moved, told) if one.cause is Cause.ROUNDING)
    assert provers + rounding == fees * split // 10_000
    assert world.machine.ledger.holds(VAULT) == 100_000 - fees


def test_6_jobs_settle_in_order():
    world = network(fernet={"deadline_ticks": Tick(200)})
    first, second = open_job(world), open_job(world)
    told = []
    while not second.is_proven:
        for index in second.nodes:
            for name in world.scenario.provers:
                due = second.nodes[index].admissible(actor(name).account)
                if not second.nodes[index].record and due and due <= world.tick + 1:
                    deliver(world, second, index, name)
        told += world.step().events
    assert of(JobSettled, told) == []
    told = play_on(world)
    assert [one.job for one in of(JobSettled, told)] == [first.id, second.id]


# --- parameters, claims, invariants ---


@pytest.mark.parametrize(
    "wrong",
    [
        {"proposal_ticks": Tick(0)},
        {"reveal_ticks": Tick(1)},
        {"max_unproven_jobs": Count(0)},
        {"leaf_count_max": Count(0)},
    ],
    ids=str,
)
def test_parameters_under_which_no_block_is_sealed_are_refused(wrong):
    with pytest.raises(Refused) as refusal:
        Fernet(replace(FernetParameters(), **wrong))
    assert refusal.value.reason is Reason.CONTRADICTORY_GENESIS


def test_equal_splits_are_fair():
    wins = Counter()
    for number in range(600):
        drawn = lot(Beacon(number.to_bytes(32, "big")), Round(7))
        wins[max(SEQUENCERS, key=lambda who: draw_lot(who, drawn)[1])] += 1
    due = 200
    assert sum(1_000 * (wins[who] - due) ** 2 // due for who in SEQUENCERS) < 13_816


def test_lots_differ_by_round_and_seed():
    seeds = [Beacon(bytes(32)), Beacon(b"1" * 32)]
    assert len({lot(seed, Round(number)) for seed in seeds for number in (0, 1)}) == 4
    proof, output = draw_lot("s0", lot(seeds[0], Round(0)))
    assert vrf.verify(actor("s0").vrf_key, lot(seeds[0], Round(0)), proof) == output


def test_reveals_are_ordered_at_once():
    assert Fernet(FernetParameters()).earliest(actor("s0").account, content_on(), ()) == 0


def test_invariants_name_what_is_wrong():
    rule = Fernet(FernetParameters())
    assert list(rule.invariants()) == []
    one = Candidate(Account(bytes(32)), Digest(bytes(32)), BasisPoints(0), 1)
    rule._state.phase = Collecting(Tick(1), Beacon(bytes(32)), (one, one))
    rule._state.open_blocks = [
        OpenBlock(NO_JOB, GENESIS_ROOT, Round(number), one.sequencer) for number in (0, 1, 2, 2)
    ]
    assert list(rule.invariants()) == [
        "a sequencer has two commitments in one round",
        "jobs of more rounds are open than max_unproven_jobs",
        "a round has more jobs than candidates_max",
    ]
    rule._state.phase = AwaitingBackup(Tick(1))
    assert list(rule.invariants())[-1] == "a backup is awaited although a job is open"

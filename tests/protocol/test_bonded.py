"""Bonded provers, sentence by sentence: tests are named after the numbers of the docstring."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings, strategies as st

from protocol.errors import Reason, Refused
from protocol.events import (
    Assigned,
    Awarded,
    JobProven,
    JobVoided,
    RightMissed,
    RightOpened,
    RoundSkipped,
    Skip,
    WindowStarted,
)
from protocol.ledger import BURNED, Cause, Moved, balance, price, prover_bond
from protocol.messages import Award, Operation
from protocol.proving.bonded import Bonded, BondedParameters, Recorded, award_id
from protocol.rules import Ask, AwaitedBlock, Stage
from protocol.testing import JobView, Scenario, World, actor
from protocol.testing.cast import OUTSIDER
from protocol.testing.moves import bid_of, commit, due_records, record_of, reveal
from protocol.testing.scenario import BONDED, QUICK_BONDED, QUICK_FERNET
from protocol.types import Amount, Claim, Count, JobId, Nonce, Round, Stake, Tick, Work
from tests.properties.toys import FirstCome, NoParameters, reveal_at_once
from tests.protocol.desk import at, deliver, of, open_job, places, play_on, refusals

PLAIN = replace(
    BONDED, sequencer_stake=5, sequencing_parameters=replace(QUICK_FERNET, block_bond=Amount(0))
)
FIXED = replace(QUICK_BONDED, is_dynamic=False, bond_percent=Count(100), bond_floor=Amount(0))
MOVING = replace(FIXED, is_dynamic=True, decay_ticks=Tick(50))
WINDOW = FIXED.max_prover_ticks
WORTH = Amount(25)
"""Stake of a sequencer of the scenario, and its MEV."""

FEE = 10
S0 = actor("s0").account


def network(rule: BondedParameters = FIXED, **rest) -> World:
    return World(replace(PLAIN, proving_parameters=rule, **rest))


def lead(world: World, height: int = 2) -> None:
    """The first sequencer leads a round, and may have its block promised."""
    commit(world, who="s0", height=height, split=0, fee=100, how="honest")
    world.wait(3)
    assert [one.sequencer for one in world.machine.sequencing.awaited()] == [S0]


def award(world, prover="p1", *, bond=60, who="s0", sequencer=S0, round_=None, **rest):
    """What an award of the block to come brings about."""
    round_ = world.machine.sequencing.round if round_ is None else round_
    offer = bid_of(world, prover, round_, sequencer, bond=Amount(bond), **rest)
    world.say(who, Award(offer))
    return world.step(proposer="s2").events


def money(world: World, who: str) -> int:
    return world.machine.ledger.holds(balance(actor(who).account))


def locked(world: World, round_: int = 0) -> tuple[int, int]:
    """Bond and price in the pockets of an award."""
    name = award_id(Round(round_), S0)
    return world.machine.ledger.holds(prover_bond(name)), world.machine.ledger.holds(price(name))


def job_of(world: World, prover: str = "p1", height: int = 2, **rest) -> JobView:
    """The job of a new block that was awarded to ``prover``."""
    known = len(world.board.jobs)
    lead(world, height)
    assert refusals(award(world, prover, **rest)) == []
    reveal(world, how="honest", who="s0")
    world.wait(2)
    assert len(world.board.jobs) == known + 1
    return list(world.board.jobs.values())[-1]


def prove(world: World, job: JobView, who: str = "p1") -> list:
    """The prover delivers what it may until the root is recorded."""
    told = []
    while not job.is_proven:
        for record in due_records(world, who):
            world.say(who, record)
        told += world.step(2).events
    return told


def causes(events, job: JobView | None) -> dict[Cause, tuple[bytes, int]]:
    """Receiver and amount of each move of award money for a job, or for none."""
    name = None if job is None else job.id
    return {
        moved.cause: (moved.target.owner or moved.target.kind.value, moved.amount)
        for moved in of(Moved, events)
        if moved.cause.name.startswith("AWARD_") and moved.job == name
    }


# --- 2: award ---


def test_2_an_award_locks_bond_and_price():
    world = network()
    lead(world)
    told = award(world, price=40, bond=60)
    prover = actor("p1").account
    assert of(Awarded, told) == [Awarded(Round(0), S0, prover, Amount(40), Amount(60))]
    assert locked(world) == (60, 40)
    assert (money(world, "p1"), money(world, "s0")) == (1_000 - 60, 1_000 - 40 - FEE)
    rule = world.machine.proving
    assert rule.is_committed(Round(0), S0)
    assert rule.pledge(Round(0), S0).prover == prover
    assert rule.pledge(Round(1), S0) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"who": "s1"}, "BID_FOR_ANOTHER"),
        ({"who": "s1", "sequencer": actor("s1").account}, "NOT_AWAITED"),
        ({"round_": Round(1)}, "NOT_AWAITED"),
        ({"valid_for": 0}, "BID_EXPIRED"),
        ({"bond": WORTH}, "BOND_TOO_LOW"),
        ({"prover": OUTSIDER}, "NO_PROVER_STAKE"),
        ({"bond": 1_001}, "BOND_UNPAYABLE"),
        ({"price": 991}, "PRICE_UNPAYABLE"),
        ({"key": "a forger"}, "BAD_SIGNATURE"),
    ],
)
def test_2_what_an_award_must_be(change, reason):
    world = network()
    lead(world)
    assert refusals(award(world, **change)) == [reason]
    assert not world.machine.proving.is_committed(Round(0), S0)


@pytest.mark.parametrize(
    "change", [{"valid_for": 1}, {"bond": WORTH + 1}, {"bond": 1_000}, {"price": 990}]
)
def test_2_the_edge_of_what_an_award_may_be(change):
    world = network()
    lead(world)
    assert refusals(award(world, **change)) == []


class Both(Scenario):
    """The first sequencer has prover stake, too."""

    def _account(self, name):
        account = super()._account(name)
        return replace(account, prover_stake=Stake(1)) if name == "s0" else account


@pytest.mark.parametrize(("cost", "reasons"), [(930, []), (931, ["PRICE_UNPAYABLE"])])
def test_2_a_sequencer_that_proves_its_own_block_pays_both(cost, reasons):
    world = World(Both(**{one.name: getattr(PLAIN, one.name) for one in fields(PLAIN)}))
    lead(world)
    assert refusals(award(world, "s0", price=cost)) == reasons


def test_2_the_first_award_counts():
    world = network()
    lead(world)
    (ask,) = world.machine.asks()
    block = AwaitedBlock(Round(0), S0, Tick(6), Count(8))
    assert ask == Ask(block, Amount(WORTH + 1), WINDOW, Work(8 * 15 + 7 * 33))
    award(world)
    assert refusals(award(world, "p2")) == ["ALREADY_AWARDED"]
    assert world.machine.asks() == ()


def test_2_a_block_that_was_revealed_is_asked_for_by_its_size():
    world = network()
    lead(world, height=1)
    reveal(world, how="honest", who="s0")
    world.step()
    (ask,) = world.machine.asks()
    assert (ask.block.leaf_count, ask.work) == (2, 2 * 15 + 33)


# --- 3: bond ---


@given(
    worth=st.integers(0, 10**12),
    percent=st.integers(0, 500),
    floor=st.integers(0, 10**6),
    tick=st.integers(0, 10**6),
)
@settings(max_examples=100)
def test_3_a_bond_exceeds_what_is_at_stake(worth, percent, floor, tick):
    rule = Bonded(replace(MOVING, bond_percent=Count(percent), bond_floor=Amount(floor)))
    due = rule.bond_due(Amount(worth), Tick(tick))
    assert due >= floor
    assert due * 100 > worth * percent
    assert due == floor or (due - 1) * 100 <= worth * percent


def test_3_a_dynamic_bond_counts_the_jobs_that_a_miss_may_touch():
    world = network(MOVING)
    rule = world.machine.proving
    assert rule.bond_due(WORTH, world.tick) == WORTH + 1
    opened = job_of(world).opened_at
    assert rule.bond_due(WORTH, Tick(opened + WINDOW - 1)) == 2 * WORTH + 1
    assert rule.bond_due(WORTH, Tick(opened + WINDOW)) == WORTH + 1
    assert network(FIXED).machine.proving.bond_due(WORTH, Tick(opened)) == WORTH + 1


def test_3_after_a_miss_the_bond_is_doubled_and_falls_back():
    world = network(MOVING)
    rule, due = world.machine.proving, WORTH + 1
    job_of(world)
    while not of(RightMissed, world.step().events):
        assert rule.bond_due(WORTH, Tick(world.tick + WINDOW)) == due
    missed = world.tick + WINDOW
    assert rule.bond_due(WORTH, Tick(missed)) == due * (20_000 - 10_000 * WINDOW // 50) // 10_000
    assert rule.bond_due(WORTH, Tick(world.tick + 25)) == due * 3 // 2
    assert rule.bond_due(WORTH, Tick(world.tick + 49)) == due * 10_200 // 10_000
    assert rule.bond_due(WORTH, Tick(world.tick + 50)) == due
    assert rule.bond_due(WORTH, Tick(world.tick + 999)) == due


def test_3_the_surcharge_is_the_root_of_the_jobs_before_and_multiplies_again():
    world = network(replace(MOVING, max_prover_ticks=Tick(99), decay_ticks=Tick(1_000)))
    for _ in range(9):
        prove(world, job_of(world, height=0, bond=400))
        world.step()
    job_of(world, height=0, bond=400)
    while not of(RightMissed, world.step().events):
        pass
    rule, first = world.machine.proving, world.tick
    assert rule.bond_due(WORTH, first) == 3 * (WORTH + 1)
    job_of(world, height=0, bond=400)
    while not of(RightMissed, world.step().events):
        pass
    left = 10_000 + 20 * (1_000 - (world.tick - first))
    assert rule.bond_due(WORTH, world.tick) == 2 * left * (WORTH + 1) // 10_000


def test_3_openings_that_count_no_longer_are_forgotten():
    world = network(MOVING, epoch_ticks=16)
    prove(world, job_of(world, height=0))
    assert len(world.machine.proving._openings) == 1
    world.wait(40)
    assert world.machine.proving._openings == []


def test_3_a_miss_costs_more_than_stake_and_mev_together():
    """C13.3: withholding pays only who gains more than that."""
    for mev in (0, 20, 300):
        world = network(mev=mev)
        lead(world)
        due = world.machine.asks()[0].bond
        award(world, bond=due, price=40)
        reveal(world, how="honest", who="s0")
        before = money(world, "p1") + due
        world.wait(WINDOW + 8)
        assert before - money(world, "p1") == due > 5 + mev


# --- 4: right ---


def test_4_everything_is_the_awarded_provers():
    world = network()
    lead(world)
    award(world, "p2")
    reveal(world, how="honest", who="s0")
    told = world.wait(3)
    (job,) = world.board.jobs.values()
    given_to = {event.index: event.prover for event in of(Assigned, told)}
    assert given_to == dict.fromkeys(places(job), actor("p2").account)
    opened = of(RightOpened, told)
    assert [event.index for event in opened] == places(job)[:4]
    assert {event.admissible for event in opened} == {job.opened_at + FIXED.min_leaf_ticks}


def test_4_a_merge_opens_with_its_inputs_and_waits_for_its_time():
    world = network()
    job = job_of(world, height=1)
    world.wait(2)
    deliver(world, job, at(0, 0), "p1")
    assert of(RightOpened, world.step().events) == []
    deliver(world, job, at(1, 0), "p1")
    assert refusals(world.step().events) == ["INPUTS_MISSING"]
    deliver(world, job, at(0, 1), "p1")
    (right,) = of(RightOpened, world.step().events)
    assert (right.index, right.admissible) == (at(1, 0), world.tick + FIXED.min_merge_ticks)
    deliver(world, job, at(1, 0), "p1", "swapped children")
    assert refusals(world.step().events) == ["WRONG_CHILDREN"]
    deliver(world, job, at(1, 0), "p1")
    assert of(JobProven, world.step().events)


def test_4_a_record_is_admissible_from_the_minimal_time_on():
    world = network()
    job = job_of(world)
    due = job.opened_at + FIXED.min_leaf_ticks
    while world.tick + 1 < due:
        deliver(world, job, at(0, 0), "p1")
        assert refusals(world.step().events) == ["TOO_EARLY"]
    deliver(world, job, at(0, 0), "p1")
    assert refusals(world.step().events) == []


@pytest.mark.parametrize(
    ("who", "lie", "reason"),
    [
        ("p2", "no lie", "NO_RIGHT"),
        ("p1", "no children", "WRONG_CHILDREN"),
        ("p1", "no such place", "NO_SUCH_TREE_NODE"),
    ],
)
def test_4_only_of_rights_and_places_that_are(who, lie, reason):
    world = network()
    job = job_of(world)
    world.wait(2)
    deliver(world, job, at(0, 0), who, lie)
    assert refusals(world.step().events) == [reason]


def test_4_the_first_record_is_final_and_a_closed_job_takes_none():
    world = network()
    job = job_of(world, height=0)
    other = job_of(world, "p2", height=0)
    world.wait(1)
    prove(world, other, "p2")
    deliver(world, other, at(0, 0), "p2")
    assert refusals(world.step().events) == ["ALREADY_RECORDED"]
    prove(world, job)
    deliver(world, job, at(0, 0), "p1")
    assert refusals(world.step().events) == ["UNKNOWN_JOB"]


# --- 5: time ---


def test_5_one_window_starts_when_the_opening_is_final():
    world = network()
    lead(world)
    award(world)
    reveal(world, how="honest", who="s0")
    told = world.wait(2)
    (job,) = world.board.jobs.values()
    assert of(WindowStarted, told) == []
    assert of(WindowStarted, world.wait(9, lag=100)) == []
    (window,) = of(WindowStarted, world.step().events)
    assert (window.index, window.holder) == (at(2, 0), actor("p1").account)
    assert window.closes == world.tick + WINDOW
    assert of(WindowStarted, world.wait(3)) == []
    assert job.is_open


def test_5_the_last_tick_of_the_window_still_counts():
    for spare, is_proven in ((1, True), (0, False)):
        world = network()
        job = job_of(world, height=0)
        closes = of(WindowStarted, world.wait(1))[0].closes
        world.wait(closes - world.tick - spare)
        deliver(world, job, at(0, 0), "p1")
        told = world.step().events
        assert bool(of(JobProven, told)) is is_proven
        assert bool(of(RightMissed, told)) is not is_proven


# --- 6 to 8: what becomes of bond and price ---


def test_6_with_the_root_the_prover_gets_price_and_bond():
    world = network()
    job = job_of(world, price=40)
    prover = actor("p1").account
    assert causes(prove(world, job), job) == {
        Cause.AWARD_PAY: (prover, 40),
        Cause.AWARD_BOND_RETURNED: (prover, 60),
    }
    assert locked(world) == (0, 0)
    assert money(world, "p1") == 1_000 + 40


def test_6_delivery_counts_whatever_becomes_of_an_ancestor():
    world = network()
    first = job_of(world)
    second = job_of(world, "p2", price=40)
    prove(world, second, "p2")
    assert money(world, "p2") == 1_000 + 40
    told = world.wait(WINDOW)
    assert [event.job for event in of(JobVoided, told)] == [second.id, first.id]
    assert causes(told, second) == {}
    assert money(world, "p2") == 1_000 + 40


def test_7_a_miss_burns_the_bond_returns_the_price_and_ends_the_job():
    world = network()
    job = job_of(world, price=40)
    told = world.wait(WINDOW + 2)
    (miss,) = of(RightMissed, told)
    assert (miss.index, miss.holder, miss.failed) == (at(2, 0), actor("p1").account, True)
    assert causes(told, job) == {
        Cause.AWARD_BOND_LOST: (BURNED.kind.value, 60),
        Cause.AWARD_PRICE_RETURNED: (S0, 40),
    }
    assert [event.because for event in of(JobVoided, told)] == [job.id]
    assert locked(world) == (0, 0)


def test_7_a_log_that_stands_still_costs_nobody_a_bond():
    """Ticks stand still with it; and while only finality stands still, no window starts."""
    world = network()
    job = job_of(world)
    assert of(RightMissed, world.wait(5 * WINDOW, lag=1_000)) == []
    prove(world, job)


def test_8_a_block_that_is_not_revealed_returns_both():
    world = network()
    lead(world)
    award(world, price=40)
    told = world.wait(3)
    assert [event.why for event in of(RoundSkipped, told)] == [Skip.NOT_REVEALED]
    assert causes(told, None) == {
        Cause.AWARD_BOND_RETURNED: (actor("p1").account, 60),
        Cause.AWARD_PRICE_RETURNED: (S0, 40),
    }
    assert locked(world) == (0, 0)


def test_8_a_job_that_falls_with_an_ancestor_returns_both():
    world = network()
    first = job_of(world)
    world.wait(1)
    second = job_of(world, "p2", price=40)
    told = world.wait(WINDOW)
    assert {event.because for event in of(JobVoided, told)} == {first.id}
    assert causes(told, second) == {
        Cause.AWARD_BOND_RETURNED: (actor("p2").account, 60),
        Cause.AWARD_PRICE_RETURNED: (S0, 40),
    }


def test_a_block_that_nobody_was_promised_does_not_open():
    world = network()
    lead(world)
    reveal(world, how="honest", who="s0")
    told = world.wait(4)
    assert [event.why for event in of(RoundSkipped, told)] == [Skip.NOT_COMMITTED]
    assert world.board.jobs == {}


# --- 9: pay ---


def test_9_all_fees_are_the_sequencers():
    world = network()
    job = open_job(world, split=10_000, fee=100)
    told = play_on(world)
    fees = sum(leaf.fees for leaf in job.header.content.leaves)
    shares = [one for one in of(Moved, told) if one.cause is Cause.SEQUENCER_SHARE]
    assert [(one.target, one.amount) for one in shares] == [(balance(S0), fees)]


# --- what others may ask ---


def test_duties_pay_the_price_and_put_price_and_bond_at_stake():
    world = network()
    job = job_of(world, price=631, bond=300)
    rule, prover = world.machine.proving, actor("p1").account
    assert rule.duties(actor("p2").account) == ()
    duties = rule.duties(prover)
    assert [duty.index for duty in duties] == places(job)
    assert {duty.stage for duty in duties} == {Stage.OWN}
    works = [duty.work for duty in duties]
    assert works == [15] * 4 + [33] * 3
    assert [duty.reward for duty in duties] == [631 * work // sum(works) for work in works]
    assert {duty.reward + duty.at_stake for duty in duties} == {931}
    world.wait(1)
    deliver(world, job, at(0, 1), "p1")
    world.step()
    assert at(0, 1) not in [duty.index for duty in rule.duties(prover)]


def test_nobody_has_duties_of_a_job_that_is_proven():
    world = network()
    job_of(world)
    second = job_of(world, "p2")
    prove(world, second, "p2")
    assert world.machine.proving.duties(actor("p2").account) == ()
    assert second.is_open


def test_may_deliver_and_recorded_claim():
    world = network()
    job = job_of(world)
    rule, prover = world.machine.proving, actor("p1").account
    assert rule.job(job.id).id == job.id
    assert rule.may_deliver(job.id, at(2, 0), prover)
    assert not rule.may_deliver(job.id, at(2, 1), prover)
    assert not rule.may_deliver(job.id, at(0, 0), actor("p2").account)
    assert not rule.may_deliver(JobId(bytes(32)), at(0, 0), prover)
    assert rule.job(JobId(bytes(32))) is None
    assert rule.recorded_claim(job.id, at(0, 0)) is None
    world.wait(1)
    deliver(world, job, at(0, 0), "p1")
    world.step()
    assert rule.recorded_claim(job.id, at(0, 0)) == record_of(job, at(0, 0), "p1").claim


def test_nobody_enlists_and_nobody_is_elected():
    world = network()
    rule = world.machine.proving
    assert rule.enlistment(actor("p1").account, Stake(9), Tick(9), Tick(9)) is None
    assert rule.election(actor("p1").account) is None
    assert (rule.pool(None), rule.compensate(None, None, BURNED, Amount(9))) == ((), 0)


def test_the_log_has_to_grow_while_something_is_promised_or_open():
    world = network()
    rule = world.machine.proving
    assert not rule.needs_ticks()
    lead(world)
    award(world)
    assert rule.needs_ticks()
    reveal(world, how="honest", who="s0")
    world.wait(3)
    assert rule.needs_ticks()
    (job,) = world.board.jobs.values()
    prove(world, job)
    assert not rule.needs_ticks()


def test_earliest_keeps_a_record_until_it_counts():
    world = network()
    job = job_of(world)
    rule, prover, stranger = world.machine.proving, actor("p1").account, actor("p2").account

    def earliest(index, who=prover, ordered=()):
        return rule.earliest(who, record_of(job, index, "p1"), ordered)

    def ordered(tick: int, index):
        record = record_of(job, index, "p1")
        return Tick(tick), Operation(prover, Nonce(0), Tick(99), record)

    assert rule.earliest(S0, Award(bid_of(world, "p1", Round(0), S0, bond=WORTH)), ()) == 0
    leaf = job.opened_at + FIXED.min_leaf_ticks
    assert earliest(at(0, 0)) == leaf
    assert earliest(at(0, 0), stranger) is None
    assert earliest(at(0, 9)) is None
    assert earliest(at(1, 0)) is None
    both = [ordered(8, at(0, 0)), ordered(9, at(0, 1))]
    assert earliest(at(1, 0), ordered=both) == 9 + FIXED.min_merge_ticks
    world.wait(leaf - world.tick - 1)
    deliver(world, job, at(0, 0), "p1")
    world.step()
    assert earliest(at(0, 0)) is None
    assert earliest(at(1, 0), ordered=[ordered(12, at(0, 1))]) == 12 + FIXED.min_merge_ticks
    assert earliest(at(1, 0), ordered=[ordered(12, at(0, 2))]) is None
    prove(world, job)
    world.step()
    assert earliest(at(2, 0)) is None


def test_latest_is_the_end_of_the_window():
    world = network()
    job = job_of(world)
    rule, usual = world.machine.proving, job.opened_at + FIXED.finality_ticks + WINDOW
    assert rule.latest(job.id, world.tick) == usual
    world.wait(7, lag=100)
    assert rule.latest(job.id, world.tick) == world.tick + 1 + WINDOW
    closes = of(WindowStarted, world.step().events)[0].closes
    assert rule.latest(job.id, world.tick) == closes
    assert not rule.gave_up(job.id)


def test_a_sequencing_rule_that_asks_nobody_gets_a_job_that_is_given_up():
    world = World(
        replace(PLAIN, sequencing=FirstCome, sequencing_parameters=NoParameters()),
    )
    reveal_at_once(world, leaves=2, who="s0")
    told = world.step().events
    (job,) = world.board.jobs.values()
    assert {event.prover for event in of(Assigned, told)} == {None}
    assert of(RightOpened, told) == []
    rule = world.machine.proving
    assert rule.gave_up(job.id)
    assert rule.latest(job.id, world.tick) > world.tick
    deliver(world, job, at(0, 0), "p1")
    told = world.wait(WINDOW + 9)
    assert refusals(told) == ["NO_RIGHT"]
    assert of(RightMissed, told) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_leaf_ticks": Tick(15)},
        {"leaf_work": Work(0)},
        {"decay_ticks": Tick(0)},
    ],
)
def test_parameters_under_which_nobody_delivers_are_refused(wrong):
    Bonded(FIXED)
    with pytest.raises(Refused) as refusal:
        Bonded(replace(FIXED, **wrong))
    assert refusal.value.reason is Reason.CONTRADICTORY_GENESIS


def test_invariants_name_what_is_wrong():
    world = network()
    job = job_of(world)
    rule = world.machine.proving
    assert list(rule.invariants()) == []
    progress = rule._progress[job.id]
    progress.records[at(1, 0)] = Recorded(Claim(bytes(32)), Tick(1))
    progress.records[at(0, 3)] = Recorded(Claim(bytes(32)), Tick(1))
    progress.records[at(2, 0)] = Recorded(Claim(bytes(32)), Tick(1))
    progress.is_missed = True
    assert list(rule.invariants()) == [
        "1:0 is recorded before its children",
        "2:0 is recorded before its children",
        "a job was missed and proven",
    ]


def test_a_job_whose_miss_was_told_stays_closed_to_its_prover():
    """Under a sequencing rule that keeps what is given up."""

    class Patient(PLAIN.sequencing):
        def _is_overdue(self, frame, job):
            return False

    world = World(replace(PLAIN, sequencing=Patient, proving_parameters=FIXED))
    job = job_of(world)
    assert len(of(RightMissed, world.wait(3 * WINDOW))) == 1
    rule, prover = world.machine.proving, actor("p1").account
    assert rule.gave_up(job.id)
    assert rule.duties(prover) == ()
    assert not rule.may_deliver(job.id, at(0, 0), prover)
    deliver(world, job, at(0, 0), "p1")
    assert refusals(world.step().events) == ["NO_RIGHT"]


# --- bids ---


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        ({}, None),
        ({"valid_for": 0}, Reason.BID_EXPIRED),
        ({"round_": Round(1)}, Reason.NOT_AWAITED),
        ({"sequencer": actor("s1").account}, Reason.NOT_AWAITED),
        ({"bond": Amount(WORTH)}, Reason.BOND_TOO_LOW),
    ],
)
def test_what_speaks_against_a_bid_is_known_before_it_is_awarded(change, objection):
    world = network()
    lead(world)
    offer = {"round_": Round(0), "sequencer": S0, "bond": Amount(WORTH + 1), **change}
    signed = bid_of(world, "p1", **offer)
    assert world.machine.bid_objection(signed.bid) is objection
    if objection is None:
        world.say("s0", Award(signed))
        assert refusals(world.step().events) == []
        assert world.machine.bid_objection(signed.bid) is Reason.NOT_AWAITED

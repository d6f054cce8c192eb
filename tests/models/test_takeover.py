"""Takeover in the small, with no sampling: every set of failures, every order around a window.

*Failure sets.* Eight provers with one card each and a tree of eight leaves, so every leaf has a
prover of its own. Every set of provers is dead from the opening on: 256 sets, over each of two
deals. Which child owns a merge need not be varied: a tree that is mirrored at a merge is the same
tree with that bit turned, so every combination of the seven bits with a set of failures is the
mirror of one with the bits of any given deal; two deals show that nothing hangs on which.

*Orders.* A tree of two leaves, and one leaf's right: its holder, its heir (the prover of the
sibling), and a stranger with stake each send one record at one of five ticks around the edges of
the window, or none: 216 schedules, and where several send in one tick all orders of these, 316
together. What must come of each is said by :func:`expected`, which knows the rule's sentences and
none of its code.

Each check is shown to find faults planted into a copy of the rule. Worlds have no judges here: what
is found is found by these checks alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations, product

import pytest

from protocol.events import JobSettled, JobVoided, OperationRefused, ProofRecorded
from protocol.ledger import Cause, Moved
from protocol.testing import JobView, Scenario, World, actor
from protocol.testing.cast import PROVERS
from protocol.testing.moves import everybody_enlists
from protocol.testing.oracles import framed_hash
from protocol.testing.scenario import QUICK_ELECTED
from protocol.types import Tick
from tests.properties.planted import ELECTED, FAULTS, Fault
from tests.protocol.desk import assigned, at, deliver, of, open_job, play_on

PAYS = (Cause.PROVER_PAY, Cause.TAKEOVER_PAY, Cause.OPEN_PAY)
PLANTED = {fault.name: fault for fault in FAULTS}


def world_with_job(like: Scenario, height: int, wish) -> tuple[World, JobView]:
    """A world without judges and with one job whose deal fits the wish."""
    for balance in range(1_000, 1_400):
        world = World(replace(like, balance=balance))
        world.oracles = []
        everybody_enlists(world)
        world.step()
        job = open_job(world, height=height)
        if wish(job):
            return world, job
    raise AssertionError("no such deal")


# --- failure sets ---


LEAVES = 8
DEALS = 2


def has_distinct_leaves(job: JobView) -> bool:
    return len({assigned(job, at(0, leaf)) for leaf in range(LEAVES)}) == LEAVES


def bound(opened: Tick) -> int:
    """When a tree is proven at the latest, if its log is final within a tick and anybody lives.

    All who are dead miss their leaves at once, one window after finality of the opening; then who
    has failed is passed over without waiting, so every tree node is at once with somebody who is
    alive, or open to all. A leaf takes its minimal time from there, a level of merges its own, and
    what several may deliver a tick for the draw.
    """
    needs = QUICK_ELECTED
    missed = opened + 1 + needs.leaf_window_ticks + 1
    leaves = missed + needs.min_leaf_ticks + 1
    return leaves + (LEAVES.bit_length() - 1) * (needs.min_merge_ticks + 1)


def check_failure_sets(like: Scenario, first: int = 0) -> Iterator[tuple[int, int]]:
    """Play all failure sets over a deal; gives each set with the ticks that it took."""
    skipped = iter(range(first))

    def wish(job: JobView) -> bool:
        return has_distinct_leaves(job) and next(skipped, None) is None

    start, job = world_with_job(replace(like, cards=(1,) * LEAVES), 3, wish)
    for failed in range(1 << LEAVES):
        dead = [name for number, name in enumerate(PROVERS) if failed >> number & 1]
        world = copy.deepcopy(start)
        told = play_on(world, dead)
        alive = {actor(name).account for name in PROVERS if name not in dead}
        done = [one.job for one in of(JobSettled, told)]
        recorded = {one.index: one.prover for one in of(ProofRecorded, told)}
        paid = {one.place: one.target.owner for one in of(Moved, told) if one.cause in PAYS}
        assert all(who in alive for who in recorded.values()), dead
        assert all(recorded.get(place) == who for place, who in paid.items()), dead
        if alive:
            assert done == [job.id], dead
            assert len(recorded) == 2 * LEAVES - 1, dead
            assert set(paid) == set(recorded), dead
            assert world.tick <= bound(job.opened_at), (dead, world.tick, job.opened_at)
        else:
            assert [one.job for one in of(JobVoided, told)] == [job.id]
            assert paid == {}
        yield failed, world.tick - job.opened_at


@pytest.mark.parametrize("deal", range(DEALS))
def test_every_failure_set_that_leaves_somebody_alive_completes_in_time(deal):
    took = dict(check_failure_sets(Scenario(), deal))
    assert len(took) == 256
    alive = {failed: ticks for failed, ticks in took.items() if failed != 255}
    needs = QUICK_ELECTED
    unhindered = needs.min_leaf_ticks + 3 * needs.min_merge_ticks
    assert alive[0] == unhindered == min(alive.values())
    assert max(alive.values()) == bound(Tick(0))


SET_FAULTS = (
    PLANTED["who fails at the same time inherits"],
    PLANTED["a window is one tick too long"],
    Fault(
        "the last heir keeps the right for ever",
        ELECTED,
        "holders = () if heir is None else (heir,)",
        "holders = place.right.holders if heir is None else (heir,)",
    ),
    Fault(
        "whoever was assigned is paid",
        ELECTED,
        "                target = balance(due.prover)\n",
        "                target = balance(progress.places[index].assigned[0])\n",
    ),
)


@pytest.mark.parametrize("fault", SET_FAULTS, ids=[fault.name for fault in SET_FAULTS])
def test_failure_sets_find_what_is_planted(fault):
    with pytest.raises(AssertionError):
        list(check_failure_sets(fault.scenario()))


# --- orders around a window ---


EARLY, OPENS, CLOSES, AFTER, INHERITED = range(5)
TIMES = (EARLY, OPENS, CLOSES, AFTER, INHERITED, None)
WHO = ("holder", "heir", "stranger")
Schedule = tuple[tuple[tuple[int, ...], ...], ...]


def schedules() -> Iterator[list[tuple[int, tuple[str, ...]]]]:
    """Who sends at which of the five times, in which order within a tick."""
    for chosen in product(TIMES, repeat=len(WHO)):
        groups = [
            (when, tuple(who for who, one in zip(WHO, chosen, strict=True) if one == when))
            for when in range(len(TIMES) - 1)
        ]
        for orders in product(*(permutations(group) for _, group in groups)):
            yield [(when, order) for (when, _), order in zip(groups, orders, strict=True)]


def expected(schedule) -> tuple[list[tuple[str, str]], list[str]]:
    """What is refused with which reason, in order; and who may be recorded: nobody, one, or two
    that are drawn from.
    """
    refused: list[tuple[str, str]] = []
    recorded: list[str] = []
    for when, senders in schedule:
        waiting: list[str] = []
        for who in senders:
            is_decided = bool(recorded)
            has_right = who == "holder" or (who == "heir" and when >= AFTER)
            is_early = when == EARLY or (who == "heir" and when == AFTER)
            if is_decided:
                refused.append((who, "ALREADY_RECORDED"))
            elif not has_right:
                refused.append((who, "NO_RIGHT"))
            elif is_early:
                refused.append((who, "TOO_EARLY"))
            elif when < AFTER:
                recorded.append(who)
            else:
                waiting.append(who)
        recorded += waiting
    return refused, recorded


def check_order(start: World, job: JobView, schedule) -> None:
    """Play one schedule and compare."""
    world, job = copy.deepcopy((start, job))
    leaf, other = at(0, 0), at(0, 1)
    heir = assigned(job, other)
    names = {"holder": assigned(job, leaf), "heir": heir}
    names["stranger"] = next(one for one in world.scenario.provers if one not in names.values())
    opens = job.opened_at + QUICK_ELECTED.min_leaf_ticks
    closes = job.opened_at + 1 + QUICK_ELECTED.leaf_window_ticks
    inherited = closes + 1 + QUICK_ELECTED.min_leaf_ticks
    moments = dict(zip(range(5), (opens - 1, opens, closes, closes + 1, inherited), strict=True))
    told, beacons = [], {}
    sent = {}
    for tick in range(world.tick + 1, inherited + 2):
        for when, senders in schedule:
            for who in senders if moments[when] == tick else ():
                deliver(world, job, leaf, names[who])
                sent[world.waiting[-1].operation.sender] = world.waiting[-1].operation.payload.claim
        if tick == opens:
            deliver(world, job, other, heir)
        told += world.step().events
        beacons[tick] = world.log[-1].moment.beacon
    refused, recorded = expected(schedule)
    by_name = {actor(name).account: who for who, name in names.items()}
    seen = [(by_name[one.sender], one.reason) for one in of(OperationRefused, told)]
    assert seen == refused, schedule
    accounts = [actor(names[who]).account for who in recorded]
    lots = [
        framed_hash(b"provnet/contest/1", beacons[inherited + 1], one, sent[one])
        for one in accounts
    ]
    winner = by_name[accounts[lots.index(min(lots))]] if len(recorded) > 1 else (*recorded, None)[0]
    first = [by_name[one.prover] for one in of(ProofRecorded, told) if one.index == leaf]
    assert first == ([] if winner is None else [winner]), schedule
    absent = ["stranger"] if winner == "holder" else ["stranger", "holder"]
    told += play_on(world, dead=[names[who] for who in absent])
    check_pay(job, told, schedule, winner=winner, names=names)


def check_pay(job, told, schedule, *, winner, names) -> None:
    """A holder in time is paid in full, a late one nothing, an heir its share."""
    share = sum(one.fees for one in job.header.content.leaves)
    needs = QUICK_ELECTED
    works = 2 * needs.leaf_work + needs.merge_work
    worth = share * needs.leaf_work // works
    took = worth * needs.takeover_bps // 10_000
    sends = {who: when for when, senders in schedule for who in senders}
    due = {("heir", Cause.TAKEOVER_PAY): took}
    if winner == "holder":
        is_late = sends["holder"] >= AFTER
        due = {} if is_late else {("holder", Cause.PROVER_PAY): worth}
    accounts = {actor(name).account: who for who, name in names.items()}
    paid = {
        (accounts[one.target.owner], one.cause): one.amount
        for one in of(Moved, told)
        if one.place == at(0, 0) and one.cause in PAYS
    }
    assert paid == due, schedule


def table(like: Scenario) -> tuple[World, JobView]:
    """A job of two leaves that belong to two of three provers; its root has time."""
    patient = replace(QUICK_ELECTED, merge_window_ticks=Tick(12))
    return world_with_job(
        replace(like, cards=(1, 1, 1), proving_parameters=patient),
        1,
        lambda job: assigned(job, at(0, 0)) != assigned(job, at(0, 1)),
    )


def test_all_orders_around_a_window_go_as_the_rule_says():
    start, job = table(Scenario())
    tried = list(schedules())
    assert len(tried) == 216 + 5 * (6 - 1) + 3 * 5 * 5 * (2 - 1)
    for schedule in tried:
        check_order(start, job, schedule)


ORDER_FAULTS = (
    "a window is one tick too long",
    "takeover before the window closes",
    "the minimal time is one tick too short",
    "a foreign record",
    "a failed prover is paid",
    "an heir is paid in full",
    "the proposer's order decides",
)


@pytest.mark.parametrize("fault", [PLANTED[name] for name in ORDER_FAULTS], ids=ORDER_FAULTS)
def test_orders_around_a_window_find_what_is_planted(fault: Fault):
    start, job = table(fault.scenario())
    with pytest.raises(AssertionError):
        for schedule in schedules():
            check_order(start, job, schedule)

"""The parts of the ordering on their own, each against a plain restatement."""

from __future__ import annotations

import math
from collections import Counter
from itertools import accumulate

from hypothesis import given, strategies as st

from protocol.beacon import advance
from protocol.ordering import Settings, Validator, Validators, genesis
from protocol.ordering.heard import Statements
from protocol.ordering.validators import UNITS_MAX
from protocol.signing import digest
from tests.protocol.streamlet_network import NETWORK, settings

stakes = st.lists(st.integers(1, 10**18), min_size=1, max_size=12)


def of_stakes(*values: int) -> Validators:
    return Validators(
        Validator(number.to_bytes(32, "big"), stake, bytes(32))
        for number, stake in enumerate(values)
    )


# validators


@given(stakes)
def test_the_quorum_is_the_least_stake_above_two_thirds(values):
    validators = of_stakes(*values)
    assert validators.total == sum(values)
    assert 3 * validators.quorum > 2 * sum(values) >= 3 * (validators.quorum - 1)


@given(stakes)
def test_two_quorums_share_more_than_a_third(values):
    validators = of_stakes(*values)
    assert 3 * (2 * validators.quorum - validators.total) > validators.total


def test_validators_are_sorted_and_found_by_account():
    one, two = (Validator(bytes([n]) * 32, 1, bytes(32)) for n in (1, 2))
    validators = Validators((two, one))
    assert validators.members == (one, two)
    assert validators.get(two.account) == two
    assert validators.get(bytes(32)) is None
    assert validators.stake([one.account, two.account]) == 2


def test_a_rank_is_the_smallest_of_one_ticket_a_unit():
    def best(count: int) -> int:
        hashed = (
            digest(b"provnet/log-rank/1", b"x", number.to_bytes(2, "little"))
            for number in range(count)
        )
        return min(int.from_bytes(one[:8], "little") for one in hashed)

    for values, units in (
        ((5,), (1,)),
        ((3, 6, 9), (1, 2, 3)),
        ((2, 3), (2, 3)),
        ((1, UNITS_MAX), (1, UNITS_MAX)),
        ((1, UNITS_MAX + 1), (1, (UNITS_MAX + 1) // 2)),
        ((1, 10**18, 5 * 10**17), (1, UNITS_MAX, UNITS_MAX // 2)),
    ):
        validators = of_stakes(*values)
        for member, count in zip(validators.members, units, strict=True):
            assert validators.rank(member, b"x") == best(count)


def test_the_smallest_rank_falls_to_each_in_proportion_to_its_stake():
    values = (1, 2, 3, 6)
    validators = of_stakes(*values)
    wins = Counter(
        min(
            validators.members,
            key=lambda one: validators.rank(one, digest(b"lot", one.account, b"%d" % slot)),
        ).stake
        for slot in range(3000)
    )
    for stake in values:
        expected = 3000 * stake / sum(values)
        assert abs(wins[stake] - expected) < 4 * math.sqrt(expected)


# slots


@given(st.integers(0, 2**40), st.integers(1, 10**5), st.integers(0, 2**41))
def test_a_moment_lies_in_its_slot(start, slot_ms, moment):
    config = Settings(NETWORK, start, slot_ms, 10)
    slot = config.slot_at(moment)
    if moment >= start:
        assert config.starts_at(slot) <= moment < config.starts_at(slot + 1)
    else:
        assert slot == 0


@given(st.integers(0, 2**40), st.integers(10, 10**5), st.integers(0, 2**64 - 1))
def test_publishing_ends_before_voting_and_voting_before_the_slot(slot, slot_ms, rank):
    config = Settings(NETWORK, 0, slot_ms, 10)
    moments = (
        config.starts_at(slot),
        config.publishes_at(slot, rank),
        config.votes_at(slot),
        config.starts_at(slot + 1),
    )
    assert moments[0] <= moments[1] < moments[2] < moments[3]
    assert 10 * (moments[1] - moments[0]) <= 3 * slot_ms


def test_networks_have_different_geneses():
    other = Settings(b"m" * 32, 0, 1000, 10)
    assert genesis(other).link.block != genesis(settings()).link.block
    assert genesis(other).link.beacon != genesis(settings()).link.beacon


# chains


def outputs_of(number: int) -> bytes:
    return digest(b"output", b"%d" % number) * 2


@given(st.lists(st.integers(1, 3), max_size=30), st.integers(1, 5))
def test_a_link_is_what_a_walk_from_the_genesis_finds(gaps, ticks):
    config = settings(ticks)
    slots = [0, *accumulate(gaps)]
    links, beacons = [genesis(config).link], [config.genesis_beacon]
    for height, slot in enumerate(slots[1:], start=1):
        epoch = (height - 1) // ticks
        seed = beacons[0] if epoch <= 2 else beacons[(epoch - 1) * ticks]
        assert links[-1].seed_of_child(config) == seed
        output = outputs_of(height)
        links.append(links[-1].child(b"%032d" % height, slot, output, config))
        beacons.append(advance(beacons[-1], slot, output))
    for height, link in enumerate(links):
        assert (link.height, link.slot, link.beacon) == (height, slots[height], beacons[height])
        before, including = slots[:height], slots[: height + 1]
        assert link.settled == last_middle(before)
        assert link.settles == last_middle(including)


def last_middle(slots: list[int]) -> int:
    """Height of the last block that three consecutive slots have in their middle."""
    middles = [
        height
        for height in range(1, len(slots) - 1)
        if slots[height] - slots[height - 1] == 1 == slots[height + 1] - slots[height]
    ]
    return max(middles, default=0)


# statements


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2))))
def test_statements_keep_the_first_and_accuse_once(said):
    heard = Statements[int](lambda content: content)
    first: dict[tuple[int, int], int] = {}
    accused = set()
    for slot, account, content in said:
        key = (slot, account)
        before = first.setdefault(key, content)
        expected = before if before != content and key not in accused else None
        if expected is not None:
            accused.add(key)
        assert heard.hear(slot, account, content) == expected
    for (slot, account), content in first.items():
        assert heard.get(slot, account) == content
    for slot in range(4):
        assert sorted(heard.of_slot(slot)) == sorted(c for (s, _), c in first.items() if s == slot)
    heard.forget_before(2)
    assert sorted(heard.slots()) == sorted({slot for slot, _ in first if slot >= 2})
    assert heard.get(1, 0) is None
    assert all(slot >= 2 for slot, _ in heard._accused)

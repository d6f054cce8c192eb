"""Expectations against the money that a log moved, and against many deals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from protocol.events import Awarded, JobSettled, PoolMember
from protocol.ledger import Cause, Moved, escrow
from protocol.params import RuleChoice, settings_of
from protocol.signing import digest
from protocol.testing import tell
from protocol.testing.moves_bonded import BONDED_MOVES
from protocol.testing.scenario import BONDED
from protocol.types import Account, BasisPoints, BlockHash, Count, Stake, Tick
from prover.forecast import Capacity, Times
from scripts.calibration.command import read_log
from scripts.calibration.earnings import Costs, earnings
from scripts.configuration import NodeConfiguration, save_configuration
from scripts.explain.deal import Deal
from scripts.explain.publiclog import CannotTell, PublicLog, read_public_log, replay
from tests.scripts.conftest import Played
from tests.scripts.network import ELECTED

COSTS = Costs(1, 2_000)


def able(leaf_ms: int, merge_ms: int) -> Capacity:
    """One worker on one core."""
    return Capacity(Count(1), Count(1), Times.of({1: leaf_ms}), Times.of({1: merge_ms}))


QUICK = able(1, 1)


@pytest.fixture(scope="module")
def log(played: Played) -> PublicLog:
    return read_public_log(played.run)


def with_elected(log: PublicLog, **changed: object) -> PublicLog:
    """The same log, told under other parameters."""
    settings = settings_of(replace(ELECTED, **changed))
    choice = RuleChoice("elected", settings)
    return replace(log, genesis=replace(log.genesis, proving=choice))


def test_the_gain_is_an_even_part_of_what_went_to_provers(log: PublicLog) -> None:
    """In the first block nobody fails, so that all of the share goes to provers or to rounding."""
    found = earnings(log, QUICK, COSTS, 20)
    assert found.rule == "elected"
    assert [one.number for one in found.blocks] == [1, 2, 3]
    first, entry = found.blocks[0], log.jobs()[0]
    moves = [one.event for one in log.happenings() if isinstance(one.event, Moved)]
    out = [
        move.amount
        for move in moves
        if move.source == escrow(entry.job)
        and move.cause not in (Cause.SEQUENCER_SHARE, Cause.UNCLE_RESERVED)
    ]
    stakes = [one.prover_stake // ELECTED.stake_unit for one in log.genesis.accounts]
    assert first.sums["provers_share"] == sum(out) > 0
    assert first.gain == sum(out) // (sum(stakes) + 1)
    work = 4 * ELECTED.leaf_work + 3 * ELECTED.merge_work
    assert first.cost == work * ELECTED.provers_per_node // (sum(stakes) + 1)
    assert found.total("gain") == sum(one.gain for one in found.blocks)


def test_only_the_last_settled_blocks_count(log: PublicLog) -> None:
    assert [one.number for one in earnings(log, QUICK, COSTS, 2).blocks] == [2, 3]
    with pytest.raises(CannotTell, match="no block was settled"):
        earnings(replace(log, steps=()), QUICK, COSTS, 2)


@pytest.mark.parametrize(("leaf_ms", "merge_ms"), [(4_000, 4_000), (4_001, 1), (1, 4_001)])
def test_who_is_too_slow_for_a_window_misses_pay_and_stake(
    log: PublicLog, leaf_ms: int, merge_ms: int
) -> None:
    """Windows of 6 ticks of a second, 2 of which the log takes; one leaf a card at most."""
    harsh = with_elected(log, slash_bps=BasisPoints(5_000), grace_ticks=Tick(1))
    quick, found = (earnings(harsh, one, COSTS, 1) for one in (QUICK, able(leaf_ms, merge_ms)))
    (kept,), (block,) = quick.blocks, found.blocks
    assert block.sums["leaves_of_one_card"] == 1
    assert block.fits == (leaf_ms == merge_ms)
    if block.fits:
        assert (block.gain, block.missed) == (kept.gain, 0)
        return
    slash = ELECTED.stake_unit // 2 * 4 // block.sums["cards"]
    assert (block.gain, block.missed, block.cost) == (0, kept.gain + slash, 0)


def test_a_card_of_few_gets_more_leaves(log: PublicLog) -> None:
    few = with_elected(log, stake_unit=Stake(100), provers_per_node=Count(2))
    assert earnings(few, QUICK, COSTS, 1).blocks[0].sums["leaves_of_one_card"] >= 1
    pools = [one.sums["cards"] for one in earnings(log, QUICK, COSTS, 3).blocks]
    assert min(pools) > 1


@pytest.mark.parametrize(("cards", "leaves"), [((1, 1, 1), 4), ((3, 1), 8), ((2, 2, 2, 2), 2)])
def test_over_many_deals_one_more_card_owns_an_even_part(
    cards: tuple[int, ...], leaves: int
) -> None:
    """The claim of the formula, counted in deals of the rule's second reading."""
    me = Account(bytes([255]) * 32)
    pool = [PoolMember(Account(bytes([at]) * 32), Count(one)) for at, one in enumerate(cards)]
    owned, deals = 0, 600
    for number in range(deals):
        seed = digest(b"test/deal", number.to_bytes(4, "big"))
        dealt = Deal.of(seed, leaves, (*pool, PoolMember(me, Count(1))), 1)
        owned += sum(1 for owners in dealt.owners.values() if owners == (me,))
        mine = [at for at, owners in dealt.owners.items() if not at.level and owners == (me,)]
        assert len(mine) <= -(-leaves // (sum(cards) + 1))
    expected = deals * (2 * leaves - 1) / (sum(cards) + 1)
    assert abs(owned - expected) < 0.1 * expected


def bonded_story() -> PublicLog:
    """A story of bonded provers in which blocks settle."""
    for seed in range(40):
        log = tell(BONDED, seed, 80, BONDED_MOVES).log
        names = [BlockHash(digest(b"test/block", bytes(divmod(at, 256)))) for at in range(len(log))]
        steps = replay(BONDED.machine(), log, names)
        story = PublicLog.of_steps(BONDED.genesis(), [step for step, _ in steps])
        if any(isinstance(one.event, JobSettled) for one in story.happenings()):
            return story
    raise AssertionError("no story of bonded provers settles a block")


def test_a_bid_below_the_awarded_price_that_fits_would_have_won() -> None:
    story = bonded_story()
    found = earnings(story, QUICK, Costs(0, 0), 99)
    assert found.rule == "bonded"
    awards = [one.event for one in story.happenings() if isinstance(one.event, Awarded)]
    prices = {(one.price, one.bond) for one in awards}
    for block in found.blocks:
        assert (block.sums["awarded"], block.sums["bond"]) in prices
        price = block.sums["awarded"]
        work = block.sums["work"]
        for per_work in (price // work, price // work + 1):
            (again,) = (
                one
                for one in earnings(story, QUICK, Costs(per_work, 0), 99).blocks
                if one.number == block.number
            )
            wins = per_work * work < price
            assert again.gain == (per_work * work if wins else 0)
            assert again.cost == again.gain
        slow = earnings(story, able(10**7, 10**7), Costs(0, 0), 99).blocks
        assert not any(one.fits or one.gain for one in slow)


def test_a_rule_that_is_not_known_is_not_guessed(log: PublicLog) -> None:
    other = replace(log, genesis=replace(log.genesis, proving=RuleChoice("own.py:Mine", ())))
    with pytest.raises(CannotTell, match="Mine"):
        earnings(other, QUICK, COSTS, 1)


def test_the_log_of_a_stopped_node_is_the_log_of_its_run(played: Played, log: PublicLog) -> None:
    node = played.network.node
    save_configuration(node / "node.toml", NodeConfiguration("one", "../../genesis.toml"))
    try:
        own = read_log(node)
    finally:
        (node / "node.toml").unlink()
    assert earnings(own, QUICK, COSTS, 9) == earnings(log, QUICK, COSTS, 9)
    assert read_log(played.run).jobs() == log.jobs()


def test_a_folder_without_a_store_is_named(tmp_path: Path, played: Played) -> None:
    genesis = str(played.run / "genesis.toml")
    save_configuration(tmp_path / "node.toml", NodeConfiguration("one", genesis))
    with pytest.raises(CannotTell, match="has no store"):
        read_log(tmp_path)
    assert not (tmp_path / "store.sqlite").exists()

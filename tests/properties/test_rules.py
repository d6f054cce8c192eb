"""Every rule of the project under the kit: stories sought by hypothesis, and many from seeds."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from protocol.testing import Dice, RuleMachine, Scenario, any_scenario, tell
from protocol.testing.moves_bonded import BONDED_MOVES
from protocol.testing.moves_staking import STAKING, STAKING_MOVES
from protocol.testing.scenario import (
    BONDED,
    ELECTED_VARIANTS,
    JUDGED_ELECTED,
    OWNED_ELECTED,
    SHARED_ELECTED,
)


class FernetWithElected(RuleMachine):
    pass


class FernetWithJudgedProvers(RuleMachine):
    proving_parameters = JUDGED_ELECTED


class FernetWithOwnersOfMerges(RuleMachine):
    proving_parameters = OWNED_ELECTED


class FernetWithSharedNodes(RuleMachine):
    proving_parameters = SHARED_ELECTED


class FernetWithBonded(RuleMachine):
    proving = BONDED.proving
    moves = BONDED_MOVES

    @classmethod
    def like(cls):
        return BONDED


class FernetWithChangingStake(RuleMachine):
    moves = STAKING_MOVES


BONDED_STAKING_MOVES = {**BONDED_MOVES, **STAKING}


class BondedWithChangingStake(FernetWithBonded):
    moves = BONDED_STAKING_MOVES


TestFernetWithElected = FernetWithElected.TestCase
TestFernetWithBonded = FernetWithBonded.TestCase
TestFernetWithJudgedProvers = FernetWithJudgedProvers.TestCase
TestFernetWithOwnersOfMerges = FernetWithOwnersOfMerges.TestCase
TestFernetWithSharedNodes = FernetWithSharedNodes.TestCase
TestFernetWithElected.settings = TestFernetWithBonded.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestFernetWithJudgedProvers.settings = settings(TestFernetWithElected.settings, max_examples=15)
TestFernetWithOwnersOfMerges.settings = TestFernetWithJudgedProvers.settings
TestFernetWithSharedNodes.settings = TestFernetWithJudgedProvers.settings
TestFernetWithChangingStake = FernetWithChangingStake.TestCase
TestBondedWithChangingStake = BondedWithChangingStake.TestCase
TestFernetWithChangingStake.settings = TestFernetWithJudgedProvers.settings
TestBondedWithChangingStake.settings = TestFernetWithJudgedProvers.settings


@pytest.mark.parametrize("seed", range(30))
def test_stories_from_seeds(seed):
    tell(any_scenario(Dice(seed), Scenario()), seed)


@pytest.mark.parametrize("seed", range(30))
def test_stories_of_all_that_elected_provers_can_do(seed):
    tell(any_scenario(Dice(seed), ELECTED_VARIANTS[seed % len(ELECTED_VARIANTS)]), seed)


@pytest.mark.parametrize("seed", range(30))
def test_stories_of_bonded_provers_from_seeds(seed):
    tell(any_scenario(Dice(seed), BONDED), seed, table=BONDED_MOVES)


@pytest.mark.parametrize("seed", range(12))
def test_stories_of_changing_stake_from_seeds(seed):
    like, moves = ((Scenario(), STAKING_MOVES), (BONDED, BONDED_STAKING_MOVES))[seed % 2]
    tell(any_scenario(Dice(seed), like), seed, table=moves)

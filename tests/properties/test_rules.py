"""Every rule of the project under the kit: stories sought by hypothesis, and many from seeds."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from protocol.testing import Dice, RuleMachine, Scenario, any_scenario, tell
from protocol.testing.moves_bonded import BONDED_MOVES
from protocol.testing.scenario import BONDED


class FernetWithElected(RuleMachine):
    pass


class FernetWithBonded(RuleMachine):
    proving = BONDED.proving
    moves = BONDED_MOVES

    @classmethod
    def like(cls):
        return BONDED


TestFernetWithElected = FernetWithElected.TestCase
TestFernetWithBonded = FernetWithBonded.TestCase
TestFernetWithElected.settings = TestFernetWithBonded.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("seed", range(30))
def test_stories_from_seeds(seed):
    tell(any_scenario(Dice(seed), Scenario()), seed)


@pytest.mark.parametrize("seed", range(30))
def test_stories_of_bonded_provers_from_seeds(seed):
    tell(any_scenario(Dice(seed), BONDED), seed, table=BONDED_MOVES)

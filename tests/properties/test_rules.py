"""Every rule of the project under the kit: stories sought by hypothesis, and many from seeds."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from protocol.testing import Dice, RuleMachine, Scenario, any_scenario, tell


class FernetWithElected(RuleMachine):
    pass


TestFernetWithElected = FernetWithElected.TestCase
TestFernetWithElected.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("seed", range(30))
def test_stories_from_seeds(seed):
    tell(any_scenario(Dice(seed), Scenario()), seed)

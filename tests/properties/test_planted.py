"""The kit finds what is planted: each fault within a bounded number of stories."""

from __future__ import annotations

import pytest

from protocol.testing import Dice, Violation, any_scenario, tell
from tests.properties.planted import FAULTS
from tests.properties.planted_bonded import BONDED_FAULTS
from tests.properties.planted_elected import ELECTED_FAULTS
from tests.properties.planted_fernet import FERNET_FAULTS
from tests.properties.planted_staking import STAKING_FAULTS

STORIES = 200

ALL = (*FAULTS, *FERNET_FAULTS, *ELECTED_FAULTS, *BONDED_FAULTS, *STAKING_FAULTS)


@pytest.mark.parametrize("fault", ALL, ids=[fault.name for fault in ALL])
def test_a_planted_fault_is_found(fault):
    scenario = fault.scenario()
    with pytest.raises(Violation):
        for seed in (fault.seed, *range(STORIES)):
            tell(any_scenario(Dice(seed), scenario), seed, 80, fault.moves)

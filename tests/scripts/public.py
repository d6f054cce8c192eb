"""Public logs of stories that the property kit tells: with misses, draws, void jobs, refusals."""

from __future__ import annotations

from functools import cache

from protocol.signing import digest
from protocol.testing import Dice, Scenario, any_scenario, tell
from protocol.types import BlockHash
from scripts.explain.publiclog import PublicLog, replay

STORIES = 16


@cache
def public_story(seed: int) -> PublicLog:
    scenario = Scenario() if seed % 2 else any_scenario(Dice(seed), Scenario())
    log = tell(scenario, seed, 80).log
    names = [
        BlockHash(digest(b"test/block", bytes([at % 256, at // 256]))) for at in range(len(log))
    ]
    steps = replay(scenario.machine(), log, names)
    return PublicLog.of_steps(scenario.genesis(), [step for step, _ in steps])

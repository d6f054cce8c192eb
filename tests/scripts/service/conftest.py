from __future__ import annotations

import pytest
import trio

from p2p.observing import ProofStarted
from scripts.launcher.plan import Wish
from tests.p2p.town import Town, live

WISH = Wish(validators=4, provers=4, leaves=4, blocks=3, slot_ms=1_000, backend="modelled")


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A whole network in virtual time: three blocks, one prover dead from its first leaf on."""
    town = Town(tmp_path_factory.mktemp("town"), WISH)

    async def story(_nursery: trio.Nursery) -> None:
        victim = town["prover-1"]
        await town.until(lambda: any(isinstance(one, ProofStarted) for one in victim.told))
        victim.stop()
        alive = [name for name in town.residents if name != "prover-1"]
        await town.until(lambda: all(town.settled(name) >= 3 for name in alive))

    live(town, story)
    return town

from __future__ import annotations

import pytest
import trio

from protocol.types import Milliseconds, TreeIndex
from prover.backend import BackendMissing, Plonky2Backend
from prover.modelled import ModelledBackend
from prover.pool import PoolSettings, open_pool, open_virtual_pool
from tests.prover.jobs import Job, prove_all


@pytest.fixture(scope="session")
def plonky2() -> Plonky2Backend:
    """The real backend with a circuit cache, which is built when there is none."""
    backend = Plonky2Backend()
    try:
        backend.require_circuits()
    except BackendMissing:
        backend.build_circuits()
    return backend


class ProvedJob(Job):
    """A job of four leaves with all its proofs, made by a pool of two workers."""

    def __init__(self, backend: Plonky2Backend | ModelledBackend) -> None:
        super().__init__(backend, 4)
        self.proofs: dict[TreeIndex, bytes] = trio.run(self._prove)

    async def _prove(self) -> dict[TreeIndex, bytes]:
        settings = PoolSettings(workers=2, cores=2)
        if isinstance(self.backend, ModelledBackend):
            opened = open_virtual_pool(self.backend, settings)
        else:
            opened = open_pool(self.backend, settings)
        async with opened as pool:
            return await prove_all(pool, self)


@pytest.fixture(scope="session", params=["modelled", "plonky2"])
def proved(request: pytest.FixtureRequest) -> ProvedJob:
    """The proved job of each backend in turn."""
    if request.param == "plonky2":
        return ProvedJob(request.getfixturevalue("plonky2"))
    return ProvedJob(ModelledBackend(leaf_ms=Milliseconds(0), merge_ms=Milliseconds(0)))

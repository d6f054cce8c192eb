"""What all tests share: a hypothesis profile without deadlines, and the circuit cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

from prover.backend import BackendMissing, Plonky2Backend, circuits_directory

settings.register_profile("provnet", deadline=None)
settings.load_profile("provnet")


@pytest.fixture(scope="session")
def circuits() -> Path:
    """The folder of the circuit cache, which is built when there is none."""
    backend = Plonky2Backend()
    try:
        backend.require_circuits()
    except BackendMissing:
        backend.build_circuits()
    return circuits_directory()

"""What a node makes of the budgets and times in its configuration."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from protocol.types import Milliseconds
from prover.backend import Plonky2Backend
from prover.forecast import Capacity, Times
from prover.modelled import ModelledBackend
from scripts.configuration import ConfigurationError, ProverConfiguration
from scripts.node import capacity_of, shortage_of


@dataclass(frozen=True)
class Real(Plonky2Backend):
    """A real backend without its native module."""

    def __post_init__(self) -> None:
        pass


REAL = Real()


def test_calibrated_times_are_the_start_and_uncalibrated_ones_are_unknown() -> None:
    own = ProverConfiguration(workers=2, cores=4, memory_mib=4096, leaf_ms=1_000, merge_ms=2_000)
    assert capacity_of(own, REAL) == Capacity(4, 2)
    calibrated = ProverConfiguration(
        workers=2,
        cores=4,
        memory_mib=4096,
        leaf_ms=1_000,
        merge_ms=2_000,
        leaf_cores_ms=300,
        merge_cores_ms=700,
    )
    able = capacity_of(calibrated, REAL)
    assert (able.leaf, able.merge) == (Times.of({1: 1_000, 4: 300}), Times.of({1: 2_000, 4: 700}))


def test_declared_times_are_shared_among_threads() -> None:
    backend = ModelledBackend(leaf_ms=Milliseconds(900), merge_ms=Milliseconds(1_200))
    able = capacity_of(ProverConfiguration(workers=2, cores=3), backend)
    assert [able.leaf.ms(threads) for threads in (1, 2, 3)] == [900, 450, 300]
    alone = capacity_of(ProverConfiguration(cores=4, sharers=4), backend)
    assert (alone.cores, alone.leaf, alone.merge) == (1, Times.of({1: 900}), Times.of({1: 1_200}))


def test_what_exceeds_the_memory_budget_is_not_started_and_the_reason_is_told() -> None:
    own = ProverConfiguration(workers=4, cores=8, memory_mib=2 * REAL.worker_mib)
    assert capacity_of(own, REAL).workers == 2
    told = shortage_of(own, REAL)
    assert told is not None
    assert told.startswith("2 of 4 workers")
    assert f"memory budget of {2 * REAL.worker_mib} MiB" in told
    told = shortage_of(ProverConfiguration(workers=4, cores=1), REAL)
    assert told is not None
    assert "1 cores" in told
    assert shortage_of(ProverConfiguration(), REAL) is None
    assert shortage_of(None, REAL) is None


def test_a_budget_without_room_for_one_worker_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigurationError, match="holds no worker") as raised:
        shortage_of(ProverConfiguration(memory_mib=REAL.worker_mib - 1), REAL)
    assert "[prover]" in raised.value.hint

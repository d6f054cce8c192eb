"""Backends that fail on purpose; workers import them from here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from protocol.types import Milliseconds
from prover.modelled import ModelledBackend
from prover.tasks import LeafTask, Prove, ProvingTask

QUICK = ModelledBackend(leaf_ms=Milliseconds(0), merge_ms=Milliseconds(0))

ENDLESS_LEAVES = ModelledBackend(leaf_ms=Milliseconds(10**9), merge_ms=Milliseconds(0))
"""A leaf takes days, a merge no time."""


@dataclass(frozen=True, slots=True)
class Planted:
    """Attests at once, but does ``fault`` first when it proves a leaf."""

    @property
    def worker_mib(self) -> int:
        return 64

    def fault(self) -> None:
        """What a subclass does wrong; nothing here."""

    def open_prover(self) -> Prove:
        def prove(task: ProvingTask, threads: int) -> bytes:
            if isinstance(task, LeafTask):
                self.fault()
            return QUICK.attest(task)

        return prove


@dataclass(frozen=True, slots=True)
class Gated(Planted):
    """Waits in a leaf until somebody writes to the named pipe."""

    gate: Path

    def fault(self) -> None:
        self.gate.read_bytes()


@dataclass(frozen=True, slots=True)
class CrashingOnce(Planted):
    """Aborts in the first leaf, and leaves a mark so that no later one does."""

    mark: Path

    def fault(self) -> None:
        if not self.mark.exists():
            self.mark.touch()
            os.abort()


@dataclass(frozen=True, slots=True)
class Crashing(Planted):
    """Ends in every leaf."""

    def fault(self) -> None:
        os._exit(7)


@dataclass(frozen=True, slots=True)
class Raising(Planted):
    """Raises in every leaf."""

    def fault(self) -> None:
        raise RuntimeError("the planted fault")


@dataclass(frozen=True, slots=True)
class Unready(Planted):
    """Cannot get ready."""

    def open_prover(self) -> Prove:
        raise OSError("no circuits here")


@dataclass(frozen=True, slots=True)
class Stillborn(Planted):
    """Ends before it is ready."""

    def open_prover(self) -> Prove:
        os._exit(9)

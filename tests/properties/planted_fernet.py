"""Faults planted into copies of Fernet: bonds, penalties, several candidates, backups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from protocol.sequencing.fernet import Fernet
from protocol.sequencing.fernet_parameters import FernetParameters
from protocol.testing import Move, Scenario
from protocol.testing.moves_bonded import BONDED_MOVES
from protocol.testing.scenario import BONDED, QUICK_F0, QUICK_F2, QUICK_FERNET
from tests.properties.planted import FERNET, Fault


@dataclass(frozen=True)
class FernetFault(Fault):
    """A fault of the rule under the parameters that show it."""

    parameters: FernetParameters = QUICK_FERNET
    like: ClassVar[Scenario] = Scenario()

    def scenario(self) -> Scenario:
        """A network that runs under the fault."""
        planted = type("Planted", (self.copies((self.module,)).Fernet, Fernet), {})
        return replace(self.like, sequencing=planted, sequencing_parameters=self.parameters)


@dataclass(frozen=True)
class AwardedFault(FernetFault):
    """One that takes bonded provers to be seen."""

    like: ClassVar[Scenario] = BONDED
    moves: ClassVar[Mapping[str, Move]] = BONDED_MOVES


FERNET_FAULTS = (
    FernetFault(
        "a fallen head is blamed on the leader",
        FERNET,
        "self._skip(frame, Skip.PARENT_FELL)",
        "self._skip(frame, Skip.NOT_REVEALED)",
    ),
    FernetFault(
        "a missing reveal is free",
        FERNET,
        "            self._punish(frame, phase.elected[0].sequencer)\n",
        "",
    ),
    FernetFault(
        "the bond of a block that missed its deadline returns",
        FERNET,
        "                self._forfeit(frame, job)\n",
        "",
    ),
    FernetFault(
        "who failed is its own orphan",
        FERNET,
        "for one in fallen if one.header.sequencer != job.header.sequencer]",
        "for one in fallen]",
    ),
    FernetFault(
        "orphans get all of a lost bond",
        FERNET,
        "part = ledger.holds(bond) * self.parameters.orphan_bps // FULL_SHARE",
        "part = ledger.holds(bond)",
        seed=5,
    ),
    FernetFault(
        "a bond that the stake does not cover",
        FERNET,
        "if free < self.parameters.block_bond:",
        "if False:",
    ),
    FernetFault(
        "what is pledged is no stake",
        FERNET,
        "if free + pledged < max(",
        "if free < 40 + max(",
    ),
    FernetFault(
        "a round goes on without its head",
        FERNET,
        "if self.head != head:",
        "if False:",
    ),
    FernetFault(
        "a worse candidate is settled first",
        FERNET,
        "best = next((one.job for one in self._state.open_blocks), None)",
        "best = next((one for one, job in jobs.items() if job.is_proven), None)",
        seed=6,
        parameters=QUICK_F0,
    ),
    FernetFault(
        "the next block builds on the worst candidate",
        FERNET,
        "best = next(one for one in state.open_blocks if one.round == newest)",
        "best = state.open_blocks[-1]",
        seed=1,
        parameters=QUICK_F0,
    ),
    FernetFault(
        "one candidate too many",
        FERNET,
        "ranked[: parameters.candidates_max]",
        "ranked[: parameters.candidates_max + 1]",
        parameters=QUICK_F0,
    ),
    FernetFault(
        "a backup beside open jobs",
        FERNET,
        "if self.parameters.backup_ticks and not frame.jobs:",
        "if self.parameters.backup_ticks:",
        seed=3,
        parameters=QUICK_F0,
    ),
    FernetFault(
        "a backup counts after its time",
        FERNET,
        "elif isinstance(phase, AwaitingBackup) and tick >= phase.closes:",
        "elif isinstance(phase, AwaitingBackup) and tick > phase.closes:",
        seed=17,
        parameters=QUICK_F2,
    ),
    FernetFault(
        "a commitment while a backup is awaited",
        FERNET,
        "return isinstance(self._state.phase, Collecting)",
        "return isinstance(self._state.phase, Collecting | AwaitingBackup)",
        parameters=QUICK_F2,
    ),
    FernetFault(
        "a proof that nobody looks at",
        FERNET,
        "if any(payload.vrf_proof):",
        "if False:",
        seed=44,
        parameters=QUICK_F2,
    ),
    AwardedFault(
        "a leader without a prover reveals",
        FERNET,
        "one for one in phase.elected if frame.is_committed(self._state.round, one.sequencer)",
        "one for one in phase.elected",
        seed=4,
        parameters=QUICK_F2,
    ),
)

"""``colluding-pair``: a prover that announces garbage, and validators that vouch for it unseen.

Breaks: signed bytes prove what they are announced for, and nobody votes for what it has not
verified. Met by ``INVALID_PROOF`` while honest validators hold a third of the log stake: without
their votes no such record is ordered, and its signature is evidence. Whoever holds more than two
thirds orders what it likes: machines do not verify proofs. Costs: slots in which its proposals are
the best.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from protocol.happenings import BodyChecked, CheckBody, Effect, Happening
from protocol.messages import ProofRecord, operation_hash
from protocol.replica import Replica
from protocol.types import Account
from scripts.cheats.cheat import Cheat, Play, Role, Scene
from scripts.cheats.forge import BYTES, Forge
from scripts.simulation.adversaries.adversary import Adversary, Deed
from scripts.simulation.adversaries.prover_of_garbage import ProverOfGarbage


class Vouch(Cheat):
    """Takes every proof of a partner for valid."""

    name = "vouch"
    role = Role.VALIDATOR
    costs_votes = True

    def __init__(self, scene: Scene, partner: Account) -> None:
        super().__init__(scene)
        self.partner: Final = partner

    def replica(self, replica: Replica) -> Replica:
        """The same replica, which believes its partner."""
        return _Vouching(self, replica)


class _Vouching(Replica):
    def __init__(self, cheat: Vouch, honest: Replica) -> None:
        super().__init__(honest.machine, honest.identity, honest.engine.signed)
        self._cheat = cheat

    def step(self, happening: Happening) -> tuple[Effect, ...]:
        kept: list[Effect] = []
        for effect in super().step(happening):
            if isinstance(effect, CheckBody) and self._believes(effect):
                self._cheat.tell("vouches for a proof that it never saw")
                name = operation_hash(effect.signed.operation)
                kept += super().step(BodyChecked(name, None, happening.now_ms))
            else:
                kept.append(effect)
        return tuple(kept)

    def _believes(self, check: CheckBody) -> bool:
        operation = check.signed.operation
        is_record = isinstance(operation.payload, ProofRecord)
        return is_record and operation.sender == self._cheat.partner


class ColludingPair(Adversary):
    """The adversary of this module."""

    name = "colluding-pair"
    does = "is a prover that announces garbage, and a validator that vouches for it unseen"
    promise = "no garbage is recorded while honest validators hold a third of the log stake"
    roles = (Role.PROVER, Role.VALIDATOR)
    nodes = 2

    def part(self, number: int) -> tuple[Play, ...]:
        """Garbage from the first, belief from all others."""
        if number == 0:
            return (Play(Forge, (BYTES,)),)
        return (Play(partial(Vouch, partner=self.troupe.nodes[0].identity.account)),)

    @classmethod
    def broken(cls, deed: Deed, patience_ms: int) -> str:
        """Garbage that was recorded, or not punished."""
        return ProverOfGarbage.broken(deed, patience_ms)

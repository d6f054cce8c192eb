"""``prover-of-garbage``: :mod:`scripts.cheats.forge`."""

from __future__ import annotations

from scripts.cheats.cheat import Role
from scripts.cheats.forge import Forge
from scripts.simulation.adversaries.adversary import Adversary, Deed, unmet


class ProverOfGarbage(Adversary):
    """The adversary of this module."""

    name = "prover-of-garbage"
    does = "announces proofs that do not prove what it signs"
    promise = "none of them is recorded, and its stake is slashed for the first that is reported"
    roles = (Role.PROVER,)
    cheats = (Forge,)

    @classmethod
    def broken(cls, deed: Deed, patience_ms: int) -> str:
        """Garbage that was recorded, or not punished."""
        if deed.recorded:
            return f"announced nothing but garbage, of which {deed.recorded} were recorded"
        return unmet(deed, "INVALID_PROOF_PUNISHED", patience_ms)

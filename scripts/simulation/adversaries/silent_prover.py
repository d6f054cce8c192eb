"""``silent-prover``: :mod:`scripts.cheats.silent`."""

from __future__ import annotations

from scripts.cheats.cheat import Role
from scripts.cheats.silent import Silent
from scripts.simulation.adversaries.adversary import Adversary, Deed


class SilentProver(Adversary):
    """The adversary of this module."""

    name = "silent-prover"
    does = "is elected, and never proves"
    promise = "its tree nodes pass on when their windows close, and it earns nothing"
    roles = (Role.PROVER,)
    cheats = (Silent,)

    @classmethod
    def broken(cls, deed: Deed, patience_ms: int) -> str:
        """Pay for nothing."""
        del patience_ms
        return f"never proved and was paid {deed.earned}" if deed.earned else ""

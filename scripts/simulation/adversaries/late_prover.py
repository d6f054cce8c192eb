"""``late-prover``: :mod:`scripts.cheats.late`."""

from __future__ import annotations

from protocol.ledger import Cause
from scripts.cheats.cheat import Role
from scripts.cheats.late import Late
from scripts.simulation.adversaries.adversary import Adversary, Deed


class LateProver(Adversary):
    """The adversary of this module."""

    name = "late-prover"
    does = "has its proofs in time, and delivers them when it is too late"
    promise = "its rights pass on, and it is paid as an uncle at most"
    roles = (Role.PROVER,)
    cheats = (Late,)

    @classmethod
    def broken(cls, deed: Deed, patience_ms: int) -> str:
        """Pay as if it had been in time."""
        del patience_ms
        paid = [amount for cause, amount in deed.paid if cause != Cause.UNCLE_PAY.name]
        return f"was late with everything and was paid {sum(paid)}" if paid else ""

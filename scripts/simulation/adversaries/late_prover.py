"""``late-prover``: :mod:`scripts.cheats.late`."""

from __future__ import annotations

from scripts.cheats.cheat import Role
from scripts.cheats.late import Late
from scripts.simulation.adversaries.adversary import Adversary


class LateProver(Adversary):
    """The adversary of this module."""

    name = "late-prover"
    does = "has its proofs in time, and delivers them when it is too late"
    promise = "its rights pass on, and it is paid as an uncle at most"
    roles = (Role.PROVER,)
    cheats = (Late,)

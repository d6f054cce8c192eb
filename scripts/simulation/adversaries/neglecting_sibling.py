"""``neglecting-sibling``: :mod:`scripts.cheats.neglect`."""

from __future__ import annotations

from scripts.cheats.cheat import Role
from scripts.cheats.neglect import Neglect
from scripts.simulation.adversaries.adversary import Adversary


class NeglectingSibling(Adversary):
    """The adversary of this module."""

    name = "neglecting-sibling"
    does = "owns merges, and ignores the proofs of others that they build on"
    promise = "its merges pass on to the siblings, whose own tree nodes are paid as ever"
    roles = (Role.PROVER,)
    cheats = (Neglect,)

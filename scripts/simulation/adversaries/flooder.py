"""``flooder``: :mod:`scripts.cheats.flood`."""

from __future__ import annotations

from scripts.cheats.cheat import Role
from scripts.cheats.flood import Flood
from scripts.simulation.adversaries.adversary import Adversary, Deed, unmet


class Flooder(Adversary):
    """The adversary of this module."""

    name = "flooder"
    does = "sends more operations and requests than one may, wave after wave"
    promise = "what is too much is dropped, and honest operations are ordered all the same"
    roles = (Role.NODE,)
    cheats = (Flood,)

    @classmethod
    def broken(cls, deed: Deed, patience_ms: int) -> str:
        """Floods that were taken in."""
        return unmet(deed, "TOO_MANY_PENDING", patience_ms)

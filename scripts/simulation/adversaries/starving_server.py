"""``starving-server``: a prover that serves its proofs to those who order, and to no prover.

So its records are ordered, and whoever owns the merge above cannot have the bytes from it. Breaks:
whoever announces a record serves its bytes to everybody. Met by nothing: other nodes fetch and
serve what they verify, so whoever asks on has the bytes from somebody else. Costs: a request in
vain for each proof and prover.
"""

from __future__ import annotations

from protocol.types import Account
from scripts.cheats.cheat import Role
from scripts.cheats.withhold import Withhold
from scripts.simulation.adversaries.adversary import Adversary


class Starve(Withhold):
    """Withholds from everybody without log stake."""

    name = "starve"

    def starves(self, peer: Account) -> bool:
        """Whether this peer has no log stake."""
        accounts = self.scene.genesis.accounts
        return not any(one.account == peer and one.log_stake for one in accounts)


class StarvingServer(Adversary):
    """The adversary of this module."""

    name = "starving-server"
    does = "serves its proofs to those who order the log, and to no prover"
    promise = "whoever builds on its proofs has their bytes from others"
    roles = (Role.PROVER,)
    cheats = (Starve,)

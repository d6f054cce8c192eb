"""``withhold``: a prover that announces its proofs and serves nothing to anybody.

Breaks: whoever announces a record serves the bytes that it names. Met by ``BODY_MISSING``: nobody
votes for what nobody could fetch, so the record is not ordered, the window closes, and the tree
node passes on. Costs: the block waits for one window; each node asks its peers in vain, three times
for each announcement.
"""

from __future__ import annotations

from typing import ClassVar

from protocol.ports import Answer, Network
from protocol.types import Account
from scripts.cheats.cheat import Cheat, Role
from scripts.through import ThroughNetwork


class Withhold(Cheat):
    """The cheat of this module."""

    name: ClassVar[str] = "withhold"
    role: ClassVar[Role] = Role.PROVER

    def network(self, network: Network) -> Network:
        """The same network with no answers."""
        return _Withholding(self, network)

    def starves(self, peer: Account) -> bool:
        """Whether this peer gets nothing."""
        del peer
        return True


class _Withholding(ThroughNetwork):
    def __init__(self, cheat: Withhold, inner: Network) -> None:
        super().__init__(inner)
        self._cheat = cheat
        self._told: set[bytes] = set()

    def serve(self, name: str, answer: Answer) -> None:
        async def nothing(peer: Account, body: bytes) -> bytes | None:
            wanted = await answer(peer, body)
            if not self._cheat.starves(peer):
                return wanted
            if wanted is not None and body not in self._told:
                self._told.add(body)
                self._cheat.tell("withholds", request=name, body=body)
            return None

        self.inner.serve(name, nothing)

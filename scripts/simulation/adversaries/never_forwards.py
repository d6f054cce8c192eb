"""``never-forwards``: a node that listens to gossip and passes none of it on.

Breaks: whoever accepts a message forwards it. Met by nothing: a message goes many ways. Costs: the
ways that lead through it.
"""

from __future__ import annotations

from protocol.ports import Judge, Network, Topic, Verdict
from protocol.types import Account
from scripts.cheats.cheat import Cheat, Role
from scripts.simulation.adversaries.adversary import Adversary
from scripts.through import ThroughNetwork


class KeepToItself(Cheat):
    """Forwards nothing; what its own node says it says."""

    name = "keep-to-itself"
    role = Role.NODE

    def network(self, network: Network) -> Network:
        """The same network with an end here."""
        return _DeadEnd(self, network)


class _DeadEnd(ThroughNetwork):
    def __init__(self, cheat: Cheat, inner: Network) -> None:
        super().__init__(inner)
        self._cheat = cheat

    def join(self, topic: Topic, judge: Judge) -> None:
        def selfish(peer: Account, payload: bytes) -> Verdict:
            verdict = judge(peer, payload)
            if verdict is not Verdict.ACCEPT:
                return verdict
            self._cheat.tell("forwards nothing", topic=topic.value)
            return Verdict.IGNORE

        self.inner.join(topic, selfish)


class NeverForwards(Adversary):
    """The adversary of this module."""

    name = "never-forwards"
    does = "listens to gossip and forwards none of it"
    promise = "messages reach every honest node on other ways"
    roles = (Role.NODE,)
    cheats = (KeepToItself,)

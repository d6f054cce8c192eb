"""``sybil-operator``: one machine behind several provers.

It enlists with all identities and proves with one of them at a time: whatever the others are
elected for waits.

Breaks: whoever is elected proves its tree nodes within their windows. Met by ``RIGHT_MISSED`` where
its one machine is too slow: those tree nodes pass on, and the identity that failed is not paid for
the job. An identity has as many cards as it has stake, so that several are worth no more than one
with the stake of all. Costs: the windows of whatever passes on.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from protocol.agents import (
    Action,
    Agent,
    AgentEvent,
    CancelProof,
    ProofFailed,
    ProofKey,
    ProofMade,
    StartProof,
    View,
)
from scripts.cheats.cheat import Cheat, Play, Role, Scene
from scripts.simulation.adversaries.adversary import Adversary, Troupe


class Desk:
    """Whose turn it is at the one machine.

    :ivar taken: the identity and its proof that the machine is at; None while it is free.
    """

    def __init__(self) -> None:
        self.taken: tuple[bytes, ProofKey] | None = None


class Share(Cheat):
    """Proves only while no other identity does."""

    name = "share-a-machine"
    role = Role.PROVER

    def __init__(self, scene: Scene, desk: Desk) -> None:
        super().__init__(scene)
        self.desk: Final = desk
        if desk.taken is not None and desk.taken[0] == scene.identity.account:
            desk.taken = None

    def agent(self, agent: Agent) -> Agent:
        """The same agent, waiting for its turn."""
        return _Sharing(self, agent)


class _Sharing:
    def __init__(self, cheat: Share, inner: Agent) -> None:
        self._cheat = cheat
        self._inner = inner
        self._waited: set[ProofKey] = set()

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        if isinstance(event, ProofMade | ProofFailed):
            self._release(view, event.key)
        kept = []
        for action in self._inner.decide(view, event):
            if isinstance(action, CancelProof):
                self._release(view, action.key)
            if isinstance(action, StartProof) and not self._takes(view, action.key):
                continue
            kept.append(action)
        return tuple(kept)

    def _release(self, view: View, key: ProofKey) -> None:
        if self._cheat.desk.taken == (view.account, key):
            self._cheat.desk.taken = None

    def _takes(self, view: View, key: ProofKey) -> bool:
        desk = self._cheat.desk
        if desk.taken is None:
            desk.taken = view.account, key
            return True
        if key not in self._waited:
            self._waited.add(key)
            self._cheat.tell("waits for its one machine", job=key.job, index=key.index)
        return False


class SybilOperator(Adversary):
    """The adversary of this module."""

    name = "sybil-operator"
    does = "enlists as several provers, and proves with one machine for all of them"
    promise = "it is elected by stake, whatever it calls itself, and paid only for what it proves"
    roles = (Role.PROVER,)
    nodes = 3

    def __init__(self, troupe: Troupe) -> None:
        super().__init__(troupe)
        self._desk = Desk()

    def part(self, number: int) -> tuple[Play, ...]:
        """One machine for all its identities."""
        del number
        return (Play(partial(Share, desk=self._desk)),)

"""``silent``: a prover that enlists, is elected, and never proves.

Breaks: whoever is elected proves its tree nodes within their windows. Met by ``RIGHT_MISSED``: its
windows close, all its tree nodes of the job pass on, and it earns nothing. Costs: the block waits
for one window; whoever takes over works for what it would else have lost itself.
"""

from __future__ import annotations

from typing import ClassVar

from protocol.agents import Action, Agent, AgentEvent, StartProof, View
from scripts.cheats.cheat import Cheat, Role


class Silent(Cheat):
    """The cheat of this module."""

    name: ClassVar[str] = "silent"
    role: ClassVar[Role] = Role.PROVER

    def agent(self, agent: Agent) -> Agent:
        """The same agent without its proofs."""
        return _Silenced(self, agent)


class _Silenced:
    def __init__(self, cheat: Silent, inner: Agent) -> None:
        self._cheat = cheat
        self._inner = inner
        self._told: set[object] = set()

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        actions = self._inner.decide(view, event)
        for action in actions:
            if isinstance(action, StartProof) and action.key not in self._told:
                self._told.add(action.key)
                self._cheat.tell("does not prove", job=action.key.job, index=action.key.index)
        return tuple(one for one in actions if not isinstance(one, StartProof))

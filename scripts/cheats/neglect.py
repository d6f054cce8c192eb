"""``neglect``: the owner of a merge that ignores the proof of the sibling it has to build on.

Breaks: whoever owns a merge proves it as soon as both inputs are recorded. Met by ``RIGHT_MISSED``:
the merge passes on to the sibling, whose own leaf is recorded and paid as if nothing had happened,
and the owner forfeits its pay for the whole job. Costs: the block waits for one window.
"""

from __future__ import annotations

from typing import Any, ClassVar

from protocol import tree
from protocol.agents import Action, Agent, AgentEvent, KnownProof, View
from protocol.rules import Stage
from protocol.types import JobId, TreeIndex
from scripts.cheats.cheat import Cheat, Role


class Neglect(Cheat):
    """The cheat of this module."""

    name: ClassVar[str] = "neglect"
    role: ClassVar[Role] = Role.PROVER

    def agent(self, agent: Agent) -> Agent:
        """The same agent, blind to what others proved."""
        return _Neglecting(self, agent)


class _Neglecting:
    def __init__(self, cheat: Neglect, inner: Agent) -> None:
        self._cheat = cheat
        self._inner = inner
        self._told: set[tuple[JobId, TreeIndex]] = set()

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        blinkered: Any = _Blinkered(view)
        for duty in view.machine.proving.duties(view.account):
            place = duty.job, duty.index
            if duty.index.level and duty.stage is Stage.OWN and place not in self._told:
                self._look(view, blinkered, *place)
        return self._inner.decide(blinkered, event)

    def _look(self, view: View, blinkered: View, job: JobId, index: TreeIndex) -> None:
        """Tell of a merge whose inputs are there for everybody but us."""
        children = tree.children(index)
        is_ready = all(view.proofs(job, child) for child in children)
        if is_ready and not all(blinkered.proofs(job, child) for child in children):
            self._told.add((job, index))
            self._cheat.tell("ignores its sibling", job=job, index=index)


class _Blinkered:
    """The view without proofs of others."""

    def __init__(self, view: View) -> None:
        self._view = view

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    def proofs(self, job: JobId, index: TreeIndex) -> tuple[KnownProof, ...]:
        known = self._view.proofs(job, index)
        return tuple(one for one in known if one.prover == self._view.account)

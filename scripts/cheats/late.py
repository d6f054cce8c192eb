"""``late``: a prover that has its proofs in time and delivers them only after its windows closed.

Breaks: a record comes within the window of its right. Met by ``RIGHT_MISSED``: it failed the job,
and what it delivers afterwards is recorded without pay, loses the draw against its heir's record,
or is claimed as an uncle at the uncle's rate. Costs: the block waits for one window.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from protocol.agents import Action, Agent, AgentEvent, ProofKey, Submit, View
from protocol.events import RightMissed
from protocol.happenings import BlockFinal
from protocol.messages import ProofRecord
from scripts.cheats.cheat import Cheat, Role


class Late(Cheat):
    """The cheat of this module."""

    name: ClassVar[str] = "late"
    role: ClassVar[Role] = Role.PROVER

    def agent(self, agent: Agent) -> Agent:
        """The same agent with its records held back."""
        return _Dawdling(self, agent)


class _Dawdling:
    def __init__(self, cheat: Late, inner: Agent) -> None:
        self._cheat = cheat
        self._inner = inner
        self._held: dict[ProofKey, ProofRecord] = {}
        self._missed: set[ProofKey] = set()

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        overdue = tuple(self._overdue(view, event))
        kept = (one for one in self._inner.decide(view, event) if not self._holds(one))
        return (*overdue, *kept)

    def _overdue(self, view: View, event: AgentEvent) -> Iterator[Action]:
        """What was held back, upon the end of its window."""
        for one in event.applied.events if isinstance(event, BlockFinal) else ():
            if isinstance(one, RightMissed) and one.holder == view.account:
                key = ProofKey(one.job, one.index)
                self._missed.add(key)
                record = self._held.pop(key, None)
                if record is not None:
                    self._cheat.tell("delivers", job=key.job, index=key.index)
                    yield Submit(record)

    def _holds(self, action: Action) -> bool:
        if not isinstance(action, Submit) or not isinstance(action.payload, ProofRecord):
            return False
        key = ProofKey(action.payload.job, action.payload.index)
        if key in self._missed:
            return False
        if key not in self._held:
            self._cheat.tell("holds a proof back", job=key.job, index=key.index)
        self._held[key] = action.payload
        return True

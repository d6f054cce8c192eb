"""``late``: a prover that has its proofs in time and delivers them only when it is too late.

Two kinds, in turn for each tree node that it holds back:

- ``missed``: once its window closed. The record comes beside its heir's;
- ``recorded``: once somebody else's proof was recorded. The record never comes; what is left to
  its agent is to claim it as an uncle.

Breaks: a record comes within the window of its right. Met by ``RIGHT_MISSED``: it failed the job,
and what it delivers afterwards is recorded without pay, loses the draw against its heir's record,
or is claimed as an uncle at the uncle's rate. Costs: the block waits for one window.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from protocol.agents import Action, Agent, AgentEvent, ProofKey, Submit, View
from protocol.events import RightMissed
from protocol.happenings import BlockFinal
from protocol.messages import ProofRecord, UncleClaim
from scripts.cheats.cheat import Cheat, Role

MISSED: Final = "missed"
RECORDED: Final = "recorded"
DELIVERS: Final = "delivers"
"""What is told when a proof that was held back comes."""


class Late(Cheat):
    """The cheat of this module."""

    name: ClassVar[str] = "late"
    role: ClassVar[Role] = Role.PROVER
    kinds: ClassVar[tuple[str, ...]] = (MISSED, RECORDED)

    def agent(self, agent: Agent) -> Agent:
        """The same agent with its records held back."""
        return _Dawdling(self, agent)


class _Dawdling:
    def __init__(self, cheat: Late, inner: Agent) -> None:
        self._cheat = cheat
        self._inner = inner
        self._kinds: dict[ProofKey, str] = {}
        self._held: dict[ProofKey, ProofRecord] = {}
        self._delivered: set[ProofKey] = set()

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        overdue = tuple(self._overdue(view, event))
        kept = (one for one in self._inner.decide(view, event) if self._passes(one))
        return (*overdue, *kept)

    def _overdue(self, view: View, event: AgentEvent) -> Iterator[Action]:
        """What was held back, upon the end of its window."""
        for one in event.applied.events if isinstance(event, BlockFinal) else ():
            if isinstance(one, RightMissed) and one.holder == view.account:
                key = ProofKey(one.job, one.index)
                record = self._held.get(key)
                if self._kind(key) == MISSED:
                    self._delivered.add(key)
                    if record is not None:
                        self._tell(DELIVERS, key)
                        yield Submit(record)

    def _passes(self, action: Action) -> bool:
        """Whether an action is carried out now; records are held back, claims are not."""
        if not isinstance(action, Submit):
            return True
        if isinstance(action.payload, UncleClaim):
            record = action.payload.record
            key = ProofKey(record.job, record.index)
            if key in self._held and key not in self._delivered:
                self._delivered.add(key)
                self._tell(DELIVERS, key)
            return True
        if not isinstance(action.payload, ProofRecord):
            return True
        key = ProofKey(action.payload.job, action.payload.index)
        if key in self._delivered:
            return True
        if key not in self._held:
            self._tell("holds a proof back", key)
        self._held[key] = action.payload
        self._kind(key)
        return False

    def _kind(self, key: ProofKey) -> str:
        kinds = self._cheat.scene.kinds
        return self._kinds.setdefault(key, kinds[len(self._kinds) % len(kinds)])

    def _tell(self, what: str, key: ProofKey) -> None:
        self._cheat.tell(what, job=key.job, index=key.index)

"""``record-hoarder``: a prover that keeps its records until its windows are about to close.

So whoever owns the merge above cannot begin ahead, and validators have to check all at the end.

Breaks: no rule, if it is just in time. Met by nothing, or by ``RIGHT_MISSED`` where it waits too
long. Costs: a window for each of its layers of the tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from protocol.agents import Action, Agent, AgentEvent, ProofKey, Submit, View
from protocol.events import WindowStarted
from protocol.happenings import BlockFinal
from protocol.messages import ProofRecord
from protocol.types import Tick
from scripts.cheats.cheat import Cheat, Role
from scripts.simulation.adversaries.adversary import Adversary

MARGIN_TICKS: Final = 6
"""Before the end of a window in which it announces: fetching, checking and ordering take as many
while blocks are final two heights late.
"""


class Hoard(Cheat):
    """Announces at the last moment."""

    name = "hoard"
    role = Role.PROVER

    def agent(self, agent: Agent) -> Agent:
        """The same agent with its records kept back."""
        return _Hoarding(self, agent)


class _Hoarding:
    def __init__(self, cheat: Cheat, inner: Agent) -> None:
        self._cheat = cheat
        self._inner = inner
        self._closes: dict[ProofKey, Tick] = {}
        self._kept: dict[ProofKey, ProofRecord] = {}
        self._released: set[ProofKey] = set()

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        if isinstance(event, BlockFinal):
            for one in event.applied.events:
                if isinstance(one, WindowStarted) and one.holder == view.account:
                    self._closes[ProofKey(one.job, one.index)] = one.closes
        passed = (one for one in self._inner.decide(view, event) if self._passes(one))
        return (*passed, *self._released_now(view))

    def _released_now(self, view: View) -> Iterator[Action]:
        for key, record in tuple(self._kept.items()):
            closes = self._closes.get(key)
            if closes is not None and view.machine.tick >= closes - MARGIN_TICKS:
                self._released.add(key)
                yield Submit(self._kept.pop(key, record))

    def _passes(self, action: Action) -> bool:
        if not isinstance(action, Submit) or not isinstance(action.payload, ProofRecord):
            return True
        key = ProofKey(action.payload.job, action.payload.index)
        if key in self._released:
            return True
        if key not in self._kept:
            self._cheat.tell("keeps a record back", job=key.job, index=key.index)
        self._kept[key] = action.payload
        return False


class RecordHoarder(Adversary):
    """The adversary of this module."""

    name = "record-hoarder"
    does = "keeps its records until its windows are about to close"
    promise = "a block waits for its windows at most, and nobody else loses a right"
    roles = (Role.PROVER,)
    cheats = (Hoard,)

"""``no-reveal``: a sequencer that commits, is elected, and never reveals.

It promises all fees to provers: a promise that is never kept costs nothing and wins elections.

Breaks: the leader of a round reveals within its window. Met by ``NOT_REVEALED``: the round is
skipped, the next one builds on the same head, and where the rule slashes for it, the leader pays.
Costs: one reveal window, and the honest candidates of the round their commitment fees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from protocol.agents import Action, Agent, AgentEvent, Submit, View
from protocol.messages import BlockCommitment, BlockReveal
from protocol.types import FULL_SHARE, Round
from scripts.cheats.cheat import Cheat, Role


class NoReveal(Cheat):
    """The cheat of this module."""

    name: ClassVar[str] = "no-reveal"
    role: ClassVar[Role] = Role.SEQUENCER

    def agent(self, agent: Agent) -> Agent:
        """The same agent without its reveals."""
        return _Concealing(self, agent)


class _Concealing:
    def __init__(self, cheat: NoReveal, inner: Agent) -> None:
        self._cheat = cheat
        self._inner = inner
        self._told: set[Round] = set()

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        return tuple(self._changed(self._inner.decide(view, event)))

    def _changed(self, actions: tuple[Action, ...]) -> Iterator[Action]:
        for action in actions:
            payload = action.payload if isinstance(action, Submit) else None
            if isinstance(payload, BlockReveal):
                if payload.round not in self._told:
                    self._told.add(payload.round)
                    self._cheat.tell("does not reveal", round=payload.round)
            elif isinstance(payload, BlockCommitment):
                yield Submit(replace(payload, fee_split=FULL_SHARE))
            else:
                yield action

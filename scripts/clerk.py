"""Hands what programs beside a node want ordered to the node: an agent like any other.

It submits with the node's next step, at the latest when the next slot begins.
"""

from __future__ import annotations

from collections import deque

from protocol.agents import Action, AgentEvent, Submit, View
from protocol.messages import Payload


class Clerk:
    """Submits for one account; what its node's own programs hand in is not limited."""

    def __init__(self) -> None:
        self._waiting: deque[Payload] = deque()

    def submit(self, payload: Payload) -> None:
        """Have a payload signed and ordered."""
        self._waiting.append(payload)

    def decide(self, _view: View, _event: AgentEvent) -> tuple[Action, ...]:
        """Everything that waits."""
        actions = tuple(map(Submit, self._waiting))
        self._waiting.clear()
        return actions

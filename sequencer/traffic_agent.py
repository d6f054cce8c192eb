"""Sends transfers of test accounts, a few in every slot, so that there is something to prove."""

from __future__ import annotations

from protocol.agents import Action, AgentEvent, Send, SlotBegan, View
from sequencer.traffic import Traffic


class TrafficAgent:
    """Gossips ``per_slot`` new transfers in every slot while their accounts can pay for them."""

    def __init__(self, traffic: Traffic, per_slot: int) -> None:
        self._traffic = traffic
        self._per_slot = per_slot

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        """New transfers at the beginning of a slot."""
        state = view.state_after(view.machine.settled_head)
        if not isinstance(event, SlotBegan) or state is None:
            return ()
        return tuple(Send(one) for one in self._traffic.next_transfers(state, self._per_slot))

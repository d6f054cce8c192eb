"""Sends transfers of test accounts, a few in every slot, so that there is something to prove."""

from __future__ import annotations

from typing import Final

from protocol.agents import Action, AgentEvent, Send, SlotBegan, View
from sequencer.traffic import Traffic


REPEAT_SLOTS: Final = 16
"""Slots between two times that everything not executed yet is sent again: gossip is best effort."""


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
        fresh = self._traffic.next_transfers(state, self._per_slot)
        is_repeat = event.slot % REPEAT_SLOTS == 0
        return tuple(Send(one) for one in (self._traffic.pending() if is_repeat else fresh))

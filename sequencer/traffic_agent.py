"""Sends transfers of test accounts, a few in every slot, so that there is something to prove."""

from __future__ import annotations

from protocol.agents import Action, AgentEvent, Send, SlotBegan, View
from protocol.messages import NO_JOB
from protocol.ports import RollupState
from sequencer.traffic import Traffic


class TrafficAgent:
    """Gossips ``per_slot`` new transfers in every slot while their accounts can pay for them."""

    def __init__(self, traffic: Traffic, per_slot: int) -> None:
        self._traffic = traffic
        self._per_slot = per_slot

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        """New transfers at the beginning of a slot."""
        state = self._settled_state(view)
        if not isinstance(event, SlotBegan) or state is None:
            return ()
        return tuple(Send(one) for one in self._traffic.next_transfers(state, self._per_slot))

    def _settled_state(self, view: View) -> RollupState | None:
        """The state that no void job can take back."""
        oldest = next(iter(view.machine.jobs.values()), None)
        return view.state_after(
            view.machine.sequencing.head[0] if oldest is None else oldest.header.content.parent
        ) or view.state_after(NO_JOB)

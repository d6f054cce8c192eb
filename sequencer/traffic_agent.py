"""Sends transfers of test accounts, a few in every slot, so that there is something to prove; none
while its node is paused.
"""

from __future__ import annotations

from typing import Final

from protocol.agents import Action, AgentEvent, Send, SlotBegan, View, is_paused
from protocol.messages import SignedTransfer
from protocol.types import Account
from sequencer.traffic import Traffic

REPEAT_SLOTS: Final = 16
"""Slots between two times that each account's first transfer that is not settled is sent again.

Gossip is best effort, and without its first transfer all others of an account wait.
"""


class TrafficAgent:
    """Gossips ``per_slot`` new transfers in every slot while their accounts can pay for them."""

    def __init__(self, traffic: Traffic, per_slot: int) -> None:
        self._traffic = traffic
        self._per_slot = per_slot

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        """New transfers at the beginning of a slot."""
        state = view.state_after(view.machine.settled_head)
        if not isinstance(event, SlotBegan) or state is None or is_paused(view):
            return ()
        fresh = self._traffic.next_transfers(state, self._per_slot)
        repeated = self._firsts() if event.slot % REPEAT_SLOTS == 0 else ()
        return tuple(Send(one) for one in (*repeated, *fresh))

    def _firsts(self) -> tuple[SignedTransfer, ...]:
        firsts: dict[Account, SignedTransfer] = {}
        for signed in self._traffic.pending():
            firsts.setdefault(signed.transfer.sender, signed)
        return tuple(firsts.values())

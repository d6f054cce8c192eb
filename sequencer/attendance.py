"""Brings a validator back that was left out of the sets because it was absent.

Rule. Whoever missed most votes of an epoch is left out until an operation of its own is ordered
(``protocol.sets``). A validator that does nothing but vote has none to send, so this agent sends a
:class:`~protocol.messages.Presence` for it, at the beginning of a slot, when

- the account is absent, and in no set that orders the log now: there its votes would do,
- it has log stake,
- its node has caught up: it would be absent again if it could not vote,
- it can pay the fee; if not, the operator is told once.

One at a time: until it is ordered or has expired no other is sent.
"""

from __future__ import annotations

from protocol.agents import Action, AgentEvent, SlotBegan, Submit, Tell, View
from protocol.ledger import balance, log_stake
from protocol.messages import Presence


class AttendanceAgent:
    """The agent of this module."""

    def __init__(self) -> None:
        self._is_told = False

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        """A presence where one is due; see the module."""
        if not isinstance(event, SlotBegan) or view.is_behind or not _is_left_out(view):
            return ()
        machine, fee = view.machine, view.machine.genesis.network.operation_fee
        if machine.ledger.holds(balance(view.account)) < fee:
            return self._tell_once(f"the fee of {fee} that brings it back: pay this account")
        if any(isinstance(one, Presence) for one in view.own_pending()):
            return ()
        return Submit(Presence()), Tell("this validator was left out as absent, and comes back")

    def _tell_once(self, lacking: str) -> tuple[Action, ...]:
        if self._is_told:
            return ()
        self._is_told = True
        return (Tell(f"this validator was left out as absent, and cannot pay {lacking}"),)


def _is_left_out(view: View) -> bool:
    machine, account = view.machine, view.account
    orders = machine.sets.validators.get(account) is not None
    has_stake = machine.ledger.holds(log_stake(account)) > 0
    return machine.sets.is_absent(account) and has_stake and not orders

"""Takes what the node's owner submits to where the node acts: an agent like any other.

Rules. What was taken in waits, at most :data:`WAITING_MAX` of it, until the node asks its agents
next, at the latest when the next slot begins. Transfers inside the rollup continue the account's
nonces; those that the settled state has not executed are sent again now and then, because gossip is
best effort, and forgotten when the state goes another way.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from protocol import vrf
from protocol.agents import Action, AgentEvent, Send, SlotBegan, Submit, View
from protocol.messages import Payload, SignedTransfer, Transfer, sign_transfer
from protocol.ordering.validators import Identity
from protocol.ports import RollupState
from protocol.types import NetworkId, Nonce, VrfKey
from scripts.service.values import TransferOrder

WAITING_MAX: Final = 64
"""Most actions that wait for the node."""

SENT_MAX: Final = 64
"""Most transfers of the account that the state has not executed."""

REPEAT_SLOTS: Final = 16
"""Slots between two times that transfers which are not settled are sent again."""


class Desk:
    """Submits for one account.

    :param identity: keys of the node.
    """

    def __init__(self, identity: Identity, network: NetworkId) -> None:
        self._identity = identity
        self._network = network
        self._waiting: deque[Action] = deque()
        self._sent: dict[Nonce, SignedTransfer] = {}

    @property
    def is_full(self) -> bool:
        """Whether nothing more can be taken in now."""
        return len(self._waiting) >= WAITING_MAX or len(self._sent) >= SENT_MAX

    @property
    def vrf_key(self) -> VrfKey:
        """The key of the node's lots, with which its account stakes."""
        return vrf.public_key(self._identity.vrf_seed)

    @property
    def waiting(self) -> tuple[Payload, ...]:
        """Payloads that the node was not handed yet."""
        return tuple(one.payload for one in self._waiting if isinstance(one, Submit))

    def submit(self, payload: Payload) -> None:
        """Have a payload signed and ordered."""
        self._waiting.append(Submit(payload))

    def next_nonce(self, state: RollupState) -> Nonce | None:
        """The nonce of the account's next transfer; None when it has no account in the rollup."""
        found = state.account(self._identity.account)
        if found is None:
            return None
        self._forget_executed(found[1])
        return Nonce(found[1] + len(self._sent))

    def transfer(self, order: TransferOrder, nonce: Nonce) -> None:
        """Sign a transfer and have it gossiped."""
        transfer = Transfer(self._identity.account, order.recipient, order.amount, order.fee, nonce)
        signed = sign_transfer(self._identity.signing_seed, self._network, transfer)
        self._sent[nonce] = signed
        self._waiting.append(Send(signed))

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        """Everything that waits, and now and then what was sent before."""
        if isinstance(event, SlotBegan) and event.slot % REPEAT_SLOTS == 0 and self._sent:
            state = view.state_after(view.machine.settled_head)
            found = None if state is None else state.account(self._identity.account)
            if found is not None:
                self._forget_executed(found[1])
            fresh = {one.signed.transfer.nonce for one in self._waiting if isinstance(one, Send)}
            self._waiting.extend(
                Send(one) for nonce, one in self._sent.items() if nonce not in fresh
            )
        actions = tuple(self._waiting)
        self._waiting.clear()
        return actions

    def _forget_executed(self, nonce: Nonce) -> None:
        """Keep what continues the state's nonce without a gap."""
        kept: dict[Nonce, SignedTransfer] = {}
        while (one := Nonce(nonce + len(kept))) in self._sent:
            kept[one] = self._sent[one]
        self._sent = kept

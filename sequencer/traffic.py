"""Makes transfers for testnets and experiments.

Rules. Each transfer has a random funded sender, amount and fee in the given ranges; the recipient
is another of the accounts or, now and then, a brand-new one. All draws are digests of the seed and
a counter. A sender's transfers count as pending until the state has executed them: nonces continue
after them and its balance must pay them all. When the state goes another way, so that they no
longer continue its nonce, they are forgotten.

Properties. Deterministic from the seed and the calls. Every transfer is executable after those
pending before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from protocol.messages import SignedTransfer, Transfer, sign_transfer
from protocol.ports import RollupState
from protocol.rollup import transfer_cost
from protocol.signing import digest, public_key
from protocol.types import FULL_SHARE, Account, Amount, BasisPoints, NetworkId, Nonce

_COUNTER_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class TrafficShape:
    """What the transfers are like.

    :ivar amount_max: largest amount, in micro-units; the smallest is 1.
    :ivar fee_min: smallest fee, in micro-units.
    :ivar fee_max: largest fee, in micro-units.
    :ivar new_account_share: how many of the recipients are brand-new accounts.
    :ivar pending_max: most pending transfers of one sender.
    """

    amount_max: Amount
    fee_min: Amount
    fee_max: Amount
    new_account_share: BasisPoints
    pending_max: int


TRAFFIC_SHAPE: Final = TrafficShape(
    amount_max=Amount(1_000_000),
    fee_min=Amount(1_000),
    fee_max=Amount(10_000),
    new_account_share=BasisPoints(500),
    pending_max=32,
)
"""Small change among friends with a stranger in every twentieth transfer; no source, an example."""


class Traffic:
    """A source of signed transfers.

    :param seed: any bytes; with the same seed and calls come the same transfers.
    :param keys: 32-byte Ed25519 seeds of at least two different funded accounts.
    """

    def __init__(
        self,
        seed: bytes,
        network: NetworkId,
        keys: Sequence[bytes],
        shape: TrafficShape = TRAFFIC_SHAPE,
    ) -> None:
        self._seed = seed
        self._network = network
        self._keys = {public_key(key): key for key in keys}
        self._accounts = tuple(self._keys)
        if len(self._accounts) < 2:
            raise ValueError("traffic needs at least two different accounts")
        self._shape = shape
        self._draws = 0
        self._pending: dict[Account, list[SignedTransfer]] = {one: [] for one in self._accounts}

    def next_transfers(self, state: RollupState, count: int) -> tuple[SignedTransfer, ...]:
        """The next ``count`` transfers; fewer when no account can pay or has room for one more."""
        for account in self._accounts:
            self._forget_executed(state, account)
        made = (self._next_transfer(state) for _ in range(count))
        return tuple(signed for signed in made if signed is not None)

    def pending(self) -> tuple[SignedTransfer, ...]:
        """All transfers made that the state of the last call had not executed, to be sent again."""
        return tuple(signed for queue in self._pending.values() for signed in queue)

    def _forget_executed(self, state: RollupState, account: Account) -> None:
        _, nonce = state.account(account) or (0, 0)
        queue = [one for one in self._pending[account] if one.transfer.nonce >= nonce]
        continues = bool(queue) and queue[0].transfer.nonce == nonce
        self._pending[account] = queue if continues else []

    def _next_transfer(self, state: RollupState) -> SignedTransfer | None:
        first = self._draw(len(self._accounts))
        fee = self._draw_between(self._shape.fee_min, self._shape.fee_max)
        for account in self._accounts[first:] + self._accounts[:first]:
            available = self._available(state, account)
            if available > fee and len(self._pending[account]) < self._shape.pending_max:
                return self._transfer_of(state, account, fee, available)
        return None

    def _transfer_of(
        self, state: RollupState, sender: Account, fee: int, available: int
    ) -> SignedTransfer:
        found = state.account(sender)
        assert found is not None, "an account without money sends nothing"
        queue = self._pending[sender]
        transfer = Transfer(
            sender=sender,
            recipient=self._recipient(sender),
            amount=Amount(self._draw_between(1, min(self._shape.amount_max, available - fee))),
            fee=Amount(fee),
            nonce=Nonce(found[1] + len(queue)),
        )
        signed = sign_transfer(self._keys[sender], self._network, transfer)
        queue.append(signed)
        return signed

    def _recipient(self, sender: Account) -> Account:
        if self._draw(FULL_SHARE) < self._shape.new_account_share:
            return public_key(self._token(b"provnet/traffic-account/1"))
        others = [account for account in self._accounts if account != sender]
        return others[self._draw(len(others))]

    def _available(self, state: RollupState, account: Account) -> int:
        balance, _ = state.account(account) or (0, 0)
        return balance - sum(transfer_cost(one.transfer) for one in self._pending[account])

    def _draw_between(self, smallest: int, largest: int) -> int:
        return smallest + self._draw(largest - smallest + 1)

    def _draw(self, bound: int) -> int:
        # 256 bits reduced to a bound of at most 62: the bias is below 2**-190.
        return int.from_bytes(self._token(b"provnet/traffic-draw/1"), "little") % bound

    def _token(self, tag: bytes) -> bytes:
        self._draws += 1
        return digest(tag, self._seed, self._draws.to_bytes(_COUNTER_BYTES, "little"))

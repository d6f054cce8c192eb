"""The transfers that wait for a block.

Problem. Anybody may gossip transfers, in any order, more than there is room for, and most of what a
flood sends can never be executed. What is kept must be what pays, and it must cost something to be
kept.

Rules.

- A sender's transfers wait in a queue by nonce, at most ``sender_transfers_max`` nonces ahead of
  its account.
- All that a sender has waiting, fees included, its balance can pay: no money backs two transfers.
- A waiting transfer is replaced by one with the same nonce and a fee higher by :data:`FEE_BUMP`.
- A transfer is *worth* the lowest fee in its queue up to itself, for it is executed after them, and
  nothing at all behind a missing nonce. When the pool is full, of the ends of all queues the one
  worth least goes, of several the one that came last. Worth never rises along a queue: nothing that
  stays is worth less than what goes, and no gap is torn.
- :meth:`TransferPool.select` takes again and again, of all transfers that the state could execute
  next, the one with the highest fee, of several the one with the smallest hash.

- Transfers are judged by the settled state. What a block that is not settled carries stays, so that
  it is there again when the block falls.

Not here: signatures, which the caller has verified.

Properties. Pure and deterministic: the same calls give the same pool. Both bounds hold after every
call, and what ``select`` returns executes in that order.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Final, TypeAlias

from protocol.errors import Reason
from protocol.messages import SignedTransfer, Transfer
from protocol.ports import RollupState
from protocol.rollup import FEE_MAX, transfer_cost, transfer_hash
from protocol.types import FULL_SHARE, Account, Amount, BasisPoints, Digest, Nonce

TRANSFERS_MAX: Final = 22_528
"""Most waiting transfers: two of the largest blocks (256 leaves of 44), about 25 megabytes."""

SENDER_TRANSFERS_MAX: Final = 64
"""Most waiting transfers of one sender, and how far its nonces may run ahead: above a leaf's 44."""

FEE_BUMP: Final = BasisPoints(1_000)
"""By how much a replacement's fee must be higher: a tenth, or replacing would be free gossip."""

_WORTHLESS: Final = -1
"""Worth of what waits behind a missing nonce: less than any fee."""


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """Figures of a pool.

    :ivar transfers: transfers that wait now.
    :ivar senders: accounts that have sent them.
    :ivar fees: sum of their fees, in micro-units.
    :ivar added: transfers taken in since the start, replacements included.
    :ivar replaced: transfers that gave way to one with the same nonce.
    :ivar evicted: transfers that gave way because the pool was full.
    :ivar dropped: transfers that the state had executed or could no longer pay.
    :ivar refused: refusals by reason.
    """

    transfers: int
    senders: int
    fees: Amount
    added: int
    replaced: int
    evicted: int
    dropped: int
    refused: dict[Reason, int]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A pooled transfer with its identity and the order of its arrival."""

    signed: SignedTransfer
    hash: Digest
    arrival: int

    @property
    def transfer(self) -> Transfer:
        return self.signed.transfer


@dataclass(slots=True)
class _Counts:
    """What happened since the pool was made."""

    added: int = 0
    replaced: int = 0
    evicted: int = 0
    dropped: int = 0
    refused: Counter[Reason] = field(default_factory=Counter)


_Queue: TypeAlias = dict[Nonce, _Waiting]
_Rank: TypeAlias = tuple[int, int, Account]


class TransferPool:
    """Waiting transfers, bounded, the best ones first.

    :param state: the settled state; :meth:`advance` moves it.
    :param transfers_max: most waiting transfers.
    :param sender_transfers_max: most waiting transfers of one sender.
    """

    def __init__(
        self,
        state: RollupState,
        *,
        transfers_max: int = TRANSFERS_MAX,
        sender_transfers_max: int = SENDER_TRANSFERS_MAX,
    ) -> None:
        self._state = state
        self._transfers_max = transfers_max
        self._sender_transfers_max = sender_transfers_max
        self._queues: dict[Account, _Queue] = {}
        self._size = 0
        self._counts = _Counts()
        # The least rank gives way first; the heap also holds ranks that are no longer in `_ranks`.
        self._ranks: dict[Account, _Rank] = {}
        self._weakest: list[_Rank] = []

    def __len__(self) -> int:
        return self._size

    def add(self, signed: SignedTransfer) -> Reason | None:
        """Take a transfer in, whose signature the caller has verified.

        :returns: None when it waits now, else why it was refused.
        """
        reason = self._refusal(signed.transfer) or self._insert(signed)
        if reason is not None:
            self._counts.refused[reason] += 1
        else:
            self._counts.added += 1
        return reason

    def advance(self, state: RollupState) -> None:
        """Move to another state and drop what it has executed or its senders can no longer pay."""
        self._state = state
        for sender, queue in list(self._queues.items()):
            kept = self._still_valid(sender, queue)
            self._counts.dropped += len(queue) - len(kept)
            self._size -= len(queue) - len(kept)
            self._queues[sender] = kept
            self._rank(sender)

    def select(self, state: RollupState, count_max: int) -> tuple[SignedTransfer, ...]:
        """At most ``count_max`` transfers that ``state`` can execute in this order, the best first.

        :param state: the one to build on: the settled state or what was built on it.

        The pool stays as it is: what was selected leaves with :meth:`advance`.
        """
        return _Selection(self._queues, state).take(count_max)

    def statistics(self) -> PoolStatistics:
        """Figures of the pool as it is and of what happened to it."""
        counts = self._counts
        waiting = (one for queue in self._queues.values() for one in queue.values())
        return PoolStatistics(
            transfers=self._size,
            senders=len(self._queues),
            fees=Amount(sum(one.transfer.fee for one in waiting)),
            added=counts.added,
            replaced=counts.replaced,
            evicted=counts.evicted,
            dropped=counts.dropped,
            refused=dict(counts.refused),
        )

    def _refusal(self, transfer: Transfer) -> Reason | None:
        if transfer.fee > FEE_MAX:
            return Reason.FEE_TOO_HIGH
        account = self._state.account(transfer.sender)
        if account is None:
            return Reason.CANNOT_PAY
        balance, nonce = account
        if transfer.nonce < nonce:
            return Reason.STALE_NONCE
        if transfer.nonce >= nonce + self._sender_transfers_max:
            return Reason.NONCE_TOO_FAR
        return self._queue_refusal(transfer, balance)

    def _queue_refusal(self, transfer: Transfer, balance: Amount) -> Reason | None:
        queue = self._queues.get(transfer.sender, {})
        resident = queue.get(transfer.nonce)
        if resident is not None and resident.transfer == transfer:
            return Reason.DUPLICATE
        if resident is not None and transfer.fee < _bumped(resident.transfer.fee):
            return Reason.FEE_BUMP_TOO_LOW
        others = sum(transfer_cost(one.transfer) for one in queue.values() if one is not resident)
        return Reason.CANNOT_PAY if others + transfer_cost(transfer) > balance else None

    def _insert(self, signed: SignedTransfer) -> Reason | None:
        sender, nonce = signed.transfer.sender, signed.transfer.nonce
        queue = self._queues.setdefault(sender, {})
        if nonce in queue:
            self._counts.replaced += 1
        else:
            self._size += 1
        waiting = _Waiting(signed, transfer_hash(signed.transfer), self._counts.added)
        queue[nonce] = waiting
        self._rank(sender)
        if self._size <= self._transfers_max:
            return None
        if self._evict() is waiting:
            return Reason.POOL_FULL
        self._counts.evicted += 1
        return None

    def _evict(self) -> _Waiting:
        while self._ranks.get(self._weakest[0][2]) != self._weakest[0]:
            heappop(self._weakest)
        sender = self._weakest[0][2]
        queue = self._queues[sender]
        evicted = queue.pop(max(queue))
        self._size -= 1
        self._rank(sender)
        return evicted

    def _rank(self, sender: Account) -> None:
        """Rank a queue again after a change; an empty one is forgotten."""
        queue = self._queues[sender]
        if not queue:
            del self._queues[sender]
            self._ranks.pop(sender, None)
            return
        rank = (self._worth(sender, queue), -queue[max(queue)].arrival, sender)
        if self._ranks.get(sender) == rank:
            return
        self._ranks[sender] = rank
        heappush(self._weakest, rank)
        if len(self._weakest) > 2 * len(self._ranks) + self._sender_transfers_max:
            self._weakest = list(self._ranks.values())
            heapify(self._weakest)

    def _worth(self, sender: Account, queue: _Queue) -> int:
        """Worth of the queue's end."""
        account = self._state.account(sender)
        assert account is not None, "a pooled transfer's sender has an account"
        without_gap = max(queue) - account[1] + 1 == len(queue)
        return min(one.transfer.fee for one in queue.values()) if without_gap else _WORTHLESS

    def _still_valid(self, sender: Account, queue: _Queue) -> _Queue:
        """What the state can still execute and pay, up to the first that it cannot pay."""
        kept: _Queue = {}
        account = self._state.account(sender)
        if account is None:
            return kept
        balance, next_nonce = account
        for nonce in sorted(queue):
            if not next_nonce <= nonce < next_nonce + self._sender_transfers_max:
                continue
            balance = Amount(balance - transfer_cost(queue[nonce].transfer))
            if balance < 0:
                break
            kept[nonce] = queue[nonce]
        return kept


class _Selection:
    """One run of :meth:`TransferPool.select`: queues against the balances as they change."""

    def __init__(self, queues: dict[Account, _Queue], state: RollupState) -> None:
        self._queues = queues
        self._state = state
        self._balances: dict[Account, int] = {}
        self._ready: list[tuple[int, Digest, _Waiting]] = []
        self._blocked: dict[Account, _Waiting] = {}

    def take(self, count_max: int) -> tuple[SignedTransfer, ...]:
        for sender in self._queues:
            account = self._state.account(sender)
            if account is not None:
                self._offer(self._queues[sender].get(account[1]))
        chosen: list[SignedTransfer] = []
        while self._ready and len(chosen) < count_max:
            _, _, waiting = heappop(self._ready)
            if self._pay(waiting.transfer):
                chosen.append(waiting.signed)
                self._follow(waiting.transfer)
            else:
                self._blocked[waiting.transfer.sender] = waiting
        return tuple(chosen)

    def _offer(self, waiting: _Waiting | None) -> None:
        if waiting is not None:
            heappush(self._ready, (-waiting.transfer.fee, waiting.hash, waiting))

    def _pay(self, transfer: Transfer) -> bool:
        rest = self._balance(transfer.sender) - transfer_cost(transfer)
        if rest < 0:
            return False
        self._balances[transfer.sender] = rest
        self._balances[transfer.recipient] = self._balance(transfer.recipient) + transfer.amount
        return True

    def _follow(self, transfer: Transfer) -> None:
        """Offer the sender's next transfer, and the one its recipient may be able to pay now."""
        self._offer(self._queues[transfer.sender].get(Nonce(transfer.nonce + 1)))
        self._offer(self._blocked.pop(transfer.recipient, None))

    def _balance(self, account: Account) -> int:
        if account not in self._balances:
            found = self._state.account(account)
            self._balances[account] = 0 if found is None else found[0]
        return self._balances[account]


def _bumped(fee: Amount) -> int:
    """Lowest fee that replaces ``fee``: higher by the bump, rounded up, and by one at least."""
    return fee + max(1, -(-fee * FEE_BUMP // FULL_SHARE))

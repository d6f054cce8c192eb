"""What the pure core and the agents need from the world, as structural types.

Each port has a real implementation and a named stand-in: ``Network`` (``p2p.host`` and
``p2p.memory``), ``ProverBackend`` and ``RollupState`` (``prover.backend`` and ``prover.modelled``),
both pairs under the same contract tests; ``Clock`` (the system's and, in tests, a virtual one).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from protocol.messages import Transfer
from protocol.types import (
    Account,
    Amount,
    Claim,
    Count,
    JobId,
    Milliseconds,
    Nonce,
    Root,
    TransferDigest,
    TreeIndex,
)


class Topic(Enum):
    """Gossip topics, one a message kind; the wire name also carries the network id."""

    LOG_PROPOSALS = "log-proposals"
    LOG_VOTES = "log-votes"
    TRANSFERS = "transfers"
    BLOCK_PROPOSALS = "block-proposals"
    INTENTS = "intents"
    BIDS = "bids"
    PROOFS = "proofs"
    OPERATIONS = "operations"


class Verdict(Enum):
    """What becomes of a gossiped message."""

    ACCEPT = "accept"
    """Deliver and forward."""
    IGNORE = "ignore"
    """Neither deliver nor forward; nobody is blamed."""
    REJECT = "reject"
    """Drop, and hold it against the peer that forwarded it."""


Judge: TypeAlias = "Callable[[Account, bytes], Verdict]"
"""Called with the forwarding peer and the payload; synchronous, total, cheap.

It keeps what it accepts.
"""

Answer: TypeAlias = "Callable[[Account, bytes], Awaitable[bytes | None]]"
"""Answers one request of a peer; None when there is nothing to answer with."""


class RequestFailed(Exception):
    """A request to a peer had no usable answer: unreachable, too slow, too large, refused, or
    nothing there.
    """


class Network(Protocol):
    """Gossip and requests among authenticated peers. A peer is named by its account."""

    @property
    def account(self) -> Account:
        """The account of this node."""

    def join(self, topic: Topic, judge: Judge) -> None:
        """Subscribe; exactly once a topic, before the network runs. Own messages are not judged."""

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """Gossip ``payload``; best effort.

        Raises ValueError when it is larger than gossip allows.
        """

    def serve(self, name: str, answer: Answer) -> None:
        """Answer requests named ``name``; exactly once a name, before the network runs."""

    async def request(
        self, peer: Account, name: str, body: bytes, *, size_max: int, timeout_ms: Milliseconds
    ) -> bytes:
        """Ask one peer. Raises :class:`RequestFailed`."""

    def peers(self) -> tuple[Account, ...]:
        """Connected peers in sorted order."""

    def penalise(self, peer: Account, reason: str) -> None:
        """Hold a fault against a peer; enough of them and it is disconnected for a while."""


class Clock(Protocol):
    """Wall-clock time."""

    def now_ms(self) -> Milliseconds:
        """Milliseconds since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class Executed:
    """A leaf's batch, executed: the state after it, the digest of its transfers, the sum of its
    fees.
    """

    state: RollupState
    digest: TransferDigest
    fees: Amount


class RollupState(Protocol):
    """The rollup's accounts as an immutable value."""

    @property
    def root(self) -> Root:
        """Root of the account tree."""

    @property
    def total(self) -> Amount:
        """Sum of all balances."""

    def account(self, key: Account) -> tuple[Amount, Nonce] | None:
        """Balance and next nonce, or None when the account does not exist."""

    def accounts(self) -> list[tuple[Account, Amount, Nonce]]:
        """All accounts in the order of the tree."""

    def execute(self, transfers: Sequence[Transfer]) -> Executed:
        """Apply one leaf's batch.

        Raises ValueError that names the first transfer that cannot be applied.
        """

    def witness(self, transfers: Sequence[Transfer]) -> bytes:
        """Everything a worker needs to prove this batch on this state."""


@dataclass(frozen=True, slots=True)
class LeafContent:
    """What a leaf's claim binds besides its prover."""

    digest: TransferDigest
    fees: Amount


@dataclass(frozen=True, slots=True)
class MergeContent:
    """What a merge's claim binds besides its prover."""

    left: Claim
    right: Claim


@dataclass(frozen=True, slots=True)
class Statement:
    """What one proof says.

    ``prover`` proved tree node ``index`` of ``job``, which is leaves ``first`` to ``end``
    (exclusive), from root to root, with this claim about this content.
    """

    job: JobId
    index: TreeIndex
    prover: Account
    first: Count
    end: Count
    from_root: Root
    to_root: Root
    claim: Claim
    content: LeafContent | MergeContent


class ProverBackend(Protocol):
    """The proof system. Proving blocks the caller: run it in a worker process."""

    @property
    def leaf_transfers(self) -> int:
        """Most transfers in one leaf."""

    @property
    def proof_bytes(self) -> int:
        """Exact length of a proof."""

    def genesis(self, accounts: Sequence[tuple[Account, Amount]]) -> RollupState:
        """The rollup's first state. Raises ValueError on duplicates and sums out of range."""

    def restore(self, accounts: Sequence[tuple[Account, Amount, Nonce]]) -> RollupState:
        """The state whose ``accounts()`` these are, with the same root.

        Raises ValueError as ``genesis``.
        """

    def leaf_claim(self, prover: Account, position: Count, content: LeafContent) -> Claim:
        """The claim of a leaf."""

    def merge_claim(self, prover: Account, content: MergeContent) -> Claim:
        """The claim of a merge."""

    def verify(self, statement: Statement, proof: bytes) -> str | None:
        """None when ``proof`` proves ``statement``, else one word why not.

        Total: never raises on any bytes.
        """

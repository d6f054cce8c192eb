"""A stand-in for the proof system, for simulations and large networks; never the default of a real
one.

The problem: a simulation of hundreds of nodes must not wait for proofs, and tests of everything
around proving must not either, yet both must meet the same statements, claims and refusals as with
real proofs.

The rules:

- An *attestation* takes a proof's place. It spells out what a proof states: kind, span, job,
  prover, both roots, claim; then a hash of all that, then zeros up to the declared length. There is
  one encoding of each.
- **It proves nothing.** Anybody can make one for anything in microseconds; verifying one says only
  that its maker wrote down exactly this statement. Where :class:`ModelledBackend` is used, its name
  is shown.
- Proving takes declared times, per leaf and per merge, of one core; so many threads divide them.
- The state has the rules and the words of the real one. Its root is one BLAKE2b-256 over all
  accounts in order, so that executing a batch takes time linear in the number of accounts, about a
  microsecond each.

Properties: pure and deterministic; equal accounts in equal order have equal roots; ``verify`` is
total.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from protocol.messages import Transfer
from protocol.ports import Executed, LeafContent, MergeContent, Statement
from protocol.signing import digest
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
)
from prover.statement import contradiction
from prover.tasks import LeafTask, MergeTask, Prove, ProvingTask

AMOUNT_END: Final = 1 << 62
"""Exclusive upper bound of amounts, of the sum of all balances, in micro-units, and of nonces."""

FEE_END: Final = 1 << 50
"""Exclusive upper bound of a transfer's fee, in micro-units."""

ACCOUNTS_MAX: Final = 1 << 20
"""Most accounts of one rollup."""

ATTESTATION_BYTES_MIN: Final = 256
"""Shortest length that can be declared for attestations, in bytes."""

PROOF_MS: Final = Milliseconds(3300)
"""Time to prove a leaf or a merge with the real proof system on one core, in milliseconds."""

_ACCOUNT: Final = struct.Struct("<32sQQ")
_TRANSFER: Final = struct.Struct("<32s32sQQQ")
_WITNESS: Final = struct.Struct("<32s32s32sQ")
_ATTESTED: Final = struct.Struct("<24s?HH32s32s32s32s32s")
_HEADING: Final = b"provnet/no-proof/1".ljust(24)


@dataclass(frozen=True, slots=True)
class ModelledState:
    """The rollup's accounts, as an immutable value known by its root.

    :ivar leaf_transfers: most transfers in one batch.
    """

    root: Root
    total: Amount = field(compare=False)
    leaf_transfers: int = field(compare=False, repr=False)
    _accounts: dict[Account, tuple[Amount, Nonce]] = field(compare=False, repr=False)

    def account(self, key: Account) -> tuple[Amount, Nonce] | None:
        """Balance and next nonce, or None when the account does not exist."""
        return self._accounts.get(key)

    def accounts(self) -> list[tuple[Account, Amount, Nonce]]:
        """All accounts in order: the genesis, then recipients as they first appeared."""
        return [(key, balance, nonce) for key, (balance, nonce) in self._accounts.items()]

    def execute(self, transfers: Sequence[Transfer]) -> Executed:
        """Apply one leaf's batch. Raises ValueError that names the first transfer that cannot be
        applied.
        """
        accounts = dict(self._accounts)
        for index, transfer in enumerate(transfers):
            reason = self._objection(accounts, index, transfer) or _apply(accounts, transfer)
            if reason is not None:
                raise ValueError(f"transfer {index}: {reason}")
        fees = sum(transfer.fee for transfer in transfers)
        state = _state(accounts, self.total - fees, self.leaf_transfers)
        return Executed(state, _transfer_digest(transfers), Amount(fees))

    def witness(self, transfers: Sequence[Transfer]) -> bytes:
        """Everything an attestation of this batch states. Raises ValueError as ``execute``."""
        executed = self.execute(transfers)
        return _WITNESS.pack(self.root, executed.state.root, executed.digest, executed.fees)

    def _objection(
        self, accounts: dict[Account, tuple[Amount, Nonce]], index: int, transfer: Transfer
    ) -> str | None:
        if index >= self.leaf_transfers:
            return f"a leaf has room for {self.leaf_transfers} transfers"
        if not 0 <= transfer.amount < AMOUNT_END:
            return "the amount is not below 2^62"
        if not 0 <= transfer.fee < FEE_END:
            return "the fee is not below 2^50"
        if transfer.sender not in accounts:
            return "the sender has no account"
        balance, nonce = accounts[transfer.sender]
        if transfer.nonce != nonce:
            return f"the nonce is {transfer.nonce}, the sender's next is {nonce}"
        cost = transfer.amount + transfer.fee
        return f"amount and fee are {cost}, the sender has {balance}" if cost > balance else None


def _apply(accounts: dict[Account, tuple[Amount, Nonce]], transfer: Transfer) -> str | None:
    """Charge the sender, then credit the recipient, which comes into being if it does not exist."""
    if transfer.recipient not in accounts and len(accounts) == ACCOUNTS_MAX:
        return "the rollup has no room for another account"
    balance, nonce = accounts[transfer.sender]
    charged = Amount(balance - transfer.amount - transfer.fee)
    accounts[transfer.sender] = charged, Nonce(nonce + 1)
    balance, nonce = accounts.get(transfer.recipient, (Amount(0), Nonce(0)))
    accounts[transfer.recipient] = Amount(balance + transfer.amount), nonce
    return None


def _state(
    accounts: dict[Account, tuple[Amount, Nonce]], total: int, leaf_transfers: int
) -> ModelledState:
    rows = (_ACCOUNT.pack(key, *held) for key, held in accounts.items())
    root = Root(digest(b"provnet/modelled/root/1", b"".join(rows)))
    return ModelledState(root, Amount(total), leaf_transfers, accounts)


def _transfer_digest(transfers: Sequence[Transfer]) -> TransferDigest:
    rows = (
        _TRANSFER.pack(one.sender, one.recipient, one.amount, one.fee, one.nonce)
        for one in transfers
    )
    return TransferDigest(digest(b"provnet/modelled/transfers/1", b"".join(rows)))


@dataclass(frozen=True, slots=True)
class Attested:
    """What an attestation spells out, as a proof does in its public inputs."""

    is_merge: bool
    first: int
    end: int
    job: JobId
    prover: Account
    from_root: Root
    to_root: Root
    claim: Claim

    def to_bytes(self, length: int) -> bytes:
        """The attestation, padded to ``length`` bytes."""
        stated = _ATTESTED.pack(
            _HEADING,
            self.is_merge,
            self.first,
            self.end,
            self.job,
            self.prover,
            self.from_root,
            self.to_root,
            self.claim,
        )
        return (stated + digest(b"provnet/modelled/attestation/1", stated)).ljust(length, b"\0")

    @classmethod
    def read(cls, attestation: bytes) -> Attested | None:
        """What the bytes attest; None when no call of :meth:`to_bytes` gives them."""
        if len(attestation) < ATTESTATION_BYTES_MIN:
            return None
        attested = cls(*_ATTESTED.unpack_from(attestation)[1:])
        return attested if attested.to_bytes(len(attestation)) == attestation else None


@dataclass(frozen=True, slots=True)
class ModelledBackend:
    """Attestations and declared times instead of proofs and work.

    :param leaf_transfers: most transfers in one leaf.
    :param proof_bytes: length of every attestation, at least :data:`ATTESTATION_BYTES_MIN`.
    :param leaf_ms: time to prove a leaf on one core, in milliseconds.
    :param merge_ms: time to prove a merge on one core, in milliseconds.
    :raises ValueError: when ``proof_bytes`` is too small.
    """

    leaf_transfers: int = 80
    proof_bytes: int = 1024
    leaf_ms: Milliseconds = PROOF_MS
    merge_ms: Milliseconds = PROOF_MS

    def __post_init__(self) -> None:
        if self.proof_bytes < ATTESTATION_BYTES_MIN:
            raise ValueError(f"an attestation has at least {ATTESTATION_BYTES_MIN} bytes")

    @property
    def worker_mib(self) -> int:
        """Most memory one worker takes, in MiB."""
        return 64

    def genesis(self, accounts: Sequence[tuple[Account, Amount]]) -> ModelledState:
        """The rollup's first state. Raises ValueError on no accounts, duplicates and sums out of
        range.
        """
        return self.restore([(key, balance, Nonce(0)) for key, balance in accounts])

    def restore(self, accounts: Sequence[tuple[Account, Amount, Nonce]]) -> ModelledState:
        """The state whose ``accounts()`` these are. Raises ValueError as ``genesis``."""
        if not accounts:
            raise ValueError("a rollup needs at least one account")
        if len(accounts) > ACCOUNTS_MAX:
            raise ValueError(f"a rollup holds at most {ACCOUNTS_MAX} accounts")
        held: dict[Account, tuple[Amount, Nonce]] = {}
        for index, (key, balance, nonce) in enumerate(accounts):
            if key in held:
                raise ValueError(f"account {index}: its key appeared before")
            if nonce >= AMOUNT_END:
                raise ValueError(f"account {index}: its nonce is not below 2^62")
            held[key] = balance, nonce
        total = sum(balance for _, balance, _ in accounts)
        if total >= AMOUNT_END:
            raise ValueError("the balances add up to 2^62 or more")
        return _state(held, total, self.leaf_transfers)

    def leaf_claim(self, prover: Account, position: Count, content: LeafContent) -> Claim:
        """The claim of a leaf."""
        numbers = struct.pack("<QQ", position, content.fees)
        return Claim(digest(b"provnet/modelled/leaf/1", prover, numbers, content.digest))

    def merge_claim(self, prover: Account, content: MergeContent) -> Claim:
        """The claim of a merge."""
        return Claim(digest(b"provnet/modelled/merge/1", prover, content.left, content.right))

    def verify(self, statement: Statement, proof: bytes) -> str | None:
        """None when ``proof`` attests ``statement``, else one word why not. Total."""
        word = contradiction(self, statement)
        if word is not None:
            return word
        if len(proof) != self.proof_bytes:
            return "length"
        attested = Attested.read(proof)
        return "not_canonical" if attested is None else _difference(attested, statement)

    def declared_ms(self, task: ProvingTask) -> Milliseconds:
        """How long proving takes on one core, in milliseconds."""
        return self.leaf_ms if isinstance(task, LeafTask) else self.merge_ms

    def attest(self, task: ProvingTask) -> bytes:
        """The attestation, at once. Raises ValueError when a proof could not be made either."""
        attested = self._leaf(task) if isinstance(task, LeafTask) else self._merge(task)
        return attested.to_bytes(self.proof_bytes)

    def open_prover(self) -> Prove:
        """A prover that attests after waiting for the declared time, divided by the threads."""

        def prove(task: ProvingTask, threads: int) -> bytes:
            time.sleep(self.declared_ms(task) / threads / 1000)
            return self.attest(task)

        return prove

    def _leaf(self, task: LeafTask) -> Attested:
        if len(task.witness) != _WITNESS.size:
            raise ValueError(f"a witness has {_WITNESS.size} bytes")
        from_root, to_root, transfers, fees = _WITNESS.unpack(task.witness)
        position = task.index.position
        claim = self.leaf_claim(task.prover, position, LeafContent(transfers, fees))
        return Attested(
            False, position, position + 1, task.job, task.prover, from_root, to_root, claim
        )

    def _merge(self, task: MergeTask) -> Attested:
        left = self._child("left", task, task.left)
        right = self._child("right", task, task.right)
        if left.end != right.first:
            raise ValueError("the right child does not begin where the left one ends")
        if left.to_root != right.from_root:
            raise ValueError("the right child does not start from the left one's root")
        claim = self.merge_claim(task.prover, MergeContent(left.claim, right.claim))
        return Attested(
            True,
            left.first,
            right.end,
            task.job,
            task.prover,
            left.from_root,
            right.to_root,
            claim,
        )

    def _child(self, name: str, task: MergeTask, proof: bytes) -> Attested:
        attested = Attested.read(proof) if len(proof) == self.proof_bytes else None
        if attested is None or attested.is_merge != task.children_are_merges:
            raise ValueError(f"the {name} child is refused")
        if attested.job != task.job:
            raise ValueError(f"the {name} child belongs to another job")
        return attested


def _difference(attested: Attested, statement: Statement) -> str | None:
    comparisons = {
        "job": attested.job == statement.job,
        "prover": attested.prover == statement.prover,
        "roots": attested.from_root == statement.from_root
        and attested.to_root == statement.to_root,
        "span": (attested.first, attested.end) == (statement.first, statement.end),
        "claim": attested.claim == statement.claim,
        "invalid": attested.is_merge == (statement.index.level > 0),
    }
    return next((word for word, equal in comparisons.items() if not equal), None)

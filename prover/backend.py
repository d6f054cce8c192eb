"""Real proofs: plonky2 behind the ports.

The problem: the core knows proofs by a port, the proof system is a native module that a fresh clone
does not have yet, and proving needs circuits that take seconds to build.

The rules:

- Importing this module needs no native code. Constructing :class:`Plonky2Backend` does, and says
  what to do when it is missing. Verifying needs no circuit cache: the keys are compiled in.
- Acceptance is one native function that always checks the statement, the key inside the proof and
  the proof; here is added only that the statement agrees with itself.
- The circuit cache is read by workers alone. It must be the user's own: decoding a stranger's
  circuits is unsafe.

Properties: ``verify`` is total and releases the interpreter while it works, 4 to 5 ms: call it from
a thread. About 100 bits of conjectured security; signatures of transfers are not proved.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from protocol.messages import Transfer
from protocol.ports import Executed, LeafContent, MergeContent, Statement
from protocol.types import Account, Amount, Claim, Count, Nonce, Root, TransferDigest
from prover.statement import contradiction
from prover.tasks import LeafTask, Prove, ProvingTask

if TYPE_CHECKING:
    from prover import _native

CIRCUITS_VARIABLE: Final = "PROVNET_CIRCUITS"
"""Environment variable that names the directory of the circuit cache."""

WORKER_MIB: Final = 768
"""Most memory of one proving process, in MiB: measured 390 after its first proofs and 590 after
fourteen on two threads, with room for more threads, which have heaps of their own."""

_HINT: Final = "run ./scripts/provnet once: it builds the native module and the circuits"


class BackendMissing(Exception):
    """Something that proving needs was not built.

    :param sentence: what is missing.
    :ivar hint: what to do.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(f"{sentence}; {_HINT}")
        self.sentence = sentence
        self.hint = _HINT


def circuits_directory() -> Path:
    """Where the circuit cache is: the variable :data:`CIRCUITS_VARIABLE`, else ``.build/circuits``
    of the clone.
    """
    named = os.environ.get(CIRCUITS_VARIABLE)
    return Path(named) if named else Path(__file__).resolve().parents[1] / ".build" / "circuits"


def native() -> ModuleType:
    """The native module. Raises :class:`BackendMissing`."""
    try:
        return import_module("prover._native")
    except ImportError as failure:
        raise BackendMissing(f"the module prover._native cannot be loaded ({failure})") from None


@dataclass(frozen=True, slots=True)
class Plonky2State:
    """The rollup's accounts in a Poseidon tree, as an immutable value.

    :ivar inner: the native state.
    """

    inner: _native.RollupState

    @property
    def root(self) -> Root:
        """Root of the account tree."""
        return Root(self.inner.root)

    @property
    def total(self) -> Amount:
        """Sum of all balances."""
        return Amount(self.inner.total)

    def account(self, key: Account) -> tuple[Amount, Nonce] | None:
        """Balance and next nonce, or None when the account does not exist."""
        found = self.inner.account(key)
        return None if found is None else (Amount(found[0]), Nonce(found[1]))

    def accounts(self) -> list[tuple[Account, Amount, Nonce]]:
        """All accounts in the order of the tree: the genesis, then recipients as they first
        appeared.
        """
        rows = self.inner.accounts()
        return [(Account(key), Amount(balance), Nonce(nonce)) for key, balance, nonce in rows]

    def execute(self, transfers: Sequence[Transfer]) -> Executed:
        """Apply one leaf's batch. Raises ValueError that names the first transfer that cannot be
        applied.
        """
        state, digest, fees = self.inner.execute(_rows(transfers))
        return Executed(Plonky2State(state), TransferDigest(digest), Amount(fees))

    def witness(self, transfers: Sequence[Transfer]) -> bytes:
        """Everything a worker needs to prove this batch on this state. Raises ValueError as
        ``execute``.
        """
        return self.inner.witness(_rows(transfers))


def _rows(transfers: Sequence[Transfer]) -> list[tuple[bytes, bytes, int, int, int]]:
    return [(one.sender, one.recipient, one.amount, one.fee, one.nonce) for one in transfers]


@dataclass(frozen=True, slots=True)
class Plonky2Backend:
    """The proof system. Raises :class:`BackendMissing` without the native module.

    :param circuits: directory of the circuit cache; only workers read it.
    """

    circuits: Path = field(default_factory=circuits_directory)

    def __post_init__(self) -> None:
        native()

    @property
    def leaf_transfers(self) -> int:
        """Most transfers in one leaf."""
        return int(native().LEAF_TRANSFERS)

    @property
    def proof_bytes(self) -> int:
        """Exact length of a proof."""
        return int(native().PROOF_BYTES)

    @property
    def worker_mib(self) -> int:
        """Most memory one worker takes, in MiB."""
        return WORKER_MIB

    def genesis(self, accounts: Sequence[tuple[Account, Amount]]) -> Plonky2State:
        """The rollup's first state. Raises ValueError on no accounts, duplicates and sums out of
        range.
        """
        return Plonky2State(native().RollupState.genesis(list(accounts)))

    def restore(self, accounts: Sequence[tuple[Account, Amount, Nonce]]) -> Plonky2State:
        """The state whose ``accounts()`` these are. Raises ValueError as ``genesis``."""
        return Plonky2State(native().RollupState.restore(list(accounts)))

    def leaf_claim(self, prover: Account, position: Count, content: LeafContent) -> Claim:
        """The claim of a leaf. Raises ValueError when the digest is not canonical."""
        return Claim(native().leaf_claim(prover, position, content.digest, content.fees))

    def merge_claim(self, prover: Account, content: MergeContent) -> Claim:
        """The claim of a merge. Raises ValueError when a child's claim is not canonical."""
        return Claim(native().merge_claim(prover, content.left, content.right))

    def verify(self, statement: Statement, proof: bytes) -> str | None:
        """None when ``proof`` proves ``statement``, else one word why not. Total."""
        word = contradiction(self, statement)
        if word is not None:
            return word
        verdict: str | None = native().verify(
            proof,
            statement.index.level > 0,
            statement.job,
            statement.prover,
            statement.from_root,
            statement.to_root,
            statement.claim,
            statement.first,
            statement.end,
        )
        return verdict

    def require_circuits(self) -> None:
        """Check the circuit cache, in tenths of a second. Raises :class:`BackendMissing`."""
        if not native().cache_is_valid(str(self.circuits)):
            raise BackendMissing(f"{self.circuits} holds no usable circuits")

    def build_circuits(self) -> None:
        """Build the circuit cache; some seconds on all cores. Others may read and build it
        meanwhile.
        """
        native().build_cache(str(self.circuits))

    def open_prover(self) -> Prove:
        """Load the circuits from the cache. Raises :class:`BackendMissing`."""
        try:
            circuits = native().Circuits(str(self.circuits))
        except (OSError, ValueError) as failure:
            raise BackendMissing(f"{self.circuits} holds no usable circuits ({failure})") from None
        return lambda task, threads: _prove(circuits, task, threads)


def _prove(circuits: _native.Circuits, task: ProvingTask, threads: int) -> bytes:
    if isinstance(task, LeafTask):
        return circuits.prove_leaf(
            task.job, task.prover, task.index.position, task.witness, threads
        )
    are_merges = task.children_are_merges
    return circuits.prove_merge(
        task.job, task.prover, task.left, are_merges, task.right, are_merges, threads
    )

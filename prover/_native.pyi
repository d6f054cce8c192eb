# ruff: noqa: PYI021 (a compiled module has no other place for its documentation)
"""The Rust crate in ``prover/circuits``: rollup state, circuits, the only acceptance of proofs.

Proof system: plonky2 1.1.0 (PLONK arithmetisation, FRI, no trusted setup), Poseidon over the
Goldilocks field, about 100 bits of conjectured security. Roots, digests and claims are 32 bytes:
four canonical little-endian 64-bit field elements. Keys and job ids are any 32 bytes. Amounts are
integers in micro-units. Long calls release the interpreter lock; a panic of the proof system
becomes :class:`ProofError`. Never fork a process that has used this module: its threads do not
survive.
"""

from collections.abc import Sequence
from os import PathLike
from typing import Final, TypeAlias, final

__all__ = [
    "LEAF_TRANSFERS",
    "PROOF_BYTES",
    "TREE_DEPTH",
    "Circuits",
    "ProofError",
    "RollupState",
    "Transfer",
    "build_cache",
    "cache_is_valid",
    "leaf_claim",
    "merge_claim",
    "pinned_digests",
    "verify",
]

TREE_DEPTH: Final[int]
"""Levels of the account tree: room for ``2 ** TREE_DEPTH`` accounts."""

LEAF_TRANSFERS: Final[int]
"""Most transfers in one leaf; a leaf costs the same with fewer, or with none."""

PROOF_BYTES: Final[int]
"""Exact length of every proof, a leaf's and a merge's alike."""

Transfer: TypeAlias = tuple[bytes, bytes, int, int, int]
"""Sender's key, recipient's key, amount (below 2^62), fee (below 2^50), the sender's nonce."""

class ProofError(Exception):
    """A proof could not be made: the witness is false, or the circuits are not the pinned ones."""

def leaf_claim(prover: bytes, position: int, digest: bytes, fees: int) -> bytes:
    """The claim of the leaf at ``position`` whose transfers have this digest and fee sum.

    Raises ValueError for a wrong length, a digest that is not canonical, a position from 2^32 on
    and fees from 2^62 on.
    """

def merge_claim(prover: bytes, left: bytes, right: bytes) -> bytes:
    """The claim of a merge of two claims. Raises ValueError for claims that are not canonical."""

def pinned_digests() -> tuple[bytes, bytes]:
    """Digests of the leaf and the merge circuit, compiled in: they name the proof system."""

@final
class RollupState:
    """The rollup's accounts as an immutable value; states share what they have in common.

    Accounts take the next free place of the tree when they first appear: those of the genesis in
    their given order, then recipients as transfers name them. Equal states have equal roots.
    """

    @staticmethod
    def genesis(accounts: Sequence[tuple[bytes, int]]) -> RollupState:
        """The first state: keys and balances.

        Raises ValueError without any account, for more than the tree holds, for a repeated key, and
        when the balances add up to 2^62 or more.
        """

    @staticmethod
    def restore(accounts: Sequence[tuple[bytes, int, int]]) -> RollupState:
        """The state whose ``accounts()`` these are, nonces included; they have the same root.

        Raises ValueError as ``genesis``, and for a nonce of 2^62 or more.
        """

    @property
    def root(self) -> bytes:
        """Root of the account tree."""

    @property
    def total(self) -> int:
        """Sum of all balances."""

    @property
    def account_count(self) -> int:
        """Number of accounts."""

    def account(self, key: bytes) -> tuple[int, int] | None:
        """Balance and next nonce, or None when the account does not exist."""

    def accounts(self) -> list[tuple[bytes, int, int]]:
        """Key, balance and next nonce of all accounts in the order of the tree."""

    def execute(self, transfers: Sequence[Transfer]) -> tuple[RollupState, bytes, int]:
        """Apply one leaf's batch: the state after it, the transfers' digest, the sum of the fees.

        The digest of an empty batch is 32 zero bytes. Raises ValueError that names the first
        transfer that cannot be applied; one past :data:`LEAF_TRANSFERS` never can.
        """

    def first_invalid(self, transfers: Sequence[Transfer]) -> tuple[int, str] | None:
        """Index and fault of the first transfer that :meth:`execute` would refuse, or None.

        Raises ValueError for a transfer with a key of a wrong length or a number out of 64 bits.
        """

    def witness(self, transfers: Sequence[Transfer]) -> bytes:
        """All that :meth:`Circuits.prove_leaf` needs to prove this batch on this state.

        Always of the same length, about 114 KB. Raises ValueError like :meth:`execute`.
        """

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def build_cache(directory: str | PathLike[str]) -> None:
    """Build the circuits, check them against the pinned ones, and store them (144 MB, atomically).

    Takes 5 to 15 seconds. Raises :class:`ProofError` when the build differs from the pinned
    circuits and OSError when the file cannot be written.
    """

def cache_is_valid(directory: str | PathLike[str]) -> bool:
    """Whether the pinned circuits are stored here, undamaged: hashes the file in 0.1 s."""

@final
class Circuits:
    """The prover. Load it from a directory that only its user can write to.

    Raises OSError when nothing is stored there, and ValueError when what is stored is damaged or
    differs from the pinned circuits.
    """

    def __new__(cls, directory: str | PathLike[str]) -> Circuits: ...
    def prove_leaf(
        self, job: bytes, prover: bytes, position: int, witness: bytes, threads: int
    ) -> bytes:
        """Prove one leaf in the name of ``prover``. The proof has been verified.

        Raises ValueError for malformed arguments (``threads`` is 1 to 256) and :class:`ProofError`
        when the witness is false.
        """

    def prove_merge(
        self,
        job: bytes,
        prover: bytes,
        left: bytes,
        left_is_merge: bool,
        right: bytes,
        right_is_merge: bool,
        threads: int,
    ) -> bytes:
        """Prove one merge in the name of ``prover``. The proof has been verified.

        Raises ValueError when a child is refused by :func:`verify` or belongs to another job, when
        the children are not neighbours, and for malformed arguments; :class:`ProofError` when the
        proof system fails.
        """

def verify(
    proof: bytes,
    is_merge: bool,
    job: bytes,
    prover: bytes,
    from_root: bytes,
    to_root: bytes,
    claim: bytes,
    lo: int,
    hi: int,
) -> str | None:
    """None when ``proof`` proves exactly this of leaves ``lo`` to ``hi`` (exclusive), else why not.

    The reason is one word: ``length``, ``not_canonical``, ``job``, ``prover``, ``roots``, ``span``,
    ``claim``, ``foreign_circuit`` (it carries the key of a circuit that is not ours) or
    ``invalid``. Needs no cache. Total in all bytes; only a ``lo`` or ``hi`` out of 64 bits raises
    ValueError.
    """

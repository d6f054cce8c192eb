"""The native rollup state against a model in plain Python, and one proved tree of two leaves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from prover import _native as native
from prover._native import Transfer

KEYS = [bytes([seed]) * 32 for seed in range(6)]
JOB, FIRST_PROVER, SECOND_PROVER = b"j" * 32, b"p" * 32, b"q" * 32
AMOUNT_END, FEE_END, WORD_END = 1 << 62, 1 << 50, 1 << 64
MODULUS = WORD_END - (1 << 32) + 1


class Model:
    """What transfers do to accounts, said independently: insertion order is tree order."""

    def __init__(self, accounts: Sequence[tuple[bytes, int]]) -> None:
        self.accounts = {key: (balance, 0) for key, balance in accounts}

    def refuses(self, transfer: Transfer) -> bool:
        """Whether ``transfer`` cannot be applied."""
        sender, _, amount, fee, nonce = transfer
        if amount >= AMOUNT_END or fee >= FEE_END or sender not in self.accounts:
            return True
        return (nonce != self.accounts[sender][1]) or self.accounts[sender][0] < amount + fee

    def apply(self, transfer: Transfer) -> None:
        """Apply a transfer that is not refused."""
        sender, recipient, amount, fee, nonce = transfer
        self.accounts[sender] = (self.accounts[sender][0] - amount - fee, nonce + 1)
        balance, count = self.accounts.get(recipient, (0, 0))
        self.accounts[recipient] = (balance + amount, count)

    def listed(self) -> list[tuple[bytes, int, int]]:
        """All accounts in tree order."""
        return [(key, *account) for key, account in self.accounts.items()]


genesis_accounts = st.lists(
    st.tuples(st.sampled_from(KEYS), st.integers(0, 1000)),
    min_size=1,
    max_size=4,
    unique_by=lambda account: account[0],
)
amounts = st.integers(0, 300) | st.sampled_from([AMOUNT_END - 1, AMOUNT_END, WORD_END - 1])
fees = st.integers(0, 9) | st.sampled_from([FEE_END - 1, FEE_END, WORD_END - 1])


@st.composite
def batches(draw: st.DrawFn) -> list[Transfer]:
    """Transfers whose nonces mostly follow on."""
    counts = dict.fromkeys(KEYS, 0)
    batch = []
    for _ in range(draw(st.integers(0, 12))):
        sender, recipient = draw(st.sampled_from(KEYS[:4])), draw(st.sampled_from(KEYS))
        nonce = draw(st.just(counts[sender]) | st.integers(0, 3))
        counts[sender] += 1
        batch.append((sender, recipient, draw(amounts), draw(fees), nonce))
    return batch


def apply_all(model: Model, batch: Sequence[Transfer]) -> int | None:
    """Apply the batch up to the first refused transfer; its index."""
    for index, transfer in enumerate(batch):
        if model.refuses(transfer):
            return index
        model.apply(transfer)
    return None


@settings(deadline=None)
@given(genesis_accounts, batches())
def test_execution_agrees_with_the_model(
    accounts: list[tuple[bytes, int]], batch: list[Transfer]
) -> None:
    before = native.RollupState.genesis(accounts)
    model = Model(accounts)
    assert before.accounts() == model.listed()
    refused = apply_all(model, batch)
    if refused is not None:
        with pytest.raises(ValueError, match=rf"^transfer {refused}: "):
            before.execute(batch)
        with pytest.raises(ValueError, match=rf"^transfer {refused}: "):
            before.witness(batch)
        invalid = before.first_invalid(batch)
        assert invalid is not None
        assert invalid[0] == refused
        batch = batch[:refused]
    assert before.first_invalid(batch) is None
    after, _, fees = before.execute(batch)
    assert fees == sum(transfer[3] for transfer in batch)
    assert after.accounts() == model.listed()
    assert after.account_count == len(model.accounts)
    assert after.total == before.total - fees == sum(b for b, _ in model.accounts.values())
    for key in KEYS:
        assert after.account(key) == model.accounts.get(key)
    assert (after == before) == (after.root == before.root) == (not batch)
    assert before.accounts() == Model(accounts).listed()


@settings(deadline=None)
@given(genesis_accounts, batches(), st.data())
def test_a_batch_may_be_cut_anywhere(
    accounts: list[tuple[bytes, int]], batch: list[Transfer], data: st.DataObject
) -> None:
    state = native.RollupState.genesis(accounts)
    batch = batch[: apply_all(Model(accounts), batch)]
    cut = data.draw(st.integers(0, len(batch)))
    whole, _, fees = state.execute(batch)
    middle, _, first_fees = state.execute(batch[:cut])
    end, _, second_fees = middle.execute(batch[cut:])
    assert end == whole
    assert hash(end) == hash(whole)
    assert fees == first_fees + second_fees


def test_the_digest_binds_every_field_and_the_order() -> None:
    state = native.RollupState.genesis([(KEYS[0], 1000), (KEYS[1], 1000)])
    transfers = [(KEYS[0], KEYS[2], 5, 1, 0), (KEYS[1], KEYS[2], 5, 1, 0)]
    variants = [
        [],
        transfers[:1],
        transfers,
        transfers[::-1],
        [(KEYS[0], KEYS[3], 5, 1, 0), transfers[1]],
        [(KEYS[0], KEYS[2], 6, 1, 0), transfers[1]],
        [(KEYS[0], KEYS[2], 5, 2, 0), transfers[1]],
        [transfers[0], (KEYS[0], KEYS[2], 5, 1, 1)],
    ]
    digests = [state.execute(variant)[1] for variant in variants]
    assert digests[0] == bytes(32)
    assert len(set(digests)) == len(variants)
    assert state.execute(transfers)[1] == digests[2]


@pytest.mark.parametrize(
    ("accounts", "sentence"),
    [
        ([], "at least one account"),
        ([(KEYS[0], 1), (KEYS[1], 2), (KEYS[0], 3)], "account 2: its key appeared before"),
        ([(KEYS[0], AMOUNT_END - 1), (KEYS[1], 1)], r"2\^62 or more"),
        ([(KEYS[0], WORD_END - 1), (KEYS[1], 1)], r"2\^62 or more"),
        ([(KEYS[0], -1)], r"not from 0 to 2\^64"),
        ([(b"short", 1)], "the key has 5 bytes, not 32"),
    ],
)
def test_a_genesis_is_refused_with_a_reason(
    accounts: list[tuple[bytes, int]], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        native.RollupState.genesis(accounts)


@pytest.mark.parametrize(
    ("transfer", "sentence"),
    [
        ((KEYS[3], KEYS[1], 1, 0, 0), "the sender has no account"),
        ((KEYS[0], KEYS[1], 1, 0, 7), "the nonce is 7, the sender's next is 1"),
        ((KEYS[0], KEYS[1], 99, 1, 1), "amount and fee are 100, the sender has 99"),
        ((KEYS[0], KEYS[1], AMOUNT_END, 0, 1), r"the amount is not below 2\^62"),
        ((KEYS[0], KEYS[1], 0, FEE_END, 1), r"the fee is not below 2\^50"),
        ((KEYS[0], KEYS[1], WORD_END, 0, 1), r"not from 0 to 2\^64"),
        ((KEYS[0], KEYS[1], -1, 0, 1), r"not from 0 to 2\^64"),
        ((KEYS[0], b"", 1, 0, 1), "the recipient has 0 bytes, not 32"),
    ],
)
def test_a_transfer_is_refused_with_its_place_and_a_reason(
    transfer: Transfer, sentence: str
) -> None:
    state = native.RollupState.genesis([(KEYS[0], 100)])
    batch = [(KEYS[0], KEYS[1], 1, 0, 0), transfer]
    with pytest.raises(ValueError, match=f"^transfer 1: .*{sentence}"):
        state.execute(batch)


def test_a_leaf_has_an_end() -> None:
    state = native.RollupState.genesis([(KEYS[0], 1000)])
    batch = [(KEYS[0], KEYS[1], 1, 0, nonce) for nonce in range(native.LEAF_TRANSFERS + 1)]
    with pytest.raises(ValueError, match=f"^transfer {native.LEAF_TRANSFERS}: .*room"):
        state.execute(batch)
    state.execute(batch[:-1])


def test_claims_bind_everything_and_want_canonical_parts() -> None:
    digest = (5).to_bytes(32, "little")
    leaves = {
        native.leaf_claim(FIRST_PROVER, 0, digest, 1),
        native.leaf_claim(SECOND_PROVER, 0, digest, 1),
        native.leaf_claim(FIRST_PROVER, 1, digest, 1),
        native.leaf_claim(FIRST_PROVER, 0, bytes(32), 1),
        native.leaf_claim(FIRST_PROVER, 0, digest, 2),
    }
    assert len(leaves) == 5
    left, right, *_ = leaves
    merges = {
        native.merge_claim(FIRST_PROVER, left, right),
        native.merge_claim(FIRST_PROVER, right, left),
        native.merge_claim(SECOND_PROVER, left, right),
    }
    assert len(merges | leaves) == 8
    not_canonical = MODULUS.to_bytes(8, "little") + bytes(24)
    with pytest.raises(ValueError, match="canonical"):
        native.merge_claim(FIRST_PROVER, left, not_canonical)
    with pytest.raises(ValueError, match="canonical"):
        native.leaf_claim(FIRST_PROVER, 0, not_canonical, 1)
    with pytest.raises(ValueError, match="position"):
        native.leaf_claim(FIRST_PROVER, 1 << 32, digest, 1)
    with pytest.raises(ValueError, match="fees"):
        native.leaf_claim(FIRST_PROVER, 0, digest, AMOUNT_END)


def test_the_circuits_are_named() -> None:
    leaf, merge = native.pinned_digests()
    assert len(leaf) == len(merge) == 32
    assert leaf != merge


@dataclass(frozen=True)
class Proved:
    """A proof, and the arguments under which it is accepted."""

    proof: bytes
    is_merge: bool
    job: bytes
    prover: bytes
    from_root: bytes
    to_root: bytes
    claim: bytes
    lo: int
    hi: int

    def verdict(self, **changed: Any) -> str | None:
        """What ``verify`` says, with some arguments changed."""
        return native.verify(**{**vars(self), **changed})


@pytest.fixture(scope="session")
def circuits_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid circuit cache: the user's, or a new one."""
    named = os.environ.get("PROVNET_CIRCUITS")
    directory = Path(named) if named else tmp_path_factory.mktemp("circuits")
    if not native.cache_is_valid(directory):
        native.build_cache(directory)
    assert native.cache_is_valid(str(directory))
    return directory


@pytest.fixture(scope="session")
def tree(circuits_directory: Path) -> list[Proved]:
    """Two leaves and their merge; the second leaf is made with a new account in it."""
    circuits = native.Circuits(circuits_directory)
    state = native.RollupState.genesis([(KEYS[0], 1000), (KEYS[1], 50)])
    batches = [
        [(KEYS[0], KEYS[1], 100, 3, 0), (KEYS[1], KEYS[0], 150, 0, 0)],
        [(KEYS[0], KEYS[2], 1047, 0, 1)],
    ]
    leaves = []
    for position, batch in enumerate(batches):
        prover = [FIRST_PROVER, SECOND_PROVER][position]
        after, digest, fees = state.execute(batch)
        proof = circuits.prove_leaf(JOB, prover, position, state.witness(batch), 2)
        claim = native.leaf_claim(prover, position, digest, fees)
        span = (position, position + 1)
        leaves.append(Proved(proof, False, JOB, prover, state.root, after.root, claim, *span))
        state = after
    left, right = leaves
    proof = circuits.prove_merge(JOB, FIRST_PROVER, left.proof, False, right.proof, False, 2)
    claim = native.merge_claim(FIRST_PROVER, left.claim, right.claim)
    roots = (left.from_root, right.to_root)
    return [left, right, Proved(proof, True, JOB, FIRST_PROVER, *roots, claim, 0, 2)]


def test_an_honest_tree_is_accepted(tree: list[Proved]) -> None:
    for node in tree:
        assert len(node.proof) == native.PROOF_BYTES
        assert node.verdict() is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"job": b"k" * 32}, "job"),
        ({"job": b""}, "job"),
        ({"prover": b"r" * 32}, "prover"),
        ({"prover": b"r" * 33}, "prover"),
        ({"from_root": bytes(32)}, "roots"),
        ({"to_root": bytes(32)}, "roots"),
        ({"from_root": b"\xff" * 32}, "roots"),
        ({"to_root": b"short"}, "roots"),
        ({"claim": bytes(32)}, "claim"),
        ({"claim": b"\xff" * 32}, "claim"),
        ({"lo": 7}, "span"),
        ({"hi": 7}, "span"),
        ({"hi": WORD_END - 1}, "span"),
        ({"proof": b""}, "length"),
        ({"proof": bytes(native.PROOF_BYTES + 1)}, "length"),
        ({"proof": b"\xff" * native.PROOF_BYTES}, "not_canonical"),
    ],
)
def test_every_argument_counts(tree: list[Proved], changed: dict[str, Any], reason: str) -> None:
    for node in tree:
        assert node.verdict(**changed) == reason


def test_a_proof_is_of_one_circuit(tree: list[Proved]) -> None:
    for node in tree:
        assert node.verdict(is_merge=not node.is_merge) == "invalid"


def test_a_damaged_proof_is_invalid(tree: list[Proved]) -> None:
    for node in tree:
        damaged = bytearray(node.proof)
        damaged[0] ^= 1
        assert node.verdict(proof=bytes(damaged)) == "invalid"


def test_a_changed_root_is_refused_whatever_is_asked(tree: list[Proved]) -> None:
    for node in tree:
        at = node.proof.rfind(node.to_root)
        assert at > 0, "a proof spells its roots out"
        changed = bytearray(node.proof)
        changed[at] ^= 1
        root = bytes(changed[at : at + 32])
        assert node.verdict(proof=bytes(changed)) == "roots"
        assert node.verdict(proof=bytes(changed), to_root=root) == "invalid"


def test_what_cannot_be_proved_is_an_exception(
    tree: list[Proved], circuits_directory: Path
) -> None:
    circuits = native.Circuits(circuits_directory)
    left, right, _ = (node.proof for node in tree)
    with pytest.raises(ValueError, match="does not begin where"):
        circuits.prove_merge(JOB, FIRST_PROVER, right, False, left, False, 2)
    with pytest.raises(ValueError, match="the left child belongs to another job"):
        circuits.prove_merge(KEYS[0], FIRST_PROVER, left, False, right, False, 2)
    with pytest.raises(ValueError, match="the left child is refused: invalid"):
        circuits.prove_merge(JOB, FIRST_PROVER, left, True, right, False, 2)
    state = native.RollupState.genesis([(KEYS[0], 1000)])
    witness = bytearray(state.witness([(KEYS[0], KEYS[1], 1, 0, 0)]))
    witness[8] += 1  # the amount of the first slot
    with pytest.raises(native.ProofError):
        circuits.prove_leaf(JOB, FIRST_PROVER, 0, bytes(witness), 2)
    with pytest.raises(ValueError, match="threads"):
        circuits.prove_leaf(JOB, FIRST_PROVER, 0, bytes(witness), 0)


def test_a_cache_is_the_pinned_circuits_or_none(tmp_path: Path) -> None:
    assert not native.cache_is_valid(tmp_path)
    with pytest.raises(FileNotFoundError):
        native.Circuits(tmp_path)
    (tmp_path / "circuits").write_bytes(b"not circuits")
    assert not native.cache_is_valid(tmp_path)
    with pytest.raises(ValueError, match="build it again"):
        native.Circuits(tmp_path)

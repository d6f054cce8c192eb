"""What both backends promise: states, claims, statements and the acceptance of proofs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from protocol.ports import LeafContent, MergeContent, Statement
from protocol.types import Amount, Claim, Count, JobId, Nonce, Root, TransferDigest, TreeIndex
from prover.backend import Plonky2Backend
from prover.modelled import ModelledBackend
from tests.prover.conftest import ProvedJob
from tests.prover.jobs import BATCHES, GENESIS, account, transfer

LEAF = TreeIndex(Count(0), Count(1))
LEFT_MERGE = TreeIndex(Count(1), Count(0))
RIGHT_MERGE = TreeIndex(Count(1), Count(1))
ROOT = TreeIndex(Count(2), Count(0))
WORDS = {
    "claim",
    "content",
    "foreign_circuit",
    "invalid",
    "job",
    "length",
    "not_canonical",
    "prover",
    "roots",
    "span",
}
ZEROS = bytes(32)
NO_ELEMENT = b"\xff" * 32
AMOUNT_END = 1 << 62

Change = Callable[[Statement], Statement]


# --- proofs ------------------------------------------------------------------------------------


def test_every_node_of_an_honest_tree_is_accepted(proved: ProvedJob) -> None:
    assert len(proved.proofs) == 7
    for index, proof in proved.proofs.items():
        assert len(proof) == proved.backend.proof_bytes
        assert proved.backend.verify(proved.statements[index], proof) is None


def shifted(statement: Statement) -> Statement:
    """About the neighbour to the right."""
    index = replace(statement.index, position=Count(statement.index.position + 1))
    width = statement.end - statement.first
    first, end = Count(statement.first + width), Count(statement.end + width)
    return replace(statement, index=index, first=first, end=end)


def raised(statement: Statement) -> Statement:
    """About the parent."""
    index = replace(statement.index, level=Count(statement.index.level + 1))
    return replace(statement, index=index, first=Count(0), end=Count(2 * statement.end))


CONTRADICTIONS: dict[str, tuple[Change, str]] = {
    "prover": (lambda one: replace(one, prover=account(1)), "claim"),
    "claim": (lambda one: replace(one, claim=Claim(ZEROS)), "claim"),
    "claim that is no hash": (lambda one: replace(one, claim=Claim(NO_ELEMENT)), "claim"),
    "first": (lambda one: replace(one, first=Count(one.first + 1)), "span"),
    "end": (lambda one: replace(one, end=Count(one.end + 1)), "span"),
    "position": (lambda one: replace(one, index=shifted(one).index), "span"),
    "level": (lambda one: replace(one, index=raised(one).index), "span"),
    "leaf for merge": (lambda one: replace(one, content=other_kind(one)), "content"),
}


def other_kind(statement: Statement) -> LeafContent | MergeContent:
    if isinstance(statement.content, LeafContent):
        return MergeContent(Claim(ZEROS), Claim(ZEROS))
    return LeafContent(TransferDigest(ZEROS), Amount(0))


@pytest.mark.parametrize("index", [LEAF, LEFT_MERGE, ROOT], ids=str)
@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_statement_that_contradicts_itself_is_refused(
    proved: ProvedJob, index: TreeIndex, name: str
) -> None:
    change, word = CONTRADICTIONS[name]
    changed = change(proved.statements[index])
    assert proved.backend.verify(changed, proved.proofs[index]) == word


OTHER_STATEMENTS: dict[str, tuple[Change, str]] = {
    "job": (lambda one: replace(one, job=JobId(ZEROS)), "job"),
    "prover": (lambda one: replace(one, prover=account(1)), "prover"),
    "from_root": (lambda one: replace(one, from_root=one.to_root), "roots"),
    "to_root": (lambda one: replace(one, to_root=Root(ZEROS)), "roots"),
    "root that is no hash": (lambda one: replace(one, to_root=Root(NO_ELEMENT)), "roots"),
    "position": (shifted, "span"),
}


@pytest.mark.parametrize("index", [LEAF, LEFT_MERGE, ROOT], ids=str)
@pytest.mark.parametrize("name", OTHER_STATEMENTS)
def test_a_proof_of_another_statement_is_refused(
    proved: ProvedJob, index: TreeIndex, name: str
) -> None:
    change, word = OTHER_STATEMENTS[name]
    changed = proved.with_claim(change(proved.statements[index]))
    assert proved.backend.verify(changed, proved.proofs[index]) == word


LEAF_CONTENTS = {
    "fees": lambda content: replace(content, fees=Amount(content.fees + 1)),
    "digest": lambda content: replace(content, digest=TransferDigest(ZEROS)),
}
MERGE_CONTENTS = {
    "left": lambda content: replace(content, left=content.right),
    "right": lambda content: replace(content, right=content.left),
    "swapped": lambda content: MergeContent(content.right, content.left),
}


@pytest.mark.parametrize("name", LEAF_CONTENTS)
def test_a_leaf_of_other_content_is_refused(proved: ProvedJob, name: str) -> None:
    statement = proved.statements[LEAF]
    changed = replace(statement, content=LEAF_CONTENTS[name](statement.content))
    assert proved.backend.verify(changed, proved.proofs[LEAF]) == "claim"
    assert proved.backend.verify(proved.with_claim(changed), proved.proofs[LEAF]) == "claim"


@pytest.mark.parametrize("index", [LEFT_MERGE, ROOT], ids=str)
@pytest.mark.parametrize("name", MERGE_CONTENTS)
def test_a_merge_of_other_children_is_refused(
    proved: ProvedJob, index: TreeIndex, name: str
) -> None:
    statement = proved.statements[index]
    changed = replace(statement, content=MERGE_CONTENTS[name](statement.content))
    assert proved.backend.verify(changed, proved.proofs[index]) == "claim"
    assert proved.backend.verify(proved.with_claim(changed), proved.proofs[index]) == "claim"


def test_content_that_no_hash_gives_never_raises(proved: ProvedJob) -> None:
    contents = {
        LEAF: LeafContent(TransferDigest(NO_ELEMENT), Amount(0)),
        ROOT: MergeContent(Claim(NO_ELEMENT), Claim(NO_ELEMENT)),
    }
    for index, content in contents.items():
        statement = replace(proved.statements[index], content=content)
        assert proved.backend.verify(statement, proved.proofs[index]) in {"claim", "content"}


def test_a_neighbours_proof_is_refused(proved: ProvedJob) -> None:
    for index, statement in proved.statements.items():
        for other, proof in proved.proofs.items():
            verdict = proved.backend.verify(statement, proof)
            assert (verdict is None) == (index == other)


@pytest.mark.parametrize("index", [LEAF, ROOT], ids=str)
def test_bytes_of_another_length_are_refused(proved: ProvedJob, index: TreeIndex) -> None:
    statement, proof = proved.statements[index], proved.proofs[index]
    for wrong in (b"", proof[:1], proof[:-1], proof[1:], proof + b"\0", proof + proof):
        assert proved.backend.verify(statement, wrong) == "length"


@pytest.mark.parametrize("index", [LEAF, ROOT], ids=str)
def test_bytes_that_encode_no_proof_are_refused(proved: ProvedJob, index: TreeIndex) -> None:
    for byte in (0, 1, 0x7F, 0xFF):
        wrong = bytes([byte]) * proved.backend.proof_bytes
        assert proved.backend.verify(proved.statements[index], wrong) in WORDS


@settings(max_examples=60, deadline=None)
@given(draw=st.data())
def test_any_changed_bytes_are_refused(proved: ProvedJob, draw: st.DataObject) -> None:
    index = draw.draw(st.sampled_from([LEAF, LEFT_MERGE, ROOT]))
    proof = bytearray(proved.proofs[index])
    start = draw.draw(st.integers(0, len(proof) - 1))
    patch = draw.draw(st.binary(min_size=1, max_size=min(9, len(proof) - start)))
    unchanged = bytes(proof[start : start + len(patch)])
    proof[start : start + len(patch)] = patch
    verdict = proved.backend.verify(proved.statements[index], bytes(proof))
    assert verdict is None if patch == unchanged else verdict in WORDS


@settings(max_examples=60, deadline=None)
@given(wrong=st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(proved: ProvedJob, wrong: bytes) -> None:
    assert proved.backend.verify(proved.statements[LEAF], wrong) in WORDS


def test_claims_differ_by_everything_they_bind(proved: ProvedJob) -> None:
    backend = proved.backend
    content = proved.statements[LEAF].content
    claims = {statement.claim for statement in proved.statements.values()}
    assert len(claims) == len(proved.statements)
    position = LEAF.position
    leaves = [
        backend.leaf_claim(account(1), position, content),
        backend.leaf_claim(account(2), position, content),
        backend.leaf_claim(account(1), Count(position + 1), content),
        *(
            backend.leaf_claim(account(1), position, LEAF_CONTENTS[name](content))
            for name in LEAF_CONTENTS
        ),
    ]
    left, right = leaves[0], leaves[1]
    merges = [
        backend.merge_claim(account(1), MergeContent(left, right)),
        backend.merge_claim(account(2), MergeContent(left, right)),
        backend.merge_claim(account(1), MergeContent(right, left)),
        backend.merge_claim(account(1), MergeContent(left, left)),
    ]
    assert len({*leaves, *merges}) == len(leaves) + len(merges)
    assert backend.leaf_claim(account(1), position, content) == leaves[0]


# --- states ------------------------------------------------------------------------------------


@pytest.fixture(params=["modelled", "plonky2"])
def backend(request: pytest.FixtureRequest) -> Plonky2Backend | ModelledBackend:
    return Plonky2Backend() if request.param == "plonky2" else ModelledBackend()


Backend = Plonky2Backend | ModelledBackend


def test_a_batch_moves_money_and_pays_fees(backend: Backend) -> None:
    before = backend.genesis(GENESIS)
    executed = before.execute(BATCHES[0])
    after = executed.state
    assert after.accounts() == [
        (account(0), 1_000 - 11 + 1_009 - 5, 2),
        (account(1), 0, 1),
        (account(2), 1_000, 0),
        (account(3), 1_000, 0),
        (account(9), 5, 0),
    ]
    assert executed.fees == 2
    assert after.total == before.total - 2 == sum(balance for _, balance, _ in after.accounts())
    assert after.account(account(9)) == (5, 0)
    assert after.account(account(8)) is None


def test_a_transfer_to_oneself_costs_its_fee(backend: Backend) -> None:
    after = backend.genesis(GENESIS).execute(BATCHES[2]).state
    assert after.account(account(2)) == (993, 1)


def test_a_state_never_changes(backend: Backend) -> None:
    before = backend.genesis(GENESIS)
    root, accounts, total = before.root, before.accounts(), before.total
    before.execute(BATCHES[0])
    before.witness(BATCHES[0])
    assert (before.root, before.accounts(), before.total) == (root, accounts, total)


def test_the_root_is_a_function_of_the_accounts(backend: Backend) -> None:
    state = backend.genesis(GENESIS)
    assert len(state.root) == 32
    assert backend.genesis(GENESIS).root == state.root
    assert backend.genesis(GENESIS) == state
    assert state.execute([]).state.root == state.root
    others = {
        backend.genesis(GENESIS[::-1]).root,
        backend.genesis(GENESIS[1:]).root,
        backend.genesis([*GENESIS[1:], (account(0), Amount(1_001))]).root,
        state.execute([transfer(0, 1, 0, 0, 0)]).state.root,
        state.execute([transfer(0, 9, 0, 0, 0)]).state.root,
    }
    assert len(others) == 5
    assert state.root not in others


def test_a_state_is_made_again_from_its_accounts(backend: Backend) -> None:
    state = backend.genesis(GENESIS)
    for batch in BATCHES:
        again = backend.restore(state.accounts())
        assert again == state
        assert (again.root, again.total) == (state.root, state.total)
        assert again.accounts() == state.accounts()
        assert again.witness(batch) == state.witness(batch)
        state = state.execute(batch).state
    later = [(key, amount, nonce + 1) for key, amount, nonce in state.accounts()]
    assert backend.restore(later).root != state.root


@pytest.mark.parametrize("nonce", [AMOUNT_END, (1 << 64) - 1])
def test_a_nonce_out_of_range_is_refused(backend: Backend, nonce: int) -> None:
    with pytest.raises(ValueError, match="account 1: its nonce is not below"):
        backend.restore([(account(0), Amount(1), Nonce(0)), (account(1), Amount(1), Nonce(nonce))])


def test_the_digest_binds_the_transfers_in_order(backend: Backend) -> None:
    state = backend.genesis(GENESIS)
    first, second = transfer(0, 1, 10, 1, 0), transfer(1, 0, 10, 1, 0)
    batches = [
        [],
        [first],
        [first, second],
        [second, first],
        [transfer(0, 2, 10, 1, 0)],
        [transfer(0, 1, 11, 1, 0)],
        [transfer(0, 1, 10, 2, 0)],
    ]
    digests = [state.execute(batch).digest for batch in batches]
    assert len(set(digests)) == len(batches)
    assert [state.execute(batch).digest for batch in batches] == digests


REFUSALS = {
    "unknown sender": (transfer(9, 0, 1, 1, 0), "the sender has no account"),
    "late nonce": (transfer(0, 1, 1, 1, 1), "the nonce is 1, the sender's next is 0"),
    "too much": (transfer(0, 1, 1_000, 1, 0), "amount and fee are 1001, the sender has 1000"),
    "amount out of range": (transfer(0, 1, AMOUNT_END, 0, 0), "the amount is not below 2^62"),
    "fee out of range": (transfer(0, 1, 0, 1 << 50, 0), "the fee is not below 2^50"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_the_first_transfer_that_cannot_be_applied_is_named(backend: Backend, name: str) -> None:
    wrong, sentence = REFUSALS[name]
    state = backend.genesis(GENESIS)
    batch = [transfer(3, 2, 1, 1, 0), wrong, wrong]
    for attempt in (state.execute, state.witness):
        with pytest.raises(ValueError, match=f"^{re.escape(f'transfer 1: {sentence}')}$"):
            attempt(batch)


def test_a_leaf_holds_so_many_transfers(backend: Backend) -> None:
    state = backend.genesis(GENESIS)
    batch = [transfer(0, 1, 1, 0, nonce) for nonce in range(backend.leaf_transfers)]
    full = state.execute(batch)
    assert full.state.account(account(0)) == (1_000 - len(batch), len(batch))
    with pytest.raises(ValueError, match=rf"transfer {len(batch)}: a leaf has room for"):
        state.execute([*batch, transfer(0, 1, 1, 0, len(batch))])


@pytest.mark.parametrize(
    ("accounts", "sentence"),
    [
        ([], "a rollup needs at least one account"),
        ([*GENESIS, GENESIS[1]], "account 4: its key appeared before"),
        ([(account(0), Amount(AMOUNT_END))], "the balances add up to 2^62 or more"),
        (
            [(account(0), Amount(AMOUNT_END - 1)), (account(1), Amount(1))],
            "the balances add up to 2^62 or more",
        ),
    ],
    ids=["none", "duplicate", "one too rich", "together too rich"],
)
def test_an_impossible_genesis_is_refused(backend: Backend, accounts: list, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        backend.genesis(accounts)


def test_the_richest_genesis_is_possible(backend: Backend) -> None:
    assert backend.genesis([(account(0), Amount(AMOUNT_END - 1))]).total == AMOUNT_END - 1


numbers = st.integers(0, 3) | st.integers(0, 1_100)
transfers = st.builds(
    transfer, st.integers(0, 6), st.integers(0, 6), numbers, numbers, st.integers(0, 3)
)


@settings(max_examples=150, deadline=None)
@given(batches=st.lists(st.lists(transfers, max_size=4), max_size=6))
def test_both_backends_agree_on_every_batch(batches: list) -> None:
    native, modelled = (one.genesis(GENESIS) for one in (Plonky2Backend(), ModelledBackend()))
    for batch in batches:
        outcomes = []
        for state in (native, modelled):
            try:
                outcomes.append(state.execute(batch))
            except ValueError as refusal:
                outcomes.append(str(refusal))
        if isinstance(outcomes[0], str):
            assert outcomes[0] == outcomes[1]
            continue
        assert not isinstance(outcomes[1], str), outcomes[1]
        assert outcomes[0].fees == outcomes[1].fees
        native, modelled = (outcome.state for outcome in outcomes)
        assert native.accounts() == modelled.accounts()
        assert native.total == modelled.total

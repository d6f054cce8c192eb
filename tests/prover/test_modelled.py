"""What only the stand-in promises: lengths, declared times, and what it will not attest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol import tree
from protocol.types import Count, JobId, Milliseconds, TreeIndex
from prover.modelled import ATTESTATION_BYTES_MIN, Attested, ModelledBackend
from tests.prover.jobs import Job

BACKEND = ModelledBackend(leaf_ms=Milliseconds(70), merge_ms=Milliseconds(90))
LEFT = TreeIndex(Count(1), Count(0))
ROOT = TreeIndex(Count(2), Count(0))


@pytest.fixture
def job() -> Job:
    return Job(BACKEND, 4)


@pytest.fixture
def proofs(job: Job) -> dict[TreeIndex, bytes]:
    proofs: dict[TreeIndex, bytes] = {}
    for index in tree.indices(4):
        proofs[index] = BACKEND.attest(job.task(index, proofs))
    return proofs


def test_attestations_are_deterministic(job: Job, proofs: dict[TreeIndex, bytes]) -> None:
    assert BACKEND.attest(job.task(ROOT, proofs)) == proofs[ROOT]


@pytest.mark.parametrize("length", [ATTESTATION_BYTES_MIN, 133_544])
def test_attestations_have_the_declared_length(length: int) -> None:
    backend = ModelledBackend(proof_bytes=length)
    job = Job(backend, 1)
    proof = backend.attest(job.leaf_task(0))
    assert len(proof) == length
    assert backend.verify(job.statements[job.leaf_task(0).index], proof) is None


def test_a_length_that_holds_no_attestation_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 256 bytes"):
        ModelledBackend(proof_bytes=ATTESTATION_BYTES_MIN - 1)


def test_leaves_and_merges_take_their_declared_times(
    job: Job, proofs: dict[TreeIndex, bytes]
) -> None:
    assert BACKEND.declared_ms(job.leaf_task(0)) == 70
    assert BACKEND.declared_ms(job.task(ROOT, proofs)) == 90


@pytest.mark.parametrize("place", [24, -1])
def test_every_byte_of_an_attestation_counts(proofs: dict[TreeIndex, bytes], place: int) -> None:
    changed = bytearray(proofs[ROOT])
    changed[place] = 2  # a truth value other than 0 and 1; a padding that is not zero
    assert Attested.read(proofs[ROOT]) is not None
    assert Attested.read(bytes(changed)) is None


def test_children_that_do_not_fit_are_not_merged(job: Job, proofs: dict[TreeIndex, bytes]) -> None:
    first, second, third = (proofs[TreeIndex(Count(0), Count(place))] for place in range(3))
    foreign = replace(job.leaf_task(1), job=JobId(bytes(32)))
    elsewhere = Job(BACKEND, 4).leaf_task(3)
    from_other_root = BACKEND.attest(replace(elsewhere, index=TreeIndex(Count(0), Count(1))))
    cases = [
        (second, first, "the right child does not begin where the left one ends"),
        (first, third, "the right child does not begin where the left one ends"),
        (first, from_other_root, "the right child does not start from the left one's root"),
        (first, BACKEND.attest(foreign), "the right child belongs to another job"),
        (first, proofs[LEFT], "the right child is refused"),
        (first, second[:-1], "the right child is refused"),
        (b"", second, "the left child is refused"),
    ]
    for left, right, sentence in cases:
        with pytest.raises(ValueError, match=f"^{sentence}$"):
            BACKEND.attest(job.merge_task(LEFT, left, right))


def test_a_malformed_witness_is_not_attested(job: Job) -> None:
    with pytest.raises(ValueError, match="a witness has 104 bytes"):
        BACKEND.attest(replace(job.leaf_task(0), witness=b""))

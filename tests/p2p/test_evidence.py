"""Forged proofs as evidence: what an archive keeps of them, and when it vouches for a report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from protocol.errors import Reason
from protocol.messages import (
    Operation,
    ProofEvidence,
    ProofRecord,
    SignedOperation,
    UncleClaim,
    body_hash,
    sign_operation,
)
from protocol.ports import LeafContent
from protocol.rules import Job
from protocol.signing import public_key
from protocol.types import Count, Nonce, Tick, TreeIndex
from prover.tasks import LeafTask
from tests.p2p.test_archive import LIFE, NETWORK, NOBODY, Archived

SEED = b"p" * 32
PROVER = public_key(SEED)
LEAF = TreeIndex(Count(0), Count(0))
ROOT = TreeIndex(Count(1), Count(0))
FORGED = b"\1" * 1024


class Court:
    """An archive with one open job, and a prover that signs what it likes."""

    def __init__(self, folder: Path) -> None:
        self.archived = Archived(folder)
        self.archive, self.store = self.archived.archive, self.archived.store
        built = self.archived.build()
        job = self.archived.open(built)
        self.job = Job(job, self.archived.header(built), Tick(1))
        leaf = self.job.header.content.leaves[0]
        self.claim = self.archived.backend.leaf_claim(
            PROVER, Count(0), LeafContent(leaf.digest, leaf.fees)
        )
        self.served: dict[bytes, bytes] = {}
        self.archive.fetch = self._fetch

    async def _fetch(self, name: Any, size_max: int, holders: tuple[Any, ...]) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return self.store.body(name) or self.served.get(name)

    def signed(self, proof: bytes, **changed: Any) -> SignedOperation:
        self.served[body_hash(proof)] = proof
        record = ProofRecord(self.job.id, LEAF, self.claim, None, body_hash(proof))
        operation = Operation(PROVER, Nonce(1), Tick(9), replace(record, **changed))
        return sign_operation(SEED, NETWORK, operation)

    def report(self, signed: SignedOperation, **changed: Any) -> SignedOperation:
        operation = signed.operation
        assert isinstance(operation.payload, ProofRecord)
        evidence = ProofEvidence(
            operation.sender,
            operation.nonce,
            operation.valid_until,
            operation.payload,
            signed.signature,
        )
        payload = replace(evidence, **changed)
        return replace(signed, operation=Operation(NOBODY, Nonce(2), Tick(9), payload))

    def check(self, signed: SignedOperation, job: Job | None = None) -> Reason | None:
        return trio.run(self.archive.check, signed, job or self.job)

    def keeps(self, proof: bytes) -> bool:
        return self.store.body(body_hash(proof)) is not None


@pytest.fixture
def court(tmp_path: Path) -> Iterator[Court]:
    made = Court(tmp_path)
    with made.store:
        yield made


def proven(court: Court) -> bytes:
    """A true proof of the leaf."""
    block = trio.run(court.archive._execute, court.job.header.content, (NOBODY,))
    task = LeafTask(court.job.id, PROVER, LEAF, Count(2), Tick(1), block.witness(0))
    return court.archived.backend.attest(task)


def test_of_a_prover_and_a_tree_node_one_forgery_is_kept_for_whoever_judges(court: Court) -> None:
    assert court.check(court.signed(FORGED)) is Reason.INVALID_PROOF
    assert court.keeps(FORGED)
    other = b"\2" * 1024
    assert court.check(court.signed(other)) is Reason.INVALID_PROOF
    assert not court.keeps(other)
    assert court.archived.size("forgeries") == 1


def test_a_forgery_is_evidence_and_a_proof_is_not(court: Court) -> None:
    proof = proven(court)
    assert court.check(court.signed(proof)) is None
    assert court.check(court.report(court.signed(proof))) is Reason.NOT_EVIDENCE
    assert court.check(court.report(court.signed(FORGED))) is None


def test_a_report_is_refused_unless_everything_is_there(court: Court) -> None:
    forged = court.signed(FORGED)
    assert court.check(court.report(forged, nonce=Nonce(7))) is Reason.BAD_SIGNATURE
    impossible = court.signed(FORGED, index=TreeIndex(Count(5), Count(0)))
    assert court.check(court.report(impossible)) is Reason.NOT_EVIDENCE
    court.served.clear()
    assert court.check(court.report(forged)) is Reason.BODY_MISSING
    assert trio.run(court.archive.check, court.report(forged), None) is Reason.UNKNOWN_JOB


def test_forgeries_are_forgotten_with_the_proofs_of_their_job(court: Court) -> None:
    court.check(court.signed(FORGED))
    court.archive.close(court.job.id, Tick(5), is_settled=True)
    court.archive.forget(Tick(5 + LIFE - 1))
    assert court.keeps(FORGED)
    court.archive.forget(Tick(5 + LIFE))
    assert not court.keeps(FORGED)
    assert court.check(court.signed(b"\3" * 1024)) is Reason.INVALID_PROOF
    assert not court.keeps(b"\3" * 1024)
    assert court.archived.size("forgeries") == 0


def test_a_root_that_was_passed_off_as_a_leaf_is_kept_for_light_clients(court: Court) -> None:
    assert court.check(court.signed(FORGED)) is Reason.INVALID_PROOF
    court.archive.note(court.job.id, ROOT, body_hash(FORGED))
    court.archive.close(court.job.id, Tick(5), is_settled=True)
    court.archive.forget(Tick(5 + LIFE))
    assert court.keeps(FORGED)


def as_claim(signed: SignedOperation) -> SignedOperation:
    """The same, said as an uncle claim."""
    payload = signed.operation.payload
    assert isinstance(payload, ProofRecord)
    return sign_operation(SEED, NETWORK, replace(signed.operation, payload=UncleClaim(payload)))


def test_claims_are_judged_like_records_for_as_long_as_something_is_to_come(court: Court) -> None:
    proof = proven(court)
    court.archive.close(court.job.id, Tick(5), is_settled=True, has_sequel=True)
    assert court.archive.sequels() == (court.job.id,)
    assert court.check(as_claim(court.signed(FORGED))) is Reason.INVALID_PROOF
    assert court.check(as_claim(court.signed(proof))) is None
    (known,) = court.archive.proofs(court.job.id, LEAF)
    assert (known.prover, known.record.proof) == (PROVER, body_hash(proof))
    assert court.keeps(FORGED)
    assert court.keeps(proof)
    court.archive.end(court.job.id, Tick(9))
    assert court.archive.sequels() == ()
    assert court.archive.proofs(court.job.id, LEAF) == ()
    assert court.check(as_claim(court.signed(proof))) is None
    assert court.archive.proofs(court.job.id, LEAF) == ()
    court.archive.forget(Tick(9 + LIFE))
    assert not court.keeps(FORGED)
    assert not court.keeps(proof)

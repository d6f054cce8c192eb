"""Verified work: nobody is paid for a proof that does not prove what it was recorded for.

The proof is a modelled attestation, and it is read here a second time, from its bytes: see
:mod:`prover.modelled`. In a network with another proof system this checker says nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from protocol.events import BackupTaken, JobOpened, ProofRecorded
from protocol.happenings import BlockFinal
from protocol.ledger import Cause, Moved
from protocol.messages import BackupBlock, JobHeader, ProofRecord, UncleClaim
from scripts.simulation.checkers.checker import Scene
from scripts.simulation.checkers.reading import (
    PAYS,
    LogChecker,
    Place,
    framed_hash,
    name_of,
    outcomes,
)

_FOR_PROOFS = (*PAYS, Cause.CO_PAY, Cause.VOID_PAY, Cause.UNCLE_PAY)
_HEAD = struct.Struct("<24s?HH32s32s32s32s32s")
_TITLE = b"provnet/no-proof/1".ljust(24)
_CHECK_BYTES = 32


class VerifiedWork(LogChecker):
    """Whoever is paid for a tree node has signed a record of it, and a node that keeps the rules
    has the bytes that the record names: they attest this job, this prover, these leaves, the roots
    before and after them, and a claim made of the leaf's content or of the children's claims.
    """

    name = "verified work"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._is_modelled = scene.genesis.network.backend == "modelled"
        self._headers: dict[bytes, JobHeader] = {}
        self._records: dict[tuple[Place, bytes], ProofRecord] = {}
        self._claims: dict[Place, bytes] = {}

    def read(self, final: BlockFinal) -> Iterator[str]:
        """Take note of records, and look at the proof of each that is paid for."""
        if not self._is_modelled:
            return
        backups: dict[bytes, bytes] = {}
        for signed, refusal in outcomes(final):
            operation, payload = signed.operation, signed.operation.payload
            record = payload.record if isinstance(payload, UncleClaim) else payload
            if isinstance(record, ProofRecord) and refusal is None:
                place = (record.job, record.index.level, record.index.position)
                self._records[place, operation.sender] = record
            if isinstance(payload, BackupBlock) and refusal is None:
                backups[operation.sender] = payload.proof
        for event in final.applied.events:
            match event:
                case JobOpened(job, header):
                    self._headers[job] = header
                case ProofRecorded(job, index, _, claim):
                    self._claims[job, index.level, index.position] = claim
                case BackupTaken(job, prover):
                    yield from self._check_backup(job, prover, backups.get(prover))
                case Moved(cause=cause) if cause in _FOR_PROOFS:
                    yield from self._check(event)

    def _check(self, moved: Moved) -> Iterator[str]:
        if moved.job is None or moved.place is None:
            yield f"{moved.cause.name} of {moved.amount} names no tree node"
            return
        place = (moved.job, moved.place.level, moved.place.position)
        prover = moved.target.owner
        record = self._records.get((place, prover))
        if record is None:
            yield f"{name_of(place)} was paid to {prover.hex()[:8]}, which recorded no proof of it"
            return
        claim = self._claim(place, prover)
        if record.claim != claim:
            yield f"{name_of(place)} was paid for a claim that is not that of its content"
            return
        yield from self._look_at(place, prover, record.proof, claim)

    def _claim(self, place: Place, prover: bytes) -> bytes | None:
        """What a proof of a tree node must claim, as far as that is known."""
        job, level, position = place
        if level == 0:
            return self._leaf_claim(job, position, prover)
        left = self._claims.get((job, level - 1, 2 * position))
        right = self._claims.get((job, level - 1, 2 * position + 1))
        if left is None or right is None:
            return None
        return framed_hash(b"provnet/modelled/merge/1", prover, left, right)

    def _leaf_claim(self, job: bytes, position: int, prover: bytes) -> bytes:
        leaf = self._headers[job].content.leaves[position]
        numbers = struct.pack("<QQ", position, leaf.fees)
        return framed_hash(b"provnet/modelled/leaf/1", prover, numbers, leaf.digest)

    def _look_at(self, place: Place, prover: bytes, named: bytes, claim: bytes) -> Iterator[str]:
        """Compare what the bytes of a proof say with what they must say."""
        proof = self.scene.body(named)
        if proof is None:
            yield f"{name_of(place)} was paid for, and no honest node has its proof"
            return
        if framed_hash(b"provnet/body/1", proof) != named:
            yield f"{name_of(place)} was paid for, and its bytes do not have the hash it names"
            return
        job, level, position = place
        first, end = position << level, (position + 1) << level
        content = self._headers[job].content
        roots = [content.from_root, *(leaf.to_root for leaf in content.leaves)]
        stated = _HEAD.pack(
            _TITLE, level > 0, first, end, job, prover, roots[first], roots[end], claim
        )
        attested = stated + framed_hash(b"provnet/modelled/attestation/1", stated)
        if proof[: _HEAD.size + _CHECK_BYTES] != attested or any(proof[len(attested) :]):
            yield f"{name_of(place)} was paid for a proof that proves something else"

    def _check_backup(self, job: bytes, prover: bytes, proof: bytes | None) -> Iterator[str]:
        """All tree nodes of a backup are its sender's, and the root's bytes are there."""
        leaves = len(self._headers[job].content.leaves)
        row = [self._leaf_claim(job, position, prover) for position in range(leaves)]
        while len(row) > 1:
            pairs = zip(row[::2], row[1::2], strict=True)
            row = [framed_hash(b"provnet/modelled/merge/1", prover, *pair) for pair in pairs]
        root = (job, leaves.bit_length() - 1, 0)
        if proof is None:
            yield f"{name_of(root)} was paid as a backup that nobody sent"
            return
        yield from self._look_at(root, prover, proof, row[0])

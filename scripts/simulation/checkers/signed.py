"""Signed: nothing is final that its sender did not sign, or that no quorum voted for.

Signatures are checked with the library and with hashes made here, not by ``protocol.signing``.
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocol.codec import encode
from protocol.events import SetChanged
from protocol.happenings import BlockFinal
from protocol.messages import Certificate, LogHeader, Vote
from protocol.params import network_id
from protocol.types import Account, Slot
from scripts.simulation.checkers.checker import Scene
from scripts.simulation.checkers.reading import LogChecker, framed_hash


class Signed(LogChecker):
    """Every final operation, and the header around it, has the signature of its sender; the
    certificate in a header names the block before it and has signatures of more than two thirds of
    the log stake of that block's epoch.
    """

    name = "signed"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._network = network_id(scene.genesis)
        first = {one.account: int(one.log_stake) for one in scene.genesis.accounts}
        self._sets: dict[int, dict[Account, int]] = {0: {who: s for who, s in first.items() if s}}
        self._parent: LogHeader | None = None

    def read(self, final: BlockFinal) -> Iterator[str]:
        """Check all signatures of a block."""
        header, signed = final.block.header, final.block.signed
        if not self._is_signed(
            b"provnet/log-proposal/1", header.proposer, encode(header), signed.signature
        ):
            yield f"height {header.height} is final and not signed by its proposer"
        for one in final.block.operations:
            operation = one.operation
            if not self._is_signed(
                b"provnet/operation/1", operation.sender, encode(operation), one.signature
            ):
                kind, sender = type(operation.payload).__name__, operation.sender.hex()[:8]
                yield f"a {kind} of {sender} is final, and {sender} did not sign it"
        if self._parent is not None:
            yield from self._check_certificate(self._parent, header.certificate)
        self._parent = header
        for event in final.applied.events:
            if isinstance(event, SetChanged):
                members = {one.account: int(one.stake) for one in event.members}
                self._sets[event.epoch] = members

    def _check_certificate(
        self, parent: LogHeader, certificate: Certificate | None
    ) -> Iterator[str]:
        height = parent.height
        name = framed_hash(b"provnet/log-header/1", encode(parent))
        if certificate is None or (certificate.slot, certificate.block) != (parent.slot, name):
            yield f"height {height} is final and the block after it names no certificate of it"
            return
        stakes = self._sets[max(epoch for epoch in self._sets if epoch <= parent.epoch)]
        voters: dict[Account, int] = {}
        for voter, signature in certificate.signatures:
            vote = encode(Vote(voter, Slot(certificate.slot), certificate.block))
            if self._is_signed(b"provnet/log-vote/1", voter, vote, signature):
                voters[voter] = stakes.get(voter, 0)
        whole, votes = sum(stakes.values()), sum(voters.values())
        if 3 * votes <= 2 * whole:
            yield f"height {height} is final with votes of {votes} of {whole}"

    def _is_signed(self, domain: bytes, who: bytes, message: bytes, signature: bytes) -> bool:
        signed = framed_hash(domain, self._network, message)
        try:
            Ed25519PublicKey.from_public_bytes(who).verify(signature, signed)
        except (InvalidSignature, ValueError):
            return False
        return True

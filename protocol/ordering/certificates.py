"""Whether a certificate proves that a block is notarised.

Upon a certificate for a block: accept it iff its voters are validators in strictly ascending order
(so nobody counts twice), hold the quorum together, and every signature is theirs. One bad signature
spoils it even if the others would do, so that all validators agree on the header that carries it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from protocol.errors import Reason, Refused
from protocol.messages import Certificate, SignedVote, certificate_votes, vote_is_signed
from protocol.ordering.validators import Validators
from protocol.types import BlockHash, NetworkId

REMEMBERED_MAX: Final = 256
"""Certificates known to be good: a slot's candidates carry the same one, or a few variants."""


class Certificates:
    """Checks certificates, each once.

    :param is_known: whether a signed vote was heard before, and hence verified.
    """

    def __init__(
        self,
        network: NetworkId,
        validators: Validators,
        is_known: Callable[[SignedVote], bool],
    ) -> None:
        self._network = network
        self._validators = validators
        self._is_known = is_known
        self._good: dict[Certificate, None] = {}

    def check(self, certificate: Certificate | None, block: BlockHash) -> Certificate:
        """The certificate, if it proves ``block`` notarised. Raises BAD_CERTIFICATE otherwise."""
        if certificate is None or certificate.block != block:
            raise Refused(Reason.BAD_CERTIFICATE, "for another block")
        if certificate not in self._good:
            self._check_voters(certificate)
            self._check_signatures(certificate)
            self._remember(certificate)
        return certificate

    def _check_voters(self, certificate: Certificate) -> None:
        voters = [account for account, _ in certificate.signatures]
        if any(first >= second for first, second in pairwise(voters)):
            raise Refused(Reason.BAD_CERTIFICATE, "voters not in ascending order")
        if any(self._validators.get(voter) is None for voter in voters):
            raise Refused(Reason.BAD_CERTIFICATE, "a voter has no log stake")
        if self._validators.stake(voters) < self._validators.quorum:
            raise Refused(Reason.BAD_CERTIFICATE, "not more than two thirds of the log stake")

    def _check_signatures(self, certificate: Certificate) -> None:
        for vote in certificate_votes(certificate):
            if not self._is_known(vote) and not vote_is_signed(self._network, vote):
                raise Refused(Reason.BAD_CERTIFICATE, "a signature is not the voter's")

    def _remember(self, certificate: Certificate) -> None:
        self._good[certificate] = None
        if len(self._good) > REMEMBERED_MAX:
            del self._good[next(iter(self._good))]

"""The checks that every gossiped message passes before it reaches the replica, cheap before dear.

For each topic in this order: size and shape (the decoder), the kind belongs to the topic, seen
before, allowed by the final state, signature. A message whose sender or forwarder could not have
sent it in good faith is REJECTed; one that is late, early or known is IGNOREd, because honest nodes
differ in what they have seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from p2p.limits import Size
from protocol.codec import decode
from protocol.errors import Reason, Refused
from protocol.messages import (
    BID_BYTES_MAX,
    LOG_BLOCK_BYTES_MAX,
    OPERATION_BYTES_MAX,
    TRANSFER_BYTES_MAX,
    VOTE_BYTES_MAX,
    Bid,
    LogBlock,
    SignedBid,
    SignedOperation,
    SignedTransfer,
    SignedVote,
    bid_is_signed,
    header_is_signed,
    operation_is_signed,
    transfer_is_signed,
    vote_is_signed,
)
from protocol.ports import Judge, Topic, Verdict
from protocol.replica import Replica, topic_of
from protocol.signing import digest
from protocol.types import Account, Round, Slot

SEEN_MAX: Final = 16_384
"""Proposals, votes, transfers and bids remembered by content, so that a copy in a new envelope
costs one hash.
"""

BIDS_MAX: Final = 4
"""Bids of one prover for one block: what is asked changes while it is hidden, and when it is known.
"""

BLAMELESS: Final = frozenset(
    {
        Reason.DUPLICATE,
        Reason.EXPIRED,
        Reason.VALID_TOO_LONG,
        Reason.PAST_EPOCH,
        Reason.LATER_EPOCH,
        Reason.FEE_UNPAYABLE,
        Reason.TOO_MANY_PENDING,
        Reason.NOT_AWAITED,
        Reason.BID_EXPIRED,
        Reason.BOND_TOO_LOW,
        Reason.BOND_UNPAYABLE,
        Reason.PRICE_UNPAYABLE,
        Reason.NO_PROVER_STAKE,
        Reason.TOO_MANY_BIDS,
    }
)
"""Reasons that depend on how much of the log one has seen: nobody is blamed for them."""

UNTOLD: Final = BLAMELESS - {
    Reason.LATER_EPOCH,
    Reason.TOO_MANY_PENDING,
    Reason.TOO_MANY_BIDS,
}
"""Reasons that every honest network meets all the time: nobody is told."""

Deliver = Callable[[Any], bool]
"""Hands an accepted message on; False when there is no room for it now."""

OnRefusal = Callable[[str, Reason, Account], None]
"""Told of every refusal that may be somebody's fault: kind, reason, forwarding peer."""


class Judges:
    """Judges for all topics of one node."""

    def __init__(self, replica: Replica, deliver: Deliver, on_refusal: OnRefusal) -> None:
        self._replica = replica
        self._network = replica.machine.network
        self._deliver = deliver
        self._on_refusal = on_refusal
        self._seen: dict[bytes, None] = {}
        self._bids: dict[tuple[Round, Account], dict[Account, int]] = {}

    @property
    def seen(self) -> Size:
        """Messages remembered by content."""
        return Size(len(self._seen), SEEN_MAX)

    def of(self, topic: Topic) -> Judge:
        """The judge of one topic."""
        check = {
            Topic.LOG_PROPOSALS: self._proposal,
            Topic.LOG_VOTES: self._vote,
            Topic.TRANSFERS: self._transfer,
            Topic.BIDS: self._bid,
        }.get(topic, lambda payload: self._operation(topic, payload))

        def judge(peer: Account, payload: bytes) -> Verdict:
            return self._judged(peer, topic, payload, check)

        return judge

    def _judged(
        self, peer: Account, topic: Topic, payload: bytes, check: Callable[[bytes], Any]
    ) -> Verdict:
        try:
            message = check(payload)
        except Refused as refusal:
            if refusal.reason not in UNTOLD:
                self._on_refusal(topic.value, refusal.reason, peer)
            return Verdict.IGNORE if refusal.reason in BLAMELESS else Verdict.REJECT
        return Verdict.ACCEPT if self._deliver(message) else Verdict.IGNORE

    def _proposal(self, payload: bytes) -> LogBlock:
        block: LogBlock = decode(LogBlock, payload, size_max=LOG_BLOCK_BYTES_MAX)
        content = self._unseen(payload)
        self._check_validator(block.header.proposer, block.header.slot)
        if not header_is_signed(self._network, block.signed):
            raise Refused(Reason.BAD_SIGNATURE)
        self._remember(content)
        return block

    def _vote(self, payload: bytes) -> SignedVote:
        vote: SignedVote = decode(SignedVote, payload, size_max=VOTE_BYTES_MAX)
        content = self._unseen(payload)
        self._check_validator(vote.vote.voter, vote.vote.slot)
        if not vote_is_signed(self._network, vote):
            raise Refused(Reason.BAD_SIGNATURE)
        self._remember(content)
        return vote

    def _check_validator(self, account: Account, slot: Slot) -> None:
        objection = self._replica.validator_objection(account, slot)
        if objection is not None:
            raise Refused(objection)

    def _transfer(self, payload: bytes) -> SignedTransfer:
        signed: SignedTransfer = decode(SignedTransfer, payload, size_max=TRANSFER_BYTES_MAX)
        content = self._unseen(payload)
        if not transfer_is_signed(self._network, signed):
            raise Refused(Reason.BAD_SIGNATURE)
        self._remember(content)
        return signed

    def _bid(self, payload: bytes) -> SignedBid:
        signed: SignedBid = decode(SignedBid, payload, size_max=BID_BYTES_MAX)
        content, bid = self._unseen(payload), signed.bid
        objection = self._replica.machine.bid_objection(bid)
        if objection is not None:
            raise Refused(objection)
        self._check_count(bid)
        if not bid_is_signed(self._network, signed):
            raise Refused(Reason.BAD_SIGNATURE)
        self._remember(content)
        block = self._bids.setdefault((bid.round, bid.sequencer), {})
        block[bid.prover] = block.get(bid.prover, 0) + 1
        return signed

    def _check_count(self, bid: Bid) -> None:
        """Forget the bids for blocks that nobody may bid for any more, then count."""
        asked = [(one.block.round, one.block.sequencer) for one in self._replica.machine.asks()]
        self._bids = {block: counts for block, counts in self._bids.items() if block in asked}
        counts = self._bids.get((bid.round, bid.sequencer), {})
        if counts.get(bid.prover, 0) >= BIDS_MAX:
            raise Refused(Reason.TOO_MANY_BIDS)

    def _operation(self, topic: Topic, payload: bytes) -> SignedOperation:
        signed: SignedOperation = decode(SignedOperation, payload, size_max=OPERATION_BYTES_MAX)
        if topic_of(signed.operation.payload) is not topic:
            raise Refused(Reason.UNKNOWN_KIND, f"not for {topic.value}")
        objection = self._replica.objection(signed)
        if objection is not None:
            raise Refused(objection)
        if not operation_is_signed(self._network, signed):
            raise Refused(Reason.BAD_SIGNATURE)
        return signed

    def _unseen(self, payload: bytes) -> bytes:
        content = digest(b"provnet/seen/1", payload)
        if content in self._seen:
            raise Refused(Reason.DUPLICATE)
        return content

    def _remember(self, content: bytes) -> None:
        self._seen[content] = None
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]

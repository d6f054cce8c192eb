"""``equivocate``: a validator that signs two proposals and two votes in one slot, once.

The second proposal orders an operation of its own more than the first; the second vote is for a
block that nobody has. It waits until the log has grown and for a slot in which it does both.

Breaks: at most one proposal and one vote a slot. Met by ``EQUIVOCATION_PUNISHED``: whoever hears
both has evidence, and the log stake is slashed; no slot gets two notarised blocks, because honest
validators vote once. Costs: at most that slot, and the fee for their report to those who report
what somebody else had reported before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from protocol.codec import decode, encode
from protocol.happenings import Effect, Happening, Publish
from protocol.messages import (
    LOG_BLOCK_BYTES_MAX,
    VOTE_BYTES_MAX,
    Intent,
    LogBlock,
    Operation,
    SignedVote,
    Vote,
    operations_digest,
    sign_header,
    sign_operation,
    sign_vote,
)
from protocol.ordering.validators import Identity
from protocol.ports import Topic
from protocol.replica import Replica
from protocol.signing import digest
from protocol.types import BlockHash, Count, Nonce, Slot, Tick
from scripts.cheats.cheat import Cheat, Role


class Equivocate(Cheat):
    """The cheat of this module."""

    name: ClassVar[str] = "equivocate"
    role: ClassVar[Role] = Role.VALIDATOR
    costs_votes: ClassVar[bool] = True

    def replica(self, replica: Replica) -> Replica:
        """The same replica with a second tongue."""
        return _TwoTongued(self, replica)


class _TwoTongued(Replica):
    def __init__(self, cheat: Equivocate, honest: Replica) -> None:
        super().__init__(honest.machine, honest.identity, honest.engine.signed)
        self._cheat = cheat
        self._proposed: Slot | None = None
        self._is_done = False

    def step(self, happening: Happening) -> tuple[Effect, ...]:
        return tuple(self._doubled(super().step(happening)))

    def _doubled(self, effects: tuple[Effect, ...]) -> Iterator[Effect]:
        for effect in effects:
            yield effect
            if not isinstance(effect, Publish) or self._is_done or not self.machine.tick:
                continue
            if effect.topic is Topic.LOG_PROPOSALS:
                yield self._second_proposal(effect.payload)
            elif effect.topic is Topic.LOG_VOTES:
                yield from self._second_vote(effect.payload)

    def _second_proposal(self, payload: bytes) -> Effect:
        second = second_proposal(self, payload)
        self._proposed = second.header.slot
        self._cheat.tell("signs a second proposal", slot=second.header.slot)
        return Publish(Topic.LOG_PROPOSALS, encode(second))

    def _second_vote(self, payload: bytes) -> Iterator[Effect]:
        first: SignedVote = decode(SignedVote, payload, size_max=VOTE_BYTES_MAX)
        if first.vote.slot != self._proposed:
            return
        self._is_done = True
        nowhere = BlockHash(digest(b"provnet/second-vote/1", first.vote.block))
        self._cheat.tell("signs a second vote", slot=first.vote.slot)
        yield Publish(Topic.LOG_VOTES, encode(vote_for(self, first.vote.slot, nowhere)))


def second_proposal(replica: Replica, payload: bytes) -> LogBlock:
    """Another block for the slot of a proposal of the replica's own, with one operation more."""
    block: LogBlock = decode(LogBlock, payload, size_max=LOG_BLOCK_BYTES_MAX)
    identity, network = _keys(replica), replica.machine.network
    intent = Intent(Count(0), Tick(0))
    nonce = Nonce(block.header.slot)
    extra = Operation(identity.account, nonce, block.header.height, intent)
    operations = (*block.operations, sign_operation(identity.signing_seed, network, extra))
    header = replace(block.header, operations=operations_digest(operations))
    return LogBlock(sign_header(identity.signing_seed, network, header), operations)


def vote_for(replica: Replica, slot: Slot, block: BlockHash) -> SignedVote:
    """A vote of the replica's, whatever it voted for before."""
    identity = _keys(replica)
    vote = Vote(identity.account, slot, block)
    return sign_vote(identity.signing_seed, replica.machine.network, vote)


def _keys(replica: Replica) -> Identity:
    assert replica.identity is not None, "who signs twice has signed once"
    return replica.identity

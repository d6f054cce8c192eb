"""``double-voter``: a validator that votes for every proposal that it hears of, in each slot.

Where a slot has one proposal, the second vote is for a block that nobody has.

Breaks: at most one vote a slot. Met by ``EQUIVOCATION_PUNISHED``: two votes of a slot are evidence,
and the log stake is slashed. Costs: nothing while less than a third of the log stake does it; above
that, one slot may have two notarised blocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from protocol.codec import decode, encode
from protocol.happenings import BlockHeard, Effect, Happening, Publish
from protocol.messages import VOTE_BYTES_MAX, SignedVote, block_hash
from protocol.ports import Topic
from protocol.replica import Replica
from protocol.signing import digest
from protocol.types import BlockHash, Slot
from scripts.cheats.cheat import Cheat, Role
from scripts.cheats.equivocate import vote_for
from scripts.simulation.adversaries.adversary import Adversary, Deed, unmet

HEARD_MAX: Final = 16
"""Proposals remembered until their slot is voted in."""


class VoteTwice(Cheat):
    """Votes for whatever else there is."""

    name = "vote-twice"
    role = Role.VALIDATOR
    costs_votes = True

    def replica(self, replica: Replica) -> Replica:
        """The same replica with more votes."""
        return _TwiceVoting(self, replica)


class _TwiceVoting(Replica):
    def __init__(self, cheat: Cheat, honest: Replica) -> None:
        super().__init__(honest.machine, honest.identity, honest.engine.signed)
        self._cheat = cheat
        self._heard: deque[tuple[Slot, BlockHash]] = deque(maxlen=HEARD_MAX)

    def step(self, happening: Happening) -> tuple[Effect, ...]:
        if isinstance(happening, BlockHeard):
            header = happening.block.header
            self._heard.append((header.slot, block_hash(header)))
        return tuple(self._doubled(super().step(happening)))

    def _doubled(self, effects: tuple[Effect, ...]) -> Iterator[Effect]:
        for effect in effects:
            yield effect
            if isinstance(effect, Publish) and effect.topic is Topic.LOG_VOTES:
                first: SignedVote = decode(SignedVote, effect.payload, size_max=VOTE_BYTES_MAX)
                slot, block = first.vote.slot, first.vote.block
                rivals = [name for at, name in self._heard if at == slot and name != block]
                nowhere = BlockHash(digest(b"provnet/second-vote/1", block))
                for other in rivals or (nowhere,):
                    self._cheat.tell("signs a second vote", slot=slot)
                    yield Publish(Topic.LOG_VOTES, encode(vote_for(self, slot, other)))


class DoubleVoter(Adversary):
    """The adversary of this module."""

    name = "double-voter"
    does = "votes for every proposal of a slot, and for one that nobody has where there is one"
    promise = "no slot gets two notarised blocks, and its log stake is slashed"
    roles = (Role.VALIDATOR,)
    cheats = (VoteTwice,)

    @classmethod
    def broken(cls, deed: Deed, patience_ms: int) -> str:
        """Contradictions that nobody was punished for."""
        return unmet(deed, "EQUIVOCATION_PUNISHED", patience_ms)

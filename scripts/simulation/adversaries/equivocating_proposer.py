"""``equivocating-proposer``: a validator that signs two proposals in every slot of its own.

Breaks: at most one proposal a slot. Met by ``EQUIVOCATION_PUNISHED``: two headers of a slot are
evidence, and the log stake is slashed. Costs: those slots.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocol.codec import encode
from protocol.happenings import Effect, Happening, Publish
from protocol.ports import Topic
from protocol.replica import Replica
from scripts.cheats.cheat import Cheat, Role
from scripts.cheats.equivocate import second_proposal
from scripts.simulation.adversaries.adversary import Adversary, Deed, unmet


class ProposeTwice(Cheat):
    """Signs a second proposal beside each."""

    name = "propose-twice"
    role = Role.VALIDATOR
    costs_votes = True

    def replica(self, replica: Replica) -> Replica:
        """The same replica with a second proposal."""
        return _TwiceProposing(self, replica)


class _TwiceProposing(Replica):
    def __init__(self, cheat: Cheat, honest: Replica) -> None:
        super().__init__(honest.machine, honest.identity, honest.engine.signed)
        self._cheat = cheat

    def step(self, happening: Happening) -> tuple[Effect, ...]:
        return tuple(self._doubled(super().step(happening)))

    def _doubled(self, effects: tuple[Effect, ...]) -> Iterator[Effect]:
        for effect in effects:
            yield effect
            if isinstance(effect, Publish) and effect.topic is Topic.LOG_PROPOSALS:
                second = second_proposal(self, effect.payload)
                self._cheat.tell("signs a second proposal", slot=second.header.slot)
                yield Publish(Topic.LOG_PROPOSALS, encode(second))


class EquivocatingProposer(Adversary):
    """The adversary of this module."""

    name = "equivocating-proposer"
    does = "signs two proposals in every slot in which it proposes"
    promise = "no slot gets two notarised blocks, and its log stake is slashed"
    roles = (Role.VALIDATOR,)
    cheats = (ProposeTwice,)

    @classmethod
    def broken(cls, deed: Deed, patience_ms: int) -> str:
        """Contradictions that nobody was punished for."""
        return unmet(deed, "EQUIVOCATION_PUNISHED", patience_ms)

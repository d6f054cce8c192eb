"""``twins``: two correct copies of one validator that share nothing but its key.

The second copy runs in the place of another node, and says what it says in the name of the first.

Breaks: a key is used by one node. Met by ``EQUIVOCATION_PUNISHED`` as soon as the copies sign two
things for one slot, since they hear different things first. Costs: those slots. See Bano and
others, "Twins: BFT systems made robust" (OPODIS 2021), for what such copies can show.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from protocol.agents import Action, Agent, AgentEvent, View
from protocol.codec import decode
from protocol.happenings import Effect, Happening, Publish
from protocol.messages import (
    LOG_BLOCK_BYTES_MAX,
    VOTE_BYTES_MAX,
    LogBlock,
    SignedVote,
    block_hash,
)
from protocol.ordering.validators import Identity
from protocol.ports import Topic
from protocol.replica import Replica
from protocol.types import BlockHash, Slot
from scripts.cheats.cheat import Cheat, Play, Role, Scene
from scripts.simulation.adversaries.adversary import Adversary, Deed, Troupe, unmet


class Copy(Cheat):
    """One of the copies.

    :param identity: the key of both.
    :param said: what was signed for which slot by whichever came first, by topic and slot.
    :param is_second: it stands in another node's place, and acts for nobody else there.
    """

    name = "copy"
    role = Role.VALIDATOR
    costs_votes = True

    def __init__(
        self,
        scene: Scene,
        identity: Identity,
        said: dict[tuple[Topic, Slot], BlockHash],
        *,
        is_second: bool,
    ) -> None:
        super().__init__(scene)
        self.identity: Final = identity
        self.said: Final = said
        self._is_second = is_second

    def replica(self, replica: Replica) -> Replica:
        """The same replica with the key of both."""
        return _Copied(self, replica)

    def agent(self, agent: Agent) -> Agent:
        """The same agent; none for the second copy: operations come from the first."""
        return _Idle() if self._is_second else agent


class _Copied(Replica):
    def __init__(self, cheat: Copy, honest: Replica) -> None:
        super().__init__(honest.machine, cheat.identity, honest.engine.signed)
        self._cheat = cheat

    def step(self, happening: Happening) -> tuple[Effect, ...]:
        effects = super().step(happening)
        for effect in effects:
            if isinstance(effect, Publish) and effect.topic is Topic.LOG_VOTES:
                vote: SignedVote = decode(SignedVote, effect.payload, size_max=VOTE_BYTES_MAX)
                self._say(effect.topic, vote.vote.slot, vote.vote.block)
            elif isinstance(effect, Publish) and effect.topic is Topic.LOG_PROPOSALS:
                block: LogBlock = decode(LogBlock, effect.payload, size_max=LOG_BLOCK_BYTES_MAX)
                self._say(effect.topic, block.header.slot, block_hash(block.header))
        return effects

    def _say(self, topic: Topic, slot: Slot, block: BlockHash) -> None:
        if self._cheat.said.setdefault((topic, slot), block) != block:
            self._cheat.tell("signs something else than its twin", topic=topic.value, slot=slot)


class _Idle:
    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        del view, event
        return ()


class Twins(Adversary):
    """The adversary of this module."""

    name = "twins"
    does = "is two correct copies of one validator, with one key"
    promise = "whatever they contradict each other in is evidence, and the log is one"
    roles = (Role.VALIDATOR, Role.PROVER)
    nodes = 2

    def __init__(self, troupe: Troupe) -> None:
        super().__init__(troupe)
        self._said: dict[tuple[Topic, Slot], BlockHash] = {}

    def part(self, number: int) -> tuple[Play, ...]:
        """The first node's key for all of them."""
        identity = self.troupe.nodes[0].identity
        return (Play(partial(Copy, identity=identity, said=self._said, is_second=number > 0)),)

    @classmethod
    def broken(cls, deed: Deed, patience_ms: int) -> str:
        """Contradictions that nobody was punished for."""
        return unmet(deed, "EQUIVOCATION_PUNISHED", patience_ms)

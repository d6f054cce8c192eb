"""``withholding-proposer``: a validator that grinds the beacon by hiding proposals.

It knows what the beacon would be with its own proposal. It wants a beacon whose first bit is zero,
and publishes nothing where its own would have a one.

Breaks: no rule; nobody can be made to propose. Met by nothing: its slot goes to the next candidate,
so that each try costs it a proposal with its fees, and it chooses between two beacons at most. See
:mod:`protocol.beacon` for how far that reaches.
"""

from __future__ import annotations

from typing import Final

from protocol import vrf
from protocol.beacon import advance, log_alpha
from protocol.codec import decode
from protocol.happenings import Effect, Happening, Publish
from protocol.messages import LOG_BLOCK_BYTES_MAX, LogBlock, LogHeader
from protocol.ports import Topic
from protocol.replica import Replica
from protocol.types import Beacon
from scripts.cheats.cheat import Cheat, Role
from scripts.simulation.adversaries.adversary import Adversary

WANTED_BELOW: Final = 0x80
"""It wants beacons whose first byte is below this: one of two."""


class Grind(Cheat):
    """Hides proposals."""

    name = "grind"
    role = Role.VALIDATOR
    costs_votes = True

    def replica(self, replica: Replica) -> Replica:
        """The same replica with fewer proposals."""
        return _Grinding(self, replica)


class _Grinding(Replica):
    def __init__(self, cheat: Cheat, honest: Replica) -> None:
        super().__init__(honest.machine, honest.identity, honest.engine.signed)
        self._cheat = cheat

    def step(self, happening: Happening) -> tuple[Effect, ...]:
        tip = self.engine.tip.link
        effects = super().step(happening)
        kept = []
        for effect in effects:
            if isinstance(effect, Publish) and effect.topic is Topic.LOG_PROPOSALS:
                block: LogBlock = decode(LogBlock, effect.payload, size_max=LOG_BLOCK_BYTES_MAX)
                header = block.header
                if header.parent == tip.block and self._dislikes(tip.beacon, header):
                    self._cheat.tell("hides a proposal", slot=header.slot)
                    continue
            kept.append(effect)
        return tuple(kept)

    def _dislikes(self, beacon: Beacon, header: LogHeader) -> bool:
        assert self.identity is not None, "it proposes"
        alpha = log_alpha(self.machine.epoch_seed, header.slot)
        output = vrf.verify(vrf.public_key(self.identity.vrf_seed), alpha, header.vrf_proof)
        return output is not None and advance(beacon, header.slot, output)[0] >= WANTED_BELOW


class WithholdingProposer(Adversary):
    """The adversary of this module."""

    name = "withholding-proposer"
    does = "hides its proposals where the beacon after them is not the one that it wants"
    promise = "its slots go to others; it never chooses among more than two beacons"
    roles = (Role.VALIDATOR,)
    cheats = (Grind,)

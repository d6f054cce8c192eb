"""``censoring-validator``: a validator that lets nothing of its victims be ordered.

It takes in none of their operations, and votes for no proposal that carries one.

Breaks: no rule; nobody can be made to order or to vote. Met by nothing: with less than a third of
the log stake, others order what it will not. Costs: the slots that it wins, for its victims; votes,
for everybody.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from protocol.happenings import BlockHeard, Effect, Happening, OperationHeard
from protocol.replica import Replica
from protocol.types import Account
from scripts.cheats.cheat import Cheat, Play, Role, Scene
from scripts.simulation.adversaries.adversary import Adversary, Deed


class Censor(Cheat):
    """Is deaf to some accounts."""

    name = "censor"
    role = Role.VALIDATOR
    costs_votes = True

    def __init__(self, scene: Scene, victims: frozenset[Account]) -> None:
        super().__init__(scene)
        self.victims: Final = victims

    def replica(self, replica: Replica) -> Replica:
        """The same replica without the victims' operations."""
        return _Censoring(self, replica)


class _Censoring(Replica):
    def __init__(self, cheat: Censor, honest: Replica) -> None:
        super().__init__(honest.machine, honest.identity, honest.engine.signed)
        self._cheat = cheat

    def step(self, happening: Happening) -> tuple[Effect, ...]:
        return () if self._is_censored(happening) else super().step(happening)

    def _is_censored(self, happening: Happening) -> bool:
        victims = self._cheat.victims
        if isinstance(happening, OperationHeard):
            is_censored = happening.signed.operation.sender in victims
            what = "drops an operation"
        elif isinstance(happening, BlockHeard):
            operations = happening.block.operations
            is_censored = any(one.operation.sender in victims for one in operations)
            what = "ignores a proposal"
        else:
            return False
        if is_censored:
            self._cheat.tell(what)
        return is_censored


class CensoringValidator(Adversary):
    """The adversary of this module."""

    name = "censoring-validator"
    does = "orders nothing of one prover, and votes for no block that does"
    promise = "others order what it will not, and its victim keeps its rights and its pay"
    roles = (Role.VALIDATOR,)
    victims = 1

    def part(self, number: int) -> tuple[Play, ...]:
        """Deafness to the victims, for each of its own nodes."""
        del number
        victims = frozenset(one.identity.account for one in self.troupe.victims)
        return (Play(partial(Censor, victims=victims)),)

    @classmethod
    def broken(cls, deed: Deed, patience_ms: int) -> str:
        """A victim that was never to be elected."""
        is_out = not deed.enlisted and deed.is_older(patience_ms)
        return "let no intent of its victim be ordered" if is_out else ""

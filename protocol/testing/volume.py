"""Stories by the thousand from a seed, without hypothesis: for volume, where nothing is shrunk.

The same moves and judges as in :mod:`protocol.testing.stateful`. A story that breaks a property
raises with its seed and with every move that led there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from protocol.testing.dice import Dice
from protocol.testing.moves import MOVES, Move, everybody_enlists, make
from protocol.testing.oracles import Oracle, Violation
from protocol.testing.scenario import EPOCHS, FEES, PENALTIES, REWARDS, TREASURY, Scenario
from protocol.testing.world import Turn, World


def tell(
    scenario: Scenario, seed: int, moves: int = 60, table: Mapping[str, Move] = MOVES
) -> World:
    """A story of so many moves, its replay and its relay.

    :raises Violation: with the seed and the story.
    """
    world = World(scenario)
    try:
        carry_on(world, drawn(Dice(seed), moves, table), table)
    except Exception as failure:
        story = (line(turn.name, turn.arguments) for turn in world.turns)
        said = [str(failure), f"seed {seed} of {scenario}", *story]
        raise Violation("\n".join(said)) from failure
    return world


def drawn(dice: Dice, moves: int, table: Mapping[str, Move]) -> Iterator[Turn]:
    """So many moves, each drawn when it is asked for."""
    names = tuple(name for name, move in table.items() for _ in range(move.weight))
    for _ in range(moves):
        name = dice.pick(names)
        arguments = {key: dice.pick(values) for key, values in table[name].arguments.items()}
        yield Turn(name, arguments)


def carry_on(world: World, turns: Iterable[Turn], table: Mapping[str, Move]) -> None:
    """Tell a whole story in a world that begins: everybody enlists, then the moves, then the end.

    Whatever a broken property raises is passed on; ``world.judging`` says which property it was.
    """
    everybody_enlists(world)
    for turn in turns:
        make(world, turn.name, table[turn.name], turn.arguments)
    world.finish()


def shortened(
    broken: World,
    failure: Exception,
    table: Mapping[str, Move],
    oracles: tuple[type[Oracle], ...] = (),
) -> tuple[World, Exception]:
    """The shortest story found that breaks the same property as the one that ``broken`` tells, and
    what it raises.

    Moves are left out, ever fewer at a time, as long as what is left still breaks the property
    (delta debugging, Zeller and Hildebrandt 2002); then there are as few provers as possible, and
    each argument takes the first of its values with which the property is still broken.

    :param failure: what that story raised.
    :param oracles: further judges than those that fit its rules.
    """
    shortest = _Shortest(broken, failure, table, oracles)
    shortest.leave_out()
    shortest.have_fewer_provers()
    shortest.simplify()
    return shortest.world, shortest.failure


@dataclass(slots=True)
class _Shortest:
    """The shortest story so far, and attempts at a shorter one."""

    world: World
    failure: Exception
    table: Mapping[str, Move]
    oracles: tuple[type[Oracle], ...]

    def _breaks(self, turns: Sequence[Turn], scenario: Scenario | None = None) -> bool:
        """Whether such a story breaks the property, too; then it is the shortest."""
        world = World(scenario or self.world.scenario, self.oracles)
        try:
            carry_on(world, turns, self.table)
        except Exception as failure:  # noqa: BLE001 -- whatever a rule on trial raises
            if world.judging == self.world.judging:
                self.world, self.failure = world, failure
                return True
        return False

    def leave_out(self) -> None:
        width = len(self.world.turns)
        while width:
            at = 0
            while at < len(self.world.turns):
                turns = self.world.turns
                if not self._breaks([*turns[:at], *turns[at + width :]]):
                    at += width
            width //= 2

    def have_fewer_provers(self) -> None:
        like = self.world.scenario
        for count in range(1, len(like.cards) + 1):
            if self._breaks(self.world.turns, replace(like, cards=(1,) * count)):
                return

    def simplify(self) -> None:
        for at, turn in enumerate(self.world.turns):
            for key, values in self.table[turn.name].arguments.items():
                for value in values[: values.index(turn.arguments[key])]:
                    if self._breaks(self._with(at, key, value)):
                        break

    def _with(self, at: int, key: str, value: Any) -> list[Turn]:
        turns = list(self.world.turns)
        turns[at] = Turn(turns[at].name, {**turns[at].arguments, key: value})
        return turns


def line(name: str, arguments: Mapping[str, Any]) -> str:
    """A move as it is written in a story."""
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def any_scenario(dice: Dice, like: Scenario) -> Scenario:
    """The scenario with stakes, fee and penalty drawn anew."""
    cards = tuple(dice.pick((0, 1, 1, 1, 2, 4)) for _ in range(1 + dice.below(8)))
    return replace(
        like,
        cards=cards,
        operation_fee=dice.pick(FEES),
        penalty=dice.pick(PENALTIES),
        epoch_ticks=dice.pick(EPOCHS),
        block_reward=dice.pick(REWARDS),
        treasury=TREASURY,
        sequencing_parameters=dice.pick(like.variants()),
    )

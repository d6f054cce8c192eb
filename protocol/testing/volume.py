"""Stories by the thousand from a seed, without hypothesis: for volume, where nothing is shrunk.

The same moves and judges as in :mod:`protocol.testing.stateful`. A story that breaks a property
raises with its seed and with every move that led there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from protocol.testing.moves import MOVES, Move, everybody_enlists
from protocol.testing.oracles import Violation
from protocol.testing.scenario import EPOCHS, FEES, PENALTIES, REWARDS, TREASURY, Scenario
from protocol.testing.world import World

T = TypeVar("T")


class Dice:
    """A small generator of numbers: the same ones from the same seed, everywhere and for ever.

    A linear congruence modulo 2^64 (Knuth's MMIX constants), of which the upper half is used.
    """

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound - 1``."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self._state >> 32) % bound

    def pick(self, choices: tuple[T, ...]) -> T:
        """One of ``choices``."""
        return choices[self.below(len(choices))]


def tell(
    scenario: Scenario, seed: int, moves: int = 60, table: Mapping[str, Move] = MOVES
) -> World:
    """A story of so many moves, its replay and its relay.

    :raises Violation: with the seed and the story.
    """
    dice, world, story = Dice(seed), World(scenario), [f"seed {seed} of {scenario}"]
    names = tuple(name for name, move in table.items() for _ in range(move.weight))
    try:
        everybody_enlists(world)
        for _ in range(moves):
            name = dice.pick(names)
            arguments = {key: dice.pick(values) for key, values in table[name].arguments.items()}
            story.append(line(name, arguments))
            table[name].play(world, **arguments)
        world.step()
        world.replay()
        world.relay()
    except Exception as failure:
        raise Violation("\n".join([str(failure), *story])) from failure
    return world


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

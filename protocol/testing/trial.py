"""A rule on trial: stories that hypothesis seeks and shrinks, and stories by the number.

Both count how often each property was looked at, and end with the first story that breaks one, as
short as it could be made. Equal arguments give equal outcomes. Stories are shortened by
:func:`~protocol.testing.volume.shortened` in both, which knows what a move is and so takes seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hypothesis import HealthCheck, Phase, seed as seeded, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from protocol.testing.dice import Dice
from protocol.testing.oracles import said
from protocol.testing.stateful import RuleMachine
from protocol.testing.volume import any_scenario, carry_on, drawn, shortened
from protocol.testing.world import World

STEPS: Final = 40
"""Moves of a story that hypothesis seeks, at most."""

MOVES_OF_VOLUME: Final = 60
"""Moves of a story by the number."""

REPEATABLE: Final = "The same story ends in the same way every time."
"""A property of whatever has no hidden state; hypothesis tells each story that fails twice."""


@dataclass(frozen=True, slots=True)
class Find:
    """A story that breaks a property.

    :ivar broken: the property, in a sentence.
    :ivar why: what was seen.
    :ivar world: the world after the shortest such story.
    """

    broken: str
    why: str
    world: World


@dataclass(slots=True)
class Trial:
    """How a trial went.

    :ivar stories: how many were told before one broke a property.
    :ivar blocks: how many blocks they had.
    :ivar judged: how often each property was looked at in them.
    """

    stories: int = 0
    blocks: int = 0
    judged: Counter[str] = field(default_factory=Counter)
    find: Find | None = None

    def count(self, world: World) -> None:
        """A story held."""
        self.stories += 1
        self.blocks += len(world.log)
        self.judged.update(world.judged)


def seek(
    kind: type[RuleMachine], examples: int, seed: int, tell: Callable[[], None] = lambda: None
) -> Trial:
    """Have hypothesis look for a story that breaks a property; shorten it.

    :param tell: called after every story.
    """
    trial, last = Trial(), World(kind.like())
    is_searching = True

    class Watched(kind):  # type: ignore[valid-type,misc]  # a class that is a value
        def teardown(self) -> None:
            nonlocal last, is_searching
            last = self.world
            try:
                super().teardown()
            finally:
                is_searching = is_searching and last.is_sound
                if is_searching:
                    trial.count(last)
                tell()

    limits = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        deadline=None,
        phases=(Phase.generate,),
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seeded(seed)(Watched), settings=settings(limits, database=None))
    except Flaky as failure:
        trial.find = Find(REPEATABLE, said(failure), last)
    except Exception as failure:  # noqa: BLE001 -- whatever a rule on trial raises is a find
        trial.find = _shortest(last, failure, kind)
    return trial


def try_many(
    kind: type[RuleMachine], stories: int, seed: int, tell: Callable[[], None] = lambda: None
) -> Trial:
    """Tell so many stories, each of a network of its own, until one breaks a property; shorten it.

    :param tell: called after every story.
    """
    trial, table = Trial(), kind.moves
    for number in range(stories):
        dice = Dice(seed * 1_000_003 + number)
        scenario = any_scenario(dice, kind.like())
        world = World(scenario, kind.oracles)
        try:
            carry_on(world, drawn(dice, MOVES_OF_VOLUME, table), table)
        except Exception as failure:  # noqa: BLE001 -- whatever a rule on trial raises is a find
            trial.find = _shortest(world, failure, kind)
            break
        trial.count(world)
        tell()
    return trial


def _shortest(broken: World, failure: Exception, kind: type[RuleMachine]) -> Find:
    """The find of a story that broke a property, after all that can go went."""
    world, why = shortened(broken, failure, kind.moves, kind.oracles)
    return Find(world.judging, said(why), world)

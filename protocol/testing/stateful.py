"""The machine that hypothesis drives: a rule plugs in, and all moves and judges come with it.

::

    class MyRuleMachine(RuleMachine):
        proving = MyRule
        proving_parameters = MyParameters(window_ticks=Tick(5))

    TestMyRule = MyRuleMachine.TestCase

Hypothesis looks for a story that breaks a property, shrinks it, and prints the moves that are left,
ready to be pasted into a test. What is judged stands in :mod:`protocol.testing.oracles`; a rule's
own ``invariants()`` are judged after every block as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from protocol.proving.bonded import Bonded
from protocol.proving.elected import Elected
from protocol.sequencing.fernet import Fernet
from protocol.testing.moves import MOVES, Move, everybody_enlists, make
from protocol.testing.oracles import Oracle
from protocol.testing.scenario import (
    QUICK_BONDED,
    QUICK_ELECTED,
    QUICK_FERNET,
    Scenario,
)
from protocol.testing.strategies import scenarios
from protocol.testing.world import World

_QUICK: Mapping[type[Any], Any] = {
    Fernet: QUICK_FERNET,
    Elected: QUICK_ELECTED,
    Bonded: QUICK_BONDED,
}


def _rule_of(name: str, move: Move) -> Callable[..., None]:
    """A hypothesis rule that makes the move."""

    def play(self: RuleMachine, **arguments: Any) -> None:
        make(self.world, name, move, arguments)

    play.__name__ = move.play.__name__
    play.__doc__ = move.play.__doc__
    drawn = {one: st.sampled_from(values) for one, values in move.arguments.items()}
    register: Any = rule
    made: Callable[..., None] = register(**drawn)(play)
    return made


class RuleMachine(RuleBasedStateMachine):
    """Base of all property tests of rules; subclasses say what differs.

    :cvar sequencing: the sequencing rule's class.
    :cvar sequencing_parameters: its parameters; None takes quick ones where the kit has some, else
        the defaults of the rule.
    :cvar proving: the proving rule's class.
    :cvar proving_parameters: the same for it.
    :cvar oracles: further judges beside those that fit the rules.
    :cvar moves: what may happen; replace it where a rule takes operations of its own.
    """

    sequencing: ClassVar[type[Any]] = Fernet
    sequencing_parameters: ClassVar[Any] = None
    proving: ClassVar[type[Any]] = Elected
    proving_parameters: ClassVar[Any] = None
    oracles: ClassVar[tuple[type[Oracle], ...]] = ()
    moves: ClassVar[Mapping[str, Move]] = MOVES

    def __init_subclass__(cls, **rest: Any) -> None:
        """Make a hypothesis rule of every move."""
        super().__init_subclass__(**rest)
        for name, move in cls.moves.items():
            setattr(cls, name, _rule_of(name, move))

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.like())

    @classmethod
    def like(cls) -> Scenario:
        """The scenario that stakes, fee and penalty are drawn into."""
        return Scenario(
            sequencing=cls.sequencing,
            sequencing_parameters=_parameters(cls.sequencing, cls.sequencing_parameters),
            proving=cls.proving,
            proving_parameters=_parameters(cls.proving, cls.proving_parameters),
        )

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """A network whose provers all want to be elected."""
        self.world = World(data.draw(scenarios(self.like()), label="network"), self.oracles)
        everybody_enlists(self.world)

    def teardown(self) -> None:
        """The same log once more, in a fresh machine and in a relay, unless the story broke a
        property.
        """
        if self.world.is_sound:
            self.world.finish()


def _parameters(of: type[Any], given: Any) -> Any:
    if given is not None:
        return given
    quick = [parameters for known, parameters in _QUICK.items() if issubclass(of, known)]
    return quick[0] if quick else of.parameters_type()

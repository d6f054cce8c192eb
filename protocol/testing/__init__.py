"""Property tests for the protocol and for anybody's rule.

Five lines put a rule through everything that is claimed of ours::

    from protocol.testing import RuleMachine

    class MyRuleMachine(RuleMachine):
        proving = MyRule

    TestMyRule = MyRuleMachine.TestCase

- :class:`RuleMachine` is a hypothesis state machine: it finds a short story that breaks a property.
- :func:`tell` tells long stories from a seed, for volume.
- :class:`World` is what both of them play on, and what a unit test drives by hand.
- :mod:`~protocol.testing.moves` says what may happen, :mod:`~protocol.testing.oracles` what must
  hold whatever happens, :mod:`~protocol.testing.strategies` draws the pieces one by one.
"""

from protocol.testing.board import Board, JobView, NodeView
from protocol.testing.cast import Actor, actor
from protocol.testing.moves import MOVES, Move
from protocol.testing.oracles import GENERAL, Oracle, Page, Violation, found, must
from protocol.testing.scenario import QUICK_ELECTED, QUICK_FERNET, Scenario
from protocol.testing.stateful import RuleMachine
from protocol.testing.volume import Dice, any_scenario, tell
from protocol.testing.world import World

__all__ = [
    "GENERAL",
    "MOVES",
    "QUICK_ELECTED",
    "QUICK_FERNET",
    "Actor",
    "Board",
    "Dice",
    "JobView",
    "Move",
    "NodeView",
    "Oracle",
    "Page",
    "RuleMachine",
    "Scenario",
    "Violation",
    "World",
    "actor",
    "any_scenario",
    "found",
    "must",
    "tell",
]

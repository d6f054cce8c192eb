"""Property tests for the protocol and for anybody's rule.

Five lines put a rule through everything that is claimed of ours::

    from protocol.testing import RuleMachine

    class MyRuleMachine(RuleMachine):
        proving = MyRule

    TestMyRule = MyRuleMachine.TestCase

Stories. :class:`RuleMachine` is a hypothesis state machine: it finds a short story that breaks a
property. :func:`tell` tells long stories from a seed, for volume. Both are played on a
:class:`World`, which a unit test drives by hand; a :class:`Scenario` is the network that a world
begins with, and :data:`MOVES` is what may happen in it.

Judges. An :class:`Oracle` keeps its own books and raises :class:`Violation`; :data:`GENERAL` are
those that hold under every rule. A rule's own ``invariants()`` are judged after every block, too.

Promises. :func:`verdicts` tests what a proving rule is taken to promise of its assignments
(:class:`~protocol.rules.Promise`): that work shares follow stake, that splitting an identity gains
nothing, that merges stay in the family, that anybody can recompute them. The tests are exact and
have a fixed seed. A rule names what it does not promise in ``disclaims``.

Trials. :func:`grounds_of` names the networks to try a rule on, :func:`seek` has hypothesis look for
a find on one of them and :func:`try_many` tells stories by the number; ``provnet proptest`` is made
of these. :func:`shortened` is how both make a find short.

Pieces. :func:`actors`, :func:`cards`, :func:`pools`, :func:`leaf_counts`, :func:`tree_indices`,
:func:`contents`, :func:`records`, :func:`operations`, :func:`scenarios` and :func:`turns` (an
adversarial schedule: moves to be made in order) are strategies for tests of one's own.
"""

from protocol.rules import Promise
from protocol.testing.board import Board, JobView, NodeView
from protocol.testing.cast import Actor, actor
from protocol.testing.dice import Dice
from protocol.testing.grounds import grounds_of, machine_on
from protocol.testing.moves import MOVES, Move, make
from protocol.testing.oracles import GENERAL, Oracle, Page, Violation, found, must
from protocol.testing.promises import Verdict, verdicts
from protocol.testing.scenario import QUICK_BONDED, QUICK_ELECTED, QUICK_FERNET, Scenario
from protocol.testing.stateful import RuleMachine
from protocol.testing.strategies import (
    accounts,
    actors,
    beacons,
    cards,
    contents,
    genesis,
    leaf_counts,
    operations,
    pools,
    records,
    scenarios,
    tree_indices,
    turns,
)
from protocol.testing.trial import Find, Trial, seek, try_many
from protocol.testing.volume import any_scenario, carry_on, shortened, tell
from protocol.testing.world import Turn, World

__all__ = [
    "GENERAL",
    "MOVES",
    "QUICK_BONDED",
    "QUICK_ELECTED",
    "QUICK_FERNET",
    "Actor",
    "Board",
    "Dice",
    "Find",
    "JobView",
    "Move",
    "NodeView",
    "Oracle",
    "Page",
    "Promise",
    "RuleMachine",
    "Scenario",
    "Trial",
    "Turn",
    "Verdict",
    "Violation",
    "World",
    "accounts",
    "actor",
    "actors",
    "any_scenario",
    "beacons",
    "cards",
    "carry_on",
    "contents",
    "found",
    "genesis",
    "grounds_of",
    "leaf_counts",
    "machine_on",
    "make",
    "must",
    "operations",
    "pools",
    "records",
    "scenarios",
    "seek",
    "shortened",
    "tell",
    "tree_indices",
    "try_many",
    "turns",
    "verdicts",
]

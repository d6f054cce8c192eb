"""Networks to try a rule on: each a :class:`~protocol.testing.stateful.RuleMachine` with a title.

A rule of this project is tried with every set of parameters that brings something new, and with
every kind of move. A rule of somebody else is tried with its own default parameters; one that is
derived from ours, and is set like it, is tried wherever ours is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from protocol.proving.bonded import Bonded
from protocol.proving.elected import Elected
from protocol.sequencing.fernet import Fernet
from protocol.testing.moves import MOVES, Move
from protocol.testing.moves_bonded import BONDED_MOVES
from protocol.testing.moves_staking import STAKING, STAKING_MOVES
from protocol.testing.scenario import (
    BONDED,
    JUDGED_ELECTED,
    OWNED_ELECTED,
    SHARED_ELECTED,
    Scenario,
)
from protocol.testing.stateful import RuleMachine

Ground = tuple[Scenario, Mapping[str, Move]]
BONDED_STAKING_MOVES: Final[Mapping[str, Move]] = {**BONDED_MOVES, **STAKING}
"""All that can be done where provers are chosen and stake changes."""

OF_ELECTED: Final[Mapping[str, Ground]] = {
    "one prover for a tree node": (Scenario(), MOVES),
    "two provers for a tree node": (Scenario(proving_parameters=SHARED_ELECTED), MOVES),
    "slashes by a vote": (Scenario(proving_parameters=JUDGED_ELECTED), MOVES),
    "merge owners include": (Scenario(proving_parameters=OWNED_ELECTED), MOVES),
    "changing stake": (Scenario(), STAKING_MOVES),
}
OF_BONDED: Final[Mapping[str, Ground]] = {
    "bids and awards": (BONDED, BONDED_MOVES),
    "changing stake": (BONDED, BONDED_STAKING_MOVES),
}
OF_FERNET: Final[Mapping[str, Ground]] = {
    "with elected provers": (Scenario(), MOVES),
    "with bonded provers": (BONDED, BONDED_MOVES),
}

KNOWN: Final[Mapping[str, Mapping[type[Any], Mapping[str, Ground]]]] = {
    "sequencing": {Fernet: OF_FERNET},
    "proving": {Elected: OF_ELECTED, Bonded: OF_BONDED},
}
"""Networks of our own rules, by part and rule."""


def grounds_of(part: str, rule: type[Any]) -> dict[str, type[RuleMachine]]:
    """All networks to try a rule on, by title.

    :param part: ``sequencing`` or ``proving``.
    """
    for ours, grounds in KNOWN[part].items():
        if issubclass(rule, ours) and rule.parameters_type is ours.parameters_type:
            return {
                title: machine_on(_with(like, {part: rule}), moves)
                for title, (like, moves) in grounds.items()
            }
    given = {part: rule, f"{part}_parameters": rule.parameters_type()}
    return {"its own parameters": machine_on(_with(Scenario(), given), MOVES)}


def _with(like: Scenario, given: Mapping[str, Any]) -> Scenario:
    """The scenario with a rule of another name."""
    return replace(like, **given)


def machine_on(like: Scenario, moves: Mapping[str, Move]) -> type[RuleMachine]:
    """A machine whose stories are of such a network and such moves."""
    body = {
        "sequencing": like.sequencing,
        "sequencing_parameters": like.sequencing_parameters,
        "proving": like.proving,
        "proving_parameters": like.proving_parameters,
        "moves": moves,
        "like": staticmethod(lambda: like),
    }
    return type(f"{like.proving.__name__}Machine", (RuleMachine,), body)

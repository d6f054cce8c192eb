"""Nothing that the machine and its rules can say goes untested: marks collected by the kit.

A reason is reached by stories, or it stands in :data:`ELSEWHERE` with the layer that tests it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

import protocol
from protocol.errors import Reason
from protocol.events import Event, Skip
from protocol.ledger import Cause
from protocol.messages import Payload
from protocol.testing import MOVES, Dice, Move, Scenario, any_scenario, tell
from protocol.testing.moves_bonded import BONDED_MOVES
from protocol.testing.moves_staking import STAKING_MOVES
from protocol.testing.scenario import BONDED, ELECTED_VARIANTS
from tests.properties.toys import TOY_MOVES, TOYS

STORIES = 120
HOUSE = Path(protocol.__file__).parent
JUDGED = (
    HOUSE / "machine.py",
    HOUSE / "bids.py",
    HOUSE / "staking.py",
    *HOUSE.glob("sequencing/*.py"),
    *HOUSE.glob("proving/*.py"),
)

AT_START = {
    "CONTRADICTORY_GENESIS": "tests/protocol/test_elected.py, test_fernet.py, test_registry.py",
    "WRONG_STATE": "tests/protocol/test_machine.py",
}
"""Reasons that the machine and its rules give before there is a log."""

UNDER_OTHER_RULES = {"UNHANDLED_KIND"}
"""Reasons that our own pair of rules never gives: they handle every kind. The toys do not."""

ELSEWHERE = {
    "tests/protocol/test_codec.py": {
        "TOO_LARGE", "NOT_CANONICAL", "WRONG_SHAPE", "UNKNOWN_KIND",
    },
    "tests/protocol/test_params.py": {"MALFORMED_GENESIS", "CONTRADICTORY_GENESIS"},
    "tests/protocol/test_registry.py": {"UNKNOWN_RULE"},
    "tests/protocol/test_streamlet_*.py and the replica's": {
        "WRONG_NETWORK", "NOT_A_VALIDATOR", "FUTURE_SLOT", "PAST_SLOT", "WRONG_SLOT",
        "WRONG_HEIGHT", "WRONG_OPERATIONS", "BAD_CERTIFICATE", "OFF_FINAL_CHAIN",
        "BODY_MISSING", "INVALID_PROOF", "TOO_MANY_BODIES", "TOO_MANY_PENDING", "WRONG_STATE",
        "PAST_EPOCH", "LATER_EPOCH", "WRONG_SUCCESSORS", "BEYOND_BORDER",
    },
    "tests/p2p/test_judges.py": {"TOO_MANY_BIDS"},
    "tests/properties/test_relay.py": {"UNTYPED_STATE"},
    "tests/protocol/test_handover.py": {"UNTRUSTED_SET", "UNPROVEN_STATE", "WRONG_ACCOUNTS"},
    "tests/protocol/test_light.py": {"BROKEN_CHAIN", "WRONG_PROVER_COUNT", "UNKNOWN_SET"},
    "tests/sequencer and tests/prover": {
        "FEE_TOO_HIGH", "STALE_NONCE", "NONCE_TOO_FAR", "CANNOT_PAY", "FEE_BUMP_TOO_LOW",
        "POOL_FULL", "WRONG_STATE_BEFORE", "WRONG_BODY", "BODY_LEAF_COUNT", "LEAF_TOO_FULL",
        "NOT_EXECUTABLE", "WRONG_TRANSFER_DIGEST", "WRONG_FEES", "WRONG_STATE_AFTER",
    },
}  # fmt: skip
"""Reasons of other layers, by the tests that reach them."""


NETWORKS: dict[str, tuple[Scenario, Mapping[str, Move]]] = {
    "plain": (Scenario(), MOVES),
    "bonded": (BONDED, BONDED_MOVES),
    "staking": (Scenario(), STAKING_MOVES),
    **{
        name: (like, MOVES)
        for name, like in zip(("shared", "judged", "owned"), ELECTED_VARIANTS, strict=True)
    },
}

KNOWN: tuple[tuple[str, int], ...] = (
    ("staking", 25),
    ("bonded", 14),
    ("judged", 25),
    ("staking", 15),
    ("bonded", 30),
    ("owned", 9),
    ("shared", 39),
    ("bonded", 41),
    ("bonded", 25),
    ("bonded", 9),
    ("staking", 13),
    ("shared", 33),
    ("bonded", 22),
    ("bonded", 28),
)
"""Stories that are known to reach something rare, told first."""


@pytest.fixture(scope="module")
def marks() -> set[str]:
    """Everything reached by stories under our rules and under the toys."""
    found: set[str] = set()
    for seed in range(5):
        found |= tell(any_scenario(Dice(seed), TOYS), seed, 80, TOY_MOVES).marks
    for name, seed in (*KNOWN, *((name, seed) for seed in range(STORIES) for name in NETWORKS)):
        if due() <= found:
            break
        like, moves = NETWORKS[name]
        found |= tell(any_scenario(Dice(seed), like), seed, 80, moves).marks
    return found


@cache
def due() -> set[str]:
    """Every mark that must be reached under our own rules."""
    kinds = {f"accepted {kind.__name__}" for kind in get_args(Payload)}
    events = {f"event {kind.__name__}" for kind in get_args(Event)}
    causes = {f"moved {cause.name}" for cause in Cause}
    given = set().union(*map(reasons_given, JUDGED)) - {*AT_START, *UNDER_OTHER_RULES}
    skips = {f"skipped {why.name}" for why in Skip}
    return kinds | events | causes | skips | {f"refused {reason}" for reason in given}


def reasons_given(path: Path) -> set[str]:
    """Names of the reasons that a source file mentions."""
    return {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Reason"
    }


def test_every_kind_event_cause_and_reason_is_reached(marks):
    assert due() - marks == set()


def test_what_our_rules_never_say_other_rules_do(marks):
    assert {f"refused {reason}" for reason in UNDER_OTHER_RULES} <= marks


def test_every_other_reason_has_a_layer_that_tests_it():
    ours = set().union(*map(reasons_given, JUDGED))
    elsewhere = set().union(*ELSEWHERE.values())
    assert {reason.name for reason in Reason} - ours - elsewhere == set()
    assert elsewhere <= {reason.name for reason in Reason}

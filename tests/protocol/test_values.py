"""Everything that is said, heard or decided is a value: frozen, with equality by content."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest

from protocol.agents import Action, AgentEvent, KnownProof, ProofKey, backup_note
from protocol.events import Event
from protocol.happenings import Effect, Happening
from protocol.messages import Payload
from protocol.ordering.outputs import Output
from protocol.rules import Moment, SequencingDuty
from protocol.types import Round

UNIONS = (Action, AgentEvent, Effect, Event, Happening, Output, Payload, SequencingDuty)
KINDS = sorted(
    {kind for union in UNIONS for kind in typing.get_args(union)} | {KnownProof, Moment, ProofKey},
    key=lambda kind: kind.__qualname__,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_it_cannot_be_changed_and_has_no_room_for_more(kind: Any) -> None:
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    assert kind.__dataclass_params__.eq
    assert "__slots__" in vars(kind)


def test_every_round_has_a_note_of_its_own() -> None:
    rounds = [Round(0), Round(1), Round(11)]
    assert len({backup_note(one) for one in rounds}) == len(rounds)

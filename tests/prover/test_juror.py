"""What a validator says about slashes; the network around it is a table of facts."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.agents import SlotBegan, Submit
from protocol.happenings import BlockFinal
from protocol.messages import Inclusion, SlashVote
from protocol.rules import Ballot
from protocol.types import Slot
from prover.juror import JurorAgent
from tests.prover.test_agent import CLAIMS, JOB, LEAF, ME, NEXT, OTHER, Facts

FINAL = BlockFinal.__new__(BlockFinal)


def decide(facts: Facts, event: Any = FINAL) -> list[Any]:
    return list(JurorAgent().decide(facts, event))


@pytest.mark.parametrize(
    ("shown", "is_guilty"), [((), True), ((LEAF,), True), ((LEAF, NEXT), False)]
)
def test_guilty_is_who_did_not_show_all_that_it_missed(shown: tuple[Any, ...], is_guilty: bool):
    facts = Facts([], errands=(Ballot(JOB, OTHER, (LEAF, NEXT)),))
    facts.prove(LEAF, ME, CLAIMS[LEAF])
    for place in shown:
        facts.prove(place, OTHER, CLAIMS[place])
    assert decide(facts) == [Submit(SlashVote(JOB, OTHER, is_guilty))]


def test_it_votes_once_after_a_block_and_includes_nothing() -> None:
    offer = Inclusion(JOB, LEAF, OTHER, CLAIMS[LEAF])
    facts = Facts([], errands=(offer, Ballot(JOB, OTHER, (LEAF,))))
    assert decide(facts, SlotBegan(Slot(1))) == []
    assert decide(Facts([], errands=(offer,))) == []
    facts.pending = (SlashVote(JOB, OTHER, False), offer)
    assert decide(facts) == []
    facts.pending = (SlashVote(JOB, ME, False),)
    assert len(decide(facts)) == 1


def test_who_has_no_log_stake_does_not_vote() -> None:
    ballot = (Ballot(JOB, OTHER, (LEAF,)),)
    assert decide(Facts([], errands=ballot, stake=0)) == []
    assert len(decide(Facts([], errands=ballot, stake=1))) == 1

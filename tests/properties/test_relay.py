"""A saved state is whole: what is left out of one is found out, whatever it is."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, replace

import pytest

from protocol.errors import Reason, Refused
from protocol.machine import Common
from protocol.proving.bonded import Bonded, BondedState, Surge
from protocol.proving.elected import ElectedState
from protocol.sequencing.fernet import State as FernetState
from protocol.testing import MOVES, Scenario, Violation, World, actor, tell
from protocol.testing.moves_bonded import BONDED_MOVES
from protocol.testing.moves_staking import STAKING_MOVES
from protocol.testing.scenario import BONDED, JUDGED_ELECTED
from protocol.types import Count, JobId, Slot, Tick, TreeIndex
from tests.properties.toys import TOY_MOVES, TOYS

STORIES = 200
STAKES = ("staking", "sets")
"""Parts that stories of stake change."""


@dataclass(frozen=True)
class Forgetful(Scenario):
    """Machines that leave one part out of what they save: it is written as it was at first.

    :ivar owner: the attribute of the machine whose state it is; empty for the machine's own.
    """

    owner: str = ""
    part: int | str = 0

    def machine(self):
        machine, first = super().machine(), super().machine()
        call = "snapshot" if self.owner else "_common"
        whole, fresh = (getattr(one, self.owner) if self.owner else one for one in (machine, first))
        tell_all, at_first = getattr(whole, call), getattr(fresh, call)()
        setattr(whole, call, lambda: without(tell_all(), self.part, copy.deepcopy(at_first)))
        return machine


def without(state, part, at_first):
    if isinstance(state, tuple):
        return tuple(at_first[at] if at == part else one for at, one in enumerate(state))
    return replace(state, **{part: getattr(at_first, part)})


def names(kind):
    return [one.name for one in dataclasses.fields(kind)]


SHORT = Scenario(epoch_ticks=8)
JUDGED = Scenario(proving_parameters=JUDGED_ELECTED)
RARE = ("punished", "forgeries")
"""Parts that matter in few stories; they are asked for by name below, as the surcharge is."""

OMISSIONS = (
    *((SHORT, MOVES, "", name) for name in names(Common) if name not in (*RARE, *STAKES)),
    *((SHORT, STAKING_MOVES, "", name) for name in STAKES),
    *((SHORT, MOVES, "sequencing", name) for name in names(FernetState)),
    *((JUDGED, MOVES, "proving", at) for at in range(len(ElectedState.__args__))),
    *((BONDED, BONDED_MOVES, "proving", at) for at in range(len(BondedState.__args__) - 1)),
    *((TOYS, TOY_MOVES, "sequencing", at) for at in range(2)),
)


def name_of(omission):
    like, _, owner, part = omission
    return f"{getattr(like, owner).name if owner else 'machine'} {part}"


@pytest.mark.parametrize("omission", OMISSIONS, ids=name_of)
def test_what_is_left_out_of_a_saved_state_is_found(omission):
    like, moves, owner, part = omission
    fields = {one.name: getattr(like, one.name) for one in dataclasses.fields(Scenario)}
    scenario = Forgetful(**fields, owner=owner, part=part)
    with pytest.raises(Violation):
        for seed in range(STORIES):
            tell(scenario, seed, 80, moves)


@pytest.mark.parametrize("seed", range(10))
def test_rules_of_somebody_else_are_handed_on_whole(seed):
    tell(TOYS, seed, 60, TOY_MOVES)


def test_faults_and_the_surcharge_are_handed_on():
    world = World(BONDED)
    world.wait(BONDED.epoch_ticks)
    first, second = world.machine, BONDED.machine()
    job, place = JobId(bytes(32)), TreeIndex(Count(1), Count(0))
    first._punished[actor("s0").account, Slot(5)] = None
    first._forgeries[actor("p1").account, job, place] = None
    first.proving._surge = Surge(70_000, Tick(3))
    second.restore(first.save())
    assert second._punished == first._punished
    assert second._forgeries == first._forgeries
    assert second.proving._surge == first.proving._surge


class Untyped(Bonded):
    def snapshot(self):
        return super().snapshot()


class Loose(Bonded):
    def snapshot(self) -> object:
        return super().snapshot()


class Unnamed(Bonded):
    def snapshot(self) -> Nowhere:  # noqa: F821 -- not there, which is the point
        return super().snapshot()


@pytest.mark.parametrize("rule", [Untyped, Loose, Unnamed])
def test_a_rule_that_does_not_say_what_its_state_is_runs_on_no_machine(rule):
    with pytest.raises(Refused) as refusal:
        replace(BONDED, proving=rule).machine()
    assert refusal.value.reason is Reason.UNTYPED_STATE
    assert rule.__name__ in refusal.value.detail

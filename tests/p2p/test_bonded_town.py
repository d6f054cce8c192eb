"""Bids, awards and bonds among whole nodes, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from protocol.events import (
    Assigned,
    Awarded,
    BlockSealed,
    JobOpened,
    JobSettled,
    JobVoided,
    ProofRecorded,
    RightMissed,
)
from protocol.ledger import Cause, Moved
from scripts.launcher.plan import Wish
from tests.p2p.town import Town, live

COSTS = {"prover-1": 5, "prover-2": 3, "prover-3": 4, "prover-4": 9}
"""What a compute unit costs each prover."""

WORK = 7 * 33
"""Compute units of a block of four leaves."""


def town_of(tmp_path: Path, **rest: Any) -> Town:
    """A town whose provers have costs of their own."""
    town = Town(tmp_path, Wish(leaves=4, backend="modelled", proving="bonded", **rest))
    for name, cost in COSTS.items():
        resident = town[name]
        prover = resident.member.configuration.prover
        assert prover is not None
        configuration = replace(
            resident.member.configuration, prover=replace(prover, cost_per_work=cost)
        )
        resident.member = replace(resident.member, configuration=configuration)
    return town


def moved(town: Town, cause: Cause) -> list[tuple[bytes, int]]:
    """Receiver and amount of each move of a cause."""
    events = town["validator-1"].events(Moved)
    return [(one.target.owner, one.amount) for one in events if one.cause is cause]


def test_the_cheapest_prover_proves_the_block_and_gets_its_price(tmp_path: Path) -> None:
    town = town_of(tmp_path, blocks=2)

    async def story(nursery: trio.Nursery) -> None:
        await town.until(lambda: all(town.settled(name) == 2 for name in town.residents))

    live(town, story)
    town.assert_agreement()
    witness, cheapest = town["validator-1"], town["prover-2"].account
    awards = witness.events(Awarded)
    assert {(one.prover, one.price) for one in awards} == {(cheapest, -(-3 * WORK * 12 // 10))}
    assert {one.prover for one in witness.events(Assigned)} == {cheapest}
    assert {one.prover for one in witness.events(ProofRecorded)} == {cheapest}
    assert moved(town, Cause.AWARD_PAY) == [(cheapest, one.price) for one in awards]
    assert moved(town, Cause.AWARD_BOND_RETURNED) == [(cheapest, one.bond) for one in awards]
    fees = [one.header.fees for one in witness.events(JobOpened)]
    assert [amount for _, amount in moved(town, Cause.SEQUENCER_SHARE)] == fees
    assert not moved(town, Cause.PROVER_PAY)


def test_a_prover_that_dies_loses_its_bond_and_the_next_block_goes_to_another(
    tmp_path: Path,
) -> None:
    town = town_of(tmp_path, blocks=1)
    witness = town["validator-1"]

    async def story(nursery: trio.Nursery) -> None:
        await town.until(lambda: bool(witness.events(Awarded)))
        town["prover-2"].stop()
        living = [name for name in town.residents if name != "prover-2"]
        await town.until(lambda: all(town.settled(name) for name in living))

    live(town, story)
    town.assert_agreement()
    first, *later = witness.events(Awarded)
    (miss,) = witness.events(RightMissed)
    assert (first.prover, miss.holder) == (town["prover-2"].account,) * 2
    assert [one.because for one in witness.events(JobVoided)] == [miss.job]
    assert moved(town, Cause.AWARD_BOND_LOST) == [(b"", first.bond)]
    assert moved(town, Cause.AWARD_PRICE_RETURNED) == [(first.sequencer, first.price)]
    assert len(witness.events(JobSettled)) == 1
    assert moved(town, Cause.AWARD_PAY) == [(town["prover-3"].account, later[-1].price)]


def test_a_prover_is_found_before_the_block_is_shown_to_anybody(tmp_path: Path) -> None:
    """Fernet with prover commitment, which a rule of elected provers meets by itself."""
    sets = ("sequencing.prover_commit_ticks=10", "sequencing.max_unproven_jobs=1")
    town = town_of(tmp_path, blocks=1, sets=sets)

    async def story(nursery: trio.Nursery) -> None:
        await town.until(lambda: all(town.settled(name) for name in town.residents))

    live(town, story)
    town.assert_agreement()
    told = [event for kind in (Awarded, BlockSealed) for event in told_at(town, kind)]
    (awarded_at, award), (sealed_at, _) = told
    assert awarded_at < sealed_at
    assert award.price == -(-3 * WORK * 12 // 10)
    assert moved(town, Cause.AWARD_PAY) == [(town["prover-2"].account, award.price)]


def told_at(town: Town, kind: type[Any]) -> list[tuple[int, Any]]:
    """Height and event of each event of one kind."""
    finals = sorted(town["validator-1"].finals.items())
    return [
        (tick, event)
        for tick, final in finals
        for event in final.applied.events
        if isinstance(event, kind)
    ]

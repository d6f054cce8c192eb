"""What elected provers do beyond the thread's rule, among whole nodes, in virtual time."""

from __future__ import annotations

from pathlib import Path

import trio

from p2p.observing import ProofStarted
from protocol.events import (
    Acquittal,
    Assigned,
    JobSettled,
    ProofOffered,
    ProofRecorded,
    ProverAcquitted,
    ProverSlashed,
    RightMissed,
    SlashPending,
    SlashVoted,
    UncleClaimed,
)
from protocol.ledger import Cause, Moved
from scripts.launcher.plan import Wish
from tests.p2p.town import Town, live


def town_of(tmp_path: Path, *sets: str) -> Town:
    settings = tuple(f"proving.{one}" for one in sets)
    return Town(tmp_path, Wish(4, 4, 4, 1, 1_000, "modelled", sets=settings))


def moved(town: Town, cause: Cause) -> list[Moved]:
    return [one for one in town["validator-1"].events(Moved) if one.cause is cause]


def test_two_provers_of_each_tree_node_are_paid_and_what_was_proven_twice_is_an_uncle(
    tmp_path: Path,
) -> None:
    town = town_of(
        tmp_path,
        "provers_per_node=2",
        "uncle_bps=9000",
        "uncle_reserve_bps=3000",
        "uncle_ticks=20",
    )

    async def story(nursery: trio.Nursery) -> None:
        await town.until(lambda: bool(moved(town, Cause.UNCLE_PAY)))
        height = town["validator-1"].height
        await town.until(lambda: all(one.height >= height for one in town.residents.values()))

    live(town, story)
    town.assert_agreement()
    witness = town["validator-1"]
    owners: dict[object, set[bytes | None]] = {}
    for one in witness.events(Assigned):
        owners.setdefault(one.index, set()).add(one.prover)
    assert {len(provers) for provers in owners.values()} == {2}
    claims = {(one.index, one.prover) for one in witness.events(UncleClaimed)}
    recorded = {(one.index, one.prover) for one in witness.events(ProofRecorded)}
    assert claims
    assert not claims & recorded
    assert all(prover in owners[index] for index, prover in claims)
    paid = {(one.place, one.target.owner) for one in moved(town, Cause.UNCLE_PAY)}
    assert paid == claims
    assert not witness.events(RightMissed)


def test_where_merge_owners_decide_they_include_what_their_siblings_proved(tmp_path: Path) -> None:
    town = town_of(tmp_path, "inclusion=merge_owner")

    async def story(nursery: trio.Nursery) -> None:
        await town.until(lambda: all(town.settled(name) for name in town.residents))

    live(town, story)
    town.assert_agreement()
    witness = town["validator-1"]
    offers = {(one.index, one.prover) for one in witness.events(ProofOffered)}
    recorded = {(one.index, one.prover) for one in witness.events(ProofRecorded)}
    assert offers
    assert offers <= recorded
    assert not witness.events(RightMissed)
    assert len(witness.events(JobSettled)) == 1


def test_a_prover_that_dies_is_slashed_once_the_log_stake_has_voted(tmp_path: Path) -> None:
    town = town_of(tmp_path, "slash_bps=5000", "grace_ticks=6", "governance_ticks=12")
    victim: list[str] = []

    async def story(nursery: trio.Nursery) -> None:
        def at_work() -> list[str]:
            return [
                name
                for name, resident in town.residents.items()
                if any(isinstance(one, ProofStarted) for one in resident.told)
            ]

        await town.until(lambda: bool(at_work()))
        victim.append(at_work()[0])
        town[victim[0]].stop()
        await town.until(lambda: bool(town["validator-1"].events(ProverSlashed)))

    live(town, story)
    town.assert_agreement()
    witness, dead = town["validator-1"], town[victim[0]]
    assert {one.prover for one in witness.events(SlashPending)} == {dead.account}
    votes = witness.events(SlashVoted)
    assert {one.voter for one in votes} <= {town[f"validator-{at}"].account for at in range(1, 5)}
    assert len(votes) > 2
    assert all(one.is_guilty for one in votes)
    (burned,) = moved(town, Cause.JOB_FAILED)
    assert burned.source.owner == dead.account
    assert burned.amount == dead.member.prover_stake // 2


def test_a_prover_that_comes_back_in_the_grace_keeps_its_stake(tmp_path: Path) -> None:
    """It made its proof, and nobody heard of it while it was cut off."""
    town = town_of(tmp_path, "slash_bps=5000", "grace_ticks=30")
    witness = town["validator-1"]
    late = town["prover-1"]

    async def story(nursery: trio.Nursery) -> None:
        await town.until(lambda: any(isinstance(one, ProofStarted) for one in late.told))
        town.hub.partition([[late.account]])
        await town.until(lambda: bool(witness.events(JobSettled)))
        town.hub.heal()
        await town.until(lambda: bool(witness.events(ProverAcquitted)))

    live(town, story)
    town.assert_agreement()
    assert {one.prover for one in witness.events(SlashPending)} == {late.account}
    assert [one.why for one in witness.events(ProverAcquitted)] == [Acquittal.PROOFS_SHOWN]
    assert late.account in {one.prover for one in witness.events(UncleClaimed)}
    assert not moved(town, Cause.JOB_FAILED)

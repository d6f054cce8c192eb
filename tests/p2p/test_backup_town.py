"""What fails in a whole network, and what then happens: voids, bonds, candidates, backup."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import trio

from p2p.observing import ProofFinished
from protocol import tree
from protocol.agents import ProofKey
from protocol.events import (
    BackupOpened,
    BackupTaken,
    JobOpened,
    JobSettled,
    JobVoided,
    LeaderElected,
    ProofRecorded,
    RunnerUpElected,
)
from protocol.ledger import Cause, Moved
from protocol.params import format_genesis
from protocol.types import Count, TreeIndex
from scripts.configuration import ProverConfiguration
from scripts.export import export_run
from scripts.folder import GENESIS, SUMMARY
from scripts.launcher.plan import Wish
from scripts.money import add_up
from scripts.records import write_json
from scripts.verify import verify_run
from tests.p2p.town import Resident, Town, live
from tests.scripts.stories import records_of

QUICK = (
    "sequencing.deadline_ticks=1",
    "proving.leaf_window_ticks=6",
    "proving.merge_window_ticks=6",
    "proving.open_ticks=6",
)
"""Deadlines that pass within a minute when nobody proves."""


def wish(*sets: str, **more: int) -> Wish:
    wanted = {"validators": 4, "provers": 2, "leaves": 2, "blocks": 1} | more
    return Wish(slot_ms=1_000, backend="modelled", sets=sets, **wanted)


def make_backups(town: Town, name: str) -> None:
    """A sequencer proves blocks of its own where anybody may."""
    resident = town[name]
    configuration = replace(
        resident.member.configuration, prover=ProverConfiguration(), backup=True
    )
    resident.member = replace(resident.member, configuration=configuration)


def exported(town: Town, folder: Path, name: str) -> Path:
    """The run folder of a node's log, with a summary of the money as its events tell it."""
    run = folder / "run"
    run.mkdir()
    (run / GENESIS).write_text(format_genesis(town.genesis))
    export_run(run, folder / name)
    finals = [final for _, final in sorted(town[name].finals.items())]
    balances = add_up(town.genesis, (row for one in finals for row in records_of(one.applied)))
    assert balances.faults() == ()
    income = {balances.names[who]: earned for who, earned in balances.income().items()}
    write_json(run / SUMMARY, {"final_height": town[name].height, "income": income})
    return run


def moved(town: Town, cause: Cause) -> list[Moved]:
    return [one for one in town["validator-3"].events(Moved) if one.cause is cause]


def test_without_provers_a_sequencer_brings_a_whole_block_and_all_agree(tmp_path: Path) -> None:
    town = Town(
        tmp_path,
        wish(*QUICK, "sequencing.backup_ticks=40", "sequencing.block_bond=500000"),
    )
    make_backups(town, "validator-1")
    validators = [name for name in town.residents if name.startswith("validator")]

    async def story(nursery: trio.Nursery) -> None:
        witness = town["validator-3"]
        await town.until(lambda: bool(witness.events(JobOpened)))
        for name in town.residents:
            if name.startswith("prover"):
                town[name].stop()
        await town.until(lambda: all(town[one].events(BackupTaken) for one in validators))
        await trio.sleep(10)

    live(town, story)
    town.assert_agreement()
    witness = town["validator-3"]
    first, backup = witness.events(JobOpened)
    assert witness.events(JobVoided) == [JobVoided(first.job, first.job)]
    assert [one.amount for one in moved(town, Cause.BOND_LOST)] == [500_000]
    opened, taken = witness.events(BackupOpened)[0], witness.events(BackupTaken)[0]
    assert taken == BackupTaken(backup.job, town["validator-1"].account)
    assert backup.header.round == opened.round
    assert witness.events(JobSettled) == [JobSettled(backup.job)]
    pay = moved(town, Cause.BACKUP_PAY)
    assert [one.amount for one in pay] == [backup.header.fees] != [0]
    assert pay[0].target.owner == town["validator-1"].account
    report = verify_run(exported(town, tmp_path, "validator-3"), payments=True)
    assert report.failures == ()
    assert any("BACKUP_PAY" in line for line in report.lines), report.lines
    for name in validators:
        node = town[name].running
        state = node.state_after(backup.job)
        assert state is not None, "the next block can build on it"
        assert state.root == backup.header.to_root
        assert node.block(backup.job) is None, "a settled block is not kept"
        assert node.running() == ()


def knows_a_leaf(resident: Resident) -> bool:
    """Whether a proof of a leaf was verified; a merge is still being proven then."""
    leaves = [TreeIndex(0, Count(0)), TreeIndex(0, Count(1))]
    jobs = [one.job for one in resident.events(JobOpened)]
    return any(resident.running.proofs(job, leaf) for job in jobs for leaf in leaves)


def test_a_void_job_takes_its_descendants_along_and_its_bond_pays_what_was_recorded(
    tmp_path: Path,
) -> None:
    bond = 500_000
    town = Town(tmp_path, wish(*QUICK, f"sequencing.block_bond={bond}", blocks=2))
    provers = [name for name in town.residents if name.startswith("prover")]
    validators = [name for name in town.residents if name not in provers]

    async def story(nursery: trio.Nursery) -> None:
        witness = town["validator-3"]
        await town.until(lambda: all(knows_a_leaf(town[name]) for name in validators))
        for name in provers:
            town[name].stop()
        await town.until(lambda: len(witness.events(JobVoided)) == 2)
        for name in provers:
            nursery.start_soon(town[name].run)
        await town.until(lambda: town.settled("validator-3") == 2)

    live(town, story)
    town.assert_agreement()
    witness = town["validator-3"]
    first, second = witness.events(JobOpened)[:2]
    assert second.header.content.parent == first.job
    assert witness.events(JobVoided) == [
        JobVoided(second.job, first.job),
        JobVoided(first.job, first.job),
    ]
    again = witness.events(JobOpened)[2:]
    assert [one.job for one in witness.events(JobSettled)] == [one.job for one in again]
    fallen = sum(one.header.fees for one in (first, second))
    assert sum(one.header.fees for one in again) >= fallen, "what fell is carried again"
    recorded = {
        (one.job, one.index, one.prover)
        for one in witness.events(ProofRecorded)
        if one.job in (first.job, second.job)
    }
    paid = moved(town, Cause.VOID_PAY)
    assert {(one.job, one.place, one.target.owner) for one in paid} == recorded
    assert {one.source.owner for one in paid} == {first.job}
    lost = moved(town, Cause.BOND_LOST)
    assert sum(one.amount for one in (*paid, *lost)) == bond
    assert [(one.job, one.amount) for one in moved(town, Cause.BOND_RETURNED)] == [
        (job, bond) for job in (second.job, *(one.job for one in again))
    ]


def test_the_best_of_several_candidates_is_settled_and_the_other_falls(tmp_path: Path) -> None:
    town = Town(tmp_path, wish("sequencing.candidates_max=2", blocks=2, leaves=1))

    async def story(nursery: trio.Nursery) -> None:
        await town.until(lambda: all(town.settled(name) >= 1 for name in town.residents))

    live(town, story)
    town.assert_agreement()
    witness = town["validator-3"]
    elected = [witness.events(LeaderElected)[0].leader]
    elected += [one.sequencer for one in witness.events(RunnerUpElected)]
    jobs = witness.events(JobOpened)
    rivals = Counter(one.header.content.parent for one in jobs)
    assert max(rivals.values()) == 2, "both sequencers' blocks were to be proven"
    first = [one for one in jobs if one.header.round == 0]
    assert [one.header.sequencer for one in first] == elected[:2]
    assert witness.events(JobSettled)[0].job == first[0].job
    assert JobVoided(first[1].job, first[0].job) in witness.events(JobVoided)


def test_one_block_after_the_other_with_known_draws(tmp_path: Path) -> None:
    sets = (
        "sequencing.score=public",
        "sequencing.max_unproven_jobs=1",
        "sequencing.prover_commit_ticks=3",
        "sequencing.backup_ticks=20",
    )
    town = Town(tmp_path, wish(*sets, blocks=2))

    async def story(nursery: trio.Nursery) -> None:
        await town.until(lambda: all(town.settled(name) >= 2 for name in town.residents))

    live(town, story)
    town.assert_agreement()
    witness = town["validator-3"]
    first, second = witness.events(JobOpened)[:2]
    assert second.header.content.parent == first.job
    assert witness.events(JobVoided) == []
    assert witness.events(BackupOpened) == []


def test_a_backup_goes_on_after_a_restart(tmp_path: Path) -> None:
    town = Town(tmp_path, wish(*QUICK, "sequencing.backup_ticks=60"))
    make_backups(town, "validator-1")
    before: list[ProofKey] = []

    async def story(nursery: trio.Nursery) -> None:
        witness, maker = town["validator-3"], town["validator-1"]
        await town.until(lambda: bool(witness.events(JobOpened)))
        for name in town.residents:
            if name.startswith("prover"):
                town[name].stop()
        await town.until(lambda: bool(finished(maker)))
        before.extend(finished(maker))
        maker.stop()
        await trio.sleep(5)
        nursery.start_soon(maker.run)
        await town.until(lambda: bool(witness.events(BackupTaken)))

    live(town, story)
    town.assert_agreement()
    proofs = finished(town["validator-1"])
    assert len(proofs) == len(set(proofs)), "nothing is proven twice"
    assert before == proofs[: len(before)]
    assert {one.index for one in proofs} == set(tree.indices(2))


def finished(resident: Resident) -> list[ProofKey]:
    return [one.key for one in resident.told if isinstance(one, ProofFinished)]

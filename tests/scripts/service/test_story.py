"""The read model against what the town's events say, added up by code that it does not share."""

from __future__ import annotations

from collections import Counter

import pytest

from protocol.events import Assigned, JobOpened, JobSettled, ProofRecorded, RightMissed, TakenOver
from protocol.happenings import BlockFinal
from protocol.ledger import Moved, Pocket, PocketKind
from protocol.messages import ProofRecord, operation_hash
from scripts.money import add_up
from scripts.node import EVENTS
from scripts.records import read_lines
from scripts.service import story as model
from scripts.service.story import Story
from scripts.service.values import Fate, Outcome, Standing
from tests.p2p.town import Town
from tests.scripts.service.serving import StoppedClock, source_of

WITNESS = "validator-1"


@pytest.fixture(scope="module")
def story(town: Town) -> Story:
    return source_of(town).story


def test_the_fate_of_every_operation_is_the_first_that_the_log_tells(
    town: Town, story: Story
) -> None:
    first: dict[str, tuple[int, str, str, str | None]] = {}
    for one in read_lines(town[WITNESS].folder / EVENTS):
        if one["kind"] in ("OperationAccepted", "OperationRefused"):
            is_refused = one["kind"] == "OperationRefused"
            told = one["tick"], one["sender"], one["payload"], one["reason"] if is_refused else None
            first.setdefault(one["operation"], told)
    assert len(first) > 20
    assert {
        one.hash.hex(): (one.tick, one.sender.hex(), one.kind, one.reason) for one in story.fates()
    } == first
    for one in story.fates():
        assert one.fate is (Fate.ACCEPTED if one.reason is None else Fate.REFUSED)


def test_fates_are_forgotten_the_oldest_first(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [one.hash for one in source_of(town).story.fates()]
    monkeypatch.setattr(model, "OPERATIONS_KEPT", 7)
    assert [one.hash for one in source_of(town).story.fates()] == whole[-7:]


def test_every_tree_node_is_told_as_the_log_tells_it(town: Town, story: Story) -> None:
    witness = town[WITNESS]
    owners = {(one.job, one.index): one.prover for one in witness.events(Assigned)}
    provers = {(one.job, one.index): one.prover for one in witness.events(ProofRecorded)}
    heirs = {(one.job, one.index): one.heir for one in witness.events(TakenOver)}
    paid: dict[object, list[int]] = {}
    missed: dict[object, list[bytes]] = {}
    for miss in witness.events(RightMissed):
        missed.setdefault((miss.job, miss.index), []).append(miss.holder)
    for moved in witness.events(Moved):
        if moved.place is not None:
            paid.setdefault((moved.job, moved.place), []).append(moved.amount)
    seen = set()
    for summary in story.jobs():
        told = story.tree(summary.job)
        assert told is not None
        for node in told[1]:
            key = summary.job, node.index
            seen.add(key)
            assert node.owners == (owners[key],)
            assert list(node.missed) == missed.get(key, [])
            assert node.prover == provers.get(key)
            assert [one.amount for one in node.payments] == paid.get(key, [])
            if node.prover == owners[key]:
                assert node.standing is Standing.OWN
            elif node.prover is not None:
                assert node.standing is Standing.TAKEN_OVER
                assert node.prover == heirs[key] == node.holder
                assert node.recorded is not None
                assert node.admissible is not None
                assert node.recorded >= node.admissible
    assert seen == set(owners)
    assert heirs
    assert missed


def test_jobs_are_counted_and_closed(town: Town, story: Story) -> None:
    witness = town[WITNESS]
    opened = [one.job for one in witness.events(JobOpened)]
    settled = {one.job for one in witness.events(JobSettled)}
    assert [one.job for one in reversed(story.jobs())] == opened
    assert [one.number for one in reversed(story.jobs())] == list(range(1, len(opened) + 1))
    assert {one.job for one in story.jobs() if one.outcome is Outcome.SETTLED} == settled
    assert story.jobs_settled == len(settled) >= 3
    assert all(one.recorded == one.tree_nodes == 7 for one in story.jobs() if one.job in settled)


def test_reliability_counts_what_was_due_and_what_was_kept(town: Town, story: Story) -> None:
    witness = town[WITNESS]
    settled = {one.job for one in witness.events(JobSettled)}
    owners = {
        (one.job, one.index): one.prover for one in witness.events(Assigned) if one.job in settled
    }
    provers = {(one.job, one.index): one.prover for one in witness.events(ProofRecorded)}
    due = Counter(owners.values())
    kept = Counter(owner for key, owner in owners.items() if provers[key] == owner)
    over = Counter(provers[key] for key, owner in owners.items() if provers[key] != owner)
    missed = Counter(one.holder for one in witness.events(RightMissed))
    for name in town.residents:
        account = town[name].account
        told = story.reliability(account)
        assert (told.due, told.kept, told.taken_over) == (
            due[account],
            kept[account],
            over[account],
        )
        assert told.missed == missed[account]
    assert story.reliability(town["prover-1"].account).failed >= 1


def test_income_is_what_the_records_add_up_to(town: Town, story: Story) -> None:
    records = read_lines(town[WITNESS].folder / EVENTS)
    income = add_up(town.genesis, records).income()
    for one in town.genesis.accounts:
        assert story.income(one.account) == income.get(one.account.hex(), {"total": 0})["total"]


def test_entries_lead_from_the_genesis_to_the_present(town: Town, story: Story) -> None:
    ledger = town[WITNESS].running.machine.ledger
    for one in town.genesis.accounts:
        entries, left_out = story.entries(one.account, model.MOVES_KEPT)
        assert left_out == 0
        first = {
            PocketKind.BALANCE: one.balance,
            PocketKind.LOG_STAKE: one.log_stake,
            PocketKind.PROVER_STAKE: one.prover_stake,
            PocketKind.SEQUENCER_STAKE: one.sequencer_stake,
        }
        for kind, amount in first.items():
            change = sum(entry.amount for entry in entries if entry.pocket is kind)
            assert amount + change == ledger.holds(Pocket(kind, one.account))


def test_pay_for_a_tree_node_leads_to_the_record_of_its_proof(town: Town, story: Story) -> None:
    ordered = {
        operation_hash(signed.operation): signed.operation
        for final in town[WITNESS].finals.values()
        for signed in final.block.operations
    }
    found = 0
    for one in town.genesis.accounts:
        for entry in story.entries(one.account, model.MOVES_KEPT)[0]:
            if entry.index is None:
                continue
            assert entry.operation is not None
            payload = ordered[entry.operation.hash].payload
            assert isinstance(payload, ProofRecord)
            assert (payload.job, payload.index) == (entry.job, entry.index)
            assert entry.operation.sender == one.account
            found += 1
    assert found >= 14


def test_a_height_that_is_told_twice_counts_once(town: Town, story: Story) -> None:
    again = Story(StoppedClock())
    for event in town[WITNESS].told:
        again.observe(event)
        if isinstance(event, BlockFinal):
            again.observe(event)
    assert again.jobs() == story.jobs()
    assert all(again.income(one) == story.income(one) for one in story.accounts())


def test_own_proofs_are_told_with_their_time(town: Town) -> None:
    story = source_of(town, "prover-2").story
    nodes = [node for job in story.jobs() for node in story.tree(job.job)[1]]
    account = town["prover-2"].account
    own = [node for node in nodes if node.own_proof is not None]
    assert {node.index for node in nodes if node.prover == account} <= {one.index for one in own}
    finished = [one.own_proof for one in own if one.own_proof and one.own_proof.wall_ms]
    assert finished
    assert all(one.threads == 1 and one.given_up is None for one in finished)


def test_no_more_is_kept_than_the_bounds_say(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "JOBS_KEPT", 1)
    monkeypatch.setattr(model, "MOVES_KEPT", 5)
    monkeypatch.setattr(model, "ACCOUNTS_KEPT", 3)
    story = source_of(town).story
    closed = [one for one in story.jobs() if one.outcome is not Outcome.OPEN]
    assert [one.number for one in closed] == [story.jobs_settled]
    assert len(story.accounts()) == 3
    assert story.sizes()["story_accounts"] == (3, 3)
    assert story.sizes()["story_moves"] == (5, 5)
    assert story.sizes()["story_jobs"] == (len(story.jobs()), 1)
    assert story.sizes()["story_blocks"] == (len(story.blocks), model.BLOCKS_KEPT)
    kept = [story.entries(one, 100) for one in story.accounts()]
    assert sum(len(entries) for entries, _ in kept) == 5
    assert sum(left_out for _, left_out in kept) > 0
    assert len(story._behind._about) <= 1 + len(story.jobs())

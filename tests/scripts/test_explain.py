"""Explanations against the second reading of the rules, in stories with every kind of trouble."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from protocol import tree
from protocol.events import ProofPassedOver, ProofRecorded, TakenOver
from protocol.ledger import Moved
from protocol.machine import FinalBlock
from protocol.messages import SignedOperation
from protocol.signing import digest
from protocol.testing.scenario import GENESIS_ROOT
from protocol.types import Count, JobId, Signature, TreeIndex
from scripts.audit.books import Audit
from scripts.explain.case import Case
from scripts.explain.command import show_explanation
from scripts.explain.publiclog import (
    CannotTell,
    Happened,
    JobEntry,
    PublicLog,
    find_place,
    read_public_log,
)
from scripts.explain.steps import Explanation, Step, explain
from scripts.explain.telling import as_lines, as_record
from tests.scripts.conftest import Played
from tests.scripts.public import STORIES, public_story

FIRST_MERGE = TreeIndex(Count(1), Count(0))


def questions(log: PublicLog) -> Iterator[tuple[JobEntry, TreeIndex]]:
    for entry in log.jobs():
        for index in tree.indices(entry.header.leaf_count):
            yield entry, index


def answers() -> Iterator[tuple[PublicLog, Case, Explanation]]:
    for seed in range(STORIES):
        log = public_story(seed)
        for entry, index in questions(log):
            yield log, Case(log, entry, index), explain(log, entry, index)


def of_kind(explanation: Explanation, kind: str) -> list[Step]:
    return [one for one in explanation.steps if one.kind == kind]


def audited(log: PublicLog) -> Audit:
    """What the second reading of the rules makes of a log."""
    audit = Audit(log.genesis, GENESIS_ROOT)
    for step in log.steps:
        signed = tuple(SignedOperation(one, Signature(bytes(64))) for one in step.operations)
        audit.apply(FinalBlock(step.moment, signed))
    return audit


# --- what is told is what the log says ---


def test_every_event_of_a_tree_node_is_a_step_in_order() -> None:
    for log, case, explanation in answers():
        ticks = [one.log.moment.tick for one in explanation.steps]
        assert ticks == sorted(ticks)
        for kind in (ProofRecorded, TakenOver, ProofPassedOver):
            theirs = [
                one.step
                for one in log.happenings()
                if isinstance(one.event, kind)
                and (one.event.job, one.event.index) == (case.entry.job, case.index)
            ]
            assert [one.log for one in of_kind(explanation, kind.__name__)] == theirs


def test_two_readings_of_the_deal_agree_wherever_there_is_a_pool() -> None:
    seen = set()
    for _, case, explanation in answers():
        assigned = next(iter(of_kind(explanation, "Assigned")), None)
        if assigned is None:
            continue  # a backup came with its proof
        dealt = of_kind(explanation, "Deal")
        assert len(dealt) == bool(case.pool)
        seen.add(bool(case.pool))
        for one in dealt:
            deck = one.fields["deck"]
            assert deck == sorted(deck, key=lambda card: card["lot"])
            assert len(deck) == sum(member.cards for member in case.pool)
            mine = deck[one.fields["leaf"] % len(deck)]["prover"]
            assert [mine] == one.fields["provers"] == [assigned.fields["prover"]]
            first, end = tree.span(case.index)
            assert first <= one.fields["leaf"] < end
            assert len(one.fields["bits"]) == case.index.level
            lots = [
                digest(
                    b"provnet/card/1",
                    case.entry.header.seed,
                    bytes.fromhex(card["prover"]),
                    card["number"].to_bytes(4, "big"),
                ).hex()
                for card in deck
            ]
            assert lots == [card["lot"] for card in deck]
    assert True in seen


def test_every_takeover_and_every_draw_has_its_reason() -> None:
    takeovers = draws = 0
    for _, _, explanation in answers():
        for one in of_kind(explanation, "TakenOver"):
            takeovers += 1
            heir = one.fields["heir"]
            last = "no heir is left" if heir is None else "the next heir is "
            assert one.details[-1].startswith(last), one
        recorded = of_kind(explanation, "ProofRecorded")
        if of_kind(explanation, "ProofPassedOver"):
            draws += 1
            assert any(line.startswith("drawn by") for line in recorded[0].details)
        for one in recorded:
            assert one.details[0].startswith("by ProofRecord ")
    assert takeovers > 20
    assert draws > 0


def of_settlement(explanation: Explanation) -> list[Step]:
    """Moves that pay for proofs of a settled job: none for a void one, and no penalties."""
    others = ("INVALID_PROOF", "VOID_PAY")
    return [one for one in of_kind(explanation, "Moved") if one.fields["cause"] not in others]


def test_pay_is_what_the_second_reading_pays_and_its_arithmetic_is_shown() -> None:
    causes = set()
    for seed in range(STORIES):
        log = public_story(seed)
        for job in audited(log).settled:
            entry = log.find_job(job.job.hex())
            told = Counter[tuple[str, str | None]]()
            for index in tree.indices(entry.header.leaf_count):
                explanation = explain(log, entry, index)
                moved = of_settlement(explanation)
                for one in moved:
                    who = one.fields["target"]["owner"] or None
                    told[one.fields["cause"], who] += one.fields["amount"]
                recorded = next(iter(of_kind(explanation, "ProofRecorded")), None)
                if recorded is None:
                    continue  # a backup came with its proof
                earned = sum(
                    one.fields["amount"]
                    for one in moved
                    if one.fields["target"]["owner"] == recorded.fields["prover"]
                )
                if moved and moved[0].details:
                    assert moved[0].details[-1].endswith(f"of that: {earned:,}")
                    worth = sum(one.fields["amount"] for one in moved)
                    assert f"= {worth:,}, rounded down" in moved[0].details[-2]
            paid = Counter[tuple[str, str | None]]()
            for payment in job.payments:
                who = None if payment.account is None else payment.account.hex()
                paid[payment.cause, who] += payment.amount
            of_places = {cause for cause, _ in told}
            assert +told == +Counter(
                {row: amount for row, amount in paid.items() if row[0] in of_places}
            )
            causes |= of_places
    assert causes >= {"PROVER_PAY", "OPEN_PAY", "FAILED_SHARE"}


def test_arithmetic_is_shown_for_most_of_what_is_paid() -> None:
    shown = [
        bool(of_settlement(explanation)[0].details)
        for _, _, explanation in answers()
        if of_settlement(explanation)
    ]
    assert sum(shown) > 0.9 * len(shown) > 20


def test_outcomes_say_who_and_what_for() -> None:
    stories = {explanation.outcome.split(": ", 1)[1] for _, _, explanation in answers()}
    for part in ("in place of", "paid nothing", "void", "no proof is recorded", "paid "):
        assert any(part in one for one in stories), part


# --- what cannot be shown is not told ---


def test_a_deal_that_the_log_contradicts_is_not_told() -> None:
    log = public_story(1)
    entry = next(one for one in log.jobs() if one.header.leaf_count > 1)
    header = replace(entry.header, seed=type(entry.header.seed)(bytes(32)))
    explanation = explain(log, replace(entry, header=header), FIRST_MERGE)
    assert not of_kind(explanation, "Deal")
    assert of_kind(explanation, "Assigned")[0].details == ()


@dataclass(frozen=True, slots=True)
class Celebrated:
    """An event that nobody knows."""

    job: JobId
    index: TreeIndex
    guest: bytes
    cakes: int


def test_an_event_of_a_new_kind_is_told_by_its_name_and_fields() -> None:
    log = public_story(1)
    entry = next(one for one in log.jobs() if one.header.leaf_count > 1)
    guest, name = next(iter(log.names.items()))
    party = Celebrated(entry.job, FIRST_MERGE, guest, 3)
    last = log.steps[-1]
    steps = [*log.steps[:-1], replace(last, events=(*last.events, party))]
    explanation = explain(PublicLog.of_steps(log.genesis, steps), entry, FIRST_MERGE)
    told = explanation.steps[-1]
    assert told.sentence == f"Celebrated: guest {name}, cakes 3."
    assert told.fields["cakes"] == 3


# --- the command ---


def test_only_genesis_and_log_are_read(played: Played, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("genesis.toml", "log"):
        (run / name).write_bytes((played.run / name).read_bytes())
    ours, theirs = read_public_log(run), read_public_log(played.run)
    assert ours.steps == theirs.steps
    assert len(ours.jobs()) == 3


def test_a_takeover_of_a_run_reads_as_its_log_has_it(
    played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    log = read_public_log(played.run)
    one, moved = next(
        (one, one.event) for one in log.happenings() if isinstance(one.event, TakenOver)
    )
    number = next(each.number for each in log.jobs() if each.job == moved.job)
    level, position = moved.index.level, moved.index.position
    arguments = (played.run, moved.job.hex()[:10], level, position)
    assert show_explanation(*arguments, as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"block {number} (job {moved.job.hex()[:8]})")
    block = one.step.block.hex()[:8]
    assert any(line.split()[:2] == [str(one.step.moment.tick), block] for line in lines)
    previous, heir = log.name(moved.previous), log.name(moved.heir or b"")
    assert any(f"The right passes from {previous} to {heir}." in line for line in lines)
    paid = sum(
        each.event.amount
        for each in log.happenings()
        if isinstance(each.event, Moved) and each.event.place == moved.index
        if each.event.job == moved.job and each.event.target.owner == moved.heir
    )
    assert any(f"of that: {paid:,}" in line for line in lines)
    assert show_explanation(*arguments, as_json=True) == 0
    entry = log.find_job(str(number))
    explanation = explain(log, entry, moved.index)
    assert json.loads(capsys.readouterr().out) == as_record(log, explanation)
    assert lines == list(as_lines(log, explanation))


def test_what_is_not_there_is_refused_with_what_is(
    played: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_explanation(played.run, "none", 0, 0, as_json=False) == 1
    error = capsys.readouterr().err
    assert "'none' is no block of this run" in error
    assert "hint: blocks opened in this log: 1 (" in error
    assert show_explanation(played.run, "1", 1, 2, as_json=False) == 1
    error = capsys.readouterr().err
    assert "block 1 has no tree node at level 1, position 2" in error
    assert "level 0: 0 to 3; level 1: 0 to 1; level 2: 0 to 0" in error
    assert show_explanation(played.run, "1", -1, 0, as_json=False) == 1
    assert show_explanation(played.run / "log", "1", 0, 0, as_json=False) == 1


def test_a_prefix_of_several_jobs_is_refused() -> None:
    log = public_story(1)
    with pytest.raises(CannotTell, match="'' is no block"):
        log.find_job("")
    entry = next(one for one in log.jobs() if one.header.leaf_count > 1)
    twin = replace(entry.opening.step, events=(entry.opening.event, entry.opening.event))
    double = PublicLog.of_steps(log.genesis, [twin])
    with pytest.raises(CannotTell, match="stands for several blocks"):
        double.find_job(entry.job.hex())
    assert isinstance(entry.opening, Happened)
    assert find_place(entry, 0, 0) == TreeIndex(*(0, 0))

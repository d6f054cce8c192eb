"""The second reading against the machine, in stories with every move of the property kit."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import scripts.audit
from protocol import tree
from protocol.events import BackupTaken, JobSettled, JobVoided, ProofRecorded, RightMissed
from protocol.ledger import Moved, PocketKind
from protocol.testing import MOVES, Dice, Scenario, World, any_scenario, tell
from protocol.testing.moves_bonded import BONDED_MOVES
from protocol.testing.moves_staking import STAKING
from protocol.testing.scenario import BONDED, ELECTED_VARIANTS, QUICK_F2
from scripts.money import add_up
from tests.scripts.stories import audited, replayed

STORIES = 96
LIKE = (Scenario(), *ELECTED_VARIANTS, BONDED)


@cache
def story(seed: int) -> World:
    like = LIKE[seed // 2 % len(LIKE)]
    scenario = like if seed % 2 else any_scenario(Dice(seed), like)
    if seed % 4 == 1:
        scenario = replace(scenario, sequencing_parameters=QUICK_F2)
    staking = STAKING if seed % 3 else {}
    table = BONDED_MOVES if like is BONDED else MOVES
    return tell(scenario, seed, 80, {**table, **staking})


@pytest.mark.parametrize("seed", range(STORIES))
def test_two_readings_agree(seed: int) -> None:
    world = story(seed)
    scenario = world.scenario
    machine = scenario.machine()
    events, lines = replayed(machine, world.log)
    audit = audited(scenario, world.log)

    assert [one.job for one in audit.settled] == [e.job for e in events if type(e) is JobSettled]
    records = {(e.job, e.index): e.prover for e in events if type(e) is ProofRecorded}
    backups = {e.job: e.prover for e in events if type(e) is BackupTaken}
    income: Counter[bytes] = Counter()
    for e in events:
        if isinstance(e, Moved) and e.target.kind is PocketKind.ESCROW:
            income[e.target.owner] += e.amount
    for one in audit.settled:
        in_order, backup = tree.indices(one.header.leaf_count), backups.get(one.job)
        assert one.provers == tuple(backup or records[one.job, index] for index in in_order)
        assert sum(payment.amount for payment in one.payments) == income[one.job]
        missed = [
            (e.index.level, e.index.position)
            for e in events
            if type(e) is RightMissed and e.job == one.job and e.failed
        ]
        assert list(one.missed) == missed

    balances = add_up(scenario.genesis(), lines)
    assert balances.faults() == ()
    ledger = {(p.kind.name, p.owner.hex()): held for p, held in machine.ledger.pockets().items()}
    assert balances.pockets == ledger
    by_hand = {who.hex(): dict(sorted(causes.items())) for who, causes in audit.earned.items()}
    assert {who: one["by_cause"] for who, one in balances.income().items()} == by_hand


def test_the_stories_reach_what_is_to_be_read_twice() -> None:
    reached: set[str] = set()
    for seed in range(STORIES):
        world = story(seed)
        events, lines = replayed(world.scenario.machine(), world.log)
        reached |= {type(one).__name__ for one in events if isinstance(one, JobSettled | JobVoided)}
        reached |= {one["cause"] for one in lines if one["kind"] == "Moved"}
    assert reached >= {
        "AWARD_BOND_LOST",
        "AWARD_BOND_RETURNED",
        "AWARD_PAY",
        "AWARD_PRICE_RETURNED",
        "BACKUP_PAY",
        "BLOCK_REWARD",
        "BOND_LOST",
        "BOND_RETURNED",
        "CO_PAY",
        "EQUIVOCATION",
        "FAILED_SHARE",
        "INVALID_PROOF",
        "JOB_FAILED",
        "JobSettled",
        "JobVoided",
        "OPEN_PAY",
        "OPERATION_FEE",
        "PROVER_PAY",
        "RESERVE_LEFT",
        "REVEAL_MISSING",
        "SEQUENCER_SHARE",
        "TAKEOVER_PAY",
        "UNCLE_PAY",
        "UNCLE_RESERVED",
    }


def test_the_audit_uses_nothing_of_the_rules_but_their_parameters() -> None:
    found = set()
    for path in Path(scripts.audit.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                found |= {(node.module, alias.name) for alias in node.names}
    barred = ("protocol.ledger", "protocol.proving", "protocol.sequencing", "protocol.registry")
    assert {one for one in found if one[0].startswith(barred)} == {
        ("protocol.proving.bonded", "BondedParameters"),
        ("protocol.proving.elected_parameters", "ElectedParameters"),
        ("protocol.sequencing.fernet_parameters", "FernetParameters"),
    }

"""Who is harmed, and who has only himself, his machine or the weather to blame."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from p2p.observing import ProofCancelled, ProofFinished, ProofStarted
from protocol.agents import ProofKey
from protocol.events import RightMissed
from protocol.happenings import BlockFinal
from protocol.ledger import BURNED, Cause, Moved, Pocket, PocketKind
from protocol.machine import Applied
from protocol.types import Account, Amount, Count, Digest, JobId, Tick, TreeIndex
from scripts.simulation.checkers.checker import Scene
from scripts.simulation.checkers.nobody_harmed import PATIENCE_SLOTS, NobodyHarmed
from scripts.simulation.faults import Pause
from scripts.simulation.happenings import Event, FaultBegan, HeldAgainst
from scripts.simulation.network import Size, planned

GENESIS = planned(Size(nodes=4, validators=2), seed=1).genesis
ACCOUNTS = {one.name: one.account for one in GENESIS.accounts}
SCENE = Scene(
    GENESIS, ACCOUNTS, frozenset({"prover-2"}), blocks=1, excused=frozenset({"validator-2"})
)
KEY = ProofKey(JobId(bytes(32)), TreeIndex(Count(0), Count(1)))
SLOT_MS = GENESIS.network.slot_ms
MISSED_SLOT = 30
MISSED_MS = GENESIS.network.genesis_time_ms + MISSED_SLOT * SLOT_MS


def account(name: str) -> Account:
    return Account(ACCOUNTS[name])


def final(*events: Any) -> BlockFinal:
    block: Any = SimpleNamespace()
    moment: Any = SimpleNamespace(slot=MISSED_SLOT)
    return BlockFinal(block, moment, Applied(Tick(1), events, Digest(bytes(32))))


def missed(name: str, *, failed: bool = True) -> BlockFinal:
    return final(RightMissed(KEY.job, KEY.index, account(name), failed))


def lost(name: str, cause: Cause) -> BlockFinal:
    stake = Pocket(PocketKind.LOG_STAKE, account(name))
    return final(Moved(stake, BURNED, Amount(5), cause))


def words(*told: tuple[int, str, Event]) -> list[str]:
    checker = NobodyHarmed(SCENE)
    return [one.sentence for at_ms, node, event in told for one in checker.on(at_ms, node, event)]


def test_an_honest_node_that_is_punished_was_framed() -> None:
    for cause in (Cause.EQUIVOCATION, Cause.INVALID_PROOF):
        (sentence,) = words((0, "validator-1", lost("prover-1", cause)))
        assert sentence.startswith("prover-1 keeps the rules and lost 5")
        assert not words((0, "validator-1", lost("prover-2", cause)))
        assert not words((0, "prover-2", lost("prover-1", cause))), "a cheat's word"
    assert not words((0, "validator-1", lost("prover-1", Cause.OPERATION_FEE)))


def test_honest_nodes_do_not_ban_each_other() -> None:
    def banned(by: str, whom: str, kind: str = "banned") -> list[str]:
        return words((0, by, HeldAgainst(kind, account(whom))))

    assert banned("validator-1", "prover-1") == ["it banned prover-1, which keeps the rules"]
    assert not banned("validator-1", "prover-2")
    assert not banned("prover-2", "validator-1")
    assert not banned("validator-1", "prover-1", "busy")


LATE_MS = PATIENCE_SLOTS * SLOT_MS


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ([], "never could begin"),
        ([(1, ProofStarted(KEY))], ""),
        ([(1, ProofStarted(KEY)), (MISSED_MS - LATE_MS, ProofFinished(KEY, 1, 1))], ""),
        ([(1, ProofStarted(KEY)), (MISSED_MS - LATE_MS - 1, ProofFinished(KEY, 1, 1))], "had its"),
        ([(1, ProofStarted(KEY)), (2, ProofFinished(KEY, 1, 1)), (3, ProofCancelled(KEY, ""))], ""),
    ],
)
def test_a_right_is_lost_to_others_or_to_a_slow_machine(
    told: list[tuple[int, Event]], word: str
) -> None:
    story = [(at_ms, "prover-1", event) for at_ms, event in told]
    found = words(*story, (MISSED_MS, "validator-1", missed("prover-1")))
    assert [word in one for one in found] == ([True] if word else [])


def test_what_else_explains_a_lost_right() -> None:
    storm = FaultBegan(Pause(0, 1, "prover-1"))
    assert not words((0, "", storm), (MISSED_MS, "validator-1", missed("prover-1")))
    assert not words((MISSED_MS, "validator-1", missed("prover-2"))), "a cheat's right"
    assert not words((MISSED_MS, "validator-1", missed("validator-2"))), "it is excused"
    heir = missed("prover-1", failed=False)
    assert not words((MISSED_MS, "validator-1", heir)), "not a tree node of its own"


def test_each_height_counts_once() -> None:
    told = missed("prover-1")
    found = words((0, "validator-1", told), (1, "validator-2", told), (2, "validator-1", told))
    assert len(found) == 1

"""Each checker finds what it is for, and nothing where nothing is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from protocol.events import JobSettled
from protocol.happenings import BlockFinal, Halted
from protocol.ledger import TREASURY, Cause, Moved, Pocket, PocketKind, balance
from protocol.machine import Applied
from protocol.types import Amount, Digest, JobId, Tick
from scripts.simulation.checkers import ALL
from scripts.simulation.checkers.checker import Checker, Final, Scene, Violation
from scripts.simulation.checkers.conserved_money import ConservedMoney
from scripts.simulation.checkers.equal_digests import EqualDigests
from scripts.simulation.checkers.liveness import Liveness
from scripts.simulation.checkers.one_log import OneLog
from scripts.simulation.happenings import Born, Event, Healed
from scripts.simulation.network import Size, planned

GENESIS = planned(Size(nodes=4, validators=2), seed=1).genesis
ACCOUNTS = {one.name: one.account for one in GENESIS.accounts}
SCENE = Scene(GENESIS, ACCOUNTS, frozenset({"prover-2"}), blocks=2)
HONEST = ("validator-1", "validator-2", "prover-1")
ONE, OTHER = GENESIS.accounts[0].account, GENESIS.accounts[1].account
JOB = JobId(bytes(32))


@dataclass(frozen=True)
class Header:
    """As much of a header as a checker looks at."""

    height: int
    word: str = ""


def final(height: int, *events: Any, word: str = "", digest: int | None = None) -> BlockFinal:
    block: Any = SimpleNamespace(header=Header(height, word))
    moment: Any = None
    number = height if digest is None else digest
    return BlockFinal(block, moment, Applied(Tick(height), events, Digest(bytes([number]) * 32)))


def found(checker: Checker, *told: tuple[str, Event]) -> list[Violation]:
    return [
        violation
        for at_ms, (node, event) in enumerate(told)
        for violation in checker.on(at_ms, node, event)
    ]


def machine(height: int, **changes: int) -> Any:
    """A state with the pockets of the genesis, but for these balances."""
    pockets: dict[Pocket, int] = {}
    for one in GENESIS.accounts:
        for kind, amount in (
            (PocketKind.BALANCE, one.balance),
            (PocketKind.LOG_STAKE, one.log_stake),
            (PocketKind.PROVER_STAKE, one.prover_stake),
            (PocketKind.SEQUENCER_STAKE, one.sequencer_stake),
        ):
            pockets[Pocket(kind, one.account)] = amount
    pockets[Pocket(PocketKind.ROLLUP_VAULT, b"")] = sum(one.balance for one in GENESIS.rollup)
    for name, change in changes.items():
        pockets[balance(ACCOUNTS[name.replace("_", "-")])] += change
    ledger = SimpleNamespace(pockets=lambda: pockets)
    return SimpleNamespace(tick=height, ledger=ledger)


def test_one_log_finds_a_fork_a_gap_and_leaves_cheats_alone() -> None:
    right = [("validator-1", final(1)), ("validator-2", final(1)), ("validator-1", final(2))]
    assert found(OneLog(SCENE), *right) == []
    fork = found(OneLog(SCENE), *right, ("validator-2", final(2, word="other")))
    assert [(one.node, one.checker) for one in fork] == [("validator-2", "one log")]
    assert "another block is final at height 2 than at validator-1" in fork[0].sentence
    assert found(OneLog(SCENE), *right, ("prover-2", final(1, word="other"))) == []
    gap = found(OneLog(SCENE), ("validator-1", final(1)), ("validator-1", final(3)))
    assert "height 3 became final after height 1" in gap[0].sentence
    again = [("validator-1", final(2)), ("validator-1", Born(2)), ("validator-1", final(1))]
    assert found(OneLog(SCENE), *again) == []


def test_equal_digests_finds_another_state_other_events_and_a_halt() -> None:
    settled = JobSettled(JOB)
    right = [("validator-1", final(1, settled)), ("validator-2", final(1, settled))]
    assert found(EqualDigests(SCENE), *right) == []
    (state,) = found(EqualDigests(SCENE), right[0], ("prover-1", final(1, settled, digest=9)))
    assert "its state is another than that of validator-1" in state.sentence
    (events,) = found(EqualDigests(SCENE), right[0], ("prover-1", final(1)))
    assert "did something else" in events.sentence
    (halted,) = found(EqualDigests(SCENE), ("prover-1", Halted("no")))
    assert "it stops voting: no" in halted.sentence
    assert found(EqualDigests(SCENE), ("prover-2", Halted("no"))) == []


def moved(amount: int, source: Pocket = balance(ONE)) -> Moved:  # noqa: B008 -- frozen
    return Moved(source, balance(OTHER), Amount(amount), Cause.PAYMENT)


def test_money_is_added_up_again() -> None:
    name, other = GENESIS.accounts[0].name, GENESIS.accounts[1].name
    changed = {name.replace("-", "_"): -5, other.replace("-", "_"): 5}
    checker = ConservedMoney(SCENE)
    assert found(checker, (name, final(1, moved(5))), (other, final(1, moved(5)))) == []
    assert list(checker.at_end(9, (Final(name, machine(1, **changed)),))) == []
    assert list(checker.at_end(9, (Final(name, None),))) == []
    untold = list(checker.at_end(9, (Final(name, machine(1)),)))
    assert len(untold) == 2, "two pockets are not what was told"
    made = list(checker.at_end(9, (Final(name, machine(1, **(changed | {other: 6}))),)))
    assert "was given out" in made[0].sentence
    assert list(checker.at_end(9, (Final("prover-2", machine(1)),))) == []


@pytest.mark.parametrize("amount", [-1, GENESIS.accounts[0].balance + 1])
def test_no_pocket_is_overdrawn(amount: int) -> None:
    violations = found(ConservedMoney(SCENE), ("validator-1", final(1, moved(amount))))
    assert [one.checker for one in violations] == ["conserved money"]
    empty = moved(1, TREASURY)
    assert found(ConservedMoney(SCENE), ("validator-1", final(1, empty)))


def settles(*heights: int) -> Iterator[tuple[str, Event]]:
    for height in heights:
        yield from ((name, final(height, JobSettled(JOB))) for name in HONEST)


def finals() -> tuple[Final, ...]:
    return tuple(Final(name, None) for name in (*HONEST, "prover-2"))


def test_liveness_wants_all_blocks_and_one_after_healing() -> None:
    done = Liveness(SCENE)
    assert found(done, ("", Healed()), *settles(1, 2)) == []
    assert list(done.at_end(9, finals())) == []
    late = Liveness(SCENE)
    found(late, *settles(1, 2, 3), ("", Healed()))
    assert len(list(late.at_end(9, finals()))) == len(HONEST), "nothing was settled after healing"
    found(late, *settles(4))
    assert list(late.at_end(9, finals())) == []


def test_liveness_counts_a_height_once_and_every_node_for_itself() -> None:
    checker = Liveness(SCENE)
    found(checker, ("", Healed()), *settles(1), *settles(1))
    sentences = [one.sentence for one in checker.at_end(5_000, finals())]
    assert len(sentences) == len(HONEST)
    assert "1 of 2 blocks settled 5 s after healing, at height 1" in sentences[0]
    never = Liveness(SCENE)
    assert [one.sentence for one in never.at_end(9, finals())] == ["the network was never healed"]
    assert list(Liveness(replace(SCENE, must_finish=False)).at_end(9, finals())) == []


def test_every_checker_has_a_name_of_its_own() -> None:
    assert len({one.name for one in ALL}) == len(ALL)

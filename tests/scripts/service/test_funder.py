"""A node that joins asks the bundle's faucet, waits as it is told to, and goes on without."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from rich.console import Console

from scripts.client import NotAnswered
from scripts.funding import Grant
from scripts.joining import funder
from scripts.joining.display import Display
from scripts.joining.folder import Role, Wishes
from scripts.joining.funder import PATIENCE_S, Funder
from scripts.staking import Order
from tests.p2p.town import Town

URL = "http://192.0.2.1:4080/"
WISHES = Wishes("mine", Role.PROVER, Path(), fund=True)
RICH = 10**12
"""More than anybody in the town has."""

GRANT = Grant(Order("/v1/faucet", "Pay", {"receiver": "ab", "amount": 5}), {})


class Running:
    """What a funder needs of a node that runs: here one that stands still."""

    def __init__(self, town: Town, name: str, folder: Path) -> None:
        self.node = town[name].running
        self.identity = town[name].member.identity
        self.folder = folder


def told(
    monkeypatch: pytest.MonkeyPatch, running: Any, wishes: Wishes, *answers: Grant | NotAnswered
) -> tuple[list[str], int, float]:
    """What is said within an hour, how many answers were not asked for, and how long it took."""
    left, shown = list(answers), io.StringIO()

    def answer(*_: object) -> Grant:
        found = left.pop(0)
        if isinstance(found, NotAnswered):
            raise found
        return found

    async def at_once(question: Any, **_: object) -> Grant:
        await trio.lowlevel.checkpoint()
        found: Grant = question()
        return found

    monkeypatch.setattr(funder, "ask", answer)
    monkeypatch.setattr(trio.to_thread, "run_sync", at_once)
    took_s = []

    async def main() -> None:
        began_s = trio.current_time()
        with trio.move_on_after(3_600):
            await Funder(running, wishes, URL, display).run()
        took_s.append(trio.current_time() - began_s)

    with Display(Console(file=shown, width=200)) as display:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return shown.getvalue().splitlines(), len(left), took_s[0]


def test_who_has_money_or_stake_asks_for_nothing(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, stake in (("validator-2", 0), ("validator-2", 5), ("prover-2", RICH)):
        running = Running(town, name, tmp_path)
        lines, unasked, _ = told(monkeypatch, running, replace(WISHES, stake=stake), GRANT)
        assert lines == ["this account has what it needs: the faucet is not asked"]
        assert unasked == 1


def test_a_faucet_that_asks_for_patience_is_asked_again(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Running(town, "validator-2", tmp_path)
    soon = NotAnswered("it is too soon", "come back", PATIENCE_S)
    lines, unasked, took_s = told(monkeypatch, running, replace(WISHES, stake=RICH), soon, GRANT)
    assert lines == [
        f"it is too soon: asking again in {PATIENCE_S} s",
        "the faucet gives 5",
    ]
    assert unasked == 0
    assert took_s == 3_600  # it waits for the money


@pytest.mark.parametrize("wait_s", [None, PATIENCE_S + 1])
def test_whatever_else_it_says_is_told(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_s: int | None
) -> None:
    running = Running(town, "validator-2", tmp_path)
    never = NotAnswered("nothing left", "tell its owner", wait_s)
    lines, unasked, took_s = told(monkeypatch, running, replace(WISHES, stake=RICH), never, GRANT)
    assert lines == ["warning: not funded: nothing left", "hint: tell its owner"]
    assert (unasked, took_s) == (1, 0)

"""Asks the bundle's faucet for test money, for a node that joins and is synced.

Rules. Who has what its role stakes, staked or free, asks for nothing. A faucet that says to come
back soon is asked again then; whatever else it says is told, and the node goes on without.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import trio

from protocol.ledger import balance
from protocol.types import Tick
from scripts.client import NotAnswered
from scripts.funding import Grant, ask
from scripts.joining.display import Display
from scripts.joining.folder import Wishes
from scripts.joining.staker import Staker
from scripts.node import Running

PATIENCE_S: Final = 120
"""A faucet that wants a longer pause is not waited for."""

LOOK_S: Final = 0.2
"""Pause between two looks at what the account holds."""


class Funder:
    """Gets money for the account of a node that runs and is synced.

    :param url: of the faucet.
    """

    def __init__(self, running: Running, wishes: Wishes, url: str, display: Display) -> None:
        self._running = running
        self._wishes = wishes
        self._url = url
        self._display = display

    async def run(self) -> None:
        """Ask, wait for the money, and say that it is there."""
        if self._is_provided():
            self._display.say("this account has what it needs: the faucet is not asked")
            return
        held, grant = self._held(), await self._ask()
        if grant is None:
            return
        node = self._running.node
        self._display.say(f"the faucet gives {grant.amount:,}")
        until = Tick(node.machine.tick + node.machine.genesis.network.epoch_ticks)
        while self._held() <= held:
            if node.machine.tick > until:
                self._warn("the faucet's payment did not come", "ask again: provnet fund")
                return
            await trio.sleep(LOOK_S)
        self._display.say(f"funded at tick {node.machine.tick}: {self._held():,}")

    def _is_provided(self) -> bool:
        needed = 1
        if self._wishes.stake:
            if Staker(self._running, self._wishes, self._display).has_stake():
                return True
            fee = self._running.node.machine.genesis.network.operation_fee
            needed = self._wishes.stake + fee
        return self._held() >= needed

    def _held(self) -> int:
        node = self._running.node
        return node.machine.ledger.holds(balance(node.account))

    async def _ask(self) -> Grant | None:
        identity, network = self._running.identity, self._running.node.machine.network
        question = partial(ask, self._url, identity, network)
        while True:
            try:
                return await trio.to_thread.run_sync(
                    question,
                    abandon_on_cancel=True,  # type: ignore[call-arg]  # the stubs are older
                )
            except NotAnswered as refusal:
                if refusal.wait_s is None or refusal.wait_s > PATIENCE_S:
                    self._warn(refusal.sentence, refusal.hint)
                    return None
                self._display.say(f"{refusal.sentence}: asking again in {refusal.wait_s} s")
                await trio.sleep(refusal.wait_s)

    def _warn(self, sentence: str, hint: str) -> None:
        self._display.say(f"warning: not funded: {sentence}")
        self._display.say(f"hint: {hint}")

"""Stakes for a node that joins, once it is synced and has the money.

Rules. Who has stake of its own of that kind, or on its way out, does not stake again. A start soon
after another waits until what the other may have submitted counts or cannot any more.
"""

from __future__ import annotations

from typing import Final

import trio

from protocol import vrf
from protocol.ledger import balance, exiting
from protocol.messages import AddStake, StakeKind
from protocol.staking import stake_of
from protocol.types import Amount
from scripts.joining.display import Display
from scripts.joining.folder import Role, Wishes
from scripts.node import Running
from scripts.staking import epoch_begins, log_stake_from

KINDS: Final = {
    Role.PROVER: StakeKind.PROVER,
    Role.SEQUENCER: StakeKind.SEQUENCER,
    Role.VALIDATOR: StakeKind.LOG,
}
"""What each role stakes."""

LOOK_S: Final = 0.2
"""Pause between two looks at what the account holds."""


class Staker:
    """Stakes for the account of a node that runs and is synced.

    A file in the node's folder holds until which tick what was submitted is valid.
    """

    def __init__(self, running: Running, wishes: Wishes, display: Display) -> None:
        self._running = running
        self._kind = KINDS[wishes.role]
        self._amount = Amount(wishes.stake)
        self._path = running.folder / f"staking-{self._kind.value}"
        self._display = display

    def has_stake(self) -> bool:
        """Whether there is own stake, or some on its way out."""
        machine, account = self._running.node.machine, self._running.node.account
        holding = (self._kind, account)
        leaving = machine.ledger.holds(exiting(stake_of(holding)))
        return machine.staking.owned(machine.ledger, holding, account) + leaving > 0

    async def run(self) -> None:
        """Wait for the money, stake, and say when it counts."""
        name = f"{self._kind.value} stake"
        if self.has_stake():
            self._display.say(f"this account has {name} already: nothing is staked")
            return
        node, is_told = self._running.node, False
        genesis = node.machine.genesis.network
        needed = self._amount + genesis.operation_fee
        valid_until = int(self._path.read_text()) if self._path.exists() else 0
        while not self.has_stake():
            has_money = node.machine.ledger.holds(balance(node.account)) >= needed
            if not has_money and not is_told and valid_until <= node.machine.tick:
                is_told = True
                self._display.say(f"waiting for {needed:,} to stake: pay {node.account.hex()}")
            if has_money and valid_until <= node.machine.tick:
                valid_until = node.machine.tick + genesis.epoch_ticks
                self._path.write_text(f"{valid_until}\n")
                self._submit()
            await trio.sleep(LOOK_S)
        staked = f"staked at tick {node.machine.tick}: {self._amount:,} of {name}"
        self._display.say(f"{staked}, {self._since()}")

    def _since(self) -> str:
        """From when on the stake counts that was found in the present state."""
        machine, account = self._running.node.machine, self._running.node.account
        ticks, young = machine.genesis.network.epoch_ticks, machine.staking.key_counts_from(account)
        if self._kind is StakeKind.LOG:
            return f"counts from {log_stake_from(machine.tick, ticks)}"
        if self._kind is StakeKind.SEQUENCER and young is not None:
            return f"its key counts from {epoch_begins(young, ticks)}: until then it makes no block"
        return "counts at once"

    def _submit(self) -> None:
        key = vrf.public_key(self._running.identity.vrf_seed)
        self._running.clerk.submit(AddStake(self._kind, self._amount, key))
        self._display.say(f"staking {self._amount:,} as {self._kind.value} stake")

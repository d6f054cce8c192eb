"""Faults planted into copies of the parts that keep stake and make sets of validators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from protocol.testing import Move, Scenario
from protocol.testing.moves_staking import STAKING_MOVES
from tests.properties.planted import MACHINE, Fault, PlantedMachineScenario

STAKING, SETS = "protocol.staking", "protocol.sets"


@dataclass(frozen=True)
class StakingFault(Fault):
    """A fault of stake or sets, found by moves of money and by validators that sleep."""

    moves: ClassVar[Mapping[str, Move]] = STAKING_MOVES

    def scenario(self) -> Scenario:
        """A network that runs under the fault."""
        planted = self.copies(tuple(dict.fromkeys((self.module, MACHINE))))
        return PlantedMachineScenario(machine_class=planted.Machine)


STAKING_FAULTS = (
    StakingFault(
        "an exit is paid a tick early",
        STAKING,
        "if due <= frame.moment.tick:",
        "if due <= frame.moment.tick + 1:",
    ),
    StakingFault(
        "an exit is paid a tick late",
        STAKING,
        "if due <= frame.moment.tick:",
        "if due < frame.moment.tick:",
    ),
    StakingFault(
        "an exit goes to the holder",
        STAKING,
        "Moved(leaving, balance(owner), amount, Cause.EXIT_PAID)",
        "Moved(leaving, balance(holding[1]), amount, Cause.EXIT_PAID)",
        seed=110,
    ),
    StakingFault(
        "a new exit voids those before it",
        STAKING,
        "_put(exits, (due, owner), amount, ledger.holds(exiting(stake)))",
        "_put(exits, (due, owner), amount, 0)",
        seed=16,
    ),
    StakingFault(
        "a penalty does not reach what is on its way out",
        MACHINE,
        "self.ledger.forfeit(\n            Moved(log_stake(offender), BURNED, penalty,",
        "held = self.ledger.holds(log_stake(offender))\n"
        "        self.ledger.move(\n"
        "            Moved(log_stake(offender), BURNED, Amount(min(penalty, held)),",
        seed=1,
    ),
    StakingFault(
        "lent stake counts twice",
        STAKING,
        "_put(shares, owner, amount, held)",
        "_put(shares, owner, amount * (1 + (owner != holding[1])), held)",
        seed=6,
    ),
    StakingFault(
        "what others own is taken out",
        STAKING,
        "if amount > worth:",
        "if worth == 0 or amount > ledger.holds(stake_of(holding)):",
        seed=29,
    ),
    StakingFault(
        "sequencer stake is lent",
        STAKING,
        "if kind is StakeKind.SEQUENCER:",
        "if False:",
        seed=23,
    ),
    StakingFault(
        "lent to who has nothing at stake",
        STAKING,
        "if self.owned(ledger, (kind, delegate), delegate) == 0:",
        "if False:",
        seed=1,
    ),
    StakingFault(
        "nothing is paid",
        STAKING,
        "if payload.amount == 0:",
        "if False:",
    ),
    StakingFault(
        "a key is told to count an epoch early",
        STAKING,
        "Epoch(epoch + SNAPSHOT_EPOCHS)",
        "Epoch(epoch + SNAPSHOT_EPOCHS - 1)",
    ),
    StakingFault(
        "a key counts an epoch before it is told to",
        STAKING,
        "if counts_from <= epoch:",
        "if counts_from <= epoch + 1:",
    ),
    StakingFault(
        "a second key is overlooked",
        STAKING,
        "if self.registered.get(sender, vrf_key) != vrf_key:",
        "if False:",
        seed=25,
    ),
    StakingFault(
        "a set of the stakes of two epochs before",
        SETS,
        "        made = self._made()\n",
        "        self._staked = _members(ledger, keys)\n        made = self._made()\n",
    ),
    StakingFault(
        "a set is told for another epoch",
        MACHINE,
        "epoch = Epoch(self.epoch(tick) + 2)",
        "epoch = Epoch(self.epoch(tick) + 1)",
    ),
    StakingFault(
        "the absent stay",
        SETS,
        "if member.account in self._absent and",
        "if False and",
    ),
    StakingFault(
        "so many absent leave that no quorum stays",
        SETS,
        "left - member.stake >= whole.quorum",
        "left - member.stake > 0",
        seed=2,
    ),
    StakingFault(
        "the largest of the absent leave first",
        SETS,
        "key=lambda one: (one.stake, one.account)",
        "key=lambda one: (-one.stake, one.account)",
        seed=75,
    ),
    StakingFault(
        "an operation brings nobody back",
        SETS,
        '"""An operation was ordered: its sender is there."""\n'
        "        self._absent.pop(sender, None)",
        '"""An operation was ordered: its sender is there."""',
    ),
    StakingFault(
        "votes of the epoch before count",
        SETS,
        "self._certificates, self._votes = 0, {}",
        "self._certificates = 0",
    ),
)

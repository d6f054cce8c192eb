"""Faults planted into copies of the rule of bonded provers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from protocol.proving.bonded import Bonded
from protocol.testing import Move, Scenario
from protocol.testing.moves_bonded import BONDED_MOVES
from protocol.testing.scenario import BONDED
from tests.properties.planted import Fault

RULE = "protocol.proving.bonded"


@dataclass(frozen=True)
class BondedFault(Fault):
    """A fault of the rule, found by its own moves."""

    moves: ClassVar[Mapping[str, Move]] = BONDED_MOVES

    def scenario(self) -> Scenario:
        """A network that runs under the fault."""
        planted = self.copies((self.module,))
        return replace(BONDED, proving=type("Planted", (planted.Bonded, Bonded), {}))


BONDED_FAULTS = (
    BondedFault(
        "a bond that only equals stake and MEV",
        RULE,
        "bid_fault(frame.ledger, bid, due, frame.moment.tick)",
        "bid_fault(frame.ledger, bid, Amount(due - 1), frame.moment.tick)",
        seed=1,
    ),
    BondedFault(
        "a bid counts after its time",
        RULE,
        "bid_fault(frame.ledger, bid, due, frame.moment.tick)",
        "bid_fault(frame.ledger, bid, due, Tick(frame.moment.tick - 1))",
        seed=1,
    ),
    BondedFault(
        "a forged bid counts",
        RULE,
        "if not bid_is_signed(frame.network, payload.bid):",
        "if False:",
        seed=37,
    ),
    BondedFault(
        "a bid for another's block",
        RULE,
        "if bid.sequencer != sender:",
        "if False:",
        seed=7,
    ),
    BondedFault(
        "a block is promised twice",
        RULE,
        "if self.is_committed(bid.round, sender):\n            raise",
        "if False:\n            raise",
    ),
    BondedFault(
        "a miss costs nothing",
        RULE,
        "Moved(bond, BURNED, pledge.bond, Cause.AWARD_BOND_LOST, job)",
        "Moved(bond, balance(pledge.prover), pledge.bond, Cause.AWARD_BOND_LOST, job)",
    ),
    BondedFault(
        "the price of a missed block is kept",
        RULE,
        "        _return_price(frame.ledger, pledge, job)\n        if self",
        "        if self",
    ),
    BondedFault(
        "what was promised of a block that never opens is kept",
        RULE,
        "                _return(frame.ledger, pledge, None)\n",
        "",
    ),
    BondedFault(
        "what was promised of a block that fell is kept",
        RULE,
        "if progress.pledge is not None and not (progress.is_missed or job.is_proven):",
        "if False:",
        seed=5,
    ),
    BondedFault(
        "the window of a whole job starts before its opening is final",
        RULE,
        "if progress.closes is None and moment.settled >= progress.job.opened_at:",
        "if progress.closes is None:",
    ),
    BondedFault(
        "the window of a whole job is one tick too long",
        RULE,
        "moment.tick > progress.closes:",
        "moment.tick > progress.closes + 1:",
    ),
    BondedFault(
        "a bonded prover is too quick",
        RULE,
        "if frame.moment.tick < admissible:",
        "if frame.moment.tick + 1 < admissible:",
        seed=19,
    ),
    BondedFault(
        "somebody else proves what was promised",
        RULE,
        "if progress.prover != sender:\n            raise",
        "if progress.prover is None:\n            raise",
    ),
    BondedFault(
        "a miss leaves the bond as it was",
        RULE,
        "self._surge = Surge(self._surge_at(tick) * factor, tick)",
        "self._surge = Surge(self._surge_at(tick), tick)",
        seed=1,
    ),
    BondedFault(
        "the surcharge never falls",
        RULE,
        "left = max(0, decay - (tick - self._surge.since))",
        "left = decay",
        seed=1,
    ),
    BondedFault(
        "a miss touches only its own block",
        RULE,
        "exposed = worth * (1 + self._jobs_per_window(tick))",
        "exposed = worth",
    ),
)

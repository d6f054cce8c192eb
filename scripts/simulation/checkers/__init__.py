"""The checkers of a run; one more is a class in a file of its own, and a line in :data:`ALL`."""

from __future__ import annotations

from typing import Final

from scripts.simulation.checkers.bounded_memory import BoundedMemory
from scripts.simulation.checkers.checker import Checker
from scripts.simulation.checkers.conserved_money import ConservedMoney
from scripts.simulation.checkers.equal_digests import EqualDigests
from scripts.simulation.checkers.fair_seed import FairSeed
from scripts.simulation.checkers.liveness import Liveness
from scripts.simulation.checkers.minimal_time import MinimalTime
from scripts.simulation.checkers.nobody_harmed import NobodyHarmed
from scripts.simulation.checkers.one_log import OneLog
from scripts.simulation.checkers.one_payment import OnePayment
from scripts.simulation.checkers.one_vote import OneVote
from scripts.simulation.checkers.refusals import Refusals
from scripts.simulation.checkers.rights import Rights
from scripts.simulation.checkers.second_reading import SecondReading
from scripts.simulation.checkers.signed import Signed
from scripts.simulation.checkers.takeover import Takeover
from scripts.simulation.checkers.uncles import Uncles
from scripts.simulation.checkers.verified_work import VerifiedWork
from scripts.simulation.checkers.within_escrow import WithinEscrow

ALL: Final[tuple[type[Checker], ...]] = (
    OneLog,
    EqualDigests,
    OneVote,
    Signed,
    Refusals,
    ConservedMoney,
    OnePayment,
    WithinEscrow,
    VerifiedWork,
    Uncles,
    FairSeed,
    Rights,
    MinimalTime,
    Takeover,
    SecondReading,
    BoundedMemory,
    NobodyHarmed,
    Liveness,
)
"""Every checker, in the order in which they are asked."""

"""The checkers of a run; one more is a class in a file of its own, and a line in :data:`ALL`."""

from __future__ import annotations

from typing import Final

from scripts.simulation.checkers.checker import Checker
from scripts.simulation.checkers.conserved_money import ConservedMoney
from scripts.simulation.checkers.equal_digests import EqualDigests
from scripts.simulation.checkers.liveness import Liveness
from scripts.simulation.checkers.one_log import OneLog

ALL: Final[tuple[type[Checker], ...]] = (OneLog, EqualDigests, ConservedMoney, Liveness)
"""Every checker, in the order in which they are asked."""

"""Actors that a simulated network is attacked by, each with a name.

**The problem.** A protocol for strangers promises something against each of them, and a promise
that nobody tries to break is not tested.

**Rules.** An adversary is played by some nodes of the network, from its beginning to its end, which
cheat as in :mod:`scripts.cheats`: by wrappers around ports, with their own keys. What is there for
real networks is used as it is; what needs virtual time, several nodes or a network of its own is
here, in a file for each actor. Who plays what is a fault like others
(:class:`scripts.simulation.faults.Hostile`), so that it can be drawn, written down and left out.

**Properties.** Any share of the stake may be hostile: :mod:`.promise` says what is promised then.
Honest code knows nothing of this package.
"""

from __future__ import annotations

from typing import Final

from scripts.simulation.adversaries.adversary import Adversary
from scripts.simulation.adversaries.censoring_validator import CensoringValidator
from scripts.simulation.adversaries.colluding_pair import ColludingPair
from scripts.simulation.adversaries.double_voter import DoubleVoter
from scripts.simulation.adversaries.eclipse import Eclipse
from scripts.simulation.adversaries.equivocating_proposer import EquivocatingProposer
from scripts.simulation.adversaries.flooder import Flooder
from scripts.simulation.adversaries.late_prover import LateProver
from scripts.simulation.adversaries.neglecting_sibling import NeglectingSibling
from scripts.simulation.adversaries.never_forwards import NeverForwards
from scripts.simulation.adversaries.prover_of_garbage import ProverOfGarbage
from scripts.simulation.adversaries.record_hoarder import RecordHoarder
from scripts.simulation.adversaries.replayer import Replayer
from scripts.simulation.adversaries.silent_prover import SilentProver
from scripts.simulation.adversaries.starving_server import StarvingServer
from scripts.simulation.adversaries.sybil_operator import SybilOperator
from scripts.simulation.adversaries.twins import Twins
from scripts.simulation.adversaries.withholding_proposer import WithholdingProposer

ALL: Final[dict[str, type[Adversary]]] = {
    one.name: one
    for one in (
        EquivocatingProposer,
        DoubleVoter,
        WithholdingProposer,
        CensoringValidator,
        Twins,
        SilentProver,
        LateProver,
        ProverOfGarbage,
        NeglectingSibling,
        RecordHoarder,
        SybilOperator,
        StarvingServer,
        ColludingPair,
        Eclipse,
        NeverForwards,
        Replayer,
        Flooder,
    )
}
"""Every adversary by its name."""

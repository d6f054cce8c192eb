"""The bugs that a simulation has to find."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from scripts.launcher.mischief import Mischief
from scripts.simulation.checkers.one_log import OneLog
from scripts.simulation.faults import Crash, FaultPlan, Partition
from scripts.simulation.mutants.actors import repeating, unsigned
from scripts.simulation.mutants.mutant import SMALL, Mutant
from scripts.simulation.network import Cast
from scripts.simulation.node import Corrupt
from scripts.simulation.run import Order

_ELECTED: Final = "protocol.proving.elected:Elected."
_MACHINE: Final = "protocol.machine:Machine."


def _with(cheat: str, *sets: str) -> Order:
    """A network in which one prover cheats."""
    cast = Cast(Mischief(((cheat, "prover-1"),)))
    return replace(SMALL, cast=cast, size=replace(SMALL.size, sets=sets))


def _set(*sets: str) -> Order:
    """A network with other settings of its rules."""
    return replace(SMALL, size=replace(SMALL.size, sets=sets))


def _acted(actor: Corrupt) -> Order:
    """A network in which one prover is replaced."""
    return replace(SMALL, cast=Cast(actors={"prover-1": actor}))


_SILENT: Final = _with("silent")
_UNCLES: Final = _with(
    "late",
    "proving.uncle_bps=5000",
    "proving.uncle_reserve_bps=1000",
    "proving.uncle_ticks=4",
    "proving.uncle_scope=open",
    "proving.takeover_bps=5000",
    "proving.leaf_window_ticks=6",
    "proving.merge_window_ticks=6",
)
_EPOCHS: Final = _set("network.epoch_ticks=8")
_PATIENT: Final = _set("proving.min_leaf_ticks=8", "proving.min_merge_ticks=8")
_ONE_AWAY: Final = replace(
    SMALL, faults=FaultPlan(30_000, (Crash(4_000, 20_000, "validator-2", ""),))
)
_SPLIT: Final = replace(
    SMALL,
    size=replace(SMALL.size, nodes=7, validators=4),
    faults=FaultPlan(
        20_000, (Partition(2_000, 15_000, ("validator-1", "validator-2", "prover-1")),)
    ),
    cast=Cast(checkers=(OneLog,)),
)
"""Two halves, and nobody who counts votes a second time."""


CANARY: Final = Mutant(
    "canary",
    "protocol.ledger:Ledger.move",
    "self.holds(moved.target) + moved.amount)",
    "self.holds(moved.target) + moved.amount * (moved.operation is None or"
    " moved.operation[0] >= 4))",
)
"""A bug that shows in few operations, so that a search which only looks once is noticed."""

MUTANTS: Final = (
    CANARY,
    Mutant(
        "pay twice",
        _ELECTED + "settle",
        "                frame.ledger.move(Moved(purse, target, due.amount, due.cause, job.id,"
        " place=index))\n",
        "                half = due.amount // 2\n"
        "                for some in (half, due.amount - half):\n"
        "                    frame.ledger.move(\n"
        "                        Moved(purse, target, some, due.cause, job.id, place=index)\n"
        "                    )\n",
    ),
    Mutant(
        "skip a signature",
        "protocol.messages:operation_is_signed",
        "return signing.verify(",
        "return True or signing.verify(",
        _acted(unsigned),
    ),
    Mutant(
        "skip a proof",
        "prover.modelled:ModelledBackend.verify",
        "        if len(proof) != self.proof_bytes:\n",
        "        if len(proof):\n            return None\n"
        "        if len(proof) != self.proof_bytes:\n",
        _with("forge"),
    ),
    Mutant(
        "a good proof is punished",
        "prover.modelled:ModelledBackend.verify",
        "else _difference(attested, statement)",
        'else (_difference(attested, statement) or (None if attested.is_merge else "invalid"))',
    ),
    Mutant(
        "off-by-one window",
        _ELECTED + "_start_windows",
        "self.window_ticks(index))",
        "self.window_ticks(index) + 1)",
    ),
    Mutant(
        "minimal time one tick short",
        _ELECTED + "admissible_from",
        "opens + self.min_ticks(index)",
        "opens + self.min_ticks(index) - 1",
        _PATIENT,
    ),
    Mutant(
        "wrong sibling",
        "protocol.proving.deal:heirs",
        "(*provers[tree.sibling(index)], *outwards[tree.parent(index)])",
        "(*outwards[tree.parent(index)], *provers[tree.sibling(index)])",
        _SILENT,
    ),
    Mutant(
        "takeover before close",
        _ELECTED + "_pass_on",
        "frame.moment.tick > closes:",
        "frame.moment.tick >= closes:",
        _SILENT,
    ),
    Mutant(
        "deal without the seed",
        "protocol.proving.deal:deal",
        'digest(b"provnet/card/1", seed,',
        'digest(b"provnet/card/1",',
    ),
    Mutant(
        "seed from content",
        "protocol.sequencing.fernet:Fernet._open",
        "seed=frame.moment.beacon,",
        "seed=Beacon(content.body),",
    ),
    Mutant(
        "no dedupe",
        _MACHINE + "_out_of_place",
        "return Reason.DUPLICATE if identity in self._seen else None",
        "return None",
        _acted(repeating),
    ),
    Mutant(
        "stale epoch",
        _MACHINE + "apply",
        "self._epoch_seeds[Epoch(self.epoch(moment.tick) + 2)] = moment.beacon",
        "self._epoch_seeds[Epoch(self.epoch(moment.tick) + 2)] = self.epoch_seed",
        _EPOCHS,
    ),
    Mutant(
        "lost escrow",
        "protocol.ledger:Ledger.move",
        "self.holds(moved.target) + moved.amount)",
        "self.holds(moved.target) + moved.amount * (moved.cause is not Cause.SEQUENCER_SHARE))",
    ),
    Mutant(
        "more than the escrow",
        _MACHINE + "_fund",
        "purse, job.header.fees, Cause.PROVEN_FEES",
        "purse, job.header.fees + 1, Cause.PROVEN_FEES",
    ),
    Mutant(
        "uncle paid twice",
        "protocol.proving.afterwards:Afterwards._pay",
        "for due in within(dues, frame.ledger.holds(purse)):",
        "for due in within((*dues, *dues_of_uncles(self.parameters, progress,"
        " closed.closed_at)), frame.ledger.holds(purse)):",
        _UNCLES,
    ),
    Mutant(
        "vote before persist",
        "protocol.replica:Replica._vote",
        '                yield Remember("vote", slot, payload)\n'
        "                yield Publish(Topic.LOG_VOTES, payload)\n",
        "                yield Publish(Topic.LOG_VOTES, payload)\n"
        '                yield Remember("vote", slot, payload)\n',
    ),
    Mutant(
        "half is a quorum",
        "protocol.ordering.validators:Validators.__init__",
        "self.total * 2 // 3 + 1",
        "self.total // 2 + 1",
        _ONE_AWAY,
    ),
    Mutant(
        "a log for each side",
        "protocol.ordering.validators:Validators.__init__",
        "self.total * 2 // 3 + 1",
        "self.total // 3 + 1",
        _SPLIT,
    ),
    Mutant(
        "heirs do nothing",
        "prover.agent:ProverAgent._pays",
        "return duty.reward",
        "return duty.stage is Stage.OWN and duty.reward",
        _SILENT,
    ),
    Mutant(
        "a state of its own",
        _MACHINE + "_finish",
        'tick.to_bytes(8, "big"), *parts',
        'tick.to_bytes(8, "big"), *parts, str(id(self)).encode()',
    ),
    Mutant(
        "a table that is too large",
        "p2p.archive:Archive.sizes",
        '"states": Size(len(self._states)),',
        '"states": Size(1_000 + len(self._states)),',
        replace(SMALL, blocks=3),
    ),
)
"""All of them; the names are what people call them."""

"""Faults planted into copies of the machine and its rules, source line by source line."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from protocol.machine import Machine
from protocol.proving.elected import Elected
from protocol.sequencing.fernet import Fernet
from protocol.testing import MOVES, Move, Scenario
from protocol.testing.scenario import GENESIS_ROOT

MACHINE, FERNET, ELECTED = (
    "protocol.machine",
    "protocol.sequencing.fernet",
    "protocol.proving.elected",
)
RECORDS, DEAL, PROGRESS, PAY, AFTERWARDS = (
    "protocol.proving.records",
    "protocol.proving.deal",
    "protocol.proving.progress",
    "protocol.proving.pay",
    "protocol.proving.afterwards",
)
PARTS_OF_ELECTED = (RECORDS, DEAL, PROGRESS, PAY, AFTERWARDS, ELECTED)
"""Modules of the rule, each after those that it imports."""


@dataclass(frozen=True)
class Fault:
    """``old`` stands once in the source of ``module``; the fault is ``new`` in its place.

    :ivar seed: a story that is known to find it, told first.
    :ivar like: a network in which it can be found.
    :cvar moves: what may happen in the stories.
    """

    name: str
    module: str
    old: str
    new: str
    seed: int = 0
    like: Scenario = field(default_factory=Scenario)
    moves: ClassVar[Mapping[str, Move]] = MOVES

    def copies(self, names: tuple[str, ...]) -> ModuleType:
        """Copies of modules that import each other, one with the fault; returns the last."""
        kept = {name: import_module(name) for name in names}
        try:
            for name in names:
                module = ModuleType(f"{name} with {self.name}")
                sys.modules[name] = sys.modules[module.__name__] = module
                source = Path(kept[name].__file__ or "").read_text()
                if name == self.module:
                    assert source.count(self.old) == 1, f"the fault {self.name!r} lost its place"
                    source = source.replace(self.old, self.new)
                exec(compile(source, f"planted {self.name}", "exec"), module.__dict__)
        finally:
            sys.modules.update(kept)
        return module

    def scenario(self) -> Scenario:
        """A network that runs under the fault."""
        like = self.like
        if self.module in PARTS_OF_ELECTED:
            planted = self.copies(PARTS_OF_ELECTED)
            return replace(like, proving=type("Planted", (planted.Elected, Elected), {}))
        planted = self.copies((self.module,))
        if self.module == FERNET:
            return replace(like, sequencing=type("Planted", (planted.Fernet, Fernet), {}))
        return PlantedMachineScenario(machine_class=planted.Machine)


@dataclass(frozen=True)
class PlantedMachineScenario(Scenario):
    """A scenario with another machine."""

    machine_class: type[Machine] = Machine

    def machine(self) -> Machine:
        """Like the real one."""
        return self.machine_class(
            self.genesis(),
            GENESIS_ROOT,
            self.sequencing(self.sequencing_parameters),
            self.proving(self.proving_parameters),
        )


FAULTS = (
    Fault(
        "a tree node is paid twice",
        ELECTED,
        "frame.ledger.move(Moved(purse, target, due.amount, due.cause, job.id, place=index))",
        "for some in (due.amount // 2, due.amount - due.amount // 2):\n"
        "                    moved = Moved(purse, target, some, due.cause, job.id, place=index)\n"
        "                    frame.ledger.move(moved)",
        seed=6,
    ),
    Fault(
        "a failed prover is paid",
        PAY,
        "Amount(0) if has_failed else part(worth, parameters.primary_bps)",
        "part(worth, parameters.primary_bps)",
    ),
    Fault(
        "an heir is paid in full",
        PAY,
        "return part(worth, parameters.takeover_bps), Cause.TAKEOVER_PAY",
        "return worth, Cause.TAKEOVER_PAY",
        seed=1,
    ),
    Fault(
        "a window is one tick too long",
        ELECTED,
        "frame.moment.tick > closes:",
        "frame.moment.tick > closes + 1:",
    ),
    Fault(
        "takeover before the window closes",
        ELECTED,
        "frame.moment.tick > closes:",
        "frame.moment.tick >= closes:",
    ),
    Fault(
        "a window starts before its right is final",
        ELECTED,
        "or frame.moment.settled < (right.opens or 0)",
        "",
        seed=1,
    ),
    Fault(
        "the minimal time is one tick too short",
        ELECTED,
        "if frame.moment.tick < admissible:",
        "if frame.moment.tick + 1 < admissible:",
    ),
    Fault(
        "the wrong sibling inherits",
        DEAL,
        "(*provers[tree.sibling(index)], *outwards[tree.parent(index)])",
        "(*outwards[tree.parent(index)], *provers[tree.sibling(index)])",
    ),
    Fault(
        "who fails at the same time inherits",
        ELECTED,
        "if not place.has_held(one) and one not in progress.failures",
        "if not place.has_held(one)",
    ),
    Fault(
        "open to anybody too early",
        ELECTED,
        "previous, heir = place.right.holders[0], next(self._heirs_left(progress, place), None)",
        "previous, heir = place.right.holders[0], None",
    ),
    Fault(
        "a merge of claims that were not recorded",
        RECORDS,
        "if record.children != below:",
        "if record.children is None:",
        seed=12,
    ),
    Fault(
        "the proposer's order decides",
        ELECTED,
        'b"provnet/contest/1", frame.moment.beacon, one.prover, one.claim',
        'b"provnet/contest/1"',
    ),
    Fault(
        "a foreign record",
        ELECTED,
        "        if not place.is_held_by(sender):\n            raise",
        "        if False:\n            raise",
        seed=48,
    ),
    Fault(
        "what division leaves over is lost",
        ELECTED,
        "        frame.ledger.move(Moved(purse, BURNED, left, Cause.ROUNDING, job.id))\n",
        "",
    ),
    Fault(
        "the time to prove is bounded too early",
        ELECTED,
        "closes + 1 + stages_left * (finality + window + 1)",
        "closes + 1",
        seed=39,
    ),
    Fault(
        "a refused intent counts",
        ELECTED,
        "        if payload.until < frame.moment.tick or payload.capacity == 0:\n",
        "        self._intents[sender] = payload.until\n"
        "        if payload.until < frame.moment.tick or payload.capacity == 0:\n",
    ),
    Fault(
        "the deal looks at the hash of nothing",
        DEAL,
        'digest(b"provnet/card/1", seed,',
        'digest(b"provnet/card/1",',
    ),
    Fault(
        "the seed comes from the content",
        FERNET,
        "seed=frame.moment.beacon,",
        "seed=Beacon(content.body),",
    ),
    Fault(
        "the worst score leads",
        FERNET,
        "key=lambda one: (one.score, one.sequencer), reverse=True)",
        "key=lambda one: (one.score, one.sequencer))",
        seed=17,
    ),
    Fault(
        "the pool is that of the opening",
        FERNET,
        "job = frame.open_job(header, phase.pool)",
        "job = frame.open_job(header, frame.pool())",
    ),
    Fault(
        "a reveal in the block that gives the seed",
        FERNET,
        "if frame.moment.tick >= phase.ends:",
        "if frame.moment.tick > phase.ends:",
        seed=4,
    ),
    Fault(
        "anybody reveals",
        FERNET,
        "committed = next((one for one in phase.elected if one.sequencer == sender), None)",
        "committed = phase.elected[0]",
        seed=2,
    ),
    Fault(
        "two commitments",
        FERNET,
        "if any(one.sequencer == sender for one in collecting.candidates):",
        "if False:",
        seed=18,
    ),
    Fault(
        "unbounded build-ahead",
        FERNET,
        "return len(rounds) < self.parameters.max_unproven_jobs",
        "return True",
        seed=10,
    ),
    Fault(
        "void before the deadline",
        FERNET,
        "(tick > due and tick > frame.latest(job.id))",
        "(tick > due - 5 and tick > frame.latest(job.id) - 20)",
    ),
    Fault(
        "no dedupe",
        MACHINE,
        "return Reason.DUPLICATE if identity in self._seen else None",
        "return None",
    ),
    Fault(
        "an unpayable operation is accepted",
        MACHINE,
        "            raise Refused(Reason.FEE_UNPAYABLE)\n",
        "            pass\n",
        seed=3,
    ),
    Fault(
        "lost escrow",
        MACHINE,
        "Moved(VAULT, purse, job.header.fees, Cause.PROVEN_FEES, job.id)",
        "Moved(VAULT, purse, Amount(job.header.fees // 2), Cause.PROVEN_FEES, job.id)",
    ),
    Fault(
        "descendants of a void job stay",
        MACHINE,
        "for one in reversed(line):",
        "for one in [doomed]:",
    ),
    Fault(
        "a stale epoch seed",
        MACHINE,
        "self._epoch_seeds[self.epoch(moment.tick)],",
        "self._epoch_seeds[Epoch(self.epoch(moment.tick) + 1)],",
    ),
    Fault(
        "two penalties for one fault",
        MACHINE,
        "        if (offender, slot) in self._punished:\n",
        "        if False:\n",
        seed=10,
    ),
)

"""The ``simulate`` command: one seed or many, and what a person is told of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Final

from rich.console import Console

from prover.pool import usable_cores
from scripts.configuration import ConfigurationError
from scripts.launcher.plan import usual_slot_ms
from scripts.simulation import aftermath
from scripts.simulation.adversaries.telling import told as told_of_adversaries
from scripts.simulation.case import is_case, read_case
from scripts.simulation.checkers.checker import Violation
from scripts.simulation.faults import FaultPlan, read_plan
from scripts.simulation.many import Timed, simulate_many, timed
from scripts.simulation.network import Size, planned
from scripts.simulation.run import Order, Outcome


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person at the terminal asked for.

    :ivar faults: a file of faults, the word ``drawn``, or empty for none.
    :ivar seeds: ``A..B``, both included; empty: only the seed of the order.
    :ivar jobs: processes; 0: one for each core.
    :ivar out: the folder for what is left of a violation; empty: it is told and no more.
    """

    order: Order
    faults: str = ""
    seeds: str = ""
    jobs: int = 0
    keep_going: bool = False
    out: str = ""


DRAWN: Final = "drawn"
"""Given as a file of faults: they are drawn from the seed."""

VALIDATORS_MAX: Final = 16
"""Half of the nodes order the log, but not more than so many."""

TOLD_SEEDS: Final = 50
"""Where there is no terminal, a line is told for so many seeds."""


def check_size(size: Size) -> None:
    """Refuse what no network can be made of. Raises ConfigurationError."""
    if not 0 < size.validators < size.nodes:
        raise ConfigurationError(
            f"{size.validators} validators of {size.nodes} nodes leave nobody to prove",
            "give more --nodes, or fewer --validators",
        )


def run(wishes: Wishes, console: Console) -> int:
    """Simulate and tell. Returns the exit code: 0 when nothing was found.

    :raises Complaint: for what no network can be made of.
    """
    order = _order(wishes)
    if wishes.seeds:
        return _run_many(wishes, order, console)
    return _run_one(wishes, order, console)


def _order(wishes: Wishes) -> Order:
    """What to simulate. A file that is a case is a whole run: nothing else that was asked for
    counts beside it, but for many seeds.
    """
    order = wishes.order
    if wishes.faults == DRAWN:
        return replace(order, faults=None)
    if not wishes.faults:
        return replace(order, faults=FaultPlan())
    path = Path(wishes.faults)
    if is_case(path):
        return read_case(path, order.cast)
    names = tuple(one.name for one in planned(order.size, order.seed, order.cast).members)
    return replace(order, faults=read_plan(path, names))


def _run_one(wishes: Wishes, order: Order, console: Console) -> int:
    console.print(f"seed {order.seed}")
    one = timed(order)
    outcome = one.outcome
    for line in told(order, outcome, one.cpu_s):
        console.print(line, markup=False)
    if outcome.violations:
        _look_into(wishes, replace(order, seed=outcome.seed), outcome, console)
    console.print(f"seed {order.seed}")
    return 1 if outcome.violations else 0


def _look_into(wishes: Wishes, order: Order, outcome: Outcome, console: Console) -> None:
    """Shrink a run in which something was found, and write it down, if that is wanted."""
    if not wishes.out:
        console.print("hint: give --out FOLDER to have the faults shrunk and the run written down")
        return
    checker = outcome.violations[0].checker
    left = aftermath.write_aftermath(order, checker, Path(wishes.out))
    for line in aftermath.told(left):
        console.print(line, markup=False)
    again = f"./scripts/provnet simulate --seed {order.seed} --faults {left.case}"
    console.print(f"repeat it   {again}", markup=False)


def seeds_of(text: str) -> range:
    """The seeds from A to B of ``A..B``, both included.

    :raises ConfigurationError: for anything else.
    """
    first, dots, last = text.partition("..")
    if not (dots and first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
        raise ConfigurationError(
            f"--seeds {text}: these are no seeds", "give the first and the last, as in 1..1000"
        )
    return range(int(first), int(last) + 1)


def _run_many(wishes: Wishes, order: Order, console: Console) -> int:
    seeds = seeds_of(wishes.seeds)
    jobs = min(len(seeds), wishes.jobs or usable_cores())
    tally = Tally()
    console.print(f"seeds {seeds[0]} to {seeds[-1]}, in {jobs} processes")
    began_s = time.monotonic()
    with (
        console.status("the first seeds") as status,
        suppress(KeyboardInterrupt),
        closing(simulate_many(order, seeds, jobs)) as outcomes,
    ):
        for one in outcomes:
            tally.add(one)
            for violation in one.outcome.violations:
                console.print(f"VIOLATION   {sentence_of(violation)}", markup=False)
            if one.outcome.violations:
                console.print(f"repeat it   {repeated_by(wishes, one.outcome.seed)}", markup=False)
                if not wishes.keep_going:
                    break
            status.update(tally.line(len(seeds), time.monotonic() - began_s))
            if tally.seeds % TOLD_SEEDS == 0 and not console.is_terminal:
                console.print(tally.line(len(seeds), time.monotonic() - began_s))
    if tally.first is not None:
        _look_into(wishes, replace(order, seed=tally.first.seed), tally.first, console)
    for line in tally.lines(time.monotonic() - began_s):
        console.print(line, markup=False)
    console.print(f"seeds {seeds[0]} to {seeds[-1]}")
    return 1 if tally.failed or tally.seeds < len(seeds) else 0


def repeated_by(wishes: Wishes, seed: int) -> str:
    """The command that repeats one seed of many."""
    order, usual = wishes.order, Order(seed)
    size, usual_size = order.size, usual.size
    given = {
        "--nodes": (size.nodes, usual_size.nodes),
        "--validators": (size.validators, half_of(size.nodes)),
        "--leaves": (size.leaves, usual_size.leaves),
        "--blocks": (order.blocks, usual.blocks),
        "--slot-ms": (size.slot_ms, usual_slot_ms(size.nodes)),
        "--faults": (wishes.faults, ""),
        "--minutes": (order.safety_ms / 60_000, usual.safety_ms / 60_000),
        "--sequencing": (size.sequencing, usual_size.sequencing),
        "--proving": (size.proving, usual_size.proving),
    }
    words = [f"{name} {value}" for name, (value, default) in given.items() if value != default]
    words += [f"--set {one}" for one in size.sets]
    words += [f"--adversary {one}" for one in order.hostility.asked]
    words += ["--adversaries"] * order.hostility.is_drawn
    return " ".join(["./scripts/provnet simulate --seed", str(seed), *words])


def half_of(nodes: int) -> int:
    """How many nodes order the log, where nobody says otherwise."""
    return max(1, min(VALIDATORS_MAX, nodes // 2))


class Tally:
    """What became of many runs together.

    :ivar first: the first outcome in which something was found.
    """

    def __init__(self) -> None:
        self.seeds = 0
        self.failed: list[int] = []
        self.first: Outcome | None = None
        self._virtual_ms = 0
        self._cpu_s = 0.0
        self._settled = 0
        self._faults: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._digests: dict[int, str] = {}

    def add(self, one: Timed) -> None:
        """Count one run."""
        outcome = one.outcome
        self.seeds += 1
        self._virtual_ms += outcome.virtual_ms
        self._cpu_s += one.cpu_s
        self._settled += outcome.settled
        self._faults.update(dict(outcome.faults))
        self._refusals.update(dict(outcome.refusals))
        self._digests[outcome.seed] = outcome.digest
        if outcome.violations:
            self.failed.append(outcome.seed)
            self.first = self.first or outcome

    def line(self, wanted: int, wall_s: float) -> str:
        """How far it is."""
        return (
            f"{self.seeds} of {wanted} seeds in {wall_s:.0f} s: violations in {len(self.failed)}, "
            f"{self._virtual_ms / 3_600_000:.1f} hours of virtual time"
        )

    def lines(self, wall_s: float) -> Iterator[str]:
        """All of it, once it is over; all but the times follow from the seeds."""
        virtual_s = self._virtual_ms / 1000
        yield f"runs        {self.seeds}, {self._settled} blocks proven"
        yield f"time        {virtual_s / 3600:.1f} h of virtual time in {wall_s:.0f} s"
        if self.seeds and self._cpu_s:
            speed = virtual_s / self._cpu_s
            each_s = self._cpu_s / self.seeds
            yield f"one core    {each_s:.2f} s for each seed, {speed:.1f} times real time"
        yield f"faults      {counted(tuple(sorted(self._faults.items()))) or 'none'}"
        yield f"refusals    {counted(tuple(sorted(self._refusals.items()))) or 'none'}"
        failed = ", ".join(map(str, sorted(self.failed)))
        yield f"violations  {f'in {len(self.failed)} seeds: {failed}' if failed else 'none'}"
        digests = "".join(digest for _, digest in sorted(self._digests.items()))
        yield f"digest      {blake2b(digests.encode(), digest_size=32).hexdigest()}"


def told(order: Order, outcome: Outcome, cpu_s: float) -> Iterator[str]:
    """A run in a few lines; all but the speed follow from the seed."""
    size, virtual_s = order.size, outcome.virtual_ms / 1000
    speed = f"{virtual_s / cpu_s:.1f} times real time" if cpu_s else "at once"
    yield f"network     {size.nodes} nodes, {size.validators} validate, slots of {size.slot_ms} ms"
    yield f"proven      {outcome.settled} blocks of {size.leaves} leaves"
    yield f"log         {outcome.height} blocks"
    yield f"time        {virtual_s:.1f} s of virtual time in {cpu_s:.1f} s of one core: {speed}"
    yield f"faults      {counted(outcome.faults) or 'none'}"
    yield f"lives       {outcome.lives} of {size.nodes} nodes"
    yield f"refusals    {counted(outcome.refusals) or 'none'}"
    yield from told_of_adversaries(outcome.adversaries, outcome.promise, outcome.violations)
    for one in outcome.violations:
        yield f"VIOLATION   {sentence_of(one)}"
    if not outcome.violations:
        yield "violations  none"
    yield f"digest      {outcome.digest} of {outcome.entries} entries"


def counted(counts: tuple[tuple[str, int], ...]) -> str:
    """Counts by name as a person reads them."""
    return ", ".join(f"{count} {name.lower().replace('_', ' ')}" for name, count in counts)


def sentence_of(violation: Violation) -> str:
    """A violation as a person reads it."""
    where = f" at {violation.node}" if violation.node else ""
    return f"{violation.checker}{where} after {violation.at_ms / 1000:.1f} s: {violation.sentence}"

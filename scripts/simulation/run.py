"""One run of a simulated network, from its seed to its digest."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from scripts.simulation.adversaries.adversary import Deed
from scripts.simulation.adversaries.casting import PEACE, Hostility
from scripts.simulation.adversaries.promise import UNTROUBLED, Promise, broken_promises
from scripts.simulation.checkers.checker import Final as FinalState, Violation
from scripts.simulation.draw import stream
from scripts.simulation.faults import NOTHING, FaultPlan, draw_plan
from scripts.simulation.happenings import Healed
from scripts.simulation.network import HONEST, Cast, SimulatedNetwork, Size, planned
from scripts.simulation.scheduling import run_virtually
from scripts.simulation.sharing import shared
from scripts.simulation.tape import Tape
from scripts.simulation.weather import Weather

PATIENCE_SLOTS: Final = 240
"""Slots after healing in which the network comes to its senses: bodies that nobody asks for any
more are asked for again, and what was lost is given up.
"""

PATIENCE_SLOTS_PER_BLOCK: Final = 60
"""Slots that each block may take after that."""

MEETING_SLOTS: Final = 24
"""Slots after which what an adversary does has been answered to, if it is at all."""

HOPE_SLOTS: Final = 40
"""Slots after healing in which a network is watched that does not have to finish anything."""

COLLECTED: Final = (50_000, 20, 50)
"""Thresholds of Python's collector during a run."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to simulate; the run is a function of it.

    :ivar blocks: rollup blocks that every node has to settle, at least one of them after healing.
    :ivar faults: what goes wrong; None: drawn from the seed.
    :ivar safety_ms: how long things go wrong, where they are drawn.
    :ivar hostility: adversaries beside those of ``faults``.
    :ivar is_sharing: whether nodes share what :mod:`scripts.simulation.sharing` says.
    """

    seed: int
    size: Size = field(default_factory=Size)
    blocks: int = 3
    faults: FaultPlan | None = NOTHING
    safety_ms: int = 60_000
    cast: Cast = HONEST
    hostility: Hostility = PEACE
    is_sharing: bool = True

    def plan(self) -> FaultPlan:
        """The faults of this run.

        :raises ConfigurationError: for an adversary that cannot be cast.
        """
        faults = self.faults
        if faults is not None and self.hostility == PEACE:
            return faults
        members = planned(self.size, self.seed, self.cast).members
        if faults is None:
            names = tuple(one.name for one in members)
            faults = draw_plan(stream(self.seed, "faults"), names, self.safety_ms)
        return faults.joined(self.hostility.cast(stream(self.seed, "adversaries"), members))

    def repeated(self) -> Order:
        """The same run with its faults spelled out, so that some can be left out."""
        return replace(self, faults=self.plan(), hostility=PEACE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run.

    :ivar digest: of everything that happened, in hexadecimal digits.
    :ivar entries: how many things that was.
    :ivar settled: rollup blocks that every honest node has settled.
    :ivar height: of the log, at the highest node.
    :ivar faults: faults that began, by kind.
    :ivar lives: lives of all nodes together.
    :ivar refusals: what nodes refused and told of, by reason.
    :ivar adversaries: what each adversary did, and what met it.
    :ivar promise: what is promised while they are there.
    """

    seed: int
    digest: str
    entries: int
    virtual_ms: int
    settled: int
    height: int
    faults: tuple[tuple[str, int], ...]
    lives: int
    refusals: tuple[tuple[str, int], ...]
    violations: tuple[Violation, ...]
    adversaries: tuple[Deed, ...] = ()
    promise: Promise = UNTROUBLED


def simulate(order: Order, tape: Tape | None = None) -> Outcome:
    """Run a network from its first slot until it has finished its work, or a checker found
    something, or it had long enough.

    :param tape: takes in all that happens.
    :raises Complaint: for what no network can be made of.
    """
    with shared() if order.is_sharing else nullcontext(), rarely_collected():
        return run_virtually(_Run(order, tape).run, f"turns {order.seed}")


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Look for garbage less often: a run makes many objects that live until it ends."""
    before = gc.get_threshold()
    gc.set_threshold(*COLLECTED)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class _Run:
    def __init__(self, order: Order, tape: Tape | None) -> None:
        self._order = order
        self._tape = tape
        self._plan = order.plan()

    async def run(self) -> Outcome:
        order = self._order
        network = SimulatedNetwork(order.size, order.seed, order.cast, order.blocks, self._plan)
        network.tape = self._tape
        try:
            async with trio.open_nursery() as nursery:

                def revive(name: str) -> None:
                    nursery.start_soon(network.nodes[name].live)

                weather = Weather(network, revive)
                for name in network.nodes:
                    revive(name)
                await self._last(network, weather)
                outcome = self._outcome(network, weather)
                nursery.cancel_scope.cancel()
        finally:
            network.close()
        return outcome

    async def _last(self, network: SimulatedNetwork, weather: Weather) -> None:
        """Until the work is done, a checker found something, or it took too long."""
        async with trio.open_nursery() as nursery:

            async def work() -> None:
                await weather.run(self._plan)
                network.tell("", Healed())
                await self._finish(network)
                nursery.cancel_scope.cancel()

            nursery.start_soon(work)
            while not network.violations:
                await network.changed.wait()
            nursery.cancel_scope.cancel()

    async def _finish(self, network: SimulatedNetwork) -> None:
        """After healing: until every honest node settled what it has to, or it took too long."""
        settled = max((one.settled for one in network.nodes.values()), default=0)
        wanted = max(self._order.blocks, settled + 1)
        slots = PATIENCE_SLOTS + PATIENCE_SLOTS_PER_BLOCK * (wanted - settled)
        if not network.promise.finishes:
            slots = HOPE_SLOTS
        with trio.move_on_after(slots * self._order.size.slot_ms / 1000):
            while any(one.settled < wanted for one in network.honest):
                await network.changed.wait()

    def _outcome(self, network: SimulatedNetwork, weather: Weather) -> Outcome:
        at_ms = round(trio.current_time() * 1000)
        finals = tuple(
            FinalState(one.name, one.node.machine if one.node else None)
            for one in network.nodes.values()
        )
        violations = list(network.violations)
        for checker in network.checkers if not violations else ():
            violations.extend(checker.at_end(at_ms, finals))
        deeds = network.deeds.told(at_ms, network.honest)
        if network.promise.agrees:
            patience_ms = MEETING_SLOTS * self._order.size.slot_ms
            violations.extend(broken_promises(deeds, patience_ms))
        return Outcome(
            seed=self._order.seed,
            digest=network.record.digest(),
            entries=network.record.entries,
            virtual_ms=at_ms,
            settled=min((one.settled for one in network.honest), default=0),
            height=max(one.height for one in network.nodes.values()),
            faults=tuple(sorted(weather.counts.items())),
            lives=sum(one.lives for one in network.nodes.values()),
            refusals=tuple(sorted(network.refusals.items())),
            violations=tuple(violations),
            adversaries=deeds,
            promise=network.promise,
        )

"""Predicts how long proofs take here, before anything is promised. Whole numbers only, and pure.

The problem: a prover that promises what it cannot deliver in time loses its pay, its bond or its
stake, and how long a proof takes depends on the machine, on the threads it gets and on what else is
to be proven.

The rules:

- *Times* of each kind of proof are known by numbers of threads: from a calibration, and from each
  proof that was made here, which moves what is known for its number of threads a quarter of the way
  to what it took. Between two known numbers of threads one part of the time is divided by the
  threads and the other is not (Amdahl 1967). On fewer threads than any known number the time grows
  in proportion; on more it stays as it is.
- *A layer* of so many proofs that wait for nothing is made in rounds of as many as there are
  workers, who share the cores evenly; if it is less than one round, those few share them. Whoever
  comes after that gets the threads of the one that ends (:mod:`prover.schedule`).
- *A job* is its leaves and then its merges, layer by layer, behind everything that runs here or is
  owed. What runs counts as if it were just begun.
- *Ticks:* the log grows by one tick a slot at most. A record is held by a proposer for one full
  slot, and ordered in one after that.

Properties: where more threads never take longer, predictions never shrink when there is more to do.
Nothing is predicted as long as no
proof of a kind that is needed was ever timed. What was learned may be lost with a restart: it is a
cache of experience, and calibrated times are the start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from protocol.agents import ProofKey, ProofMade, View
from protocol.rules import Stage
from protocol.types import Count, Milliseconds, Tick, TreeIndex

ORDER_TICKS: Final = Tick(2)
"""Ticks from a finished proof to its record: one that a proposer holds it, one that orders it."""

_INERTIA: Final = 4
"""A new measurement counts as one of so many."""


@dataclass(frozen=True, slots=True)
class Times:
    """Known times of one kind of proof: pairs of threads and milliseconds, fewest threads first."""

    known: tuple[tuple[Count, Milliseconds], ...] = ()

    @classmethod
    def of(cls, known: Mapping[int, int]) -> Times:
        """From milliseconds by number of threads."""
        return cls(tuple((Count(one), Milliseconds(known[one])) for one in sorted(known)))

    def learned(self, threads: Count, wall_ms: Milliseconds) -> Times:
        """With one more measurement."""
        known = dict(self.known)
        before = known.get(threads, wall_ms)
        known[threads] = Milliseconds(-(-((_INERTIA - 1) * before + wall_ms) // _INERTIA))
        return Times(tuple(sorted(known.items())))

    def ms(self, threads: int) -> Milliseconds:
        """How long one proof takes on so many threads, rounded up.

        :raises ValueError: when nothing is known.
        """
        fewer = [one for one in self.known if one[0] <= threads]
        more = [one for one in self.known if one[0] > threads]
        if not fewer:
            if not more:
                raise ValueError("a proof of this kind was never timed")
            least, least_ms = more[0]
            return Milliseconds(-(-least_ms * least // threads))
        below, below_ms = fewer[-1]
        if not more or below == threads:
            return below_ms
        above, above_ms = more[0]
        # t(n) = a + b / n through both points
        part = (below_ms - above_ms) * above * (threads - below)
        return Milliseconds(below_ms - part // (threads * (above - below)))


@dataclass(frozen=True, slots=True)
class Load:
    """So many leaves and merges."""

    leaves: int = 0
    merges: int = 0

    @classmethod
    def of(cls, indices: Iterable[TreeIndex]) -> Load:
        """The load of some tree nodes."""
        levels = [index.level for index in indices]
        return cls(sum(1 for level in levels if not level), sum(1 for level in levels if level))

    def plus(self, other: Load) -> Load:
        """Both together."""
        return Load(self.leaves + other.leaves, self.merges + other.merges)


def owed_load(view: View) -> Load:
    """What the prover has promised and not delivered, and what runs here for whatever reason."""
    duties = view.machine.proving.duties(view.account)
    owed = (
        ProofKey(one.job, one.index) for one in duties if one.stage in (Stage.OWN, Stage.TAKEOVER)
    )
    return Load.of(key.index for key in dict.fromkeys((*view.running(), *owed)))


def whole_tree(leaf_count: int) -> Load:
    """All leaves and merges of a proof tree."""
    return Load(leaf_count, leaf_count - 1)


def tree_layers(leaf_count: int) -> tuple[Load, ...]:
    """The layers of a whole proof tree, leaves first."""
    height = leaf_count.bit_length() - 1
    merges = (Load(merges=leaf_count >> level) for level in range(1, height + 1))
    return (Load(leaves=leaf_count), *merges)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a prover can do at a time, and how fast.

    :ivar cores: threads of all proofs together.
    :ivar workers: proofs at a time.
    """

    cores: Count = Count(1)
    workers: Count = Count(1)
    leaf: Times = Times()
    merge: Times = Times()

    def learned(self, event: object) -> Capacity:
        """With what an event tells of a finished proof, if it is one that was timed."""
        if not isinstance(event, ProofMade) or not event.threads:
            return self
        if event.key.index.level:
            return replace(self, merge=self.merge.learned(event.threads, event.wall_ms))
        return replace(self, leaf=self.leaf.learned(event.threads, event.wall_ms))

    def ms(self, load: Load) -> Milliseconds:
        """How long proofs that wait for nothing take, leaves first.

        :raises ValueError: when one of a kind that was never timed is among them.
        """
        kinds = ((self.leaf, load.leaves), (self.merge, load.merges))
        return Milliseconds(sum(self._layer_ms(times, count) for times, count in kinds))

    def ticks(self, layers: Iterable[Load], behind: Load, slot_ms: Milliseconds) -> Tick | None:
        """In how many ticks the last of some layers is recorded, each layer begun after the one
        before, and all of them behind ``behind``; None when that cannot be told.
        """
        try:
            wall_ms = self.ms(behind) + sum(self.ms(layer) for layer in layers)
        except ValueError:
            return None
        return Tick(-(-wall_ms // slot_ms) + ORDER_TICKS)

    def _layer_ms(self, times: Times, count: int) -> int:
        at_a_time = max(1, min(self.workers, self.cores))
        if not count:
            return 0
        rounds, side_by_side = -(-count // at_a_time), min(count, at_a_time)
        return rounds * times.ms(self.cores // side_by_side)


UNTIMED: Final = Capacity()
"""One worker on one core of which nothing is known."""

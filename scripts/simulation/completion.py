"""How many trees are completed by takeover to some depth, when provers fail at random.

**The claim.** Provers cover for each other. If each of as many provers as there are leaves fails
with probability ``p``, a tree of ``L`` leaves is completed with probability ``(1 - p)^L`` without
takeover. With takeover to depth ``d`` it would be ``(1 - p^(2^d))^(L / 2^d)``, if anybody in a
subtree of ``2^d`` leaves could stand in for anybody else in it: the *closed form*.

**What the rule does.** The heirs of ``protocol.proving.elected`` are fewer: of each sibling subtree
one, its owner. For depths 0 and 1 that is the closed form. For more it is less, as a tree node may
run out of heirs that live while others do; how much less is counted here over all failures of one
subtree of ``2^d`` leaves: the *form of the rule*. Subtrees fail independently, and which child a
merge's bit names does not matter, as the children can be swapped.

**What is measured.** The depth that a job needed: for each tree node, how far up the tree one has
to go from the leaf of its own prover until the leaf of the recorded one is below; one more than the
height where nobody was left but anybody. Either in the rule alone, where whoever lives delivers as
soon as it may, or in a whole simulated network, where who fails is silent. With one card for each
prover and as many provers as leaves, each leaf has a prover of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

from rich.console import Console

from protocol.events import Assigned, Event, PoolMember, ProofRecorded, TakenOver
from protocol.happenings import BlockFinal
from protocol.ledger import Ledger, prover_stake
from protocol.messages import NO_JOB, BlockContent, JobHeader, LeafHeader, ProofRecord, job_id
from protocol.proving.elected import Elected
from protocol.proving.elected_parameters import ElectedParameters
from protocol.proving.progress import Place, Progress
from protocol.rules import Frame, Job, Moment
from protocol.types import (
    FULL_SHARE,
    Account,
    Amount,
    Beacon,
    BodyHash,
    Claim,
    Count,
    Digest,
    JobId,
    NetworkId,
    OperationHash,
    Root,
    Round,
    Slot,
    Tick,
    TransferDigest,
    TreeIndex,
)
from scripts.launcher.mischief import Mischief
from scripts.simulation.draw import stream
from scripts.simulation.network import Cast, Size
from scripts.simulation.run import Order, simulate
from scripts.simulation.tape import Tape

STANDARD_ERRORS: Final = 1.96
"""Of a normal distribution 95 % lies within so many."""

HARDLY_EVER: Final = 4.0
"""Standard errors beyond which less than one in ten thousand measurements stray."""

PARAMETERS: Final = ElectedParameters(
    min_leaf_ticks=Tick(1),
    min_merge_ticks=Tick(1),
    leaf_window_ticks=Tick(2),
    merge_window_ticks=Tick(2),
    open_ticks=Tick(2),
)
"""Windows as short as can be: whoever lives delivers in the first tick."""

_TICKS_MAX: Final = 10_000


# --- forms ---


def closed_form(leaves: int, depth: int, failing: float) -> float:
    """The share of trees that is completed, if all of a subtree could stand in for each other."""
    return float((1 - failing ** (1 << depth)) ** (leaves >> depth))


def form_of_the_rule(leaves: int, depth: int, failing: float) -> float:
    """The share of trees that is completed by the heirs of the rule."""
    width, share = 1 << depth, 0.0
    stand_ins = [
        [leaf, *(((leaf >> level) ^ 1) << level for level in range(depth))] for leaf in range(width)
    ]
    for lives in product((True, False), repeat=width):
        if all(any(lives[one] for one in line) for line in stand_ins):
            share += math.prod(1 - failing if alive else failing for alive in lives)
    return float(share ** (leaves >> depth))


# --- measuring ---


def depth_needed(events: Iterable[Event], job: JobId) -> int:
    """How far takeover of a job had to reach; see the module."""
    leaf_of: dict[Account | None, int] = {}
    owners: dict[TreeIndex, Account | None] = {}
    open_to_all: set[TreeIndex] = set()
    deepest = height = 0
    for event in events:
        match event:
            case Assigned(at, index, prover) if at == job:
                owners[index] = prover
                height = max(height, index.level)
                if index.level == 0:
                    leaf_of[prover] = index.position
            case TakenOver(at, index, _, None) if at == job:
                open_to_all.add(index)
            case ProofRecorded(at, index, prover) if at == job:
                apart = leaf_of[owners[index]] ^ leaf_of[prover]
                needed = height + 1 if index in open_to_all else apart.bit_length()
                deepest = max(deepest, needed)
    return deepest


def measured_by_rule(leaves: int, failing: float, jobs: int, seed: int) -> list[int]:
    """The depths that so many jobs needed, under the rule alone."""
    depths = []
    for number in range(jobs):
        lots = stream(seed, "completion", leaves, failing, number)
        table = Table(leaves)
        alive = [one for one in table.provers if lots.random() >= failing]
        alive = alive or [lots.choice(table.provers)]
        job, events = table.prove(alive, Beacon(lots.randbytes(32)))
        depths.append(depth_needed(events, job))
    return depths


def measured_in_network(leaves: int, failing: float, runs: int, seed: int) -> Iterator[int]:
    """The depths that the first jobs of so many simulated networks needed."""
    for number in range(runs):
        lots = stream(seed, "completion in a network", leaves, failing, number)
        silent = [f"prover-{one + 1}" for one in range(leaves) if lots.random() < failing]
        cast = Cast(Mischief(tuple(("silent", name) for name in silent[: leaves - 1])))
        size = Size(nodes=leaves + 3, validators=3, leaves=leaves)
        tape = Tape()
        simulate(Order(number, size, 1, cast=cast), tape)
        yield _first_depth(tape)


def _first_depth(tape: Tape) -> int:
    """The depth of the first job on a tape."""
    events: list[Event] = []
    height = 0
    for _, _, event in tape.events:
        if isinstance(event, BlockFinal) and event.applied.tick == height + 1:
            height += 1
            events += event.applied.events
    job = next(one.job for one in events if isinstance(one, Assigned))
    return depth_needed(events, job)


class Table:
    """The rule, with one job and nothing around it.

    :ivar provers: one for each leaf, with a card each.
    """

    def __init__(self, leaves: int) -> None:
        self.provers = tuple(Account(bytes([1, one]) + bytes(30)) for one in range(leaves))
        self._leaves = leaves
        self._events: list[Event] = []
        self._is_proven = False
        self._rule = Elected(PARAMETERS)
        stakes = {prover_stake(one): Amount(PARAMETERS.stake_unit) for one in self.provers}
        self._ledger = Ledger(stakes, lambda _: None)

    def prove(self, alive: Sequence[Account], seed: Beacon) -> tuple[JobId, list[Event]]:
        """Prove one job; who is not alive is silent. Returns the job and all that happened.

        :param alive: at least one of the provers.
        """
        job = self._open(seed)
        for tick in range(2, _TICKS_MAX):
            if self._is_proven:
                return job.id, self._events
            frame = self._frame(tick)
            self._rule.on_tick(frame)
            self._deliver(frame, job, alive)
        raise AssertionError("as long as one prover lives, the block is completed")

    def _open(self, seed: Beacon) -> Job:
        leaf = LeafHeader(TransferDigest(bytes(32)), Amount(1), Root(bytes(32)))
        content = BlockContent(NO_JOB, Root(bytes(32)), (leaf,) * self._leaves, BodyHash(bytes(32)))
        header = JobHeader(
            NetworkId(bytes(32)),
            Round(0),
            self.provers[0],
            content,
            FULL_SHARE,
            seed,
            Digest(bytes(32)),
        )
        job = Job(job_id(header), header, Tick(1))
        pool = tuple(PoolMember(one, Count(1)) for one in self.provers)
        self._rule.open_job(self._frame(1), job, pool)
        return job

    def _deliver(self, frame: Frame, job: Job, alive: Sequence[Account]) -> None:
        """Whoever lives and may delivers."""
        progress = self._rule.progress(job.id)
        assert progress is not None, "it is open"
        for index, place in progress.places.items():
            prover = self._prover_of(place, alive)
            if prover is None:
                continue
            admissible = self._rule.admissible_from(place, index, prover)
            if admissible is None or admissible > frame.moment.tick:
                continue
            claim, nobody = Claim(prover), BodyHash(bytes(32))
            children = _claims_below(progress, index) if index.level else None
            record = ProofRecord(job.id, index, claim, children, nobody)
            self._rule.on_operation(frame, prover, record, OperationHash(bytes(32)))

    @staticmethod
    def _prover_of(place: Place, alive: Sequence[Account]) -> Account | None:
        if place.record is not None or place.contenders or place.right.opens is None:
            return None
        holders = place.right.holders or tuple(alive)
        return next((one for one in holders if one in alive), None)

    def _prove(self, _job: JobId) -> None:
        self._is_proven = True

    def _frame(self, tick: int) -> Frame:
        beacon, nobody = Beacon(tick.to_bytes(32, "big")), self.provers[0]
        moment = Moment(Tick(tick), Slot(tick), beacon, Tick(tick - 1), nobody, ())
        unused: Any = None
        return replace(
            Frame(*(unused,) * 18),
            moment=moment,
            ledger=self._ledger,
            emit=self._events.append,
            job_is_proven=self._prove,
        )


def _claims_below(progress: Progress, index: TreeIndex) -> tuple[Claim, Claim]:
    level, left = Count(index.level - 1), 2 * index.position
    claims = [progress.recorded_claim(TreeIndex(level, Count(place))) for place in (left, left + 1)]
    left_claim, right_claim = (claim for claim in claims if claim is not None)
    return left_claim, right_claim


# --- telling ---


@dataclass(frozen=True, slots=True)
class Share:
    """How many of the jobs needed no more than a depth, beside what was to be expected."""

    depth: int
    jobs: int
    completed: int
    closed: float
    rule: float

    def within(self, z: float = STANDARD_ERRORS) -> tuple[float, float]:
        """The interval of the true share, so many standard errors wide (Wilson 1927)."""
        n, share = self.jobs, self.completed / self.jobs
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        low = middle - spread if self.completed else 0.0
        return low, middle + spread if self.completed < n else 1.0

    @property
    def is_as_expected(self) -> bool:
        """Whether the form of the rule lies in an interval that chance hardly ever leaves."""
        low, high = self.within(HARDLY_EVER)
        return low <= self.rule <= high

    def line(self) -> str:
        """The share for a person."""
        low, high = self.within()
        return (
            f"depth {self.depth}  measured {self.completed / self.jobs:.3f} "
            f"({low:.3f} to {high:.3f})  rule {self.rule:.3f}  closed form {self.closed:.3f}"
        )


def shares(leaves: int, failing: float, depths: list[int]) -> list[Share]:
    """The measured depths beside both forms, for depths 0 to 3."""
    return [
        Share(
            depth,
            len(depths),
            sum(one <= depth for one in depths),
            closed_form(leaves, depth, failing),
            form_of_the_rule(leaves, depth, failing),
        )
        for depth in range(min(3, leaves.bit_length() - 1) + 1)
    ]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What to measure.

    :ivar jobs: proven under the rule alone.
    :ivar networks: simulated ones beside them, with a job each.
    """

    leaves: int = 16
    failing: float = 0.2
    jobs: int = 200
    networks: int = 0
    seed: int = 0


def run(asked: Measurement, console: Console) -> int:
    """Measure and tell. Returns the exit code: 0 when every share is as the rule has it."""
    leaves, failing, seed = asked.leaves, asked.failing, asked.seed
    console.print(f"seed {seed}: {leaves} leaves, each prover fails with probability {failing}")
    console.print(f"{asked.jobs} jobs under the rule alone; share completed, with 95 % interval")
    measured = shares(leaves, failing, measured_by_rule(leaves, failing, asked.jobs, seed))
    for one in measured:
        console.print(one.line())
    if asked.networks:
        console.print(f"{asked.networks} networks of {leaves} provers, who fails is silent")
        depths = list(measured_in_network(leaves, failing, asked.networks, seed))
        for one in shares(leaves, failing, depths):
            console.print(one.line())
    console.print(f"seed {seed}")
    return 0 if all(one.is_as_expected for one in measured) else 1

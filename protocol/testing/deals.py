"""Assignments by the thousand: a rule gets one block after the other, and nothing is proven.

A :class:`Dealer` stands where a sequencing rule stands. It seals a block in every log block, with
the beacon of that block as the seed and the pool that the proving rule has then, and lets it fall
in the next one. So a thousand blocks cost a thousand ticks, and what is seen is the rule's own
``pool`` and ``open_job`` under the real machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from protocol.events import Assigned, Event, JobOpened, PoolMember
from protocol.ledger import prover_stake
from protocol.machine import FinalBlock, Machine
from protocol.messages import (
    NO_JOB,
    BlockContent,
    JobHeader,
    LeafHeader,
    Operation,
    Payload,
    SignedOperation,
    sign_operation,
)
from protocol.rules import (
    AwaitedBlock,
    Frame,
    Job,
    Moment,
    ProvingRule,
    SequencingDuty,
)
from protocol.sequencing.fernet import pool_digest
from protocol.signing import digest
from protocol.testing.cast import SEQUENCERS, actor
from protocol.testing.scenario import GENESIS_ROOT, Scenario
from protocol.types import (
    FULL_SHARE,
    Account,
    Amount,
    Beacon,
    BodyHash,
    Count,
    JobId,
    Nonce,
    OperationHash,
    Root,
    Round,
    Slot,
    Stake,
    Tick,
    TransferDigest,
    TreeIndex,
)

LIFETIME: Final = Tick(500)
"""Ticks for which every prover wants to stay electable."""

EPOCH_TICKS: Final = 512
"""Length of an epoch while blocks are dealt: borders cost time, and mean nothing here."""


@dataclass(frozen=True, slots=True)
class NoParameters:
    """Nothing to choose."""


class Dealer:
    """A block in every log block, void in the next one.

    :ivar leaf_count: leaves of every block.
    :ivar given: a header and a pool to open next in place of a new block.
    """

    name: ClassVar[str] = "dealer"
    handles: ClassVar[tuple[type, ...]] = ()
    free: ClassVar[tuple[type, ...]] = ()
    parameters_type: ClassVar[type] = NoParameters

    def __init__(self, parameters: NoParameters) -> None:
        self.leaf_count = 8
        self.given: tuple[JobHeader, tuple[PoolMember, ...]] | None = None

    def on_tick(self, frame: Frame) -> None:
        """The block of the tick before falls."""
        for job in tuple(frame.jobs):
            frame.void_job(job)

    def on_block_end(self, frame: Frame) -> None:
        """Seal one block."""
        pool = frame.pool()
        content = BlockContent(NO_JOB, GENESIS_ROOT, _leaves(self.leaf_count), BodyHash(bytes(32)))
        header = JobHeader(
            network=frame.network,
            round=Round(frame.moment.tick),
            sequencer=frame.moment.proposer,
            content=content,
            fee_split=FULL_SHARE,
            seed=frame.moment.beacon,
            pool=pool_digest(pool),
        )
        header, pool = self.given or (header, pool)
        frame.open_job(header, pool)

    def on_operation(
        self, frame: Frame, sender: Account, payload: Payload, operation: OperationHash
    ) -> None:
        """Nothing is ordered for it."""

    def earliest(
        self, sender: Account, payload: Payload, ordered: Sequence[tuple[Tick, Operation]]
    ) -> Tick | None:
        """At once."""
        return Tick(0)

    def on_epoch(self, frame: Frame) -> None:
        """Nothing."""

    def on_job_closed(self, frame: Frame, job: Job, *, settled: bool) -> None:
        """Nothing."""

    def needs_ticks(self) -> bool:
        """Always: every tick has its block."""
        return True

    def snapshot(self) -> Count:
        """Its only state is the size of blocks."""
        return Count(self.leaf_count)

    def restore(self, state: Count) -> None:
        """Go on with that size."""
        self.leaf_count = state

    def invariants(self) -> Iterator[str]:
        """None of its own."""
        return iter(())

    def duties(self, account: Account, epoch_seed: Beacon, now: Tick) -> tuple[SequencingDuty, ...]:
        """Nobody does anything for a block."""
        return ()

    def start(self, genesis_root: Root) -> None:
        """Nothing."""

    def combines_with(self, proving: ProvingRule) -> str | None:
        """With every rule."""
        return None

    def next_settled(self, jobs: Mapping[JobId, Job]) -> JobId | None:
        """None: all blocks fall."""
        return None

    def awaited(self) -> tuple[AwaitedBlock, ...]:
        """Nothing is awaited."""
        return ()

    def may_seal(self, account: Account, payload: Payload) -> bool:
        """Nobody can."""
        return False

    def share(self, job: Job, income: Amount) -> Amount:
        """All of it, if there were any."""
        return income

    def settle(self, frame: Frame, job: Job, rest: Amount) -> None:
        """Never called: nothing is settled."""


def _leaves(count: int) -> tuple[LeafHeader, ...]:
    """Leaves without transfers."""
    return (LeafHeader(TransferDigest(bytes(32)), Amount(0), GENESIS_ROOT),) * count


@dataclass(frozen=True, slots=True)
class Deal:
    """The assignment of one block: each tree node with its own provers, as told."""

    header: JobHeader
    pool: tuple[PoolMember, ...]
    owners: Mapping[TreeIndex, tuple[Account, ...]]

    @property
    def is_empty(self) -> bool:
        """Nobody was assigned anything."""
        return not any(self.owners.values())


class Table:
    """A machine with a dealer and the proving rule of a scenario, and provers who all enlist.

    :param seed: names the beacons; equal seeds, equal deals.
    """

    def __init__(self, like: Scenario, cards: tuple[int, ...], seed: int, leaves: int = 8) -> None:
        self.scenario = replace(
            like,
            sequencing=Dealer,
            sequencing_parameters=NoParameters(),
            cards=cards,
            epoch_ticks=EPOCH_TICKS,
        )
        self.seed = seed
        self.dealer = Dealer(NoParameters())
        self.dealer.leaf_count = leaves
        rule = like.proving(like.proving_parameters)
        self.machine = Machine(self.scenario.genesis(), GENESIS_ROOT, self.dealer, rule)
        self._nonce = 0

    def deal(self) -> Deal:
        """The assignment of the next block."""
        return _deal_of(self.machine.apply(self._block(tuple(self._enlistments()))).events)

    def again(self, deal: Deal) -> Deal:
        """The same block, opened for a fresh copy of the rule that knows nothing else: no word of
        any prover, other beacons, another height.
        """
        fresh = Table(self.scenario, self.scenario.cards, self.seed + 1)
        fresh.dealer.given = (deal.header, deal.pool)
        return _deal_of(fresh.machine.apply(fresh._block(())).events)

    def _block(self, operations: tuple[SignedOperation, ...]) -> FinalBlock:
        tick = Tick(self.machine.tick + 1)
        beacon = Beacon(digest(b"deal", self.seed.to_bytes(8, "big"), tick.to_bytes(8, "big")))
        proposer = actor(SEQUENCERS[0]).account
        moment = Moment(tick, Slot(tick), beacon, Tick(tick - 1), proposer, ())
        return FinalBlock(moment, operations)

    def _enlistments(self) -> Iterator[SignedOperation]:
        machine = self.machine
        for name in self.scenario.provers:
            who = actor(name)
            stake = Stake(machine.ledger.holds(prover_stake(who.account)))
            payload = machine.proving.enlistment(who.account, stake, machine.tick, LIFETIME)
            if payload is not None:
                self._nonce += 1
                until = Tick(machine.tick + 1)
                said = Operation(who.account, Nonce(self._nonce), until, payload)
                yield sign_operation(who.seed, machine.network, said)


def _deal_of(events: tuple[Event, ...]) -> Deal:
    """What the events of a block tell of the one job that it opened."""
    (opened,) = (event for event in events if isinstance(event, JobOpened))
    owners: dict[TreeIndex, tuple[Account, ...]] = {}
    for event in events:
        if isinstance(event, Assigned):
            named = () if event.prover is None else (event.prover,)
            owners[event.index] = (*owners.get(event.index, ()), *named)
    return Deal(opened.header, opened.pool, owners)

"""Two rules of somebody else: the plainest that the interface allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from protocol import tree
from protocol.errors import Reason, Refused
from protocol.events import Assigned, ProofRecorded, RightOpened
from protocol.ledger import BURNED, Cause, Moved, balance, escrow
from protocol.messages import (
    NO_JOB,
    BlockContent,
    BlockReveal,
    JobHeader,
    LeafHeader,
    ProofRecord,
)
from protocol.rules import RevealDuty
from protocol.testing import Scenario, World
from protocol.testing.moves import MOVES, Move
from protocol.testing.scenario import GENESIS_ROOT
from protocol.types import (
    Account,
    Amount,
    BasisPoints,
    BodyHash,
    Claim,
    Digest,
    JobId,
    Root,
    Round,
    Salt,
    Tick,
    TransferDigest,
    TreeIndex,
)


@dataclass(frozen=True, slots=True)
class NoParameters:
    """Nothing to choose."""


class Toy:
    """What both have in common: nothing happens by itself."""

    free: ClassVar[tuple[type, ...]] = ()
    parameters_type: ClassVar[type] = NoParameters

    def __init__(self, parameters):
        self.parameters = parameters

    def on_tick(self, frame):
        pass

    def on_epoch(self, frame):
        pass

    def on_block_end(self, frame):
        pass

    def earliest(self, sender, payload, ordered):
        return Tick(0)

    def needs_ticks(self):
        return False

    def invariants(self):
        return iter(())


class FirstCome(Toy):
    """Sequencing without a rule: whoever reveals a block has it proven, one at a time."""

    name = "first-come"
    handles = (BlockReveal,)

    def __init__(self, parameters):
        super().__init__(parameters)
        self.round = Round(0)
        self.is_busy = False

    def start(self, genesis_root):
        pass

    def combines_with(self, proving):
        return None

    def duties(self, account, epoch_seed, now):
        return () if self.is_busy else (RevealDuty(self.round),)

    def may_seal(self, account, payload):
        return True

    def on_operation(self, frame, sender, payload, operation):
        if self.is_busy or payload.round != self.round:
            raise Refused(Reason.WRONG_ROUND)
        self.is_busy, self.round = True, Round(self.round + 1)
        seed, pool = frame.moment.beacon, Digest(bytes(32))
        frame.open_job(
            JobHeader(
                frame.network, self.round, sender, payload.content, BasisPoints(10_000), seed, pool
            ),
            (),
        )

    def next_settled(self, jobs):
        return next((job.id for job in jobs.values() if job.is_proven), None)

    def awaited(self):
        return ()

    def share(self, job, income):
        return income

    def settle(self, frame, job, rest):
        assert rest == 0

    def on_job_closed(self, frame, job, *, settled):
        self.is_busy = False

    def snapshot(self) -> tuple[Round, bool]:
        return (self.round, self.is_busy)

    def restore(self, state):
        self.round, self.is_busy = state


class Anybody(Toy):
    """Proving without a rule: the first record of a tree node is paid, all nodes alike."""

    name = "anybody"
    handles = (ProofRecord,)
    free = (ProofRecord,)

    def __init__(self, parameters):
        super().__init__(parameters)
        self.records = {}

    def duties(self, account):
        return ()

    def recorded_claim(self, job, index):
        return self.records[job].get(index)

    def may_deliver(self, job, index, prover):
        return job in self.records

    def enlistment(self, account, stake, tick, lifetime):
        return None

    def election(self, account):
        return None

    def errands(self, account, tick):
        return ()

    def ask(self, block, worth, tick):
        return None

    def pool(self, frame):
        return ()

    def latest(self, job, now):
        return Tick(now + 50)

    def open_job(self, frame, job, pool):
        self.records[job.id] = {}
        for index in tree.indices(job.header.leaf_count):
            frame.emit(Assigned(job.id, index, None))
        for index in tree.indices(job.header.leaf_count):
            if not index.level:
                frame.emit(RightOpened(job.id, index, None, frame.moment.tick))

    def on_operation(self, frame, sender, payload, operation):
        records = self.records.get(payload.job)
        if records is None:
            raise Refused(Reason.UNKNOWN_JOB)
        leaf_count = frame.jobs[payload.job].header.leaf_count
        if not tree.contains(leaf_count, payload.index):
            raise Refused(Reason.NO_SUCH_TREE_NODE)
        if payload.index in records:
            raise Refused(Reason.ALREADY_RECORDED)
        below = None
        if payload.index.level:
            below = tuple(records.get(one, (None, None))[1] for one in tree.children(payload.index))
        if payload.children != below:
            raise Refused(Reason.WRONG_CHILDREN)
        records[payload.index] = (sender, payload.claim)
        frame.emit(ProofRecorded(payload.job, payload.index, sender, payload.claim))
        if payload.index == tree.root(leaf_count):
            frame.job_is_proven(payload.job)
        elif tree.sibling(payload.index) in records:
            parent = tree.parent(payload.index)
            frame.emit(RightOpened(payload.job, parent, None, frame.moment.tick))

    def settle(self, frame, job, share):
        worth = Amount(share // (2 * job.header.leaf_count - 1))
        for index, (prover, _) in self.records[job.id].items():
            frame.ledger.move(
                Moved(escrow(job.id), balance(prover), worth, Cause.OPEN_PAY, job.id, place=index)
            )
        left = frame.ledger.holds(escrow(job.id))
        frame.ledger.move(Moved(escrow(job.id), BURNED, left, Cause.ROUNDING, job.id))
        return Amount(0)

    def gave_up(self, job):
        return False

    def is_committed(self, round, sequencer):
        return True

    def job(self, job):
        return None

    def compensate(self, frame, job, purse, budget):
        return Amount(0)

    def on_job_closed(self, frame, job, *, settled):
        del self.records[job.id]

    def snapshot(self) -> dict[JobId, dict[TreeIndex, tuple[Account, Claim]]]:
        return self.records

    def restore(self, state):
        self.records = state


def reveal_at_once(world: World, *, leaves: int, who: str) -> None:
    headers = tuple(
        LeafHeader(TransferDigest(bytes(32)), Amount(9), Root(bytes(32))) for _ in range(leaves)
    )
    rule = world.machine.sequencing
    content = BlockContent(JobId(NO_JOB), GENESIS_ROOT, headers, BodyHash(bytes(32)))
    world.say(who, BlockReveal(Round(rule.round), content, Salt(bytes(32))))


SEQUENCED = ("commit", "build", "contend", "reveal", "back_up")
"""Moves of Fernet's."""

TOY_MOVES = {
    "reveal_at_once": Move(reveal_at_once, 3, {"leaves": (1, 2, 4), "who": ("s0", "beggar")}),
    **{name: move for name, move in MOVES.items() if name not in SEQUENCED},
}
"""A user's own move beside ours."""

TOYS = Scenario(
    sequencing=FirstCome,
    sequencing_parameters=NoParameters(),
    proving=Anybody,
    proving_parameters=NoParameters(),
)

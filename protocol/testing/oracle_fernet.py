"""Judge of Fernet: re-runs every round from the log alone."""

from __future__ import annotations

from collections import Counter
from functools import cache

from protocol import vrf
from protocol.codec import encode
from protocol.events import (
    JobOpened,
    JobVoided,
    LeaderElected,
    RoundOpened,
    RoundSkipped,
    Skip,
)
from protocol.ledger import Cause, Moved, PocketKind
from protocol.machine import Machine
from protocol.messages import (
    BlockCommitment,
    BlockContent,
    BlockReveal,
    JobHeader,
    Operation,
)
from protocol.params import network_id
from protocol.testing.oracles import Oracle, Page, found, framed_hash, must
from protocol.testing.scenario import Scenario
from protocol.types import (
    Account,
    JobId,
    Tick,
    VrfKey,
    VrfOutput,
    VrfProof,
)


@cache
def _output(key: VrfKey, lot: bytes, proof: VrfProof) -> VrfOutput | None:
    return vrf.verify(key, lot, proof)


def _lot(seed: bytes, payload: BlockCommitment) -> bytes:
    return framed_hash(b"provnet/fernet-lot/1", seed, payload.round.to_bytes(8, "big"))


class FernetOracle(Oracle):
    """The best score leads, only it reveals, the job's seed is the beacon at the fixed end."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.parameters = scenario.sequencing_parameters
        self.commitments: dict[Account, tuple[int, BlockCommitment]] = {}
        self.closes: Tick | None = None
        self.leader: LeaderElected | None = None
        self.content: BlockContent | None = None
        self.keys = {one.account: one.vrf_key for one in scenario.genesis().accounts}
        self.beacons = [framed_hash(b"provnet/beacon-genesis/1", network_id(scenario.genesis()))]
        self.seed = b""
        self.opened: dict[JobId, tuple[Tick, JobHeader]] = {}
        self.left: Counter[bytes] = Counter()

    def judge(self, page: Page, machine: Machine) -> None:
        """Remember the beacon first: a job's seed is its own block's."""
        self.beacons.append(page.block.moment.beacon)
        super().judge(page, machine)

    def on_round_opened(self, page: Page, event: RoundOpened) -> None:
        """The first commitment opens a round for ``proposal_ticks``, under the epoch's seed."""
        must(self.closes is None, "a round opened within a round", event)
        must(event.closes == page.tick + self.parameters.proposal_ticks, "wrong end", event)
        self.closes, self.seed = event.closes, self._epoch_seed(page.tick)

    def _epoch_seed(self, tick: Tick) -> bytes:
        """The beacon at the end of the epoch before the last; the genesis's in the first three."""
        epoch = (tick - 1) // self.scenario.epoch_ticks
        return self.beacons[(epoch - 1) * self.scenario.epoch_ticks if epoch > 2 else 0]

    def heard(self, page: Page, operation: Operation, reason: str | None) -> None:
        """Take in commitments and reveals that were accepted."""
        payload = operation.payload
        if reason == "BAD_VRF_PROOF" and isinstance(payload, BlockCommitment):
            seed = self.seed if self.closes is not None else self._epoch_seed(page.tick)
            output = _output(self.keys[operation.sender], _lot(seed, payload), payload.vrf_proof)
            must(output is None, "a true lot was refused", operation)
        if reason is None and isinstance(payload, BlockCommitment):
            closes = found(self.closes, "a commitment outside a round", operation)
            must(page.tick < closes and self.leader is None, "a late commitment", operation)
            must(operation.sender not in self.commitments, "two commitments", operation)
            self.commitments[operation.sender] = (self._score(operation.sender, payload), payload)
        elif reason is None and isinstance(payload, BlockReveal):
            leader = found(self.leader, "a reveal outside a round", operation)
            must(operation.sender == leader.leader, "a reveal by another", operation)
            must(page.tick < leader.reveal_ends, "a late reveal", operation)
            must(self.content is None, "two reveals", operation)
            self.content = payload.content
            content = framed_hash(b"provnet/commitment/1", encode(payload.content), payload.salt)
            must(content == self.commitments[leader.leader][1].content, "not what it committed to")

    def _score(self, sender: Account, payload: BlockCommitment) -> int:
        output = _output(self.keys[sender], _lot(self.seed, payload), payload.vrf_proof)
        beta = found(output, "a lot that was not drawn", payload)
        return int.from_bytes(beta, "big") * (10_000 + payload.fee_split)

    def on_leader_elected(self, page: Page, event: LeaderElected) -> None:
        """The greatest score leads."""
        must(page.tick == self.closes, "elected at another time than said", event)
        best = max(self.commitments, key=lambda one: (self.commitments[one][0], one))
        must(event.leader == best, "not the best score leads", event)
        must(event.fee_split == self.commitments[best][1].fee_split, "another split", event)
        must(event.candidates == len(self.commitments), "candidates miscounted", event)
        must(event.reveal_ends == page.tick + self.parameters.reveal_ticks, "wrong end", event)
        self.leader = event

    def on_job_opened(self, page: Page, event: JobOpened) -> None:
        """What was revealed, under the terms promised, with a seed that nobody knew."""
        leader, header = found(self.leader, "a job without a leader", event), event.header
        must(header.content == self.content, "not what was revealed", event)
        must(header.sequencer == leader.leader, "another sequencer", event)
        must(header.fee_split == leader.fee_split, "another split", event)
        must(header.seed == self.beacons[-1], "the seed is not this block's beacon", event)
        self.opened[event.job] = (page.tick, header)
        self._end(page.tick, leader.leader)

    def on_round_skipped(self, page: Page, event: RoundSkipped) -> None:
        """Only a round without a block that can stand is skipped."""
        parent = page.board.jobs.get(self.content.parent) if self.content is not None else None
        has_fallen = parent is not None and parent.is_void
        is_due = self.content is None or has_fallen or event.why is Skip.NOT_COMMITTED
        must(is_due, "skipped though revealed", event)
        self._end(page.tick, event.leader)

    def _end(self, tick: Tick, leader: Account) -> None:
        ended = found(self.leader, "a round ended without a leader")
        must(ended.leader == leader and tick == ended.reveal_ends, "ended at another time", tick)
        self.closes = self.leader = self.content = None
        self.commitments = {}

    def on_job_voided(self, page: Page, event: JobVoided) -> None:
        """A job has its time."""
        due = self.opened[event.because][0] + self.parameters.deadline_ticks
        was_missed = bool(page.board.jobs[event.because].failed)
        must(page.tick > due or was_missed, "void before its deadline", event)

    def on_moved(self, page: Page, moved: Moved) -> None:
        """The sequencer gets what it did not promise, and what the proving side left of that."""
        if moved.target.kind is PocketKind.ESCROW:
            self.left[moved.target.owner] += moved.amount
        elif moved.source.kind is PocketKind.ESCROW:
            left = self.left.pop(moved.source.owner)
            if moved.cause is Cause.SEQUENCER_SHARE:
                header = self.opened[found(moved.job, "a share of no job", moved)][1]
                least = header.fees - header.fees * header.fee_split // 10_000
                is_due = moved.amount == left >= least
                must(is_due, "not the sequencer's share", moved, left, least)
            else:
                self.left[moved.source.owner] = left - moved.amount

    def conclude(self, page: Page, machine: Machine) -> None:
        """Build-ahead is bounded."""
        is_bounded = sum(1 for _ in page.board.open_jobs()) <= self.parameters.max_unproven_jobs
        must(is_bounded, "more jobs are open than may be", page.tick)

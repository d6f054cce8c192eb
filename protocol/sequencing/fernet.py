"""Fernet: the best private VRF score leads, weighted by the share of fees it promises to provers.

**Rule.** Rounds follow each other. In a round

1. *Proposal.* The round opens with the first :class:`~protocol.messages.BlockCommitment` and takes
   commitments, one a sequencer, for ``proposal_ticks``. A commitment hides the block's content and
   carries a VRF proof on the epoch seed and the round. No round opens while ``max_unproven_jobs``
   jobs are open.
2. *Election.* The leader is the sequencer with the greatest ``beta * (10000 + fee_split)``, beta
   being its VRF output. The pool of provers freezes here, before the content is known.
3. *Reveal.* The leader has ``reveal_ticks``, that of its election included, to reveal the content
   it committed to: this seals the block. Otherwise the round is skipped and the next one builds on
   the same head.
4. *Opening.* At the fixed end of the reveal window, whenever the reveal came, the job opens with
   that log block's beacon as its seed. So nobody chose content, timing or pool knowing the seed.
5. *Proving.* The job has ``deadline_ticks`` from its opening, and never less than the proving rule
   needs to let everybody entitled have their time. A job that misses this is void, and so is
   everything built on it: their transfers did not happen.
6. *Pay.* ``fee_split`` of the proven fees goes to provers, the rest to the sequencer.

**Source.** Aztec docs, "Sequencer Selection" (Fernet, August 2023: proposal, reveal, proving, with
build-ahead); score with fee split from the forum posts "Ideas on a proving network" and
"Cooperative proving network for Fernet".

**Deviations.** Phases are counted in ticks of the network's own log, not in blocks of a base chain.
A round opens with its first commitment, so that an idle network stays idle. The transfers of a void
job return to the senders' hands.

**Parameters.** See :class:`FernetParameters`.

**Attacks.** Withholding the reveal wastes a round; bias of the epoch seed by log proposers (see
``protocol.beacon``); a log proposer may leave out a rival's commitment for as many ticks as it
leads; a sequencer that outbids others with its fee split buys elections with money that provers
get; commitments are read as they are ordered, so whoever commits last can pick the smallest split
that still wins.

**Claims.** Scores are fair among equal splits: each of n sequencers leads with probability 1/n. A
split of s against all others' t wins as if its draw were multiplied by (1+s)/(1+t).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from protocol import tree, vrf
from protocol.codec import encode
from protocol.errors import Reason, Refused
from protocol.events import (
    BlockSealed,
    LeaderElected,
    PoolMember,
    RoundOpened,
    RoundSkipped,
    Skip,
)
from protocol.ledger import VAULT, Cause, Moved, balance, escrow, sequencer_stake
from protocol.messages import (
    NO_JOB,
    BlockCommitment,
    BlockContent,
    BlockReveal,
    JobHeader,
    Operation,
    Payload,
    commitment_digest,
)
from protocol.rules import (
    AwaitedBlock,
    CommitDuty,
    Frame,
    Job,
    ProvingRule,
    RevealDuty,
    SequencingDuty,
)
from protocol.signing import digest
from protocol.types import (
    FULL_SHARE,
    Account,
    Amount,
    BasisPoints,
    Beacon,
    Count,
    Digest,
    JobId,
    OperationHash,
    Root,
    Round,
    Stake,
    Tick,
    VrfOutput,
)


@dataclass(frozen=True, slots=True)
class FernetParameters:
    """Parameters of Fernet.

    :ivar proposal_ticks: length of the proposal window. Aztec estimated 3 to 5 base blocks.
    :ivar reveal_ticks: length of the reveal window; must cover finality of the election and
        ordering of the reveal.
    :ivar deadline_ticks: least time to prove a job, from its opening. The thread mentions 10
        minutes.
    :ivar max_unproven_jobs: no round opens while so many jobs are open: unlimited build-ahead
        collapses under load.
    :ivar leaf_count_max: most leaves of one block.
    :ivar sequencer_stake_min: stake an account needs to be a sequencer, in micro-units.
    """

    proposal_ticks: Tick = Tick(2)
    reveal_ticks: Tick = Tick(7)
    deadline_ticks: Tick = Tick(400)
    max_unproven_jobs: Count = Count(2)
    leaf_count_max: Count = Count(64)
    sequencer_stake_min: Stake = Stake(1)


def score(output: VrfOutput, fee_split: BasisPoints) -> int:
    """``beta * (10000 + fee_split)``: greater is better."""
    return int.from_bytes(output, "big") * (FULL_SHARE + fee_split)


def lot(epoch_seed: Beacon, round: Round) -> bytes:
    """The VRF input of a sequencer for a round."""
    return digest(b"provnet/fernet-lot/1", epoch_seed, round.to_bytes(8, "big"))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A commitment that was accepted, with its score."""

    sequencer: Account
    content: Digest
    fee_split: BasisPoints
    score: int


@dataclass(frozen=True, slots=True)
class Collecting:
    """The round takes commitments until ``closes`` (exclusive)."""

    closes: Tick
    seed: Beacon
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Revealing:
    """The leader may reveal until ``ends`` (exclusive); ``content`` is what it revealed."""

    leader: Candidate
    ends: Tick
    pool: tuple[PoolMember, ...]
    content: BlockContent | None


@dataclass(slots=True)
class _State:
    round: Round
    phase: Collecting | Revealing | None
    settled_head: JobId
    settled_root: Root
    open_jobs: list[tuple[JobId, Root]] = field(default_factory=list)


class Fernet:
    """The rule of this module."""

    name: ClassVar[str] = "fernet"
    handles: ClassVar[tuple[type, ...]] = (BlockCommitment, BlockReveal)
    free: ClassVar[tuple[type, ...]] = ()
    parameters_type: ClassVar[type] = FernetParameters

    def __init__(self, parameters: FernetParameters) -> None:
        """Refuses parameters under which no block could ever be sealed: CONTRADICTORY_GENESIS."""
        if not (
            parameters.proposal_ticks > 0
            and parameters.reveal_ticks > 1
            and parameters.max_unproven_jobs > 0
            and parameters.leaf_count_max > 0
        ):
            raise Refused(
                Reason.CONTRADICTORY_GENESIS,
                "both windows leave time, and there is room for a job and a leaf",
            )
        self.parameters = parameters
        self._state = _State(Round(0), None, NO_JOB, Root(bytes(32)))

    # --- the public view ---

    @property
    def round(self) -> Round:
        """The round that takes commitments now or next."""
        return self._state.round

    @property
    def phase(self) -> Collecting | Revealing | None:
        """Where the round stands; None before its first commitment."""
        return self._state.phase

    @property
    def head(self) -> tuple[JobId, Root]:
        """The job that the next block builds on, and the root after it."""
        state = self._state
        return state.open_jobs[-1] if state.open_jobs else (state.settled_head, state.settled_root)

    @property
    def takes_commitments(self) -> bool:
        """Whether a commitment to the present round can be ordered now."""
        if self._state.phase is None:
            return len(self._state.open_jobs) < self.parameters.max_unproven_jobs
        return isinstance(self._state.phase, Collecting)

    def duties(self, account: Account, epoch_seed: Beacon, now: Tick) -> tuple[SequencingDuty, ...]:
        """Commit while the round takes commitments, reveal when elected."""
        state, phase = self._state, self._state.phase
        if self.takes_commitments:
            candidates = phase.candidates if isinstance(phase, Collecting) else ()
            if any(one.sequencer == account for one in candidates):
                return ()
            seed = phase.seed if isinstance(phase, Collecting) else epoch_seed
            return (CommitDuty(state.round, lot(seed, state.round), *self.head),)
        if isinstance(phase, Revealing) and phase.content is None and now < phase.ends:
            return (RevealDuty(state.round),) if phase.leader.sequencer == account else ()
        return ()

    # --- calls of the machine ---

    def start(self, genesis_root: Root) -> None:
        """Begin with the rollup's first root."""
        self._state.settled_root = genesis_root

    def combines_with(self, proving: ProvingRule) -> str | None:
        """Fernet leaves proving open: it runs with any proving rule."""
        return None

    def on_epoch(self, frame: Frame) -> None:
        """Nothing: a round keeps the seed of the epoch it opened in."""

    def on_tick(self, frame: Frame) -> None:
        """Elect when proposals close, void what missed its deadline."""
        phase = self._state.phase
        if isinstance(phase, Collecting) and frame.moment.tick >= phase.closes:
            self._elect(frame, phase)
        for job in tuple(frame.jobs.values()):
            if job.id in frame.jobs and self._is_overdue(frame, job):
                frame.void_job(job.id)

    def on_operation(
        self, frame: Frame, sender: Account, payload: Payload, operation: OperationHash
    ) -> None:
        """Take a commitment or a reveal."""
        if isinstance(payload, BlockCommitment):
            self._on_commitment(frame, sender, payload)
        else:
            assert isinstance(payload, BlockReveal), "the machine passes on what a rule handles"
            self._on_reveal(frame, sender, payload)

    def earliest(
        self, sender: Account, payload: Payload, ordered: Sequence[tuple[Tick, Operation]]
    ) -> Tick | None:
        """At once: agents commit and reveal when they see the phase."""
        return Tick(0)

    def on_block_end(self, frame: Frame) -> None:
        """Open the job, or skip the round, at the fixed end of the reveal window."""
        phase = self._state.phase
        if not isinstance(phase, Revealing) or frame.moment.tick < phase.ends:
            return
        if phase.content is None:
            frame.emit(RoundSkipped(self._state.round, phase.leader.sequencer, Skip.NOT_REVEALED))
        elif phase.content.parent != self.head[0]:
            frame.emit(RoundSkipped(self._state.round, phase.leader.sequencer, Skip.PARENT_FELL))
        elif not frame.is_committed(self._state.round, phase.leader.sequencer):
            frame.emit(RoundSkipped(self._state.round, phase.leader.sequencer, Skip.NOT_COMMITTED))
        else:
            self._open(frame, phase, phase.content)
        self._state.phase = None
        self._state.round = Round(self._state.round + 1)

    def next_settled(self, jobs: Mapping[JobId, Job]) -> JobId | None:
        """The oldest job, once it is proven."""
        oldest = next(iter(jobs.values()), None)
        return oldest.id if oldest is not None and oldest.is_proven else None

    def awaited(self) -> tuple[AwaitedBlock, ...]:
        """The leader's, until its job opens."""
        phase = self._state.phase
        if not isinstance(phase, Revealing):
            return ()
        hidden = self.parameters.leaf_count_max
        leaf_count = hidden if phase.content is None else Count(len(phase.content.leaves))
        return (AwaitedBlock(self._state.round, phase.leader.sequencer, phase.ends, leaf_count),)

    def may_seal(self, account: Account, payload: Payload) -> bool:
        """Whether the leader reveals a block on the head."""
        phase = self._state.phase
        return (
            isinstance(payload, BlockReveal)
            and isinstance(phase, Revealing)
            and account == phase.leader.sequencer
            and payload.round == self._state.round
            and (payload.content.parent, payload.content.from_root) == self.head
        )

    def share(self, job: Job, income: Amount) -> Amount:
        """``fee_split`` of it."""
        return Amount(income * job.header.fee_split // FULL_SHARE)

    def settle(self, frame: Frame, job: Job, rest: Amount) -> None:
        """The sequencer gets what it did not promise to provers, and what they left."""
        frame.ledger.move(
            Moved(
                escrow(job.id), balance(job.header.sequencer), rest, Cause.SEQUENCER_SHARE, job.id
            )
        )

    def on_job_closed(self, frame: Frame, job: Job, *, settled: bool) -> None:
        """The settled job becomes the base of the chain; a void one leaves it."""
        state = self._state
        state.open_jobs = [row for row in state.open_jobs if row[0] != job.id]
        if settled:
            state.settled_head, state.settled_root = job.id, job.header.to_root

    def needs_ticks(self) -> bool:
        """A round or a deadline is running."""
        return self._state.phase is not None or bool(self._state.open_jobs)

    def snapshot(self) -> object:
        """All state."""
        return self._state

    def invariants(self) -> Iterator[str]:
        """Candidates are distinct sequencers; open jobs stay within the bound."""
        phase = self._state.phase
        if isinstance(phase, Collecting):
            sequencers = [one.sequencer for one in phase.candidates]
            if len(set(sequencers)) < len(sequencers):
                yield "a sequencer has two commitments in one round"
        if len(self._state.open_jobs) > self.parameters.max_unproven_jobs:
            yield "more jobs are open than max_unproven_jobs"

    # --- inside ---

    def _is_overdue(self, frame: Frame, job: Job) -> bool:
        tick, due = frame.moment.tick, job.opened_at + self.parameters.deadline_ticks
        is_late = tick > due and tick > frame.latest(job.id)
        return not job.is_proven and (is_late or frame.gave_up(job.id))

    def _on_commitment(self, frame: Frame, sender: Account, payload: BlockCommitment) -> None:
        state, parameters, phase = self._state, self.parameters, self._state.phase
        if payload.round != state.round or not self.takes_commitments:
            raise Refused(Reason.WRONG_ROUND, f"round {payload.round}")
        if frame.ledger.holds(sequencer_stake(sender)) < max(1, parameters.sequencer_stake_min):
            raise Refused(Reason.NOT_A_SEQUENCER)
        opening = Collecting(
            Tick(frame.moment.tick + parameters.proposal_ticks), frame.epoch_seed, ()
        )
        collecting = phase if isinstance(phase, Collecting) else opening
        if any(one.sequencer == sender for one in collecting.candidates):
            raise Refused(Reason.ALREADY_COMMITTED)
        key = frame.vrf_keys.get(sender)
        output = key and vrf.verify(key, lot(collecting.seed, state.round), payload.vrf_proof)
        if not output:
            raise Refused(Reason.BAD_VRF_PROOF)
        candidate = Candidate(
            sender, payload.content, payload.fee_split, score(VrfOutput(output), payload.fee_split)
        )
        if phase is None:
            frame.emit(RoundOpened(state.round, collecting.closes))
        state.phase = Collecting(
            collecting.closes, collecting.seed, (*collecting.candidates, candidate)
        )

    def _elect(self, frame: Frame, phase: Collecting) -> None:
        leader = max(phase.candidates, key=lambda one: (one.score, one.sequencer))
        ends = Tick(frame.moment.tick + self.parameters.reveal_ticks)
        self._state.phase = Revealing(leader, ends, frame.pool(), None)
        frame.emit(
            LeaderElected(
                self._state.round,
                leader.sequencer,
                leader.fee_split,
                Count(len(phase.candidates)),
                ends,
            )
        )

    def _on_reveal(self, frame: Frame, sender: Account, payload: BlockReveal) -> None:
        state, phase, content = self._state, self._state.phase, payload.content
        if payload.round != state.round or not isinstance(phase, Revealing):
            raise Refused(Reason.WRONG_ROUND, f"round {payload.round}")
        if frame.moment.tick >= phase.ends:
            raise Refused(Reason.WRONG_ROUND, "this block's beacon is the seed")
        if sender != phase.leader.sequencer:
            raise Refused(Reason.NOT_THE_LEADER)
        if phase.content is not None:
            raise Refused(Reason.ALREADY_REVEALED)
        if commitment_digest(content, payload.salt) != phase.leader.content:
            raise Refused(Reason.WRONG_REVEAL)
        leaf_count = len(content.leaves)
        if not tree.is_leaf_count(leaf_count) or leaf_count > self.parameters.leaf_count_max:
            raise Refused(Reason.WRONG_LEAF_COUNT, f"{leaf_count} leaves")
        if (content.parent, content.from_root) != self.head:
            raise Refused(Reason.WRONG_PARENT)
        pledged = sum(job.header.fees for job in frame.jobs.values())
        if pledged + sum(leaf.fees for leaf in content.leaves) > frame.ledger.holds(VAULT):
            raise Refused(Reason.FEES_NOT_BACKED)
        state.phase = Revealing(phase.leader, phase.ends, phase.pool, content)
        frame.emit(BlockSealed(state.round, sender))

    def _open(self, frame: Frame, phase: Revealing, content: BlockContent) -> None:
        header = JobHeader(
            network=frame.network,
            round=self._state.round,
            sequencer=phase.leader.sequencer,
            content=content,
            fee_split=phase.leader.fee_split,
            seed=frame.moment.beacon,
            pool=pool_digest(phase.pool),
        )
        job = frame.open_job(header, phase.pool)
        self._state.open_jobs.append((job, header.to_root))


def pool_digest(pool: tuple[PoolMember, ...]) -> Digest:
    """Digest of a frozen pool, as it stands in a job's header."""
    return Digest(digest(b"provnet/pool/1", *(encode(member) for member in pool)))

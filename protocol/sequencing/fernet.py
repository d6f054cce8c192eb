"""Fernet: the best score leads, weighted by the share of fees it promises to provers.

**Rule.** Rounds follow each other; all blocks of a round build on one head. In a round

1. *Proposal.* The round opens with the first :class:`~protocol.messages.BlockCommitment` and takes
   commitments, one a sequencer, for ``proposal_ticks``. A commitment hides the block's content and
   carries a VRF proof on the epoch seed and the round; where scores are public it carries zeros. No
   round opens while jobs of ``max_unproven_jobs`` rounds are open. The sequencer's free stake
   covers a ``block_bond``.
2. *Election.* The ``candidates_max`` sequencers with the greatest ``draw * (10000 + fee_split)``
   are elected, the first of them leads. The draw is the VRF output, or, where scores are public, a
   hash of epoch seed, round and account. The pool of provers freezes here, before the content is
   known.
3. *Prover commitment.* Within ``prover_commit_ticks`` the proving rule must know who will prove an
   elected sequencer's block; one without a prover is out.
4. *Reveal.* The elected have ``reveal_ticks`` to reveal the content they committed to: this seals
   the block. A leader that leads a round without any reveal loses ``reveal_penalty_bps`` of its
   free stake.
5. *Opening.* At the fixed end of the reveal window, whenever reveals came, each sealed block that
   has its prover opens as a job with that log block's beacon as its seed. So nobody chose content,
   timing or pool knowing the seed. The ``block_bond`` moves from the sequencer's stake to the job.
   A round that opens no job is *skipped*, and the next one builds on the same head.
6. *Proving.* A job has ``deadline_ticks`` from its opening, and never less than the proving rule
   needs to let everybody entitled have their time; it misses its deadline at once when nobody has
   a right to prove it any more. A job that misses it is void, and so is everything built on it:
   their transfers did not happen. When the head falls, the round that builds on it is skipped at
   once, and nobody is to blame.
7. *Candidates.* Jobs of one round are rivals. The best of them that lives is settled as soon as it
   is proven and all before it is settled; the others are void then, and have missed nothing. The
   next round builds on the best one; what was built on another falls with it.
8. *Bond.* It returns to the stake when the job is settled, lost to a rival, or fell with another.
   When the job itself missed its deadline, recorded proofs of it and of what falls with it are paid
   from its bond by the proving rule, oldest job first; ``orphan_bps`` of what is left goes in equal
   parts to other sequencers whose blocks fell with it, the rest is burned.
9. *Backup.* When a job missed its deadline, or a round was skipped for want of a prover, and no job
   is open, anybody may for ``backup_ticks`` bring a :class:`~protocol.messages.BackupBlock` on the
   settled head, complete with the proof of its root. The first one ordered is settled at once; its
   sender, who proved all of it, gets all of its income. No stake is needed. There are no
   commitments meanwhile.
10. *Pay.* ``fee_split`` of a job's income goes to provers, the rest to the sequencer.

**Source.** Aztec docs, "Sequencer Selection" (Fernet, August 2023: proposal, reveal, proving, with
build-ahead); its first version on the Aztec forum, June 2023 (any committed ordering may be proven,
the best score among those proven wins); Aztec yellow paper, "Block Production" (public scores,
prover commitment, backup, no build-ahead); score with fee split from the forum posts "Ideas on a
proving network" and "Cooperative proving network for Fernet". Pay for orphaned sequencers and the
demand that a lost deposit be burned: Aztec forum, "Sidecar" (2428) and its third reply.

**Deviations.** Phases are counted in ticks of the network's own log, not in blocks of a base chain.
A round opens with its first commitment, so that an idle network stays idle. The transfers of a void
job return to the senders' hands. The yellow paper's base chain verifies a backup's proof; here that
it proves the block, and that the body is there, is a condition of voting, as for every proof. What
a prover pledges is the proving rule's; here is the sequencer's side.

**Griefing and data withholding.** The thread asks for a sequencer's bond against one that neglects
proofs or withholds the block's data. Both reduce to three rules. A reveal is ordered only when more
than two thirds of the log stake hold the body, so a block that nobody can fetch is never sealed:
it is a missing reveal, and costs ``reveal_penalty_bps``; no message about missing data is needed,
and nobody must decide who lied. Proofs are recorded by the log, not by the sequencer, so it cannot
neglect one. What is left, a block whose proof fails although data and provers were there, costs its
sequencer the ``block_bond``, from which recorded proofs are paid.

**Why the rest is burned.** A bond that went to other sequencers in full could be collected by
accomplices of the one who lost it: a reorganisation would cost colluders nothing. With
``orphan_bps`` below 10,000 it costs the burned part. The sequencer that failed never gets a part
under its own account.

**Parameters.** See :class:`~protocol.sequencing.fernet_parameters.FernetParameters`.

**Attacks.** Withholding the reveal wastes a round; bias of the epoch seed by log proposers (see
``protocol.beacon``); a log proposer may leave out a rival's commitment, or a reveal, for as many
ticks as it leads; a sequencer that outbids others with its fee split buys elections with money that
provers get; commitments are read as they are ordered, so whoever commits last can pick the smallest
split that still wins. *Public scores* name the leader as soon as the epoch's seed is known: it can
be silenced by flooding it until the window is over. *Several candidates* multiply the work by their
number, and a worse block's prover works for nothing when a better one is proven. *Backup* is a race
that the best-placed prover wins, and whoever can halt rounds can force it; a log proposer prefers
its own backup.

**Claims.** Scores are fair among equal splits: each of n sequencers leads with probability 1/n. A
split of s against all others' t wins as if its draw were multiplied by (1+s)/(1+t). Only an
unproven block makes another one fall, so without build-ahead none does. A bond is lost for the
sequencer's own block only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from protocol import tree, vrf
from protocol.codec import encode
from protocol.errors import Reason, Refused
from protocol.events import (
    BackupOpened,
    BlockSealed,
    LeaderElected,
    PoolMember,
    RoundOpened,
    RoundSkipped,
    RunnerUpElected,
    Skip,
)
from protocol.ledger import (
    BURNED,
    VAULT,
    Cause,
    Moved,
    balance,
    block_bond,
    escrow,
    exiting,
    sequencer_stake,
)
from protocol.messages import (
    NO_JOB,
    BackupBlock,
    BlockCommitment,
    BlockContent,
    BlockReveal,
    JobHeader,
    Operation,
    Payload,
    backup_header,
    commitment_digest,
)
from protocol.rules import (
    AwaitedBlock,
    BackupDuty,
    CommitDuty,
    Frame,
    Job,
    ProvingRule,
    RevealDuty,
    SequencingDuty,
    descendants,
)
from protocol.sequencing.fernet_parameters import (
    FernetParameters,
    ScoreKind,
    lot,
    public_draw,
    score,
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
    Tick,
)


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
class Committing:
    """Provers commit to blocks of the elected, best first, until ``closes`` (exclusive)."""

    elected: tuple[Candidate, ...]
    closes: Tick
    pool: tuple[PoolMember, ...]


@dataclass(frozen=True, slots=True)
class Revealing:
    """The elected may reveal until ``ends`` (exclusive); ``contents`` is what they revealed."""

    elected: tuple[Candidate, ...]
    ends: Tick
    pool: tuple[PoolMember, ...]
    contents: tuple[tuple[Account, BlockContent], ...] = ()

    def content_of(self, sequencer: Account) -> BlockContent | None:
        """What the sequencer revealed."""
        return dict(self.contents).get(sequencer)


@dataclass(frozen=True, slots=True)
class AwaitingBackup:
    """Anybody may bring a proven block until ``closes`` (exclusive)."""

    closes: Tick


Phase: TypeAlias = Collecting | Committing | Revealing | AwaitingBackup
"""Where a round stands."""


@dataclass(frozen=True, slots=True)
class OpenBlock:
    """A job that is neither settled nor void, with the root after it."""

    job: JobId
    root: Root
    round: Round
    sequencer: Account


@dataclass(slots=True)
class State:
    """All that the rule knows.

    :ivar open_blocks: older rounds first, within a round by score.
    """

    round: Round
    phase: Phase | None
    settled_head: JobId
    settled_root: Root
    open_blocks: list[OpenBlock] = field(default_factory=list)


class Fernet:
    """The rule of this module."""

    name: ClassVar[str] = "fernet"
    handles: ClassVar[tuple[type, ...]] = (BlockCommitment, BlockReveal, BackupBlock)
    free: ClassVar[tuple[type, ...]] = ()
    parameters_type: ClassVar[type] = FernetParameters

    def __init__(self, parameters: FernetParameters) -> None:
        """Refuses parameters under which no block could ever be sealed: CONTRADICTORY_GENESIS."""
        if not (
            parameters.proposal_ticks > 0
            and parameters.reveal_ticks > 1
            and parameters.candidates_max > 0
            and parameters.max_unproven_jobs > 0
            and parameters.leaf_count_max > 0
        ):
            raise Refused(
                Reason.CONTRADICTORY_GENESIS,
                "both windows leave time, and there is room for a candidate, a job and a leaf",
            )
        self.parameters = parameters
        self._state = State(Round(0), None, NO_JOB, Root(bytes(32)))

    # --- the public view ---

    @property
    def round(self) -> Round:
        """The round that takes commitments now or next."""
        return self._state.round

    @property
    def phase(self) -> Phase | None:
        """Where the round stands; None before its first commitment."""
        return self._state.phase

    @property
    def head(self) -> tuple[JobId, Root]:
        """The job that the next block builds on, and the root after it: the best of the newest
        round.
        """
        state = self._state
        if not state.open_blocks:
            return state.settled_head, state.settled_root
        newest = state.open_blocks[-1].round
        best = next(one for one in state.open_blocks if one.round == newest)
        return best.job, best.root

    @property
    def takes_commitments(self) -> bool:
        """Whether a commitment to the present round can be ordered now."""
        if self._state.phase is None:
            rounds = {one.round: None for one in self._state.open_blocks}
            return len(rounds) < self.parameters.max_unproven_jobs
        return isinstance(self._state.phase, Collecting)

    def duties(self, account: Account, epoch_seed: Beacon, now: Tick) -> tuple[SequencingDuty, ...]:
        """Commit while the round takes commitments, reveal when elected, or bring a backup."""
        state, phase = self._state, self._state.phase
        if self.takes_commitments:
            candidates = phase.candidates if isinstance(phase, Collecting) else ()
            if any(one.sequencer == account for one in candidates):
                return ()
            seed = phase.seed if isinstance(phase, Collecting) else epoch_seed
            is_drawn = self.parameters.score is ScoreKind.PRIVATE
            drawn = lot(seed, state.round) if is_drawn else None
            return (CommitDuty(state.round, drawn, *self.head),)
        if isinstance(phase, Revealing) and phase.content_of(account) is None:
            is_elected = any(one.sequencer == account for one in phase.elected)
            return (RevealDuty(state.round),) if is_elected and now < phase.ends else ()
        if isinstance(phase, AwaitingBackup) and now < phase.closes:
            return (BackupDuty(state.round, state.settled_head, phase.closes),)
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
        """Void what missed its deadline, then let the round pass on."""
        head, has_missed = self.head, self._void_overdue(frame)
        if self.head != head:
            self._skip(frame, Skip.PARENT_FELL)
        if has_missed:
            self._open_backup(frame)
        phase, tick = self._state.phase, frame.moment.tick
        if isinstance(phase, Collecting) and tick >= phase.closes:
            self._elect(frame, phase)
        elif isinstance(phase, Committing) and tick >= phase.closes:
            self._end_commitments(frame, phase)
        elif isinstance(phase, AwaitingBackup) and tick >= phase.closes:
            self._state.phase = None

    def on_operation(
        self, frame: Frame, sender: Account, payload: Payload, operation: OperationHash
    ) -> None:
        """Take a commitment, a reveal or a backup."""
        if isinstance(payload, BlockCommitment):
            self._on_commitment(frame, sender, payload)
        elif isinstance(payload, BlockReveal):
            self._on_reveal(frame, sender, payload)
        else:
            assert isinstance(payload, BackupBlock), "the machine passes on what a rule handles"
            self._on_backup(frame, sender, payload, operation)

    def earliest(
        self, sender: Account, payload: Payload, ordered: Sequence[tuple[Tick, Operation]]
    ) -> Tick | None:
        """At once: agents commit, reveal and bring backups when they see the phase."""
        return Tick(0)

    def on_block_end(self, frame: Frame) -> None:
        """Open jobs, or skip the round, at the fixed end of the reveal window."""
        state, phase = self._state, self._state.phase
        if not isinstance(phase, Revealing) or frame.moment.tick < phase.ends:
            return
        if not phase.contents:
            self._punish(frame, phase.elected[0].sequencer)
            self._skip(frame, Skip.NOT_REVEALED)
            return
        standing = [
            (one, content)
            for one in phase.elected
            if (content := phase.content_of(one.sequencer)) is not None
            and frame.is_committed(state.round, one.sequencer)
        ]
        if not standing:
            self._skip(frame, Skip.NOT_COMMITTED)
            self._open_backup(frame)
            return
        for candidate, content in standing:
            self._open(frame, phase, candidate, content)
        state.phase, state.round = None, Round(state.round + 1)

    def next_settled(self, jobs: Mapping[JobId, Job]) -> JobId | None:
        """The best job of the oldest round, once it is proven."""
        best = next((one.job for one in self._state.open_blocks), None)
        return best if best is not None and jobs[best].is_proven else None

    def awaited(self) -> tuple[AwaitedBlock, ...]:
        """Those of the elected, until their jobs open."""
        state, phase, hidden = self._state, self._state.phase, self.parameters.leaf_count_max
        if isinstance(phase, Committing):
            until = Tick(phase.closes - 1)
            return tuple(
                AwaitedBlock(state.round, one.sequencer, until, hidden) for one in phase.elected
            )
        if not isinstance(phase, Revealing):
            return ()
        contents = dict(phase.contents)
        return tuple(
            AwaitedBlock(
                state.round,
                one.sequencer,
                phase.ends,
                Count(len(contents[one.sequencer].leaves)) if one.sequencer in contents else hidden,
            )
            for one in phase.elected
        )

    def may_seal(self, account: Account, payload: Payload) -> bool:
        """Whether an elected sequencer reveals a block on the head, or anybody brings a backup."""
        phase = self._state.phase
        if not isinstance(payload, BlockReveal | BackupBlock):
            return False
        if (payload.round, payload.content.parent, payload.content.from_root) != (
            self._state.round,
            *self.head,
        ):
            return False
        if isinstance(payload, BackupBlock):
            return isinstance(phase, AwaitingBackup)
        return isinstance(phase, Revealing) and account in [one.sequencer for one in phase.elected]

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
        """The settled job becomes the base of the chain; a void one leaves it.

        What is left of its bond, all of it but for a missed deadline, returns.
        """
        state, bond = self._state, block_bond(job.id)
        frame.ledger.move(
            Moved(
                bond,
                sequencer_stake(job.header.sequencer),
                frame.ledger.holds(bond),
                Cause.BOND_RETURNED,
                job.id,
            )
        )
        state.open_blocks = [one for one in state.open_blocks if one.job != job.id]
        if settled:
            state.settled_head, state.settled_root = job.id, job.header.to_root

    def needs_ticks(self) -> bool:
        """A round or a deadline is running."""
        return self._state.phase is not None or bool(self._state.open_blocks)

    def snapshot(self) -> State:
        """All state."""
        return self._state

    def restore(self, state: State) -> None:
        """Go on from there."""
        self._state = state

    def invariants(self) -> Iterator[str]:
        """Candidates are distinct sequencers; open jobs stay within the bounds."""
        state, parameters = self._state, self.parameters
        if isinstance(state.phase, Collecting):
            sequencers = [one.sequencer for one in state.phase.candidates]
            if len(set(sequencers)) < len(sequencers):
                yield "a sequencer has two commitments in one round"
        rounds = [one.round for one in state.open_blocks]
        if len(set(rounds)) > parameters.max_unproven_jobs:
            yield "jobs of more rounds are open than max_unproven_jobs"
        if any(rounds.count(one) > parameters.candidates_max for one in rounds):
            yield "a round has more jobs than candidates_max"
        if isinstance(state.phase, AwaitingBackup) and rounds:
            yield "a backup is awaited although a job is open"

    # --- rounds ---

    def _on_commitment(self, frame: Frame, sender: Account, payload: BlockCommitment) -> None:
        state, parameters, phase = self._state, self.parameters, self._state.phase
        if payload.round != state.round or not self.takes_commitments:
            raise Refused(Reason.WRONG_ROUND, f"round {payload.round}")
        self._check_stake(frame, sender)
        opening = Collecting(
            Tick(frame.moment.tick + parameters.proposal_ticks), frame.epoch_seed, ()
        )
        collecting = phase if isinstance(phase, Collecting) else opening
        if any(one.sequencer == sender for one in collecting.candidates):
            raise Refused(Reason.ALREADY_COMMITTED)
        draw = self._draw(frame, sender, collecting.seed, payload)
        candidate = Candidate(
            sender, payload.content, payload.fee_split, score(draw, payload.fee_split)
        )
        if phase is None:
            frame.emit(RoundOpened(state.round, collecting.closes))
        state.phase = Collecting(
            collecting.closes, collecting.seed, (*collecting.candidates, candidate)
        )

    def _check_stake(self, frame: Frame, sender: Account) -> None:
        """A sequencer's stake counts with what it pledged; a further bond needs free stake.

        One commitment can be waiting, so one bond must be there.
        """
        free = frame.ledger.holds(sequencer_stake(sender))
        pledged = sum(
            frame.ledger.holds(block_bond(one.job))
            for one in self._state.open_blocks
            if one.sequencer == sender
        )
        if free + pledged < max(1, self.parameters.sequencer_stake_min):
            raise Refused(Reason.NOT_A_SEQUENCER)
        if free < self.parameters.block_bond:
            raise Refused(Reason.BOND_NOT_COVERED)

    def _draw(self, frame: Frame, sender: Account, seed: Beacon, payload: BlockCommitment) -> bytes:
        key = frame.vrf_keys.get(sender)
        if key is None:
            raise Refused(Reason.BAD_VRF_PROOF, "the account has no key that counts in this epoch")
        if self.parameters.score is ScoreKind.PUBLIC:
            if any(payload.vrf_proof):
                raise Refused(Reason.BAD_VRF_PROOF, "where scores are public it is zeros")
            return public_draw(seed, payload.round, sender)
        output = vrf.verify(key, lot(seed, payload.round), payload.vrf_proof)
        if output is None:
            raise Refused(Reason.BAD_VRF_PROOF)
        return output

    def _elect(self, frame: Frame, phase: Collecting) -> None:
        state, parameters = self._state, self.parameters
        ranked = sorted(phase.candidates, key=lambda one: (one.score, one.sequencer), reverse=True)
        elected, pool = tuple(ranked[: parameters.candidates_max]), frame.pool()
        closes = Tick(frame.moment.tick + parameters.prover_commit_ticks)
        ends = Tick(closes + parameters.reveal_ticks)
        leader, count = elected[0], Count(len(phase.candidates))
        frame.emit(LeaderElected(state.round, leader.sequencer, leader.fee_split, count, ends))
        for one in elected[1:]:
            frame.emit(RunnerUpElected(state.round, one.sequencer, one.fee_split))
        if parameters.prover_commit_ticks:
            state.phase = Committing(elected, closes, pool)
        else:
            state.phase = Revealing(elected, ends, pool)

    def _end_commitments(self, frame: Frame, phase: Committing) -> None:
        """Who has no prover is out."""
        committed = tuple(
            one for one in phase.elected if frame.is_committed(self._state.round, one.sequencer)
        )
        if committed:
            ends = Tick(phase.closes + self.parameters.reveal_ticks)
            self._state.phase = Revealing(committed, ends, phase.pool)
        else:
            self._skip(frame, Skip.NOT_COMMITTED)
            self._open_backup(frame)

    def _on_reveal(self, frame: Frame, sender: Account, payload: BlockReveal) -> None:
        state, phase, content = self._state, self._state.phase, payload.content
        if payload.round != state.round or not isinstance(phase, Revealing):
            raise Refused(Reason.WRONG_ROUND, f"round {payload.round}")
        if frame.moment.tick >= phase.ends:
            raise Refused(Reason.WRONG_ROUND, "this block's beacon is the seed")
        committed = next((one for one in phase.elected if one.sequencer == sender), None)
        if committed is None:
            raise Refused(Reason.NOT_THE_LEADER)
        if phase.content_of(sender) is not None:
            raise Refused(Reason.ALREADY_REVEALED)
        if commitment_digest(content, payload.salt) != committed.content:
            raise Refused(Reason.WRONG_REVEAL)
        self._check_content(frame, content)
        contents = (*phase.contents, (sender, content))
        state.phase = Revealing(phase.elected, phase.ends, phase.pool, contents)
        frame.emit(BlockSealed(state.round, sender))

    def _check_content(self, frame: Frame, content: BlockContent) -> None:
        leaf_count = len(content.leaves)
        if not tree.is_leaf_count(leaf_count) or leaf_count > self.parameters.leaf_count_max:
            raise Refused(Reason.WRONG_LEAF_COUNT, f"{leaf_count} leaves")
        if (content.parent, content.from_root) != self.head:
            raise Refused(Reason.WRONG_PARENT)
        pledged, parent = 0, content.parent
        while parent in frame.jobs:
            before = frame.jobs[parent]
            pledged += before.header.fees
            parent = before.parent
        if pledged + sum(leaf.fees for leaf in content.leaves) > frame.ledger.holds(VAULT):
            raise Refused(Reason.FEES_NOT_BACKED)

    def _open(
        self, frame: Frame, phase: Revealing, candidate: Candidate, content: BlockContent
    ) -> None:
        sequencer = candidate.sequencer
        header = JobHeader(
            network=frame.network,
            round=self._state.round,
            sequencer=sequencer,
            content=content,
            fee_split=candidate.fee_split,
            seed=frame.moment.beacon,
            pool=pool_digest(phase.pool),
        )
        job = frame.open_job(header, phase.pool)
        self._state.open_blocks.append(OpenBlock(job, header.to_root, header.round, sequencer))
        self._lock_bond(frame, sequencer, job)

    def _lock_bond(self, frame: Frame, sequencer: Account, job: JobId) -> None:
        """The stake was there when the sequencer committed; what left since is on its way out."""
        stake, due = sequencer_stake(sequencer), self.parameters.block_bond
        for source in (stake, exiting(stake)):
            part = Amount(min(due, frame.ledger.holds(source)))
            due = Amount(due - part)
            frame.ledger.move(Moved(source, block_bond(job), part, Cause.BOND_LOCKED, job))

    def _skip(self, frame: Frame, why: Skip) -> None:
        """The round makes no block."""
        state, phase = self._state, self._state.phase
        elected = phase.elected if isinstance(phase, Committing | Revealing) else ()
        leader = elected[0].sequencer if elected else None
        frame.emit(RoundSkipped(state.round, leader, why))
        state.phase, state.round = None, Round(state.round + 1)

    def _punish(self, frame: Frame, leader: Account) -> None:
        stake = sequencer_stake(leader)
        penalty = frame.ledger.at_risk(stake) * self.parameters.reveal_penalty_bps // FULL_SHARE
        frame.ledger.forfeit(Moved(stake, BURNED, Amount(penalty), Cause.REVEAL_MISSING))

    # --- deadlines ---

    def _void_overdue(self, frame: Frame) -> bool:
        """Void what missed its deadline; whether anything did."""
        has_missed = False
        for job in tuple(frame.jobs.values()):
            if job.id in frame.jobs and self._is_overdue(frame, job):
                self._forfeit(frame, job)
                frame.void_job(job.id)
                has_missed = True
        return has_missed

    def _is_overdue(self, frame: Frame, job: Job) -> bool:
        if job.is_proven or self._has_lost(frame, job):
            return False
        tick, due = frame.moment.tick, job.opened_at + self.parameters.deadline_ticks
        return frame.gave_up(job.id) or (tick > due and tick > frame.latest(job.id))

    def _has_lost(self, frame: Frame, job: Job) -> bool:
        """Whether a better rival is proven: no deadline matters any more."""
        rivals = [one.job for one in self._state.open_blocks if one.round == job.header.round]
        better = rivals[: rivals.index(job.id)]
        return any(frame.jobs[one].is_proven for one in better)

    def _forfeit(self, frame: Frame, job: Job) -> None:
        """Pay provers and orphaned sequencers from the job's bond, and burn the rest."""
        bond, ledger = block_bond(job.id), frame.ledger
        fallen = descendants(frame.jobs, job.id)
        for one in (job, *fallen):
            frame.compensate(one, bond, ledger.holds(bond))
        orphans = [one for one in fallen if one.header.sequencer != job.header.sequencer]
        part = ledger.holds(bond) * self.parameters.orphan_bps // FULL_SHARE
        for one in orphans:
            target, pay = balance(one.header.sequencer), Amount(part // len(orphans))
            ledger.move(Moved(bond, target, pay, Cause.ORPHAN_PAY, one.id))
        ledger.move(Moved(bond, BURNED, ledger.holds(bond), Cause.BOND_LOST, job.id))

    # --- backup ---

    def _open_backup(self, frame: Frame) -> None:
        """If the network wants backups and nothing else is open."""
        if self.parameters.backup_ticks and not frame.jobs:
            closes = Tick(frame.moment.tick + 1 + self.parameters.backup_ticks)
            self._state.phase = AwaitingBackup(closes)
            frame.emit(BackupOpened(self._state.round, closes))

    def _on_backup(
        self, frame: Frame, sender: Account, payload: BackupBlock, operation: OperationHash
    ) -> None:
        state = self._state
        if payload.round != state.round or not isinstance(state.phase, AwaitingBackup):
            raise Refused(Reason.WRONG_ROUND, f"round {payload.round}")
        self._check_content(frame, payload.content)
        header = backup_header(frame.network, sender, payload)
        frame.settle_backup(header, sender, operation)
        state.phase, state.round = None, Round(state.round + 1)


def pool_digest(pool: tuple[PoolMember, ...]) -> Digest:
    """Digest of a frozen pool, as it stands in a job's header."""
    return Digest(digest(b"provnet/pool/1", *(encode(member) for member in pool)))

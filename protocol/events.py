"""What a finalised log block changed, as frozen values in the order of happening.

Events are the only thing that agents, reports and checkers see of the machine's work, and the
machine's digest is a rolling hash of them: two replicas with equal digests told their users the
same story.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from protocol.ledger import Moved
from protocol.messages import JobHeader, StakeKind
from protocol.ordering.validators import Validator
from protocol.types import (
    Account,
    Amount,
    BasisPoints,
    Claim,
    Count,
    Epoch,
    JobId,
    OperationHash,
    Round,
    Slot,
    Tick,
    TreeIndex,
    VrfKey,
)


@dataclass(frozen=True, slots=True)
class OperationAccepted:
    """An operation took effect; ``payload`` is the class name of its payload."""

    operation: OperationHash
    sender: Account
    payload: str


@dataclass(frozen=True, slots=True)
class OperationRefused:
    """An ordered operation changed nothing but its sender's fee; ``reason`` names a
    ``protocol.errors.Reason``.
    """

    operation: OperationHash
    sender: Account
    payload: str
    reason: str


@dataclass(frozen=True, slots=True)
class RoundOpened:
    """The first commitment of a round was ordered; commitments count until ``closes``
    (exclusive).
    """

    round: Round
    closes: Tick


@dataclass(frozen=True, slots=True)
class LeaderElected:
    """The best score of the round; the leader must reveal before ``reveal_ends``."""

    round: Round
    leader: Account
    fee_split: BasisPoints
    candidates: Count
    reveal_ends: Tick


@dataclass(frozen=True, slots=True)
class RunnerUpElected:
    """A next best score of the round, in their order: it may reveal, too, and its block counts
    where no better one of the round is proven.
    """

    round: Round
    sequencer: Account
    fee_split: BasisPoints


@dataclass(frozen=True, slots=True)
class BlockSealed:
    """An elected sequencer revealed: content and terms of the rollup block are fixed."""

    round: Round
    sequencer: Account


class Skip(Enum):
    """Why a round made no block."""

    NOT_REVEALED = "the leader did not reveal in time"
    NOT_COMMITTED = "no prover was committed to the leader's block in time"
    PARENT_FELL = "the block that the round built on fell"


@dataclass(frozen=True, slots=True)
class RoundSkipped:
    """No block of the round counts; the next one builds on what is left.

    ``leader``: None when nobody was elected yet.
    """

    round: Round
    leader: Account | None
    why: Skip


@dataclass(frozen=True, slots=True)
class BackupOpened:
    """Anybody may bring a whole proven block until ``closes`` (exclusive)."""

    round: Round
    closes: Tick


@dataclass(frozen=True, slots=True)
class Awarded:
    """The sequencer's block of the round is promised to ``prover``; bond and price are locked."""

    round: Round
    sequencer: Account
    prover: Account
    price: Amount
    bond: Amount


@dataclass(frozen=True, slots=True)
class PoolMember:
    """A prover that could be elected, with its number of cards."""

    prover: Account
    cards: Count


@dataclass(frozen=True, slots=True)
class JobOpened:
    """The proof tree of a sealed block is to be proven by the members of ``pool``."""

    job: JobId
    header: JobHeader
    pool: tuple[PoolMember, ...]


@dataclass(frozen=True, slots=True)
class Assigned:
    """The tree node is the prover's own; None when the pool was empty.

    Told once for each of its provers, the first of whom is named by the deal's bits.
    """

    job: JobId
    index: TreeIndex
    prover: Account | None


@dataclass(frozen=True, slots=True)
class RightOpened:
    """``holder`` (None: any staked prover) may have a proof recorded from tick ``admissible``
    on.
    """

    job: JobId
    index: TreeIndex
    holder: Account | None
    admissible: Tick


@dataclass(frozen=True, slots=True)
class WindowStarted:
    """The right's opening is final: after ``closes`` without a record it passes on."""

    job: JobId
    index: TreeIndex
    holder: Account
    closes: Tick


@dataclass(frozen=True, slots=True)
class RightMissed:
    """The window closed without a record.

    ``failed``: it was the holder's own tree node, so it forfeits the job.
    """

    job: JobId
    index: TreeIndex
    holder: Account
    failed: bool


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The right to an unrecorded tree node passed from ``previous`` to ``heir`` (None: any
    staked prover).

    Of several who held it together, ``previous`` is the first.
    """

    job: JobId
    index: TreeIndex
    previous: Account
    heir: Account | None


@dataclass(frozen=True, slots=True)
class ProofRecorded:
    """The first admissible proof of a tree node; its claim is what the parent must use."""

    job: JobId
    index: TreeIndex
    prover: Account
    claim: Claim


@dataclass(frozen=True, slots=True)
class ProofPassedOver:
    """A record that competed for the same tree node in the same log block and lost the draw."""

    job: JobId
    index: TreeIndex
    prover: Account
    claim: Claim


@dataclass(frozen=True, slots=True)
class ProofOffered:
    """A valid proof that counts once the owner of the merge above takes it."""

    job: JobId
    index: TreeIndex
    prover: Account
    claim: Claim


@dataclass(frozen=True, slots=True)
class UncleClaimed:
    """The prover showed that it proved the tree node, too."""

    job: JobId
    index: TreeIndex
    prover: Account
    claim: Claim


@dataclass(frozen=True, slots=True)
class SlashPending:
    """The prover failed the job and has until ``grace_ends`` to show what it missed.

    :ivar penalty: stake that it loses otherwise, in micro-units.
    :ivar decided: last tick of the vote on it; ``grace_ends`` where there is no vote.
    """

    job: JobId
    prover: Account
    penalty: Amount
    grace_ends: Tick
    decided: Tick


@dataclass(frozen=True, slots=True)
class SlashVoted:
    """A validator voted on a pending slash."""

    job: JobId
    prover: Account
    voter: Account
    is_guilty: bool


@dataclass(frozen=True, slots=True)
class ProverSlashed:
    """The prover lost stake for having failed the job."""

    job: JobId
    prover: Account


class Acquittal(Enum):
    """Why a prover that failed a job keeps its stake."""

    PROOFS_SHOWN = "it showed every proof that it had missed"
    NOT_VOTED = "not more than half of the log stake voted for the slash"


@dataclass(frozen=True, slots=True)
class ProverAcquitted:
    """A pending slash came to nothing."""

    job: JobId
    prover: Account
    why: Acquittal


@dataclass(frozen=True, slots=True)
class JobProven:
    """The root of the job's tree is recorded."""

    job: JobId


@dataclass(frozen=True, slots=True)
class JobSettled:
    """The job and everything before it is proven; its fees were paid out."""

    job: JobId


@dataclass(frozen=True, slots=True)
class JobVoided:
    """Nothing of the job happened, because of a job: itself, when it missed its deadline, one that
    it was built on, or a rival that won.
    """

    job: JobId
    because: JobId


@dataclass(frozen=True, slots=True)
class IntentRegistered:
    """The prover can be elected until tick ``until``."""

    prover: Account
    until: Tick


@dataclass(frozen=True, slots=True)
class InvalidProofPunished:
    """A prover signed a record whose bytes do not prove it."""

    offender: Account
    job: JobId
    index: TreeIndex
    reporter: Account


@dataclass(frozen=True, slots=True)
class BackupTaken:
    """Somebody's whole block with its proof is the next one; ``prover`` proved all of it."""

    job: JobId
    prover: Account


@dataclass(frozen=True, slots=True)
class EquivocationPunished:
    """A validator signed two things for one slot."""

    offender: Account
    slot: Slot
    reporter: Account


@dataclass(frozen=True, slots=True)
class Staked:
    """``owner`` added to the stake of ``holder``: its own, or lent to somebody else."""

    stake: StakeKind
    holder: Account
    owner: Account
    amount: Amount


@dataclass(frozen=True, slots=True)
class Unstaked:
    """``owner`` takes out of the stake of ``holder``; it is paid at tick ``due``."""

    stake: StakeKind
    holder: Account
    owner: Account
    amount: Amount
    due: Tick


@dataclass(frozen=True, slots=True)
class ExitPaid:
    """Stake that was taken out went to its owner: what penalties left of it since."""

    stake: StakeKind
    holder: Account
    owner: Account
    amount: Amount


@dataclass(frozen=True, slots=True)
class KeyRegistered:
    """The account's key of lots, which sequencing counts from epoch ``counts_from`` on."""

    account: Account
    vrf_key: VrfKey
    counts_from: Epoch


@dataclass(frozen=True, slots=True)
class SetChanged:
    """From epoch ``epoch`` on the log is ordered by others than before, or with other stakes."""

    epoch: Epoch
    members: tuple[Validator, ...]


Event: TypeAlias = (
    OperationAccepted
    | OperationRefused
    | Moved
    | RoundOpened
    | LeaderElected
    | RunnerUpElected
    | BlockSealed
    | RoundSkipped
    | BackupOpened
    | JobOpened
    | Assigned
    | RightOpened
    | WindowStarted
    | RightMissed
    | TakenOver
    | ProofRecorded
    | ProofPassedOver
    | JobProven
    | JobSettled
    | JobVoided
    | IntentRegistered
    | EquivocationPunished
    | InvalidProofPunished
    | BackupTaken
    | Awarded
    | ProofOffered
    | UncleClaimed
    | SlashPending
    | SlashVoted
    | ProverSlashed
    | ProverAcquitted
    | Staked
    | Unstaked
    | ExitPaid
    | KeyRegistered
    | SetChanged
)

"""The plug-in interface: what a sequencing rule and a proving rule are.

A *sequencing rule* decides who makes the next rollup block and under which terms; it seals blocks
and asks the frame to open a job for each. A *proving rule* decides who may have a proof of which
tree node recorded, from when, and what is paid for it. Any sequencing rule runs with any proving
rule; ``combines_with`` refuses, with a sentence, what makes no sense.

Contract of both:

- A rule object holds its parameters and all its state, and changes it only inside the calls below,
  made by ``protocol.machine`` in this order for every finalised log block: ``on_tick`` of the
  proving rule, then of the sequencing rule; ``on_operation`` for each operation in order;
  ``on_block_end`` of the sequencing rule, then of the proving rule; ``settle`` of the proving rule,
  then of the sequencing rule, for each job that is to be settled.
- Each rule has its own state and sees of the other what the frame passes on.
- ``on_operation`` either takes effect or raises :class:`~protocol.errors.Refused` *before it
  changed anything*.
- Everything is a function of what was passed in: no clock, no randomness but the frame's beacon, no
  unordered iteration. Time is the tick.
- Money moves through the frame's ledger only, and only what a pocket is known to hold.
- ``snapshot`` returns plain values (numbers, bytes, text, enums, dataclasses, tuples, lists, dicts)
  that determine the rule's future behaviour together with its parameters. The type that it is
  annotated to return is the type as which its bytes are read back: ``-> tuple[Round, bool]``.
- ``restore`` takes such a value, freshly read and shared with nobody, in place of all state. Values
  only: a rule that holds the same object twice, or one of the frame's, gets two back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Protocol, TypeAlias

from protocol.events import Event, PoolMember
from protocol.ledger import Ledger, Pocket
from protocol.messages import Inclusion, JobHeader, Operation, Payload
from protocol.types import (
    Account,
    Amount,
    Beacon,
    Claim,
    Count,
    JobId,
    NetworkId,
    OperationHash,
    Root,
    Round,
    Slot,
    Stake,
    Tick,
    TreeIndex,
    VrfKey,
    Work,
)


@dataclass(frozen=True, slots=True)
class Moment:
    """Where in the log a call happens.

    :ivar tick: height of the block being applied.
    :ivar slot: its slot.
    :ivar beacon: randomness of this block, unknown to everybody before it was proposed.
    :ivar settled: height of the last block that this block's own ancestors finalise.
    :ivar proposer: who proposed the block and receives operation fees.
    :ivar voters: whose votes for the block before it its header shows.
    """

    tick: Tick
    slot: Slot
    beacon: Beacon
    settled: Tick
    proposer: Account
    voters: tuple[Account, ...]


@dataclass(frozen=True, slots=True)
class AwaitedBlock:
    """A block that may yet open as a job, and can be promised to a prover until it does.

    :ivar until: last tick at which a promise can be ordered.
    :ivar leaf_count: how many leaves it has; the most that it may have while it is hidden.
    """

    round: Round
    sequencer: Account
    until: Tick
    leaf_count: Count


@dataclass(frozen=True, slots=True)
class Job:
    """The proof tree of one sealed block, from opening to settlement or void.

    :ivar is_proven: whether the root is recorded; a job that was kept since it opened never says
        so, the frame's does.
    """

    id: JobId
    header: JobHeader
    opened_at: Tick
    is_proven: bool = False

    @property
    def parent(self) -> JobId:
        """The job that its block builds on."""
        return self.header.content.parent


@dataclass(frozen=True, slots=True)
class Frame:
    """What a rule sees and may do during one call.

    :ivar moment: where in the log the call happens.
    :ivar network: id of the network, for digests and signatures.
    :ivar ledger: all money; moves are conserved by construction.
    :ivar jobs: open jobs, oldest first; each is built on another open one or on the last settled
        one. Those with the same parent are rivals: one of them can be settled at most.
    :ivar vrf_keys: VRF key of each account that registered one.
    :ivar epoch_seed: randomness of the epoch, older than anything decided now.
    :ivar emit: appends an event to the story of this block.
    :ivar open_job: opens a job for a sealed block (sequencing rules only).
    :ivar job_is_proven: tells that a job's root is recorded (proving rules only).
    :ivar void_job: voids a job and all jobs built on it (sequencing rules only).
    :ivar settle_backup: a block that came with its proof is the next settled one (sequencing rules
        only): ``(header, prover, operation)``.
    :ivar mev: what ordering a block is worth to its sequencer beyond fees, as the genesis states.
    :ivar pool: the provers that can be elected now, from the proving rule.
    :ivar latest: tick by which the proving rule will have let somebody prove the job, from the
        proving rule.
    :ivar gave_up: whether nobody has a right to prove the job any more, from the proving rule.
    :ivar is_committed: whether the proving rule knows who will prove the sequencer's block of the
        round, from the proving rule.
    :ivar compensate: pays what is recorded of a job that is about to be void out of a pocket, at
        most the given amount, from the proving rule; returns what was paid.
    :ivar awaited: blocks that may yet open as jobs, from the sequencing rule.
    """

    moment: Moment
    network: NetworkId
    ledger: Ledger
    jobs: Mapping[JobId, Job]
    vrf_keys: Mapping[Account, VrfKey]
    epoch_seed: Beacon
    emit: Callable[[Event], None]
    open_job: Callable[[JobHeader, tuple[PoolMember, ...]], JobId]
    job_is_proven: Callable[[JobId], None]
    void_job: Callable[[JobId], None]
    settle_backup: Callable[[JobHeader, Account, OperationHash], None]
    mev: Amount
    pool: Callable[[], tuple[PoolMember, ...]]
    latest: Callable[[JobId], Tick]
    gave_up: Callable[[JobId], bool]
    is_committed: Callable[[Round, Account], bool]
    compensate: Callable[[Job, Pocket, Amount], Amount]
    awaited: Callable[[], tuple[AwaitedBlock, ...]]


def descendants(jobs: Mapping[JobId, Job], ancestor: JobId) -> tuple[Job, ...]:
    """Open jobs that build on a job, directly or not, oldest first."""
    line = {ancestor: None}
    for job in jobs.values():
        if job.parent in line:
            line[job.id] = None
    return tuple(jobs[one] for one in line if one != ancestor)


class Stage(Enum):
    """On what ground an account may prove a tree node."""

    OWN = "own"
    """It was assigned to the account."""
    TAKEOVER = "takeover"
    """The account inherited it."""
    OPEN = "open"
    """Anybody may."""
    UNCLE = "uncle"
    """Somebody else's proof counts; the account may show its own, too, as an uncle claim."""


@dataclass(frozen=True, slots=True)
class ProvingDuty:
    """A tree node that an account may prove now, or as soon as its inputs are known.

    :ivar reward: what its record would pay the account, if the job settles.
    :ivar at_stake: what the account's other tree nodes of the job pay, if the job settles, and the
        stake that it loses unless it proves this one.
    :ivar work: compute units it takes.
    """

    job: JobId
    index: TreeIndex
    stage: Stage
    reward: Amount
    at_stake: Amount
    work: Work


@dataclass(frozen=True, slots=True)
class Ballot:
    """A validator may vote on whether ``prover`` is slashed for not having shown its proofs of
    ``missed``.
    """

    job: JobId
    prover: Account
    missed: tuple[TreeIndex, ...]


Errand: TypeAlias = Inclusion | Ballot
"""What a rule waits for from an account beside proofs: a word that can be said at once, or a
judgement.
"""


@dataclass(frozen=True, slots=True)
class Ask:
    """What an account must offer in a bid to be promised a block.

    :ivar bond: the least that it has to pledge, in micro-units.
    :ivar ticks: time to prove the block, from finality of the job's opening.
    :ivar work: compute units of the whole block, by its ``leaf_count``.
    """

    block: AwaitedBlock
    bond: Amount
    ticks: Tick
    work: Work


@dataclass(frozen=True, slots=True)
class Election:
    """What a rule that elects provers has for an account.

    :ivar until: last tick at which it can be elected, as it stands; 0 if it never enlisted.
    :ivar leaf_window_ticks: time for a leaf of its own, from finality of its right.
    :ivar merge_window_ticks: the same for a merge.
    """

    until: Tick
    leaf_window_ticks: Tick
    merge_window_ticks: Tick


@dataclass(frozen=True, slots=True)
class CommitDuty:
    """The account may commit to a block on ``parent``, with a VRF proof on ``lot``.

    :ivar lot: None where nobody draws: the proof is zeros then.
    """

    round: Round
    lot: bytes | None
    parent: JobId
    root: Root


@dataclass(frozen=True, slots=True)
class RevealDuty:
    """The account was elected and has to reveal what it committed to."""

    round: Round


@dataclass(frozen=True, slots=True)
class BackupDuty:
    """Anybody may bring a whole proven block on ``parent`` before tick ``closes``."""

    round: Round
    parent: JobId
    closes: Tick


SequencingDuty: TypeAlias = CommitDuty | RevealDuty | BackupDuty


class Promise(Enum):
    """What a proving rule that assigns tree nodes is taken to promise, unless it says otherwise."""

    SHARES = "Work shares follow stake."
    SPLITTING = "Nobody gets more work by splitting one identity in two."
    MERGES = "A merge's owner is a prover of one of its two children."
    PUBLIC = "Anybody can recompute an assignment from the job's header and pool."


def disclaimed(rule: Rule) -> Mapping[Promise, str]:
    """What a rule does not promise, each with a sentence that says why: its ``disclaims``, an
    attribute or a property that a rule may have. The property kit tests all other promises.
    """
    given: Mapping[Promise, str] = getattr(rule, "disclaims", {})
    return given


class Rule(Protocol):
    """What both kinds of rule have."""

    name: ClassVar[str]
    """Short name, as in a genesis."""

    handles: ClassVar[tuple[type[Any], ...]]
    """Classes of payload that this rule decides about."""

    free: ClassVar[tuple[type[Any], ...]]
    """Those of them that cost no operation fee when they are accepted. A rule accepts them only of
    senders whose stake answers for them: nobody else could pay for a refusal.
    """

    def on_tick(self, frame: Frame) -> None:
        """Expiries: what the passing of time alone brings about. Before the block's operations."""

    def on_operation(
        self, frame: Frame, sender: Account, payload: Payload, operation: OperationHash
    ) -> None:
        """Apply one operation, or raise Refused before anything changed."""

    def earliest(
        self, sender: Account, payload: Payload, ordered: Sequence[tuple[Tick, Operation]]
    ) -> Tick | None:
        """First tick at which ordering the operation can have effect; None if that cannot be told
        yet.

        Judged by the final state and by what is ordered above it but not final, with heights. A
        proposer keeps the operation until then, so that being early costs nobody a fee.
        """

    def on_block_end(self, frame: Frame) -> None:
        """Assignments: what follows from the whole block and its beacon.

        After the block's operations.
        """

    def on_epoch(self, frame: Frame) -> None:
        """An epoch begins with this block. Before anything else of the block."""

    def on_job_closed(self, frame: Frame, job: Job, *, settled: bool) -> None:
        """The job was settled, or voided: forget it."""

    def needs_ticks(self) -> bool:
        """Whether something waits for the log to grow although no operation is pending."""

    def snapshot(self) -> object:
        """All state as plain values, of the type that it is annotated to return."""

    def restore(self, state: Any) -> None:
        """Go on from what ``snapshot`` returned, of another object with the same parameters."""

    def invariants(self) -> Iterator[str]:
        """A sentence for each property that does not hold; nothing when all is well."""


class SequencingRule(Rule, Protocol):
    """Who makes the next rollup block, under which terms."""

    def duties(self, account: Account, epoch_seed: Beacon, now: Tick) -> tuple[SequencingDuty, ...]:
        """What the account can do for the present round; a function of the state.

        :param now: height of the next block, the first that could order what is done.
        """

    def start(self, genesis_root: Root) -> None:
        """Begin with the rollup's first root."""

    def combines_with(self, proving: ProvingRule) -> str | None:
        """None, or a sentence that says why this rule makes no sense with that proving rule."""

    def next_settled(self, jobs: Mapping[JobId, Job]) -> JobId | None:
        """The open job that is settled next, if one is ready; its rivals are void then."""

    def awaited(self) -> tuple[AwaitedBlock, ...]:
        """Blocks that may yet open as jobs, in a fixed order; one that left never opens."""

    def may_seal(self, account: Account, payload: Payload) -> bool:
        """Whether the account could seal a block with this payload, as far as the final state
        tells: only then are its bytes worth fetching.
        """

    def share(self, job: Job, income: Amount) -> Amount:
        """What of a job's income its block promised to provers."""

    def settle(self, frame: Frame, job: Job, rest: Amount) -> None:
        """Pay ``rest`` of the job's escrow, all that is left, to the sequencing side."""


class ProvingRule(Rule, Protocol):
    """Who may have a proof recorded, from when, and what is paid for it."""

    def duties(self, account: Account) -> tuple[ProvingDuty, ...]:
        """What the account may prove, older jobs first; a function of the state."""

    def errands(self, account: Account, tick: Tick) -> tuple[Errand, ...]:
        """What else the rule waits for from the account; a function of the state.

        :param tick: height of the last block.
        """

    def recorded_claim(self, job: JobId, index: TreeIndex) -> Claim | None:
        """The claim that is recorded for a tree node of a job that is known, if one is."""

    def may_deliver(self, job: JobId, index: TreeIndex, prover: Account) -> bool:
        """Whether the prover holds a right to the tree node, open or waiting for inputs."""

    def enlistment(
        self, account: Account, stake: Stake, tick: Tick, lifetime: Tick
    ) -> Payload | None:
        """A payload that keeps the account electable, if it is time for one.

        :param stake: prover stake of the account.
        :param lifetime: ticks for which the account wants to stay electable.
        """

    def election(self, account: Account) -> Election | None:
        """How the account stands where provers are elected; None where they are not."""

    def ask(self, block: AwaitedBlock, worth: Amount, tick: Tick) -> Ask | None:
        """What a bid for the block must offer at ``tick``; None when no bid is wanted.

        :param worth: stake of its sequencer and the MEV, together.
        """

    def pool(self, frame: Frame) -> tuple[PoolMember, ...]:
        """The provers that can be elected now, in a fixed order."""

    def open_job(self, frame: Frame, job: Job, pool: tuple[PoolMember, ...]) -> None:
        """Open the rights to a job's tree nodes."""

    def latest(self, job: JobId, now: Tick) -> Tick:
        """A tick by which, whatever provers do, everybody entitled had their time.

        Windows wait for finality, so this counts with its usual lag from ``now`` on, and moves on
        while finality stands still.
        """

    def gave_up(self, job: JobId) -> bool:
        """Whether nobody has a right to prove the open job any more."""

    def is_committed(self, round: Round, sequencer: Account) -> bool:
        """Whether it is known who will prove the sequencer's block of the round."""

    def job(self, job: JobId) -> Job | None:
        """A job of which something can still be said: it is open, or there are claims to come."""

    def settle(self, frame: Frame, job: Job, share: Amount) -> Amount:
        """Pay at most ``share`` of the job's escrow to provers, to the burn, or into a reserve.

        Returns what is left of it, for the sequencing side.
        """

    def compensate(self, frame: Frame, job: Job, purse: Pocket, budget: Amount) -> Amount:
        """The job is about to be void: pay for what is recorded of it out of ``purse``.

        At most ``budget``; returns what was paid.
        """

"""Protocol-elected provers: the beacon deals tree nodes to stake, siblings cover for each other.

**Rule.** For a job with seed s and a frozen pool of provers

1. *Deal.* Cards, one per unit of prover stake of every prover with a live intent, are shuffled by s
   and dealt cyclically to the leaves, ``provers_per_node`` to each. Each merge goes to the prover
   of its left or right child by a bit of a hash of s and its place; where it has several, they are
   taken by turns from both children. So a merge's owner already owns a leaf below it, and anybody
   can recompute the whole assignment.
2. *Opening.* A leaf's right opens with the job; a merge's right when both its inputs are recorded.
   A record is admissible from ``opens + min_proving_ticks`` of its level: being faster earns
   nothing.
3. *Window.* The window for a right starts at the first log block whose own ancestors finalise the
   block that opened it, and lasts ``window_ticks`` of its level. Finality comes in bursts; nobody
   loses time to that.
4. *Miss.* When the window of a prover's own tree node passes without a record of anybody, that
   prover has *failed* the job: it forfeits its pay for this job, and its unrecorded tree nodes of
   the job pass on once nobody else holds the right to them. An heir that misses merely *declined*
   that tree node.
5. *Heirs.* ``origin(v)`` is the leaf whose prover the hash bits lead to from v. Heirs are the
   provers of the siblings of origin(v)'s ancestors: first the sibling's, then outwards. Repeats,
   accounts that held the right before, and accounts that failed the job are skipped without
   waiting. After the last heir the tree node is open to anybody with prover stake.
6. *Rights only widen.* A late original may still be recorded. Where more than one account may
   deliver, the records that are ordered in one log block compete by a hash of the next block's
   beacon, not by the proposer's order. The first recorded proof is final, and a merge must use the
   recorded claims of its children.
7. *Pay.* A tree node is worth its share of all work, after ``uncle_reserve_bps``. ``primary_bps``
   of it are paid to an own prover that was recorded and did not fail the job, the rest in equal
   parts to its other own provers that showed a proof by settlement (an uncle claim) and did not
   fail; ``takeover_bps`` to an heir that recorded it; ``open_bps`` to whoever recorded it once it
   was open to anybody. What nobody earned is burned, or goes back to the sequencer.
8. *Inclusion.* By the log, a record that is ordered is delivered. By the merge owner, it is an
   offer: it is recorded when a holder of a right to the merge above takes it (an
   :class:`~protocol.messages.Inclusion`, or that holder's own record). The window runs meanwhile.
   The root, and what is open to anybody, is included by the log; offers from before compete then.
9. *Uncles.* An :class:`~protocol.messages.UncleClaim` shows a proof beside the recorded one, made
   by an own prover of the tree node (``assigned``) or by anybody who ever held a right to it
   (``open``; at most ``uncles_per_node_max`` of others than its own provers), from the minimal
   time on and until ``uncle_ticks`` after settlement. Then it is paid, from the reserve,
   ``uncle_bps`` of the tree node's worth, less in proportion to the ticks since settlement, and
   less in proportion where the reserve does not suffice. What is left of it is burned.
10. *Slash.* Who failed loses ``slash_bps`` of the stake that it had then, unless for each tree node
    whose window it missed a proof of its own is recorded or claimed within ``grace_ticks`` after
    the job's end, be it settled or void. With ``governance_ticks`` it is slashed only if more than
    half of all log stake votes so within that time; proofs still count meanwhile.
11. *Void.* Where a bond pays for a job that falls, ``void_bps`` of each recorded tree node's worth
    are due to whoever recorded it, less in proportion where the bond does not suffice.

**Source.** Forum thread "Ideas on a proving network": section "Protocol-elected provers" with its
remarks on slashing and griefing, and "neglected" proofs that claim uncle rewards; minimal proving
time from the same thread, after Mina. Fading with delay and a cap on uncles after Ethereum's proof
of work (yellow paper, section 11.1).

**Deviations.** The thread stops at the sibling; heirs outward and the open stage are ours, because
pair takeover alone does not complete large trees. Failure is per job, so that one dead machine
costs one window and not one per tree node. An account has at most 1,000 cards, so that a deal stays
cheap; whoever has more stake than that splits it. Delay of a claim counts from settlement, so that
nobody has to race while the job is open.

**Parameters.** See :class:`~protocol.proving.elected_parameters.ElectedParameters`.

**Attacks.** Withholding a leaf delays a layer by one window. A prover with many accounts gets no
more cards than its stake buys, but may inherit from itself. Whoever once held a right is never paid
for the open stage of the same tree node, so that waiting for it does not pay. Copies farm open
uncles up to their cap, each with a proof of its own: claims bind their prover. *Suppression:* where
merge owners include, one that ignores its sibling's offer makes an honest prover fail. The victim
loses its pay for the job, and its stake where there is no grace; the attacker loses nothing but
the cost of proving the child again. With ``factor = victim's loss / attacker's cost`` this is no
less than ``pay / cost`` without a slash, and grows with the stake with one. By the log, a neglected
proof is delivered all the same, and who does not use it can only lose its own merge. A proposer
that leaves records out must do so for a window and the grace together to have anybody slashed.

**Claims.** Work shares follow stake. As long as one prover lives and the log has its quorum, every
tree node is proven within :meth:`Elected.latest`. One tree node is paid at most once to each
prover, and no more than it is worth. Nobody is paid without a proof that a quorum verified. No
stake is lost by a prover whose proofs are ordered before the grace ends, whatever siblings,
proposers or a halted log do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final, TypeAlias

from protocol import tree
from protocol.errors import Reason, Refused
from protocol.events import (
    Assigned,
    IntentRegistered,
    PoolMember,
    ProofOffered,
    ProofPassedOver,
    ProofRecorded,
    RightMissed,
    RightOpened,
    TakenOver,
    UncleClaimed,
    WindowStarted,
)
from protocol.ledger import (
    BURNED,
    Cause,
    Moved,
    Pocket,
    balance,
    escrow,
    prover_stake,
    uncle_reserve,
)
from protocol.messages import (
    Inclusion,
    Intent,
    Operation,
    Payload,
    ProofRecord,
    SlashVote,
    UncleClaim,
)
from protocol.proving.afterwards import Afterwards, Closed
from protocol.proving.deal import deal, heirs
from protocol.proving.elected_parameters import (
    ElectedParameters,
    FailedShare,
    IncludedBy,
    UncleScope,
    part,
)
from protocol.proving.pay import (
    beside,
    dues_of_settlement,
    dues_of_void,
    earned,
    within,
)
from protocol.proving.progress import Failure, Place, Progress, Recorded, Right
from protocol.proving.records import check_children, ordered_at
from protocol.rules import (
    Ask,
    AwaitedBlock,
    Election,
    Errand,
    Frame,
    Job,
    Promise,
    ProvingDuty,
    Stage,
)
from protocol.signing import digest
from protocol.types import (
    FULL_SHARE,
    Account,
    Amount,
    Claim,
    Count,
    JobId,
    OperationHash,
    Round,
    Stake,
    Tick,
    TreeIndex,
)

CARDS_MAX: Final = 1_000
"""Most cards of one account."""

ElectedState: TypeAlias = tuple[dict[Account, Tick], dict[JobId, Progress], dict[JobId, Closed]]
"""Last tick of each prover's intent, open jobs, closed ones of which something is to come."""


class Elected:
    """The rule of this module."""

    name: ClassVar[str] = "elected"
    handles: ClassVar[tuple[type, ...]] = (Intent, ProofRecord, UncleClaim, Inclusion, SlashVote)
    free: ClassVar[tuple[type, ...]] = (ProofRecord, UncleClaim, Inclusion, SlashVote)
    parameters_type: ClassVar[type] = ElectedParameters

    def __init__(self, parameters: ElectedParameters) -> None:
        """Refuses parameters under which nobody could deliver in time: CONTRADICTORY_GENESIS."""
        objections = parameters.objections()
        if objections:
            raise Refused(Reason.CONTRADICTORY_GENESIS, "; ".join(objections))
        self.parameters = parameters
        self._intents: dict[Account, Tick] = {}
        self._progress: dict[JobId, Progress] = {}
        self._afterwards = Afterwards(parameters)

    @property
    def disclaims(self) -> Mapping[Promise, str]:
        """With several provers for a tree node, work does not quite follow stake (rule 1)."""
        if self.parameters.provers_per_node == 1:
            return {}
        why = "the cards of one prover count once among those of a tree node"
        return {Promise.SHARES: why, Promise.SPLITTING: why}

    # --- the public view ---

    def progress(self, job: JobId) -> Progress | None:
        """State of a job that is open, or of which something is to come; for reading only."""
        closed = self._afterwards.closed.get(job)
        return self._progress.get(job) if closed is None else closed.progress

    def intent_until(self, prover: Account) -> Tick | None:
        """Last tick of the prover's live intent."""
        return self._intents.get(prover)

    def min_ticks(self, index: TreeIndex) -> Tick:
        """Minimal proving time of the tree node's level."""
        return self.parameters.min_merge_ticks if index.level else self.parameters.min_leaf_ticks

    def window_ticks(self, index: TreeIndex) -> Tick:
        """Length of the window of the tree node's level."""
        parameters = self.parameters
        return parameters.merge_window_ticks if index.level else parameters.leaf_window_ticks

    def admissible_from(self, place: Place, index: TreeIndex, prover: Account) -> Tick | None:
        """First tick at which ``prover``'s record of the place is admissible; None while it has
        no open right.
        """
        opens = place.open_since(prover)
        return None if opens is None else Tick(opens + self.min_ticks(index))

    def duties(self, account: Account) -> tuple[ProvingDuty, ...]:
        """Tree nodes to which the account holds a right and that are not recorded, or of which its
        own proof may be claimed; older jobs first.
        """
        closed = [one.progress for one in self._afterwards.closed.values()]
        return tuple(
            duty
            for progress in (*closed, *self._progress.values())
            for index, place in progress.places.items()
            if (duty := self._duty(account, progress, index, place)) is not None
        )

    def errands(self, account: Account, tick: Tick) -> tuple[Errand, ...]:
        """Offers that the account may include, the first of each tree node; votes on slashes."""
        included = (
            Inclusion(job, index, place.contenders[0].prover, place.contenders[0].claim)
            for job, progress in self._progress.items()
            for index, place in progress.places.items()
            if place.contenders
            and self._is_owners_choice(progress, index)
            and progress.places[tree.parent(index)].has_held(account)
        )
        return (*included, *self._afterwards.ballots(account, tick))

    def recorded_claim(self, job: JobId, index: TreeIndex) -> Claim | None:
        """The claim recorded for a tree node of a job that is known."""
        progress = self.progress(job)
        return None if progress is None else progress.recorded_claim(index)

    def may_deliver(self, job: JobId, index: TreeIndex, prover: Account) -> bool:
        """Whether the prover, or anybody, holds a right to the tree node."""
        progress = self._progress.get(job)
        if progress is None or index not in progress.places:
            return False
        return progress.places[index].is_held_by(prover)

    def enlistment(
        self, account: Account, stake: Stake, tick: Tick, lifetime: Tick
    ) -> Payload | None:
        """An intent, when the stake buys a card and the last intent has less than half of its
        lifetime left.
        """
        until = self._intents.get(account, Tick(0))
        lifetime = min(lifetime, self.parameters.intent_ticks_max)
        if stake < self.parameters.stake_unit or until > tick + lifetime // 2:
            return None
        return Intent(Count(1), Tick(tick + lifetime))

    def election(self, account: Account) -> Election:
        """The end of the account's intent, and the windows."""
        until, parameters = self._intents.get(account, Tick(0)), self.parameters
        return Election(until, parameters.leaf_window_ticks, parameters.merge_window_ticks)

    def ask(self, block: AwaitedBlock, worth: Amount, tick: Tick) -> Ask | None:
        """Nothing: the beacon decides who proves."""
        return None

    # --- calls of the machine ---

    def pool(self, frame: Frame) -> tuple[PoolMember, ...]:
        """Provers with a live intent and stake for at least one card, by account."""
        members = []
        for prover in sorted(self._intents):
            cards = frame.ledger.holds(prover_stake(prover)) // self.parameters.stake_unit
            if cards and self._intents[prover] >= frame.moment.tick:
                members.append(PoolMember(prover, Count(min(cards, CARDS_MAX))))
        return tuple(members)

    def open_job(self, frame: Frame, job: Job, pool: tuple[PoolMember, ...]) -> None:
        """Deal the tree nodes and open the rights to the leaves."""
        seed, leaf_count = job.header.seed, job.header.leaf_count
        dealt = deal(seed, leaf_count, pool, self.parameters.provers_per_node)
        lines = heirs(seed, leaf_count, dealt)
        places = {
            index: Place(provers, lines[index], [Right(provers)])
            for index, provers in dealt.items()
        }
        progress = self._progress[job.id] = Progress(job, places)
        for index, provers in dealt.items():
            for prover in provers or (None,):
                frame.emit(Assigned(job.id, index, prover))
        for index in tree.indices(job.header.leaf_count):
            if index.level == 0:
                self._open(frame, progress, index)

    def on_epoch(self, frame: Frame) -> None:
        """Forget intents that have passed."""
        tick = frame.moment.tick
        self._intents = {who: until for who, until in self._intents.items() if until >= tick}

    def on_tick(self, frame: Frame) -> None:
        """Decide contests of the block before, start windows, pass on what was missed; then see to
        closed jobs.
        """
        for progress in tuple(self._progress.values()):
            self._decide(frame, progress)
            self._start_windows(frame, progress)
            self._pass_on(frame, progress)
        self._afterwards.on_tick(frame)

    def on_operation(
        self, frame: Frame, sender: Account, payload: Payload, operation: OperationHash
    ) -> None:
        """Take an intent, a record, a claim, an inclusion or a vote."""
        match payload:
            case Intent():
                self._on_intent(frame, sender, payload)
            case ProofRecord():
                self._on_record(frame, sender, payload)
            case UncleClaim(record):
                self._on_claim(frame, sender, record)
            case Inclusion():
                self._on_inclusion(frame, sender, payload)
            case _:
                assert isinstance(payload, SlashVote), "the machine passes on what a rule handles"
                self._afterwards.on_vote(frame, sender, payload)

    def earliest(
        self, sender: Account, payload: Payload, ordered: Sequence[tuple[Tick, Operation]]
    ) -> Tick | None:
        """A record waits for its minimal time, and for its inputs to be recorded or ordered; a
        claim for a record of somebody else, a vote for the end of the grace.
        """
        match payload:
            case ProofRecord():
                return self._record_counts_from(sender, payload, ordered)
            case UncleClaim(record):
                return self._claim_counts_from(sender, record)
            case Inclusion(job, index, prover, claim):
                is_offered = self._offered(job, index, prover, claim) is not None
                return Tick(0) if is_offered else None
            case SlashVote(job, prover):
                return self._afterwards.votes_from(job, prover)
        return Tick(0)

    def on_block_end(self, frame: Frame) -> None:
        """Nothing: rights opened with the records that brought them about."""

    def on_job_closed(self, frame: Frame, job: Job, *, settled: bool) -> None:
        """Keep what is still to come: claims on a reserve, slashes that are pending."""
        self._afterwards.close(frame, self._progress.pop(job.id))

    def latest(self, job: JobId, now: Tick) -> Tick:
        """When the last possible stage of the last tree node has ended.

        A stage is the lag of finality, a window, and the tick that finds the miss; where several
        may deliver, the draw takes one tick more.
        """
        progress = self._progress[job]
        below = progress.job.opened_at
        for level in range(tree.height(progress.leaf_count) + 1):
            below = max(
                self._latest_record(progress, index, below, now)
                for index in progress.places
                if index.level == level
            )
        return below

    def gave_up(self, job: JobId) -> bool:
        """Never: at last anybody may prove."""
        return False

    def is_committed(self, round: Round, sequencer: Account) -> bool:
        """Always: the beacon decides, and nobody can decline to be elected."""
        return True

    def job(self, job: JobId) -> Job | None:
        """A job that is open, or of which claims or a decision are to come."""
        progress = self.progress(job)
        return None if progress is None else progress.job

    def compensate(self, frame: Frame, job: Job, purse: Pocket, budget: Amount) -> Amount:
        """Rule 11."""
        paid = 0
        for due in within(dues_of_void(self.parameters, self._progress[job.id]), budget):
            target = balance(due.prover)
            frame.ledger.move(Moved(purse, target, due.amount, due.cause, job.id, place=due.index))
            paid += due.amount
        return Amount(paid)

    def settle(self, frame: Frame, job: Job, share: Amount) -> Amount:
        """Pay each tree node; returns what nobody earned, unless that is burned."""
        progress, purse, parameters = self._progress[job.id], escrow(job.id), self.parameters
        reserve = part(share, parameters.uncle_reserve_bps)
        frame.ledger.move(
            Moved(purse, uncle_reserve(job.id), reserve, Cause.UNCLE_RESERVED, job.id)
        )
        left = progress.share = Amount(share - reserve)
        refund = Amount(0)
        for index in progress.places:
            worth = failed = parameters.worth(progress.leaf_count, index, progress.share)
            tick = frame.moment.tick
            for due in dues_of_settlement(parameters, progress, index, worth, tick):
                target = balance(due.prover)
                frame.ledger.move(Moved(purse, target, due.amount, due.cause, job.id, place=index))
                failed = Amount(failed - due.amount)
            left = Amount(left - worth)
            if parameters.failed_share is FailedShare.REFUND:
                refund = Amount(refund + failed)
            elif failed:
                burnt = Moved(purse, BURNED, failed, Cause.FAILED_SHARE, job.id, place=index)
                frame.ledger.move(burnt)
        frame.ledger.move(Moved(purse, BURNED, left, Cause.ROUNDING, job.id))
        return refund

    def needs_ticks(self) -> bool:
        """A right is running, or a time for claims or votes."""
        return bool(self._progress or self._afterwards.closed)

    def snapshot(self) -> ElectedState:
        """Intents, open jobs, closed ones."""
        return (self._intents, self._progress, self._afterwards.closed)

    def restore(self, state: ElectedState) -> None:
        """Go on from there."""
        self._intents, self._progress, self._afterwards.closed = state

    def invariants(self) -> Iterator[str]:
        """Each recorded merge stands on two recorded children; rights only ever widened to new
        holders; nobody shows a tree node twice.
        """
        closed = [one.progress for one in self._afterwards.closed.values()]
        for progress in (*closed, *self._progress.values()):
            for index, place in progress.places.items():
                if index.level and place.record is not None:
                    below = [progress.places[child].record for child in tree.children(index)]
                    if None in below:
                        yield f"{index} is recorded before its children"
                holders = [one for right in place.rights for one in right.holders]
                if len(set(holders)) < len(holders):
                    yield f"{index} had a holder twice"
                shown = [one.prover for one in (place.record, *place.claims) if one is not None]
                if len(set(shown)) < len(shown):
                    yield f"{index} is shown twice by one prover"

    # --- operations ---

    def _on_intent(self, frame: Frame, sender: Account, payload: Intent) -> None:
        if frame.ledger.holds(prover_stake(sender)) < self.parameters.stake_unit:
            raise Refused(Reason.NO_PROVER_STAKE)
        if payload.until < frame.moment.tick or payload.capacity == 0:
            raise Refused(Reason.EMPTY_INTENT)
        if payload.until > frame.moment.tick + self.parameters.intent_ticks_max:
            raise Refused(Reason.INTENT_TOO_LONG)
        self._intents[sender] = payload.until
        frame.emit(IntentRegistered(sender, payload.until))

    def _on_record(self, frame: Frame, sender: Account, payload: ProofRecord) -> None:
        progress = self._progress.get(payload.job)
        if progress is None:
            raise Refused(Reason.UNKNOWN_JOB)
        index = payload.index
        place = progress.place(index)
        if place.record is not None:
            raise Refused(Reason.ALREADY_RECORDED, str(index))
        self._check_entitled(frame, place, sender)
        self._check_proof(frame, progress, payload, sender)
        if any(one.prover == sender for one in place.contenders):
            raise Refused(Reason.ALREADY_OFFERED, str(index))
        record = Recorded(sender, payload.claim, frame.moment.tick)
        if self._is_owners_choice(progress, index):
            if progress.places[tree.parent(index)].is_held_by(sender):
                self._record(frame, progress, index, record)
            else:
                place.contenders.append(record)
                frame.emit(ProofOffered(payload.job, index, sender, payload.claim))
        elif place.is_exclusive:
            self._record(frame, progress, index, record)
        else:
            place.contenders.append(record)

    def _on_inclusion(self, frame: Frame, sender: Account, payload: Inclusion) -> None:
        offer = self._offered(payload.job, payload.index, payload.prover, payload.claim)
        if offer is None:
            raise Refused(Reason.NOTHING_OFFERED)
        progress = self._progress[payload.job]
        self._check_entitled(frame, progress.places[tree.parent(payload.index)], sender)
        self._record(frame, progress, payload.index, offer)

    def _on_claim(self, frame: Frame, sender: Account, record: ProofRecord) -> None:
        if not self.parameters.takes_claims:
            raise Refused(Reason.NO_UNCLES)
        progress, closed = self.progress(record.job), self._afterwards.closed.get(record.job)
        if progress is None:
            raise Refused(Reason.UNKNOWN_JOB)
        place = progress.place(record.index)
        if sender not in place.assigned:
            if self.parameters.uncle_scope is UncleScope.ASSIGNED:
                raise Refused(Reason.NO_RIGHT)
            self._check_entitled(frame, place, sender)
        if frame.ledger.at_risk(prover_stake(sender)) == 0:
            raise Refused(Reason.NO_PROVER_STAKE, "who has lost it all is not heard")
        if place.is_shown_by(sender):
            raise Refused(Reason.ALREADY_SHOWN)
        if closed is None and place.record is None:
            raise Refused(Reason.NOT_RECORDED)
        self._check_proof(frame, progress, record, sender)
        if not self._has_room(place, sender):
            raise Refused(Reason.TOO_MANY_UNCLES)
        tick = frame.moment.tick
        if closed and not self._afterwards.takes_claim(closed, record.index, sender, tick):
            raise Refused(Reason.CLAIM_TOO_LATE)
        place.claims.append(Recorded(sender, record.claim, tick))
        frame.emit(UncleClaimed(record.job, record.index, sender, record.claim))

    def _check_entitled(self, frame: Frame, place: Place, sender: Account) -> None:
        if not place.is_held_by(sender):
            raise Refused(Reason.NO_RIGHT)
        if frame.ledger.holds(prover_stake(sender)) < self.parameters.stake_unit:
            raise Refused(Reason.NO_PROVER_STAKE)

    def _check_proof(
        self, frame: Frame, progress: Progress, record: ProofRecord, prover: Account
    ) -> None:
        """It builds on the recorded children, and its minimal time has passed."""
        check_children(record, progress.recorded_claim)
        admissible = self.admissible_from(progress.places[record.index], record.index, prover)
        assert admissible is not None, "inputs are recorded, so every right is open"
        if frame.moment.tick < admissible:
            raise Refused(Reason.TOO_EARLY, f"{record.index} is admissible from tick {admissible}")

    def _has_room(self, place: Place, account: Account) -> bool:
        others = sum(1 for one in place.claims if one.prover not in place.assigned)
        return account in place.assigned or others < self.parameters.uncles_per_node_max

    # --- what may be ordered ---

    def _record_counts_from(
        self, sender: Account, record: ProofRecord, ordered: Sequence[tuple[Tick, Operation]]
    ) -> Tick | None:
        progress = self._progress.get(record.job)
        place = progress.places.get(record.index) if progress else None
        if progress is None or place is None or place.record is not None:
            return None
        is_offered = any(one.prover == sender for one in place.contenders)
        if is_offered or not place.is_held_by(sender):
            return None
        admissible = self.admissible_from(place, record.index, sender)
        if admissible is not None:
            return admissible
        inputs = [
            self._recorded_at(progress, child, ordered) for child in tree.children(record.index)
        ]
        opens = [tick for tick in inputs if tick is not None]
        return Tick(max(opens) + self.min_ticks(record.index)) if len(opens) == 2 else None

    def _recorded_at(
        self, progress: Progress, index: TreeIndex, ordered: Sequence[tuple[Tick, Operation]]
    ) -> Tick | None:
        """When ``index`` was recorded, or will be by what is ordered; a contest takes one tick
        more.
        """
        place, job = progress.places[index], progress.job.id
        if place.record is not None:
            return place.record.tick
        if not self._is_owners_choice(progress, index):
            tick = ordered_at(job, index, ordered)
            return None if tick is None else Tick(tick + (0 if place.is_exclusive else 1))
        above = progress.places[tree.parent(index)]
        for tick, operation in ordered:
            payload = operation.payload
            is_here = isinstance(payload, ProofRecord | Inclusion) and (
                (payload.job, payload.index) == (job, index)
            )
            if is_here and above.is_held_by(operation.sender):
                return tick
        return None

    def _claim_counts_from(self, sender: Account, record: ProofRecord) -> Tick | None:
        progress = self.progress(record.job)
        place = progress.places.get(record.index) if progress else None
        if progress is None or place is None or not self._may_claim(progress, place, sender):
            return None
        return self.admissible_from(place, record.index, sender)

    def _may_claim(self, progress: Progress, place: Place, account: Account) -> bool:
        """Whether a proof of the account may be shown now, beside the recorded one."""
        is_entitled = account in place.assigned or (
            self.parameters.uncle_scope is UncleScope.OPEN and place.is_held_by(account)
        )
        is_due = place.record is not None or progress.job.id not in self._progress
        is_new = not place.is_shown_by(account) and self._has_room(place, account)
        return self.parameters.takes_claims and is_entitled and is_due and is_new

    def _offered(
        self, job: JobId, index: TreeIndex, prover: Account, claim: Claim
    ) -> Recorded | None:
        """The offer that waits for the owner of the merge above."""
        progress = self._progress.get(job)
        if progress is None or index not in progress.places:
            return None
        if not self._is_owners_choice(progress, index):
            return None
        offers = progress.places[index].contenders
        return next((one for one in offers if (one.prover, one.claim) == (prover, claim)), None)

    def _is_owners_choice(self, progress: Progress, index: TreeIndex) -> bool:
        """Whether the owner of the merge above decides what is recorded."""
        return (
            self.parameters.inclusion is IncludedBy.MERGE_OWNER
            and index != tree.root(progress.leaf_count)
            and not progress.places[index].is_open_to_all
        )

    # --- duties ---

    def _duty(
        self, account: Account, progress: Progress, index: TreeIndex, place: Place
    ) -> ProvingDuty | None:
        job, parameters = progress.job.id, self.parameters
        is_missing = index in progress.lacks(account)
        penalty = progress.failures[account].penalty if is_missing else Amount(0)
        work = parameters.work(index)
        if self._may_claim(progress, place, account):
            closed = self._afterwards.closed.get(job)
            if closed is not None and not self._afterwards.is_pending(closed, index, account):
                penalty = Amount(0)
            reward = self._claim_pays(account, progress, index, place, closed)
            if not (reward or penalty):
                return None
            return ProvingDuty(job, index, Stage.UNCLE, reward, penalty, work)
        offered = any(one.prover == account for one in place.contenders)
        if place.record is not None or offered or not self.may_deliver(job, index, account):
            return None
        reward = earned(parameters, progress, place, account, self._worth(progress, index))[0]
        at_stake = self._own_pay(account, progress, index) + penalty
        return ProvingDuty(job, index, place.stage_of(account), reward, Amount(at_stake), work)

    def _worth(self, progress: Progress, index: TreeIndex) -> Amount:
        """What the tree node is worth, or will be by what the block promises of its fees."""
        reserve = part(progress.promised, self.parameters.uncle_reserve_bps)
        share = progress.share or Amount(progress.promised - reserve)
        return self.parameters.worth(progress.leaf_count, index, share)

    def _own_pay(self, account: Account, progress: Progress, besides: TreeIndex) -> int:
        """What the account's other tree nodes of the job pay it."""
        if account in progress.failures:
            return 0
        return sum(
            part(self._worth(progress, index), self.parameters.primary_bps)
            for index, place in progress.places.items()
            if account in place.assigned and index != besides
        )

    def _claim_pays(
        self,
        account: Account,
        progress: Progress,
        index: TreeIndex,
        place: Place,
        closed: Closed | None,
    ) -> Amount:
        """What showing a proof now would pay, if the reserve suffices."""
        worth = self._worth(progress, index)
        shares_pay = self.parameters.primary_bps < FULL_SHARE and closed is None
        if shares_pay and account in place.assigned and account not in progress.failures:
            return beside(self.parameters, worth, len(place.assigned) - 1)
        is_paid = closed is None or closed.has_reserve
        return part(worth, self.parameters.uncle_bps) if is_paid else Amount(0)

    # --- inside ---

    def _open(self, frame: Frame, progress: Progress, index: TreeIndex) -> None:
        """All rights to ``index`` open: its inputs are recorded."""
        place, tick = progress.places[index], frame.moment.tick
        place.rights = [
            right if right.opens is not None else Right(right.holders, tick)
            for right in place.rights
        ]
        self._tell_opening(frame, progress.job.id, index, place)

    def _tell_opening(self, frame: Frame, job: JobId, index: TreeIndex, place: Place) -> None:
        admissible = Tick(frame.moment.tick + self.min_ticks(index))
        for holder in place.right.holders or (None,):
            frame.emit(RightOpened(job, index, holder, admissible))

    def _record(self, frame: Frame, progress: Progress, index: TreeIndex, record: Recorded) -> None:
        places, job, place = progress.places, progress.job.id, progress.places[index]
        for other in place.contenders:
            if other.prover != record.prover:
                frame.emit(ProofPassedOver(job, index, other.prover, other.claim))
        place.contenders.clear()
        place.record = Recorded(record.prover, record.claim, frame.moment.tick)
        frame.emit(ProofRecorded(job, index, record.prover, record.claim))
        if index == tree.root(progress.leaf_count):
            frame.job_is_proven(job)
        elif places[tree.sibling(index)].record is not None:
            self._open(frame, progress, tree.parent(index))

    def _decide(self, frame: Frame, progress: Progress) -> None:
        for index, place in progress.places.items():
            if place.contenders and not self._is_owners_choice(progress, index):
                first = min(
                    place.contenders,
                    key=lambda one: digest(
                        b"provnet/contest/1", frame.moment.beacon, one.prover, one.claim
                    ),
                )
                self._record(frame, progress, index, first)

    def _start_windows(self, frame: Frame, progress: Progress) -> None:
        for index, place in progress.missing():
            right = place.right
            waits = bool(right.holders) and right.opens is not None and right.closes is None
            if not waits or frame.moment.settled < (right.opens or 0):
                continue
            closes = Tick(frame.moment.tick + self.window_ticks(index))
            place.rights[-1] = Right(right.holders, right.opens, closes)
            for holder in right.holders:
                frame.emit(WindowStarted(progress.job.id, index, holder, closes))

    def _pass_on(self, frame: Frame, progress: Progress) -> None:
        """Find every miss of this tick before anything passes on: who failed now inherits
        nothing. Without a miss nobody failed now, and what others lost has passed on before.
        """
        before, missing = tuple(progress.failures), progress.missing()
        missed: list[TreeIndex] = []
        for index, place in missing:
            closes = place.right.closes
            if closes is not None and frame.moment.tick > closes:
                missed.append(index)
                for holder in place.right.holders:
                    if holder not in before:
                        self._miss(frame, progress, index, holder)
        if not missed:
            return
        for index, place in missing:
            holders = place.right.holders
            is_lost = bool(holders) and all(one in progress.failures for one in holders)
            if index in missed or is_lost:
                self._pass_to_heir(frame, progress, index)

    def _miss(self, frame: Frame, progress: Progress, index: TreeIndex, holder: Account) -> None:
        is_own = holder in progress.places[index].assigned
        frame.emit(RightMissed(progress.job.id, index, holder, is_own))
        if is_own:
            stake = frame.ledger.at_risk(prover_stake(holder))
            failure = Failure([], part(stake, self.parameters.slash_bps))
            progress.failures.setdefault(holder, failure).missed.append(index)

    def _pass_to_heir(self, frame: Frame, progress: Progress, index: TreeIndex) -> None:
        place = progress.places[index]
        previous, heir = place.right.holders[0], next(self._heirs_left(progress, place), None)
        is_open = place.right.opens is not None
        holders = () if heir is None else (heir,)
        place.rights.append(Right(holders, frame.moment.tick if is_open else None))
        frame.emit(TakenOver(progress.job.id, index, previous, heir))
        if is_open:
            self._tell_opening(frame, progress.job.id, index, place)

    def _heirs_left(self, progress: Progress, place: Place) -> Iterator[Account]:
        return (
            one for one in place.heirs if not place.has_held(one) and one not in progress.failures
        )

    def _latest_record(self, progress: Progress, index: TreeIndex, below: Tick, now: Tick) -> Tick:
        """When ``index`` is recorded at the latest, if its inputs are at ``below``."""
        place, finality = progress.places[index], self.parameters.finality_ticks
        if place.record is not None:
            return place.record.tick
        right, window = place.right, self.window_ticks(index)
        all_may_from = below if right.opens is None else right.opens
        if right.holders:
            waits = now + 1 if right.opens is not None else 0
            closes = right.closes or max(all_may_from + finality, waits) + window
            stages_left = sum(1 for _ in self._heirs_left(progress, place))
            all_may_from = Tick(closes + 1 + stages_left * (finality + window + 1))
        return Tick(all_may_from + self.parameters.open_ticks + 1)

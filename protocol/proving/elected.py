"""Protocol-elected provers: the beacon deals tree nodes to stake, siblings cover for each other.

**Rule.** For a job with seed s and a frozen pool of provers

1. *Deal.* Cards, one per unit of prover stake of every prover with a live intent, are shuffled by s
   and dealt cyclically to the leaves. Each merge goes to the prover of its left or right child by a
   bit of a hash of s and its place. So a merge's owner already owns a leaf below it, and anybody
   can recompute the whole assignment.
2. *Opening.* A leaf's right opens with the job; a merge's right when both its inputs are recorded.
   A record is admissible from ``opens + min_proving_ticks`` of its level: being faster earns
   nothing.
3. *Window.* The window for a right starts at the first log block whose own ancestors finalise the
   block that opened it, and lasts ``window_ticks`` of its level. Finality comes in bursts; nobody
   loses time to that.
4. *Miss.* When the window of a prover's own tree node passes, that prover has *failed* the job: all
   its unrecorded tree nodes of the job pass on, and it forfeits its pay for this job. An heir that
   misses merely *declined* that tree node.
5. *Heirs.* ``origin(v)`` is the leaf whose prover the hash bits lead to from v. Heir k is the
   assigned prover of the sibling of origin(v)'s ancestor at level k: first the sibling, then
   outwards. Repeats, accounts that held the right before, and accounts that failed the job are
   skipped without waiting. After the last heir the tree node is open to anybody with prover stake.
6. *Rights only widen.* A late original may still be recorded. Where more than one account may
   deliver, the records that are ordered in one log block compete by a hash of the next block's
   beacon, not by the proposer's order. The first recorded proof is final, and a merge must use the
   recorded claims of its children.
7. *Pay.* A tree node is worth its share of all work. It is paid to its assigned prover if that
   prover recorded it and did not fail the job; ``takeover_bps`` of it to an heir that recorded it;
   ``open_bps`` of it to whoever recorded it once it was open to anybody. Everything else is burned.

**Source.** Forum thread "Ideas on a proving network", section "Protocol-elected provers"; minimal
proving time from the same thread, after Mina.

**Deviations.** The thread stops at the sibling; heirs outward and the open stage are ours, because
pair takeover alone does not complete large trees. Failure is per job, so that one dead machine
costs one window and not one per tree node. An account has at most 1,000 cards, so that a deal stays
cheap; whoever has more stake than that splits it.

**Parameters.** See :class:`ElectedParameters`.

**Attacks.** Withholding a leaf delays a layer by one window. A prover with many accounts gets no
more cards than its stake buys, but may inherit from itself. Whoever once held a right is never paid
for the open stage of the same tree node, so that waiting for it does not pay.

**Claims.** Work shares follow stake. As long as one prover lives and the log has its quorum, every
tree node is proven within :meth:`Elected.latest`. One tree node is paid at most once. Nobody is
paid without a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from protocol import tree
from protocol.errors import Reason, Refused
from protocol.events import (
    Assigned,
    IntentRegistered,
    PoolMember,
    ProofPassedOver,
    ProofRecorded,
    RightMissed,
    RightOpened,
    TakenOver,
    WindowStarted,
)
from protocol.ledger import BURNED, Cause, Moved, Pocket, balance, escrow, prover_stake
from protocol.messages import Intent, Operation, Payload, ProofRecord
from protocol.proving.deal import deal, heirs
from protocol.proving.elected_parameters import ElectedParameters
from protocol.proving.progress import Place, Progress, Recorded, Right
from protocol.rules import Ask, AwaitedBlock, Frame, Job, ProvingDuty, Stage
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
    Tick,
    TreeIndex,
    Work,
)

CARDS_MAX: Final = 1_000
"""Most cards of one account."""


class Elected:
    """The rule of this module."""

    name: ClassVar[str] = "elected"
    handles: ClassVar[tuple[type, ...]] = (Intent, ProofRecord)
    free: ClassVar[tuple[type, ...]] = (ProofRecord,)
    parameters_type: ClassVar[type] = ElectedParameters

    def __init__(self, parameters: ElectedParameters) -> None:
        """Refuses parameters under which nobody could deliver in time: CONTRADICTORY_GENESIS."""
        if not (
            parameters.min_leaf_ticks <= parameters.leaf_window_ticks
            and parameters.min_merge_ticks <= parameters.merge_window_ticks
            and max(parameters.min_leaf_ticks, parameters.min_merge_ticks) <= parameters.open_ticks
            and parameters.stake_unit > 0
            and parameters.leaf_work > 0
        ):
            raise Refused(
                Reason.CONTRADICTORY_GENESIS,
                "a minimal time exceeds its window, or a card or a leaf is worth nothing",
            )
        self.parameters = parameters
        self._intents: dict[Account, Tick] = {}
        self._progress: dict[JobId, Progress] = {}

    # --- the public view ---

    def progress(self, job: JobId) -> Progress | None:
        """State of an open job; for reading only."""
        return self._progress.get(job)

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

    def work(self, index: TreeIndex) -> Work:
        """Compute units of the tree node."""
        return self.parameters.merge_work if index.level else self.parameters.leaf_work

    def pay(self, job: Job, index: TreeIndex, share: Amount) -> Amount:
        """The tree node's part of ``share``, by work."""
        leaf_count = job.header.leaf_count
        whole = self.parameters.leaf_work * leaf_count
        whole += self.parameters.merge_work * (leaf_count - 1)
        return Amount(share * self.work(index) // whole)

    def admissible_from(self, place: Place, index: TreeIndex, prover: Account) -> Tick | None:
        """First tick at which ``prover``'s record of the place is admissible; None while it has
        no open right.
        """
        opens = [
            right.opens
            for right in place.rights
            if right.holder in (prover, None) and right.opens is not None
        ]
        return Tick(min(opens) + self.min_ticks(index)) if opens else None

    def duties(self, account: Account) -> tuple[ProvingDuty, ...]:
        """Unrecorded tree nodes to which the account holds a right, older jobs first."""
        return tuple(
            duty
            for progress in self._progress.values()
            for duty in self._duties_of(account, progress)
        )

    def recorded_claim(self, job: JobId, index: TreeIndex) -> Claim | None:
        """The claim recorded for a tree node of an open job."""
        record = self._progress[job].places[index].record
        return None if record is None else record.claim

    def may_deliver(self, job: JobId, index: TreeIndex, prover: Account) -> bool:
        """Whether the prover, or anybody, holds a right to the tree node."""
        progress = self._progress.get(job)
        if progress is None or index not in progress.places:
            return False
        place = progress.places[index]
        holders = [right.holder for right in place.rights]
        return prover in holders or None in holders

    def enlistment(self, account: Account, tick: Tick, lifetime: Tick) -> Payload | None:
        """An intent, when the last one has less than half of its lifetime left."""
        until = self._intents.get(account, Tick(0))
        if until > tick + lifetime // 2:
            return None
        return Intent(Count(1), Tick(tick + lifetime))

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
        provers = deal(seed, leaf_count, pool)
        places = {
            index: Place(prover, heirs(seed, leaf_count, provers, index), [Right(prover)])
            for index, prover in provers.items()
        }
        progress = self._progress[job.id] = Progress(job, places)
        for index, prover in provers.items():
            frame.emit(Assigned(job.id, index, prover))
        for index in tree.indices(job.header.leaf_count):
            if index.level == 0:
                self._open(frame, progress, index)

    def on_epoch(self, frame: Frame) -> None:
        """Forget intents that have passed."""
        tick = frame.moment.tick
        self._intents = {who: until for who, until in self._intents.items() if until >= tick}

    def on_tick(self, frame: Frame) -> None:
        """Decide contests of the block before, start windows, pass on what was missed."""
        for progress in tuple(self._progress.values()):
            self._decide(frame, progress)
            self._start_windows(frame, progress)
            self._pass_on(frame, progress)

    def on_operation(
        self, frame: Frame, sender: Account, payload: Payload, operation: OperationHash
    ) -> None:
        """Take an intent or a proof record."""
        if isinstance(payload, Intent):
            self._on_intent(frame, sender, payload)
        else:
            assert isinstance(payload, ProofRecord), "the machine passes on what a rule handles"
            self._on_record(frame, sender, payload)

    def earliest(
        self, sender: Account, payload: Payload, ordered: Sequence[tuple[Tick, Operation]]
    ) -> Tick | None:
        """A record waits for its minimal time, and for its inputs to be recorded or ordered."""
        if not isinstance(payload, ProofRecord):
            return Tick(0)
        progress = self._progress.get(payload.job)
        place = progress.places.get(payload.index) if progress else None
        if progress is None or place is None or place.record is not None:
            return None
        holders = [right.holder for right in place.rights]
        if sender not in holders and None not in holders:
            return None
        admissible = self.admissible_from(place, payload.index, sender)
        if admissible is not None:
            return admissible
        inputs = [
            self._recorded_at(progress, child, ordered) for child in tree.children(payload.index)
        ]
        opens = [tick for tick in inputs if tick is not None]
        return Tick(max(opens) + self.min_ticks(payload.index)) if len(opens) == 2 else None

    def _recorded_at(
        self, progress: Progress, index: TreeIndex, ordered: Sequence[tuple[Tick, Operation]]
    ) -> Tick | None:
        """When ``index`` was recorded, or will be by what is ordered; a contest takes one tick
        more.
        """
        place = progress.places[index]
        if place.record is not None:
            return place.record.tick
        contest = 0 if place.is_exclusive else 1
        for tick, operation in ordered:
            payload = operation.payload
            if isinstance(payload, ProofRecord) and (payload.job, payload.index) == (
                progress.job.id,
                index,
            ):
                return Tick(tick + contest)
        return None

    def on_block_end(self, frame: Frame) -> None:
        """Nothing: rights opened with the records that brought them about."""

    def on_job_closed(self, frame: Frame, job: Job, *, settled: bool) -> None:
        """Forget the job."""
        del self._progress[job.id]

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
        """An open job."""
        progress = self._progress.get(job)
        return None if progress is None else progress.job

    def compensate(self, frame: Frame, job: Job, purse: Pocket, budget: Amount) -> Amount:
        """Nothing is paid for a void job."""
        return Amount(0)

    def settle(self, frame: Frame, job: Job, share: Amount) -> Amount:
        """Pay each tree node, burn what nobody earned."""
        progress, purse, left = self._progress[job.id], escrow(job.id), share
        for index, place in progress.places.items():
            assert place.record is not None, "a recorded root stands on a recorded tree"
            worth = self.pay(job, index, share)
            earned, cause = self._earned(progress, place, place.record, worth)
            target = balance(place.record.prover)
            failed = Amount(worth - earned)
            left = Amount(left - worth)
            frame.ledger.move(Moved(purse, target, earned, cause, job.id, place=index))
            frame.ledger.move(Moved(purse, BURNED, failed, Cause.FAILED_SHARE, job.id, place=index))
        frame.ledger.move(Moved(purse, BURNED, left, Cause.ROUNDING, job.id))
        return Amount(0)

    def needs_ticks(self) -> bool:
        """A right is running."""
        return bool(self._progress)

    def snapshot(self) -> object:
        """All state."""
        return (self._intents, self._progress)

    def invariants(self) -> Iterator[str]:
        """Each recorded merge stands on two recorded children; rights only ever widened to new
        holders.
        """
        for progress in self._progress.values():
            for index, place in progress.places.items():
                if index.level and place.record is not None:
                    below = [progress.places[child].record for child in tree.children(index)]
                    if None in below:
                        yield f"{index} is recorded before its children"
                holders = [right.holder for right in place.rights]
                if len(set(holders)) < len(holders):
                    yield f"{index} had a holder twice"

    # --- operations ---

    def _on_intent(self, frame: Frame, sender: Account, payload: Intent) -> None:
        if frame.ledger.holds(prover_stake(sender)) < self.parameters.stake_unit:
            raise Refused(Reason.NO_PROVER_STAKE)
        if payload.until < frame.moment.tick or payload.capacity == 0:
            raise Refused(Reason.EMPTY_INTENT)
        self._intents[sender] = payload.until
        frame.emit(IntentRegistered(sender, payload.until))

    def _on_record(self, frame: Frame, sender: Account, payload: ProofRecord) -> None:
        progress = self._progress.get(payload.job)
        if progress is None:
            raise Refused(Reason.UNKNOWN_JOB)
        index = payload.index
        place = progress.places.get(index)
        if place is None:
            raise Refused(Reason.NO_SUCH_TREE_NODE, str(index))
        if place.record is not None:
            raise Refused(Reason.ALREADY_RECORDED, str(index))
        self._check_entitled(frame, place, sender)
        self._check_children(progress, payload)
        admissible = self.admissible_from(place, index, sender)
        assert admissible is not None, "inputs are recorded, so every right is open"
        if frame.moment.tick < admissible:
            raise Refused(Reason.TOO_EARLY, f"{index} is admissible from tick {admissible}")
        if any(one.prover == sender for one in place.contenders):
            raise Refused(Reason.ALREADY_RECORDED, str(index))
        is_open_stage = all(right.holder != sender for right in place.rights)
        record = Recorded(sender, payload.claim, frame.moment.tick, is_open_stage)
        if place.is_exclusive:
            self._record(frame, progress, index, record)
        else:
            place.contenders.append(record)

    def _check_entitled(self, frame: Frame, place: Place, sender: Account) -> None:
        holders = [right.holder for right in place.rights]
        if sender not in holders and None not in holders:
            raise Refused(Reason.NO_RIGHT)
        if frame.ledger.holds(prover_stake(sender)) < self.parameters.stake_unit:
            raise Refused(Reason.NO_PROVER_STAKE)

    def _check_children(self, progress: Progress, payload: ProofRecord) -> None:
        if payload.index.level == 0:
            if payload.children is not None:
                raise Refused(Reason.WRONG_CHILDREN, "a leaf has no children")
            return
        below = [progress.places[child].record for child in tree.children(payload.index)]
        if None in below:
            raise Refused(Reason.INPUTS_MISSING, str(payload.index))
        if payload.children != tuple(one.claim for one in below if one is not None):
            raise Refused(Reason.WRONG_CHILDREN, str(payload.index))

    # --- inside ---

    def _duties_of(self, account: Account, progress: Progress) -> Iterator[ProvingDuty]:
        header, parameters = progress.job.header, self.parameters
        share = Amount(header.fees * header.fee_split // FULL_SHARE)
        has_failed = account in progress.failed
        own = sum(
            self.pay(progress.job, index, share)
            for index, place in progress.places.items()
            if place.assigned == account and not has_failed
        )
        for index, place in progress.places.items():
            holders = [right.holder for right in place.rights]
            if place.record is not None or (account not in holders and None not in holders):
                continue
            worth = self.pay(progress.job, index, share)
            if place.assigned == account:
                stage, reward = Stage.OWN, Amount(0 if has_failed else worth)
            elif account in holders:
                stage = Stage.TAKEOVER
                reward = Amount(worth * parameters.takeover_bps // FULL_SHARE)
            else:
                stage, reward = Stage.OPEN, Amount(worth * parameters.open_bps // FULL_SHARE)
            at_stake = Amount(own - reward if stage is Stage.OWN else own)
            yield ProvingDuty(progress.job.id, index, stage, reward, at_stake, self.work(index))

    def _open(self, frame: Frame, progress: Progress, index: TreeIndex) -> None:
        """All rights to ``index`` open: its inputs are recorded."""
        place, tick = progress.places[index], frame.moment.tick
        place.rights = [
            right if right.opens is not None else replace(right, opens=tick)
            for right in place.rights
        ]
        admissible = Tick(tick + self.min_ticks(index))
        frame.emit(RightOpened(progress.job.id, index, place.right.holder, admissible))

    def _record(self, frame: Frame, progress: Progress, index: TreeIndex, record: Recorded) -> None:
        places, job = progress.places, progress.job.id
        places[index].record = record
        places[index].contenders.clear()
        frame.emit(ProofRecorded(job, index, record.prover, record.claim))
        if index == tree.root(progress.leaf_count):
            frame.job_is_proven(job)
            return
        if places[tree.sibling(index)].record is not None:
            self._open(frame, progress, tree.parent(index))

    def _decide(self, frame: Frame, progress: Progress) -> None:
        for index, place in progress.places.items():
            if not place.contenders:
                continue
            first, *others = sorted(
                place.contenders,
                key=lambda one: digest(
                    b"provnet/contest/1", frame.moment.beacon, one.prover, one.claim
                ),
            )
            for other in others:
                frame.emit(ProofPassedOver(progress.job.id, index, other.prover, other.claim))
            self._record(frame, progress, index, first)

    def _start_windows(self, frame: Frame, progress: Progress) -> None:
        for index, place in progress.places.items():
            right = place.right
            waits = right.holder is not None and right.opens is not None and right.closes is None
            if place.record is not None or not waits or frame.moment.settled < (right.opens or 0):
                continue
            closes = Tick(frame.moment.tick + self.window_ticks(index))
            place.rights[-1] = replace(right, closes=closes)
            assert right.holder is not None
            frame.emit(WindowStarted(progress.job.id, index, right.holder, closes))

    def _pass_on(self, frame: Frame, progress: Progress) -> None:
        """Find every miss of this tick before anything passes on: who failed now inherits
        nothing.
        """
        missed: list[TreeIndex] = []
        for index, place in progress.places.items():
            right = place.right
            if place.record is not None or right.closes is None or right.holder is None:
                continue
            if frame.moment.tick > right.closes:
                is_own = right.holder == place.assigned
                frame.emit(RightMissed(progress.job.id, index, right.holder, is_own))
                missed.append(index)
                if is_own and right.holder not in progress.failed:
                    progress.failed.append(right.holder)
        for index, place in progress.places.items():
            holder = place.right.holder
            if place.record is None and (index in missed or holder in progress.failed):
                self._pass_to_heir(frame, progress, index)

    def _pass_to_heir(self, frame: Frame, progress: Progress, index: TreeIndex) -> None:
        place = progress.places[index]
        previous, heir = place.right.holder, next(self._heirs_left(progress, place), None)
        assert previous is not None, "a right of anybody has nobody to pass on to"
        is_open = place.right.opens is not None
        place.rights.append(Right(heir, frame.moment.tick if is_open else None))
        frame.emit(TakenOver(progress.job.id, index, previous, heir))
        if is_open:
            admissible = Tick(frame.moment.tick + self.min_ticks(index))
            frame.emit(RightOpened(progress.job.id, index, heir, admissible))

    def _heirs_left(self, progress: Progress, place: Place) -> Iterator[Account]:
        held = [right.holder for right in place.rights]
        return (one for one in place.heirs if one not in held and one not in progress.failed)

    def _latest_record(self, progress: Progress, index: TreeIndex, below: Tick, now: Tick) -> Tick:
        """When ``index`` is recorded at the latest, if its inputs are at ``below``."""
        place, finality = progress.places[index], self.parameters.finality_ticks
        if place.record is not None:
            return place.record.tick
        right, window = place.right, self.window_ticks(index)
        all_may_from = below if right.opens is None else right.opens
        if right.holder is not None:
            waits = now + 1 if right.opens is not None else 0
            closes = right.closes or max(all_may_from + finality, waits) + window
            stages_left = sum(1 for _ in self._heirs_left(progress, place))
            all_may_from = Tick(closes + 1 + stages_left * (finality + window + 1))
        return Tick(all_may_from + self.parameters.open_ticks + 1)

    def _earned(
        self, progress: Progress, place: Place, record: Recorded, worth: Amount
    ) -> tuple[Amount, Cause]:
        parameters = self.parameters
        if record.is_open_stage:
            return Amount(worth * parameters.open_bps // FULL_SHARE), Cause.OPEN_PAY
        if record.prover != place.assigned:
            return Amount(worth * parameters.takeover_bps // FULL_SHARE), Cause.TAKEOVER_PAY
        earned = Amount(0) if record.prover in progress.failed else worth
        return earned, Cause.PROVER_PAY

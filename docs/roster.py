"""Roster: every leaf is drawn for a prover by stake, and who is late is replaced by anybody.

**Rule.** For a job with seed s and a pool of provers with cards

1. *Deal.* Each leaf goes to the prover whose card a hash of s and its place names, out of all cards
   of the pool. Each merge goes to the prover of its left or right child, by one bit of that hash.
2. *Right.* A leaf's right opens with the job, a merge's when both its children are recorded. The
   owner may have a proof recorded from ``min_ticks`` later on.
3. *Late.* ``window_ticks`` after it opened, the right is anybody's who has a card. The owner keeps
   it, too. Whoever has lost its cards is not heard: a record costs no fee, so stake must answer.
4. *Pay.* The provers' share is divided evenly among all tree nodes; whoever is recorded is paid.

**Deviations.** The window counts from the opening and not from its finality, so provers lose time
when the log's finality comes late.

**Claims.** Work shares follow stake. A job is proven as long as anybody at all is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from protocol import tree
from protocol.errors import Reason, Refused
from protocol.events import (
    Assigned,
    IntentRegistered,
    PoolMember,
    ProofRecorded,
    RightOpened,
    TakenOver,
)
from protocol.ledger import BURNED, Cause, Moved, Pocket, balance, escrow, prover_stake
from protocol.messages import Intent, Operation, Payload, ProofRecord
from protocol.proving.records import check_children
from protocol.rules import Ask, AwaitedBlock, Election, Errand, Frame, Job, ProvingDuty, Stage
from protocol.signing import digest
from protocol.types import (
    FULL_SHARE,
    Account,
    Amount,
    Beacon,
    Claim,
    Count,
    JobId,
    OperationHash,
    Round,
    Stake,
    Tick,
    TreeIndex,
    Work,
)


@dataclass(frozen=True, slots=True)
class RosterParameters:
    """Parameters of the rule.

    :ivar card: prover stake that buys one card, in micro-units.
    :ivar min_ticks: a record is not admissible sooner after its right opened.
    :ivar window_ticks: how long a right is its owner's alone.
    """

    card: Stake = Stake(100)
    min_ticks: Tick = Tick(1)
    window_ticks: Tick = Tick(4)


@dataclass(slots=True)
class Place:
    """One tree node.

    :ivar owner: None when the pool was empty.
    :ivar opens: when its right opened; None while inputs are missing.
    """

    owner: Account | None
    opens: Tick | None = None
    is_anybodys: bool = False
    prover: Account | None = None
    claim: Claim | None = None


@dataclass(slots=True)
class Tree:
    """One open job."""

    job: Job
    places: dict[TreeIndex, Place]


State: TypeAlias = tuple[dict[Account, Tick], dict[JobId, Tree]]
"""Last tick of each prover's intent, open jobs."""


class Roster:
    """The rule of this file."""

    name: ClassVar[str] = "roster"
    handles: ClassVar[tuple[type, ...]] = (Intent, ProofRecord)
    free: ClassVar[tuple[type, ...]] = (ProofRecord,)
    parameters_type: ClassVar[type] = RosterParameters

    def __init__(self, parameters: RosterParameters) -> None:
        self.parameters = parameters
        self._intents: dict[Account, Tick] = {}
        self._trees: dict[JobId, Tree] = {}

    # --- rule 1: the deal ---

    def pool(self, frame: Frame) -> tuple[PoolMember, ...]:
        """Provers with a live intent and a card, by account."""
        live = sorted(who for who, until in self._intents.items() if until >= frame.moment.tick)
        cards = {who: frame.ledger.holds(prover_stake(who)) // self.parameters.card for who in live}
        return tuple(PoolMember(who, Count(count)) for who, count in cards.items() if count)

    def open_job(self, frame: Frame, job: Job, pool: tuple[PoolMember, ...]) -> None:
        """Draw the owners; open the rights to the leaves."""
        places: dict[TreeIndex, Place] = {}
        for index in tree.indices(job.header.leaf_count):
            lot = self._lot(job.header.seed, index)
            if index.level:
                places[index] = Place(places[tree.children(index)[lot % 2]].owner)
            else:
                places[index] = Place(self.drawn(lot, pool))
            frame.emit(Assigned(job.id, index, places[index].owner))
        self._trees[job.id] = Tree(job, places)
        for index in places:
            if not index.level:
                self._open(frame, self._trees[job.id], index)

    def drawn(self, lot: int, pool: tuple[PoolMember, ...]) -> Account | None:
        """The prover whose card a number names."""
        cards = [member.prover for member in pool for _ in range(member.cards)]
        return cards[lot % len(cards)] if cards else None

    def _lot(self, seed: Beacon, index: TreeIndex) -> int:
        place = bytes([index.level]) + index.position.to_bytes(2, "big")
        return int.from_bytes(digest(b"roster", seed, place), "big")

    # --- rules 2 and 3: rights ---

    def _open(self, frame: Frame, job: Tree, index: TreeIndex) -> None:
        place = job.places[index]
        place.opens, place.is_anybodys = frame.moment.tick, place.owner is None
        admissible = Tick(place.opens + self.parameters.min_ticks)
        frame.emit(RightOpened(job.job.id, index, place.owner, admissible))

    def on_tick(self, frame: Frame) -> None:
        """Rights whose window is over are anybody's."""
        for job in self._trees.values():
            for index, place in job.places.items():
                if place.owner is not None and self._is_late(place, frame.moment.tick):
                    place.is_anybodys = True
                    frame.emit(TakenOver(job.job.id, index, place.owner, None))
                    frame.emit(RightOpened(job.job.id, index, None, frame.moment.tick))

    def _is_late(self, place: Place, tick: Tick) -> bool:
        if place.opens is None or place.is_anybodys or place.claim is not None:
            return False
        return tick > place.opens + self.parameters.window_ticks

    def on_operation(
        self, frame: Frame, sender: Account, payload: Payload, operation: OperationHash
    ) -> None:
        """Take an intent or a record."""
        if isinstance(payload, Intent):
            if payload.until < frame.moment.tick or not payload.capacity:
                raise Refused(Reason.EMPTY_INTENT)
            self._intents[sender] = payload.until
            frame.emit(IntentRegistered(sender, payload.until))
            return
        assert isinstance(payload, ProofRecord), "the machine passes on what a rule handles"
        self._on_record(frame, sender, payload)

    def _on_record(self, frame: Frame, sender: Account, record: ProofRecord) -> None:
        job, index = self._trees.get(record.job), record.index
        if job is None:
            raise Refused(Reason.UNKNOWN_JOB)
        if index not in job.places:
            raise Refused(Reason.NO_SUCH_TREE_NODE)
        place = job.places[index]
        if place.claim is not None:
            raise Refused(Reason.ALREADY_RECORDED)
        if not self.may_deliver(record.job, index, sender):
            raise Refused(Reason.NO_RIGHT)
        if frame.ledger.holds(prover_stake(sender)) < self.parameters.card:
            raise Refused(Reason.NO_PROVER_STAKE)
        check_children(record, lambda child: job.places[child].claim)
        if frame.moment.tick < (place.opens or 0) + self.parameters.min_ticks:
            raise Refused(Reason.TOO_EARLY)
        place.prover, place.claim = sender, record.claim
        frame.emit(ProofRecorded(record.job, index, sender, record.claim))
        if index == tree.root(job.job.header.leaf_count):
            frame.job_is_proven(record.job)
        elif job.places[tree.sibling(index)].claim is not None:
            self._open(frame, job, tree.parent(index))

    # --- rule 4: pay ---

    def settle(self, frame: Frame, job: Job, share: Amount) -> Amount:
        """Pay every tree node alike; what division leaves over is burned."""
        places, purse = self._trees[job.id].places, escrow(job.id)
        worth = Amount(share // len(places))
        for index, place in places.items():
            cause = Cause.PROVER_PAY if place.prover == place.owner else Cause.OPEN_PAY
            target = balance(self.payee(place))
            frame.ledger.move(Moved(purse, target, worth, cause, job.id, place=index))
        left = Amount(share - worth * len(places))
        frame.ledger.move(Moved(purse, BURNED, left, Cause.ROUNDING, job.id))
        return Amount(0)

    def payee(self, place: Place) -> Account:
        """Who is paid for a tree node: whoever is recorded."""
        assert place.prover is not None, "a settled job is recorded as a whole"
        return place.prover

    def compensate(self, frame: Frame, job: Job, purse: Pocket, budget: Amount) -> Amount:
        """A void job pays nobody."""
        return Amount(0)

    # --- what others ask ---

    def duties(self, account: Account) -> tuple[ProvingDuty, ...]:
        """All that the account may deliver."""
        return tuple(
            ProvingDuty(id_, index, self._stage(place, account), worth, Amount(0), Work(1))
            for id_, job in self._trees.items()
            for index, place in job.places.items()
            for worth in (self._worth(job),)
            if place.claim is None and self.may_deliver(id_, index, account)
        )

    def _stage(self, place: Place, account: Account) -> Stage:
        return Stage.OWN if place.owner == account else Stage.OPEN

    def _worth(self, job: Tree) -> Amount:
        header = job.job.header
        return Amount(header.fees * header.fee_split // FULL_SHARE // len(job.places))

    def earliest(
        self, sender: Account, payload: Payload, ordered: Sequence[tuple[Tick, Operation]]
    ) -> Tick | None:
        """A record waits for its minimal time, once its right is open."""
        if not isinstance(payload, ProofRecord):
            return Tick(0)
        job = self._trees.get(payload.job)
        place = job.places.get(payload.index) if job else None
        if place is None or place.opens is None or place.claim is not None:
            return None
        if not self.may_deliver(payload.job, payload.index, sender):
            return None
        return Tick(place.opens + self.parameters.min_ticks)

    def recorded_claim(self, job: JobId, index: TreeIndex) -> Claim | None:
        """The claim recorded for a tree node."""
        known = self._trees.get(job)
        return known.places[index].claim if known else None

    def may_deliver(self, job: JobId, index: TreeIndex, prover: Account) -> bool:
        """Its owner may, and anybody once the owner is late."""
        known = self._trees.get(job)
        place = known.places.get(index) if known else None
        return place is not None and (place.owner == prover or place.is_anybodys)

    def enlistment(
        self, account: Account, stake: Stake, tick: Tick, lifetime: Tick
    ) -> Payload | None:
        """An intent for whoever has a card and no intent for half of the time wanted."""
        until = self._intents.get(account, Tick(0))
        if stake < self.parameters.card or until > tick + lifetime // 2:
            return None
        return Intent(Count(1), Tick(tick + lifetime))

    def election(self, account: Account) -> Election | None:
        """How the account stands."""
        window = self.parameters.window_ticks
        return Election(self._intents.get(account, Tick(0)), window, window)

    def errands(self, account: Account, tick: Tick) -> tuple[Errand, ...]:
        """Nothing but proofs is waited for."""
        return ()

    def ask(self, block: AwaitedBlock, worth: Amount, tick: Tick) -> Ask | None:
        """No bids: lots decide."""
        return None

    def latest(self, job: JobId, now: Tick) -> Tick:
        """Each level takes a window at most, and then somebody delivers."""
        known = self._trees[job]
        below = known.job.opened_at
        for level in range(tree.height(known.job.header.leaf_count) + 1):
            opens = max(
                place.opens or below for at, place in known.places.items() if at.level == level
            )
            below = Tick(opens + self.parameters.window_ticks + 2)
        return below

    def gave_up(self, job: JobId) -> bool:
        """Never: at last anybody may prove."""
        return False

    def is_committed(self, round: Round, sequencer: Account) -> bool:
        """Always: nobody has to agree to be drawn."""
        return True

    def job(self, job: JobId) -> Job | None:
        """An open job."""
        known = self._trees.get(job)
        return known.job if known else None

    # --- the rest of a rule ---

    def on_epoch(self, frame: Frame) -> None:
        """Forget intents that have passed."""
        tick = frame.moment.tick
        self._intents = {who: until for who, until in self._intents.items() if until >= tick}

    def on_block_end(self, frame: Frame) -> None:
        """Nothing."""

    def on_job_closed(self, frame: Frame, job: Job, *, settled: bool) -> None:
        """Forget it."""
        del self._trees[job.id]

    def needs_ticks(self) -> bool:
        """A window may be running."""
        return bool(self._trees)

    def snapshot(self) -> State:
        """Intents and open jobs."""
        return self._intents, self._trees

    def restore(self, state: State) -> None:
        """Go on from there."""
        self._intents, self._trees = state

    def invariants(self) -> Iterator[str]:
        """No merge is recorded before its children."""
        for job in self._trees.values():
            for index, place in job.places.items():
                if index.level and place.claim is not None:
                    below = [job.places[child].claim for child in tree.children(index)]
                    if None in below:
                        yield f"{index} is recorded before its children"


class Misdirected(Roster):
    """A flaw in money: who was drawn is paid, although somebody else did the work."""

    def payee(self, place: Place) -> Account:
        """Wrong on purpose: the owner."""
        return place.owner or super().payee(place)


class OneVote(Roster):
    """A flaw in the draw: provers are drawn, and not their cards."""

    def drawn(self, lot: int, pool: tuple[PoolMember, ...]) -> Account | None:
        """Wrong on purpose: stake does not count."""
        return pool[lot % len(pool)].prover if pool else None

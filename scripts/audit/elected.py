"""Elected provers, read a second time: deals, rights, misses, draws, claims and pay from the log.

Written from the numbered sentences of ``protocol.proving.elected``; it calls nothing of that rule's
modules but its table of parameters. Tree nodes are pairs of level and position here, and the
arithmetic of trees is done anew, too. What follows when a job is closed stands in
``scripts.audit.closed``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from protocol.events import PoolMember
from protocol.messages import Inclusion, Intent, JobHeader, ProofRecord
from protocol.params import Genesis, parse_settings
from protocol.proving.elected_parameters import ElectedParameters
from protocol.rules import Moment
from protocol.signing import digest
from protocol.types import Account, Claim, Count, JobId
from scripts.audit.settled import Payment, Place
from scripts.audit.sides import Pool
from scripts.audit.stakes import Stakes

WHOLE = 10_000
_CARDS_MAX = 1_000


# --- the deal ---


def side_of(seed: bytes, place: Place) -> int:
    """Which child's prover owns a merge: 0 is the left one."""
    level, position = place
    named = level.to_bytes(2, "big") + position.to_bytes(2, "big")
    return digest(b"provnet/merge-side/1", seed, named)[0] % 2


def first_leaf(seed: bytes, place: Place) -> int:
    """Position of the leaf from which a tree node has its prover."""
    while place[0] > 0:
        place = (place[0] - 1, 2 * place[1] + side_of(seed, place))
    return place[1]


def places(leaves: int) -> list[Place]:
    """All tree nodes, leaves first, each level from the left."""
    return [
        (level, position)
        for level in range(leaves.bit_length())
        for position in range(leaves >> level)
    ]


def dealt(seed: bytes, leaves: int, pool: Pool, each: int) -> dict[Place, tuple[Account, ...]]:
    """The provers of each tree node; nobody where there is nobody to deal to."""
    cards: list[tuple[bytes, Account]] = []
    for member in pool:
        for number in range(member.cards):
            lot = digest(b"provnet/card/1", seed, member.prover, number.to_bytes(4, "big"))
            cards.append((lot, member.prover))
    cards.sort()
    owners: dict[Place, tuple[Account, ...]] = {}
    for place in places(leaves):
        level, position = place
        if level == 0:
            row = [cards[(position * each + at) % len(cards)][1] for at in range(len(cards))]
        else:
            near = 2 * position + side_of(seed, place)
            hands = (owners[level - 1, near], owners[level - 1, near ^ 1])
            turns = range(max(map(len, hands)))
            row = [hand[turn] for turn in turns for hand in hands if turn < len(hand)]
        owners[place] = _first_distinct(row, each)
    return owners


def _first_distinct(row: list[Account], count: int) -> tuple[Account, ...]:
    found: list[Account] = []
    for one in row:
        if one not in found and len(found) < count:
            found.append(one)
    return tuple(found)


def successors(
    seed: bytes, leaves: int, given: dict[Place, tuple[Account, ...]], place: Place
) -> list[Account]:
    """Who inherits a tree node: provers of the siblings on its leaf's way up, each once."""
    leaf, found = first_leaf(seed, place), []
    for level in range(leaves.bit_length() - 1):
        for heir in given[level, (leaf >> level) ^ 1]:
            if heir not in given[place] and heir not in found:
                found.append(heir)
    return found


# --- one job ---


@dataclass(slots=True)
class Holding:
    """A right: whose (nobody's is anybody's), since when it is open, when its window closes."""

    holders: tuple[Account, ...]
    opened: int | None
    closes: int | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A proof that was taken: recorded, offered, in a draw, or claimed."""

    prover: Account
    claim: Claim
    tick: int


@dataclass(slots=True)
class Cell:
    """One tree node."""

    owners: tuple[Account, ...]
    successors: list[Account]
    holdings: list[Holding]
    drawn: list[Delivery] = field(default_factory=list)
    record: Delivery | None = None
    claims: list[Delivery] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Whether anybody may deliver."""
        return not self.holdings[-1].holders

    def held_by(self, who: Account) -> bool:
        """Whether a right was given to ``who`` by name."""
        return any(who in one.holders for one in self.holdings)

    def open_since(self, who: Account) -> int | None:
        """When the oldest right that ``who`` may use opened."""
        ticks = [one.opened for one in self.holdings if who in one.holders or not one.holders]
        return min((tick for tick in ticks if tick is not None), default=None)

    def showed(self, who: Account) -> bool:
        """Whether a proof of ``who`` is recorded or claimed."""
        is_recorded = self.record is not None and self.record.prover == who
        return is_recorded or who in [one.prover for one in self.claims]


@dataclass(slots=True)
class Failure:
    """Tree nodes that a prover missed, and what it may lose for that."""

    penalty: int
    places: list[Place] = field(default_factory=list)


@dataclass(slots=True)
class JobReading:
    """One job.

    :ivar opened: tick of its opening.
    :ivar failed: provers that missed a window of their own, who earn nothing.
    :ivar missed: the tree nodes whose windows those were, in order.
    :ivar share: what tree nodes were paid from, once it is settled.
    """

    header: JobHeader
    opened: int
    cells: dict[Place, Cell]
    failed: dict[Account, Failure] = field(default_factory=dict)
    missed: list[Place] = field(default_factory=list)
    share: int = 0

    @property
    def leaves(self) -> int:
        """Number of leaves."""
        return len(self.header.content.leaves)

    @property
    def is_proven(self) -> bool:
        """Whether the root is recorded."""
        return self.cells[self.leaves.bit_length() - 1, 0].record is not None

    @property
    def provers(self) -> tuple[Account, ...]:
        """Whose record each tree node of a proven job has, leaves first."""
        return tuple(cell.record.prover for cell in self.cells.values() if cell.record is not None)

    def lacks(self, who: Account) -> list[Place]:
        """What ``who`` missed and did not show later."""
        failure = self.failed.get(who)
        missed = [] if failure is None else failure.places
        return [place for place in missed if not self.cells[place].showed(who)]

    def beside(self, place: Place, until: int) -> list[Account]:
        """Owners that showed a proof beside the recorded one in time and did not fail."""
        cell = self.cells[place]
        return [
            one.prover
            for one in cell.claims
            if one.prover in cell.owners and one.prover not in self.failed and one.tick <= until
        ]


class ElectedReading:
    """Intents, stakes and the open jobs."""

    def __init__(self, genesis: Genesis) -> None:
        self.parameters = parse_settings(ElectedParameters, genesis.proving)
        self.stakes = Stakes((one.account, int(one.prover_stake)) for one in genesis.accounts)
        self._intents: dict[Account, int] = {}
        self.jobs: dict[JobId, JobReading] = {}

    def cards(self, who: Account) -> int:
        """How many cards a prover's stake buys."""
        return min(self.stakes.get(who, 0) // self.parameters.stake_unit, _CARDS_MAX)

    def pool(self, moment: Moment) -> Pool:
        """Provers with a card and an intent that has not passed."""
        return tuple(
            PoolMember(who, Count(self.cards(who)))
            for who, until in sorted(self._intents.items())
            if until >= moment.tick and self.cards(who)
        )

    def open(self, moment: Moment, job: JobId, header: JobHeader, pool: Pool) -> None:
        """Deal a job's tree nodes; its leaves' rights open."""
        seed, leaves = header.seed, len(header.content.leaves)
        given = dealt(seed, leaves, pool, self.parameters.provers_per_node)
        cells = {
            place: Cell(
                owners,
                successors(seed, leaves, given, place),
                [Holding(owners, None if place[0] else moment.tick)],
            )
            for place, owners in given.items()
        }
        self.jobs[job] = JobReading(header, moment.tick, cells)

    # --- the passing of time ---

    def pass_time(self, moment: Moment) -> None:
        """Decide the draws of the block before, start windows, pass on what was missed."""
        for job in self.jobs.values():
            for place, cell in job.cells.items():
                if cell.drawn and not self._is_owners(job, place):
                    self._enter(job, place, _winner(cell, moment), moment.tick)
            for place, cell in job.cells.items():
                self._start_window(place, cell, moment)
            late = self._note_misses(job, moment.tick)
            for place, cell in job.cells.items():
                last = cell.holdings[-1].holders
                is_lost = place in late or all(one in job.failed for one in last)
                if cell.record is None and last and is_lost:
                    self._pass_on(job, cell, moment.tick)

    def _start_window(self, place: Place, cell: Cell, moment: Moment) -> None:
        """Once the block that opened a right is final by the log's own word."""
        last = cell.holdings[-1]
        if cell.record is not None or not last.holders or last.closes is not None:
            return
        if last.opened is not None and last.opened <= moment.settled:
            last.closes = moment.tick + self._window(place)

    def _note_misses(self, job: JobReading, tick: int) -> list[Place]:
        late, before = [], list(job.failed)
        for place, cell in job.cells.items():
            last = cell.holdings[-1]
            if cell.record is not None or last.closes is None or tick <= last.closes:
                continue
            late.append(place)
            for holder in last.holders:
                if holder in cell.owners and holder not in before:
                    penalty = self.stakes.at_risk(holder) * self.parameters.slash_bps // WHOLE
                    job.failed.setdefault(holder, Failure(penalty)).places.append(place)
                    job.missed.append(place)
        return late

    def _pass_on(self, job: JobReading, cell: Cell, tick: int) -> None:
        heir = next(self._left(job, cell), None)
        is_open = cell.holdings[-1].opened is not None
        holders = () if heir is None else (heir,)
        cell.holdings.append(Holding(holders, tick if is_open else None))

    def _left(self, job: JobReading, cell: Cell) -> Iterator[Account]:
        """Successors that may still get a turn."""
        return (one for one in cell.successors if not cell.held_by(one) and one not in job.failed)

    # --- operations ---

    def take_intent(self, moment: Moment, sender: Account, payload: Intent) -> bool:
        """Whether an intent takes effect; then it did."""
        reach = payload.until - moment.tick
        is_good = payload.capacity > 0 and 0 <= reach <= self.parameters.intent_ticks_max
        if not is_good or not self.cards(sender):
            return False
        self._intents[sender] = payload.until
        return True

    def take_record(self, moment: Moment, sender: Account, payload: ProofRecord) -> bool:
        """Whether a record takes effect, at once, in a draw or as an offer; then it did."""
        job, place = self.jobs.get(payload.job), (payload.index.level, payload.index.position)
        cell = None if job is None else job.cells.get(place)
        if job is None or cell is None or cell.record is not None:
            return False
        takes_effect = (
            bool(self.cards(sender))
            and self.is_sound(job, payload, sender, moment.tick)
            and sender not in [one.prover for one in cell.drawn]
        )
        if takes_effect:
            delivery = Delivery(sender, payload.claim, moment.tick)
            is_single = len(cell.holdings) == 1 and len(cell.owners) == 1
            if self._is_owners(job, place):
                above = job.cells[place[0] + 1, place[1] // 2]
                is_at_once = above.is_open or above.held_by(sender)
            else:
                is_at_once = is_single
            if is_at_once:
                self._enter(job, place, delivery, moment.tick)
            else:
                cell.drawn.append(delivery)
        return takes_effect

    def is_sound(self, job: JobReading, record: ProofRecord, prover: Account, tick: int) -> bool:
        """Whether the prover's right is open for long enough, and the children are those
        recorded.
        """
        place = (record.index.level, record.index.position)
        opened = job.cells[place].open_since(prover)
        least = self.parameters.min_merge_ticks if place[0] else self.parameters.min_leaf_ticks
        if opened is None or tick < opened + least:
            return False
        return record.children == _claims_below(job, place)

    def take_inclusion(self, moment: Moment, sender: Account, payload: Inclusion) -> bool:
        """Whether the taking of an offer takes effect; then it did."""
        job, place = self.jobs.get(payload.job), (payload.index.level, payload.index.position)
        if job is None or place not in job.cells or not self._is_owners(job, place):
            return False
        offers = [
            one
            for one in job.cells[place].drawn
            if (one.prover, one.claim) == (payload.prover, payload.claim)
        ]
        above = job.cells[place[0] + 1, place[1] // 2]
        is_entitled = bool(self.cards(sender)) and (above.is_open or above.held_by(sender))
        if not offers or not is_entitled:
            return False
        self._enter(job, place, offers[0], moment.tick)
        return True

    def _is_owners(self, job: JobReading, place: Place) -> bool:
        """Whether the owner of the merge above decides what is recorded."""
        by_owner = self.parameters.inclusion.value == "merge_owner"
        is_root = place[0] == job.leaves.bit_length() - 1
        return by_owner and not is_root and not job.cells[place].is_open

    def _enter(self, job: JobReading, place: Place, delivery: Delivery, tick: int) -> None:
        """The tree node's record is fixed; its parent opens with the second of two."""
        cell = job.cells[place]
        cell.record, cell.drawn = Delivery(delivery.prover, delivery.claim, tick), []
        level, position = place
        beside = job.cells.get((level, position ^ 1))
        if beside is not None and beside.record is not None:
            for one in job.cells[level + 1, position >> 1].holdings:
                one.opened = tick if one.opened is None else one.opened

    # --- deadlines ---

    def latest(self, job: JobId, now: int) -> int:
        """A tick by which everybody entitled had their time with every tree node."""
        reading = self.jobs[job]
        inputs = reading.opened
        for level in range(reading.leaves.bit_length()):
            inputs = max(
                self._latest(reading, place, inputs, now)
                for place in reading.cells
                if place[0] == level
            )
        return inputs

    def _latest(self, job: JobReading, place: Place, inputs: int, now: int) -> int:
        cell, parameters = job.cells[place], self.parameters
        if cell.record is not None:
            return cell.record.tick
        last = cell.holdings[-1]
        opened = inputs if last.opened is None else last.opened
        if not last.holders:
            return opened + parameters.open_ticks + 1
        stage = parameters.finality_ticks + self._window(place)
        closes = last.closes
        if closes is None:
            closes = opened + stage
            if last.opened is not None:
                closes = max(closes, now + 1 + self._window(place))
        turns = len(list(self._left(job, cell)))
        return closes + 1 + turns * (stage + 1) + parameters.open_ticks + 1

    # --- pay ---

    def pay(self, job: JobId, share: int, tick: int) -> tuple[tuple[Payment, ...], int]:
        """What becomes of the provers' share of a proven job's income, and what of it goes back to
        the sequencer.
        """
        reading, parameters = self.jobs[job], self.parameters
        reserve = share * parameters.uncle_reserve_bps // WHOLE
        reading.share = left = share - reserve
        payments, refund = list[Payment](), 0
        for place in reading.cells:
            worth = unpaid = self.worth(reading, place, reading.share)
            for payment in self._earned(reading, place, worth, tick):
                payments.append(payment)
                unpaid -= payment.amount
            if parameters.failed_share.value == "refund":
                refund += unpaid
            else:
                payments.append(Payment(None, "FAILED_SHARE", unpaid))
            left -= worth
        kept = Payment(None, "UNCLE_RESERVED", reserve)
        return (*payments, Payment(None, "ROUNDING", left), kept), refund

    def _earned(self, job: JobReading, place: Place, worth: int, tick: int) -> Iterator[Payment]:
        cell, parameters = job.cells[place], self.parameters
        assert cell.record is not None, "a proven job has all records"
        prover, primary = cell.record.prover, worth * parameters.primary_bps // WHOLE
        if prover in cell.owners:
            yield Payment(prover, "PROVER_PAY", 0 if prover in job.failed else primary)
        elif cell.held_by(prover):
            yield Payment(prover, "TAKEOVER_PAY", worth * parameters.takeover_bps // WHOLE)
        else:
            yield Payment(prover, "OPEN_PAY", worth * parameters.open_bps // WHOLE)
        others = job.beside(place, tick)
        for other in others:
            yield Payment(other, "CO_PAY", (worth - primary) // len(others))

    def compensate(self, job: JobId, budget: int) -> tuple[Payment, ...]:
        """What a bond of ``budget`` pays for the recorded tree nodes of a job that falls."""
        reading = self.jobs[job]
        fees = sum(leaf.fees for leaf in reading.header.content.leaves)
        share = fees * reading.header.fee_split // WHOLE
        due = [
            (cell.record.prover, self.worth(reading, place, share) * self.parameters.void_bps)
            for place, cell in reading.cells.items()
            if cell.record is not None
        ]
        asked = [(who, amount // WHOLE) for who, amount in due]
        whole = sum(amount for _, amount in asked)
        return tuple(
            Payment(who, "VOID_PAY", amount if whole <= budget else amount * budget // whole)
            for who, amount in asked
        )

    def worth(self, job: JobReading, place: Place, share: int) -> int:
        """A tree node's part of a share, by work."""
        works = self.parameters
        whole = job.leaves * works.leaf_work + (job.leaves - 1) * works.merge_work
        return share * (works.merge_work if place[0] else works.leaf_work) // whole

    def _window(self, place: Place) -> int:
        parameters = self.parameters
        return parameters.merge_window_ticks if place[0] else parameters.leaf_window_ticks


def _winner(cell: Cell, moment: Moment) -> Delivery:
    """Of the records of one block the one with the smallest hash under the next beacon."""
    return min(
        cell.drawn,
        key=lambda one: digest(b"provnet/contest/1", moment.beacon, one.prover, one.claim),
    )


def _claims_below(job: JobReading, place: Place) -> tuple[Claim, Claim] | None:
    """The claims that a merge must use; None for a leaf. The caller saw that they are there."""
    level, position = place
    if level == 0:
        return None
    records = [job.cells[level - 1, 2 * position + side].record for side in (0, 1)]
    left, right = (one.claim for one in records if one is not None)
    return left, right

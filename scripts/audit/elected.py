"""Elected provers, read a second time: deals, rights, misses, draws and pay from the log.

Written from the numbered sentences of ``protocol.proving.elected``; it calls nothing of that module
but its table of parameters. Tree nodes are pairs of level and position here, and the arithmetic of
trees is done anew, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from protocol.events import PoolMember
from protocol.messages import Intent, JobHeader, ProofRecord
from protocol.params import Genesis, parse_settings
from protocol.proving.elected_parameters import ElectedParameters
from protocol.rules import Moment
from protocol.signing import digest
from protocol.types import Account, Claim, Count, JobId
from scripts.audit.settled import Payment, Place

Pool: TypeAlias = tuple[PoolMember, ...]
"""Provers with their cards, by account."""

_WHOLE = 10_000
_CARDS_MAX = 1_000


# --- the deal ---


def below(seed: bytes, place: Place) -> Place:
    """The child whose prover owns a merge."""
    level, position = place
    named = level.to_bytes(2, "big") + position.to_bytes(2, "big")
    side = digest(b"provnet/merge-side/1", seed, named)[0] % 2
    return level - 1, 2 * position + side


def first_leaf(seed: bytes, place: Place) -> int:
    """Position of the leaf from which a tree node has its prover."""
    while place[0] > 0:
        place = below(seed, place)
    return place[1]


def places(leaves: int) -> list[Place]:
    """All tree nodes, leaves first, each level from the left."""
    return [
        (level, position)
        for level in range(leaves.bit_length())
        for position in range(leaves >> level)
    ]


def dealt(seed: bytes, leaves: int, pool: Pool) -> dict[Place, Account | None]:
    """The prover of each tree node; None where there is nobody to deal to."""
    cards: list[tuple[bytes, Account]] = []
    for member in pool:
        for number in range(member.cards):
            lot = digest(b"provnet/card/1", seed, member.prover, number.to_bytes(4, "big"))
            cards.append((lot, member.prover))
    cards.sort()
    return {
        place: cards[first_leaf(seed, place) % len(cards)][1] if cards else None
        for place in places(leaves)
    }


def successors(
    seed: bytes, leaves: int, given: dict[Place, Account | None], place: Place
) -> list[Account]:
    """Who inherits a tree node: provers of the siblings on its leaf's way up, each once."""
    leaf, found = first_leaf(seed, place), []
    for level in range(leaves.bit_length() - 1):
        heir = given[level, (leaf >> level) ^ 1]
        if heir is not None and heir != given[place] and heir not in found:
            found.append(heir)
    return found


# --- one job ---


@dataclass(slots=True)
class _Holding:
    """A right: since when it is open, and when its window closes."""

    holder: Account | None
    opened: int | None
    closes: int | None = None


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A record that was taken."""

    prover: Account
    claim: Claim
    tick: int
    by_anybody: bool


@dataclass(slots=True)
class _Cell:
    """One tree node."""

    owner: Account | None
    successors: list[Account]
    holdings: list[_Holding]
    drawn: list[_Delivery] = field(default_factory=list)
    record: _Delivery | None = None

    def holders(self) -> list[Account | None]:
        return [one.holder for one in self.holdings]

    def open_since(self, who: Account) -> int | None:
        """When the oldest right that ``who`` may use opened."""
        ticks = [one.opened for one in self.holdings if one.holder in (who, None)]
        return min((tick for tick in ticks if tick is not None), default=None)


@dataclass(slots=True)
class JobReading:
    """One open job.

    :ivar opened: tick of its opening.
    :ivar failed: provers that missed a window of their own, who earn nothing.
    :ivar missed: the tree nodes whose windows those were.
    """

    header: JobHeader
    opened: int
    cells: dict[Place, _Cell]
    failed: list[Account] = field(default_factory=list)
    missed: list[Place] = field(default_factory=list)

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


class ElectedReading:
    """Intents and the open jobs."""

    def __init__(self, genesis: Genesis) -> None:
        self._parameters = parse_settings(ElectedParameters, genesis.proving)
        stakes = {one.account: one.prover_stake for one in genesis.accounts}
        unit = self._parameters.stake_unit
        self._cards = {who: min(stake // unit, _CARDS_MAX) for who, stake in stakes.items()}
        self._intents: dict[Account, int] = {}
        self.jobs: dict[JobId, JobReading] = {}

    def pool(self, moment: Moment) -> Pool:
        """Provers with a card and an intent that has not passed."""
        return tuple(
            PoolMember(who, Count(self._cards[who]))
            for who, until in sorted(self._intents.items())
            if until >= moment.tick
        )

    def open(self, moment: Moment, job: JobId, header: JobHeader, pool: Pool) -> None:
        """Deal a job's tree nodes; its leaves' rights open."""
        seed, leaves = header.seed, len(header.content.leaves)
        given = dealt(seed, leaves, pool)
        cells = {
            place: _Cell(
                owner,
                successors(seed, leaves, given, place),
                [_Holding(owner, None if place[0] else moment.tick)],
            )
            for place, owner in given.items()
        }
        self.jobs[job] = JobReading(header, moment.tick, cells)

    # --- the passing of time ---

    def pass_time(self, moment: Moment) -> None:
        """Decide the draws of the block before, start windows, pass on what was missed."""
        for job in self.jobs.values():
            for place, cell in job.cells.items():
                if cell.drawn:
                    self._enter(job, place, _winner(cell, moment), moment.tick)
            for place, cell in job.cells.items():
                self._start_window(place, cell, moment)
            late = self._note_misses(job, moment.tick)
            for place, cell in job.cells.items():
                is_lost = place in late or cell.holdings[-1].holder in job.failed
                if cell.record is None and is_lost:
                    self._pass_on(job, cell, moment.tick)

    def _start_window(self, place: Place, cell: _Cell, moment: Moment) -> None:
        """Once the block that opened a right is final by the log's own word."""
        last = cell.holdings[-1]
        if cell.record is not None or last.holder is None or last.closes is not None:
            return
        if last.opened is not None and last.opened <= moment.settled:
            last.closes = moment.tick + self._window(place)

    def _note_misses(self, job: JobReading, tick: int) -> list[Place]:
        late = []
        for place, cell in job.cells.items():
            last = cell.holdings[-1]
            if cell.record is not None or last.closes is None or tick <= last.closes:
                continue
            late.append(place)
            if last.holder is not None and last.holder == cell.owner:
                job.missed.append(place)
                job.failed.append(last.holder)
        return late

    def _pass_on(self, job: JobReading, cell: _Cell, tick: int) -> None:
        heir = next(self._left(job, cell), None)
        is_open = cell.holdings[-1].opened is not None
        cell.holdings.append(_Holding(heir, tick if is_open else None))

    def _left(self, job: JobReading, cell: _Cell) -> Iterator[Account]:
        """Successors that may still get a turn."""
        spent = [*cell.holders(), *job.failed]
        return (one for one in cell.successors if one not in spent)

    # --- operations ---

    def take_intent(self, moment: Moment, sender: Account, payload: Intent) -> bool:
        """Whether an intent takes effect; then it did."""
        is_good = payload.capacity > 0 and payload.until >= moment.tick
        if not is_good or not self._cards.get(sender):
            return False
        self._intents[sender] = payload.until
        return True

    def take_record(self, moment: Moment, sender: Account, payload: ProofRecord) -> bool:
        """Whether a record takes effect, at once or in a draw; then it did."""
        job, place = self.jobs.get(payload.job), (payload.index.level, payload.index.position)
        cell = None if job is None else job.cells.get(place)
        if job is None or cell is None or cell.record is not None:
            return False
        opened = cell.open_since(sender)
        takes_effect = (
            bool(self._cards.get(sender))
            and opened is not None
            and moment.tick >= opened + self._minimum(place)
            and payload.children == _claims_below(job, place)
            and sender not in [one.prover for one in cell.drawn]
        )
        if takes_effect:
            by_anybody = sender not in cell.holders()
            delivery = _Delivery(sender, payload.claim, moment.tick, by_anybody)
            if len(cell.holdings) == 1 and cell.owner is not None:
                self._enter(job, place, delivery, moment.tick)
            else:
                cell.drawn.append(delivery)
        return takes_effect

    def _enter(self, job: JobReading, place: Place, delivery: _Delivery, tick: int) -> None:
        """The tree node's record is fixed; its parent opens with the second of two."""
        cell = job.cells[place]
        cell.record, cell.drawn = delivery, []
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
        cell, parameters = job.cells[place], self._parameters
        if cell.record is not None:
            return cell.record.tick
        last = cell.holdings[-1]
        opened = inputs if last.opened is None else last.opened
        if last.holder is None:
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

    def compensate(self, _job: JobId, _budget: int) -> tuple[Payment, ...]:
        """What a lost bond pays for a job that is about to be void: nothing."""
        return ()

    def pay(self, job: JobId, share: int) -> tuple[Payment, ...]:
        """What becomes of the provers' share of a proven job's fees, all of it."""
        reading, parameters = self.jobs[job], self._parameters
        works = {place: self._work(place) for place in reading.cells}
        whole, payments, spent = sum(works.values()), [], 0
        for place, cell in reading.cells.items():
            worth = share * works[place] // whole
            assert cell.record is not None, "a proven job has all records"
            cause, part = "PROVER_PAY", _WHOLE
            if cell.record.by_anybody:
                cause, part = "OPEN_PAY", parameters.open_bps
            elif cell.record.prover != cell.owner:
                cause, part = "TAKEOVER_PAY", parameters.takeover_bps
            elif cell.owner in reading.failed:
                part = 0
            earned = worth * part // _WHOLE
            payments.append(Payment(cell.record.prover, cause, earned))
            payments.append(Payment(None, "FAILED_SHARE", worth - earned))
            spent += worth
        return (*payments, Payment(None, "ROUNDING", share - spent))

    def _work(self, place: Place) -> int:
        return self._parameters.merge_work if place[0] else self._parameters.leaf_work

    def _window(self, place: Place) -> int:
        parameters = self._parameters
        return parameters.merge_window_ticks if place[0] else parameters.leaf_window_ticks

    def _minimum(self, place: Place) -> int:
        return self._parameters.min_merge_ticks if place[0] else self._parameters.min_leaf_ticks


def _winner(cell: _Cell, moment: Moment) -> _Delivery:
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

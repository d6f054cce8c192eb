"""Judge of elected provers: deals, inherits, times, draws and pays by a second reading of the rule.

Written from the numbered sentences of ``protocol.proving.elected``, on the log alone; it calls
nothing of that module.
"""

from __future__ import annotations

from protocol.events import (
    Assigned,
    IntentRegistered,
    JobOpened,
    LeaderElected,
    PoolMember,
    ProofPassedOver,
    ProofRecorded,
    RightMissed,
    RightOpened,
    TakenOver,
    WindowStarted,
)
from protocol.ledger import Cause, Moved
from protocol.machine import Machine
from protocol.testing.board import JobView, NodeView, is_backup
from protocol.testing.oracles import Oracle, Page, found, framed_hash, must
from protocol.testing.scenario import Scenario
from protocol.types import Account, Count, JobId, Tick, TreeIndex

Place = tuple[int, int]
Cell = tuple[JobId, TreeIndex]


def owner_leaf(seed: bytes, level: int, position: int) -> int:
    """Which leaf's prover owns a tree node: at each merge a bit says which way."""
    while level:
        place = level.to_bytes(2, "big") + position.to_bytes(2, "big")
        position = 2 * position + framed_hash(b"provnet/merge-side/1", seed, place)[0] % 2
        level -= 1
    return position


def assignment(seed: bytes, leaves: int, pool: tuple[PoolMember, ...]) -> dict[Place, bytes | None]:
    """Every tree node's prover: shuffled cards dealt to the leaves, merges to a leaf below."""
    cards = []
    for member in pool:
        for card in range(member.cards):
            number = card.to_bytes(4, "big")
            lot = framed_hash(b"provnet/card/1", seed, member.prover, number)
            cards.append((lot, member.prover))
    cards.sort()
    dealt = [cards[at % len(cards)][1] if cards else None for at in range(leaves)]
    levels = leaves.bit_length()
    return {
        (level, position): dealt[owner_leaf(seed, level, position)]
        for level in range(levels)
        for position in range(leaves >> level)
    }


def succession(
    seed: bytes, leaves: int, given: dict[Place, bytes | None], at: Place
) -> list[bytes]:
    """Heirs of a tree node: provers of the siblings along the path from its leaf to the root."""
    leaf = owner_leaf(seed, *at)
    heirs: list[bytes] = []
    for level in range(leaves.bit_length() - 1):
        heir = given[level, (leaf >> level) ^ 1]
        if heir not in (None, given[at], *heirs):
            heirs.append(heir or b"")
    return heirs


class ElectedOracle(Oracle):
    """Assignment, heirs, windows, draws and amounts, recomputed."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.parameters = scenario.proving_parameters
        self.intents: dict[Account, Tick] = {}
        self.pool: tuple[PoolMember, ...] = ()
        self.given: dict[JobId, dict[Place, bytes | None]] = {}
        self.held: dict[Cell, list[Account | None]] = {}
        self.closes: dict[Cell, Tick] = {}
        self.opened: dict[Cell, Tick] = {}
        self.stakes = {one.account: one.prover_stake for one in scenario.genesis().accounts}
        self.told: list[Cell] = []
        self.draws: dict[Cell, list[tuple[bytes, bool]]] = {}

    def judge(self, page: Page, machine: Machine) -> None:
        """Forget what concerned the last block alone."""
        self.told, self.draws = [], {}
        super().judge(page, machine)

    def on_intent_registered(self, page: Page, event: IntentRegistered) -> None:
        """The latest intent counts."""
        self.intents[event.prover] = event.until

    def on_leader_elected(self, page: Page, event: LeaderElected) -> None:
        """The pool freezes."""
        members = []
        for prover, until in sorted(self.intents.items()):
            cards = self.stakes.get(prover, 0) // self.parameters.stake_unit
            if until >= page.tick and cards:
                members.append(PoolMember(prover, Count(min(cards, 1_000))))
        self.pool = tuple(members)

    def on_job_opened(self, page: Page, event: JobOpened) -> None:
        """Deal anew."""
        if is_backup(event.header):
            return
        must(event.pool == self.pool, "not the pool at the election", event)
        seed, leaves = event.header.seed, len(event.header.content.leaves)
        self.given[event.job] = assignment(seed, leaves, event.pool)

    def on_assigned(self, page: Page, event: Assigned) -> None:
        """Everybody can recompute it."""
        due = self.given[event.job][event.index.level, event.index.position]
        must(event.prover == due, "assigned to somebody else", event)
        self.held[event.job, event.index] = [event.prover]

    def on_right_opened(self, page: Page, event: RightOpened) -> None:
        """Admissible after the minimal time."""
        cell = (event.job, event.index)
        must(event.holder == self.held[cell][-1], "a right of somebody else", event)
        must(event.admissible == page.tick + self._least(event.index), "wrong time", event)
        self.opened[cell] = page.tick

    def _least(self, index: TreeIndex) -> int:
        least = self.parameters.min_merge_ticks if index.level else self.parameters.min_leaf_ticks
        return int(least)

    def _window(self, index: TreeIndex) -> int:
        parameters = self.parameters
        window = parameters.merge_window_ticks if index.level else parameters.leaf_window_ticks
        return int(window)

    def on_window_started(self, page: Page, event: WindowStarted) -> None:
        """A window starts once its right is final."""
        cell = (event.job, event.index)
        opened = self.opened[cell]
        must(opened <= page.block.moment.settled, "a window before its right is final", event)
        must(event.holder == self.held[cell][-1], "a window of somebody else", event)
        must(event.closes == page.tick + self._window(event.index), "wrong end", event)
        must(cell not in self.closes, "a window started twice", event)
        self.closes[cell] = event.closes

    def on_right_missed(self, page: Page, event: RightMissed) -> None:
        """A window ends; who misses its own tree node has failed."""
        cell = (event.job, event.index)
        must(page.tick == self.closes[cell] + 1, "missed at another time than said", event)
        own = self.given[event.job][event.index.level, event.index.position]
        must(event.failed == (event.holder == own), "failed is who misses its own", event)
        self.told.append(cell)

    def on_taken_over(self, page: Page, event: TakenOver) -> None:
        """The next heir that has not failed and had no right before."""
        job = page.board.jobs[event.job]
        cell = (event.job, event.index)
        held, given = self.held[cell], self.given[event.job]
        must(event.previous == held[-1], "taken from somebody else", event)
        is_due = cell in self.told or event.previous in job.failed
        must(is_due, "taken over without a miss", event)
        must(job.nodes[event.index].record is None or cell in self.told, "taken over when recorded")
        at = (int(event.index.level), int(event.index.position))
        heirs = succession(job.header.seed, len(job.header.content.leaves), given, at)
        left = [heir for heir in heirs if heir not in held and heir not in job.failed]
        must(event.heir == (left[0] if left else None), "taken over by somebody else", event)
        held.append(event.heir)
        self.closes.pop(cell, None)

    def on_proof_recorded(self, page: Page, event: ProofRecorded) -> None:
        """A winner, if there was a draw."""
        self._draw(page, event, wins=True)

    def on_proof_passed_over(self, page: Page, event: ProofPassedOver) -> None:
        """A loser."""
        self._draw(page, event, wins=False)

    def _draw(self, page: Page, event: ProofRecorded | ProofPassedOver, *, wins: bool) -> None:
        beacon = page.block.moment.beacon
        lot = framed_hash(b"provnet/contest/1", beacon, event.prover, event.claim)
        self.draws.setdefault((event.job, event.index), []).append((lot, wins))

    def conclude(self, page: Page, machine: Machine) -> None:
        """The right lots won, and whatever was due at this tick was told."""
        for (_, index), draws in self.draws.items():
            winners = [lot for lot, wins in draws if wins]
            must(winners == [min(lot for lot, _ in draws)], "the wrong lot won", index)
        for job in page.board.open_jobs():
            for index, node in job.nodes.items():
                holder = self.held[job.id, index][-1]
                if node.record is None and holder is not None and node.opened_at is not None:
                    self._check_window(page, (job.id, index), node.opened_at)

    def _check_window(self, page: Page, cell: Cell, opened: Tick) -> None:
        is_final = opened <= page.block.moment.settled
        must(is_final == (cell in self.closes), "a window did not start in time", page.tick)
        must(self.closes.get(cell, page.tick) >= page.tick, "a miss was overlooked", page.tick)

    def on_moved(self, page: Page, moved: Moved) -> None:
        """A tree node's pay is its part of the work."""
        if moved.job is None or moved.place is None:
            return
        job, works = page.board.jobs[moved.job], self.parameters
        leaves = len(job.header.content.leaves)
        work = works.merge_work if moved.place.level else works.leaf_work
        whole = leaves * works.leaf_work + (leaves - 1) * works.merge_work
        worth = job.income * job.header.fee_split // 10_000 * work // whole
        earned = self._earned(job, moved.place, job.nodes[moved.place], worth)
        due = worth - earned if moved.cause is Cause.FAILED_SHARE else earned
        must(moved.amount == due, "not the pay that is due", moved, due)

    def _earned(self, job: JobView, index: TreeIndex, node: NodeView, worth: int) -> int:
        prover = found(node.record, "pay without a record", index).prover
        if prover == self.given[job.id][index.level, index.position]:
            return 0 if prover in job.failed else worth
        if prover in self.held[job.id, index]:
            return worth * int(self.parameters.takeover_bps) // 10_000
        return worth * int(self.parameters.open_bps) // 10_000

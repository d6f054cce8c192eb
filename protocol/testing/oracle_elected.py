"""Judge of elected provers: deals, inherits, times and draws by a second reading of the rule.

Written from the numbered sentences of ``protocol.proving.elected``, on the log alone; it calls
nothing of that rule's modules. What is paid and slashed is judged in
:mod:`protocol.testing.oracle_elected_pay`.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocol.events import (
    Assigned,
    IntentRegistered,
    JobOpened,
    LeaderElected,
    PoolMember,
    ProofOffered,
    ProofPassedOver,
    ProofRecorded,
    RightMissed,
    RightOpened,
    TakenOver,
    WindowStarted,
)
from protocol.ledger import Moved, PocketKind
from protocol.machine import Machine
from protocol.messages import Inclusion, Operation, ProofRecord
from protocol.testing.board import is_backup
from protocol.testing.oracles import Oracle, Page, framed_hash, must
from protocol.testing.scenario import Scenario
from protocol.types import Account, Claim, Count, JobId, Tick, TreeIndex

Place = tuple[int, int]
Cell = tuple[JobId, TreeIndex]
Offer = tuple[Cell, Account, Claim]


def owner_leaf(seed: bytes, level: int, position: int) -> int:
    """Which leaf's prover owns a tree node: at each merge a bit says which way."""
    while level:
        position = 2 * position + _side(seed, level, position)
        level -= 1
    return position


def _side(seed: bytes, level: int, position: int) -> int:
    place = level.to_bytes(2, "big") + position.to_bytes(2, "big")
    return framed_hash(b"provnet/merge-side/1", seed, place)[0] % 2


def assignment(
    seed: bytes, leaves: int, pool: tuple[PoolMember, ...], each: int = 1
) -> dict[Place, tuple[bytes, ...]]:
    """Every tree node's provers: shuffled cards dealt to the leaves, merges to leaves below."""
    cards = []
    for member in pool:
        for card in range(member.cards):
            number = card.to_bytes(4, "big")
            lot = framed_hash(b"provnet/card/1", seed, member.prover, number)
            cards.append((lot, member.prover))
    cards.sort()
    given: dict[Place, tuple[bytes, ...]] = {}
    for at in range(leaves):
        hand: list[bytes] = []
        for step in range(len(cards)):
            prover = cards[(at * each + step) % len(cards)][1]
            if prover not in hand and len(hand) < each:
                hand.append(prover)
        given[0, at] = tuple(hand)
    for level in range(1, leaves.bit_length()):
        for position in range(leaves >> level):
            side = _side(seed, level, position)
            near = given[level - 1, 2 * position + side]
            far = given[level - 1, 2 * position + 1 - side]
            given[level, position] = tuple(_by_turns(near, far, each))
    return given


def _by_turns(near: tuple[bytes, ...], far: tuple[bytes, ...], count: int) -> list[bytes]:
    taken: list[bytes] = []
    for turn in range(max(len(near), len(far))):
        for hand in (near, far):
            if turn < len(hand) and hand[turn] not in taken and len(taken) < count:
                taken.append(hand[turn])
    return taken


def succession(
    seed: bytes, leaves: int, given: dict[Place, tuple[bytes, ...]], at: Place
) -> list[bytes]:
    """Heirs of a tree node: provers of the siblings along the path from its leaf to the root."""
    leaf = owner_leaf(seed, *at)
    line: list[bytes] = []
    for level in range(leaves.bit_length() - 1):
        for heir in given[level, (leaf >> level) ^ 1]:
            if heir not in given[at] and heir not in line:
                line.append(heir)
    return line


class ElectedOracle(Oracle):
    """Assignment, heirs, windows, draws and inclusions, recomputed.

    :ivar held: who got a right to a tree node, one group after the other; nobody is anybody.
    """

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.parameters = scenario.proving_parameters
        self.intents: dict[Account, Tick] = {}
        self.pool: tuple[PoolMember, ...] = ()
        self.given: dict[JobId, dict[Place, tuple[bytes, ...]]] = {}
        self.named: dict[Cell, list[Account | None]] = {}
        self.held: dict[Cell, list[tuple[Account, ...]]] = {}
        self.closes: dict[Cell, dict[Account, Tick]] = {}
        self.opened: dict[Cell, Tick] = {}
        self.invited: dict[Cell, list[Account | None]] = {}
        accounts = scenario.genesis().accounts
        self.stakes: dict[bytes, int] = {one.account: one.prover_stake for one in accounts}
        self.failed: dict[JobId, list[Account]] = {}
        self.told: list[Cell] = []
        self.draws: dict[Cell, list[tuple[bytes, bool]]] = {}
        self.recorded: set[Cell] = set()
        self.offers: set[Offer] = set()
        self.chosen: list[Offer] = []

    def judge(self, page: Page, machine: Machine) -> None:
        """Forget what concerned the last block alone."""
        self.told, self.draws = [], {}
        super().judge(page, machine)

    # --- who ---

    def on_moved(self, page: Page, moved: Moved) -> None:
        """Stake buys cards as long as it stays."""
        for pocket, amount in ((moved.source, -moved.amount), (moved.target, moved.amount)):
            if pocket.kind is PocketKind.PROVER_STAKE:
                self.stakes[pocket.owner] = self.stakes.get(pocket.owner, 0) + amount

    def on_intent_registered(self, page: Page, event: IntentRegistered) -> None:
        """The latest intent counts."""
        reach = event.until - page.tick
        must(reach <= self.parameters.intent_ticks_max, "an intent for too long", event)
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
        each = self.parameters.provers_per_node
        self.given[event.job] = assignment(seed, leaves, event.pool, each)
        self.failed[event.job] = []

    def on_assigned(self, page: Page, event: Assigned) -> None:
        """Everybody can recompute it."""
        cell = (event.job, event.index)
        due = self._own(cell) or (None,)
        named = self.named.setdefault(cell, [])
        named.append(event.prover)
        must(tuple(named) == due[: len(named)], "assigned to somebody else", event)
        self.held[cell] = [self._own(cell)]

    def _own(self, cell: Cell) -> tuple[Account, ...]:
        job, index = cell
        return tuple(Account(one) for one in self.given[job][index.level, index.position])

    # --- when ---

    def on_right_opened(self, page: Page, event: RightOpened) -> None:
        """Admissible after the minimal time."""
        cell = (event.job, event.index)
        must(event.holder in (self.held[cell][-1] or (None,)), "a right of somebody else", event)
        must(event.admissible == page.tick + self._least(event.index), "wrong time", event)
        invited = self.invited.setdefault(cell, [])
        must(event.holder not in invited, "a right opened twice", event)
        invited.append(event.holder)
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
        must(
            self.opened[cell] <= page.block.moment.settled,
            "a window before its right is final",
            event,
        )
        must(event.holder in self.held[cell][-1], "a window of somebody else", event)
        must(event.closes == page.tick + self._window(event.index), "wrong end", event)
        closes = self.closes.setdefault(cell, {})
        must(event.holder not in closes, "a window started twice", event)
        closes[event.holder] = event.closes

    def on_right_missed(self, page: Page, event: RightMissed) -> None:
        """A window ends; who misses its own tree node has failed."""
        cell = (event.job, event.index)
        closed = self.closes[cell][event.holder]
        must(page.tick == closed + 1, "missed at another time than said", event)
        must(event.holder not in self.failed[event.job], "missed after it had failed", event)
        must(event.failed == (event.holder in self._own(cell)), "failed is who misses its own")
        self.told.append(cell)

    def on_taken_over(self, page: Page, event: TakenOver) -> None:
        """The next heir that has not failed and had no right before."""
        job = page.board.jobs[event.job]
        cell = (event.job, event.index)
        held = self.held[cell]
        must(event.previous == held[-1][0], "taken from somebody else", event)
        is_lost = all(one in job.failed for one in held[-1])
        must(cell in self.told or is_lost, "taken over without a miss", event)
        must(cell not in self.recorded, "taken over when recorded", event)
        at = (int(event.index.level), int(event.index.position))
        leaves = len(job.header.content.leaves)
        line = succession(job.header.seed, leaves, self.given[event.job], at)
        had = {one for group in held for one in group}
        left = [heir for heir in line if heir not in had and heir not in job.failed]
        must(event.heir == (left[0] if left else None), "taken over by somebody else", event)
        held.append(() if event.heir is None else (event.heir,))
        self.closes.pop(cell, None)
        self.invited.pop(cell, None)

    # --- which ---

    def _is_choice(self, cell: Cell) -> bool:
        """Whether the owner of the merge above decides."""
        job, index = cell
        is_root = len(self.given[job]) == (2 << index.level) - 1
        by_owner = self.parameters.inclusion.value == "merge_owner"
        return by_owner and not is_root and bool(self.held[cell][-1])

    def on_proof_offered(self, page: Page, event: ProofOffered) -> None:
        """An offer waits."""
        cell = (event.job, event.index)
        must(self._is_choice(cell), "an offer where the log includes", event)
        self.offers.add((cell, event.prover, event.claim))

    def on_proof_recorded(self, page: Page, event: ProofRecorded) -> None:
        """A winner, if there was a draw; else somebody's choice."""
        cell = (event.job, event.index)
        self.recorded.add(cell)
        if self._is_choice(cell):
            self.chosen.append((cell, event.prover, event.claim))
        else:
            self._draw(page, event, wins=True)

    def on_proof_passed_over(self, page: Page, event: ProofPassedOver) -> None:
        """A loser."""
        if not self._is_choice((event.job, event.index)):
            self._draw(page, event, wins=False)

    def _draw(self, page: Page, event: ProofRecorded | ProofPassedOver, *, wins: bool) -> None:
        beacon = page.block.moment.beacon
        lot = framed_hash(b"provnet/contest/1", beacon, event.prover, event.claim)
        self.draws.setdefault((event.job, event.index), []).append((lot, wins))

    def heard(self, page: Page, operation: Operation, reason: str | None) -> None:
        """A choice has a word of somebody who may deliver the merge above."""
        said, sender = operation.payload, operation.sender
        if reason is not None or not self.chosen:
            return
        cell, prover, claim = self.chosen[-1]
        if isinstance(said, Inclusion):
            must((cell, prover, claim) in self.offers, "included what nobody offered", said)
            must((said.prover, said.claim) == (prover, claim), "another offer was included", said)
        else:
            is_own = isinstance(said, ProofRecord) and (sender, said.claim) == (prover, claim)
            must(is_own, "recorded without a word of the owner", cell[1])
        job, index = cell
        above = (job, TreeIndex(Count(index.level + 1), Count(index.position // 2)))
        groups = self.held[above]
        is_holder = any(sender in group or not group for group in groups)
        must(is_holder, "included by somebody else", said)
        has_card = self.stakes.get(sender, 0) >= self.parameters.stake_unit
        must(has_card, "included without stake", said)
        self.chosen.pop()

    # --- what is left ---

    def conclude(self, page: Page, machine: Machine) -> None:
        """The right lots won, and whatever was due at this tick was told."""
        must(not self.chosen, "recorded without a word of the owner", self.chosen)
        for (_, index), draws in self.draws.items():
            winners = [lot for lot, wins in draws if wins]
            must(winners == [min(lot for lot, _ in draws)], "the wrong lot won", index)
        for job in page.board.open_jobs():
            self.failed[job.id] = list(job.failed)
            for index, node in job.nodes.items():
                cell = (job.id, index)
                must(len(self.named[cell]) == max(1, len(self._own(cell))), "unnamed", index)
                if node.record is None and node.opened_at is not None:
                    self._check_windows(page, cell, node.opened_at)

    def _check_windows(self, page: Page, cell: Cell, opened: Tick) -> None:
        holders = self.held[cell][-1]
        invited = self.invited.get(cell, [])
        must(sorted(invited, key=repr) == sorted(holders or (None,), key=repr), "not all may", cell)
        is_final = opened <= page.block.moment.settled
        for holder in self._still_due(cell, holders):
            closes = self.closes.get(cell, {}).get(holder)
            must(is_final == (closes is not None), "a window did not start in time", page.tick)
            must(closes is None or closes >= page.tick, "a miss was overlooked", page.tick)

    def _still_due(self, cell: Cell, holders: tuple[Account, ...]) -> Iterator[Account]:
        return (one for one in holders if one not in self.failed[cell[0]])

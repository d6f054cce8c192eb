"""What a run looks like at a moment, built from what its nodes tell.

A model without a terminal: records go in (as :class:`scripts.launcher.watch.Story` passes them on,
each final tick once), and what stands there is what a screen has to show. Whoever draws it decides
how.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from scripts.launcher.plan import Plan
from scripts.money import EARNINGS

STORY_LINES: Final = 10
"""Sentences of the story that are kept."""

TREES_KEPT: Final = 8
"""Closed jobs that are kept."""

SHORT: Final = 4
"""Hexadecimal digits that stand for an account without a name."""


class Stage(Enum):
    """How far a tree node is."""

    WAITING = "waits for its inputs"
    OPEN = "may be proven"
    PROVING = "is being proven"
    PROVEN = "is proven and announced"
    RECORDED = "is recorded"


class Outcome(Enum):
    """What became of a job."""

    OPEN = "open"
    SETTLED = "proven and paid"
    VOID = "void"


@dataclass(slots=True)
class TreeNode:
    """One tree node of a job.

    :ivar owner: whom it was assigned to; None: anybody, or nobody yet.
    :ivar holder: who has the present right; None: anybody, or nobody yet.
    :ivar admissible: tick from which a record counts; None while inputs are missing.
    :ivar proving: who works on it, since which millisecond.
    :ivar proven_by: who has a proof that is not recorded.
    :ivar recorded_by: whose proof is recorded.
    :ivar is_missed: its present holder let its window pass.
    :ivar is_taken: the right passed on from its owner.
    """

    owner: str | None = None
    holder: str | None = None
    admissible: int | None = None
    proving: dict[str, int] = field(default_factory=dict)
    proven_by: list[str] = field(default_factory=list)
    recorded_by: str | None = None
    is_missed: bool = False
    is_taken: bool = False

    @property
    def stage(self) -> Stage:
        """How far it is."""
        if self.recorded_by is not None:
            return Stage.RECORDED
        if self.proven_by:
            return Stage.PROVEN
        if self.proving:
            return Stage.PROVING
        return Stage.WAITING if self.admissible is None else Stage.OPEN

    @property
    def who(self) -> str | None:
        """Whose matter it is: who has recorded, proven or is proving it, or may. None: anybody."""
        if self.recorded_by is not None:
            return self.recorded_by
        if self.proven_by:
            return self.proven_by[0]
        return next(iter(self.proving), self.holder)

    def is_open_to_anybody(self) -> bool:
        """Whether nobody in particular has the right."""
        return self.holder is None and self.admissible is not None


@dataclass(slots=True)
class Tree:
    """The proof tree of one job.

    :ivar number: counted from 1.
    :ivar fees: sum of the block's fees, in micro-units.
    :ivar places: tree nodes by level and position.
    """

    number: int
    leaves: int
    fees: int
    opened_ms: int
    places: dict[tuple[int, int], TreeNode]
    outcome: Outcome = Outcome.OPEN
    closed_ms: int | None = None

    @property
    def height(self) -> int:
        """Level of the root."""
        return self.leaves.bit_length() - 1


class Scene:
    """Everything that a screen shows of a run.

    :ivar tick: last final height. ``slot``: its slot.
    :ivar trees: jobs by name, oldest first.
    :ivar peers: connections of each node.
    :ivar sizes: lengths of each node's tables, as last told.
    :ivar memory: resident memory of each node with its workers, in bytes, as last told.
    :ivar income: what each member earned, in micro-units.
    :ivar story: the last sentences.
    """

    def __init__(self, plan: Plan, folder: str, start_ms: int) -> None:
        self.plan = plan
        self.folder = folder
        self.start_ms = start_ms
        self.tick = 0
        self.slot = 0
        self.blocks_settled = 0
        self.trees: dict[str, Tree] = {}
        self.alive: frozenset[str] = frozenset()
        self.peers: dict[str, int] = {}
        self.sizes: dict[str, dict[str, int]] = {}
        self.memory: dict[str, int] = {}
        self.income = {one.name: 0 for one in plan.members}
        self.story: deque[str] = deque(maxlen=STORY_LINES)
        self._names = plan.names
        self._jobs_opened = 0
        self._take: dict[str, Callable[[str, dict[str, Any]], None]] = {
            "Stage": self._take_stage,
            "Statistics": self._take_statistics,
            "Final": self._take_final,
            "Moved": self._take_moved,
            "JobOpened": self._take_job_opened,
            "JobSettled": self._take_job_settled,
            "JobVoided": self._take_job_voided,
            "Assigned": self._take_assigned,
            "RightOpened": self._take_right_opened,
            "RightMissed": self._take_right_missed,
            "TakenOver": self._take_taken_over,
            "ProofRecorded": self._take_proof_recorded,
            "ProofStarted": self._take_proof_started,
            "ProofFinished": self._take_proof_finished,
            "ProofCancelled": self._take_proof_cancelled,
        }

    @property
    def epoch(self) -> int:
        """The epoch of the last final height."""
        return max(0, self.tick - 1) // self.plan.genesis.network.epoch_ticks

    @property
    def connected(self) -> int:
        """Living nodes that are connected to somebody."""
        return sum(1 for name in self.alive if self.peers.get(name, 0))

    @property
    def transfers_waiting(self) -> int | None:
        """Transfers that wait for a block, in the fullest pool; None while nobody told."""
        return self._largest("waiting_transfers")

    @property
    def operations_pending(self) -> int | None:
        """Operations that wait to be ordered, where most do; None while nobody told."""
        return self._largest("pending_operations")

    def take(self, node: str, record: dict[str, Any]) -> None:
        """Change as a record of a node says; most kinds change nothing."""
        take = self._take.get(record["kind"])
        if take is not None:
            take(node, record)

    def say(self, sentence: str) -> None:
        """Add a sentence to the story."""
        self.story.append(sentence)

    def note_alive(self, alive: frozenset[str]) -> None:
        """The processes that run now; what the others were at has ended."""
        for name in self.alive - alive:
            self._leave(name)
        self.alive = alive

    def shown(self, closed: int) -> list[Tree]:
        """Open jobs and the last ``closed`` ones before them, oldest first; one at least, if there
        ever was one.
        """
        is_open = [one for one in self.trees.values() if one.outcome is Outcome.OPEN]
        over = [one for one in self.trees.values() if one.outcome is not Outcome.OPEN]
        wanted = max(closed, 0 if is_open else 1)
        return [*over[len(over) - wanted :], *is_open] if wanted < len(over) else [*over, *is_open]

    def name(self, account: str) -> str:
        """The name of an account."""
        return self._names.get(account, account[:SHORT])

    # --- nodes ---

    def _take_stage(self, node: str, record: dict[str, Any]) -> None:
        if "process" in record:
            self._leave(node)
        if "peers" in record:
            self.peers[node] = len(record["peers"])

    def _take_statistics(self, node: str, record: dict[str, Any]) -> None:
        self.sizes[node] = {name: length for name, (length, _) in record["sizes"].items()}
        self.memory[node] = record["resident_bytes"] + record["worker_bytes"]

    def _leave(self, node: str) -> None:
        self.peers.pop(node, None)
        self.sizes.pop(node, None)
        self.memory.pop(node, None)
        for tree in self.trees.values():
            for place in tree.places.values():
                place.proving.pop(node, None)

    def _largest(self, table: str) -> int | None:
        lengths = [sizes[table] for sizes in self.sizes.values() if table in sizes]
        return max(lengths, default=None)

    # --- the log and its money ---

    def _take_final(self, _node: str, record: dict[str, Any]) -> None:
        self.tick, self.slot = record["tick"], record["slot"]

    def _take_moved(self, _node: str, record: dict[str, Any]) -> None:
        target = record["target"]
        if record["cause"] in EARNINGS and target["kind"] == "BALANCE":
            name = self.name(target["owner"])
            self.income[name] = self.income.get(name, 0) + record["amount"]

    # --- jobs ---

    def _take_job_opened(self, _node: str, record: dict[str, Any]) -> None:
        leaves = record["header"]["content"]["leaves"]
        self._jobs_opened += 1
        count = len(leaves)
        self.trees[record["job"]] = Tree(
            number=self._jobs_opened,
            leaves=count,
            fees=sum(leaf["fees"] for leaf in leaves),
            opened_ms=record["at_ms"],
            places={
                (level, position): TreeNode()
                for level in range(count.bit_length())
                for position in range(count >> level)
            },
        )
        closed = [job for job, one in self.trees.items() if one.outcome is not Outcome.OPEN]
        for job in closed[:-TREES_KEPT]:
            del self.trees[job]

    def _take_job_settled(self, _node: str, record: dict[str, Any]) -> None:
        self.blocks_settled += 1
        self._close(record, Outcome.SETTLED)

    def _take_job_voided(self, _node: str, record: dict[str, Any]) -> None:
        self._close(record, Outcome.VOID)

    def _close(self, record: dict[str, Any], outcome: Outcome) -> None:
        tree = self.trees.get(record["job"])
        if tree is not None:
            tree.outcome, tree.closed_ms = outcome, record["at_ms"]

    # --- tree nodes ---

    def _place(self, record: dict[str, Any]) -> TreeNode:
        """The tree node of a record; one that nobody sees when the job is not known here."""
        tree = self.trees.get(record["job"])
        level, position = record["index"]
        return TreeNode() if tree is None else tree.places.get((level, position), TreeNode())

    def _named(self, account: str | None) -> str | None:
        return None if account is None else self.name(account)

    def _take_assigned(self, _node: str, record: dict[str, Any]) -> None:
        place = self._place(record)
        place.owner = place.holder = self._named(record["prover"])

    def _take_right_opened(self, _node: str, record: dict[str, Any]) -> None:
        place = self._place(record)
        place.holder = self._named(record["holder"])
        place.admissible = record["admissible"]
        place.is_missed = False

    def _take_right_missed(self, _node: str, record: dict[str, Any]) -> None:
        self._place(record).is_missed = True

    def _take_taken_over(self, _node: str, record: dict[str, Any]) -> None:
        place = self._place(record)
        place.holder = self._named(record["heir"])
        place.is_taken, place.is_missed = True, False

    def _take_proof_recorded(self, _node: str, record: dict[str, Any]) -> None:
        place = self._place(record)
        place.recorded_by = self.name(record["prover"])
        place.is_missed = False

    def _take_proof_started(self, node: str, record: dict[str, Any]) -> None:
        self._place(record["key"]).proving[node] = record["at_ms"]

    def _take_proof_finished(self, node: str, record: dict[str, Any]) -> None:
        place = self._place(record["key"])
        place.proving.pop(node, None)
        if node not in place.proven_by:
            place.proven_by.append(node)

    def _take_proof_cancelled(self, node: str, record: dict[str, Any]) -> None:
        self._place(record["key"]).proving.pop(node, None)

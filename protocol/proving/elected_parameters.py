"""What a network chooses of the rule of elected provers; see ``protocol.proving.elected``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from protocol.types import FULL_SHARE, Amount, BasisPoints, Count, Stake, Tick, TreeIndex, Work


class UncleScope(Enum):
    """Whose proofs count although somebody else's was recorded."""

    ASSIGNED = "assigned"
    """Of the tree node's own provers only: fairness, no race."""
    OPEN = "open"
    """Of everybody who ever held a right to it: losers of a race are paid, and more is proven
    twice.
    """


class IncludedBy(Enum):
    """Who decides that a proof counts."""

    LOG = "log"
    """The log: a proof that is ordered in time is delivered."""
    MERGE_OWNER = "merge_owner"
    """The owner of the merge above: an ordered proof is an offer until it takes it."""


class FailedShare(Enum):
    """What becomes of pay that nobody earned."""

    BURN = "burn"
    """It is burned, so that nobody gains by a failure."""
    REFUND = "refund"
    """The sequencer gets it."""


@dataclass(frozen=True, slots=True)
class ElectedParameters:
    """Parameters of the rule. Windows and times are in ticks, works in compute units.

    :ivar stake_unit: prover stake that buys one card, in micro-units.
    :ivar intent_ticks_max: an intent reaches at most so far ahead.
    :ivar provers_per_node: provers that every tree node is assigned to; 1 in the thread.
    :ivar min_leaf_ticks: a leaf's record is not admissible sooner after its right opened. Mina's
        ``work_delay``.
    :ivar min_merge_ticks: the same for merges.
    :ivar leaf_window_ticks: time for a leaf, from finality of its right; covers every leaf that one
        prover may hold.
    :ivar merge_window_ticks: the same for merges.
    :ivar open_ticks: time that the open stage is given before the job may be voided.
    :ivar finality_ticks: usual lag of finality behind the log, for the estimate of ``latest``.
    :ivar inclusion: who decides that a proof counts.
    :ivar leaf_work: work of a leaf.
    :ivar merge_work: work of a merge.
    :ivar primary_bps: share of a tree node's pay for the one of its provers that was recorded; its
        other provers share the rest, if they proved it, too.
    :ivar takeover_bps: share of a failed tree node's pay for the heir that proved it; 0 in the
        thread.
    :ivar open_bps: share of a tree node's pay for whoever proved it in the open stage.
    :ivar failed_share: what becomes of pay that nobody earned.
    :ivar void_bps: share of a recorded tree node's pay that is due when its job falls and a bond
        is there to pay it. Below the whole, so that who lets its own block fall, with provers of
        its own, does not get all of its bond back.
    :ivar uncle_bps: share of a tree node's pay for a claim at once; falls to 0 within
        ``uncle_ticks``. Uncles of Ethereum got 8,750 at most.
    :ivar uncle_reserve_bps: part of the provers' share that is kept for claims.
    :ivar uncle_ticks: time for claims after settlement.
    :ivar uncle_scope: whose claims count.
    :ivar uncles_per_node_max: most claims of one tree node by others than its own provers.
    :ivar slash_bps: share of the prover stake that is burned for failing a job.
    :ivar grace_ticks: time to show the missing proofs, from the end of the job.
    :ivar governance_ticks: time for a vote of the log stake on the slash after that; 0: no vote.
    """

    stake_unit: Stake = Stake(1_000_000)
    intent_ticks_max: Tick = Tick(1_024)
    provers_per_node: Count = Count(1)
    min_leaf_ticks: Tick = Tick(2)
    min_merge_ticks: Tick = Tick(1)
    leaf_window_ticks: Tick = Tick(12)
    merge_window_ticks: Tick = Tick(12)
    open_ticks: Tick = Tick(40)
    finality_ticks: Tick = Tick(4)
    inclusion: IncludedBy = IncludedBy.LOG
    leaf_work: Work = Work(33)
    merge_work: Work = Work(33)
    primary_bps: BasisPoints = FULL_SHARE
    takeover_bps: BasisPoints = BasisPoints(0)
    open_bps: BasisPoints = BasisPoints(5_000)
    failed_share: FailedShare = FailedShare.BURN
    void_bps: BasisPoints = BasisPoints(5_000)
    uncle_bps: BasisPoints = BasisPoints(0)
    uncle_reserve_bps: BasisPoints = BasisPoints(0)
    uncle_ticks: Tick = Tick(0)
    uncle_scope: UncleScope = UncleScope.ASSIGNED
    uncles_per_node_max: Count = Count(2)
    slash_bps: BasisPoints = BasisPoints(0)
    grace_ticks: Tick = Tick(0)
    governance_ticks: Tick = Tick(0)

    def objections(self) -> tuple[str, ...]:
        """Sentences that say why nobody could deliver, or be paid, under these parameters."""
        longest = max(self.min_leaf_ticks, self.min_merge_ticks)
        rules = {
            "a minimal time exceeds its window": self.min_leaf_ticks > self.leaf_window_ticks
            or self.min_merge_ticks > self.merge_window_ticks
            or longest > self.open_ticks,
            "a card or a leaf is worth nothing": not (self.stake_unit and self.leaf_work),
            "a tree node has no prover": not self.provers_per_node,
            "no intent can be given": not self.intent_ticks_max,
            "uncles are to be paid, and there is no time to claim": not self.uncle_ticks
            and bool(self.uncle_bps or self.uncle_reserve_bps),
            "claims have no reserve, or a reserve has no claims": bool(self.uncle_bps)
            != bool(self.uncle_reserve_bps),
            "there is time to be heard, and nothing to be heard about": not self.slash_bps
            and bool(self.grace_ticks or self.governance_ticks),
        }
        return tuple(sentence for sentence, is_broken in rules.items() if is_broken)

    @property
    def takes_claims(self) -> bool:
        """Whether anything follows from a proof that was not recorded."""
        return bool(self.uncle_bps or self.slash_bps or self.primary_bps < FULL_SHARE)

    def work(self, index: TreeIndex) -> Work:
        """Compute units of the tree node."""
        return self.merge_work if index.level else self.leaf_work

    def worth(self, leaf_count: int, index: TreeIndex, share: Amount) -> Amount:
        """The tree node's part of ``share``, by work."""
        whole = self.leaf_work * leaf_count + self.merge_work * (leaf_count - 1)
        return Amount(share * self.work(index) // whole)


def part(amount: Amount, share: BasisPoints) -> Amount:
    """A share of an amount, rounded down."""
    return Amount(amount * share // FULL_SHARE)

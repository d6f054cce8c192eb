"""What a network chooses of the rule of elected provers; see ``protocol.proving.elected``."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.types import BasisPoints, Stake, Tick, Work


@dataclass(frozen=True, slots=True)
class ElectedParameters:
    """Parameters of the rule. Windows and times are in ticks, works in compute units.

    :ivar stake_unit: prover stake that buys one card, in micro-units.
    :ivar min_leaf_ticks: a leaf's record is not admissible sooner after its right opened. Mina's
        ``work_delay``.
    :ivar min_merge_ticks: the same for merges.
    :ivar leaf_window_ticks: time for a leaf, from finality of its right; covers every leaf that one
        prover may hold.
    :ivar merge_window_ticks: the same for merges.
    :ivar open_ticks: time that the open stage is given before the job may be voided.
    :ivar finality_ticks: usual lag of finality behind the log, for the estimate of ``latest``.
    :ivar leaf_work: work of a leaf.
    :ivar merge_work: work of a merge.
    :ivar takeover_bps: share of a failed tree node's pay for the heir that proved it; 0 in the
        thread.
    :ivar open_bps: share of a tree node's pay for whoever proved it in the open stage.
    """

    stake_unit: Stake = Stake(1_000_000)
    min_leaf_ticks: Tick = Tick(2)
    min_merge_ticks: Tick = Tick(1)
    leaf_window_ticks: Tick = Tick(12)
    merge_window_ticks: Tick = Tick(12)
    open_ticks: Tick = Tick(40)
    finality_ticks: Tick = Tick(4)
    leaf_work: Work = Work(33)
    merge_work: Work = Work(33)
    takeover_bps: BasisPoints = BasisPoints(0)
    open_bps: BasisPoints = BasisPoints(5_000)

"""What a network chooses of Fernet, and how its scores are drawn; see
``protocol.sequencing.fernet``.

The three published versions are presets: :data:`F0`, :data:`F1`, :data:`F2`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from protocol.signing import digest
from protocol.types import (
    FULL_SHARE,
    Account,
    Amount,
    BasisPoints,
    Beacon,
    Count,
    Round,
    Stake,
    Tick,
)


class ScoreKind(Enum):
    """Where a sequencer's draw comes from."""

    PRIVATE = "private"
    """Its VRF output: nobody else knows the draw before the commitment shows it."""
    PUBLIC = "public"
    """A hash of its account: everybody knows the draw in advance, and needs no VRF."""


@dataclass(frozen=True, slots=True)
class FernetParameters:
    """Parameters of Fernet. Defaults are F1.

    :ivar proposal_ticks: length of the proposal window. Aztec estimated 3 to 5 base blocks.
    :ivar prover_commit_ticks: length of the window in which a leader must have a prover committed,
        between election and reveal; 0: there is none. The yellow paper has 5 base blocks.
    :ivar reveal_ticks: length of the reveal window; must cover finality of the election and
        ordering of the reveal.
    :ivar deadline_ticks: least time to prove a job, from its opening. The thread mentions 10
        minutes.
    :ivar backup_ticks: for so long anybody may bring a whole proven block where a round came to
        nothing; 0: nobody may. The yellow paper has a backup mode without figures.
    :ivar candidates_max: so many of the best commitments of a round may be revealed and proven; the
        best one that is proven counts. 1 since F1, any number in F0.
    :ivar max_unproven_jobs: no round opens while jobs of so many rounds are open: unlimited
        build-ahead collapses under load. F2 has 1.
    :ivar leaf_count_max: most leaves of one block.
    :ivar score: where the draws come from.
    :ivar sequencer_stake_min: stake an account needs to be a sequencer, in micro-units; what it
        pledged for open blocks counts.
    :ivar reveal_penalty_bps: share of the leader's free sequencer stake that is burned when it does
        not reveal. The forum's first post leaves a slash open; never fixed there.
    :ivar block_bond: pledged from the sequencer's stake for each block until it is settled, in
        micro-units. Never fixed in public.
    :ivar orphan_bps: share of a lost bond, after provers were paid, for the sequencers whose blocks
        fell with it; the rest is burned.
    """

    proposal_ticks: Tick = Tick(2)
    prover_commit_ticks: Tick = Tick(0)
    reveal_ticks: Tick = Tick(7)
    deadline_ticks: Tick = Tick(400)
    backup_ticks: Tick = Tick(0)
    candidates_max: Count = Count(1)
    max_unproven_jobs: Count = Count(2)
    leaf_count_max: Count = Count(64)
    score: ScoreKind = ScoreKind.PRIVATE
    sequencer_stake_min: Stake = Stake(1)
    reveal_penalty_bps: BasisPoints = BasisPoints(0)
    block_bond: Amount = Amount(0)
    orphan_bps: BasisPoints = BasisPoints(0)


F0: Final = FernetParameters(candidates_max=Count(4))
"""June 2023: several blocks of a round are proven, the best of those that are proven counts."""

F1: Final = FernetParameters()
"""August 2023: one leader reveals, others build ahead of its proof."""

F2: Final = FernetParameters(
    prover_commit_ticks=Tick(5),
    backup_ticks=Tick(60),
    max_unproven_jobs=Count(1),
    score=ScoreKind.PUBLIC,
)
"""2024: known draws, a prover committed before the reveal, no build-ahead, backup by anybody."""


def score(draw: bytes, fee_split: BasisPoints) -> int:
    """``draw * (10000 + fee_split)``, the draw read as a number: greater is better."""
    return int.from_bytes(draw, "big") * (FULL_SHARE + fee_split)


def lot(epoch_seed: Beacon, round: Round) -> bytes:
    """The VRF input of a sequencer for a round."""
    return digest(b"provnet/fernet-lot/1", epoch_seed, round.to_bytes(8, "big"))


def public_draw(epoch_seed: Beacon, round: Round, account: Account) -> bytes:
    """The account's draw for a round where draws are public."""
    number = round.to_bytes(8, "big")
    return digest(b"provnet/fernet-public-score/1", epoch_seed, number, account)

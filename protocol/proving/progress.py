"""State of one open job under the rule of elected provers: rights, records, who failed."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.rules import Job
from protocol.types import Account, Claim, Tick, TreeIndex


@dataclass(frozen=True, slots=True)
class Right:
    """Permission to have a proof of one tree node recorded.

    :ivar holder: who has it; None is anybody with prover stake.
    :ivar opens: when it opened; None while inputs are missing.
    :ivar closes: last tick of its window; None before the window started, and for anybody.
    """

    holder: Account | None
    opens: Tick | None = None
    closes: Tick | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A proof that is, or may become, the tree node's."""

    prover: Account
    claim: Claim
    tick: Tick
    is_open_stage: bool


@dataclass(slots=True)
class Place:
    """One tree node of a job: its prover and their heirs, the rights to it so far (the last is the
    present one), its record.
    """

    assigned: Account | None
    heirs: tuple[Account, ...]
    rights: list[Right]
    record: Recorded | None = None
    contenders: list[Recorded] = field(default_factory=list)

    @property
    def right(self) -> Right:
        """The present right; older ones stay good."""
        return self.rights[-1]

    @property
    def is_exclusive(self) -> bool:
        """Whether only one account may deliver, so that its record needs no contest."""
        return len(self.rights) == 1 and self.right.holder is not None


@dataclass(slots=True)
class Progress:
    """What the rule knows of one open job."""

    job: Job
    places: dict[TreeIndex, Place]
    failed: list[Account] = field(default_factory=list)

    @property
    def leaf_count(self) -> int:
        """Number of leaves of the job's tree."""
        return self.job.header.leaf_count

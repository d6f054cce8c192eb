"""State of one job under the rule of elected provers: rights, records, claims, who failed."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.errors import Reason, Refused
from protocol.rules import Job, Stage
from protocol.types import FULL_SHARE, Account, Amount, Claim, Tick, TreeIndex


@dataclass(frozen=True, slots=True)
class Right:
    """Permission to have a proof of one tree node recorded.

    :ivar holders: who has it, all at once; nobody in particular is anybody with prover stake.
    :ivar opens: when it opened; None while inputs are missing.
    :ivar closes: last tick of its window; None before the window started, and for anybody.
    """

    holders: tuple[Account, ...]
    opens: Tick | None = None
    closes: Tick | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A proof that is, or may become, the tree node's; or one that is claimed beside it.

    :ivar tick: when it was ordered.
    """

    prover: Account
    claim: Claim
    tick: Tick


@dataclass(slots=True)
class Place:
    """One tree node of a job.

    :ivar assigned: its own provers.
    :ivar heirs: who may take over, nearest first.
    :ivar rights: the rights to it so far; the last is the present one, older ones stay good.
    :ivar contenders: records that wait to be drawn from, or to be included.
    :ivar claims: proofs of others that were shown beside the recorded one.
    """

    assigned: tuple[Account, ...]
    heirs: tuple[Account, ...]
    rights: list[Right]
    record: Recorded | None = None
    contenders: list[Recorded] = field(default_factory=list)
    claims: list[Recorded] = field(default_factory=list)

    @property
    def right(self) -> Right:
        """The present right."""
        return self.rights[-1]

    @property
    def is_exclusive(self) -> bool:
        """Whether only one account may deliver, so that its record needs no contest."""
        return len(self.rights) == 1 and len(self.right.holders) == 1

    @property
    def is_open_to_all(self) -> bool:
        """Whether anybody with prover stake may deliver."""
        return not self.right.holders

    def has_held(self, account: Account) -> bool:
        """Whether the account has, or had, a right of its own."""
        return any(account in right.holders for right in self.rights)

    def is_held_by(self, account: Account) -> bool:
        """Whether the account may deliver: rights only widen."""
        return self.is_open_to_all or self.has_held(account)

    def stage_of(self, account: Account) -> Stage:
        """On what ground the account may deliver."""
        if account in self.assigned:
            return Stage.OWN
        return Stage.TAKEOVER if self.has_held(account) else Stage.OPEN

    def open_since(self, account: Account) -> Tick | None:
        """When the oldest right opened that the account may use; None while there is none."""
        opens = [
            right.opens
            for right in self.rights
            if (account in right.holders or not right.holders) and right.opens is not None
        ]
        return min(opens, default=None)

    def is_shown_by(self, account: Account) -> bool:
        """Whether a proof of the account is recorded or claimed."""
        shown = [*self.claims, *([] if self.record is None else [self.record])]
        return any(one.prover == account for one in shown)


@dataclass(slots=True)
class Failure:
    """A prover failed a job.

    :ivar missed: its own tree nodes whose windows passed.
    :ivar penalty: what it may be slashed by, in micro-units.
    """

    missed: list[TreeIndex]
    penalty: Amount


@dataclass(slots=True)
class Progress:
    """What the rule knows of one job.

    :ivar failures: who failed the job, in the order of failing.
    :ivar share: what was paid out for all tree nodes together, once the job is settled.
    """

    job: Job
    places: dict[TreeIndex, Place]
    failures: dict[Account, Failure] = field(default_factory=dict)
    share: Amount = Amount(0)

    @property
    def leaf_count(self) -> int:
        """Number of leaves of the job's tree."""
        return self.job.header.leaf_count

    @property
    def promised(self) -> Amount:
        """What the block promises to provers of its fees."""
        header = self.job.header
        return Amount(header.fees * header.fee_split // FULL_SHARE)

    def place(self, index: TreeIndex) -> Place:
        """The tree node. Raises Refused: NO_SUCH_TREE_NODE."""
        place = self.places.get(index)
        if place is None:
            raise Refused(Reason.NO_SUCH_TREE_NODE, str(index))
        return place

    def recorded_claim(self, index: TreeIndex) -> Claim | None:
        """The claim that is recorded for a tree node, if one is."""
        record = self.places[index].record
        return None if record is None else record.claim

    def missing(self) -> list[tuple[TreeIndex, Place]]:
        """The tree nodes that are not recorded."""
        return [(index, place) for index, place in self.places.items() if place.record is None]

    def lacks(self, account: Account) -> tuple[TreeIndex, ...]:
        """What the account missed and did not show later."""
        failure = self.failures.get(account)
        missed = () if failure is None else tuple(failure.missed)
        return tuple(index for index in missed if not self.places[index].is_shown_by(account))

    def delivered_beside(self, index: TreeIndex, until: Tick) -> tuple[Account, ...]:
        """Own provers of a tree node that proved it beside the recorded one, by ``until``, and
        did not fail the job.
        """
        place = self.places[index]
        return tuple(
            one.prover
            for one in place.claims
            if one.prover in place.assigned
            and one.prover not in self.failures
            and one.tick <= until
        )

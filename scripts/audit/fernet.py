"""Fernet, read a second time: rounds, leaders and jobs from the ordered operations.

Written from the numbered sentences of ``protocol.sequencing.fernet``; it calls nothing of that
module but its table of parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol import vrf
from protocol.codec import encode
from protocol.messages import (
    NO_JOB,
    BlockCommitment,
    BlockContent,
    BlockReveal,
    JobHeader,
    commitment_digest,
    job_id,
)
from protocol.params import Genesis, network_id, parse_settings
from protocol.rules import Moment
from protocol.sequencing.fernet import FernetParameters
from protocol.signing import digest
from protocol.types import Account, Beacon, JobId, Root
from scripts.audit.elected import Pool

_WHOLE = 10_000


@dataclass(frozen=True, slots=True)
class _Bid:
    """An accepted commitment."""

    score: int
    sender: Account
    payload: BlockCommitment


@dataclass(slots=True)
class _Round:
    """The running round; ``leader`` is None while it takes commitments."""

    seed: Beacon
    closes: int
    bids: list[_Bid]
    leader: _Bid | None = None
    ends: int = 0
    pool: Pool = ()
    content: BlockContent | None = None


class FernetReading:
    """Rounds and the chain of open jobs.

    :ivar chain: open jobs, oldest first.
    :ivar settled: the last settled job and the root after it.
    """

    def __init__(self, genesis: Genesis, root: Root) -> None:
        self._parameters = parse_settings(FernetParameters, genesis.sequencing)
        self._network = network_id(genesis)
        self._keys = {one.account: one.vrf_key for one in genesis.accounts}
        self._stakes = {one.account: one.sequencer_stake for one in genesis.accounts}
        self._number = 0
        self._round: _Round | None = None
        self.chain: dict[JobId, JobHeader] = {}
        self.settled: tuple[JobId, Root] = (NO_JOB, root)

    # --- the passing of time ---

    def elect(self, moment: Moment, pool: Pool) -> None:
        """The greatest score leads once proposals are closed; the pool freezes."""
        round_ = self._round
        if round_ is None or round_.leader is not None or moment.tick < round_.closes:
            return
        round_.leader = max(round_.bids, key=lambda bid: (bid.score, bid.sender))
        round_.ends = moment.tick + self._parameters.reveal_ticks
        round_.pool = pool

    def is_overdue(self, opened: int, latest: int, now: int) -> bool:
        """Whether a job that is not proven missed its deadline, which waits for provers."""
        return now > max(opened + self._parameters.deadline_ticks, latest)

    def open(self, moment: Moment) -> tuple[JobHeader, Pool] | None:
        """At the fixed end of the reveal window: the job that opens, or nothing."""
        round_ = self._round
        if round_ is None or round_.leader is None or moment.tick < round_.ends:
            return None
        number, self._round, self._number = self._number, None, self._number + 1
        if round_.content is None or round_.content.parent != self._head()[0]:
            return None
        pool = digest(b"provnet/pool/1", *(encode(member) for member in round_.pool))
        leader = round_.leader
        header = JobHeader(
            network=self._network,
            round=leader.payload.round,
            sequencer=leader.sender,
            content=round_.content,
            fee_split=leader.payload.fee_split,
            seed=moment.beacon,
            pool=pool,
        )
        assert leader.payload.round == number, "a round takes its own commitments only"
        self.chain[job_id(header)] = header
        return header, round_.pool

    def close(self, job: JobId, *, is_paid: bool) -> None:
        """The job was settled or voided."""
        header = self.chain.pop(job)
        if is_paid:
            self.settled = job, header.to_root

    # --- operations ---

    def take_commitment(
        self, moment: Moment, sender: Account, payload: BlockCommitment, epoch_seed: Beacon
    ) -> bool:
        """Whether a commitment takes effect; then it did."""
        round_ = self._round
        if payload.round != self._number or not self._takes_commitments():
            return False
        if self._stakes.get(sender, 0) < max(1, self._parameters.sequencer_stake_min):
            return False
        seed = epoch_seed if round_ is None else round_.seed
        if round_ is not None and sender in [bid.sender for bid in round_.bids]:
            return False
        number = payload.round.to_bytes(8, "big")
        lot = digest(b"provnet/fernet-lot/1", seed, number)
        output = vrf.verify(self._keys[sender], lot, payload.vrf_proof)
        if output is None:
            return False
        if round_ is None:
            round_ = _Round(seed, moment.tick + self._parameters.proposal_ticks, [])
            self._round = round_
        score = int.from_bytes(output, "big") * (_WHOLE + payload.fee_split)
        round_.bids.append(_Bid(score, sender, payload))
        return True

    def take_reveal(
        self, moment: Moment, sender: Account, payload: BlockReveal, vault: int
    ) -> bool:
        """Whether a reveal takes effect; then it did."""
        round_, content = self._round, payload.content
        if round_ is None or round_.leader is None or payload.round != self._number:
            return False
        leaves = len(content.leaves)
        is_tree = leaves in [1 << level for level in range(9)]
        pledged = sum(one.fees for header in self.chain.values() for one in header.content.leaves)
        asked = sum(one.fees for one in content.leaves)
        takes_effect = (
            moment.tick < round_.ends
            and sender == round_.leader.sender
            and round_.content is None
            and commitment_digest(content, payload.salt) == round_.leader.payload.content
            and is_tree
            and leaves <= self._parameters.leaf_count_max
            and (content.parent, content.from_root) == self._head()
            and pledged + asked <= vault
        )
        if takes_effect:
            round_.content = content
        return takes_effect

    def _takes_commitments(self) -> bool:
        if self._round is None:
            return len(self.chain) < self._parameters.max_unproven_jobs
        return self._round.leader is None

    def _head(self) -> tuple[JobId, Root]:
        if not self.chain:
            return self.settled
        job, header = list(self.chain.items())[-1]
        return job, header.to_root

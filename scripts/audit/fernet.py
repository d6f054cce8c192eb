"""Fernet, read a second time: rounds, leaders, bonds and jobs from the ordered operations.

Written from the numbered sentences of ``protocol.sequencing.fernet``; it calls nothing of that
module but its table of parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from protocol import vrf
from protocol.codec import encode
from protocol.messages import (
    NO_JOB,
    BackupBlock,
    BlockCommitment,
    BlockContent,
    BlockReveal,
    JobHeader,
    commitment_digest,
    job_id,
)
from protocol.params import Genesis, network_id, parse_settings
from protocol.rules import Moment
from protocol.sequencing.fernet_parameters import FernetParameters
from protocol.signing import digest
from protocol.types import Account, BasisPoints, Beacon, Digest, JobId, Root, Round, VrfKey
from scripts.audit.settled import Payment
from scripts.audit.sides import Block, Pool
from scripts.audit.stakes import Stakes

HasProver: TypeAlias = Callable[[int, Account], bool]
"""Whether the block of a sequencer in a round has somebody to prove it."""

_WHOLE = 10_000
_ZEROS = bytes(80)


@dataclass(frozen=True, slots=True)
class _Bid:
    """An accepted commitment."""

    score: int
    sender: Account
    payload: BlockCommitment


@dataclass(slots=True)
class _Round:
    """The running round; nobody is elected while it takes commitments."""

    seed: Beacon
    closes: int
    bids: list[_Bid]
    elected: list[_Bid] = field(default_factory=list)
    begins: int = 0
    ends: int = 0
    pool: Pool = ()
    contents: dict[Account, BlockContent] = field(default_factory=dict)


class FernetReading:
    """Rounds and the open jobs.

    :ivar chain: open jobs, older rounds first, better ones of a round first.
    :ivar settled: the last settled job and the root after it.
    """

    def __init__(self, genesis: Genesis, root: Root) -> None:
        self._parameters = parse_settings(FernetParameters, genesis.sequencing)
        self._network = network_id(genesis)
        self._keys = {one.account: one.vrf_key for one in genesis.accounts}
        self._free = Stakes((one.account, int(one.sequencer_stake)) for one in genesis.accounts)
        self._young: dict[Account, tuple[VrfKey, int]] = {}
        self._bonds: dict[JobId, int] = {}
        self._number = 0
        self._round: _Round | None = None
        self._base = NO_JOB
        self._backup_until: int | None = None
        self.chain: dict[JobId, JobHeader] = {}
        self.settled: tuple[JobId, Root] = (NO_JOB, root)

    @property
    def stakes(self) -> Stakes:
        """Stakes of sequencers, without what is pledged for blocks."""
        return self._free

    def register(self, account: Account, key: VrfKey, counts_after: int) -> bool:
        """A key that is drawn with after a tick; whether the account has no other one."""
        known = self._keys.get(account) or self._young.setdefault(account, (key, counts_after))[0]
        return known == key

    def awaited(self) -> list[Block]:
        """Blocks of the elected, until their jobs open."""
        elected = [] if self._round is None else self._round.elected
        return [(self._number, bid.sender) for bid in elected]

    # --- the passing of time ---

    def pass_time(
        self, moment: Moment, pool: Pool, has_prover: HasProver, *, has_missed: bool
    ) -> None:
        """What is due before the operations of a block, after overdue jobs were closed.

        :param has_missed: whether any job missed its deadline now.
        """
        for account, (key, counts_after) in tuple(self._young.items()):
            if moment.tick > counts_after:
                self._keys[account] = key
                del self._young[account]
        if self._head()[0] != self._base:
            self._skip()
        if has_missed:
            self._await_backup(moment.tick)
        if self._backup_until is not None and moment.tick > self._backup_until:
            self._backup_until = None
        round_ = self._round
        if round_ is None or moment.tick < round_.closes:
            return
        if not round_.elected:
            self._elect(round_, moment, pool)
        elif moment.tick == round_.begins:
            round_.elected = [bid for bid in round_.elected if has_prover(self._number, bid.sender)]
            if not round_.elected:
                self._skip()
                self._await_backup(moment.tick)

    def _elect(self, round_: _Round, moment: Moment, pool: Pool) -> None:
        """The greatest scores once proposals are closed; the pool freezes."""
        ranked = sorted(round_.bids, key=lambda bid: (bid.score, bid.sender), reverse=True)
        round_.elected = ranked[: self._parameters.candidates_max]
        round_.begins = moment.tick + self._parameters.prover_commit_ticks
        round_.ends = round_.begins + self._parameters.reveal_ticks
        round_.pool = pool

    def is_overdue(self, opened: int, latest: int, now: int) -> bool:
        """Whether a job that is not proven missed its deadline, which waits for provers."""
        return now > max(opened + self._parameters.deadline_ticks, latest)

    def open(self, moment: Moment, has_prover: HasProver) -> list[tuple[JobHeader, Pool]]:
        """At the fixed end of the reveal window: the jobs that open, best first."""
        round_ = self._round
        if round_ is None or not round_.elected or moment.tick < round_.ends:
            return []
        revealed = [bid for bid in round_.elected if bid.sender in round_.contents]
        standing = [bid for bid in revealed if has_prover(self._number, bid.sender)]
        if not revealed:
            leader = round_.elected[0].sender
            whole = self._free.at_risk(leader)
            self._free.lose(leader, whole * self._parameters.reveal_penalty_bps // _WHOLE)
        opened = [(self._header(round_, bid, moment.beacon), round_.pool) for bid in standing]
        self._skip()
        for header, _ in opened:
            self._pledge(header)
        if revealed and not standing:
            self._await_backup(moment.tick)
        self._base = self._head()[0]
        return opened

    def _header(self, round_: _Round, bid: _Bid, seed: Beacon) -> JobHeader:
        return JobHeader(
            network=self._network,
            round=bid.payload.round,
            sequencer=bid.sender,
            content=round_.contents[bid.sender],
            fee_split=bid.payload.fee_split,
            seed=seed,
            pool=_pool_digest(round_.pool),
        )

    def _pledge(self, header: JobHeader) -> None:
        job, bond = job_id(header), int(self._parameters.block_bond)
        self.chain[job] = header
        stays = min(bond, self._free[header.sequencer])
        late = min(bond - stays, self._free.leaving.get(header.sequencer, 0))
        self._bonds[job] = stays + late
        self._free[header.sequencer] -= stays
        if late:
            self._free.leaving[header.sequencer] -= late

    def _skip(self) -> None:
        """The round is over; the next one builds on what is the head now."""
        self._round, self._number, self._base = None, self._number + 1, self._head()[0]

    def _await_backup(self, tick: int) -> None:
        if self._parameters.backup_ticks and not self.chain:
            self._backup_until = tick + self._parameters.backup_ticks

    # --- what becomes of jobs ---

    def line(self, job: JobId) -> list[JobId]:
        """The job and all that is built on it, oldest first."""
        found = [job]
        found += [
            one for one, header in self.chain.items() if one != job and self._stands_on(header, job)
        ]
        return found

    def _stands_on(self, header: JobHeader, job: JobId) -> bool:
        while header.content.parent in self.chain:
            if header.content.parent == job:
                return True
            header = self.chain[header.content.parent]
        return False

    def better(self, job: JobId) -> list[JobId]:
        """Rivals with a better score."""
        rivals = [one for one, header in self.chain.items() if header.round == self._round_of(job)]
        return rivals[: rivals.index(job)]

    def _round_of(self, job: JobId) -> int:
        return self.chain[job].round

    def rivals(self, winner: JobHeader) -> list[JobId]:
        """Open jobs with the same parent as one that was settled."""
        parent = winner.content.parent
        return [one for one, header in self.chain.items() if header.content.parent == parent]

    def bond(self, job: JobId) -> int:
        """What is pledged for a job."""
        return self._bonds[job]

    def forfeit(self, job: JobId, paid: int) -> list[Payment]:
        """What becomes of a lost bond of which provers got ``paid``."""
        mine, left = self.chain[job].sequencer, self._bonds[job] - paid
        fallen = [self.chain[one].sequencer for one in self.line(job)[1:]]
        orphans = [one for one in fallen if one != mine]
        pot, self._bonds[job] = left * self._parameters.orphan_bps // _WHOLE, 0
        return [Payment(one, "ORPHAN_PAY", pot // len(orphans)) for one in orphans]

    def close(self, job: JobId, *, is_paid: bool) -> None:
        """The job was settled or voided; its bond returns, unless it was lost."""
        header = self.chain.pop(job)
        self._free[header.sequencer] += self._bonds.pop(job)
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
        if not self._has_stake(sender):
            return False
        seed = epoch_seed if round_ is None else round_.seed
        if round_ is not None and sender in [bid.sender for bid in round_.bids]:
            return False
        draw = self._draw(sender, payload, seed)
        if draw is None:
            return False
        if round_ is None:
            round_ = _Round(seed, moment.tick + self._parameters.proposal_ticks, [])
            self._round = round_
        score = int.from_bytes(draw, "big") * (_WHOLE + payload.fee_split)
        round_.bids.append(_Bid(score, sender, payload))
        return True

    def _has_stake(self, sender: Account) -> bool:
        free, bond = self._free.get(sender, 0), self._parameters.block_bond
        mine = [job for job, header in self.chain.items() if header.sequencer == sender]
        pledged = sum(self._bonds[job] for job in mine)
        return free >= bond and free + pledged >= max(1, self._parameters.sequencer_stake_min)

    def _draw(self, sender: Account, payload: BlockCommitment, seed: Beacon) -> bytes | None:
        if sender not in self._keys:
            return None
        number = payload.round.to_bytes(8, "big")
        if self._parameters.score.value == "public":
            known = digest(b"provnet/fernet-public-score/1", seed, number, sender)
            return known if payload.vrf_proof == _ZEROS else None
        lot = digest(b"provnet/fernet-lot/1", seed, number)
        return vrf.verify(self._keys[sender], lot, payload.vrf_proof)

    def take_reveal(
        self, moment: Moment, sender: Account, payload: BlockReveal, vault: int
    ) -> bool:
        """Whether a reveal takes effect; then it did."""
        round_, content = self._round, payload.content
        if round_ is None or payload.round != self._number:
            return False
        mine = [bid for bid in round_.elected if bid.sender == sender]
        takes_effect = (
            bool(mine)
            and round_.begins <= moment.tick < round_.ends
            and sender not in round_.contents
            and commitment_digest(content, payload.salt) == mine[0].payload.content
            and self._can_stand(content, vault)
        )
        if takes_effect:
            round_.contents[sender] = content
        return takes_effect

    def take_backup(self, sender: Account, payload: BackupBlock, vault: int) -> JobHeader | None:
        """The job of a backup, if it takes effect; then it is settled."""
        if self._backup_until is None or payload.round != self._number:
            return None
        if not self._can_stand(payload.content, vault):
            return None
        header = JobHeader(
            network=self._network,
            round=Round(self._number),
            sequencer=sender,
            content=payload.content,
            fee_split=BasisPoints(_WHOLE),
            seed=Beacon(bytes(32)),
            pool=_pool_digest(()),
        )
        self._backup_until = None
        self.settled = job_id(header), header.to_root
        self._skip()
        return header

    def _can_stand(self, content: BlockContent, vault: int) -> bool:
        """Whether a block is a tree, builds on the head, and its fees are there."""
        leaves, asked, parent = len(content.leaves), _fees(content), content.parent
        while parent in self.chain:
            before = self.chain[parent].content
            asked, parent = asked + _fees(before), before.parent
        return (
            leaves in [1 << level for level in range(9)]
            and leaves <= self._parameters.leaf_count_max
            and (content.parent, content.from_root) == self._head()
            and asked <= vault
        )

    def _takes_commitments(self) -> bool:
        if self._backup_until is not None:
            return False
        if self._round is None:
            rounds = {header.round for header in self.chain.values()}
            return len(rounds) < self._parameters.max_unproven_jobs
        return not self._round.elected

    def _head(self) -> tuple[JobId, Root]:
        """The best job of the newest round."""
        if not self.chain:
            return self.settled
        newest = max(header.round for header in self.chain.values())
        rows = [(job, header) for job, header in self.chain.items() if header.round == newest]
        job, header = rows[0]
        return job, header.to_root


def _fees(content: BlockContent) -> int:
    return sum(leaf.fees for leaf in content.leaves)


def _pool_digest(pool: Pool) -> Digest:
    return Digest(digest(b"provnet/pool/1", *(encode(member) for member in pool)))

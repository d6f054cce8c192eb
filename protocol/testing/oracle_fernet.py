"""Judge of Fernet: re-runs every round from the log alone.

Written from the numbered sentences of ``protocol.sequencing.fernet``; it calls nothing of that
module. Under bonded provers a sequencer has a prover once it awarded its block; under every other
rule everybody has one.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Final

from protocol import vrf
from protocol.codec import encode
from protocol.events import (
    Awarded,
    BackupOpened,
    BackupTaken,
    Event,
    JobOpened,
    JobProven,
    JobSettled,
    JobVoided,
    KeyRegistered,
    LeaderElected,
    RoundOpened,
    RoundSkipped,
    RunnerUpElected,
    Skip,
)
from protocol.ledger import Cause, Moved, Pocket, PocketKind
from protocol.machine import Machine
from protocol.messages import (
    NO_JOB,
    BackupBlock,
    BlockCommitment,
    BlockContent,
    BlockReveal,
    JobHeader,
    Operation,
)
from protocol.params import network_id
from protocol.proving.bonded import Bonded
from protocol.testing.board import is_backup
from protocol.testing.oracles import Oracle, Page, found, framed_hash, must
from protocol.testing.scenario import Scenario
from protocol.types import (
    Account,
    JobId,
    Tick,
    VrfKey,
    VrfOutput,
    VrfProof,
)


@cache
def _output(key: VrfKey, lot: bytes, proof: VrfProof) -> VrfOutput | None:
    return vrf.verify(key, lot, proof)


def _named(label: bytes, seed: bytes, payload: BlockCommitment, *rest: bytes) -> bytes:
    return framed_hash(label, seed, payload.round.to_bytes(8, "big"), *rest)


class FernetRounds(Oracle):
    """The best scores are elected, only they reveal, jobs' seeds are beacons at fixed ends."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.parameters = scenario.sequencing_parameters
        self.has_awards = issubclass(scenario.proving, Bonded)
        self.keys = {one.account: one.vrf_key for one in scenario.genesis().accounts}
        self.young: dict[Account, KeyRegistered] = {}
        self.beacons = [framed_hash(b"provnet/beacon-genesis/1", network_id(scenario.genesis()))]
        self.opened: dict[JobId, tuple[Tick, JobHeader]] = {}
        self.live: list[JobId] = []
        self.proven: list[JobId] = []
        self.settled = NO_JOB
        self.round = 0
        self.base = NO_JOB
        self.backup: Tick | None = None
        self._begin()

    def _begin(self) -> None:
        """Nothing is known of the next round."""
        self.closes: Tick | None = None
        self.seed = b""
        self.commitments: dict[Account, tuple[int, BlockCommitment]] = {}
        self.elected: list[Account] = []
        self.told: list[Account] = []
        self.promised: list[Account] = []
        self.ends: Tick | None = None
        self.contents: dict[Account, BlockContent] = {}

    @property
    def head(self) -> JobId:
        """The first job of the newest round."""
        if not self.live:
            return self.settled
        newest = self.opened[self.live[-1]][1].round
        return next(one for one in self.live if self.opened[one][1].round == newest)

    def judge(self, page: Page, machine: Machine) -> None:
        """Remember the beacon first: a job's seed is its own block's."""
        self.beacons.append(page.block.moment.beacon)
        for one in tuple(self.young.values()):
            if page.tick > one.counts_from * self.scenario.epoch_ticks:
                self.keys[one.account] = self.young.pop(one.account).vrf_key
        self.head_before, self.has_skipped = self.head, False
        self.has_missed = self.is_backup_due = False
        self.open_now: list[Account] = []
        super().judge(page, machine)

    # --- proposal and election ---

    def on_key_registered(self, page: Page, event: KeyRegistered) -> None:
        """It counts in a later epoch."""
        self.young[event.account] = event

    def on_round_opened(self, page: Page, event: RoundOpened) -> None:
        """The first commitment opens a round for ``proposal_ticks``, under the epoch's seed."""
        must(self.closes is None, "a round opened within a round", event)
        must(self.backup is None, "a round opened while a backup is awaited", event)
        must(event.round == self.round, "not the round that is next", event, self.round)
        must(event.closes == page.tick + self.parameters.proposal_ticks, "wrong end", event)
        self.closes, self.seed = event.closes, self._epoch_seed(page.tick)

    def _epoch_seed(self, tick: Tick) -> bytes:
        """The beacon at the end of the epoch before the last; the genesis's in the first three."""
        epoch = (tick - 1) // self.scenario.epoch_ticks
        return self.beacons[(epoch - 1) * self.scenario.epoch_ticks if epoch > 2 else 0]

    def heard(self, page: Page, operation: Operation, reason: str | None) -> None:
        """Take in what was accepted."""
        match operation.payload:
            case BlockCommitment() as payload:
                if reason == "BAD_VRF_PROOF":
                    seed = self.seed if self.closes is not None else self._epoch_seed(page.tick)
                    draw = self._draw(operation.sender, seed, payload)
                    must(draw is None, "a true lot was refused", operation)
                if reason is None:
                    self._commit(page, operation.sender, payload)
            case BlockReveal() as payload:
                if reason is None:
                    self._reveal(page, operation.sender, payload)
            case BackupBlock() as payload:
                if reason is None:
                    header = self.opened[self.settled][1]
                    must(header.content == payload.content, "not the backup that was sent")
                    must(header.sequencer == operation.sender, "somebody else's backup")

    def _draw(self, sender: Account, seed: bytes, payload: BlockCommitment) -> bytes | None:
        if sender not in self.keys:
            return None
        if self.parameters.score.value == "public":
            known = _named(b"provnet/fernet-public-score/1", seed, payload, sender)
            return known if payload.vrf_proof == bytes(80) else None
        lot = _named(b"provnet/fernet-lot/1", seed, payload)
        return _output(self.keys[sender], lot, payload.vrf_proof)

    def _commit(self, page: Page, sender: Account, payload: BlockCommitment) -> None:
        closes = found(self.closes, "a commitment outside a round", payload)
        must(page.tick < closes and not self.elected, "a late commitment", payload)
        must(sender not in self.commitments, "two commitments", payload)
        must(payload.round == self.round, "a commitment to another round", payload)
        draw = found(self._draw(sender, self.seed, payload), "a lot not drawn", payload)
        score = int.from_bytes(draw, "big") * (10_000 + payload.fee_split)
        self.commitments[sender] = score, payload

    def on_leader_elected(self, page: Page, event: LeaderElected) -> None:
        """The greatest score leads."""
        must(page.tick == self.closes, "elected at another time than said", event)
        ranked = sorted(((row[0], who) for who, row in self.commitments.items()), reverse=True)
        self.elected = [who for _, who in ranked[: self.parameters.candidates_max]]
        must(event.leader == self.elected[0], "not the best score leads", event)
        split = self.commitments[event.leader][1].fee_split
        must(event.fee_split == split, "another split", event)
        must(event.candidates == len(self.commitments), "candidates miscounted", event)
        window = self.parameters.prover_commit_ticks + self.parameters.reveal_ticks
        must(event.reveal_ends == page.tick + window, "wrong end", event)
        self.ends, self.told = event.reveal_ends, [event.leader]

    def on_runner_up_elected(self, page: Page, event: RunnerUpElected) -> None:
        """The next best scores follow, in their order."""
        self.told.append(event.sequencer)
        must(self.told == self.elected[: len(self.told)], "not the next best score", event)
        split = self.commitments[event.sequencer][1].fee_split
        must(event.fee_split == split, "another split", event)

    # --- reveal and opening ---

    def _reveal(self, page: Page, sender: Account, payload: BlockReveal) -> None:
        ends = found(self.ends, "a reveal outside a round", payload)
        must(sender in self.elected, "a reveal by another", payload)
        must(ends - self.parameters.reveal_ticks <= page.tick, "an early reveal", payload)
        must(page.tick < ends, "a late reveal", payload)
        must(sender not in self.contents, "two reveals", payload)
        is_late = bool(self.parameters.prover_commit_ticks) and not self._has_prover(sender)
        must(not is_late, "a reveal without a prover", payload)
        must(payload.content.parent == self.head, "a reveal on another head", payload)
        content = framed_hash(b"provnet/commitment/1", encode(payload.content), payload.salt)
        must(content == self.commitments[sender][1].content, "not what it committed to")
        self.contents[sender] = payload.content

    def on_job_opened(self, page: Page, event: JobOpened) -> None:
        """What was revealed, under the terms promised, with a seed that nobody knew."""
        header = event.header
        must(header.round == self.round, "a job of another round", event)
        self.base = self.base if self.open_now else self.head
        must(header.content.parent == self.base, "a job on another head", event)
        if self.backup is not None:
            self._check_backup(header)
        else:
            must(page.tick == self.ends, "opened at another time than said", event)
            content = self.contents.get(header.sequencer)
            must(header.content == content, "not what was revealed", event)
            commitment = self.commitments[header.sequencer][1]
            must(header.fee_split == commitment.fee_split, "another split", event)
            must(header.seed == self.beacons[-1], "the seed is not this block's beacon", event)
            self.open_now.append(header.sequencer)
        self.opened[event.job] = (page.tick, header)
        self.live.append(event.job)

    def _check_backup(self, header: JobHeader) -> None:
        must(header.fee_split == 10_000, "a backup shares nothing", header)
        must(header.seed == bytes(32), "a backup draws nothing", header)
        must(header.pool == framed_hash(b"provnet/pool/1"), "a backup has no pool", header)
        must(not self.live, "a backup beside an open job", header)

    def _end_round(self) -> None:
        self.round += 1
        self._begin()

    def on_round_skipped(self, page: Page, event: RoundSkipped) -> None:
        """Only a round without a block that can stand is skipped."""
        must(event.round == self.round, "another round was skipped", event)
        must(event.leader == (self.elected[0] if self.elected else None), "another leader", event)
        has_fallen = self.head_before not in (*self.live, self.settled)
        must((event.why is Skip.PARENT_FELL) == has_fallen, "not the head's fall", event)
        if event.why is Skip.NOT_REVEALED:
            must(page.tick == self.ends, "skipped at another time", event)
            must(not self.contents, "skipped though revealed", event)
        elif event.why is Skip.NOT_COMMITTED:
            self._check_want(page, event)
        is_for_backup = self.has_missed or event.why is Skip.NOT_COMMITTED
        if self.parameters.backup_ticks and is_for_backup and not self.live:
            self.is_backup_due = True
        self.has_skipped = True
        self._end_round()

    def _check_want(self, page: Page, event: RoundSkipped) -> None:
        """A round without a prover ends where one is due."""
        due, who = found(self.ends, "nobody was elected", event), [*self.contents]
        if self.parameters.prover_commit_ticks:
            due, who = Tick(due - self.parameters.reveal_ticks), self.elected
        must(page.tick == due and who, "skipped at another time", event)
        able = [one for one in who if self._has_prover(one)]
        must(not able, "skipped for want of a prover", event)

    def on_awarded(self, page: Page, event: Awarded) -> None:
        """The sequencer has a prover."""
        must(event.round == self.round, "an award for another round", event)
        must(event.sequencer in self.elected, "an award of somebody not elected", event)
        self.promised.append(event.sequencer)

    def _has_prover(self, who: Account) -> bool:
        return not self.has_awards or who in self.promised

    # --- what becomes of jobs ---

    def on_job_proven(self, page: Page, event: JobProven) -> None:
        """Its rivals that are worse have lost."""
        self.proven.append(event.job)

    def on_job_settled(self, page: Page, event: JobSettled) -> None:
        """The best of the oldest round."""
        must(self.live[:1] == [event.job], "settled before a better one, or an older one", event)
        self.live.remove(event.job)
        self.settled = event.job

    def on_job_voided(self, page: Page, event: JobVoided) -> None:
        """A job has its time; who missed it may be backed up."""
        before = self.live[: self.live.index(event.job)]
        self.live.remove(event.job)
        if event.because == event.job:
            self.has_missed = True
            opened, header = self.opened[event.job]
            is_over = page.tick > opened + self.parameters.deadline_ticks
            has_failed = self.has_awards and bool(page.board.jobs[event.job].failed)
            must(is_over or has_failed, "void before its deadline", event)
            rivals = [one for one in before if self.opened[one][1].round == header.round]
            has_lost = any(one in self.proven for one in rivals)
            must(not has_lost, "void though a better one is proven", event)

    # --- backup ---

    def on_backup_opened(self, page: Page, event: BackupOpened) -> None:
        """After a missed deadline, or for want of a prover, when nothing is open."""
        must(self.is_backup_due, "a backup for no reason", event)
        self.is_backup_due = False
        must(event.round == self.round, "a backup of another round", event)
        must(event.closes == page.tick + 1 + self.parameters.backup_ticks, "wrong end", event)
        must(self.closes is None, "a backup within a round", event)
        self.backup = event.closes

    def on_backup_taken(self, page: Page, event: BackupTaken) -> None:
        """In its time, by who made it."""
        closes = found(self.backup, "a backup that nobody awaited", event)
        must(page.tick < closes, "a late backup", event)
        must(self.live == [event.job], "another job was backed up", event)
        must(self.opened[event.job][1].sequencer == event.prover, "another prover", event)
        self.backup = None
        self._end_round()

    def conclude(self, page: Page, machine: Machine) -> None:
        """Whatever was due in this block was told."""
        tick = page.tick
        if self.backup is not None and tick + 1 >= self.backup:
            self.backup = None
        rounds = {self.opened[one][1].round for one in self.live}
        must(len(rounds) <= self.parameters.max_unproven_jobs, "too many rounds are open", tick)
        must(self.told == self.elected, "an election was not told", tick)
        must(self.closes is None or self.elected or tick < self.closes, "no election", tick)
        must(not self.is_backup_due, "a backup was not opened", tick)
        before = page.board.jobs.get(self.head_before)
        has_fallen = before is not None and before.is_void
        must(not has_fallen or self.has_skipped, "a round survived its head", tick)
        if self.open_now:
            revealed = [who for who in self.elected if who in self.contents]
            due = [who for who in revealed if self._has_prover(who)]
            must(self.open_now == due, "not all that could open did, by score", tick)
            self._end_round()
        must(self.ends is None or tick < self.ends, "a round went on after its end", tick)


SEQUENCER_RISKS: Final = (PocketKind.SEQUENCER_STAKE, PocketKind.SEQUENCER_EXIT)
"""Where a sequencer's stake lies, staying or on its way out."""

LEAVES: Final = (Cause.UNSTAKED, Cause.EXIT_PAID)
"""How stake goes without a loss."""


class FernetMoney(Oracle):
    """Bonds and penalties: who pledged, who lost, who was paid, to the unit."""

    def __init__(self, scenario: Scenario) -> None:
        super().__init__(scenario)
        self.parameters = scenario.sequencing_parameters
        accounts = scenario.genesis().accounts
        self.free: Counter[bytes] = Counter({one.account: one.sequencer_stake for one in accounts})
        self.leaving: Counter[bytes] = Counter()
        self.bonds: Counter[JobId] = Counter()
        self.out: dict[JobId, Counter[tuple[Cause, bytes]]] = {}
        self.headers: dict[JobId, JobHeader] = {}
        self.burned: Counter[bytes] = Counter()
        self.income: Counter[JobId] = Counter()
        self.fallen: list[tuple[JobId, JobId]] = []

    def judge(self, page: Page, machine: Machine) -> None:
        """Forget what fell in the block before."""
        self.fallen = []
        super().judge(page, machine)

    def on_job_opened(self, page: Page, event: JobOpened) -> None:
        """Remember whose it is."""
        self.headers[event.job] = event.header
        self.out[event.job] = Counter()

    def heard(self, page: Page, operation: Operation, reason: str | None) -> None:
        """A commitment needs stake, pledged or free, and a free bond."""
        if not isinstance(operation.payload, BlockCommitment):
            return
        sender, bond = operation.sender, self.parameters.block_bond
        pledged = sum(
            amount for job, amount in self.bonds.items() if self.headers[job].sequencer == sender
        )
        has_stake = self.free[sender] + pledged >= max(1, self.parameters.sequencer_stake_min)
        is_covered = self.free[sender] >= bond
        must(reason is not None or (has_stake and is_covered), "no stake behind it", operation)
        must(reason != "NOT_A_SEQUENCER" or not has_stake, "a sequencer was refused", operation)
        must(reason != "BOND_NOT_COVERED" or not is_covered, "a bond was refused", operation)

    def on_moved(self, page: Page, moved: Moved) -> None:
        """Follow stakes and bonds."""
        if moved.target.kind is PocketKind.ESCROW:
            self.income[found(moved.job, "an escrow of no job")] += moved.amount
        if moved.cause is Cause.SEQUENCER_SHARE:
            self._check_share(moved)
        for pocket, amount in ((moved.source, -moved.amount), (moved.target, moved.amount)):
            if pocket.kind is PocketKind.SEQUENCER_STAKE:
                self.free[pocket.owner] += amount
            elif pocket.kind is PocketKind.SEQUENCER_EXIT:
                self.leaving[pocket.owner] += amount
            elif pocket.kind is PocketKind.BLOCK_BOND:
                self.bonds[JobId(pocket.owner)] += amount
        if moved.source.kind is PocketKind.BLOCK_BOND:
            self._leave(moved)
        elif moved.source.kind in SEQUENCER_RISKS and moved.cause not in LEAVES:
            self._pledge(moved)

    def _check_share(self, moved: Moved) -> None:
        """The sequencer gets what it did not promise, at least."""
        job = found(moved.job, "a share of no job", moved)
        income, split = self.income[job], self.headers[job].fee_split
        must(moved.amount >= income - income * split // 10_000, "not its share", moved)

    def _pledge(self, moved: Moved) -> None:
        if moved.cause is Cause.REVEAL_MISSING:
            self.burned[moved.source.owner] += moved.amount
            return
        must(moved.cause is Cause.BOND_LOCKED, "stake was lost for no fault", moved)
        job = found(moved.job, "a bond for no job", moved)
        must(moved.target == Pocket(PocketKind.BLOCK_BOND, job), "not into the bond", moved)
        must(moved.source.owner == self.headers[job].sequencer, "somebody else's stake", moved)
        due, left = self.parameters.block_bond, self.free[moved.source.owner]
        is_short = left == 0 and moved.source.kind is PocketKind.SEQUENCER_STAKE
        must(self.bonds[job] == due or (is_short and self.bonds[job] < due), "not the bond", moved)

    def _leave(self, moved: Moved) -> None:
        bond = JobId(moved.source.owner)
        if moved.cause is Cause.BOND_RETURNED:
            due = Pocket(PocketKind.SEQUENCER_STAKE, self.headers[bond].sequencer)
            must(moved.target == due, "returned to somebody else", moved)
        elif moved.cause is Cause.BOND_LOST:
            must(moved.target.kind is PocketKind.BURNED, "a lost bond is burned", moved)
        else:
            is_pay = moved.cause in (Cause.VOID_PAY, Cause.ORPHAN_PAY)
            must(is_pay and moved.target.kind is PocketKind.BALANCE, "no pay from a bond", moved)
        owner = bytes(found(moved.job, "a bond moved for no job", moved))
        self.out[bond][moved.cause, owner] += moved.amount

    def on_round_skipped(self, page: Page, event: RoundSkipped) -> None:
        """A leader pays for a missing reveal, and for nothing else."""
        if event.why is Skip.NOT_REVEALED:
            leader = found(event.leader, "a missing reveal of nobody", event)
            burned = self.burned.pop(leader, 0)
            held = self.free[leader] + self.leaving[leader] + burned
            due = held * self.parameters.reveal_penalty_bps // 10_000
            must(burned == due, "not the penalty that is due", event, burned, due)

    def on_job_settled(self, page: Page, event: JobSettled) -> None:
        """The whole bond is back."""
        self._check_returned(event.job)

    def on_job_voided(self, page: Page, event: JobVoided) -> None:
        """Lost for the own fault only; then provers, orphans and the burn share it."""
        self.fallen.append((event.job, event.because))
        if event.because != event.job:
            self._check_returned(event.job)
            return
        out, bond = self.out[event.job], self.parameters.block_bond
        fallen = [job for job, because in self.fallen if because == event.job]
        paid = sum(amount for (cause, _), amount in out.items() if cause is Cause.VOID_PAY)
        mine = self.headers[event.job].sequencer
        orphans = [job for job in fallen if self.headers[job].sequencer != mine]
        pot = (bond - paid) * self.parameters.orphan_bps // 10_000
        due = {
            (Cause.ORPHAN_PAY, bytes(job)): pot // len(orphans)
            for job in orphans
            if pot >= len(orphans)
        }
        rest = bond - paid - sum(due.values())
        due |= {(Cause.BOND_LOST, bytes(event.job)): rest} if rest else {}
        told = {row: amount for row, amount in out.items() if row[0] is not Cause.VOID_PAY}
        must(told == due, "not the parts of a lost bond that are due", told, due)
        for cause, owner in out:
            must(cause is Cause.BOND_LOST or JobId(owner) in fallen, "pay for another job", event)

    def _check_returned(self, job: JobId) -> None:
        told, bond = dict(self.out[job]), self.parameters.block_bond
        has_bond = bond and not is_backup(self.headers[job])
        due = {(Cause.BOND_RETURNED, bytes(job)): bond} if has_bond else {}
        must(told == due, "a bond did not return whole", told, due)

    def after(self, page: Page, event: Event) -> None:
        """A bond belongs to an open job."""
        if isinstance(event, JobSettled | JobVoided):
            must(self.bonds[event.job] == 0, "a closed job has a bond", event)

    def conclude(self, page: Page, machine: Machine) -> None:
        """Open jobs are bonded, and nothing was burned in silence."""
        must(not self.burned.total(), "stake was lost without a word", page.tick)
        bond = self.parameters.block_bond
        open_jobs = [job.id for job in page.board.open_jobs()]
        must(all(self.bonds[one] == bond for one in open_jobs), "a job without a bond", page.tick)

"""What can be done in a story: honest and hostile moves, each with the arguments it may be given.

A move takes a world and arguments from small fixed sets, so that it reads well in a story and
shrinks to little. A move that makes no sense at the moment does nothing. ``MOVES`` is an ordinary
mapping: a rule with operations of its own brings its own moves beside these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Final

from protocol.events import (
    JobOpened,
    LeaderElected,
    ProofOffered,
    ProofRecorded,
    RoundSkipped,
    SlashPending,
)
from protocol.ledger import balance, prover_stake
from protocol.messages import (
    NO_JOB,
    Award,
    BackupBlock,
    Bid,
    BlockCommitment,
    BlockContent,
    BlockReveal,
    Certificate,
    Inclusion,
    Intent,
    LeafHeader,
    LogHeader,
    Operation,
    ProofEvidence,
    ProofRecord,
    ProposalEvidence,
    SignedBid,
    SlashVote,
    UncleClaim,
    Vote,
    VoteEvidence,
    commitment_digest,
    sign_bid,
    sign_header,
    sign_operation,
    sign_vote,
)
from protocol.rules import BackupDuty, CommitDuty, RevealDuty, Stage
from protocol.signing import digest
from protocol.testing.board import JobView
from protocol.testing.cast import BEGGAR, NEWCOMER, OUTSIDER, PROVERS, SEQUENCERS, actor, draw_lot
from protocol.testing.oracles import must
from protocol.testing.scenario import GENESIS_ROOT, STAKE_UNIT
from protocol.testing.world import Turn, World
from protocol.types import (
    Account,
    Amount,
    BasisPoints,
    BlockHash,
    BodyHash,
    Claim,
    Count,
    Digest,
    Epoch,
    JobId,
    Nonce,
    Root,
    Round,
    Salt,
    Slot,
    Stake,
    Tick,
    TransferDigest,
    TreeIndex,
    VrfProof,
)

ANYBODY: Final = (*SEQUENCERS, *PROVERS, OUTSIDER, BEGGAR)
"""Every name that a move may use."""


@dataclass(frozen=True, slots=True)
class Move:
    """A move with the values of its arguments.

    :ivar weight: how often a plain seeded story makes it, relative to others.
    """

    play: Callable[..., None]
    weight: int
    arguments: Mapping[str, tuple[Any, ...]]


def make(world: World, name: str, move: Move, arguments: Mapping[str, Any]) -> None:
    """Make a move of a story: it is written down, and a world in which one failed is not sound."""
    world.turns.append(Turn(name, arguments))
    world.is_sound = False
    move.play(world, **arguments)
    world.is_sound = True


ALIVE: Final = "Every job is proven in time as long as one prover lives."
"""A property that :func:`survive` judges."""

MOVES: dict[str, Move] = {}
"""The moves of this module by name."""


def _move(weight: int, **arguments: tuple[Any, ...]) -> Callable[..., Callable[..., None]]:
    def register(play: Callable[..., None]) -> Callable[..., None]:
        MOVES[play.__name__] = Move(play, weight, arguments)
        return play

    return register


# --- time ---


@_move(6, ticks=(1, 2, 3, 5, 8), lag=(1, 2, 3, 8, 100), proposer=SEQUENCERS)
def wait(world: World, *, ticks: int, lag: int, proposer: str) -> None:
    """The log grows; ``lag`` blocks behind it are not final yet."""
    for _ in range(ticks):
        world.step(lag, proposer)


# --- sequencing ---


CONTENTS: Final = ("honest", "honest", "honest", "three leaves", "too large", "orphan", "greedy")
"""What may be wrong with a block; of no consequence before it is revealed."""


REVEALS: Final = ("honest", "honest", "honest", "somebody else", "wrong salt", "wrong round")
"""What may be wrong with a reveal."""


@_move(
    5,
    who=SEQUENCERS,
    height=(0, 1, 2, 3),
    split=(10_000, 0, 5_000),
    fee=(1_000, 0, 7, 1_000),
    how=(*REVEALS, "late"),
)
def build(world: World, *, who: str, height: int, split: int, fee: int, how: str) -> None:
    """A round with one honest candidate and a reveal, honest or not, for a dozen ticks at most."""
    commit(world, who=who, height=height, split=split, fee=fee, how="honest")
    reveal_at = 0
    for _ in range(12):
        is_due = any(_round_to_reveal(world, one) is not None for one in SEQUENCERS)
        is_due = bool(reveal_at) if how == "late" else is_due
        if is_due and world.tick + 1 >= reveal_at:
            reveal(world, how=how, who=who if how != "somebody else" else OUTSIDER)
        promise_all(world)
        for event in world.step().events:
            if isinstance(event, LeaderElected) and how == "late":
                reveal_at = event.reveal_ends
            if isinstance(event, JobOpened | RoundSkipped):
                return


def promise_all(world: World) -> None:
    """Every block that provers are asked to bid for is awarded to one of them, in turn."""
    for ask in world.machine.asks():
        able = [name for name in world.scenario.provers if _can_pledge(world, name, ask.bond)]
        if able:
            prover = able[ask.block.round % len(able)]
            bid = bid_of(world, prover, ask.block.round, ask.block.sequencer, bond=ask.bond)
            world.say(name_of(ask.block.sequencer), Award(bid))


def _can_pledge(world: World, name: str, bond: Amount) -> bool:
    ledger, account = world.machine.ledger, actor(name).account
    return ledger.holds(balance(account)) >= bond and ledger.holds(prover_stake(account)) > 0


def bid_of(
    world: World,
    prover: str,
    round_: Round,
    sequencer: Account,
    *,
    bond: Amount,
    price: int = 7,
    valid_for: int = 8,
    key: str = "",
) -> SignedBid:
    """A bid of the actor, signed by it or by somebody else."""
    until = Tick(max(0, world.tick + valid_for))
    offer = Bid(actor(prover).account, round_, sequencer, Amount(price), bond, Tick(1), until)
    return sign_bid(actor(key or prover).seed, world.machine.network, offer)


def name_of(account: Account) -> str:
    """Who of the cast has the account."""
    return next(name for name in (*ANYBODY, NEWCOMER) if actor(name).account == account)


@_move(
    3,
    who=ANYBODY,
    height=(0, 1, 2, 3),
    split=(10_000, 0, 5_000),
    fee=(1_000, 0, 7, 1_000),
    how=(*CONTENTS, "wrong round", "borrowed lot"),
)
def commit(world: World, *, who: str, height: int, split: int, fee: int, how: str) -> None:
    """A commitment, honest or not; once there is no duty left, the same as the last one."""
    duty = next(world.duties(who, CommitDuty), world.last_duty)
    if duty is None:
        return
    world.last_duty = duty
    proof = VrfProof(bytes(80))
    if how == "borrowed lot":
        proof, _ = draw_lot("a stranger", duty.lot or b"")
    elif duty.lot is not None:
        proof, _ = draw_lot(who, duty.lot)
    content = _content(world, (duty.parent, duty.root), height, fee, how)
    salt = Salt(digest(b"salt", who.encode(), duty.round.to_bytes(8, "big")))
    commitment = commitment_digest(content, salt)
    world.secrets[commitment] = (content, salt)
    round_ = Round(duty.round + (1 if how == "wrong round" else 0))
    world.say(who, BlockCommitment(round_, commitment, BasisPoints(split), proof))


def _content(
    world: World, head: tuple[JobId, Root], height: int, fee: int, how: str
) -> BlockContent:
    parent = JobId(digest(b"orphan")) if how == "orphan" else head[0]
    count = {"three leaves": 3, "too large": 16}.get(how, 1 << height)
    fee = world.scenario.rollup + 1 if how == "greedy" else fee
    leaves = tuple(
        LeafHeader(
            TransferDigest(digest(b"transfers", parent, bytes([at]))),
            Amount(fee + at if fee else 0),
            Root(digest(b"root", parent, bytes([at]))),
        )
        for at in range(count)
    )
    return BlockContent(parent, head[1], leaves, BodyHash(digest(b"body", parent)))


@_move(3, how=(*REVEALS, "twice"), who=ANYBODY)
def reveal(world: World, *, how: str, who: str) -> None:
    """What the leader committed to, revealed honestly or not.

    Without a leader it is the commitment accepted last; ``who`` is the somebody else.
    """
    leader = next((one for one in SEQUENCERS if _round_to_reveal(world, one) is not None), None)
    said = [
        (operation.sender, operation.payload)
        for operation in world.accepted
        if isinstance(operation.payload, BlockCommitment)
        and (leader is None or operation.sender == actor(leader).account)
    ]
    if not said:
        return
    sender, commitment = said[-1]
    content, salt = world.secrets[commitment.content]
    salt = Salt(bytes(32)) if how == "wrong salt" else salt
    round_ = Round(commitment.round + (1 if how == "wrong round" else 0))
    teller = who if how == "somebody else" else name_of(sender)
    for _ in range(2 if how == "twice" else 1):
        world.say(teller, BlockReveal(round_, content, salt))


def _round_to_reveal(world: World, who: str) -> Round | None:
    duty = next(world.duties(who, RevealDuty), None)
    return None if duty is None else duty.round


@_move(
    2,
    height=(0, 1, 2),
    split=(10_000, 0, 5_000),
    fee=(1_000, 0, 7, 1_000),
    silent=(0b0, 0b1, 0b110),
)
def contend(world: World, *, height: int, split: int, fee: int, silent: int) -> None:
    """A round in which all sequencers compete; who is silent does not reveal."""
    for who in SEQUENCERS:
        commit(world, who=who, height=height, split=split, fee=fee, how="honest")
    said: list[str] = []
    for _ in range(12):
        promise_all(world)
        for at, who in enumerate(SEQUENCERS):
            is_due = _round_to_reveal(world, who) is not None and who not in said
            if is_due and not silent >> at & 1:
                said.append(who)
                _reveal_of(world, who)
        if any(isinstance(one, JobOpened | RoundSkipped) for one in world.step().events):
            return


def _reveal_of(world: World, who: str) -> None:
    """What the actor committed to last."""
    commitments = [
        one.payload
        for one in world.accepted
        if isinstance(one.payload, BlockCommitment) and one.sender == actor(who).account
    ]
    for commitment in commitments[-1:]:
        content, salt = world.secrets[commitment.content]
        world.say(who, BlockReveal(commitment.round, content, salt))


BACKUPS: Final = ("honest", "honest", "late", "three leaves", "orphan", "greedy", "wrong round")
"""What may be wrong with a backup."""


@_move(
    4,
    who=ANYBODY,
    height=(0, 1),
    fee=(1_000, 0, 7, 1_000),
    how=BACKUPS,
    patience=(0, 0, 0, 60),
)
def back_up(world: World, *, who: str, height: int, fee: int, how: str, patience: int) -> None:
    """A whole block with its proof, honest or not, once one is awaited or ``patience`` is over."""
    for _ in range(patience if any(True for _ in world.board.open_jobs()) else 0):
        if any(True for _ in world.duties(who, BackupDuty)):
            break
        world.step()
    settled = [one for one in world.board.jobs.values() if one.is_settled]
    parent = settled[-1].id if settled else NO_JOB
    root = settled[-1].header.content.leaves[-1].to_root if settled else GENESIS_ROOT
    duty = next(world.duties(who, BackupDuty), None)
    while how == "late" and any(True for _ in world.duties(who, BackupDuty)):
        world.step()
    round_ = Round((duty.round if duty else 0) + (1 if how == "wrong round" else 0))
    content = _content(world, (parent, root), height, fee, how)
    world.say(who, BackupBlock(round_, content, BodyHash(digest(b"proof", parent))))


# --- proving ---


@_move(2, who=ANYBODY, capacity=(0, 1), span=(-1, 4, 16, 60, 2_000))
def intend(world: World, *, who: str, capacity: int, span: int) -> None:
    """An intent for ``span`` ticks more."""
    world.say(who, Intent(Count(capacity), Tick(max(0, world.tick + span))))


def everybody_enlists(world: World, lifetime: int = 500) -> None:
    """All provers of the scenario do what their rule asks for to be elected."""
    for name in world.scenario.provers:
        rule, account = world.machine.proving, actor(name).account
        stake = Stake(world.machine.ledger.holds(prover_stake(account)))
        payload = rule.enlistment(account, stake, world.tick, Tick(lifetime))
        if payload is not None:
            world.say(name, payload)


LIES: Final = (
    "no lie",
    "no lie",
    "no lie",
    "too early",
    "no right",
    "no children",
    "swapped children",
    "children missing",
    "recorded already",
    "no such place",
    "no such job",
)
"""What may be wrong with a record."""


@_move(7, who=ANYBODY, nth=(0, 1, 2, 3, 7), lie=LIES)
def prove(world: World, *, who: str, nth: int, lie: str) -> None:
    """A record of the ``nth`` tree node that fits the description.

    To be early takes a right, so then it is sent by whoever has one.
    """
    senders = world.scenario.provers if lie == "too early" else (who,)
    places = [
        (job, index, sender)
        for job in world.board.jobs.values()
        for index in job.nodes
        for sender in senders
        if _fits(world.tick, job, index, actor(sender).account, lie)
    ]
    if places:
        job, index, sender = places[nth % len(places)]
        world.say(sender, record_of(job, index, sender, lie))


def _fits(tick: Tick, job: JobView, index: TreeIndex, who: Account, lie: str) -> bool:
    node = job.nodes[index]
    since, has_record = node.admissible(who), node.record is not None
    has_offered = any(one.prover == who for one in node.offers)
    is_new = job.is_open and not has_record and not has_offered
    is_due = is_new and since is not None and since <= tick + 1
    match lie:
        case "too early":
            return job.is_open and not has_record and since is not None and not is_due
        case "no right":
            return job.is_open and not has_record and not node.is_held_by(who)
        case "children missing":
            return job.is_open and index.level > 0 and node.opened_at is None
        case "recorded already":
            return job.is_open and has_record
        case "no such job":
            return not job.is_open
    return is_due


def record_of(job: JobView, index: TreeIndex, who: str, lie: str = "no lie") -> ProofRecord:
    """The actor's record of a tree node, with something wrong if asked for."""
    children = claims_below(job, index)
    if lie == "no children":
        children = None if children else (Claim(bytes(32)), Claim(bytes(32)))
    if lie == "swapped children" and children:
        children = (children[1], children[0])
    if lie == "no such place":
        index = replace(index, position=Count(index.position + 64))
    place = bytes([index.level, index.position])
    claim = Claim(digest(b"claim", job.id, place, who.encode()))
    return ProofRecord(job.id, index, claim, children, BodyHash(claim))


def claims_below(job: JobView, index: TreeIndex) -> tuple[Claim, Claim] | None:
    """The recorded claims that a merge must use, zeros for missing ones; None for a leaf."""
    if index.level == 0:
        return None
    level, left = Count(index.level - 1), 2 * index.position
    records = [job.nodes[TreeIndex(level, Count(left + side))].record for side in (0, 1)]
    first, second = (one.claim if one is not None else Claim(bytes(32)) for one in records)
    return first, second


def due_records(world: World, who: str) -> Iterator[ProofRecord]:
    """Everything that an honest prover would have recorded now."""
    account = actor(who).account
    for job in world.board.open_jobs():
        for index in job.nodes:
            if _fits(world.tick, job, index, account, "no lie"):
                yield record_of(job, index, who)


def include_all(world: World, who: str) -> None:
    """Take all offers that the actor may take, where merge owners decide."""
    for errand in world.machine.proving.errands(actor(who).account, world.tick):
        if isinstance(errand, Inclusion):
            world.say(who, errand)


def claim_all(world: World, who: str) -> None:
    """Show every proof that the rule would still have of the actor, beside what is recorded."""
    for duty in world.machine.proving.duties(actor(who).account):
        if duty.stage is Stage.UNCLE:
            record = record_of(world.board.jobs[duty.job], duty.index, who)
            world.say(who, UncleClaim(record))


@_move(
    7,
    ticks=(1, 2, 4),
    lag=(1, 2, 5),
    dead=(0b0, 0b1, 0b10, 0b1001, 0b0110, 0b1110, 0b11111111),
    is_greedy=(True, False),
)
def work(world: World, *, ticks: int, lag: int, dead: int, is_greedy: bool) -> None:
    """All provers but those whose bit is set record what they may, for so many ticks; the greedy
    claim whatever they may, too.
    """
    living = [name for at, name in enumerate(world.scenario.provers) if not dead >> at & 1]
    for _ in range(ticks):
        for name in living:
            for record in due_records(world, name):
                world.say(name, record)
            include_all(world, name)
            if is_greedy:
                claim_all(world, name)
        world.step(lag)


@_move(2, nth=(0, 1, 2, 3, 4, 5, 6, 7))
def survive(world: World, *, nth: int) -> None:
    """From now on one prover alone is alive and honest: every job must be paid in time.

    A job that was open to anybody before is left out, and so is what builds on it: there nobody was
    promised more time. Who is slashed meanwhile for an older job can promise nothing.
    """
    now = world.tick
    able = [name for name in world.scenario.provers if _has_card(world, name)]
    promised = list(takewhile(lambda job: _is_young(job, now), world.board.open_jobs()))
    if not able or not promised:
        return
    world.waiting.clear()
    world.look_at(ALIVE)
    name = able[nth % len(able)]
    end = max(world.machine.proving.latest(job.id, now) for job in promised)
    while world.tick < end and any(job.is_open for job in promised):
        for record in due_records(world, name):
            world.say(name, record)
        include_all(world, name)
        world.step(world.scenario.usual_lag)
    world.judging = ALIVE
    for job in promised if _has_card(world, name) else ():
        if not world.board.has_lost(job):
            must(not job.is_void, "a job was void though a prover lived", job.id.hex())
            must(job.is_proven, "not proven in time though a prover lived", job.id.hex())


def _has_card(world: World, name: str) -> bool:
    return world.machine.ledger.holds(prover_stake(actor(name).account)) >= STAKE_UNIT


def _is_young(job: JobView, now: Tick) -> bool:
    """Whether no tree node has been open to anybody for longer than a moment."""
    return all(
        node.record is not None or node.open_to_all_since in (None, now)
        for node in job.nodes.values()
    )


# --- beside and after a record ---


CLAIMS: Final = (
    "no lie",
    "no lie",
    "no lie",
    "no lie",
    "too late",
    "no right",
    "not recorded",
    "recorded",
    "no children",
    "swapped children",
    "no such place",
    "no such job",
)
"""What may be wrong with a claim."""


@_move(3, who=ANYBODY, nth=(0, 1, 2, 3, 7, -1), lie=CLAIMS)
def claim(world: World, *, who: str, nth: int, lie: str) -> None:
    """An uncle claim for the ``nth`` tree node that fits the description, of late jobs first, among
    those that the rule still knows.

    An honest one is sent by whoever has a right to it. To be late takes slashes, which keep a job
    known when the time for claims is over: one prover alone does its part of it.
    """
    if lie == "too late" and _has_slashes(world):
        _have_job(world)
        work(world, ticks=4, lag=1, dead=~(1 << nth % len(PROVERS)), is_greedy=False)
        _wait_for_ends(world)
        world.wait(world.scenario.proving_parameters.uncle_ticks)
    is_true = lie in ("no lie", "no children", "swapped children", "no such place")
    senders = (who,) if lie in ("no right", "no such job") else world.scenario.provers
    places = [
        (job, index, sender)
        for job in reversed(world.board.jobs.values())
        if world.machine.proving.job(job.id) is not None
        for index in job.nodes
        for sender in senders
        if _may_claim(world.tick, job, index, actor(sender).account, "" if is_true else lie)
    ]
    if places:
        job, index, sender = places[nth % len(places)]
        record = record_of(job, index, sender, lie)
        if lie == "no such job":
            record = replace(record, job=JobId(digest(b"no such job")))
        world.say(sender, UncleClaim(record))


def _may_claim(tick: Tick, job: JobView, index: TreeIndex, who: Account, lie: str) -> bool:
    node = job.nodes[index]
    since = node.admissible(who)
    if since is None or since > tick + 1:
        return lie == "no right" and job.is_open and not node.is_held_by(who)
    shown = [one.prover for one in node.claims]
    is_recorded = node.record is not None
    match lie:
        case "no such job":
            return True
        case "too late":
            is_beaten = node.record is not None and node.record.prover != who
            return not job.is_open and who in node.owners and is_beaten
        case "not recorded":
            return job.is_open and not is_recorded
        case "recorded":
            is_shown = who in shown or (node.record is not None and node.record.prover == who)
            return is_shown and not job.is_void
    is_mine = node.record is not None and node.record.prover == who
    return not is_mine and who not in shown and (is_recorded or job.is_void)


@_move(
    3,
    who=("everybody", "everybody", *ANYBODY),
    is_guilty=(True, True, False),
    nth=(0, 1),
    how=("in time", "in time", "twice", "at once"),
)
def vote(world: World, *, who: str, is_guilty: bool, nth: int, how: str) -> None:
    """A word on the ``nth`` of the slashes that are not decided, for which an open job may have to
    end first, or else of the latest; in time is after the grace.
    """
    if how != "at once" and _has_slashes(world) and not _pending(world):
        _wait_for_ends(world)
    told = [one for job in reversed(world.board.jobs.values()) for one in job.accused]
    pending = _pending(world) or told
    if not pending:
        return
    event = pending[nth % len(pending)]
    while world.tick < event.grace_ends and how != "at once":
        world.step()
    for name in (SEQUENCERS if who == "everybody" else (who,)) * (2 if how == "twice" else 1):
        world.say(name, SlashVote(event.job, event.prover, is_guilty))


def _has_slashes(world: World) -> bool:
    return bool(getattr(world.scenario.proving_parameters, "slash_bps", 0))


def _pending(world: World) -> list[SlashPending]:
    """Slashes that are not decided, latest job first."""
    jobs = reversed(world.board.jobs.values())
    return [one for job in jobs for one in job.accused if one.decided > world.tick]


def _have_job(world: World) -> None:
    """Have a block built if none is open."""
    if not any(True for _ in world.board.open_jobs()):
        build(world, who=SEQUENCERS[0], height=2, split=10_000, fee=7, how="honest")


def _wait_for_ends(world: World) -> None:
    """Nobody does anything until the jobs that are open have ended, or for a long time."""
    for _ in range(60):
        if not any(True for _ in world.board.open_jobs()):
            break
        world.step()


@_move(3, who=ANYBODY, nth=(0, 1, 2), lie=("no lie", "no right", "another claim"))
def include(world: World, *, who: str, nth: int, lie: str) -> None:
    """Take the ``nth`` offer, rightly or not; where none waits, all that may be made are made
    first. Without any, take one that nobody made.
    """
    offers = _offers(world)
    if not offers and Inclusion in world.machine.proving.handles:
        offers = _have_offered(world)
    if not offers:
        records = [one for job in world.board.jobs.values() for one in _records(job)]
        for first in records[:1]:
            world.say(who, Inclusion(first.job, first.index, first.prover, first.claim))
        return
    one = offers[nth % len(offers)]
    above = world.board.jobs[one.job].nodes[_above(one.index)]
    able = [name for name in world.scenario.provers if actor(name).account in above.rights]
    name = able[nth % len(able)] if able and lie != "no right" else who
    claimed = Claim(bytes(32)) if lie == "another claim" else one.claim
    world.say(name, Inclusion(one.job, one.index, one.prover, claimed))


def _offers(world: World) -> list[ProofOffered]:
    """Offers that wait to be included."""
    return [
        one
        for job in world.board.open_jobs()
        for node in job.nodes.values()
        for one in node.offers
        if node.record is None
    ]


def _have_offered(world: World) -> list[ProofOffered]:
    """Have everybody deliver what it may, but for those who may deliver the merge above: where
    merge owners include, these are offers.
    """
    _have_job(world)
    for _ in range(5):
        offered = [
            (name, record)
            for name in world.scenario.provers
            for record in due_records(world, name)
            if (above := world.board.jobs[record.job].nodes.get(_above(record.index))) is not None
            and not above.is_held_by(actor(name).account)
        ]
        for name, record in offered:
            world.say(name, record)
        world.step()
        if offered:
            break
    return _offers(world)


def _above(index: TreeIndex) -> TreeIndex:
    return TreeIndex(Count(index.level + 1), Count(index.position // 2))


def _records(job: JobView) -> Iterator[ProofRecorded]:
    return (node.record for node in job.nodes.values() if node.record is not None)


REPORTS: Final = ("true", "true", "twice", "forged", "no stake", "no such job")
"""What may be wrong with evidence of a bad proof; that the bytes are bad is for voters to see."""


@_move(2, who=ANYBODY, whom=("p0", "p1", "p7"), how=REPORTS, nth=(0, 0, 1))
def report(world: World, *, who: str, whom: str, how: str, nth: int) -> None:
    """Evidence that somebody signed a record, or a claim, whose bytes do not prove it."""
    jobs = [job for job in world.board.jobs.values() if job.is_open]
    if not jobs:
        return
    job, offender = jobs[-1], actor(OUTSIDER if how == "no stake" else whom)
    index = sorted(job.nodes)[nth % len(job.nodes)]
    record = record_of(job, index, whom)
    if how == "no such job":
        record = replace(record, job=JobId(digest(b"no such job")))
    said = UncleClaim(record) if nth else record
    operation = Operation(offender.account, Nonce(nth), Tick(world.tick), said)
    key = actor("a forger").seed if how == "forged" else offender.seed
    signature = sign_operation(key, world.machine.network, operation).signature
    evidence = ProofEvidence(
        operation.sender, operation.nonce, operation.valid_until, said, signature
    )
    for name in (who, SEQUENCERS[0])[: 2 if how == "twice" else 1]:
        world.say(name, evidence)


# --- operations as such ---


@_move(1, nth=(0, 1, 2, 5), is_now=(True, False))
def replay(world: World, *, nth: int, is_now: bool) -> None:
    """An operation once more: one that still waits, or one from the log."""
    before = [one for block in reversed(world.log) for one in block.operations][:12]
    known = list(world.waiting) if is_now else before
    if known:
        world.waiting.append(known[nth % len(known)])


@_move(1, who=ANYBODY, valid_for=(-3, 0, 1, 16, 17, 18, 500))
def mistime(world: World, *, who: str, valid_for: int) -> None:
    """An intent with an unusual validity."""
    world.say(who, Intent(Count(1), Tick(world.tick + 9)), valid_for)


ACCUSATIONS: Final = (
    "two votes",
    "two votes",
    "told twice",
    "two proposals",
    "one vote twice",
    "two slots",
    "forged",
    "forged proposals",
    "long ago",
    "no stake",
)
"""True evidence, and what is wrong with the rest."""


@_move(2, who=ANYBODY, whom=SEQUENCERS, how=ACCUSATIONS, ago=(0, 1))
def accuse(world: World, *, who: str, whom: str, how: str, ago: int) -> None:
    """Evidence against a validator, true or false."""
    offender = actor(OUTSIDER if how == "no stake" else whom)
    slot = Slot(2 * max(0, world.tick // 16 - ago) * 16)
    if how == "long ago":
        slot = Slot(0)
    network = world.machine.network
    if "proposals" in how:
        headers = [_header(offender.account, slot, side) for side in (b"one", b"two")]
        key = actor("a forger").seed if how.startswith("forged") else offender.seed
        first, second = (sign_header(key, network, header) for header in headers)
        world.say(who, ProposalEvidence(first, second))
        return
    blocks = [BlockHash(digest(b"block", side)) for side in (b"one", b"two")]
    blocks[1] = blocks[0] if how == "one vote twice" else blocks[1]
    slots = [slot, Slot(slot + 1) if how == "two slots" else slot]
    key = actor("a forger").seed if how == "forged" else offender.seed
    votes = [
        sign_vote(key, network, Vote(offender.account, at, block))
        for at, block in zip(slots, blocks, strict=True)
    ]
    for name in (who, SEQUENCERS[0])[: 2 if how == "told twice" else 1]:
        world.say(name, VoteEvidence(votes[0], votes[1]))


def _header(proposer: Account, slot: Slot, side: bytes) -> LogHeader:
    parent = BlockHash(digest(b"parent", side))
    return LogHeader(
        slot=slot,
        epoch=Epoch(0),
        height=Tick(1),
        parent=parent,
        certificate=Certificate(slot, parent, ()),
        proposer=proposer,
        vrf_proof=VrfProof(bytes(80)),
        operations=Digest(bytes(32)),
        state=Digest(bytes(32)),
        successors=Digest(bytes(32)),
    )

"""Why elected provers got, lost and earned what they did: lines that can be checked by hand.

Each function computes what the rule says from public data and yields its lines only when that is
what the replay did, so a run under another rule has no such lines, and never a wrong one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protocol.events import PoolMember, ProofPassedOver, ProofRecorded, RightMissed, TakenOver
from protocol.ledger import Moved, PocketKind
from protocol.messages import Operation, ProofRecord, operation_hash
from protocol.signing import digest
from protocol.types import FULL_SHARE
from scripts.explain.case import Case, LiveIntent, percent
from scripts.explain.deal import Deal
from scripts.explain.publiclog import SHORT, Happened, LogStep
from scripts.words import counted

DECK_SHOWN: Final = 32
"""A deck of so many cards is written out; of a larger one only what was dealt."""


def why_in_pool(case: Case, step: LogStep) -> Iterator[str]:
    """The intents that put provers into the pool."""
    live = case.live_intents(step)
    if case.parameters is None or not {one.prover for one in case.pool} <= set(live):
        return
    for member in case.pool:
        yield _pool_line(case, member, live[member.prover])


def _pool_line(case: Case, member: PoolMember, intent: LiveIntent) -> str:
    hashed, tick = operation_hash(intent.operation).hex()[:SHORT], intent.step.moment.tick
    return (
        f"{case.name(member.prover)}: {counted(member.cards, 'card')}, Intent {hashed} of tick "
        f"{tick} is good until tick {intent.until}"
    )


def why_dealt(case: Case, deal: Deal) -> Iterator[str]:
    """The cards in shuffled order, then the way from the tree node down to its card."""
    width = len(str(len(deal.deck)))
    for number, one in enumerate(deal.deck):
        leaves = [str(at) for at in range(case.leaves) if deal.card_of(at) == number]
        if leaves or len(deal.deck) <= DECK_SHOWN:
            to = f"  to leaf {', '.join(leaves)}" if leaves else ""
            lot, who = one.lot.hex()[:SHORT], case.name(one.prover)
            yield f"card {number + 1:>{width}}  {lot}  {who}{to}"
    first = "its first prover from" if deal.each > 1 else "the prover of"
    for turn in deal.turns(case.index):
        side = ("left", "right")[turn.bit]
        yield (
            f"the bit of {case.place(turn.merge)} is {turn.bit}: it has {first} its {side} "
            f"child, {case.place(turn.child)}"
        )
    leaf, cards = deal.leaf_of(case.index), len(deal.deck)
    card = deal.card_of(leaf) + 1
    if deal.each == 1:
        yield f"leaf {leaf} gets card {leaf} mod {cards} + 1 = {card}"
        return
    start = f"{leaf} x {deal.each} mod {cards} + 1 = {card}"
    yield f"leaf {leaf} gets {deal.each} different provers from card {start} on"
    if case.index.level:
        yield "the others are taken by turns from both children"


def why_these_heirs(case: Case) -> Iterator[str]:
    """Who inherits, nearest first."""
    if case.deal is not None and case.owners:
        heirs = [
            f"{case.name(heir)} (has {case.place(sibling)})"
            for heir, sibling in case.deal.heirs(case.index)
        ]
        yield f"heirs in order: {', '.join([*heirs, 'then anybody with prover stake'])}"


def why_failed(case: Case, event: RightMissed) -> Iterator[str]:
    """What a miss means to the one who missed."""
    if case.parameters is None:
        return
    if event.failed:
        yield "it is its own tree node, so it failed the job: its other tree nodes pass on, too"
    else:
        yield "it inherited the tree node, so it loses nothing else"


def why_this_heir(case: Case, step: LogStep, event: TakenOver) -> Iterator[str]:
    """Why the right passes on although nothing was missed here, and who is passed over."""
    failures = case.failures(step)
    own = [index for who, index in failures if who == event.previous]
    if own and case.index not in own:
        yield f"{case.name(event.previous)} failed the job with {case.place(own[0])}"
    if case.deal is None:
        return
    held, failed = case.holders_before(event), [who for who, _ in failures]
    lines: list[str] = []
    for heir, _ in case.deal.heirs(case.index):
        if heir not in held and heir not in failed:
            if heir == event.heir:
                yield from (*lines, f"the next heir is {case.name(heir)}")
            return
        why = "failed the job" if heir in failed else "had the right before"
        lines.append(f"passed over: {case.name(heir)} {why}")
    if event.heir is None:
        yield from (*lines, "no heir is left")


def why_this_proof(case: Case, one: Happened, event: ProofRecorded) -> Iterator[str]:
    """The operation behind a record, and the draw that it won."""
    entered = case.entered(one.step)
    for operation in entered:
        if operation.sender == event.prover:
            yield f"by {case.called(operation)}"
    lots = sorted(_lots(one.step, entered))
    is_draw = any(
        isinstance(each, ProofPassedOver) and (each.job, each.index) == (event.job, event.index)
        for each in one.step.events
    )
    if case.parameters is None or not is_draw or lots[0][1] != event.prover:
        return
    yield "drawn by this log block's beacon, the smallest hash wins:"
    yield from (f"  {lot.hex()[:SHORT]}  {case.name(who)}" for lot, who in lots)


def _lots(step: LogStep, entered: list[Operation]) -> Iterator[tuple[bytes, bytes]]:
    for one in entered:
        if isinstance(one.payload, ProofRecord):
            drawn = digest(b"provnet/contest/1", step.moment.beacon, one.sender, one.payload.claim)
            yield drawn, one.sender


@dataclass(frozen=True, slots=True)
class _Worth:
    """What a tree node is worth in a settlement: ``share`` less ``kept``, by work."""

    income: int
    share: int
    kept: int
    work: int
    whole: int

    @property
    def amount(self) -> int:
        return (self.share - self.kept) * self.work // self.whole


def _worth(case: Case, step: LogStep) -> _Worth:
    moved = [one for one in step.events if isinstance(one, Moved) and one.job == case.entry.job]
    income = sum(one.amount for one in moved if one.target.kind is PocketKind.ESCROW)
    kept = sum(one.amount for one in moved if one.target.kind is PocketKind.UNCLE_RESERVE)
    leaf, merge = case.parameters.leaf_work, case.parameters.merge_work
    return _Worth(
        income=income,
        share=income * case.entry.header.fee_split // FULL_SHARE,
        kept=kept,
        work=merge if case.index.level else leaf,
        whole=leaf * case.leaves + merge * (case.leaves - 1),
    )


def why_this_pay(case: Case, step: LogStep) -> Iterator[str]:
    """What the tree node is worth, and what part of it was earned."""
    moves = case.moves(step)
    is_settled = case.settled is step
    if case.parameters is None or not moves or not is_settled:
        return
    worth = _worth(case, step)
    part = list(_part(case, step, worth.amount, moves))
    moved_here = sum(one.amount for one in moves)
    if moved_here != worth.amount and not (part and moved_here < worth.amount):
        return
    split, leaves = percent(case.entry.header.fee_split), case.leaves
    leaf, merge = case.parameters.leaf_work, case.parameters.merge_work
    yield f"provers' share of the block: {worth.income:,} x {split} = {worth.share:,}, rounded down"
    if worth.kept:
        yield f"kept of it for uncle claims: {worth.kept:,}"
    yield (
        f"work of {case.place()}: {worth.work} of {worth.whole} "
        f"({leaves} x {leaf} + {leaves - 1} x {merge})"
    )
    rest = f"{worth.share - worth.kept:,} x {worth.work} / {worth.whole}"
    yield f"worth: {rest} = {worth.amount:,}, rounded down"
    yield from part


def why_uncle_pay(case: Case, event: Moved) -> Iterator[str]:
    """How much of its worth an uncle claim was paid, where the reserve sufficed."""
    claim, settled = case.claim_of(event.target.owner), case.settled
    if case.parameters is None or claim is None or settled is None:
        return
    bps, ticks = case.parameters.uncle_bps, case.parameters.uncle_ticks
    worth = _worth(case, settled).amount
    late = max(0, claim.moment.tick - settled.moment.tick)
    left = max(0, ticks - late)
    if event.amount == worth * bps * left // (FULL_SHARE * ticks):
        yield f"claimed at tick {claim.moment.tick}, {late} after settlement"
        yield (
            f"worth {worth:,} x {percent(bps)} x ({ticks} - {late}) / {ticks} = {event.amount:,}, "
            "rounded down"
        )


def _part(case: Case, step: LogStep, worth: int, moves: list[Moved]) -> Iterator[str]:
    """What part of its worth the recorded prover was paid, and why, if that is so."""
    record, parameters = case.last(ProofRecorded), case.parameters
    if record is None:
        return
    who = record.prover
    held = {one.event.heir for one in case.happened if isinstance(one.event, TakenOver)}
    if who in case.owners:
        failed = who in [one for one, _ in case.failures(step)]
        full = getattr(parameters, "primary_bps", FULL_SHARE)
        part, why = (0, "failed the job") if failed else (full, "was assigned to it")
    elif who in held:
        part, why = parameters.takeover_bps, "inherited it"
    else:
        part, why = parameters.open_bps, "proved it when it was open to anybody"
    earned = worth * part // FULL_SHARE
    if earned == sum(one.amount for one in moves if one.target.owner == who):
        yield f"{case.name(who)} {why}, which earns {percent(part)} of that: {earned:,}"

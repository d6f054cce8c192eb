"""What happened to one tree node of one job, step by step, each with the log block behind it.

Rules. Everything follows from a replayed log. Events of the job, of its round and of its tree node
become steps in order; one of a kind that this file does not know is told by its name and fields.
Why they happened stands in ``reasons``, where it can be shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from protocol.errors import Reason
from protocol.events import (
    Assigned,
    BlockSealed,
    JobOpened,
    JobSettled,
    JobVoided,
    LeaderElected,
    OperationAccepted,
    OperationRefused,
    ProofRecorded,
    RightMissed,
    RightOpened,
    TakenOver,
    WindowStarted,
)
from protocol.ledger import Moved, PocketKind
from protocol.messages import ProofRecord
from protocol.types import Account, TreeIndex
from scripts.explain.case import Case, percent
from scripts.explain.deal import Deal
from scripts.explain.publiclog import Happened, JobEntry, LogStep, PublicLog
from scripts.explain.reasons import (
    why_dealt,
    why_failed,
    why_in_pool,
    why_these_heirs,
    why_this_heir,
    why_this_pay,
    why_this_proof,
    why_uncle_pay,
)
from scripts.records import plain
from scripts.words import counted

_PAY: Final = "_PAY"
"""How names of causes end by which somebody is paid for proving."""


_SENTENCES: Final[Mapping[str, str]] = {
    "Awarded": "{sequencer} promises the block to {prover}: price {price}, bond {bond} are locked.",
    "BackupOpened": "Anybody may bring a whole proven block before tick {closes}.",
    "BackupTaken": "The whole block came with its proof, by {prover}.",
    "InvalidProofPunished": "{offender} is punished: the bytes behind a record that it signed do "
    "not prove it, as {reporter} showed.",
    "JobProven": "The root is recorded: the job is proven.",
    "JobSettled": "The job is settled.",
    "ProofOffered": "{prover} offers a proof, for the owner of the merge above to take.",
    "ProofPassedOver": "The proof of {prover} lost the draw.",
    "ProverAcquitted": "{prover} keeps its stake: {why}.",
    "ProverSlashed": "{prover} lost stake because it failed the job.",
    "RoundOpened": "Round {round} opens: it takes commitments before tick {closes}.",
    "RunnerUpElected": "{sequencer} may reveal, too: it is next best in round {round}.",
    "SlashPending": "{prover} failed the job: {penalty} of its stake are at risk until tick "
    "{decided}, unless it shows by tick {grace_ends} what it missed.",
    "UncleClaimed": "{prover} shows that it proved it, too: an uncle claim.",
}
"""Kinds of event that one sentence tells, by the names of their classes and fields."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that follows from a log block.

    :ivar kind: for tools.
    :ivar details: lines that show why.
    :ivar fields: the same as plain values.
    """

    kind: str
    log: LogStep
    sentence: str
    details: tuple[str, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of a tree node from public data.

    :ivar outcome: one sentence that says how it ended.
    """

    entry: JobEntry
    index: TreeIndex
    outcome: str
    steps: tuple[Step, ...]


def explain(log: PublicLog, entry: JobEntry, index: TreeIndex) -> Explanation:
    """Explain a tree node of a job."""
    case = Case(log, entry, index)
    steps = tuple(step for one in case.happened for step in _steps(case, one))
    return Explanation(entry, index, _outcome(case), steps)


def _steps(case: Case, one: Happened) -> Iterator[Step]:
    return _TELLERS.get(type(one.event), _tell_plain)(case, one, one.event)


def _tell_plain(case: Case, one: Happened, event: Any) -> Iterator[Step]:
    """A kind of one sentence; one that is not known here by its name and fields."""
    kind = type(event).__name__
    values = {each.name: getattr(event, each.name) for each in dataclasses.fields(event)}
    words = {name: _word(case, value) for name, value in values.items()}
    told = ", ".join(
        f"{name.replace('_', ' ')} {word}"
        for name, word in words.items()
        if name not in ("job", "index")
    )
    sentence = f"{kind}: {told}." if told else f"{kind}."
    if kind in _SENTENCES:
        sentence = _SENTENCES[kind].format(**words)
    fields = {name: plain(value) for name, value in values.items()}
    yield Step(kind, one.step, sentence, fields=fields)


def _word(case: Case, value: Any) -> str:
    if isinstance(value, bytes) or value is None:
        return case.name(value)
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:,}" if type(value) is int else str(plain(value))


# --- before the job ---


def _tell_leader(case: Case, one: Happened, event: LeaderElected) -> Iterator[Step]:
    sentence = f"{case.name(event.leader)} leads round {event.round}."
    if details := tuple(why_in_pool(case, one.step)):
        sentence += f" The pool freezes: {counted(len(case.pool), 'prover')} with a live intent."
    fields = {"round": event.round, "leader": event.leader.hex(), "pool": plain(case.pool)}
    yield Step("LeaderElected", one.step, sentence, details, fields)


def _tell_sealed(case: Case, one: Happened, event: BlockSealed) -> Iterator[Step]:
    header = case.entry.header
    if event.sequencer == header.sequencer:
        yield Step(
            "BlockSealed",
            one.step,
            f"{case.name(event.sequencer)} reveals its block: "
            f"{counted(case.leaves, 'leaf', 'leaves')}, "
            f"fees {header.fees:,}, {percent(header.fee_split)} of them for provers.",
            fields={
                "sequencer": event.sequencer.hex(),
                "fees": header.fees,
                "fee_split": header.fee_split,
            },
        )


def _tell_opened(case: Case, one: Happened, event: JobOpened) -> Iterator[Step]:
    seed, moment = event.header.seed, one.step.moment
    details: tuple[str, ...] = ()
    if seed == moment.beacon:
        details = (f"the beacon of this log block, slot {moment.slot}: {seed.hex()}",)
    fields = {"seed": seed.hex(), "is_beacon": seed == moment.beacon}
    sentence = f"The job opens with seed {seed.hex()[:16]}."
    yield Step("JobOpened", one.step, sentence, details, fields)
    if case.deal is not None and case.deal.deck:
        yield _dealt(case, one.step, case.deal)


def _dealt(case: Case, step: LogStep, deal: Deal) -> Step:
    owners, leaf = case.owners, deal.leaf_of(case.index)
    cards = counted(len(deal.deck), "card")
    return Step(
        "Deal",
        step,
        f"{cards}, shuffled by the seed: {case.place()} goes to {case.names(owners)}.",
        tuple(why_dealt(case, deal)),
        {
            "deck": [
                {"lot": card.lot.hex(), "prover": card.prover.hex(), "number": card.number}
                for card in deal.deck
            ],
            "bits": [
                {"merge": plain(turn.merge), "bit": turn.bit, "child": plain(turn.child)}
                for turn in deal.turns(case.index)
            ],
            "leaf": leaf,
            "card": deal.card_of(leaf),
            "provers": plain(owners),
        },
    )


def _tell_assigned(case: Case, one: Happened, event: Assigned) -> Iterator[Step]:
    is_first = event.prover is None or event.prover == case.owners[0]
    heirs = [] if case.deal is None else [heir.hex() for heir, _ in case.deal.heirs(case.index)]
    yield Step(
        "Assigned",
        one.step,
        f"{case.place().capitalize()} belongs to {case.name(event.prover)}.",
        tuple(why_these_heirs(case)) if is_first else (),
        {"prover": plain(event.prover), "heirs": heirs},
    )


# --- rights ---


def _tell_right_opened(case: Case, one: Happened, event: RightOpened) -> Iterator[Step]:
    tick, admissible = one.step.moment.tick, event.admissible
    details = [f"admissible from tick {admissible} = {tick} + {admissible - tick}, minimal time"]
    inputs = case.inputs(one.step)
    if len(inputs) == 2 and inputs[-1].step is one.step:
        told = (f"{case.place(_index(each))} at tick {each.step.moment.tick}" for each in inputs)
        details.insert(0, f"both inputs are recorded: {' and '.join(told)}")
    fields = {"holder": plain(event.holder), "admissible": admissible}
    sentence = f"The right of {case.name(event.holder)} opens."
    yield Step("RightOpened", one.step, sentence, tuple(details), fields)


def _index(one: Happened) -> TreeIndex:
    assert isinstance(one.event, ProofRecorded)
    return one.event.index


def _prover(one: Happened) -> Account:
    assert isinstance(one.event, ProofRecorded)
    return one.event.prover


def _tell_window(case: Case, one: Happened, event: WindowStarted) -> Iterator[Step]:
    moment = one.step.moment
    yield Step(
        "WindowStarted",
        one.step,
        f"The window of {case.name(event.holder)} starts: it closes after tick {event.closes} = "
        f"{moment.tick} + {event.closes - moment.tick}.",
        (f"this log block's own ancestors finalise height {moment.settled}",),
        {"holder": event.holder.hex(), "closes": event.closes, "settled": moment.settled},
    )


def _tell_missed(case: Case, one: Happened, event: RightMissed) -> Iterator[Step]:
    yield Step(
        "RightMissed",
        one.step,
        f"{case.name(event.holder)} missed: its window has closed and nothing is recorded.",
        tuple(why_failed(case, event)),
        {"holder": event.holder.hex(), "failed": event.failed},
    )


def _tell_taken_over(case: Case, one: Happened, event: TakenOver) -> Iterator[Step]:
    yield Step(
        "TakenOver",
        one.step,
        f"The right passes from {case.name(event.previous)} to {case.name(event.heir)}.",
        tuple(why_this_heir(case, one.step, event)),
        {"previous": event.previous.hex(), "heir": plain(event.heir)},
    )


# --- operations and records ---


def _tell_accepted(case: Case, one: Happened, event: OperationAccepted) -> Iterator[Step]:
    operation, tick = case.operation(event), one.step.moment.tick
    sentence = f"{case.called(operation)} is accepted."
    if isinstance(operation.payload, ProofRecord):
        records = [each for each in case.happened if isinstance(each.event, ProofRecorded)]
        if any(each.step is one.step and _prover(each) == event.sender for each in records):
            return
        if any(each.step.moment.tick == tick + 1 for each in records):
            sentence = f"{case.called(operation)} is accepted: the next log block's beacon decides."
    fields = {"operation": event.operation.hex(), "sender": event.sender.hex()}
    yield Step("OperationAccepted", one.step, sentence, fields=fields)


def _tell_refused(case: Case, one: Happened, event: OperationRefused) -> Iterator[Step]:
    yield Step(
        "OperationRefused",
        one.step,
        f"{case.called(case.operation(event))} is refused: {Reason[event.reason].value}.",
        fields={
            "operation": event.operation.hex(),
            "sender": event.sender.hex(),
            "reason": event.reason,
        },
    )


def _tell_recorded(case: Case, one: Happened, event: ProofRecorded) -> Iterator[Step]:
    yield Step(
        "ProofRecorded",
        one.step,
        f"The proof of {case.name(event.prover)} is recorded, claim {event.claim.hex()[:16]}.",
        tuple(why_this_proof(case, one, event)),
        {"prover": event.prover.hex(), "claim": event.claim.hex()},
    )


# --- the end of the job ---


def _tell_voided(case: Case, one: Happened, event: JobVoided) -> Iterator[Step]:
    because = "" if event.because == event.job else f", because of {case.job(event.because)}"
    fields = {"because": event.because.hex()}
    yield Step("JobVoided", one.step, f"The job is void{because}.", fields=fields)


def _tell_moved(case: Case, one: Happened, event: Moved) -> Iterator[Step]:
    is_first = event in case.moves(one.step)[:1]
    kind, owner = event.target.kind, event.target.owner
    to = case.name(owner) if kind is PocketKind.BALANCE else f"the {kind.value}"
    to = "the burn" if kind is PocketKind.BURNED else to
    yield Step(
        "Moved",
        one.step,
        f"{event.amount:,} to {to}: {event.cause.value}.",
        (*why_uncle_pay(case, event), *(why_this_pay(case, one.step) if is_first else ())),
        {"cause": event.cause.name, "amount": event.amount, "target": plain(event.target)},
    )


def _paid(case: Case, record: ProofRecorded, *, whole: bool) -> int:
    """What the recorded prover was paid for the whole block, or else for the tree node."""
    return sum(
        one.event.amount
        for one in case.happened
        if isinstance(one.event, Moved)
        and one.event.target.owner == record.prover
        and one.event.cause.name.endswith(_PAY)
        and (one.event.place is None) == whole
    )


def _outcome(case: Case) -> str:
    """One sentence about how it ended."""
    record, is_void = case.last(ProofRecorded), case.last(JobVoided) is not None
    place = case.place().capitalize()
    if record is None:
        return f"{place}: {'void' if is_void else 'no proof is recorded when the log ends'}."
    story = f"proven by {case.name(record.prover)}"
    if case.owners and record.prover not in case.owners:
        story += f" in place of {case.names(case.owners)}"
    if is_void:
        story += ", but the job is void"
    paid = {one: amount for one in (True, False) if (amount := _paid(case, record, whole=one))}
    told = [f"{amount:,}{' for the whole block' if one else ''}" for one, amount in paid.items()]
    if told or case.last(JobSettled) is not None:
        story += f", paid {' and '.join(told) or 'nothing'}"
    return f"{place}: {story}."


_TELLERS: Final[Mapping[type, Callable[[Case, Happened, Any], Iterator[Step]]]] = {
    LeaderElected: _tell_leader,
    BlockSealed: _tell_sealed,
    JobOpened: _tell_opened,
    Assigned: _tell_assigned,
    RightOpened: _tell_right_opened,
    WindowStarted: _tell_window,
    RightMissed: _tell_missed,
    TakenOver: _tell_taken_over,
    OperationAccepted: _tell_accepted,
    OperationRefused: _tell_refused,
    ProofRecorded: _tell_recorded,
    JobVoided: _tell_voided,
    Moved: _tell_moved,
}

"""A story that broke a property, told so that a person can follow it: moves, and what came of each.

Everything is read from the world that played it. Accounts go by the names of the cast, blocks by
their number. What changes nothing that a reader would miss (an accepted operation, an operation
fee) is left out, and of a long wait only the beginning and the end are told.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Final

from protocol import tree
from protocol.errors import Reason
from protocol.events import (
    Assigned,
    Event,
    IntentRegistered,
    JobOpened,
    JobProven,
    JobSettled,
    JobVoided,
    LeaderElected,
    OperationRefused,
    ProofOffered,
    ProofPassedOver,
    ProofRecorded,
    RightMissed,
    RightOpened,
    RoundSkipped,
    TakenOver,
    UncleClaimed,
    WindowStarted,
)
from protocol.ledger import Cause, Moved, Pocket, PocketKind
from protocol.testing import Move, World, actor
from protocol.testing.cast import BEGGAR, NEWCOMER, OUTSIDER, PROVERS, SEQUENCERS
from protocol.testing.trial import Find
from protocol.types import Account, JobId, TreeIndex

NAMES: Final[Mapping[bytes, str]] = {
    actor(name).account: name for name in (*SEQUENCERS, *PROVERS, OUTSIDER, BEGGAR, NEWCOMER)
}
LINES_MAX: Final = 24
"""Lines for what came of one move, at most."""

_SILENT: Final = (Cause.OPERATION_FEE,)


def story(find: Find, table: Mapping[str, Move]) -> Iterator[str]:
    """Lines of the story: the network, the moves in order with what came of them, the end.

    :param table: the moves that it is made of.
    """
    world = find.world
    words = _Words(world)
    yield f"  the network: {_network(world)}"
    for number, turn in enumerate(world.turns, start=1):
        yield f"  {number}. {_move(turn.name, turn.arguments)}"
        yield f"     {_meaning(table[turn.name])}"
        lines = [
            f"       tick {tick}: {sentence}"
            for tick, events in turn.blocks
            for sentence in words.sentences(events)
        ]
        yield from _middle_left_out(lines)
    yield f"  then this broke: {find.broken}"
    sentence, _, facts = words.named(find.why).partition(": ")
    if facts:
        yield f"  seen in: {facts}"
    yield f"  because: {sentence}"


def _network(world: World) -> str:
    like = world.scenario
    stakes = ", ".join(
        f"{name} {cards}" for name, cards in zip(like.provers, like.cards, strict=True)
    )
    return (
        f"{like.sequencing.__name__} with {like.proving.__name__}; prover stake in units: "
        f"{stakes}; operation fee {like.operation_fee}, epochs of {like.epoch_ticks} ticks"
    )


def _move(name: str, arguments: Mapping[str, Any]) -> str:
    said = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in arguments.items())
    return name.replace("_", " ") + (f" ({said})" if said else "")


def _meaning(move: Move) -> str:
    """What a move is, in a sentence: the first one of its docstring."""
    text = " ".join((move.play.__doc__ or "").replace("``", "").split())
    return text.partition(". ")[0].rstrip(".")


def _middle_left_out(lines: list[str]) -> list[str]:
    if len(lines) <= LINES_MAX:
        return lines
    half = LINES_MAX // 2
    return [*lines[:half], f"       ... {len(lines) - 2 * half} more ...", *lines[-half:]]


def counted(count: int, one: str, many: str) -> str:
    """A number of things in words."""
    return f"{count:,} {one if count == 1 else many}"


class _Words:
    """Sentences for events, with the names that the story gives."""

    def __init__(self, world: World) -> None:
        self._numbers = {job: number for number, job in enumerate(world.board.jobs)}
        self._jobs = world.board.jobs

    def sentences(self, events: tuple[Event, ...]) -> Iterator[str]:
        """What is worth knowing of a block; all assignments of a job in one sentence."""
        for job, group in groupby(events, _assigned_job):
            if job is None:
                found = (self._sentence(event) for event in group)
                yield from (one for one in found if one is not None)
            else:
                yield self._assignments(job, [one for one in group if isinstance(one, Assigned)])

    def named(self, text: str) -> str:
        """The text with names in place of accounts and jobs."""
        for account, name in NAMES.items():
            text = text.replace(repr(account), name).replace(account.hex(), name)
        for job in self._numbers:
            text = text.replace(repr(job), self._block(job)).replace(job.hex(), self._block(job))
        text = re.sub(r"TreeIndex\(level=(\d+), position=(\d+)\)", r"tree node \1:\2", text)
        text = re.sub(r"<\w+\.(\w+): [^>]*>", r"\1", text)
        return re.sub(r"b'(?:[^'\\]|\\.)*'|b\"(?:[^\"\\]|\\.)*\"", _short, text)

    def _assignments(self, job: JobId, told: list[Assigned]) -> str:
        places: dict[TreeIndex, list[str]] = {}
        for one in told:
            places.setdefault(one.index, []).append(self._who(one.prover))
        deal = ", ".join(
            f"{self._place(job, at)} {' and '.join(who)}" for at, who in places.items()
        )
        return f"{self._block(job)} is assigned: {deal}"

    def _sentence(self, event: Event) -> str | None:
        match event:
            case OperationRefused(_, sender, payload, reason):
                return f"{self._who(sender)}'s {payload} is refused: {_sentence_of(reason)}"
            case IntentRegistered(prover, until):
                return f"{self._who(prover)} can be elected until tick {until}"
            case LeaderElected(round_, leader):
                return f"{self._who(leader)} leads round {round_}"
            case RoundSkipped(round_, _, why):
                return f"round {round_} makes no block: {why.value}"
            case Moved():
                return self._money(event)
            case JobOpened(job, header):
                return (
                    f"{self._block(job)} opens with {counted(header.leaf_count, 'leaf', 'leaves')}"
                )
            case JobProven(job):
                return f"{self._block(job)} is proven"
            case JobSettled(job):
                return f"{self._block(job)} is settled"
            case JobVoided(job, because):
                return f"{self._block(job)} is void because of {self._block(because)}"
        return self._of_tree_node(event)

    def _of_tree_node(self, event: Event) -> str | None:
        match event:
            case RightOpened(job, index, holder, admissible):
                what = f"may deliver {self._place(job, index)} from tick {admissible} on"
                return f"{self._who(holder)} {what}"
            case WindowStarted(job, index, holder, closes):
                return f"{self._who(holder)} has until tick {closes} for {self._place(job, index)}"
            case RightMissed(job, index, holder):
                return f"{self._who(holder)} misses {self._place(job, index)}"
            case TakenOver(job, index, previous, heir):
                passes = f"passes from {self._who(previous)} to {self._who(heir)}"
                return f"{self._place(job, index)} {passes}"
            case ProofRecorded(job, index, prover):
                return f"{self._place(job, index)} is recorded for {self._who(prover)}"
            case ProofPassedOver(job, index, prover):
                return f"{self._who(prover)} loses the draw for {self._place(job, index)}"
            case ProofOffered(job, index, prover):
                return f"{self._who(prover)} offers {self._place(job, index)}"
            case UncleClaimed(job, index, prover):
                return f"{self._who(prover)} shows that it proved {self._place(job, index)}, too"
        return None

    def _money(self, moved: Moved) -> str | None:
        if moved.cause in _SILENT:
            return None
        source, target = self._pocket(moved.source), self._pocket(moved.target)
        return f"{moved.amount:,} go from {source} to {target}: {moved.cause.value}"

    def _pocket(self, pocket: Pocket) -> str:
        kind = pocket.kind.name.lower().replace("_", " ")
        if pocket.kind is PocketKind.BALANCE:
            return self._who(Account(pocket.owner))
        if not pocket.owner:
            return "nobody, burned" if pocket.kind is PocketKind.BURNED else f"the {kind}"
        owner = NAMES.get(pocket.owner) or self._block(JobId(pocket.owner))
        return f"the {kind} of {owner}"

    def _who(self, account: Account | None) -> str:
        return "anybody" if account is None else NAMES.get(account, account.hex()[:8])

    def _block(self, job: JobId) -> str:
        number = self._numbers.get(job)
        return f"what is named {job.hex()[:8]}" if number is None else f"block {number}"

    def _place(self, job: JobId, index: TreeIndex) -> str:
        if index.level == 0:
            return f"leaf {index.position}"
        leaf_count = self._jobs[job].header.leaf_count
        is_root = index == tree.root(leaf_count)
        return "the root" if is_root else f"merge {index.level}:{index.position}"


def _short(literal: re.Match[str]) -> str:
    """Bytes as a person can compare them."""
    return bytes(ast.literal_eval(literal[0])).hex()[:8]


def _assigned_job(event: Event) -> JobId | None:
    return event.job if isinstance(event, Assigned) else None


def _sentence_of(reason: str) -> str:
    return Reason[reason].value

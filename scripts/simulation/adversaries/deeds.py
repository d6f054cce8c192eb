"""What each adversary of a run did, and what met it, from what nodes told.

From hostile nodes is taken that they cheated. What met them, and what they lost and earned, is what
honest nodes say: refusals, what they hold against a peer, and the log where the first of them tells
of a height.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from p2p.observing import MessageRefused
from protocol.events import (
    EquivocationPunished,
    Event as LogEvent,
    IntentRegistered,
    InvalidProofPunished,
    ProofRecorded,
    ProverSlashed,
    RightMissed,
    RoundSkipped,
)
from protocol.happenings import BlockFinal
from protocol.ledger import Cause, Moved
from scripts.cheats.node import ANNOUNCEMENTS
from scripts.simulation.adversaries.adversary import Deed
from scripts.simulation.faults import Hostile
from scripts.simulation.happenings import Cheated, Event, Healed, HeldAgainst

if TYPE_CHECKING:
    from scripts.simulation.node import SimulatedNode

PENALTIES: Final = (
    Cause.EQUIVOCATION,
    Cause.INVALID_PROOF,
    Cause.JOB_FAILED,
    Cause.REVEAL_MISSING,
    Cause.AWARD_BOND_LOST,
)
"""Causes by which an account loses what it has for what it did."""

FOR_PROOFS: Final = (
    Cause.PROVER_PAY,
    Cause.TAKEOVER_PAY,
    Cause.OPEN_PAY,
    Cause.CO_PAY,
    Cause.UNCLE_PAY,
    Cause.VOID_PAY,
    Cause.AWARD_PAY,
)
"""Causes by which an account is paid for proofs."""

COUNTED_ONLY: Final = ("TOO_MANY_PENDING", "TOO_MANY_BIDS")
"""Reasons that a node counts and does not tell of, as they come in floods."""


@dataclass(slots=True)
class _Account:
    """The count of one adversary."""

    hostile: Hostile
    did: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    recorded: int = 0
    enlisted: int = 0
    slashed: int = 0
    paid: Counter[str] = field(default_factory=Counter)
    first_ms: int | None = None


class Deeds:
    """Listens to a run.

    :param accounts: the account of each node by its name.
    :param hostile: names of all nodes whose word does not count.
    """

    def __init__(
        self, cast: Iterable[Hostile], accounts: Mapping[str, bytes], hostile: Collection[str]
    ) -> None:
        self._accounts = [_Account(one) for one in cast]
        self._hostile = frozenset(hostile)
        self._of_node: dict[str, list[_Account]] = {}
        self._of: dict[bytes, list[_Account]] = {}
        self._against: dict[bytes, list[_Account]] = {}
        for one in self._accounts:
            for name in (*one.hostile.nodes, *one.hostile.victims):
                self._of_node.setdefault(name, []).append(one)
            for name in one.hostile.nodes:
                self._of.setdefault(accounts[name], []).append(one)
            for name in one.hostile.victims:
                self._against.setdefault(accounts[name], []).append(one)
        self._height = 0

    def on(self, at_ms: int, node: str, event: Event) -> None:
        """Something happened."""
        if isinstance(event, Cheated) and event.what not in ANNOUNCEMENTS:
            for one in self._of_node.get(node, ()):
                one.did[event.what] += 1
                one.first_ms = at_ms if one.first_ms is None else one.first_ms
        if isinstance(event, Healed):
            for one in self._accounts:
                one.first_ms = None
        if node in self._hostile or not self._accounts:
            return
        if isinstance(event, MessageRefused):
            self._meet(event.peer, event.reason.name)
        elif isinstance(event, HeldAgainst):
            self._meet(event.peer, event.kind.upper())
        elif isinstance(event, BlockFinal) and event.applied.tick > self._height:
            self._height = event.applied.tick
            for told in event.applied.events:
                self._read(told)

    def told(self, at_ms: int, honest: Iterable[SimulatedNode]) -> tuple[Deed, ...]:
        """All of it, at the end, with what these nodes only counted."""
        for node in honest:
            counts = node.node.refusals if node.node else Counter[tuple[str, str, str]]()
            for (_, reason, peer), count in counts.items():
                if reason in COUNTED_ONLY:
                    self._meet(bytes.fromhex(peer), reason, count)
        return tuple(
            Deed(
                one.hostile,
                _sorted(one.did),
                one.first_ms,
                _sorted(one.met),
                one.recorded,
                one.enlisted,
                one.slashed,
                _sorted(one.paid),
                at_ms,
            )
            for one in self._accounts
        )

    def _meet(self, account: bytes | None, what: str, count: int = 1) -> None:
        for one in self._of.get(account or b"", ()):
            one.met[what] += count

    def _read(self, event: LogEvent) -> None:
        answer = _answer(event)
        if answer is not None:
            self._meet(*answer)
        elif isinstance(event, ProofRecorded):
            for one in self._of.get(event.prover, ()):
                one.recorded += 1
        elif isinstance(event, IntentRegistered):
            for one in self._against.get(event.prover, ()):
                one.enlisted += 1
        elif isinstance(event, Moved):
            self._follow(event)

    def _follow(self, moved: Moved) -> None:
        for one in self._of.get(moved.source.owner, ()) if moved.cause in PENALTIES else ():
            one.slashed += moved.amount
        for one in self._of.get(moved.target.owner, ()) if moved.cause in FOR_PROOFS else ():
            one.paid[moved.cause.name] += moved.amount


def _answer(event: LogEvent) -> tuple[bytes | None, str] | None:
    """Whom an event of the log punishes, or passes over, and what for."""
    match event:
        case RightMissed(holder=who, failed=True):
            return who, "RIGHT_MISSED"
        case RoundSkipped(leader=who, why=why):
            return who, why.name
        case ProverSlashed(prover=who):
            return who, "PROVER_SLASHED"
        case EquivocationPunished(offender=who):
            return who, "EQUIVOCATION_PUNISHED"
        case InvalidProofPunished(offender=who):
            return who, "INVALID_PROOF_PUNISHED"
        case _:
            return None


def _sorted(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((what, count) for what, count in counts.items() if count))

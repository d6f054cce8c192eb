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
    InvalidProofPunished,
    ProverSlashed,
    RightMissed,
    RoundSkipped,
)
from protocol.happenings import BlockFinal
from protocol.ledger import Cause, Moved
from scripts.cheats.node import ANNOUNCEMENTS
from scripts.simulation.faults import Hostile
from scripts.simulation.happenings import Cheated, Event, HeldAgainst

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


@dataclass(frozen=True, slots=True)
class Deed:
    """What became of one adversary.

    :ivar did: what its nodes did that no honest one does, with how often.
    :ivar met: what honest nodes said to it, with how often.
    :ivar slashed: what its accounts lost for it, in micro-units.
    :ivar earned: what its accounts were paid for proofs, in micro-units.
    """

    adversary: str
    nodes: tuple[str, ...]
    victims: tuple[str, ...]
    did: tuple[tuple[str, int], ...]
    met: tuple[tuple[str, int], ...]
    slashed: int
    earned: int


@dataclass(slots=True)
class _Account:
    """The count of one adversary."""

    hostile: Hostile
    did: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    slashed: int = 0
    earned: int = 0


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
        for one in self._accounts:
            for name in (*one.hostile.nodes, *one.hostile.victims):
                self._of_node.setdefault(name, []).append(one)
            for name in one.hostile.nodes:
                self._of.setdefault(accounts[name], []).append(one)
        self._height = 0

    def on(self, node: str, event: Event) -> None:
        """Something happened."""
        if isinstance(event, Cheated):
            for one in self._of_node.get(node, ()):
                one.did[event.what] += event.what not in ANNOUNCEMENTS
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

    def told(self, honest: Iterable[SimulatedNode]) -> tuple[Deed, ...]:
        """All of it, at the end, with what these nodes only counted."""
        for node in honest:
            counts = node.node.refusals if node.node else Counter[tuple[str, str, str]]()
            for (_, reason, peer), count in counts.items():
                if reason in COUNTED_ONLY:
                    self._meet(bytes.fromhex(peer), reason, count)
        return tuple(
            Deed(
                one.hostile.adversary,
                one.hostile.nodes,
                one.hostile.victims,
                _sorted(one.did),
                _sorted(one.met),
                one.slashed,
                one.earned,
            )
            for one in self._accounts
        )

    def _meet(self, account: bytes | None, what: str, count: int = 1) -> None:
        for one in self._of.get(account or b"", ()):
            one.met[what] += count

    def _read(self, event: LogEvent) -> None:
        match event:
            case RightMissed(holder=who, failed=True):
                self._meet(who, "RIGHT_MISSED")
            case RoundSkipped(leader=who, why=why):
                self._meet(who, why.name)
            case ProverSlashed(prover=who):
                self._meet(who, "PROVER_SLASHED")
            case EquivocationPunished(offender=who):
                self._meet(who, "EQUIVOCATION_PUNISHED")
            case InvalidProofPunished(offender=who):
                self._meet(who, "INVALID_PROOF_PUNISHED")
            case Moved():
                self._follow(event)
            case _:
                pass

    def _follow(self, moved: Moved) -> None:
        for one in self._of.get(moved.source.owner, ()) if moved.cause in PENALTIES else ():
            one.slashed += moved.amount
        for one in self._of.get(moved.target.owner, ()) if moved.cause in FOR_PROOFS else ():
            one.earned += moved.amount


def _sorted(counts: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((what, count) for what, count in counts.items() if count))

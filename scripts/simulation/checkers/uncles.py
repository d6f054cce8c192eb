"""Uncles: a proof beside the recorded one is paid for once, from what was kept for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from protocol.events import ProofRecorded, UncleClaimed
from protocol.happenings import BlockFinal
from protocol.ledger import Cause, Moved, PocketKind
from scripts.simulation.checkers.checker import Scene
from scripts.simulation.checkers.reading import LogChecker, Place, name_of


class Uncles(LogChecker):
    """Each account claims a tree node once at most, and none of which its own proof is recorded;
    each claim is paid for once at most; all that is paid was kept of the job's escrow before.
    """

    name = "uncles"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._recorded: dict[Place, bytes] = {}
        self._claimed: set[tuple[Place, bytes]] = set()
        self._paid: set[tuple[Place, bytes]] = set()
        self._kept: Counter[bytes] = Counter()

    def read(self, final: BlockFinal) -> Iterator[str]:
        """Follow claims and reserves."""
        for event in final.applied.events:
            match event:
                case ProofRecorded(job, index, prover):
                    self._recorded[job, index.level, index.position] = prover
                case UncleClaimed(job, index, prover):
                    yield from self._claim((job, index.level, index.position), prover)
                case Moved():
                    yield from self._follow(event)

    def _claim(self, place: Place, prover: bytes) -> Iterator[str]:
        if (place, prover) in self._claimed:
            yield f"{name_of(place)} was claimed twice by {prover.hex()[:8]}"
        if self._recorded.get(place) == prover:
            yield f"{name_of(place)} was claimed by {prover.hex()[:8]}, whose proof is recorded"
        self._claimed.add((place, prover))

    def _follow(self, moved: Moved) -> Iterator[str]:
        if moved.target.kind is PocketKind.UNCLE_RESERVE:
            self._kept[moved.target.owner] += moved.amount
        if moved.source.kind is PocketKind.UNCLE_RESERVE:
            job = moved.source.owner
            self._kept[job] -= moved.amount
            if self._kept[job] < 0:
                yield f"job {job.hex()[:8]} paid for uncles what was never kept for them"
        if moved.cause is Cause.UNCLE_PAY:
            yield from self._pay(moved)

    def _pay(self, moved: Moved) -> Iterator[str]:
        if moved.job is None or moved.place is None:
            yield f"pay of {moved.amount} for an uncle names no tree node"
            return
        place = (moved.job, moved.place.level, moved.place.position)
        claim = (place, moved.target.owner)
        if claim not in self._claimed:
            yield f"{name_of(place)}: {claim[1].hex()[:8]} was paid for an uncle without a claim"
        if claim in self._paid:
            yield f"{name_of(place)}: {claim[1].hex()[:8]} was paid twice for an uncle"
        self._paid.add(claim)

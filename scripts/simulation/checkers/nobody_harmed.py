"""Nobody else harmed: whatever adversaries do, honest nodes keep their stake, rights and peers."""

from __future__ import annotations

from collections.abc import Iterator

from p2p.observing import ProofCancelled, ProofFinished, ProofStarted
from protocol.agents import ProofKey
from protocol.events import RightMissed
from protocol.happenings import BlockFinal
from protocol.ledger import Cause, Moved
from scripts.simulation.checkers.checker import Checker, Scene, Violation
from scripts.simulation.happenings import Event, FaultBegan, HeldAgainst

FOR_CRIMES = (Cause.EQUIVOCATION, Cause.INVALID_PROOF)
"""Penalties for what an honest node never does, whatever befalls it."""

PATIENCE_SLOTS = 8
"""So long after an honest prover has its proof it is recorded, if nothing is wrong."""


class NobodyHarmed(Checker):
    """No node that keeps the rules is punished for signing what it must not, or banned by another
    one. While nothing else goes wrong, none of them loses a tree node of its own that it had proven
    in time, or that it never could begin to prove.

    A prover whose machine is too slow, or fails, is harmed by nobody.
    """

    name = "nobody else harmed"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._names = {account: name for name, account in scene.accounts.items()}
        self._height = 0
        self._is_stormy = False
        self._begun: set[tuple[str, ProofKey]] = set()
        self._done_ms: dict[tuple[str, ProofKey], int] = {}
        network = scene.genesis.network
        self._genesis_ms, self._slot_ms = network.genesis_time_ms, network.slot_ms

    def on(self, at_ms: int, node: str, event: Event) -> Iterator[Violation]:
        """Follow proofs; look at each height once."""
        match event:
            case FaultBegan():
                self._is_stormy = True
            case ProofStarted(key):
                self._begun.add((node, key))
            case ProofFinished(key):
                self._done_ms.setdefault((node, key), at_ms)
            case ProofCancelled(key):
                self._done_ms.pop((node, key), None)
            case HeldAgainst("banned", peer):
                banned = self._honest(peer)
                if banned and node not in self.scene.cheats:
                    yield self.found(at_ms, node, f"it banned {banned}, which keeps the rules")
            case BlockFinal() if self._is_next(node, event):
                for sentence in self._read(event):
                    yield self.found(at_ms, node, sentence)
            case _:
                pass

    def _is_next(self, node: str, final: BlockFinal) -> bool:
        if node in self.scene.cheats or final.applied.tick != self._height + 1:
            return False
        self._height += 1
        return True

    def _honest(self, account: bytes | None) -> str:
        """The name of a node that keeps the rules; empty for any other account."""
        name = self._names.get(account or b"", "")
        return "" if name in self.scene.cheats else name

    def _read(self, final: BlockFinal) -> Iterator[str]:
        slot_began_ms = self._genesis_ms + final.moment.slot * self._slot_ms
        for event in final.applied.events:
            if isinstance(event, Moved) and event.cause in FOR_CRIMES:
                name = self._honest(event.source.owner)
                if name:
                    yield f"{name} keeps the rules and lost {event.amount}: {event.cause.value}"
            if isinstance(event, RightMissed) and event.failed and not self._is_stormy:
                name = self._honest(event.holder)
                key = ProofKey(event.job, event.index)
                why = self._unexplained(name, key, slot_began_ms)
                if name and why and name not in self.scene.excused:
                    place = f"{event.index} of job {event.job.hex()[:8]}"
                    yield f"{name} lost its right to {place} {why}"

    def _unexplained(self, name: str, key: ProofKey, missed_ms: int) -> str:
        """Why somebody else must be to blame for a right that was missed; empty if nobody."""
        done_ms = self._done_ms.get((name, key))
        if done_ms is not None and missed_ms - done_ms > PATIENCE_SLOTS * self._slot_ms:
            return f"and had its proof {missed_ms - done_ms} ms before"
        return "" if (name, key) in self._begun else "and never could begin"

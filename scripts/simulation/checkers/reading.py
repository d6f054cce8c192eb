"""What checkers of the log read it with: each height once, and own hashes of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import TypeAlias

from protocol.events import OperationAccepted, OperationRefused
from protocol.happenings import BlockFinal
from protocol.ledger import Cause
from protocol.messages import SignedOperation
from scripts.simulation.checkers.checker import Checker, Scene, Violation
from scripts.simulation.happenings import Event

Place: TypeAlias = tuple[bytes, int, int]
"""A tree node: job, level and position."""

PAYS = (Cause.PROVER_PAY, Cause.OPEN_PAY, Cause.TAKEOVER_PAY)
"""Pay for the recorded proof of a tree node, whatever it is called."""


class LogChecker(Checker):
    """Reads every height of the log once, where a node that keeps the rules tells of it first."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._height = 0

    def on(self, at_ms: int, node: str, event: Event) -> Iterator[Violation]:
        """Read the next height."""
        if not isinstance(event, BlockFinal) or node in self.scene.cheats:
            return
        if event.applied.tick != self._height + 1:
            return
        self._height += 1
        for sentence in self.read(event):
            yield self.found(at_ms, node, sentence)

    def read(self, final: BlockFinal) -> Iterator[str]:
        """A sentence for everything in a block that must not be."""
        del final
        yield from ()


def outcomes(final: BlockFinal) -> list[tuple[SignedOperation, str | None]]:
    """The operations of a block, in order, each with the reason of its refusal, if it was."""
    told = [
        one.reason if isinstance(one, OperationRefused) else None
        for one in final.applied.events
        if isinstance(one, OperationAccepted | OperationRefused)
    ]
    return list(zip(final.block.operations, told, strict=False))


def framed_hash(*parts: bytes) -> bytes:
    """BLAKE2b-256 of parts, each after its length in eight little-endian bytes."""
    joined = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    return blake2b(joined, digest_size=32).digest()


def name_of(place: Place) -> str:
    """A tree node as a person reads it."""
    job, level, position = place
    return f"tree node {level}.{position} of job {job.hex()[:8]}"

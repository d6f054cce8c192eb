"""Within escrow: a job pays out what it brought in, all of it and no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from protocol.events import JobOpened, JobSettled
from protocol.happenings import BlockFinal
from protocol.ledger import Cause, Moved, PocketKind
from protocol.messages import JobHeader
from scripts.simulation.checkers.checker import Scene
from scripts.simulation.checkers.reading import LogChecker

_WHOLE = 10_000
_SEQUENCERS = (Cause.SEQUENCER_SHARE, Cause.FAILED_SHARE, Cause.ROUNDING, Cause.BACKUP_PAY)


class WithinEscrow(LogChecker):
    """A settled job took exactly the fees of its header from the vault, never paid more than came
    in, paid provers no more than their share of it, and left nothing behind.
    """

    name = "within escrow"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._headers: dict[bytes, JobHeader] = {}
        self._fees: Counter[bytes] = Counter()
        self._income: Counter[bytes] = Counter()
        self._spent: Counter[bytes] = Counter()
        self._to_provers: Counter[bytes] = Counter()

    def read(self, final: BlockFinal) -> Iterator[str]:
        """Follow each escrow."""
        for event in final.applied.events:
            if isinstance(event, JobOpened):
                self._headers[event.job] = event.header
            elif isinstance(event, Moved):
                yield from self._follow(event)
            elif isinstance(event, JobSettled):
                yield from self._close(event.job)

    def _follow(self, moved: Moved) -> Iterator[str]:
        if moved.target.kind is PocketKind.ESCROW:
            job = moved.target.owner
            self._income[job] += moved.amount
            if moved.cause is Cause.PROVEN_FEES:
                self._fees[job] += moved.amount
        if moved.source.kind is PocketKind.ESCROW:
            job = moved.source.owner
            self._spent[job] += moved.amount
            if moved.cause not in _SEQUENCERS:
                self._to_provers[job] += moved.amount
            if self._spent[job] > self._income[job]:
                spent, income = self._spent[job], self._income[job]
                yield f"job {job.hex()[:8]} paid {spent}, and {income} came in"

    def _close(self, job: bytes) -> Iterator[str]:
        header = self._headers.get(job)
        if header is None:
            yield f"job {job.hex()[:8]} was settled and never opened"
            return
        due = sum(leaf.fees for leaf in header.content.leaves)
        if self._fees[job] != due:
            yield f"job {job.hex()[:8]} took {self._fees[job]} from the vault, and proved {due}"
        if self._spent[job] != self._income[job]:
            left = self._income[job] - self._spent[job]
            yield f"job {job.hex()[:8]} was settled with {left} left in its escrow"
        share = self._income[job] * header.fee_split // _WHOLE
        if self._to_provers[job] > share:
            yield f"job {job.hex()[:8]} paid {self._to_provers[job]} to provers, of {share}"

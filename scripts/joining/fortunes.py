"""What the log does for one account, and to it: elections, misses, income, losses, its seat.

Whoever joins wants to know whether it pays. A line of this is worth more to them than the state.
Fees of operations are left out: a validator has some in nearly every block.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from protocol.events import Assigned, RightMissed, SetChanged
from protocol.happenings import BlockFinal
from protocol.ledger import Cause, Moved, balance
from protocol.types import Account, JobId, TreeIndex
from scripts.money import EARNINGS

_INCOME: Final = {Cause[name] for name in EARNINGS} - {Cause.OPERATION_FEE}
_PENALTIES: Final = {
    Cause.REVEAL_MISSING,
    Cause.JOB_FAILED,
    Cause.INVALID_PROOF,
    Cause.EQUIVOCATION,
    Cause.BOND_LOST,
    Cause.AWARD_BOND_LOST,
}


class Fortunes:
    """Reads final blocks for one account.

    :param is_seated: whether it orders the log before the first of them.
    """

    def __init__(self, account: Account, *, is_seated: bool) -> None:
        self._account = account
        self._is_seated = is_seated

    def lines(self, final: BlockFinal) -> Iterator[str]:
        """What a final block brought, in words."""
        elected: dict[JobId, list[TreeIndex]] = defaultdict(list)
        for event in final.applied.events:
            match event:
                case Assigned(job, index, prover) if prover == self._account:
                    elected[job].append(index)
                case RightMissed(job, index, holder) if holder == self._account:
                    yield f"missed the window of tree node {index} of job {job.hex()[:8]}"
                case SetChanged():
                    yield from self._seat(event)
        for job, places in elected.items():
            noun = "tree node" if len(places) == 1 else "tree nodes"
            yield f"elected for {noun} {', '.join(map(str, places))} of job {job.hex()[:8]}"
        yield from self._money(final)

    def _money(self, final: BlockFinal) -> Iterator[str]:
        gained: Counter[Cause] = Counter()
        moves = [one for one in final.applied.events if isinstance(one, Moved)]
        for move in moves:
            if move.cause in _INCOME and move.target == balance(self._account):
                gained[move.cause] += move.amount
            if move.cause in _PENALTIES and move.source.owner == self._account:
                yield f"lost {move.amount:,}: {move.cause.value}"
        for cause, amount in gained.items():
            yield f"earned {amount:,}: {cause.name.lower().replace('_', ' ')}"

    def _seat(self, change: SetChanged) -> Iterator[str]:
        is_seated = any(one.account == self._account for one in change.members)
        if is_seated != self._is_seated:
            self._is_seated = is_seated
            verb = "orders the log" if is_seated else "does not order the log"
            yield f"this node {verb} from epoch {change.epoch} on"

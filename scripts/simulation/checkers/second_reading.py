"""Second reading: whoever applies the log anew, with rules written anew, pays the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from protocol.events import JobSettled
from protocol.happenings import BlockFinal
from protocol.ledger import Moved, PocketKind
from protocol.machine import FinalBlock
from protocol.types import Account
from prover.modelled import ModelledBackend
from scripts.audit.books import READABLE, Audit
from scripts.simulation.checkers.checker import Scene
from scripts.simulation.checkers.reading import LogChecker


class SecondReading(LogChecker):
    """:mod:`scripts.audit` reads every final block and no event of any node. After each block the
    same jobs are settled, and each account was paid as much for the same causes. Of a pair of rules
    that is not written a second time this checker says nothing.
    """

    name = "second reading"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        genesis = scene.genesis
        chosen = (genesis.sequencing.name, genesis.proving.name)
        is_readable = chosen in READABLE and genesis.network.backend == "modelled"
        root = (
            ModelledBackend().genesis([(one.account, one.balance) for one in genesis.rollup]).root
        )
        self._audit = Audit(genesis, root) if is_readable else None
        self._settled: list[bytes] = []
        self._earned: Counter[tuple[Account, str]] = Counter()

    def read(self, final: BlockFinal) -> Iterator[str]:
        """Apply a block, and compare."""
        if self._audit is None:
            return
        self._audit.apply(FinalBlock(final.moment, final.block.operations))
        for event in final.applied.events:
            if isinstance(event, JobSettled):
                self._settled.append(event.job)
            elif isinstance(event, Moved) and event.target.kind is PocketKind.BALANCE:
                self._earned[Account(event.target.owner), event.cause.name] += event.amount
        again = [one.job for one in self._audit.settled]
        if again != self._settled:
            yield f"{len(self._settled)} jobs were settled, and {len(again)} when read again"
        yield from self._compare_income()

    def _compare_income(self) -> Iterator[str]:
        assert self._audit is not None, "only what can be read is compared"
        again = {
            (who, cause): amount
            for who, causes in self._audit.earned.items()
            for cause, amount in causes.items()
        }
        causes = {cause for _, cause in again}
        for who, cause in sorted(set(again) | {one for one in self._earned if one[1] in causes}):
            told, due = self._earned[who, cause], again.get((who, cause), 0)
            if told != due:
                yield f"{who.hex()[:8]} got {told} as {cause}, and {due} when read again"

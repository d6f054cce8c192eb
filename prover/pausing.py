"""Pausing a prover without losing stake.

The problem: whoever wants its machine back cannot just stop its prover: rights that it was elected
or chosen for go on, and to miss them costs pay, bond or stake.

The rules:

- A paused prover does not enlist and does not bid. Where its last intent reaches far, it gives
  another one that ends within :data:`WITHDRAWAL_TICKS`. Until then it counts, and so does a bid
  that was sent: rights that come of them are served.
- It serves every right that is its own or that it inherits, and proves nothing that anybody may
  prove, unless it loses by leaving it.
- It is *drained* once it cannot be elected any more, each block that could still have named it has
  opened or left, it has no right left, and nothing runs here. That is told once; stopping the node
  loses nothing from then on.
- Resuming enlists again, by the usual rules.

That the node is paused is a note of the node, so a restart keeps it. Which blocks could still name
it is not: after a restart all blocks that are to come count, so that drained is told later then,
never earlier.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from protocol.agents import Submit, Tell, View, is_paused
from protocol.messages import Intent
from protocol.rules import ProvingDuty, Stage
from protocol.types import Account, Count, Round, Tick

DRAINED: Final = "drained: nothing is owed any more, stopping this node now loses nothing"
"""What is told once nothing is left to serve."""


WITHDRAWAL_TICKS: Final = Tick(8)
"""How far the last intent of a paused prover reaches: time to be ordered, or it would be refused
as one that has passed."""


def withdrawal(view: View, capacity: Count) -> Iterator[Submit]:
    """An intent that ends soon, instead of one that reaches further."""
    machine = view.machine
    election, until = machine.proving.election(view.account), machine.tick + WITHDRAWAL_TICKS
    if election is not None and election.until > until:
        yield Submit(Intent(capacity, Tick(until)))


def is_bound(duty: ProvingDuty) -> bool:
    """Whether leaving the duty could lose something, or give up a right that others wait for."""
    return duty.stage in (Stage.OWN, Stage.TAKEOVER) or duty.at_stake > 0


class Drain:
    """Finds out when a paused prover has served all it had."""

    def __init__(self) -> None:
        self._blocks: tuple[tuple[Round, Account], ...] | None = None
        self._is_told = False

    def tell(self, view: View) -> Iterator[Tell]:
        """Says once that the prover is drained; call it upon every event."""
        if not is_paused(view):
            self._blocks, self._is_told = None, False
        elif not self._is_told and self._is_drained(view):
            self._is_told = True
            yield Tell(DRAINED)

    def _is_drained(self, view: View) -> bool:
        machine = view.machine
        election = machine.proving.election(view.account)
        is_enlisting = any(isinstance(one, Intent) for one in view.own_pending())
        if is_enlisting or (election is not None and election.until >= machine.tick):
            return False
        awaited = tuple((one.round, one.sequencer) for one in machine.sequencing.awaited())
        before = awaited if self._blocks is None else self._blocks
        self._blocks = tuple(one for one in before if one in awaited)
        duties = machine.proving.duties(view.account)
        return not (self._blocks or view.running() or any(map(is_bound, duties)))

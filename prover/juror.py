"""Votes for a validator on slashes, where a network asks the log stake before it slashes.

Rule. A prover that failed a job is guilty unless a valid proof by it of every tree node that it
missed is known here: heard, fetched and verified, whether or not anybody ordered it. So proposers
that leave a proof out do not decide who is slashed, as long as most validators heard of it.

The agent keeps no state: what is asked for is said by the proving rule, what was proven is in the
view. A validator that was away while a proof was told takes its prover for guilty.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocol.agents import Action, AgentEvent, Submit, View
from protocol.happenings import BlockFinal
from protocol.ledger import log_stake
from protocol.messages import SlashVote
from protocol.rules import Ballot


class JurorAgent:
    """The agent of this module."""

    def decide(self, view: View, event: AgentEvent) -> tuple[Action, ...]:
        """After each block, a vote on each slash that the account may vote on."""
        stake = view.machine.ledger.holds(log_stake(view.account))
        return tuple(self._votes(view)) if isinstance(event, BlockFinal) and stake else ()

    def _votes(self, view: View) -> Iterator[Action]:
        machine, pending = view.machine, view.own_pending()
        for errand in machine.proving.errands(view.account, machine.tick):
            if isinstance(errand, Ballot):
                vote = SlashVote(errand.job, errand.prover, not _has_proven(view, errand))
                if all(not _is_on(one, errand) for one in pending):
                    yield Submit(vote)


def _is_on(payload: object, ballot: Ballot) -> bool:
    """Whether a payload is a vote on the same slash, whatever it says."""
    about = (ballot.job, ballot.prover)
    return isinstance(payload, SlashVote) and (payload.job, payload.prover) == about


def _has_proven(view: View, ballot: Ballot) -> bool:
    return all(
        any(known.prover == ballot.prover for known in view.proofs(ballot.job, index))
        for index in ballot.missed
    )

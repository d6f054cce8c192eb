"""Who orders the log in each epoch.

Problem. Validators come and go while the network runs, and everybody has to know at any height
whose votes count, without seeing anything but the chain.

Rules.

1. The set of epoch ``e`` has the log stake of the end of epoch ``e - 3``, own and lent, of every
   account with a key of lots; of more than :data:`MEMBERS_MAX` the largest. Epochs 0 to 2 have
   that of the genesis. So a key is older than the seed under which it draws (``protocol.beacon``).
2. Who missed more than half of the votes of an epoch ``e - 2``, by the certificates that the
   headers of the epoch carry, is *absent* and left out of the set of epoch ``e``.
3. Who is absent comes back by voting while it is still in a set, or by any operation of its own
   that is ordered; then the next set that is made has it again. Who has nothing else to say sends a
   :class:`~protocol.messages.Presence`, which costs a fee like any other.
4. The absent are left out, smallest stakes first, only as long as those who stay hold more than
   two thirds of the stake of rule 1: a quorum of the whole. Where nobody has stake the set stays.

So the set of the next epoch is known while an epoch runs: who is one epoch behind can check what it
hears, and the last block of an epoch is shown to be final by a certificate of the next one
(``protocol.ordering.streamlet``).

What is assumed. Less than a third of the stake of *each set* is hostile. As rule 4 may leave out up
to a third of the honest stake, that holds while less than two ninths of all log stake are hostile.
Stake that was burned for a fault counts until the end of the second epoch after.

Sources. Stake of three epochs before: Starknet's staking (``docs.starknet.io``, staking, "Latencies
on state changes"). That the absent leave is ours; Cosmos jails them at once
(``docs.cosmos.network``, x/slashing, "Liveness tracking").

Properties. Pure; a function of the final blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.errors import Reason, Refused
from protocol.ledger import Ledger, PocketKind
from protocol.ordering.validators import Validator, Validators
from protocol.params import Genesis
from protocol.types import Account, Stake, VrfKey

MEMBERS_MAX: Final = 256
"""Most validators of an epoch: their certificate still fits a header."""


def genesis_validators(genesis: Genesis) -> Validators:
    """The set of the first three epochs."""
    return Validators(
        Validator(one.account, one.log_stake, one.vrf_key)
        for one in genesis.accounts
        if one.log_stake
    )


@dataclass(frozen=True, slots=True)
class SetsState:
    """All that :class:`Sets` knows.

    :ivar staked: stakes at the end of the last epoch.
    :ivar certificates: of blocks of this epoch that were shown.
    :ivar votes: in how many of them each account voted.
    :ivar absent: who is left out of the next set, as far as that is safe.
    """

    predecessors: tuple[Validator, ...]
    validators: tuple[Validator, ...]
    successors: tuple[Validator, ...]
    staked: tuple[Validator, ...]
    certificates: int
    votes: dict[Account, int]
    absent: dict[Account, None]


class Sets:
    """The validators of three epochs in a row, and what the one after depends on.

    :ivar predecessors: of the epoch before the next block's; those of the first epoch at first.
    :ivar validators: of the next block's epoch.
    :ivar successors: of the epoch after that.
    """

    def __init__(self, genesis: Genesis) -> None:
        """Begin with the validators of the genesis."""
        self.predecessors = self.validators = self.successors = genesis_validators(genesis)
        self._staked = self.validators.members
        self._certificates = 0
        self._votes: dict[Account, int] = {}
        self._absent: dict[Account, None] = {}

    def snapshot(self) -> SetsState:
        """All state."""
        return SetsState(
            self.predecessors.members,
            self.validators.members,
            self.successors.members,
            self._staked,
            self._certificates,
            self._votes,
            self._absent,
        )

    def restore(self, state: SetsState) -> None:
        """Go on from there.

        :raises Refused: WRONG_STATE for what is no set of validators; then nothing changed.
        """
        rows = (state.predecessors, state.validators, state.successors)
        try:
            sets = [Validators(row) for row in rows]
            staked = Validators(state.staked).members if state.staked else ()
        except ValueError as failure:
            raise Refused(Reason.WRONG_STATE, str(failure)) from None
        self.predecessors, self.validators, self.successors = sets
        self._staked, self._certificates = staked, state.certificates
        self._votes, self._absent = state.votes, state.absent

    def on_certificate(self, voters: tuple[Account, ...]) -> None:
        """A header showed who voted for a block of this epoch."""
        self._certificates += 1
        for voter in voters:
            self._votes[voter] = self._votes.get(voter, 0) + 1

    def is_absent(self, account: Account) -> bool:
        """Whether the account is left out of the next set that is made, as far as that is safe."""
        return account in self._absent

    def on_operation(self, sender: Account) -> None:
        """An operation was ordered: its sender is there."""
        self._absent.pop(sender, None)

    def on_border(self, ledger: Ledger, keys: dict[Account, VrfKey]) -> bool:
        """The last block of an epoch was applied. Whether the set that was made is another one."""
        self._note_absence()
        made = self._made()
        changed = made.members != self.successors.members
        self.predecessors, self.validators, self.successors = self.validators, self.successors, made
        self._staked = _members(ledger, keys)
        return changed

    def _note_absence(self) -> None:
        for member in self.validators.members:
            missed = self._certificates - self._votes.get(member.account, 0)
            self._absent.pop(member.account, None)
            if 2 * missed > self._certificates:
                self._absent[member.account] = None
        self._certificates, self._votes = 0, {}

    def _made(self) -> Validators:
        """The stakes of an epoch before, without the absent as far as rule 4 goes."""
        if not self._staked:
            return self.successors
        whole = Validators(self._staked)
        left, absent = whole.total, []
        for member in sorted(whole.members, key=lambda one: (one.stake, one.account)):
            if member.account in self._absent and left - member.stake >= whole.quorum:
                left = Stake(left - member.stake)
                absent.append(member.account)
        return Validators(one for one in whole.members if one.account not in absent)


def _members(ledger: Ledger, keys: dict[Account, VrfKey]) -> tuple[Validator, ...]:
    """Everybody with log stake and a key, the largest stakes if there are too many."""
    found = [
        Validator(Account(pocket.owner), Stake(held), keys[Account(pocket.owner)])
        for pocket, held in ledger.pockets().items()
        if pocket.kind is PocketKind.LOG_STAKE and pocket.owner in keys
    ]
    found.sort(key=lambda one: (-one.stake, one.account))
    return tuple(sorted(found[:MEMBERS_MAX], key=lambda one: one.account))

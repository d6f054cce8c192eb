"""Who orders, with how much stake, and how lots are drawn among them.

The lot. Everybody is a candidate in every slot. A validator with ``k`` units of stake draws ``k``
tickets, the hashes of its VRF output with 0 to ``k - 1``; its rank is the smallest of them and the
smallest rank of a slot is best. Every unit is as likely as any other to hold the smallest ticket,
so a validator wins in proportion to its stake, in integers only, and splitting stake gains nothing.

The unit is the greatest common divisor of all stakes, which makes the proportion exact. When
somebody would then hold more than :data:`UNITS_MAX` units, the unit is the largest stake divided by
that, and stakes are rounded down to it, but never below one unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from protocol.codec import encode
from protocol.signing import digest
from protocol.types import Account, Digest, Stake, VrfKey, VrfOutput

UNITS_MAX: Final = 256
"""Most tickets of one validator: as many hashes cost about as much as checking its VRF proof."""

RANK_BITS: Final = 64
"""A rank is an integer below two to this power."""


@dataclass(frozen=True, slots=True)
class Validator:
    """An account with log stake and the key of its lots."""

    account: Account
    stake: Stake
    vrf_key: VrfKey


@dataclass(frozen=True, slots=True)
class Identity:
    """The secrets of one validator, 32 bytes each."""

    account: Account
    signing_seed: bytes
    vrf_seed: bytes


class Validators:
    """The validators of an epoch, an immutable value.

    :raises ValueError: when there are none, two with one account, or one without stake.
    """

    def __init__(self, members: Iterable[Validator]) -> None:
        self.members: Final = tuple(sorted(members, key=lambda member: member.account))
        self._by_account: Final = {member.account: member for member in self.members}
        stakes = [member.stake for member in self.members]
        if not stakes or len(self._by_account) < len(stakes) or min(stakes) < 1:
            raise ValueError("validators are at least one, each with an own account and some stake")
        self.total: Final = Stake(sum(stakes))
        self.quorum: Final = Stake(self.total * 2 // 3 + 1)
        self._unit: Final = max(math.gcd(*stakes), -(-max(stakes) // UNITS_MAX))

    @cached_property
    def digest(self) -> Digest:
        """Names the set: digest of its members."""
        return digest(b"provnet/validators/1", *(encode(one) for one in self.members))

    def get(self, account: Account) -> Validator | None:
        """The validator with this account, None when it has no log stake."""
        return self._by_account.get(account)

    def stake(self, accounts: Iterable[Account]) -> Stake:
        """Sum of the stakes of validators, each of which counts as often as it is named."""
        return Stake(sum(self._by_account[account].stake for account in accounts))

    def rank(self, validator: Validator, output: VrfOutput) -> int:
        """The rank of a validator in the slot for which it proved ``output``; smaller is better."""
        units = max(1, validator.stake // self._unit)
        return min(_ticket(output, number) for number in range(units))


def _ticket(output: VrfOutput, number: int) -> int:
    hashed = digest(b"provnet/log-rank/1", output, number.to_bytes(2, "little"))
    return int.from_bytes(hashed[: RANK_BITS // 8], "little")

"""How much test money may go to whom, and when: the rules of a faucet, without clock and files.

**The problem.** A faucet gives money to whoever asks, and accounts cost nothing: whoever wants all
of it asks with many. What cannot be kept from the greedy is bounded in time instead.

**Rules.** An ask names an account, the address that it came from, and a height of the log. It is
refused

1. within ``pause_s`` after the last gift, to whomever: so nobody, with however many accounts and
   addresses, gets more than one gift a pause;
2. when its height is not one of the last :data:`FRESH_TICKS`, or not above that of the last gift to
   the account: so what was signed once serves once, whoever shows it again, and nothing that was
   signed long ago serves at all;
3. within ``account_pause_s`` after the last gift to the account;
4. when the gifts of the last ``period_s`` to the account, or to the accounts that asked from its
   address, would come to more than the most for either.

Where a network is handed out to a whole house, IPv6, the house is one address: its first 64 bits.
Addresses are those of connections: what a request says of them itself is not looked at.

**Why a height** and not a nonce of the faucet's: it needs no second question and nothing to be
remembered of those who ask and never come back, so asking costs the faucet no memory.

**Properties.** At most :data:`GIFTS_MAX` gifts are remembered, and none is forgotten while a rule
still looks at it. A refused ask changes nothing. A clock that is set back makes everybody wait, and
gives nothing twice.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from protocol.types import Account, Amount, Milliseconds, Tick
from scripts.configuration import FaucetConfiguration
from scripts.service.values import Refusal

FRESH_TICKS: Final = 32
"""How many of the last heights an ask may name: whoever asks is a few slots behind at the most."""

GIFTS_MAX: Final = 1_024
"""Most gifts that are remembered, and so most within a period."""

SHARED_BITS: Final = 64
"""Leading bits of an IPv6 address that are one house's, at the least (RFC 6177)."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody wants test money.

    :ivar address: as :func:`group` names it.
    :ivar tick: the height that was signed.
    """

    account: Account
    address: str
    tick: Tick


@dataclass(frozen=True, slots=True)
class Gift:
    """What was given for an ask."""

    ask: Ask
    amount: Amount
    at_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class Objection:
    """Why nothing is given now.

    :ivar wait_ms: after so long the same reason does not stand in the way; 0: it will.
    """

    refusal: Refusal
    hint: str
    wait_ms: int = 0


@dataclass(frozen=True, slots=True)
class Rations:
    """The terms of a faucet and what it gave, oldest first.

    :ivar gifts: those that a rule still looks at, and perhaps older ones.
    """

    terms: FaucetConfiguration
    gifts: tuple[Gift, ...] = ()

    def objection(self, ask: Ask, head: Tick, now_ms: Milliseconds) -> Objection | None:
        """Why an ask is refused; None when it may be granted.

        :param head: height of the log.
        """
        terms = self.terms
        wait_ms = self.gifts[-1].at_ms + 1_000 * terms.pause_s - now_ms if self.gifts else 0
        if wait_ms > 0:
            return _too_soon("between two gifts", wait_ms)
        own = [one for one in self.gifts if one.ask.account == ask.account]
        if not head - FRESH_TICKS < ask.tick <= head:
            return Objection(Refusal.STALE_PROOF, f"sign the height of the log, which is {head}")
        if own and ask.tick <= max(one.ask.tick for one in own):
            return Objection(Refusal.USED_PROOF, "sign a newer height, once the log has one")
        wait_ms = own[-1].at_ms + 1_000 * terms.account_pause_s - now_ms if own else 0
        if wait_ms > 0:
            return _too_soon("between two gifts to an account", wait_ms)
        near = [one for one in self.gifts if one.ask.address == ask.address]
        return (
            self._too_much("this account", own, terms.account_max, now_ms)
            or self._too_much("those who ask from this address", near, terms.address_max, now_ms)
            or self._too_many(head, now_ms)
        )

    def after(self, ask: Ask, head: Tick, now_ms: Milliseconds) -> Rations:
        """The same with one more gift, for an ask that nothing was said against, and without those
        that no rule looks at any more.
        """
        gift = Gift(ask, Amount(self.terms.amount), now_ms)
        return Rations(self.terms, (*self._remembered(head, now_ms), gift))

    def _remembered(self, head: Tick, now_ms: Milliseconds) -> tuple[Gift, ...]:
        return tuple(
            one
            for one in self.gifts
            if self._counts(one, now_ms) or one.ask.tick > head - FRESH_TICKS
        )

    def _counts(self, gift: Gift, now_ms: Milliseconds) -> bool:
        return gift.at_ms + 1_000 * self.terms.period_s > now_ms

    def _too_much(
        self, who: str, gifts: list[Gift], most: int, now_ms: Milliseconds
    ) -> Objection | None:
        counted = [one for one in gifts if self._counts(one, now_ms)]
        if sum(one.amount for one in counted) + self.terms.amount <= most:
            return None
        wait_ms = counted[0].at_ms + 1_000 * self.terms.period_s - now_ms
        hint = f"within {_span(1_000 * self.terms.period_s)}, {who} can get {most:,}"
        return Objection(Refusal.TOO_MUCH, f"{hint}: ask again in {_span(wait_ms)}", wait_ms)

    def _too_many(self, head: Tick, now_ms: Milliseconds) -> Objection | None:
        kept = self._remembered(head, now_ms)
        if len(kept) < GIFTS_MAX:
            return None
        wait_ms = max(1, kept[0].at_ms + 1_000 * self.terms.period_s - now_ms)
        return _too_soon(f"after {GIFTS_MAX:,} gifts", wait_ms)


def group(address: str) -> str:
    """Whom an address stands for: itself, or all of the network that one house has.

    :param address: of a connection; what is none stands for itself.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, SHARED_BITS), strict=False))


def _too_soon(what: str, wait_ms: int) -> Objection:
    hint = f"there is a pause {what}: ask again in {_span(wait_ms)}"
    return Objection(Refusal.TOO_SOON, hint, wait_ms)


def _span(span_ms: int) -> str:
    """A time that is long enough."""
    seconds = -(-span_ms // 1_000)
    if seconds < 120:
        return f"{seconds} s"
    return f"{-(-seconds // 60)} min" if seconds < 7_200 else f"{-(-seconds // 3_600)} h"

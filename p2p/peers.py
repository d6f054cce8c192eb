"""Whom to be connected to: the address book, the keeper of connections, the exchange of addresses.

**The problem.** The library's discovery forgets bootstrap peers after three failures, redials after
a minute, and believes what it hears. A small network wants everybody connected, soon, and again
soon after a restart.

**Rules.** Up to ``limits.PEERS_MAX`` known accounts are connected, and we go to
``limits.PEERS_OUTBOUND_MIN`` of them ourselves however many come to us. Of those to whom we go at
most ``limits.PEERS_PER_RANGE_MAX`` are in one range of public addresses: together these keep an
owner of many addresses from being all our peers (Heilman and others, Eclipse attacks on Bitcoin's
peer-to-peer network, 2015, measures 1 to 6). Loopback and private addresses are not counted, as
nobody reaches us there from far away, nor are bootstrap entries, which the operator chose.
A failed dial waits 0.5 s, doubling to 30 s, jittered.
Bootstrap entries are never forgotten. Of two accounts the smaller dials first, so that rarely both
do. An address heard from a peer must name its account, must not be a name to look up, and may be
loopback only if we listen there ourselves.
Peers pass on only addresses of accounts to which they are connected now.
"""

from __future__ import annotations

import ipaddress
import json
import math
import os
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

import trio

from p2p import limits
from p2p.conduct import Conduct
from p2p.identity import account_of_text, peer_text
from p2p.registry import log
from p2p.store import StoreError, unusable
from protocol.ports import RequestFailed
from protocol.types import Account, Milliseconds

ADDRESSES_REQUEST: Final = "addresses"
"""Name of the address exchange: our addresses out, addresses of connected peers back, one a
line.
"""

_PORT_MAX: Final = 65_535
_IP_KINDS: Final = ("ip4", "ip6")
_NAME_KINDS: Final = ("dns", "dns4", "dns6")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_EXCHANGE_TIMEOUT: Final = Milliseconds(5_000)


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where an account may be reached over TCP: ``/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW...``."""

    kind: str
    host: str
    port: int
    account: Account

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read a multiaddress. Raises ValueError for anything that is not TCP to an Ed25519
        account.
        """
        parts = text.split("/")
        if len(text) > limits.ADDRESS_CHARACTERS_MAX or len(parts) != 7 or parts[0]:
            raise ValueError("not an address of the form /ip4/HOST/tcp/PORT/p2p/ID")
        _, kind, host, tcp, port, p2p, peer = parts
        if (tcp, p2p) != ("tcp", "p2p"):
            raise ValueError("not an address: only /tcp/PORT/p2p/ID is understood")
        try:
            checked = _checked_host(kind, host), _checked_port(port), account_of_text(peer)
        except ValueError as error:
            raise ValueError(f"not an address: {error}") from None
        return cls(kind, *checked)

    def __str__(self) -> str:
        return f"{self.transport}/p2p/{peer_text(self.account)}"

    @property
    def transport(self) -> str:
        """The part before the account."""
        return f"/{self.kind}/{self.host}/tcp/{self.port}"

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The IP address, or None when the host is a name."""
        return ipaddress.ip_address(self.host) if self.kind in _IP_KINDS else None


@lru_cache(maxsize=4 * limits.ADDRESSES_MAX)
def range_of(ip: str) -> str | None:
    """The range of a public IP address, in which one owner may have many; None for others.

    The bits are ``limits.IP4_RANGE_BITS`` and ``limits.IP6_RANGE_BITS``. Raises ValueError when it
    is no IP address.
    """
    address = ipaddress.ip_address(ip)
    if not address.is_global:
        return None
    bits = limits.IP4_RANGE_BITS if address.version == 4 else limits.IP6_RANGE_BITS
    return str(ipaddress.ip_network(f"{ip}/{bits}", strict=False))


def _ranges(addresses: Iterable[Address]) -> set[str | None]:
    """Ranges of addresses; a name has none."""
    return {range_of(one.host) if one.kind in _IP_KINDS else None for one in addresses}


def _checked_host(kind: str, host: str) -> str:
    if kind == "ip4":
        return str(ipaddress.IPv4Address(host))
    if kind == "ip6":
        return str(ipaddress.IPv6Address(host))
    if kind in _NAME_KINDS and _NAME.fullmatch(host):
        return host
    raise ValueError(f"not a host: /{kind}/{host!r}")


def _checked_port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text[:6]) <= _PORT_MAX:
        raise ValueError(f"not a port: {text!r}")
    return int(text)


def acceptable(address: Address, *, loopback: bool) -> bool:
    """Whether an address heard from a peer may be dialled: a plain unicast IP, loopback only if
    allowed.
    """
    ip = address.ip
    if ip is None or ip.is_multicast or ip.is_unspecified or ip.is_link_local or ip.is_reserved:
        return False
    return loopback or not ip.is_loopback


@dataclass(slots=True)
class Entry:
    """What is known about one account's whereabouts."""

    addresses: list[Address] = field(default_factory=list)
    bootstrap: bool = False
    failures: int = 0
    next_try: float = -math.inf
    """In trio's time."""


class AddressBook:
    """Addresses by account, bounded; may be kept in a file. One book belongs to one node."""

    def __init__(self, bootstrap: Iterable[Address] = ()) -> None:
        self._entries: dict[Account, Entry] = {}
        for address in bootstrap:
            self.add(address, bootstrap=True)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, account: Account) -> bool:
        return account in self._entries

    def accounts(self) -> list[Account]:
        """Known accounts, sorted."""
        return sorted(self._entries)

    def entry(self, account: Account) -> Entry:
        """What is known about ``account``. Raises KeyError when nothing is."""
        return self._entries[account]

    def addresses(self, account: Account) -> list[Address]:
        """Its addresses, newest first; empty when unknown."""
        return list(self._entries[account].addresses) if account in self._entries else []

    def add(self, address: Address, *, bootstrap: bool = False) -> None:
        """Note an address. A bootstrap entry is never forgotten, and nobody else changes its
        addresses.
        """
        entry = self._entries.get(address.account)
        if entry is None:
            entry = self._entries[address.account] = Entry()
        if entry.bootstrap and not bootstrap:
            return
        if bootstrap and not entry.bootstrap:
            entry.addresses.clear()
        entry.bootstrap = entry.bootstrap or bootstrap
        if address not in entry.addresses:
            entry.addresses.insert(0, address)
            del entry.addresses[limits.ADDRESSES_PER_ACCOUNT_MAX :]
        self._bound(address.account)

    def succeeded(self, account: Account) -> None:
        """A connection to ``account`` exists."""
        if account in self._entries:
            self._entries[account].failures = 0
            self._entries[account].next_try = -math.inf

    def failed(self, account: Account, jitter: float) -> None:
        """A dial failed: wait longer, and forget a stranger that failed too often.

        :param jitter: between 0 and 1.
        """
        entry = self._entries[account]
        entry.failures += 1
        doubled = limits.BACK_OFF_FIRST_S * 2 ** min(entry.failures - 1, 16)
        entry.next_try = trio.current_time() + min(doubled, limits.BACK_OFF_S_MAX) * (0.5 + jitter)
        if entry.failures >= limits.FAILURES_MAX and not entry.bootstrap:
            del self._entries[account]

    def save(self, path: Path) -> None:
        """Write the book as JSON; an atomic rename, so a crash leaves the old file or the new
        one. Raises StoreError when it cannot be written, as on a full disk.
        """
        content = [
            {
                "addresses": [str(address) for address in entry.addresses],
                "bootstrap": entry.bootstrap,
            }
            for _, entry in sorted(self._entries.items())
        ]
        beside = path.with_name(path.name + ".new")
        try:
            with beside.open("w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            raise unusable(path, error) from error

    @classmethod
    def load(cls, path: Path) -> AddressBook:
        """Read a saved book. Raises StoreError when it cannot be read or is not one."""
        book = cls()
        try:
            for item in json.loads(path.read_text(encoding="utf-8")):
                for text in reversed(item["addresses"]):
                    book.add(Address.parse(text), bootstrap=bool(item["bootstrap"]))
        except OSError as error:
            raise unusable(path, error) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(
                f"{path} is damaged, or is not an address book",
                "move it away; the node learns addresses again from its bootstrap peers",
            ) from error
        return book

    def _bound(self, newest: Account) -> None:
        while len(self._entries) > limits.ADDRESSES_MAX:
            crowds = Counter(
                one for entry in self._entries.values() for one in _ranges(entry.addresses) if one
            )
            strangers = [
                (-_largest(crowds, entry), -entry.failures, position, account)
                for position, (account, entry) in enumerate(self._entries.items())
                if not entry.bootstrap and account != newest
            ]
            del self._entries[min(strangers)[3] if strangers else newest]


def _largest(crowds: Counter[str], entry: Entry) -> int:
    """How many accounts the most crowded range of an entry holds; 0 for no range."""
    return max((crowds[one] for one in _ranges(entry.addresses) if one), default=0)


class Connections(Protocol):
    """What the keeper needs of a host."""

    @property
    def account(self) -> Account:
        """Our account."""

    def peers(self) -> tuple[Account, ...]:
        """Connected peers, sorted."""

    def chosen(self) -> tuple[Account, ...]:
        """Connected peers to whom we went ourselves."""

    async def dial(self, address: Address) -> None:
        """Connect, or raise."""

    async def request(
        self, peer: Account, name: str, body: bytes, *, size_max: int, timeout_ms: Milliseconds
    ) -> bytes:
        """As in ``protocol.ports.Network``."""


class Keeper:
    """Keeps a node connected.

    :param own: our addresses now, to be told to others.
    :param loopback: whether we listen on loopback.
    :param discover: whether addresses are exchanged at all; off for fixed topologies in tests.
    """

    def __init__(
        self,
        connections: Connections,
        book: AddressBook,
        conduct: Conduct,
        *,
        own: Callable[[], list[Address]],
        remote_ip: Callable[[Account], str | None],
        loopback: bool,
        discover: bool,
        entropy: random.Random,
    ) -> None:
        self._connections = connections
        self._book = book
        self._conduct = conduct
        self._own = own
        self._remote_ip = remote_ip
        self._loopback = loopback
        self._discover = discover
        self._entropy = entropy
        self._announced: dict[Account, Address] = {}
        self._asked: set[Account] = set()
        self._lost_at: dict[Account, float] = {}

    async def run(self) -> None:
        """Keep connections, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_connected)
            if self._discover:
                nursery.start_soon(self._keep_exchanging)

    async def connect(self, account: Account) -> None:
        """Dial a known account now. Raises OSError when none of its addresses answers."""
        if self._conduct.is_banned(account):
            raise OSError("the account is banned")
        for address in self._distant(account, self._crowds()):
            try:
                with trio.fail_after(limits.DIAL_S):
                    await self._connections.dial(address)
                self._book.succeeded(account)
                return
            except Exception as error:  # noqa: BLE001 -- the library raises many types
                log.debug("a dial of %s failed: %r", address, error)
        raise OSError("no address of the account answers")

    async def _keep_connected(self) -> None:
        while True:
            wanted = self._wanted()
            async with trio.open_nursery() as nursery:
                for account in wanted:
                    nursery.start_soon(self._try, account)
            await trio.sleep(limits.KEEPER_PAUSE_S * (0.5 + self._entropy.random()))

    def _wanted(self) -> list[Account]:
        live = set(self._connections.peers())
        now = trio.current_time()
        for account in live:
            self._lost_at.pop(account, None)
        candidates = [
            account
            for account in self._book.accounts()
            if account not in live
            and account != self._connections.account
            and not self._conduct.is_banned(account)
            and self._book.entry(account).next_try <= now
            and self._is_our_turn(account, now)
        ]
        self._entropy.shuffle(candidates)
        candidates.sort(key=lambda account: not self._book.entry(account).bootstrap)
        lacking = limits.PEERS_OUTBOUND_MIN - len(self._connections.chosen())
        room = max(0, limits.PEERS_MAX - len(live), lacking)
        return self._spread(candidates)[: min(room, limits.DIALS_AT_ONCE_MAX)]

    def _spread(self, candidates: list[Account]) -> list[Account]:
        """Those that may all be connected to without crowding a range."""
        crowds, spread = self._crowds(), []
        for account in candidates:
            if distant := self._distant(account, crowds):
                crowds.update(_ranges(distant))
                spread.append(account)
        return spread

    def _distant(self, account: Account, crowds: Counter[str | None]) -> list[Address]:
        """Addresses of an account in ranges that have room for one more of our choice."""
        addresses = self._book.addresses(account)
        if account in self._book and self._book.entry(account).bootstrap:
            return addresses
        return [one for one in addresses if not _crowded(crowds, one)]

    def _crowds(self) -> Counter[str | None]:
        """How many of the peers that we chose are in each range."""
        ips = map(self._remote_ip, self._connections.chosen())
        return Counter(range_of(ip) for ip in ips if ip is not None)

    def _is_our_turn(self, account: Account, now: float) -> bool:
        since = self._lost_at.setdefault(account, now)
        return self._connections.account < account or now >= since + limits.DEFERENCE_S

    async def _try(self, account: Account) -> None:
        try:
            await self.connect(account)
        except OSError:
            if account in self._book:
                self._book.failed(account, self._entropy.random())

    # addresses

    async def _keep_exchanging(self) -> None:
        next_random = trio.current_time()
        while True:
            live = self._connections.peers()
            self._asked &= set(live)
            self._announced = {a: self._announced[a] for a in live if a in self._announced}
            chosen = [account for account in live if account not in self._asked]
            if not chosen and live and trio.current_time() >= next_random:
                chosen = [self._entropy.choice(live)]
            if chosen:
                next_random = trio.current_time() + limits.ADDRESS_EXCHANGE_S
            for account in chosen[: limits.DIALS_AT_ONCE_MAX]:
                self._asked.add(account)
                await self._exchange(account)
            await trio.sleep(limits.KEEPER_PAUSE_S * (0.5 + self._entropy.random()))

    async def _exchange(self, account: Account) -> None:
        try:
            answer = await self._connections.request(
                account,
                ADDRESSES_REQUEST,
                _lines(self._own()),
                size_max=limits.ADDRESS_EXCHANGE_BYTES_MAX,
                timeout_ms=_EXCHANGE_TIMEOUT,
            )
        except RequestFailed as error:
            log.debug("an address exchange failed: %s", error)
            return
        for address in self._heard(answer):
            self.note(address)

    async def answer(self, peer: Account, body: bytes) -> bytes | None:
        """Serve the address exchange: note what the peer says of itself, tell it of our other
        peers.
        """
        if len(body) > limits.ADDRESS_EXCHANGE_BYTES_MAX:
            return None
        for address in self._heard(body):
            reachable = self._with_observed_ip(address, peer)
            if address.account == peer and acceptable(reachable, loopback=self._loopback):
                self._announced[peer] = reachable
                self.note(reachable)
        known = [self._told(account) for account in self._connections.peers() if account != peer]
        addresses = [address for address in known if address is not None]
        self._entropy.shuffle(addresses)
        return _lines(addresses[: limits.ADDRESSES_EXCHANGED_MAX])

    def _told(self, account: Account) -> Address | None:
        known = self._book.addresses(account)
        address = self._announced.get(account) or (known[0] if known else None)
        return address if address is not None and address.ip is not None else None

    def _with_observed_ip(self, address: Address, peer: Account) -> Address:
        # A node that listens on all interfaces does not know its address; we see it.
        observed = self._remote_ip(peer)
        if address.ip is None or not address.ip.is_unspecified or observed is None:
            return address
        kind = "ip6" if ":" in observed else "ip4"
        return Address(kind, observed, address.port, address.account)

    def _heard(self, body: bytes) -> list[Address]:
        heard = []
        for line in body.split(b"\n", limits.ADDRESSES_EXCHANGED_MAX)[
            : limits.ADDRESSES_EXCHANGED_MAX
        ]:
            try:
                heard.append(Address.parse(line.decode("ascii")))
            except ValueError:
                continue
        return heard

    def note(self, address: Address) -> None:
        """Take in an address that was heard of, if it may be dialled."""
        if address.account == self._connections.account:
            return
        if acceptable(address, loopback=self._loopback):
            self._book.add(address)


def _crowded(crowds: Counter[str | None], address: Address) -> bool:
    """Whether a public range of the address has no more room."""
    return any(one and crowds[one] >= limits.PEERS_PER_RANGE_MAX for one in _ranges([address]))


def _lines(addresses: Iterable[Address]) -> bytes:
    return "\n".join(str(address) for address in addresses).encode("ascii")


async def every(pause_s: float, action: Callable[[], Awaitable[None] | None]) -> None:
    """Run ``action`` every ``pause_s`` seconds, for ever."""
    while True:
        await trio.sleep(pause_s)
        outcome = action()
        if outcome is not None:
            await outcome

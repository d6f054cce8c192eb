"""Peers on the local network, found by multicast DNS, without any address known beforehand.

**The problem.** A few machines on one desk should find each other. The library's own discovery
blocks the event loop for seconds, binds all interfaces, and keeps what strangers announce without
a bound in tables that it writes from other threads.

**Rules.** Off unless the operator asks for it: whoever listens learns the account and the network
of this node. It announces one service of type :data:`SERVICE` (RFC 6762, RFC 6763), named after
the peer, with the network's id in its text record, on the one interface that the node listens on,
or, when it listens on all, on the one by which multicast leaves. What is heard is worth what a peer
says: only an address that is not public, of an account of the same network, is handed on, and no
more than :data:`FOUND_PER_S` names a second are looked at. Everything that blocks runs in threads.

**Deviation.** libp2p's own specification announces a random name and puts addresses into text
records; other implementations of libp2p have no use for peers of a network that is not theirs.

**Limit.** What others on the local network announce under this type stays in ``zeroconf``'s cache
until it expires, however much it is.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

from p2p.identity import peer_text
from p2p.peers import Address
from p2p.rates import TokenBucket
from protocol.types import NetworkId

SERVICE: Final = "_provnet._tcp.local."
"""The type of service under which nodes announce themselves."""

FOUND_PER_S: Final = 2.0
"""Announced names looked at in a second, over time."""

FOUND_BURST: Final = 64
"""Announced names looked at at once, and names that wait; the others are left out."""

_LOOK_UP_MS: Final = 3_000
_MULTICAST: Final = ("224.0.0.251", 5353)
_NETWORK_DIGITS: Final = 32

log = logging.getLogger("provnet.network")


def interface_of(own: Address) -> str:
    """The IPv4 address of the interface to announce on.

    :raises OSError: when this machine has none for multicast.
    """
    if own.kind != "ip4":
        raise OSError("only IPv4 is announced")
    if own.ip is not None and not own.ip.is_unspecified:
        return own.host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_MULTICAST)
        host: str = probe.getsockname()[0]
        return host


@asynccontextmanager
async def neighbours(
    network: NetworkId, own: Address, interface: str, found: Callable[[Address], None]
) -> AsyncIterator[None]:
    """Announce this node and tell of others, until the block is left.

    :param own: where this node listens, over IPv4.
    :param interface: as :func:`interface_of` says.
    :param found: told of each address, in a task of this block.
    """
    service = ServiceInfo(
        SERVICE,
        f"{peer_text(own.account)}.{SERVICE}",
        port=own.port,
        properties={"network": _digits(network)},
        parsed_addresses=[interface],
    )
    send, receive = trio.open_memory_channel[str](FOUND_BURST)
    token = trio.lowlevel.current_trio_token()

    def hear(name: str) -> None:
        try:
            send.send_nowait(name)
        except trio.WouldBlock:
            log.debug("too many neighbours at once: %s is left out", name)

    def browsed(*, name: str, state_change: ServiceStateChange, **_: Any) -> None:
        if state_change is not ServiceStateChange.Removed:
            token.run_sync_soon(hear, name)

    opened = await trio.to_thread.run_sync(lambda: Zeroconf(interfaces=[interface]))
    try:
        await trio.to_thread.run_sync(opened.register_service, service)
        ServiceBrowser(opened, SERVICE, handlers=[browsed])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_look_up, opened, receive, network, own, found)
            yield
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(opened.close)


def addresses_of(service: ServiceInfo, network: NetworkId) -> tuple[Address, ...]:
    """Where an announced node of this network is on the local network; empty for any other."""
    if (service.properties or {}).get(b"network") != _digits(network).encode():
        return ()
    peer = service.name.removesuffix("." + SERVICE)
    found = []
    for ip in service.parsed_addresses(IPVersion.V4Only):
        try:
            address = Address.parse(f"/ip4/{ip}/tcp/{service.port}/p2p/{peer}")
        except ValueError as fault:
            log.debug("a neighbour announces %s", fault)
            continue
        if not ipaddress.ip_address(ip).is_global:
            found.append(address)
    return tuple(found)


async def _look_up(
    opened: Zeroconf,
    names: trio.MemoryReceiveChannel[str],
    network: NetworkId,
    own: Address,
    found: Callable[[Address], None],
) -> None:
    rate = TokenBucket(FOUND_PER_S, FOUND_BURST)
    async for name in names:
        await rate.wait()
        service = await _asked(opened, name)
        for address in addresses_of(service, network) if service is not None else ():
            if address.account != own.account:
                found(address)


async def _asked(opened: Zeroconf, name: str) -> ServiceInfo | None:
    return await trio.to_thread.run_sync(
        lambda: opened.get_service_info(SERVICE, name, _LOOK_UP_MS),
        abandon_on_cancel=True,  # type: ignore[call-arg]  # unknown to the stubs of libp2p's tools
    )


def _digits(network: NetworkId) -> str:
    return network.hex()[:_NETWORK_DIGITS]

"""Peers on the local network: real multicast on loopback, and what an announcement may say."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from zeroconf import ServiceInfo

from p2p.identity import peer_text
from p2p.mdns import SERVICE, addresses_of, interface_of, neighbours
from p2p.peers import Address
from protocol.types import NetworkId
from tests.p2p.worlds import account_of_name

HERE = NetworkId(bytes(range(32)))
ELSEWHERE = NetworkId(bytes(32))
LOOPBACK = "127.0.0.1"
"""Where multicast is heard by whoever is on this machine."""


def address(number: int, host: str = LOOPBACK) -> Address:
    return Address("ip4", host, 4_000 + number, account_of_name(f"neighbour {number}"))


def service(who: Address, *ips: str, network: str | None = None, **changed: Any) -> ServiceInfo:
    entries: dict[str, Any] = {
        "port": who.port,
        "properties": {"network": HERE.hex()[:32] if network is None else network},
        "parsed_addresses": list(ips),
    }
    return ServiceInfo(SERVICE, f"{peer_text(who.account)}.{SERVICE}", **(entries | changed))


def test_nodes_of_one_network_find_each_other_and_no_others() -> None:
    found: dict[int, list[Address]] = {1: [], 2: [], 3: []}
    complete = trio.Event()

    async def live(number: int, network: NetworkId) -> None:
        def note(heard: Address) -> None:
            found[number].append(heard)
            if found[1] and found[2]:
                complete.set()

        async with neighbours(network, address(number), LOOPBACK, note):
            await complete.wait()

    async def main() -> None:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(live, 3, ELSEWHERE)
                nursery.start_soon(live, 1, HERE)
                nursery.start_soon(live, 2, HERE)

    trio.run(main)
    assert {number: set(heard) for number, heard in found.items()} == {
        1: {address(2)},
        2: {address(1)},
        3: set(),
    }


def test_an_announcement_of_this_network_names_addresses_on_the_local_network() -> None:
    who = address(1)
    assert addresses_of(service(who, "192.168.1.7", "10.0.0.3"), HERE) == (
        address(1, "192.168.1.7"),
        address(1, "10.0.0.3"),
    )


@pytest.mark.parametrize(
    "announced",
    [
        service(address(1), LOOPBACK, network="00" * 16),
        service(address(1), LOOPBACK, network=""),
        service(address(1), LOOPBACK, properties={}),
        service(address(1), "8.8.8.8"),
        service(address(1), "2001:4860:4860::8888"),
        service(address(1), LOOPBACK, port=0),
        service(address(1)),
        ServiceInfo(SERVICE, f"nobody.{SERVICE}", port=1, properties={"network": HERE.hex()[:32]}),
    ],
)
def test_other_announcements_name_nobody(announced: ServiceInfo) -> None:
    assert addresses_of(announced, HERE) == ()


def test_what_is_announced_is_where_the_node_listens() -> None:
    assert interface_of(address(1, "192.168.1.7")) == "192.168.1.7"
    with pytest.raises(OSError, match="only IPv4"):
        interface_of(Address("ip6", "::1", 4_000, address(1).account))

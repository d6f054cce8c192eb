"""The whole service as a node's configuration asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from p2p.peers import Address, AddressBook
from protocol.types import Account
from scripts.bundle import parse_bundle
from scripts.configuration import ApiConfiguration, ConfigurationError, NodeConfiguration
from scripts.node import Service, make_service
from scripts.service.server import Server
from scripts.service.service import URL_FILE, Invitation
from scripts.service.token import TOKEN_FILE
from tests.p2p.town import Town
from tests.scripts.service.serving import Client, StillNetwork, StoppedClock


class AddressedNetwork(StillNetwork):
    """It also knows where it listens."""

    def __init__(self, own: Account, peers: tuple[Account, ...]) -> None:
        super().__init__(peers)
        self._own = own

    def addresses(self) -> tuple[Address, ...]:
        return (address(self._own, 4_001),)


def address(account: Account, port: int) -> Address:
    return Address("ip4", "127.0.0.1", port, account)


def configured(api: ApiConfiguration | None) -> NodeConfiguration:
    url = "http://192.0.2.9:4080/"
    return NodeConfiguration("validator-1", "genesis.toml", api=api, faucet_url=url)


def made(town: Town, folder: Path, api: ApiConfiguration | None) -> Service:
    resident = town["validator-1"]
    network = resident.running.machine.network
    return make_service(configured(api), folder, resident.member.identity, network, StoppedClock())


def test_a_node_serves_what_it_is_told(town: Town, tmp_path: Path) -> None:
    resident = town["validator-1"]
    service = made(town, tmp_path, ApiConfiguration())
    for event in resident.told:
        for observe in service.observers:
            observe(event)
    own, peer = resident.running.account, Account(town["prover-2"].account)
    host: Any = AddressedNetwork(own, (peer,))
    book, told = AddressBook(), []
    book.add(address(peer, 4_002))

    async def main() -> None:
        def tell(stage: str, **fields: Any) -> None:
            told.append((stage, fields))

        async with service.run(resident.running, host, book, tell):
            url = (tmp_path / URL_FILE).read_text().strip()
            assert told == [("serving", {"url": url})]
            nothing: Any = None
            port = int(url.rstrip("/").rpartition(":")[2])
            client = Client(Server(nothing, "127.0.0.1", port))
            state = (await client.ask("/v1/state")).json
            assert (state["node"], state["tick"]) == ("validator-1", resident.height)
            assert (await client.ask("/")).headers["content-type"].startswith("text/html")
            assert b"provnet_final_height" in (await client.ask("/metrics")).body
            bundle = parse_bundle((await client.ask("/v1/bundle")).body)
            assert bundle.genesis == town.genesis
            assert bundle.faucet == "http://192.0.2.9:4080/"
            assert bundle.bootstrap == (str(address(own, 4_001)), str(address(peer, 4_002)))
            secret = (tmp_path / TOKEN_FILE).read_text().strip()
            headers = {"authorization": f"Bearer {secret}"}
            intent = {"kind": "Intent", "capacity": 1, "until": 9}
            reply = await client.ask("/v1/operations", "POST", intent, headers)
            assert reply.status == 202
            async with await client.stream("/v1/events") as stream:
                assert b"text/event-stream" in await stream.receive_some()

    trio.run(main)
    assert not (tmp_path / URL_FILE).exists()
    (desk,) = service.agents
    view: Any = resident.running
    assert len(desk.decide(view, view)) == 1


@pytest.mark.parametrize(
    ("announced", "found"),
    [((), None), (("192.0.2.1",), ("192.0.2.1",)), (("0.0.0.0", "192.0.2.2"), ("192.0.2.2",))],
)
def test_a_node_hands_out_only_what_others_could_dial(
    town: Town, announced: tuple[str, ...], found: tuple[str, ...] | None
) -> None:
    node: Any = town["validator-1"].running
    host: Any = StillNetwork()
    host.addresses = lambda: (Address("ip4", "0.0.0.0", 4_001, node.account),)
    texts = tuple(str(Address("ip4", one, 4_001, node.account)) for one in announced)
    request: Any = None

    async def main() -> None:
        answer = await Invitation(node, host, AddressBook(), texts).endpoint(request)
        assert answer.status_code == (503 if found is None else 200)
        if found is not None:
            bundle = parse_bundle(bytes(answer.body))
            assert tuple(Address.parse(one).host for one in bundle.bootstrap) == found
            assert bundle.checkpoint is not None

    trio.run(main)


def test_without_a_table_there_is_no_service(town: Town, tmp_path: Path) -> None:
    service = made(town, tmp_path, None)
    assert service.observers == service.agents == ()

    async def main() -> None:
        nothing: Any = None
        async with service.run(nothing, nothing, nothing, nothing):
            pass

    trio.run(main)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_told_with_a_hint(town: Town, tmp_path: Path) -> None:
    async def main() -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener:
            port = listener.socket.getsockname()[1]
            service = made(town, tmp_path, ApiConfiguration(port=port))
            host: Any = AddressedNetwork(Account(bytes(32)), ())
            node = town["validator-1"].running
            with pytest.raises(ConfigurationError, match=f"port {port}.*\nhint: "):
                async with service.run(node, host, AddressBook(), print):
                    pass

    trio.run(main)

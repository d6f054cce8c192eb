"""A faucet over a real socket: whoever asks is served once, and nobody empties it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from protocol import signing
from protocol.agents import SlotBegan, Submit
from protocol.ledger import balance
from protocol.messages import Pay
from protocol.signing import Domain
from protocol.types import Account, Amount, Milliseconds, NetworkId, Slot, Tick
from scripts.client import NotAnswered
from scripts.configuration import ConfigurationError, FaucetConfiguration
from scripts.funding import Grant, ask
from scripts.keys import derive_identity
from scripts.records import plain
from scripts.service import faucet as faucet_module
from scripts.service.answers import Source
from scripts.service.faucet import GIFTS_FILE, Faucet, sign_ask
from scripts.service.openapi import document
from tests.p2p.town import Town
from tests.scripts.service.serving import Client, Reply, serve, source_of
from tests.scripts.service.shape import misfits

DOCUMENT = document()
TERMS = FaucetConfiguration(
    amount=1_000, pause_s=2, account_pause_s=20, account_max=3_000, address_max=5_000
)
SEED = b"\x07" * 32
ASKER = derive_identity(SEED)


class SetClock:
    """It stands still until it is set."""

    def __init__(self) -> None:
        self.at_ms = 1_000_000_000_000

    def now_ms(self) -> Milliseconds:
        return Milliseconds(self.at_ms)

    def pass_s(self, seconds: float) -> None:
        self.at_ms += int(1_000 * seconds)


class Site:
    """A town's validator with a faucet."""

    def __init__(self, town: Town, folder: Path, terms: FaucetConfiguration = TERMS) -> None:
        self.path = folder / GIFTS_FILE
        self.clock = SetClock()
        bare = source_of(town)
        self.source: Source = replace(bare, clock=self.clock, faucet=Faucet(terms, self.path))
        self.machine = bare.node.machine
        self.network: NetworkId = self.machine.network

    def signed(self, seed: bytes = SEED, tick: int | None = None) -> dict[str, Any]:
        """What an honest asker sends."""
        head = Tick(self.machine.tick if tick is None else tick)
        found: dict[str, Any] = plain(sign_ask(seed, self.network, signing.public_key(seed), head))
        return found

    def handed(self) -> list[Pay]:
        """What the node would submit."""
        view: Any = self.source.node
        actions = self.source.desk.decide(view, SlotBegan(Slot(1)))
        return [one.payload for one in actions if isinstance(one, Submit)]

    def serve(self, talk: Callable[[Client], Awaitable[None]]) -> None:
        serve(self.source, talk)


@pytest.fixture
def site(town: Town, tmp_path: Path) -> Site:
    return Site(town, tmp_path)


async def post(client: Client, body: Any) -> Reply:
    """Ask as a stranger does: without a token."""
    reply = await client.ask("/v1/faucet", "POST", body)
    declared = DOCUMENT["paths"]["/v1/faucet"]["post"]["responses"][str(reply.status)]
    schema = declared["content"]["application/json"]["schema"]
    assert misfits(schema, reply.json, DOCUMENT["components"]["schemas"]) == []
    return reply


def refused(reply: Reply) -> tuple[int, str]:
    assert reply.json["hint"]
    return reply.status, reply.json["reason"]


def test_who_asks_is_paid_by_the_node(site: Site) -> None:
    async def talk(client: Client) -> None:
        reply = await post(client, site.signed())
        assert reply.status == 202
        assert reply.json["payer"] == site.source.node.account.hex()
        assert (reply.json["receiver"], reply.json["amount"]) == (ASKER.account.hex(), 1_000)

    site.serve(talk)
    assert site.handed() == [Pay(ASKER.account, Amount(1_000))]
    assert site.path.stat().st_mode & 0o777 == 0o600


def test_who_was_paid_waits_and_is_paid_again(site: Site) -> None:
    async def talk(client: Client) -> None:
        assert (await post(client, site.signed(tick=site.machine.tick - 1))).status == 202
        site.clock.pass_s(0.5)
        reply = await post(client, site.signed())
        assert refused(reply) == (429, "TOO_SOON")
        assert reply.headers["retry-after"] == "2"
        site.clock.pass_s(2)
        reply = await post(client, site.signed())
        assert reply.headers["retry-after"] == "18"
        site.clock.pass_s(18)
        assert (await post(client, site.signed())).status == 202

    site.serve(talk)
    assert len(site.handed()) == 2


def test_a_restart_forgets_nothing(site: Site, town: Town) -> None:
    async def once(client: Client) -> None:
        assert (await post(client, site.signed())).status == 202

    site.serve(once)
    again = Site(town, site.path.parent)
    again.clock.at_ms = site.clock.at_ms + 19_000

    async def talk(client: Client) -> None:
        assert refused(await post(client, again.signed())) == (409, "USED_PROOF")
        fresh = again.signed(b"\x08" * 32)
        assert (await post(client, fresh)).status == 202

    again.serve(talk)


def test_a_node_without_a_faucet_says_so(town: Town) -> None:
    source = source_of(town)

    async def talk(client: Client) -> None:
        order = plain(sign_ask(SEED, source.node.machine.network, ASKER.account, Tick(1)))
        assert refused(await post(client, order)) == (404, "NO_FAUCET")

    serve(source, talk)


# --- attacks ---


def test_a_request_that_is_shown_again_is_served_once(site: Site) -> None:
    """However long its sender waits, and whoever shows it."""
    order = site.signed()

    async def talk(client: Client) -> None:
        assert (await post(client, order)).status == 202
        for seconds, reason in ((2, "USED_PROOF"), (86_400, "USED_PROOF"), (10**7, "USED_PROOF")):
            site.clock.pass_s(seconds)
            assert refused(await post(client, order)) == (409, reason)

    site.serve(talk)
    assert len(site.handed()) == 1


def test_nobody_asks_for_another_nor_with_what_was_signed_elsewhere(site: Site) -> None:
    victim, head = derive_identity(b"\x09" * 32), Tick(site.machine.tick)
    message = victim.account + head.to_bytes(8, "big")
    elsewhere = NetworkId(bytes(32))
    forged = [
        site.signed() | {"account": victim.account.hex()},
        plain(sign_ask(SEED, site.network, victim.account, head)),
        plain(sign_ask(b"\x09" * 32, elsewhere, victim.account, head)),
        site.signed(b"\x09" * 32, head - 1) | {"tick": head},
        *(
            {
                "account": victim.account.hex(),
                "tick": head,
                "signature": signing.sign(b"\x09" * 32, domain, site.network, message).hex(),
            }
            for domain in Domain
            if domain is not Domain.FAUCET
        ),
        {"account": "00" * 32, "tick": head, "signature": "00" * 64},
    ]

    async def talk(client: Client) -> None:
        for order in forged:
            assert refused(await post(client, order)) == (403, "WRONG_PROOF")
        assert not site.path.exists()
        assert (await post(client, site.signed(b"\x09" * 32))).status == 202

    site.serve(talk)
    assert site.handed() == [Pay(victim.account, Amount(1_000))]


def test_a_flood_of_fresh_accounts_gets_what_one_address_may_have(site: Site) -> None:
    """At once: one gift. With patience: the most of the address, and not a gift more that day."""

    async def talk(client: Client) -> None:
        def fresh(number: int) -> dict[str, Any]:
            return site.signed(number.to_bytes(32, "big"))

        async def asked(number: int) -> Reply:
            while True:
                reply = await post(client, fresh(number))
                if reply.status != 503:
                    return reply

        at_once = [await asked(number) for number in range(1, 60)]
        assert [one.status for one in at_once] == [202] + [429] * 58
        assert len(json.loads(site.path.read_text())) == 1
        reasons = []
        for number in range(60, 120):
            site.clock.pass_s(2)
            reply = await asked(number)
            reasons.append("" if reply.status == 202 else reply.json["reason"])
        assert reasons == [""] * 4 + ["TOO_MUCH"] * 56
        assert len(json.loads(site.path.read_text())) == 5
        site.clock.pass_s(86_400)
        assert (await post(client, fresh(120))).status == 202

    site.serve(talk)
    assert len(site.handed()) == 6


def test_what_a_request_says_of_its_address_is_not_looked_at(town: Town, tmp_path: Path) -> None:
    site = Site(town, tmp_path, replace(TERMS, address_max=1_000))

    async def talk(client: Client) -> None:
        assert (await post(client, site.signed())).status == 202
        site.clock.pass_s(2)
        headers = {"x-forwarded-for": "192.0.2.9", "forwarded": "for=192.0.2.9"}
        reply = await client.ask("/v1/faucet", "POST", site.signed(b"\x08" * 32), headers)
        assert refused(reply) == (429, "TOO_MUCH")

    site.serve(talk)


# --- a faucet that cannot give ---


def test_what_is_promised_is_not_promised_again(town: Town, tmp_path: Path) -> None:
    own = Account(town["validator-1"].account)
    machine = town["validator-1"].running.machine
    held, fee = machine.ledger.holds(balance(own)), machine.genesis.network.operation_fee
    half = held // 2 - fee
    terms = FaucetConfiguration(
        amount=half, pause_s=0, account_max=held, address_max=10 * held, account_pause_s=0
    )
    site = Site(town, tmp_path, terms)

    async def talk(client: Client) -> None:
        replies = [await post(client, site.signed(bytes([one]) * 32)) for one in (1, 2, 3)]
        assert [one.status for one in replies] == [202, 202, 503]
        assert refused(replies[2]) == (503, "FAUCET_EMPTY")
        assert own.hex() in replies[2].json["hint"]

    site.serve(talk)
    assert len(site.handed()) == 2


def test_what_cannot_be_written_down_is_not_given(site: Site) -> None:
    site.path.with_suffix(".draft").mkdir()

    async def talk(client: Client) -> None:
        assert refused(await post(client, site.signed())) == (503, "FAUCET_BROKEN")
        assert site.handed() == []
        site.path.with_suffix(".draft").rmdir()
        assert (await post(client, site.signed())).status == 202

    site.serve(talk)


def test_a_gift_is_written_down_before_it_is_paid(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, waiting = faucet_module._save, list[int]()

    def save_and_look(path: Path, gifts: Any) -> None:
        waiting.append(len(site.source.desk.waiting))
        save(path, gifts)

    monkeypatch.setattr(faucet_module, "_save", save_and_look)

    async def talk(client: Client) -> None:
        await post(client, site.signed())

    site.serve(talk)
    assert waiting == [0]
    assert len(site.handed()) == 1


@pytest.mark.parametrize(
    "text", ["", "{", "{}", "[1]", '[{"amount": 1}]', "[" * 100_000, '[{"at_ms": -1}]']
)
def test_a_damaged_memory_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / GIFTS_FILE
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="cannot be used") as caught:
        Faucet(TERMS, path)
    assert "start anew" in caught.value.hint


# --- the one who asks ---


def asked(site: Site, network: NetworkId | None = None, times: int = 1) -> list[Grant | str]:
    """What comes of asking, so often, as the programs of a node do."""
    found: list[Grant | str] = []

    def ask_once(url: str) -> None:
        try:
            found.append(ask(url, ASKER, network or site.network))
        except NotAnswered as refusal:
            found.append(f"{refusal.sentence} {refusal.wait_s}")

    async def talk(client: Client) -> None:
        for _ in range(times):
            await trio.to_thread.run_sync(ask_once, f"http://127.0.0.1:{client.server.port}/")

    site.serve(talk)
    return found


def test_a_program_asks_and_is_told_when_to_come_back(site: Site) -> None:
    grant, refusal = asked(site, times=2)
    assert isinstance(grant, Grant)
    assert grant.order.body == {"receiver": ASKER.account.hex(), "amount": 1_000}
    assert refusal == "it is too soon after another gift of the faucet 2"


def test_a_faucet_of_another_network_gets_no_signature(site: Site) -> None:
    (found,) = asked(site, NetworkId(bytes(32)))
    assert isinstance(found, str)
    assert f"is of the network {site.network.hex()[:16]}, not {'0' * 16}" in found
    assert site.handed() == []


@pytest.mark.parametrize(
    "answers",
    [
        [[]],
        [{"network": "NETWORK"}],
        [{"network": "NETWORK", "account": "ab", "tick": -1, "epoch_ticks": 1}],
        [{"network": "NETWORK", "account": "ab", "tick": 1 << 70, "epoch_ticks": 1}],
        [{"network": "NETWORK", "account": "ab", "tick": "1", "epoch_ticks": 1}],
        [{"network": "NETWORK", "account": "ab", "tick": 1, "epoch_ticks": 1}, {}],
        [
            {"network": "NETWORK", "account": "ab", "tick": 1, "epoch_ticks": 1},
            {"payer": "cd", "amount": 1},
        ],
        [
            {"network": "NETWORK", "account": "ab", "tick": 1, "epoch_ticks": 1},
            {"payer": "ab", "amount": None},
        ],
    ],
)
def test_what_is_no_faucet_is_told(answers: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    network = NetworkId(bytes(range(32)))
    texts = [json.loads(json.dumps(one).replace("NETWORK", network.hex())) for one in answers]
    monkeypatch.setattr("scripts.client.Client._ask", lambda *_: texts.pop(0))
    with pytest.raises(NotAnswered, match="no faucet of ours"):
        ask("http://192.0.2.1/", ASKER, network)
    assert texts == []

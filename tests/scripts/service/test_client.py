"""The commands that ask a node, against a real service of a town's node."""

from __future__ import annotations

import io
import json
import socket
import urllib.error
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest
import trio
from rich.console import Console

from scripts import client as client_module
from scripts.client import Client, NotAnswered, Shop, find_node
from scripts.configuration import ConfigurationError
from tests.p2p.town import Town
from tests.scripts.service import serving


def ask(town: Town, question: Callable[[Shop], None], *, token: str = serving.SECRET) -> str:
    """What is shown when the service of a town's node is asked."""
    return _ask(town, question, token, as_json=False)


def _ask(town: Town, question: Callable[[Shop], None], token: str, *, as_json: bool) -> str:
    shown, refused = io.StringIO(), []

    def ask_and_keep(shop: Shop) -> None:
        try:
            question(shop)
        except NotAnswered as refusal:
            refused.append(refusal)

    async def talk(client: serving.Client) -> None:
        own = Client(f"http://127.0.0.1:{client.server.port}/", token)
        shop = Shop(own, Console(file=shown, width=200), as_json)
        await trio.to_thread.run_sync(ask_and_keep, shop)

    serving.serve(serving.source_of(town), talk)
    for refusal in refused:
        raise refusal
    return shown.getvalue()


def test_status_tells_where_the_node_is(town: Town) -> None:
    shown = ask(town, Shop.status)
    machine = town["validator-1"].running.machine
    assert f"{machine.tick:,} in epoch" in shown
    assert machine.digest.hex()[:16] in shown
    assert town["validator-1"].account.hex() in shown
    assert "HALTED" not in shown


def test_peers_are_told_with_their_names(town: Town) -> None:
    shown = ask(town, Shop.peers)
    names = {town[name].account: name for name in town.residents}
    peers = serving.source_of(town).network.peers()
    rows = [line.split() for line in shown.splitlines()[1:]]
    assert rows == [[names[one], one.hex()] for one in peers]


def test_an_account_is_found_by_name(town: Town) -> None:
    shown = ask(town, lambda shop: shop.account("prover-1"))
    assert town["prover-1"].account.hex() in shown
    assert "prover stake" in shown


def test_earnings_name_causes_and_operations(town: Town) -> None:
    shown = ask(town, lambda shop: shop.earnings(3))
    head, _, entries = shown.partition("tick")
    assert "gained" in head
    assert len(entries.strip().splitlines()) <= 5


def test_an_operation_is_shown_with_its_fate(town: Town) -> None:
    fates = list(serving.source_of(town).story.fates())
    accepted = next(one for one in fates if one.reason is None)
    shown = ask(town, lambda shop: shop.operation(accepted.hash.hex()))
    assert f"accepted at tick {accepted.tick}" in shown
    assert accepted.sender.hex() in shown
    with pytest.raises(NotAnswered, match="no such operation"):
        ask(town, lambda shop: shop.operation("ab" * 32))


def test_answers_for_tools_are_whole(town: Town) -> None:
    shown = _ask(town, lambda shop: shop.earnings(2), serving.SECRET, as_json=True)
    answer = json.loads(shown)
    assert answer["account"] == town["validator-1"].account.hex()
    assert len(answer["entries"]) <= 2


def test_a_refusal_is_a_sentence_with_a_hint(town: Town) -> None:
    with pytest.raises(NotAnswered, match="no such account") as caught:
        ask(town, lambda shop: shop.account("nobody?limit=1"))
    assert "/v1/accounts" in caught.value.hint


def test_what_moves_money_needs_the_token(town: Town) -> None:
    def transfer(shop: Shop) -> None:
        shop.transfer("00" * 32, 1, 1)

    with pytest.raises(NotAnswered, match="needs the node's token"):
        ask(town, transfer, token="")
    with pytest.raises(NotAnswered, match="does not exist in the rollup"):
        ask(town, transfer)


def test_nobody_there_is_told_with_what_to_look_for() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        client = Client(f"http://127.0.0.1:{reserved.getsockname()[1]}")
        with pytest.raises(NotAnswered, match="no node answers") as caught:
            client.get("/v1/state")
    assert "[api]" in caught.value.hint


def test_what_a_stranger_says_does_not_steer_the_terminal() -> None:
    said = json.dumps({"sentence": "no\x1b[2J" + "a" * 10_000, "hint": "go\r\nerror: on"})
    failure = urllib.error.HTTPError(
        "http://192.0.2.1/", 429, "Too\x1bMany", Message(), io.BytesIO(said.encode())
    )
    refusal = client_module._refused(failure)
    assert refusal.sentence.startswith("no [2Jaaa")
    assert len(refusal.sentence) == client_module.SENTENCE_MAX
    assert refusal.hint == "go  error: on"
    assert "\x1b" not in client_module._refused(failure).sentence  # nothing is left to be read


# --- which node ---


def node_folder(home: Path, name: str) -> Path:
    folder = home / "provnet" / "testnet-00" / name
    folder.mkdir(parents=True)
    (folder / "node.toml").touch()
    (folder / "api-url").write_text(f"http://127.0.0.1:1/{name}\n")
    (folder / "api-token").write_text("secret\n")
    return folder


def test_the_only_node_of_a_user_is_meant_by_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no node of this user") as caught:
        find_node("", {})
    assert "PROVNET_NODE" in caught.value.hint
    first = node_folder(tmp_path, "one")
    assert find_node("", {}) == Client("http://127.0.0.1:1/one", "secret", first)
    node_folder(tmp_path, "two")
    with pytest.raises(ConfigurationError, match="several nodes could be meant"):
        find_node("", {})
    assert find_node(str(first), {}).url.endswith("one")
    assert find_node("", {"PROVNET_NODE": str(first)}).url.endswith("one")


def test_an_address_goes_with_a_token_from_outside(tmp_path: Path) -> None:
    address = "http://192.0.2.1:80"
    assert find_node(address, {"PROVNET_TOKEN": "t"}) == Client(address, "t")
    assert find_node(str(address), {}).token == ""
    with pytest.raises(ConfigurationError, match=r"holds no node\.toml"):
        find_node(str(tmp_path), {})


def test_a_node_that_does_not_run_is_told_with_how_to_start_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = node_folder(tmp_path, "one")
    (folder / "api-url").unlink()
    with pytest.raises(ConfigurationError, match="does not run, or has no API") as stopped:
        find_node(str(folder), {})
    assert f"provnet node {folder / 'node.toml'}" in stopped.value.hint
    with pytest.raises(ConfigurationError, match=f"no node of this user runs.* {folder}"):
        find_node("", {})


def test_a_node_that_was_killed_is_told_by_its_folder(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/"
        folder = node_folder(tmp_path, "one")
        (folder / "api-url").write_text(url)
        with pytest.raises(NotAnswered, match=f"node in {folder} does not answer at {url}") as dead:
            find_node(str(folder), {}).get("/v1/state")
    assert f"provnet node {folder / 'node.toml'}" in dead.value.hint

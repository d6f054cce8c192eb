"""A network to be shared: every node gets what it needs and nothing of the others' secrets."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from p2p.peers import Address
from protocol import vrf
from protocol.params import format_genesis, parse_genesis
from protocol.testing.cast import actor
from scripts.bundle import bundle_of_folder, read_bundle
from scripts.configuration import ApiConfiguration, ConfigurationError, load_configuration
from scripts.founding import Charter, address_of, api_at, create_network, told
from scripts.keys import load_identity
from scripts.launcher.plan import Wish
from scripts.node import traffic_keys

CHARTER = Charter("shared", Wish(validators=3, provers=2, leaves=2, backend="modelled"))


def test_every_node_finds_its_account_keys_and_peers(tmp_path: Path) -> None:
    genesis = create_network(CHARTER, tmp_path / "new")
    bundle = read_bundle(tmp_path / "new" / "join.toml")
    assert bundle.genesis == genesis
    assert bundle.checkpoint is None
    names = ["validator-1", "validator-2", "validator-3", "prover-1", "prover-2"]
    assert [one.name for one in genesis.accounts] == names
    ports, seeds = set(), set()
    for one in genesis.accounts:
        folder = tmp_path / "new" / "nodes" / one.name
        assert stat.S_IMODE((folder / "keys.toml").stat().st_mode) == 0o600
        identity = load_identity(folder / "keys.toml")
        seeds.add(identity.signing_seed)
        assert identity.account == one.account
        assert vrf.public_key(identity.vrf_seed) == one.vrf_key
        configuration = load_configuration(folder / "node.toml")
        assert parse_genesis((folder / configuration.genesis).read_text()) == genesis
        ports.add(configuration.listen_port)
        assert (configuration.prover is not None) == one.name.startswith("prover")
        asked = {Address.parse(text).account for text in configuration.bootstrap}
        assert asked == {other.account for other in genesis.accounts} - {one.account}
        if configuration.sequencer is not None:
            assert configuration.sequencer.blocks_max == 0, "it goes on"
    assert len(seeds) == 5
    assert ports == {4_001, 4_002, 4_003, 4_004, 4_005}
    assert bundle_of_folder(tmp_path / "new").genesis == genesis


def test_keys_follow_from_nothing_that_is_written_elsewhere(tmp_path: Path) -> None:
    first, second = (create_network(CHARTER, tmp_path / one) for one in ("one", "two"))
    accounts = [{one.account for one in genesis.accounts} for genesis in (first, second)]
    assert accounts[0].isdisjoint(accounts[1])
    assert {one.account for one in first.rollup}.isdisjoint(one.account for one in second.rollup)
    senders = [
        configuration
        for path in (tmp_path / "one").glob("nodes/*/node.toml")
        if (configuration := load_configuration(path)).traffic is not None
    ]
    (sender,) = senders
    assert sender.traffic is not None
    secrets = [path.read_text() for path in (tmp_path / "one").glob("nodes/*/keys.toml")]
    for key in traffic_keys(sender.traffic.seed, 16):
        assert all(key.hex() not in text for text in secrets)


def test_a_faucet_has_a_node_of_its_own_that_all_others_name(tmp_path: Path) -> None:
    wish = replace(CHARTER.wish, faucet=77)
    genesis = create_network(replace(CHARTER, wish=wish, host="192.0.2.1"), tmp_path)
    (account,) = [one for one in genesis.accounts if one.name == "faucet"]
    assert (account.balance, account.log_stake, account.prover_stake) == (77, 0, 0)
    assert sum(one.balance == 77 for one in genesis.accounts) == 1
    assert any("faucet: balance 77" in line for line in told(genesis, tmp_path))
    url = "http://192.0.2.1:4080/"
    assert read_bundle(tmp_path / "join.toml").faucet == url
    found = {
        path.parent.name: load_configuration(path) for path in tmp_path.glob("nodes/*/node.toml")
    }
    assert {one.faucet_url for one in found.values()} == {url}
    assert [name for name, one in found.items() if one.faucet is not None] == ["faucet"]
    assert found["faucet"].api == ApiConfiguration("0.0.0.0", 4_080)
    assert {one.api for name, one in found.items() if name != "faucet"} == {ApiConfiguration()}


@pytest.mark.parametrize(
    ("url", "host", "port", "names"),
    [
        ("http://127.0.0.1:5/", "127.0.0.1", 5, ()),
        ("http://[::1]:5", "::1", 5, ()),
        ("http://192.0.2.1", "0.0.0.0", 80, ()),
        ("http://[2001:db8::1]:5/", "::", 5, ()),
        ("http://faucet.example:5/", "0.0.0.0", 5, ("faucet.example",)),
        ("https://faucet.example/", "127.0.0.1", 4_080, ("faucet.example",)),
    ],
)
def test_a_faucet_listens_where_strangers_find_it(
    url: str, host: str, port: int, names: tuple[str, ...]
) -> None:
    assert api_at(url) == ApiConfiguration(host, port, names)


@pytest.mark.parametrize(
    "url", ["ftp://a/", "http:///", "http://:5/", "http://a:99999/", "http://["]
)
def test_an_address_that_no_stranger_finds_is_refused(tmp_path: Path, url: str) -> None:
    charter = replace(CHARTER, wish=replace(CHARTER.wish, faucet=1), faucet_url=url)
    with pytest.raises(ConfigurationError, match="faucet") as caught:
        create_network(charter, tmp_path)
    assert "http://192.0.2.1:4080/" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    create_network(CHARTER, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.toml")}
    with pytest.raises(ConfigurationError, match="is not empty"):
        create_network(CHARTER, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.toml")} == before


def test_stakes_balances_and_settings_are_as_asked(tmp_path: Path) -> None:
    charter = replace(
        CHARTER,
        wish=replace(CHARTER.wish, sets=("network.epoch_ticks=64",)),
        stakes=("validator-2.log=5", "prover-1.prover=7", "prover-2.sequencer=9"),
        balance=123,
    )
    genesis = create_network(charter, tmp_path)
    by_name = {one.name: one for one in genesis.accounts}
    assert by_name["validator-2"].log_stake == 5
    assert by_name["validator-1"].log_stake == 1_000_000
    assert by_name["prover-1"].prover_stake == 7
    assert by_name["prover-2"].sequencer_stake == 9
    assert {one.balance for one in genesis.accounts} == {123}
    assert genesis.network.epoch_ticks == 64
    assert genesis.network.name == "shared"
    assert any("validator-2: log stake 5" in line for line in told(genesis, tmp_path))


def test_who_is_reached_from_elsewhere_listens_everywhere_and_announces_it(tmp_path: Path) -> None:
    places = ("validator-1=192.0.2.1:5000", "prover-1=prover.example:5001", "prover-2=[::1]:5")
    create_network(replace(CHARTER, places=places), tmp_path)
    found = {
        path.parent.name: load_configuration(path) for path in tmp_path.glob("nodes/*/node.toml")
    }
    first = found["validator-1"]
    assert (first.listen_host, first.listen_port) == ("0.0.0.0", 5_000)
    assert first.announce[0].startswith("/ip4/192.0.2.1/tcp/5000/p2p/")
    assert found["prover-1"].announce[0].startswith("/dns/prover.example/tcp/5001/p2p/")
    assert (found["prover-2"].listen_host, found["prover-2"].announce) == ("::1", ())
    assert (found["validator-2"].listen_host, found["validator-2"].listen_port) == (
        "127.0.0.1",
        4_001,
    )
    bundle = read_bundle(tmp_path / "join.toml")
    assert first.announce[0] in bundle.bootstrap


@pytest.mark.parametrize(
    ("charter", "words"),
    [
        (replace(CHARTER, stakes=("nobody.log=1",)), "not of the form NODE.KIND"),
        (replace(CHARTER, stakes=("validator-1.gold=1",)), "not of the form"),
        (replace(CHARTER, stakes=("validator-1.log=-1",)), "not of the form"),
        (replace(CHARTER, places=("nobody=192.0.2.1:1",)), "NODE=HOST:PORT"),
        (replace(CHARTER, places=("validator-1=192.0.2.1",)), "no address that others"),
        (replace(CHARTER, places=("validator-1=192.0.2.1:0",)), "no address that others"),
        (replace(CHARTER, host="0.0.0.0"), "no address that others"),
        (replace(CHARTER, places=("validator-1=127.0.0.1:4001",)), "the same address"),
        (replace(CHARTER, wish=replace(CHARTER.wish, sets=("network.slots=1",))), "no parameter"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, charter: Charter, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        create_network(charter, tmp_path / "new")
    assert caught.value.hint
    assert not (tmp_path / "new").exists()


def test_keys_are_locked_if_wished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.keys.SCRYPT_COST", 2**10)
    genesis = create_network(replace(CHARTER, passphrase="sesame"), tmp_path)
    path = tmp_path / "nodes/prover-1/keys.toml"
    assert "secret" not in path.read_text()
    account = load_identity(path, lambda _prompt: "sesame").account
    assert account in {one.account for one in genesis.accounts}


def test_a_rule_of_one_s_own_goes_along(tmp_path: Path) -> None:
    rule = tmp_path / "mine.py"
    rule.write_text("from protocol.proving.elected import Elected\nclass Mine(Elected): ...\n")
    wish = replace(CHARTER.wish, proving=f"{rule}:Mine")
    genesis = create_network(replace(CHARTER, wish=wish), tmp_path / "new")
    assert genesis.proving.name == "rules/mine.py:Mine"
    assert (tmp_path / "new/rules/mine.py").exists()
    assert (tmp_path / "new/nodes/prover-1/rules/mine.py").exists()
    assert format_genesis(genesis) == (tmp_path / "new/genesis.toml").read_text()


def test_hosts_are_addresses_or_names() -> None:
    account = actor("somebody").account
    assert address_of("192.0.2.1:1", account).kind == "ip4"
    assert address_of("[2001:db8::1]:1", account).kind == "ip6"
    assert address_of("node.example:1", account).kind == "dns"

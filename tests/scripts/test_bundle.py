"""Join bundles: what is written is read back, what was changed by a byte is refused."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from p2p.observing import SnapshotAdopted
from p2p.peers import Address, AddressBook
from protocol.events import SetChanged
from protocol.params import format_genesis, network_id
from protocol.sets import genesis_validators
from protocol.types import Account, Epoch, Stake, Tick
from scripts.bundle import (
    BUNDLE_BYTES_MAX,
    Bundle,
    BundleError,
    bundle_of_folder,
    check_age,
    format_bundle,
    parse_bundle,
    read_bundle,
)
from scripts.checkpoint import (
    Checkpoint,
    Chronicle,
    Members,
    answerable_ms,
    trusted_sets,
)
from scripts.configuration import NodeConfiguration, save_configuration
from scripts.records import record_of
from tests.scripts.network import genesis

GENESIS = genesis("modelled")
ADDRESS = str(Address("ip4", "127.0.0.1", 4_001, GENESIS.accounts[0].account))
FIRST = genesis_validators(GENESIS).members
LATER, LAST = (tuple(replace(one, stake=Stake(stake)) for one in FIRST) for stake in (7, 8))
MEMBER = f'"{FIRST[0].account.hex()}", {FIRST[0].stake}, "{FIRST[0].vrf_key.hex()}"'
CHECKPOINT = Checkpoint(7, bytes(range(32)), bytes(range(32, 64)), 9_000, (FIRST, LATER, LAST))
WHOLE = Bundle(GENESIS, (ADDRESS,), CHECKPOINT, "http://192.0.2.1:4080/")


def renamed(name: str) -> Bundle:
    named = replace(GENESIS, network=replace(GENESIS.network, name=name))
    return replace(WHOLE, genesis=named)


@pytest.mark.parametrize(
    "bundle",
    [WHOLE, Bundle(GENESIS, (ADDRESS,)), *map(renamed, ('"""', "\\", 'a"""b\\"', "é", "'''"))],
)
def test_a_bundle_is_read_back_as_written(bundle: Bundle) -> None:
    assert parse_bundle(format_bundle(bundle)) == bundle


def test_every_changed_byte_is_found() -> None:
    raw, chance = format_bundle(WHOLE), random.Random(4)
    for _ in range(200):
        at = chance.randrange(len(raw))
        other = bytes([raw[at] ^ chance.randrange(1, 256)])
        with pytest.raises(BundleError):
            parse_bundle(raw[:at] + other + raw[at + 1 :])


@pytest.mark.parametrize("kept", [0, 1, 100, -1, -2, -60])
def test_a_bundle_that_was_cut_short_is_refused(kept: int) -> None:
    with pytest.raises(BundleError):
        parse_bundle(format_bundle(WHOLE)[:kept])


def test_damage_and_a_wrong_digest_are_told_apart() -> None:
    raw = format_bundle(WHOLE)
    with pytest.raises(BundleError, match="damaged"):
        parse_bundle(raw.replace(b"4001", b"4002"))
    digest = raw.split(b'"')[-2].decode()
    assert parse_bundle(raw, digest[:16].upper()) == WHOLE
    with pytest.raises(BundleError, match="another bundle"):
        parse_bundle(raw, "0" * 64)


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "join.toml"
    path.write_bytes(b"#" * (BUNDLE_BYTES_MAX + 1))
    with pytest.raises(BundleError, match="more than"):
        read_bundle(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nothing\.toml cannot be read"):
        read_bundle(tmp_path / "nothing.toml")


def sealed(text: str) -> bytes:
    """A bundle whose digest fits whatever it holds."""
    from scripts.bundle import _digest

    return text.encode() + f'digest = "{_digest(text.encode()).hex()}"\n'.encode()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("version = 2", "version = 1", "version 1"),
        ("version = 2", "version = 2\nmore = 1", "it holds"),
        (network_id(GENESIS).hex(), "00" * 32, "another network"),
        ("slot_ms = 1000", "slot_ms = 1", "genesis cannot be used"),
        ("slot_ms = 1000", "slot_ms = 1001", "another network"),
        ("/ip4/127.0.0.1", "/ip4/somewhere", "is not an address"),
        (f'  "{ADDRESS}",', "", "no list of addresses"),
        (f'"{ADDRESS}"', "1", "1 is no address"),
        ("height = 7", "height = -7", "height is no number"),
        ("height = 7", "height = true", "height is no number"),
        ("height = 7, ", "", "not whole"),
        ('state = "20', 'state = "', "state is no digest"),
        ("bootstrap", "[", "cannot be read"),
        ("sets = [", "more = [", "it holds"),
        ("sets = [", "sets = [[],", "not 3 sets"),
        (f"{MEMBER}],", f"{MEMBER}, 1],", "not whole"),
        (f"{MEMBER}],", "],", "not whole"),
        (f"[{MEMBER}],", "1,", "not whole"),
        (f'["{FIRST[0].account.hex()}"', '["00"', "account is no digest"),
        (f'"{FIRST[0].vrf_key.hex()}"]', "7]", "key is no digest"),
        (f" {FIRST[0].stake},", " 0,", "has no stake"),
        (f" {FIRST[0].stake},", f" {2**62},", "has no stake"),
        (f" {FIRST[0].stake},", " true,", "has no stake"),
        (f"[{MEMBER}],", f"[{MEMBER}], [{MEMBER}],", "own account"),
        ('faucet = "http', 'faucet = "ftp', "address of the faucet"),
        ("4080/", "4080/ ", "address of the faucet"),
        ("4080/", "4080/" + "a" * 200, "address of the faucet"),
        ('"http://192.0.2.1:4080/"', "1", "address of the faucet"),
    ],
)
def test_what_no_program_of_ours_writes_is_refused(old: str, new: str, words: str) -> None:
    body = format_bundle(WHOLE).decode().rpartition("digest = ")[0]
    assert old in body
    with pytest.raises(BundleError, match=words) as caught:
        parse_bundle(sealed(body.replace(old, new, 1)))
    assert caught.value.hint


def test_a_checkpoint_is_good_for_as_long_as_evidence_counts() -> None:
    epochs_ms = 2 * 16 * 1_000
    assert answerable_ms(GENESIS.network) == epochs_ms
    check_age(WHOLE, CHECKPOINT.time_ms + epochs_ms)
    with pytest.raises(BundleError, match=r"41 s old; validators answer .* for 32 s"):
        check_age(WHOLE, CHECKPOINT.time_ms + epochs_ms + 9_000)
    check_age(replace(WHOLE, checkpoint=None), CHECKPOINT.time_ms + 10**12)


@pytest.mark.parametrize(
    ("height", "epochs"), [(7, (0, 1)), (15, (0, 1)), (16, (0, 1, 2)), (47, (1, 2, 3))]
)
def test_the_sets_are_those_around_the_epoch_of_the_next_block(
    height: int, epochs: tuple[int, ...]
) -> None:
    sets = trusted_sets(replace(CHECKPOINT, height=height), GENESIS.network)
    assert tuple(sets) == epochs
    assert [one.members for one in sets.values()] == [FIRST, LATER, LAST][-len(epochs) :]


def told(value: object, **more: object) -> dict[str, object]:
    """What a node's events say of a value."""
    return json.loads(json.dumps(record_of(value, 0, **more)))


def at(height: int) -> dict[str, object]:
    return {"kind": "Final", "tick": height, "slot": 5, "block": "ab" * 32, "digest": "cd" * 32}


def named(*events: dict[str, object]) -> tuple[Members, ...]:
    chronicle = Chronicle(GENESIS)
    for event in events:
        chronicle.take(event)
    checkpoint = chronicle.checkpoint()
    assert checkpoint is not None
    return checkpoint.sets


def test_the_events_of_a_node_tell_who_orders_the_log() -> None:
    """Of epochs of 16: a set that was made at the end of epoch 1 is that of epoch 3."""
    changed = told(SetChanged(Epoch(3), LATER), tick=32)
    assert Chronicle(GENESIS).checkpoint() is None
    assert named(at(31)) == (FIRST, FIRST, FIRST)
    assert named(changed, at(32)) == (FIRST, FIRST, LATER)
    assert named(changed, at(33), at(47)) == (FIRST, FIRST, LATER)
    assert named(changed, at(48)) == (FIRST, LATER, LATER)
    assert named(changed, at(64)) == (LATER, LATER, LATER)


def test_a_node_that_began_with_a_snapshot_tells_its_sets() -> None:
    began = told(SnapshotAdopted(Tick(64), GENESIS.accounts[0].account, (FIRST, LATER, LAST)))
    assert named(began, at(70)) == (FIRST, LATER, LAST)
    assert named(began, at(80)) == (LATER, LAST, LAST)
    again = told(SetChanged(Epoch(6), FIRST), tick=80)
    assert named(began, again, at(80)) == (LATER, LAST, FIRST)


def test_a_folder_tells_the_addresses_of_its_nodes_and_the_last_final_block(
    tmp_path: Path,
) -> None:
    stranger = Address("ip4", "192.0.2.1", 4_009, Account(bytes(range(32, 64))))
    for number, name in enumerate(("one", "two")):
        folder = tmp_path / "nodes" / name
        folder.mkdir(parents=True)
        url = "http://192.0.2.1:4080/" if name == "two" else ""
        configuration = NodeConfiguration(name, "../../genesis.toml", faucet_url=url)
        save_configuration(folder / "node.toml", configuration)
        own = Address("ip4", "127.0.0.1", 4_001 + number, GENESIS.accounts[number].account)
        final = {"kind": "Final", "tick": 3 + number, "slot": 5, "block": "ab" * 32}
        events = [
            {"kind": "Stage", "addresses": [str(own)]},
            final | {"digest": "cd" * 32},
            {"kind": "Stage", "stage": "connected"},
        ]
        text = "".join(json.dumps(one) + "\n" for one in events)
        (folder / "events.jsonl").write_text(text)
    AddressBook([stranger]).save(tmp_path / "nodes/two/peers.json")
    (tmp_path / "genesis.toml").write_text(format_genesis(GENESIS))

    bundle = bundle_of_folder(tmp_path)
    assert bundle.genesis == GENESIS
    assert bundle.bootstrap[0] == ADDRESS
    assert bundle.bootstrap[2] == str(stranger)
    assert bundle.checkpoint == Checkpoint(
        4, b"\xab" * 32, b"\xcd" * 32, 5_000, (FIRST, FIRST, FIRST)
    )
    assert bundle.faucet == "http://192.0.2.1:4080/"
    alone = bundle_of_folder(tmp_path / "nodes/one")
    assert (alone.bootstrap, alone.faucet) == ((ADDRESS,), "")


def test_a_folder_of_nothing_and_a_node_nobody_can_reach_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no run folder"):
        bundle_of_folder(tmp_path)
    anywhere = str(Address("ip4", "0.0.0.0", 4_001, GENESIS.accounts[0].account))
    configuration = NodeConfiguration("one", "genesis.toml", announce=(anywhere,))
    save_configuration(tmp_path / "node.toml", configuration)
    (tmp_path / "genesis.toml").write_text(format_genesis(GENESIS))
    with pytest.raises(BundleError, match="no address"):
        bundle_of_folder(tmp_path)

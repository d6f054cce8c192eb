"""A joining node's folder: made once, found again, never given to another network."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.params import RuleChoice
from scripts.bundle import Bundle, BundleError, read_bundle
from scripts.configuration import (
    ConfigurationError,
    ProverConfiguration,
    load_configuration,
    save_configuration,
)
from scripts.joining.folder import Role, Wishes, default_folder, prepare, role_of
from scripts.keys import load_identity
from tests.scripts.test_bundle import GENESIS, WHOLE

HERE = Path()


def wishes(role: Role = Role.OBSERVER) -> Wishes:
    return Wishes("mine", role, HERE)


def other_network() -> Bundle:
    renamed = replace(GENESIS, network=replace(GENESIS.network, name="other"))
    return replace(WHOLE, genesis=renamed)


def test_a_second_start_finds_keys_and_what_a_person_changed(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "node"
    assert prepare(WHOLE, folder, wishes()) is False
    before = load_identity(folder / "keys.toml")
    mine = replace(load_configuration(folder / "node.toml"), listen_port=4_444)
    save_configuration(folder / "node.toml", mine)
    fresh = replace(WHOLE, bootstrap=(WHOLE.bootstrap[0].replace("4001", "4002"),))
    assert prepare(fresh, folder, wishes()) is True
    assert load_identity(folder / "keys.toml") == before
    found = load_configuration(folder / "node.toml")
    assert (found.listen_port, found.bootstrap) == (4_444, fresh.bootstrap)
    assert read_bundle(folder / "join.toml") == fresh
    assert found.faucet_url == WHOLE.faucet != ""
    prepare(replace(WHOLE, faucet=""), folder, wishes())
    assert load_configuration(folder / "node.toml").faucet_url == WHOLE.faucet


def test_keys_are_new_private_and_locked_if_wished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.keys.SCRYPT_COST", 2**10)
    locked = replace(wishes(), passphrase=lambda: "sesame")
    prepare(WHOLE, tmp_path / "one", locked)
    prepare(WHOLE, tmp_path / "two", wishes())
    path = tmp_path / "one" / "keys.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "secret" not in path.read_text()
    mine = load_identity(path, lambda _prompt: "sesame")
    assert mine != load_identity(tmp_path / "two" / "keys.toml")


def test_a_start_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    prepare(WHOLE, tmp_path, wishes())
    before = load_identity(tmp_path / "keys.toml")
    (tmp_path / "node.toml").unlink()
    assert prepare(WHOLE, tmp_path, wishes()) is False
    assert load_identity(tmp_path / "keys.toml") == before


def test_a_folder_of_another_network_is_left_as_it_is(tmp_path: Path) -> None:
    prepare(WHOLE, tmp_path, wishes())
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    with pytest.raises(BundleError, match="belongs to another network"):
        prepare(other_network(), tmp_path, wishes())
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_a_damaged_genesis_is_named(tmp_path: Path) -> None:
    (tmp_path / "genesis.toml").write_text("[network]\n")
    with pytest.raises(ConfigurationError, match="is damaged"):
        prepare(WHOLE, tmp_path, wishes())


def test_a_role_gets_what_it_needs_and_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    prepare(WHOLE, tmp_path, wishes())
    assert load_configuration(path).prover is None
    prepare(WHOLE, tmp_path, wishes(Role.PROVER))
    first = load_configuration(path)
    assert first.prover is not None
    assert first.sequencer is None
    save_configuration(path, replace(first, prover=ProverConfiguration(workers=9)))
    prepare(WHOLE, tmp_path, wishes(Role.PROVER))
    prepare(WHOLE, tmp_path, wishes(Role.SEQUENCER))
    last = load_configuration(path)
    assert last.prover == ProverConfiguration(workers=9)
    assert last.sequencer is not None


def test_where_to_listen_is_kept_once_it_was_said(tmp_path: Path) -> None:
    prepare(WHOLE, tmp_path, replace(wishes(), listen_host="0.0.0.0", listen_port=4_005))
    prepare(WHOLE, tmp_path, wishes())
    found = load_configuration(tmp_path / "node.toml")
    assert (found.listen_host, found.listen_port) == ("0.0.0.0", 4_005)


def test_roles_are_named() -> None:
    assert role_of("prover") is Role.PROVER
    with pytest.raises(ConfigurationError, match="king is no role") as caught:
        role_of("king")
    assert "validator" in caught.value.hint


def test_a_network_s_name_does_not_choose_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for name in ("../../up", "..", ".hidden", "a/b", "plain"):
        named = replace(GENESIS, network=replace(GENESIS.network, name=name))
        folder = default_folder(named, name)
        assert folder.resolve().is_relative_to(tmp_path / "provnet")
        assert len(folder.relative_to(tmp_path).parts) == 3
    assert default_folder(GENESIS, "n") != default_folder(other_network().genesis, "n")


def ruled(name: str) -> Bundle:
    return replace(WHOLE, genesis=replace(GENESIS, proving=RuleChoice(name, ())))


def test_code_comes_from_beside_the_bundle_only(tmp_path: Path) -> None:
    bundle, source = ruled("rules/mine.py:Mine"), tmp_path / "source"
    with pytest.raises(BundleError, match="which is not here"):
        prepare(bundle, tmp_path / "node", replace(wishes(), rules=source))
    (source / "rules").mkdir(parents=True)
    (source / "rules/mine.py").write_text("class Mine: ...\n")
    prepare(bundle, tmp_path / "node", replace(wishes(), rules=source))
    assert (tmp_path / "node/rules/mine.py").read_text() == "class Mine: ...\n"


def test_no_file_is_copied_to_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a" / "source").mkdir(parents=True)
    (tmp_path / "a" / "evil.py").write_text("")
    hostile = replace(wishes(), rules=tmp_path / "a" / "source")
    with pytest.raises(BundleError, match="not here"):
        prepare(ruled("../evil.py:Evil"), tmp_path / "b" / "node", hostile)
    assert not (tmp_path / "b" / "evil.py").exists()

"""Keys as files: for their owner only, never overwritten, locked with a passphrase if wished."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.configuration import ConfigurationError
from scripts.keys import (
    PASSPHRASE,
    ask_passphrase,
    derive_identity,
    load_identity,
    new_passphrase,
    save_identity,
)

SEED = bytes(range(32))


@pytest.fixture(autouse=True)
def _cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.keys.SCRYPT_COST", 2**10)


def answering(text: str) -> Callable[[str], str]:
    return lambda _prompt: text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def write_for_owner(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


@pytest.mark.parametrize("passphrase", ["", "correct horse"])
def test_keys_are_for_their_owner_only_and_never_overwritten(path: Path, passphrase: str) -> None:
    save_identity(path, SEED, passphrase)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_identity(path, answering(passphrase)) == derive_identity(SEED)
    with pytest.raises(FileExistsError):
        save_identity(path, bytes(32))
    assert load_identity(path, answering(passphrase)) == derive_identity(SEED)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o660])
def test_keys_that_others_may_touch_are_refused(path: Path, mode: int) -> None:
    save_identity(path, SEED)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"its mode is {mode:04o}") as caught:
        load_identity(path)
    assert caught.value.hint.startswith("chmod 600 ")


@pytest.mark.parametrize("text", ["", 'secret = "ab"', f'secret = "{"0" * 64}"\nmore = 1'])
def test_damaged_keys_are_refused(path: Path, text: str) -> None:
    write_for_owner(path, text)
    with pytest.raises(ConfigurationError, match="exactly one secret"):
        load_identity(path)


def test_a_locked_file_does_not_hold_the_secret(path: Path) -> None:
    save_identity(path, SEED, "correct horse")
    assert SEED.hex() not in path.read_text()
    other = path.with_name("other.toml")
    save_identity(other, SEED, "correct horse")
    assert path.read_text() != other.read_text(), "salt and nonce are fresh"


def test_a_wrong_passphrase_is_refused(path: Path) -> None:
    save_identity(path, SEED, "correct horse")
    with pytest.raises(ConfigurationError, match="passphrase does not open"):
        load_identity(path, answering("correct house"))


@pytest.mark.parametrize("name", ["account", "salt", "nonce", "sealed"])
def test_a_changed_locked_file_is_refused(path: Path, name: str) -> None:
    save_identity(path, SEED, "correct horse")
    lines = path.read_text().splitlines()
    (at,) = (at for at, line in enumerate(lines) if line.startswith(name))
    last = lines[at][-2]
    lines[at] = lines[at][:-2] + ("0" if last != "0" else "1") + '"'
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigurationError, match="does not open"):
        load_identity(path, answering("correct horse"))


@pytest.mark.parametrize("cost", ["0", "1", "3", "2097152", "-2", '"16"', "1.5"])
def test_a_cost_that_no_file_of_ours_has_is_refused_before_it_is_paid(
    path: Path, cost: str
) -> None:
    zeros = "\n".join(f'{name} = "{"00" * 16}"' for name in ("account", "salt", "sealed"))
    write_for_owner(path, f'{zeros}\nnonce = "{"00" * 12}"\ncost = {cost}\n')
    with pytest.raises(ConfigurationError, match="is damaged"):
        load_identity(path, answering("never asked"))


def test_the_passphrase_of_a_service_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PASSPHRASE, "from outside")
    assert ask_passphrase("prompt") == "from outside"


def test_without_environment_and_terminal_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(PASSPHRASE, raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(ConfigurationError) as caught:
        ask_passphrase("prompt")
    assert PASSPHRASE in caught.value.hint


def test_a_new_passphrase_is_typed_twice_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSPHRASE, raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    for typed, words in ((["one", "one"], None), (["one", "two"], "differ"), ([""], "empty")):
        answers = iter(typed)
        monkeypatch.setattr("getpass.getpass", lambda _prompt, answers=answers: next(answers))
        if words is None:
            assert new_passphrase() == "one"
            continue
        with pytest.raises(ConfigurationError, match=words):
            new_passphrase()


def test_the_vrf_key_is_not_the_signing_key() -> None:
    identity = derive_identity(bytes(32))
    assert identity.vrf_seed != identity.signing_seed

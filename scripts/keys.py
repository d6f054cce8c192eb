"""A node's secret as a file, readable by its owner only and, if wished, locked with a passphrase.

``keys.toml`` holds one secret of 32 bytes, from which all keys of the account follow, either in
plain hexadecimal digits or locked: scrypt (RFC 7914) makes a key of the passphrase and a salt,
AES-256-GCM (NIST SP 800-38D) seals the secret under it, with the account as associated data. The
account stands beside the locked secret, so that a node's owner can tell files apart without
opening them.

Rules. A file that anybody but its owner may read is refused. A passphrase comes from
``PROVNET_PASSPHRASE`` or is asked for on the terminal; without either, a locked file is refused.
The cost of scrypt stands in the file, below a bound, so that a foreign file cannot eat all memory.

Properties. A wrong passphrase and a changed file are told from each other only as far as AES-GCM
can: not at all.
"""

from __future__ import annotations

import getpass
import os
import secrets
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from protocol import signing
from protocol.ordering.validators import Identity
from protocol.signing import digest
from scripts.configuration import ConfigurationError, read_toml

KEYS_MODE: Final = 0o600
"""Only the owner may read secrets."""

PASSPHRASE: Final = "PROVNET_PASSPHRASE"  # noqa: S105 -- the name of a variable
"""Environment variable that holds the passphrase of a node that runs without a terminal."""

SCRYPT_COST: Final = 2**17
"""Cost N of scrypt: 128 MiB and some tenths of a second, what OWASP's password storage sheet
names."""

SCRYPT_COST_MAX: Final = 2**20
"""Largest cost that a file may ask for: 1 GiB."""

_SCRYPT_BLOCK: Final = 8
_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_SEAL: Final = b"provnet/keys/1"
_LOCKED: Final = {"account", "cost", "salt", "nonce", "sealed"}

Ask: TypeAlias = Callable[[str], str]
"""Asks a person for a passphrase; the argument is the prompt."""


def derive_identity(seed: bytes) -> Identity:
    """The keys of an account from one 32-byte secret: the VRF key is a second key, never the
    first.
    """
    return Identity(
        account=signing.public_key(seed),
        signing_seed=seed,
        vrf_seed=digest(b"provnet/vrf-seed/1", seed),
    )


def ask_passphrase(prompt: str) -> str:
    """The passphrase from the environment, or from the person at the terminal.

    :raises ConfigurationError: when there is neither.
    """
    given = os.environ.get(PASSPHRASE)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "a passphrase is needed, and there is no terminal to ask for it",
            f"give it in the environment variable {PASSPHRASE}",
        )
    return getpass.getpass(f"{prompt}: ")


def new_passphrase() -> str:
    """A passphrase for new keys, typed twice where a person types it.

    :raises ConfigurationError: when there is neither environment nor terminal, when it is empty,
        and when the two differ.
    """
    first = ask_passphrase("passphrase for the new keys")
    if not first:
        raise ConfigurationError(
            "an empty passphrase locks nothing", "give one, or join without --passphrase"
        )
    if PASSPHRASE not in os.environ and ask_passphrase("the same again") != first:
        raise ConfigurationError("the two passphrases differ", "start again")
    return first


def load_identity(path: Path, ask: Ask = ask_passphrase) -> Identity:
    """Read ``keys.toml``.

    :raises ConfigurationError: when it is not there, is open to others, is damaged, or is locked
        with another passphrase.
    """
    table = read_toml(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(path.stat().st_mode)
        raise ConfigurationError(
            f"{path} can be read by others: its mode is {mode:04o}",
            f"chmod {KEYS_MODE:o} {path}; if others had access, use new keys",
        )
    if set(table) == _LOCKED:
        return _unlocked(path, table, ask)
    seed = _hexadecimal(table.get("secret"))
    if len(seed) != _KEY_BYTES or set(table) != {"secret"}:
        raise ConfigurationError(
            f"{path} does not hold exactly one secret of 64 hexadecimal digits",
            "restore the file from a copy, or remove it to get a new identity",
        )
    return derive_identity(seed)


def save_identity(path: Path, seed: bytes, passphrase: str = "") -> None:
    """Write ``keys.toml``, readable by its owner only from the first moment on.

    :param passphrase: locks the file; empty: it is not locked.
    :raises FileExistsError: rather than overwrite keys.
    """
    entries = _locked(seed, passphrase) if passphrase else {"secret": seed.hex()}
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEYS_MODE)
    with os.fdopen(handle, "w") as file:
        for name, value in entries.items():
            file.write(f"{name} = {value}\n" if isinstance(value, int) else f'{name} = "{value}"\n')
        file.flush()
        os.fsync(file.fileno())


def _locked(seed: bytes, passphrase: str) -> dict[str, str | int]:
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    account = derive_identity(seed).account
    key = _key(passphrase, salt, SCRYPT_COST)
    sealed = AESGCM(key).encrypt(nonce, seed, _SEAL + account)
    return {
        "account": account.hex(),
        "cost": SCRYPT_COST,
        "salt": salt.hex(),
        "nonce": nonce.hex(),
        "sealed": sealed.hex(),
    }


def _unlocked(path: Path, table: dict[str, Any], ask: Ask) -> Identity:
    account, salt, nonce, sealed = (
        _hexadecimal(table[name]) for name in ("account", "salt", "nonce", "sealed")
    )
    cost = table["cost"]
    is_sound = type(cost) is int and 2 <= cost <= SCRYPT_COST_MAX and cost & (cost - 1) == 0
    if not is_sound or len(nonce) != _NONCE_BYTES or len(salt) != _SALT_BYTES:
        raise ConfigurationError(f"{path} is damaged", "restore the file from a copy")
    key = _key(ask(f"passphrase of {path}"), salt, cost)
    try:
        seed = AESGCM(key).decrypt(nonce, sealed, _SEAL + account)
    except InvalidTag:
        raise ConfigurationError(
            f"the passphrase does not open {path}",
            f"try again, look at {PASSPHRASE}, or restore the file if it was changed",
        ) from None
    return derive_identity(seed)


def _key(passphrase: str, salt: bytes, cost: int) -> bytes:
    kdf = Scrypt(salt=salt, length=_KEY_BYTES, n=cost, r=_SCRYPT_BLOCK, p=1)
    return kdf.derive(passphrase.encode())


def _hexadecimal(value: Any) -> bytes:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        return b""

"""The folder of a node that joins: found again by every later start, never overwritten.

It holds the genesis, ``keys.toml``, ``node.toml`` and the bundle last used. What a person changes
in ``node.toml`` stays, but for the addresses to ask first, which are those of the bundle, and that
of the faucet where the bundle has one.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

from protocol.errors import Refused
from protocol.params import Genesis, format_genesis, network_id, parse_genesis
from scripts.bundle import Bundle, BundleError, format_bundle
from scripts.configuration import (
    ApiConfiguration,
    ConfigurationError,
    NodeConfiguration,
    ProverConfiguration,
    SequencerConfiguration,
    load_configuration,
    save_configuration,
)
from scripts.keys import save_identity

BUNDLE: Final = "join.toml"
"""Name of a bundle in a folder."""

GENESIS: Final = "genesis.toml"
NODE: Final = "node.toml"
KEYS: Final = "keys.toml"


class Role(Enum):
    """What a node is for."""

    OBSERVER = "observer"
    PROVER = "prover"
    SEQUENCER = "sequencer"
    VALIDATOR = "validator"


def role_of(text: str) -> Role:
    """A role from its name. Raises :class:`ConfigurationError`."""
    try:
        return Role(text)
    except ValueError:
        known = ", ".join(one.value for one in Role)
        raise ConfigurationError(f"{text} is no role", f"there is {known}") from None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person who joins asked for.

    :ivar name: of the node.
    :ivar rules: folder from which files of rules that the genesis names are copied.
    :ivar passphrase: asked for the passphrase of new keys; None leaves them unlocked.
    :ivar stake: what to stake for the role, in micro-units; 0: nothing.
    :ivar fund: ask the bundle's faucet for test money.
    :ivar listen_host: None, as with the port: what the file says.
    """

    name: str
    role: Role
    rules: Path
    passphrase: Callable[[], str] | None = None
    listen_host: str | None = None
    listen_port: int | None = None
    stake: int = 0
    fund: bool = False


def data_home() -> Path:
    """Where programs of this user keep what is theirs: XDG Base Directory Specification."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def default_folder(genesis: Genesis, name: str) -> Path:
    """Where a node of a network is kept: below ``XDG_DATA_HOME``, by network and name."""
    network = f"{_plain(genesis.network.name)}-{network_id(genesis).hex()[:8]}"
    return data_home() / "provnet" / network / _plain(name)


def _plain(name: str) -> str:
    """A name that is a file name wherever it comes from."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "_"


def prepare(bundle: Bundle, folder: Path, wishes: Wishes) -> bool:
    """Make a node's folder, or find it again.

    :returns: whether it was there already.
    :raises ConfigurationError: when it belongs to another network, or a file of rules is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _keep_genesis(bundle.genesis, folder)
    _copy_rules(bundle.genesis, wishes.rules, folder)
    if not (folder / KEYS).exists():
        passphrase = wishes.passphrase() if wishes.passphrase else ""
        save_identity(folder / KEYS, secrets.token_bytes(32), passphrase)
    is_known = (folder / NODE).exists()
    configuration = (
        load_configuration(folder / NODE)
        if is_known
        else NodeConfiguration(wishes.name, GENESIS, api=ApiConfiguration())
    )
    faucet_url = bundle.faucet or configuration.faucet_url
    found = replace(configuration, bootstrap=bundle.bootstrap, faucet_url=faucet_url)
    configuration = _with_role(found, wishes.role)
    if wishes.listen_host is not None:
        configuration = replace(configuration, listen_host=wishes.listen_host)
    if wishes.listen_port is not None:
        configuration = replace(configuration, listen_port=wishes.listen_port)
    save_configuration(folder / NODE, configuration)
    (folder / BUNDLE).write_bytes(format_bundle(bundle))
    return is_known


def _keep_genesis(genesis: Genesis, folder: Path) -> None:
    path = folder / GENESIS
    if not path.exists():
        path.write_text(format_genesis(genesis))
        return
    try:
        kept = network_id(parse_genesis(path.read_text()))
    except (Refused, UnicodeDecodeError) as failure:
        raise ConfigurationError(
            f"{path} is damaged: {failure}", "remove it: it is written again from the bundle"
        ) from None
    if kept != network_id(genesis):
        raise BundleError(
            f"{folder} belongs to another network, {kept.hex()[:16]}; "
            f"the bundle is of {network_id(genesis).hex()[:16]}",
            "name another folder with --out; nothing was changed",
        )


def _copy_rules(genesis: Genesis, source: Path, folder: Path) -> None:
    for choice in (genesis.sequencing, genesis.proving):
        name = choice.name.rpartition(":")[0]
        target = folder / name
        if not name or target.exists():
            continue
        is_inside = target.resolve().is_relative_to(folder.resolve())
        if not is_inside or not (source / name).is_file():
            raise BundleError(
                f"the network runs under a rule from the file {name}, which is not here",
                "get the file from somebody you trust, read it, and name its folder with --rules",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target)


def _with_role(configuration: NodeConfiguration, role: Role) -> NodeConfiguration:
    """The configuration, with what the role needs where it is not there."""
    if role is Role.PROVER and configuration.prover is None:
        prover = ProverConfiguration(cores=os.cpu_count() or 1)
        return replace(configuration, prover=prover)
    if role is Role.SEQUENCER and configuration.sequencer is None:
        return replace(configuration, sequencer=SequencerConfiguration())
    return configuration

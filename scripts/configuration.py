"""A node's configuration as a file.

``node.toml`` says what one process does; paths in it are relative to its own folder. Unknown,
missing and ill-typed entries are refused with their place. What must stay secret is not in it but
in ``keys.toml`` beside it: see ``scripts.keys``.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.complaint import Complaint


class ConfigurationError(Complaint):
    """A configuration cannot be used."""


@dataclass(frozen=True, slots=True)
class ProverConfiguration:
    """A node that proves.

    :ivar workers: proofs at a time.
    :ivar cores: threads of all proofs together.
    :ivar memory_mib: memory of all workers together.
    :ivar sharers: provers of the network that share this machine.
    :ivar cost_per_work: what a compute unit costs, in micro-units.
    :ivar bid_margin_bps: what a bid asks above the cost, in basis points.
    :ivar bid_latency_ticks: how long it expects to take for a block; 0: as predicted from the
        times of its proofs; all the time there is, where none is known.
    :ivar bid_blocks_max: it bids for nothing while so many blocks are its own.
    :ivar leaf_ms: time of a leaf on one thread: declared for the modelled backend, calibrated for
        real proofs.
    :ivar merge_ms: the same of a merge.
    :ivar leaf_cores_ms: time of a leaf on ``cores`` threads, as calibrated; 0: not calibrated. The
        modelled backend shares its declared time among threads.
    :ivar merge_cores_ms: the same of a merge.
    """

    workers: int = 1
    cores: int = 1
    memory_mib: int = 2048
    sharers: int = 1
    cost_per_work: int = 1
    bid_margin_bps: int = 2_000
    bid_latency_ticks: int = 0
    bid_blocks_max: int = 2
    leaf_ms: int = 1_500
    merge_ms: int = 3_300
    leaf_cores_ms: int = 0
    merge_cores_ms: int = 0


@dataclass(frozen=True, slots=True)
class SequencerConfiguration:
    """A node that makes blocks.

    :ivar leaf_count: leaves of its blocks.
    :ivar fee_split: share of the fees promised to provers, in basis points.
    :ivar transfers_min: it makes no block with fewer transfers.
    :ivar blocks_max: it stops after so many jobs; 0: never.
    :ivar bid_slots: for how many slots it listens to bids for a block that is revealed.
    :ivar price_max_percent: most that it pays a prover, of what the block brings.
    """

    leaf_count: int = 4
    fee_split: int = 6_000
    transfers_min: int = 8
    blocks_max: int = 0
    bid_slots: int = 2
    price_max_percent: int = 100


@dataclass(frozen=True, slots=True)
class TrafficConfiguration:
    """A node that sends transfers of test accounts.

    :ivar per_slot: transfers a slot.
    :ivar accounts: number of the accounts, whose keys follow from ``seed``.
    :ivar seed: text from which keys and transfers follow.
    """

    per_slot: int = 4
    accounts: int = 16
    seed: str = "traffic"


@dataclass(frozen=True, slots=True)
class CheatConfiguration:
    """A node that breaks rules on purpose, or whose network is bad; see ``scripts.cheats``.

    :ivar does: names of cheats, each with ``:KIND`` behind it where it has kinds.
    :ivar seed: text from which all chance follows.
    :ivar delay_ms: mean delay of every message.
    :ivar partition: accounts, in hexadecimal digits, that are cut off from all others.
    :ivar partition_ms: for how long.
    """

    does: tuple[str, ...]
    seed: str = ""
    delay_ms: int = 0
    partition: tuple[str, ...] = ()
    partition_ms: int = 0


@dataclass(frozen=True, slots=True)
class ApiConfiguration:
    """A node that answers over HTTP; see ``scripts.service``.

    :ivar port: 0 lets the system choose.
    :ivar names: host names under which it is asked, beside addresses and ``localhost``.
    """

    host: str = "127.0.0.1"
    port: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FaucetConfiguration:
    """A node that gives test money away; see ``scripts.service.faucet``.

    :ivar amount: what one gift is, in micro-units, as the other amounts.
    :ivar pause_s: seconds between two gifts, to whomever.
    :ivar account_pause_s: seconds between two gifts to one account.
    :ivar account_max: most for one account within a period.
    :ivar address_max: most for the accounts that ask from one address within a period.
    :ivar period_s: length of the period, in seconds; it ends with each moment.
    """

    amount: int = 2_000_000
    pause_s: int = 5
    account_pause_s: int = 3_600
    account_max: int = 4_000_000
    address_max: int = 20_000_000
    period_s: int = 86_400


@dataclass(frozen=True, slots=True)
class NodeConfiguration:
    """One process of a network.

    :ivar genesis: path of the genesis.
    :ivar keys: path of the secrets.
    :ivar listen_port: 0 lets the system choose.
    :ivar bootstrap: addresses to connect to first.
    :ivar announce: addresses under which others reach it, where these are not what it listens on.
    :ivar mdns: whether nodes of its network on the local network find it, and it them.
    :ivar faucet_url: where the network's test money is given away, for its bundles; empty: nowhere.
    :ivar backup: its sequencer and its prover together make a whole block where a round came to
        nothing and the rule lets anybody do so.
    """

    name: str
    genesis: str
    keys: str = "keys.toml"
    listen_host: str = "127.0.0.1"
    listen_port: int = 0
    bootstrap: tuple[str, ...] = ()
    announce: tuple[str, ...] = ()
    mdns: bool = False
    faucet_url: str = ""
    backup: bool = False
    prover: ProverConfiguration | None = None
    sequencer: SequencerConfiguration | None = None
    traffic: TrafficConfiguration | None = None
    cheats: CheatConfiguration | None = None
    api: ApiConfiguration | None = None
    faucet: FaucetConfiguration | None = None


def load_configuration(path: Path) -> NodeConfiguration:
    """Read ``node.toml``. Raises :class:`ConfigurationError`."""
    return checked_configuration(read_toml(path), str(path))


def checked_configuration(table: dict[str, Any], place: str) -> NodeConfiguration:
    """A configuration from the table of a file.

    :param place: what a person calls the file.
    :raises ConfigurationError: when it cannot be used.
    """
    configuration: NodeConfiguration = _parse(NodeConfiguration, table, place)
    if configuration.backup and not (configuration.prover and configuration.sequencer):
        raise ConfigurationError(
            f"{place}: a backup is built by a sequencer and proven by a prover of the same node",
            "give the node both tables, [sequencer] and [prover], or no backup",
        )
    if configuration.faucet is not None:
        _check_faucet(configuration, configuration.faucet, place)
    return configuration


def _check_faucet(
    configuration: NodeConfiguration, faucet: FaucetConfiguration, place: str
) -> None:
    if configuration.api is None:
        raise ConfigurationError(
            f"{place}: a faucet is asked over the API, and there is none",
            "give the node the table [api], too, with a host that others reach",
        )
    if not 0 < faucet.amount <= min(faucet.account_max, faucet.address_max):
        raise ConfigurationError(
            f"{place}: this faucet never gives: one gift is {faucet.amount}, and the most are "
            f"{faucet.account_max} for an account and {faucet.address_max} for an address",
            "give [faucet] an amount of at least 1 that is below both",
        )
    if faucet.account_pause_s > faucet.period_s:
        raise ConfigurationError(
            f"{place}: a pause of {faucet.account_pause_s} s outlasts the faucet's memory of "
            f"{faucet.period_s} s",
            "give [faucet] a longer period_s, or a shorter account_pause_s",
        )


def save_configuration(path: Path, configuration: NodeConfiguration) -> None:
    """Write ``node.toml``."""
    entries = {
        field.name: value
        for field in dataclasses.fields(configuration)
        if (value := getattr(configuration, field.name)) is not None
    }
    tables = {name: value for name, value in entries.items() if dataclasses.is_dataclass(value)}
    lines = [f"{name} = {toml_of(value)}" for name, value in entries.items() if name not in tables]
    for title, table in tables.items():
        lines += ["", f"[{title}]"]
        lines += [
            f"{field.name} = {toml_of(getattr(table, field.name))}"
            for field in dataclasses.fields(table)
        ]
    path.write_text("\n".join(lines) + "\n")


def toml_of(value: Any) -> str:
    """A value of ours as TOML writes it."""
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_of(one) for one in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- reading ---


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file. Raises :class:`ConfigurationError`."""
    try:
        return tomllib.loads(path.read_text())
    except OSError as failure:
        raise ConfigurationError(
            f"{path} cannot be read: {failure.strerror}", "check the path and its permissions"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise ConfigurationError(f"{path} is not TOML: {failure}", "mend the named line") from None


def _parse(kind: Any, raw: Any, place: str) -> Any:
    if isinstance(kind, types.UnionType):
        return _parse(typing.get_args(kind)[0], raw, place)
    if kind is int:
        _expect(type(raw) is int and raw >= 0, place, "a whole number that is not negative")
        return raw
    if kind is bool:
        _expect(type(raw) is bool, place, "true or false")
        return raw
    if kind is str:
        _expect(isinstance(raw, str), place, "text")
        return raw
    if typing.get_origin(kind) is tuple:
        _expect(isinstance(raw, list), place, "a list")
        return tuple(_parse(typing.get_args(kind)[0], one, place) for one in raw)
    return parse_table(kind, raw, place)


def parse_table(kind: Any, raw: Any, place: str) -> Any:
    """The dataclass ``kind`` from a table that has its fields.

    :param place: what a person calls the table.
    :raises ConfigurationError: for an unknown, missing or ill-typed entry.
    """
    _expect(isinstance(raw, dict), place, "a table")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(raw) - set(hints))
    _expect(not unknown, place, f"without the unknown entry {', '.join(unknown)}")
    required = {
        field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING
    }
    lacking = sorted(required - set(raw))
    _expect(not lacking, place, f"a table with the entry {', '.join(lacking)}")
    return kind(
        **{name: _parse(hints[name], value, f"{place}: {name}") for name, value in raw.items()}
    )


def _expect(condition: bool, place: str, expected: str) -> None:
    if not condition:
        raise ConfigurationError(f"{place} must be {expected}", "mend the entry")

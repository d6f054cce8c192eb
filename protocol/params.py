"""What a network agrees on before its first block: parameters, accounts, rules.

A genesis is written as TOML. Unknown, missing, ill-typed and contradictory entries are refused with
the place and the reason. The network id is the digest of the genesis, so two nodes with different
parameters never talk past each other.

Rules are named ``module:Class`` or by their short name; their settings are kept as text here and
parsed by the rule's own frozen dataclass of parameters (:func:`parse_settings`), so that a rule in
somebody's own file needs no change here.
"""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar

from protocol.codec import encode
from protocol.errors import Reason, Refused
from protocol.signing import digest
from protocol.types import (
    BOUNDS,
    LENGTHS,
    Account,
    Amount,
    BasisPoints,
    Count,
    Milliseconds,
    NetworkId,
    Stake,
    Tick,
    VrfKey,
)

MODELLED: Final = "modelled"
"""Backend name of the stand-in that attests instead of proving."""

PLONKY2: Final = "plonky2"
"""Backend name of real recursive proofs."""

BACKENDS: Final = (PLONKY2, MODELLED)
"""Proof systems a genesis may name."""

EVIDENCE_EPOCHS: Final = 2
"""Evidence counts for faults at most so many epochs of slots old; what is older was forgotten."""

SNAPSHOT_EPOCHS: Final = 3
"""The validators of an epoch have the stake of the end of so many epochs before it."""

EXIT_EPOCHS_MIN: Final = SNAPSHOT_EPOCHS + EVIDENCE_EPOCHS
"""Least exit delay, in epochs: who takes its stake out orders until the end of the second epoch
after, and is answerable for that as long as evidence counts. A tick takes at least a slot.
"""

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Setting:
    """One parameter of a rule, as text."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class RuleChoice:
    """Which rule, with which settings, sorted by name."""

    name: str
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class NetworkParameters:
    """What every rule shares.

    :ivar genesis_time_ms: start of slot 0.
    :ivar slot_ms: length of a slot; must exceed twice the real message delay, or the log only
        crawls.
    :ivar epoch_ticks: length of an epoch, and the longest time an operation may stay valid.
    :ivar exit_delay_ticks: how long stake that was taken out can still be lost before it is paid.
    :ivar operation_fee: paid to the log proposer by the sender of an operation that is not free.
    :ivar equivocation_penalty: share of the log stake that is burned for signing two things for one
        slot.
    :ivar invalid_proof_penalty: share of the prover stake that is burned for a signed record whose
        bytes do not prove it.
    :ivar block_reward: paid for every settled block beside its fees, as long as the treasury lasts.
    :ivar treasury: what block rewards are paid from, all there will ever be.
    :ivar mev: what ordering a block is worth to its sequencer beyond fees. An input of experiments:
        it is stated, never measured, and no money moves for it.
    :ivar max_bodies_per_log_block: most operations with bodies to be checked (reveals, records) in
        one log block.
    """

    name: str
    backend: str
    genesis_time_ms: Milliseconds
    slot_ms: Milliseconds
    epoch_ticks: Tick
    exit_delay_ticks: Tick
    operation_fee: Amount
    equivocation_penalty: BasisPoints
    invalid_proof_penalty: BasisPoints
    block_reward: Amount
    treasury: Amount
    mev: Amount
    max_operations_per_log_block: Count
    max_bodies_per_log_block: Count


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """An account of the first state. Its stakes are on top of its balance."""

    name: str
    account: Account
    vrf_key: VrfKey
    balance: Amount
    log_stake: Stake
    prover_stake: Stake
    sequencer_stake: Stake


@dataclass(frozen=True, slots=True)
class RollupAccount:
    """An account inside the rollup with its first balance."""

    account: Account
    balance: Amount


@dataclass(frozen=True, slots=True)
class Genesis:
    """The first state of a network and the rules it runs under."""

    network: NetworkParameters
    sequencing: RuleChoice
    proving: RuleChoice
    accounts: tuple[GenesisAccount, ...]
    rollup: tuple[RollupAccount, ...]

    @property
    def rollup_total(self) -> Amount:
        """Sum of the rollup's first balances: what the vault holds at the start."""
        return Amount(sum(one.balance for one in self.rollup))


def network_id(genesis: Genesis) -> NetworkId:
    """Digest of the genesis."""
    return NetworkId(digest(b"provnet/genesis/1", encode(genesis)))


def check_genesis(genesis: Genesis) -> None:
    """Refuse a genesis that contradicts itself.

    :raises Refused: CONTRADICTORY_GENESIS with what contradicts what.
    """
    parameters = genesis.network
    _agree(parameters.backend in BACKENDS, f"backend is one of {', '.join(BACKENDS)}")
    _agree(parameters.slot_ms >= 50, "slot_ms is at least 50")
    _agree(parameters.epoch_ticks >= 8, "epoch_ticks is at least 8")
    _agree(
        parameters.exit_delay_ticks >= EXIT_EPOCHS_MIN * parameters.epoch_ticks,
        f"exit_delay_ticks is at least {EXIT_EPOCHS_MIN} epochs",
    )
    _agree(parameters.max_operations_per_log_block >= 1, "a log block has room for an operation")
    _agree(parameters.max_bodies_per_log_block >= 1, "a log block has room for a body")
    accounts = [one.account for one in genesis.accounts]
    _agree(len(set(accounts)) == len(accounts), "no account stands twice")
    names = [one.name for one in genesis.accounts]
    _agree(len(set(names)) == len(names), "no name stands twice")
    _agree(any(one.log_stake for one in genesis.accounts), "somebody has log stake")
    _agree(any(one.sequencer_stake for one in genesis.accounts), "somebody has sequencer stake")
    keys = [one.account for one in genesis.rollup]
    _agree(len(set(keys)) == len(keys), "no rollup account stands twice")
    supply = genesis.rollup_total + parameters.treasury
    supply += sum(
        one.balance + one.log_stake + one.prover_stake + one.sequencer_stake
        for one in genesis.accounts
    )
    _agree(supply <= BOUNDS[Amount], "the whole supply fits an amount")


def _agree(condition: bool, sentence: str) -> None:
    if not condition:
        raise Refused(Reason.CONTRADICTORY_GENESIS, f"not so: {sentence}")


# --- text ---


def parse_genesis(text: str) -> Genesis:
    """A genesis from TOML text, checked.

    :raises Refused: MALFORMED_GENESIS with the place, or CONTRADICTORY_GENESIS.
    """
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as failure:  # also of numbers too long, lists too deep
        raise Refused(Reason.MALFORMED_GENESIS, str(failure)) from None
    for rule in ("sequencing", "proving"):
        if rule in table:
            table[rule] = _rule_table(table[rule], rule)
    genesis: Genesis = _parse(Genesis, table, "genesis")
    check_genesis(genesis)
    return genesis


def _rule_table(table: Any, place: str) -> Any:
    _well_formed(
        isinstance(table, dict) and "rule" in table, place, "a table with the entry 'rule'"
    )
    settings = [
        {"name": name, "value": _setting_text(value, f"{place}.{name}")}
        for name, value in sorted(table.items())
        if name != "rule"
    ]
    return {"name": table["rule"], "settings": settings}


def _setting_text(value: Any, place: str) -> str:
    is_short = not isinstance(value, int) or value.bit_length() <= 64
    is_plain = type(value) in (int, bool, str) and is_short
    _well_formed(is_plain, place, "a whole number, a truth value or text")
    return str(value).lower() if type(value) is bool else str(value)


def format_genesis(genesis: Genesis) -> str:
    """TOML text that :func:`parse_genesis` reads back to the same genesis."""
    lines = ["[network]", *_entries(genesis.network)]
    for title, rule in (("sequencing", genesis.sequencing), ("proving", genesis.proving)):
        lines += ["", f"[{title}]", f"rule = {_text(rule.name)}"]
        lines += [f"{one.name} = {_setting(one.value)}" for one in rule.settings]
    for title, rows in (("accounts", genesis.accounts), ("rollup", genesis.rollup)):
        for row in rows:
            lines += ["", f"[[{title}]]", *_entries(row)]
    return "\n".join(lines) + "\n"


def _entries(value: Any) -> list[str]:
    return [
        f"{field.name} = {_toml(getattr(value, field.name))}" for field in dataclasses.fields(value)
    ]


def _toml(value: Any) -> str:
    if isinstance(value, bytes):
        return _text(value.hex())
    return _text(value) if isinstance(value, str) else str(value)


def _text(value: str) -> str:
    escaped = "".join(
        f"\\u{ord(one):04X}" if ord(one) < 32 or one in '"\\\x7f' else one for one in value
    )
    return f'"{escaped}"'


def _setting(value: str) -> str:
    plain = value in ("true", "false") or (value.isascii() and value.isdecimal())
    canonical = plain and (not value.isdecimal() or str(int(value)) == value)
    return value if canonical else _text(value)


# --- generic reading of tables into frozen dataclasses ---


def _well_formed(condition: bool, place: str, expected: str) -> None:
    if not condition:
        raise Refused(Reason.MALFORMED_GENESIS, f"{place} must be {expected}")


def _parse(kind: Any, raw: Any, place: str) -> Any:
    if kind in BOUNDS:
        _well_formed(
            type(raw) is int and 0 <= raw <= BOUNDS[kind],
            place,
            f"a whole number from 0 to {BOUNDS[kind]}",
        )
        return raw
    if kind in LENGTHS:
        return _parse_bytes(raw, LENGTHS[kind], place)
    if kind is str:
        _well_formed(isinstance(raw, str) and 0 < len(raw.encode()) <= 64, place, "short text")
        return raw
    if typing.get_origin(kind) is tuple:
        _well_formed(isinstance(raw, list), place, "a list")
        inner = typing.get_args(kind)[0]
        return tuple(_parse(inner, one, f"{place}[{at}]") for at, one in enumerate(raw))
    return _parse_record(kind, raw, place)


def _parse_bytes(raw: Any, length: int, place: str) -> bytes:
    expected = f"{length} bytes as {2 * length} hexadecimal digits"
    _well_formed(isinstance(raw, str) and len(raw) == 2 * length, place, expected)
    try:
        return bytes.fromhex(raw)
    except ValueError:
        raise Refused(Reason.MALFORMED_GENESIS, f"{place} must be {expected}") from None


def _parse_record(kind: Any, raw: Any, place: str) -> Any:
    _well_formed(isinstance(raw, dict), place, "a table")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(raw) - set(hints))
    _well_formed(not unknown, place, f"without the unknown entry {', '.join(unknown)}")
    lacking = sorted(set(hints) - set(raw))
    _well_formed(not lacking, place, f"a table with the entry {', '.join(lacking)}")
    return kind(**{name: _parse(hints[name], raw[name], f"{place}.{name}") for name in hints})


def parse_settings(kind: type[P], choice: RuleChoice) -> P:
    """A rule's frozen dataclass of parameters from its settings; fields left out keep their
    default.

    Fields are numbers of ``protocol.types``, ``bool``, or an ``Enum`` of text values.

    :raises Refused: MALFORMED_GENESIS for an unknown setting or a value out of range.
    """
    hints = typing.get_type_hints(kind)
    found: dict[str, Any] = {}
    for setting in choice.settings:
        place = f"{choice.name}.{setting.name}"
        _well_formed(setting.name in hints, place, f"one of {', '.join(sorted(hints))}")
        _well_formed(setting.name not in found, place, "given once")
        found[setting.name] = _parse_setting(hints[setting.name], setting.value, place)
    return kind(**found)


def _parse_setting(kind: Any, value: str, place: str) -> Any:
    if kind is bool:
        _well_formed(value in ("true", "false"), place, "true or false")
        return value == "true"
    if isinstance(kind, type) and issubclass(kind, Enum):
        names = {str(member.value): member for member in kind}
        _well_formed(value in names, place, f"one of {', '.join(names)}")
        return names[value]
    number = value.isascii() and value.isdecimal() and len(value) < 20
    _well_formed(number, place, "a whole number")
    return _parse(kind, int(value), place)


def settings_of(parameters: Any) -> tuple[Setting, ...]:
    """The settings that :func:`parse_settings` reads back to ``parameters``."""
    rows = []
    for field in dataclasses.fields(parameters):
        value = getattr(parameters, field.name)
        if isinstance(value, Enum):
            value = value.value
        rows.append(Setting(field.name, _setting_text(value, field.name)))
    return tuple(sorted(rows, key=lambda row: row.name))

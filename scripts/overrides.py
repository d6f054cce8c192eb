"""What stands above a node's file: the environment, and above it the command line.

Precedence, from weak to strong: the defaults, ``node.toml``, variables ``PROVNET_ENTRY`` (with two
underscores for a dot: ``PROVNET_PROVER__CORES=2``), options ``--set entry=value``. A list is
written with commas between its items. Variables of this name that are no entry are refused: a
misspelt one would go unnoticed.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from scripts.configuration import (
    ConfigurationError,
    NodeConfiguration,
    checked_configuration,
    read_toml,
)
from scripts.keys import PASSPHRASE

PREFIX: Final = "PROVNET_"
"""How the variables of this program begin."""

OTHERS: Final = (
    PASSPHRASE,
    "PROVNET_CIRCUITS",
    "PROVNET_NODE",
    "PROVNET_PYTHON",
    "PROVNET_TOKEN",
)
"""Variables of this program that are no entries of a node's file."""


@dataclasses.dataclass(frozen=True, slots=True)
class Override:
    """One entry, as text.

    :ivar entry: its place, as ``listen_port`` or ``prover.cores``.
    :ivar origin: what a person calls it.
    """

    entry: str
    value: str
    origin: str


def overrides_of(environment: Mapping[str, str], settings: Sequence[str]) -> tuple[Override, ...]:
    """Overrides of the environment and of the command line, weak ones first.

    :param settings: texts ``entry=value``.
    :raises ConfigurationError: for a text of another form.
    """
    found = [
        Override(name.removeprefix(PREFIX).lower().replace("__", "."), value, name)
        for name, value in sorted(environment.items())
        if name.startswith(PREFIX) and name not in OTHERS
    ]
    for text in settings:
        entry, equals, value = text.partition("=")
        if not equals:
            raise ConfigurationError(
                f"--set {text}: not of the form ENTRY=VALUE", "write --set listen_port=4001"
            )
        found.append(Override(entry, value, f"--set {entry}"))
    return tuple(found)


def load_overridden(path: Path, overrides: Sequence[Override]) -> NodeConfiguration:
    """Read ``node.toml`` with overrides.

    :raises ConfigurationError: for what cannot be used, in the file or above it.
    """
    table = read_toml(path)
    for one in overrides:
        _put(table, one)
    origins = ", ".join(one.origin for one in overrides)
    return checked_configuration(table, f"{path} with {origins}" if overrides else str(path))


def _put(table: dict[str, Any], override: Override) -> None:
    *tables, last = override.entry.split(".")
    kind: Any = NodeConfiguration
    for name in (*tables, last):
        hints = typing.get_type_hints(kind) if dataclasses.is_dataclass(kind) else {}
        if name not in hints:
            raise ConfigurationError(
                f"{override.origin}: a node has no entry {override.entry}",
                f"there is {', '.join(hints)}" if hints else f"{name} is no table",
            )
        kind = _without_none(hints[name])
    for name in tables:
        table = table.setdefault(name, {})
    table[last] = _raw(kind, override)


def _without_none(kind: Any) -> Any:
    return typing.get_args(kind)[0] if isinstance(kind, types.UnionType) else kind


def _raw(kind: Any, override: Override) -> Any:
    """What TOML would give for the text. Raises :class:`ConfigurationError`."""
    text = override.value
    if kind is str:
        return text
    if typing.get_origin(kind) is tuple:
        return [one.strip() for one in text.split(",") if one.strip()]
    if kind is int and text.isascii() and text.isdecimal() and len(text) < 20:
        return int(text)
    if kind is bool and text in ("true", "false"):
        return text == "true"
    expected = {int: "a whole number", bool: "true or false"}.get(kind, "named entry by entry")
    raise ConfigurationError(
        f"{override.origin} must be {expected}, not {text!r}",
        f"write {override.origin.partition('=')[0]}=VALUE, or leave it out",
    )

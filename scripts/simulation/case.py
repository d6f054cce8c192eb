"""A run as a file: a plan of faults with a table ``[order]``, from which it can be run again.

A case is a file of faults with all that these happened to: ``provnet simulate --faults FILE`` runs
it as it was, whatever else the command line says.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from scripts.configuration import parse_table, read_toml, toml_of
from scripts.simulation.faults import ORDER, format_plan, read_plan
from scripts.simulation.network import Cast, Size, planned
from scripts.simulation.run import Order


@dataclass(frozen=True, slots=True)
class Asked:
    """The table ``[order]``; the fields are those of ``Order`` and ``Size``."""

    seed: int
    blocks: int
    nodes: int
    validators: int
    leaves: int
    slot_ms: int
    sequencing: str
    proving: str
    sets: tuple[str, ...]


def format_case(order: Order) -> str:
    """The text of an order's file."""
    size = {one.name: getattr(order.size, one.name) for one in fields(order.size)}
    given: dict[str, Any] = {"seed": order.seed, "blocks": order.blocks, **size}
    lines = [f"{one.name} = {toml_of(given[one.name])}" for one in fields(Asked)]
    return "\n".join([format_plan(order.plan()), f"[{ORDER}]", *lines]) + "\n"


def is_case(path: Path) -> bool:
    """Whether a file of faults is a case. Raises ConfigurationError when it cannot be read."""
    return ORDER in read_toml(path)


def read_case(path: Path, cast: Cast | None = None) -> Order:
    """The order of a file.

    :raises ConfigurationError: when it cannot be used.
    """
    asked: Asked = parse_table(Asked, read_toml(path).get(ORDER), f"{path}: {ORDER}")
    size = Size(
        **{one.name: getattr(asked, one.name) for one in fields(Size) if hasattr(asked, one.name)}
    )
    order = Order(asked.seed, size, asked.blocks)
    order = order if cast is None else replace(order, cast=cast)
    names = tuple(one.name for one in planned(size, asked.seed, order.cast).members)
    return replace(order, faults=read_plan(path, names))

"""What goes wrong in a simulated network, as a frozen value: from a seed, or from a file.

A plan is a list of single faults, each with its time: whatever is left out of it leaves the others
as they are, so that a plan can be shrunk. When all faults are over the network is healed, and has
to finish its work.

The file is TOML::

    safety_ms = 60000

    [[crash]]
    at_ms = 5000
    for_ms = 3000
    node = "validator-1"
    point = "remember_own: written"

The tables are the classes here by their names in small letters with underscores; entries are their
fields, and all are needed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

from scripts.configuration import ConfigurationError, parse_table, read_toml, toml_of


@dataclass(frozen=True, slots=True)
class Crash:
    """A node dies and comes back with what was on its disk.

    :ivar point: it dies in a write, at the first point of this name (:data:`p2p.store.Reached`)
        that it comes to; empty: at once, between two writes.
    """

    at_ms: int
    for_ms: int
    node: str
    point: str


@dataclass(frozen=True, slots=True)
class Pause:
    """A node does nothing, and goes on as if no time had passed."""

    at_ms: int
    for_ms: int
    node: str


@dataclass(frozen=True, slots=True)
class Partition:
    """These nodes reach only each other, and so do the others."""

    at_ms: int
    for_ms: int
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OneWay:
    """Nothing arrives from ``senders`` at ``receivers``; the way back is open."""

    at_ms: int
    for_ms: int
    senders: tuple[str, ...]
    receivers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BadLinks:
    """All links of these nodes lose, double, delay and reorder messages.

    :ivar late_ms: more time that each message takes.
    :ivar held_ms: the longest time for which reordered messages are held back.
    """

    at_ms: int
    for_ms: int
    nodes: tuple[str, ...]
    loss_percent: int
    duplication_percent: int
    reordering_percent: int
    held_ms: int
    late_ms: int


@dataclass(frozen=True, slots=True)
class NarrowLink:
    """What a node sends leaves it at this rate."""

    at_ms: int
    for_ms: int
    node: str
    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class SlowDisk:
    """Every write of a node takes so long, and the node waits for it."""

    at_ms: int
    for_ms: int
    node: str
    write_ms: int


@dataclass(frozen=True, slots=True)
class WrongClock:
    """The clock of a node is off, and moves away further."""

    at_ms: int
    for_ms: int
    node: str
    ahead_ms: int
    behind_ms: int
    drift_ppm: int


@dataclass(frozen=True, slots=True)
class Hostile:
    """Nodes that play an adversary, from the beginning to the end of the run; see
    :mod:`scripts.simulation.adversaries`.

    :ivar adversary: its name.
    :ivar nodes: who plays it, in the order of their parts.
    :ivar victims: honest nodes that it has chosen.
    """

    adversary: str
    nodes: tuple[str, ...]
    victims: tuple[str, ...]

    @property
    def at_ms(self) -> int:
        """It is there from the first slot on."""
        return 0


Passing: TypeAlias = (
    Crash | Pause | Partition | OneWay | BadLinks | NarrowLink | SlowDisk | WrongClock
)
"""What begins, lasts, and is over."""

Fault: TypeAlias = Passing | Hostile

KINDS: Final[dict[str, type[Any]]] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind for kind in get_args(Fault)
}
"""Every kind of fault by its name."""


def name_of(fault: Fault) -> str:
    """The name of a fault's kind."""
    return next(name for name, kind in KINDS.items() if kind is type(fault))


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All that goes wrong in a run.

    :ivar safety_ms: when the network is healed, counted from the first slot; faults that would last
        longer end then.
    """

    safety_ms: int = 0
    faults: tuple[Fault, ...] = ()

    def without(self, number: int) -> FaultPlan:
        """The plan without one fault."""
        return replace(self, faults=self.faults[:number] + self.faults[number + 1 :])

    def passing(self) -> tuple[Passing, ...]:
        """The faults that are over in the end."""
        return tuple(one for one in self.faults if not isinstance(one, Hostile))

    def joined(self, hostile: Iterable[Hostile]) -> FaultPlan:
        """The plan with more adversaries."""
        return replace(self, faults=(*hostile, *self.faults))


NOTHING: Final = FaultPlan()
"""Nothing goes wrong."""


# --- drawing ---

POINTS: Final = (
    "",
    "",
    "append: begun",
    "append: written",
    "finalise: written",
    "put_body: written",
    "put_body: committed",
    "put_certificate: grouped",
    "put_note: committed",
    "remember_own: begun",
    "remember_own: written",
    "remember_own: committed",
    "transaction: written",
    "transaction: committed",
)
"""Where a node dies; equally likely."""


def draw_plan(lots: random.Random, names: tuple[str, ...], safety_ms: int) -> FaultPlan:
    """A plan for a network of nodes with these names: about one fault for each node and minute."""
    count = 1 + round(lots.random() * 2 * len(names) * safety_ms / 60_000)
    faults = [_draw(lots, names, safety_ms) for _ in range(count)]
    return FaultPlan(safety_ms, tuple(sorted(faults, key=lambda one: one.at_ms)))


def _draw(lots: random.Random, names: tuple[str, ...], safety_ms: int) -> Passing:
    at_ms = lots.randrange(safety_ms)
    for_ms = min(safety_ms - at_ms, round(lots.expovariate(1 / 8_000)) + 100)
    kind = lots.choice(get_args(Passing))
    some = tuple(sorted(lots.sample(names, lots.randint(1, max(1, len(names) // 2)))))
    others = tuple(name for name in names if name not in some)
    one = lots.choice(names)
    if kind is Crash:
        return Crash(at_ms, for_ms, one, lots.choice(POINTS))
    if kind is Pause:
        return Pause(at_ms, for_ms, one)
    if kind is Partition:
        return Partition(at_ms, for_ms, some)
    if kind is OneWay:
        ways = (some, others) if lots.random() < 0.5 else (others, some)
        return OneWay(at_ms, for_ms, *ways)
    if kind is BadLinks:
        shares = (lots.randint(0, 30), lots.randint(0, 50), lots.randint(0, 30))
        return BadLinks(at_ms, for_ms, some, *shares, lots.randint(0, 2_000), lots.randint(0, 400))
    if kind is NarrowLink:
        return NarrowLink(at_ms, for_ms, one, lots.choice((2_000, 20_000, 200_000)))
    if kind is SlowDisk:
        return SlowDisk(at_ms, for_ms, one, lots.choice((5, 50, 500)))
    off_ms = lots.randint(0, 3_000)
    ahead_ms, behind_ms = (off_ms, 0) if lots.random() < 0.5 else (0, off_ms)
    return WrongClock(at_ms, for_ms, one, ahead_ms, behind_ms, lots.randint(0, 500))


# --- files ---

ORDER: Final = "order"
"""A table that is no fault, but says of which run this is the plan; see ``case``."""


def read_plan(path: Path, names: tuple[str, ...]) -> FaultPlan:
    """The plan of a file, for a network of nodes with these names.

    :raises ConfigurationError: when it cannot be used.
    """
    table = read_toml(path)
    table.pop(ORDER, None)
    safety_ms = table.pop("safety_ms", None)
    if type(safety_ms) is not int or safety_ms < 0:
        raise ConfigurationError(
            f"{path}: safety_ms must be a whole number that is not negative",
            "say when the network is healed",
        )
    unknown = sorted(set(table) - set(KINDS))
    if unknown:
        raise ConfigurationError(
            f"{path}: there is no fault {unknown[0]}", f"name one of {', '.join(KINDS)}"
        )
    faults: list[Fault] = [
        parse_table(KINDS[name], one, f"{path}: {name} {number}")
        for name, rows in table.items()
        for number, one in enumerate(rows if isinstance(rows, list) else [rows], 1)
    ]
    for fault in faults:
        _check_names(path, fault, names)
    return FaultPlan(safety_ms, tuple(sorted(faults, key=lambda one: one.at_ms)))


def _check_names(path: Path, fault: Fault, names: tuple[str, ...]) -> None:
    strangers = [name for name in nodes_of(fault) if name not in names]
    if strangers:
        raise ConfigurationError(
            f"{path}: there is no node {strangers[0]}", f"name one of {', '.join(names)}"
        )


def nodes_of(fault: Fault) -> tuple[str, ...]:
    """The nodes that a fault concerns."""
    match fault:
        case Partition(nodes=nodes) | BadLinks(nodes=nodes):
            return nodes
        case OneWay(senders=senders, receivers=receivers):
            return (*senders, *receivers)
        case Hostile(nodes=nodes, victims=victims):
            return (*nodes, *victims)
        case _:
            return (fault.node,)


def write_plan(path: Path, plan: FaultPlan) -> None:
    """Write a plan that :func:`read_plan` reads."""
    path.write_text(format_plan(plan))


def format_plan(plan: FaultPlan) -> str:
    """The text of a plan's file."""
    lines = [f"safety_ms = {plan.safety_ms}"]
    for fault in plan.faults:
        lines += ["", f"[[{name_of(fault)}]]"]
        lines += [f"{one.name} = {toml_of(getattr(fault, one.name))}" for one in fields(fault)]
    return "\n".join(lines) + "\n"

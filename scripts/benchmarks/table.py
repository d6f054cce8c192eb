"""Sections of figures for a person's terminal, and as JSON for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console, JustifyMethod
from rich.table import Table

from scripts.benchmarks.figures import Figure, Listing, Section
from scripts.benchmarks.hardware import Hardware


def show_hardware(console: Console, hardware: Hardware) -> None:
    """Say where the figures come from, and whether they are worth anything."""
    console.print(
        f"{hardware.processor}, {hardware.cores} cores, load {hardware.load:g}; "
        f"revision {hardware.revision}, Python {hardware.python}"
    )
    if hardware.is_busy:
        console.print(
            "warning: others use this machine; trust ratios of processor time only\n"
            "hint: run this again when the load is near 0"
        )


def show(console: Console, section: Section) -> None:
    """Print one section."""
    console.print(f"\n[bold]{section.name}[/bold]")
    for note in section.notes:
        console.print(f"  {note}", markup=False)
    if section.figures:
        console.print(_figures(section.figures))
    for listing in section.listings:
        console.print(_listing(listing))


COLUMNS: Final[tuple[tuple[str, JustifyMethod], ...]] = (
    ("what", "left"),
    ("value", "right"),
    ("against", "left"),
    ("value", "right"),
    ("ratio", "right"),
    ("least .. most", "right"),
    ("rounds", "right"),
    ("aim", "left"),
)
"""Titles of the columns of figures, and to which side they lean."""


def _figures(figures: Sequence[Figure]) -> Table:
    table = Table(box=None, pad_edge=False)
    for title, justify in COLUMNS:
        table.add_column(title, justify=justify)
    for one in figures:
        table.add_row(
            one.name,
            _with_unit(one.value, one.unit),
            one.baseline,
            _with_unit(one.baseline_value, one.unit),
            _number(one.ratio.median),
            f"{_number(one.ratio.low)} .. {_number(one.ratio.high)}",
            str(one.rounds),
            _aim(one),
        )
    return table


def _aim(figure: Figure) -> str:
    if figure.aim is None:
        return ""
    words = "at least" if figure.aim.is_least else "at most"
    is_met = figure.aim.is_met(figure.ratio.median)
    return f"{words} {figure.aim.bound:g}: {'met' if is_met else 'MISSED'}"


def _with_unit(value: float, unit: str) -> str:
    return f"{_number(value)}{unit}" if unit.startswith("/") else f"{_number(value)} {unit}"


def _number(value: float) -> str:
    """Three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _listing(listing: Listing) -> Table:
    first, *others = listing.columns
    table = Table(title=listing.title, title_justify="left", box=None, pad_edge=False)
    table.add_column(first)
    for title in others:
        table.add_column(title, justify="right")
    for row in listing.rows:
        table.add_row(*row)
    return table


def as_json(hardware: Hardware, sections: Sequence[Section]) -> dict[str, Any]:
    """Everything, ready for JSON."""
    return {
        "hardware": dataclasses.asdict(hardware),
        "sections": [dataclasses.asdict(section) for section in sections],
    }

"""The ``report`` command, and what a testnet calls at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rich.console import Console

from scripts.folder import GENESIS, RunUnreadable
from scripts.report.gather import gather
from scripts.report.page import page

REPORT: Final = "report.html"
"""Name of the page in a run folder."""


def write_report(run: Path) -> Path:
    """Write the page of a run; returns where it is.

    :raises RunUnreadable: when the genesis or the summary cannot be read.
    """
    path = run / REPORT
    draft = path.with_suffix(".draft")
    draft.write_text(page(gather(run)))
    draft.replace(path)
    return path


def make_report(run: Path) -> int:
    """Write the page of a run again and say where it is. Returns the exit code."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        print(write_report(run))
    except RunUnreadable as failure:
        hint = "name the folder that ./scripts/testnet printed first, runs/YYYYMMDD-HHMMSS"
        if (run / GENESIS).exists():
            hint = f"mend or remove {run / failure.what}"
        errors.print(f"error: {failure}\nhint: {hint}", markup=False)
        return 1
    return 0

"""The ``explain`` command."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from scripts.explain.publiclog import CannotTell, find_place, read_public_log
from scripts.explain.steps import explain
from scripts.explain.telling import as_lines, as_record


def show_explanation(run: Path, job: str, level: int, position: int, *, as_json: bool) -> int:
    """Print why a tree node of a run went as it did. Returns the exit code."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        log = read_public_log(run)
        entry = log.find_job(job)
        explanation = explain(log, entry, find_place(entry, level, position))
    except CannotTell as failure:
        errors.print(f"error: {failure}", markup=False)
        return 1
    if as_json:
        print(json.dumps(as_record(log, explanation), indent=1))
    else:
        print("\n".join(as_lines(log, explanation)))
    return 0

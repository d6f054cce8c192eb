"""Every check of the project: format, lint, types, tests, coverage, and those of the crate."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.setup.tree import Tree


@dataclass(frozen=True)
class Check:
    """A command that must end with exit code 0 in a folder."""

    name: str
    folder: Path
    command: tuple[str | Path, ...]


def checks_of(tree: Tree) -> list[Check]:
    """All checks, those that answer soonest first."""
    ruff, mypy, coverage = (tree.program(name) for name in ("ruff", "mypy", "coverage"))
    clippy = ("cargo", "clippy", "--release", "--locked", "--all-targets")
    return [
        Check("format", tree.root, (ruff, "format", "--check")),
        Check("lint", tree.root, (ruff, "check")),
        Check("types", tree.root, (mypy,)),
        Check("format of the crate", tree.crate, ("cargo", "fmt", "--check")),
        Check("lint of the crate", tree.crate, (*clippy, "--", "--deny", "warnings")),
        Check("tests of the crate", tree.crate, ("cargo", "test", "--release", "--locked")),
        Check("tests", tree.root, (coverage, "run", "-m", "pytest")),
        Check("coverage of protocol", tree.root, (coverage, "report")),
    ]


def check(tree: Tree, variables: Mapping[str, str]) -> int:
    """Run all checks and say how each went.

    :returns: 0 if all passed, else 1.
    """
    environment = _without_build_colours(variables)
    verdicts = {one.name: _passes(one, environment) for one in checks_of(tree)}
    passed = sum(verdicts.values())
    for name, verdict in verdicts.items():
        print(f"{'ok    ' if verdict else 'FAILED'} {name}")
    print(f"{passed} passed, {len(verdicts) - passed} failed", flush=True)
    return 0 if passed == len(verdicts) else 1


def _passes(one: Check, environment: Mapping[str, str]) -> bool:
    print(f"\n== {one.name}", flush=True)
    started = time.monotonic()
    done = subprocess.run(
        one.command, cwd=one.folder, env=environment, stdin=subprocess.DEVNULL, check=False
    )
    print(f"== {one.name}: {time.monotonic() - started:.0f} s", flush=True)
    return done.returncode == 0


def _without_build_colours(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a build, but colour as the tools themselves decide."""
    chosen = {name: value for name, value in variables.items() if name not in _COLOURS}
    return os.environ | chosen


_COLOURS = {"NO_COLOR", "CARGO_TERM_COLOR"}

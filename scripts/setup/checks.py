"""Every check of the project: format, lint, types, tests, coverage, and those of the crate."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from scripts.setup.tree import Tree


@dataclass(frozen=True)
class Check:
    """A command that must end with exit code 0 in a folder."""

    name: str
    folder: Path
    command: tuple[str | Path, ...]


PROTOCOL_TESTS = ("tests/protocol", "tests/properties")
"""Tests of the pure core: they alone must cover it."""

TOOL_TESTS = ("tests/scripts", "tests/setup")
"""Tests of the command line and what is around it: with the others they would take too long."""

NETWORK_TESTS = ("tests/processes", "tests/models", "tests/simulation")
"""Tests of whole networks: of processes, which mostly wait, searched in the small, simulated."""


def checks_of(tree: Tree) -> list[tuple[Check, ...]]:
    """All checks, those that answer soonest first; those of one group run at the same time."""
    ruff, mypy, coverage = (tree.program(name) for name in ("ruff", "mypy", "coverage"))
    clippy = ("cargo", "clippy", "--release", "--locked", "--all-targets")
    elsewhere = (*PROTOCOL_TESTS, *TOOL_TESTS, *NETWORK_TESTS)
    others = tuple(f"--ignore={folder}" for folder in elsewhere)
    pytest = ("-m", "pytest", "-p", "no:cacheprovider")
    return [
        (Check("format", tree.root, (ruff, "format", "--check")),),
        (Check("lint", tree.root, (ruff, "check")),),
        (Check("types", tree.root, (mypy,)),),
        (Check("format of the crate", tree.crate, ("cargo", "fmt", "--check")),),
        (Check("lint of the crate", tree.crate, (*clippy, "--", "--deny", "warnings")),),
        (Check("tests of the crate", tree.crate, ("cargo", "test", "--release", "--locked")),),
        (
            Check("other tests", tree.root, (tree.python, *pytest, *others)),
            Check("tests of networks", tree.root, (tree.python, *pytest, *NETWORK_TESTS)),
            Check("tests of tools", tree.root, (tree.python, *pytest, *TOOL_TESTS)),
            Check("tests of protocol", tree.root, (coverage, "run", *pytest, *PROTOCOL_TESTS)),
        ),
        (Check("coverage of protocol", tree.root, (coverage, "report")),),
    ]


def check(tree: Tree, variables: Mapping[str, str]) -> int:
    """Run all checks and say how each went.

    :returns: 0 if all passed, else 1.
    """
    environment = _without_build_colours(variables)
    verdicts: dict[str, bool] = {}
    for group in checks_of(tree):
        verdicts |= _run(group, environment)
    passed = sum(verdicts.values())
    for name, verdict in verdicts.items():
        print(f"{'ok    ' if verdict else 'FAILED'} {name}")
    print(f"{passed} passed, {len(verdicts) - passed} failed", flush=True)
    return 0 if passed == len(verdicts) else 1


def _run(group: tuple[Check, ...], environment: Mapping[str, str]) -> dict[str, bool]:
    """Run checks at the same time; the first one's output is seen at once, the others' after it."""
    started = time.monotonic()
    first, *others = group
    print(f"\n== {first.name}", flush=True)
    with ExitStack() as stack:
        outputs = [None, *(stack.enter_context(TemporaryFile()) for _ in others)]
        running = [
            stack.enter_context(_start(one, environment, output))
            for one, output in zip(group, outputs, strict=True)
        ]
        codes = [one.wait() for one in running]
        for one, output in zip(others, outputs[1:], strict=True):
            print(f"\n== {one.name}", flush=True)
            if output is not None:
                output.seek(0)
                sys.stdout.write(output.read().decode(errors="replace"))
    names = " and ".join(one.name for one in group)
    print(f"== {names}: {time.monotonic() - started:.0f} s", flush=True)
    return {one.name: code == 0 for one, code in zip(group, codes, strict=True)}


def _start(
    one: Check, environment: Mapping[str, str], output: IO[bytes] | None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        one.command,
        cwd=one.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
    )


def _without_build_colours(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of a build, but colour as the tools themselves decide."""
    chosen = {name: value for name, value in variables.items() if name not in _COLOURS}
    return os.environ | chosen


_COLOURS = {"NO_COLOR", "CARGO_TERM_COLOR"}

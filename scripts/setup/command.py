"""The commands that the entries in ``scripts`` start."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType

from scripts.setup.checks import check
from scripts.setup.machine import check_machine
from scripts.setup.stages import set_up
from scripts.setup.terminal import SetUpError, explain, say
from scripts.setup.tree import Tree
from scripts.setup.wheel import check_wheel

_INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    """Set up what is not set up, then do what the first argument names.

    ``run ARGUMENTS`` becomes the command line of provnet, ``test ARGUMENTS`` runs all checks or,
    with arguments, pytest; ``wheel`` builds the wheel and tries it in an environment of its own.

    :returns: the exit code.
    """
    name, *rest = arguments
    tree = Tree(Path(__file__).resolve().parents[2])
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    for_tests = name == "test" and not rest
    try:
        set_up(tree, partial(check_machine, for_tests=for_tests))
        os.environ.setdefault("PROVNET_CIRCUITS", str(tree.circuits))
        match name:
            case "run":
                return become(tree.program("provnet"), *rest)
            case "test" if rest:
                os.chdir(tree.root)
                return become(tree.python, "-m", "pytest", *rest)
            case "test":
                return check(tree, check_machine(tree, for_tests=True))
            case "wheel":
                return check_wheel(tree, check_machine(tree))
            case _:
                raise SetUpError(f"there is no command {name}.", "use run, test or wheel")
    except SetUpError as error:
        explain(error)
        return 1
    except KeyboardInterrupt:
        say("stopped; nothing half-built is kept")
        return _INTERRUPTED


def become(program: Path, *arguments: str) -> int:
    """Replace this process by ``program``."""
    sys.stdout.flush()
    os.execv(program, [str(program), *arguments])  # noqa: S606 -- our own program


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt

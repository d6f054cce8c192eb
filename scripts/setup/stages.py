"""The three stages, their stamps, and the lock around them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from scripts.setup.terminal import SetUpError, say
from scripts.setup.tree import Tree, digest_of

_LINES_SHOWN_ON_FAILURE = 20

_BUILD_CIRCUITS = """
import sys
import prover._native as native
if not native.cache_is_valid(sys.argv[1]):
    native.build_cache(sys.argv[1])
"""

Run = Callable[..., None]


@dataclass(frozen=True)
class Stage:
    """One step of the set-up.

    :param announcement: what is done and about how long it takes.
    :param stamp: the file that holds the digest once the stage is done.
    :param digest: of everything that goes into the stage.
    :param products: what must exist besides the stamp.
    :param commands: what makes them.
    """

    announcement: str
    stamp: Path
    digest: str
    products: tuple[Path, ...]
    commands: tuple[tuple[str | Path, ...], ...]

    def is_done(self) -> bool:
        """Whether the stamp matches and every product is there."""
        try:
            matches = self.stamp.read_text() == self.digest
        except FileNotFoundError:
            return False
        return matches and all(product.exists() for product in self.products)

    def carry_out(self, run: Run) -> None:
        """Run the commands; only a stage that ran to its end has a stamp."""
        self.stamp.unlink(missing_ok=True)
        for command in self.commands:
            run(*command)
        self.stamp.parent.mkdir(exist_ok=True)
        unfinished = self.stamp.with_suffix(".unfinished")
        unfinished.write_text(self.digest)
        unfinished.replace(self.stamp)


def stages_of(tree: Tree) -> list[Stage]:
    """The stages of a clone in their order."""
    environment = digest_of(sys.version, str(tree.root), tree.requirements)
    project = digest_of(environment, _build_settings(tree), *_named(tree, tree.crate_sources()))
    pip = (tree.python, "-m", "pip", "install")
    library = tree.native_library() or tree.root / "prover" / "_native.so"
    return [
        Stage(
            announcement="installing the Python packages (1 to 2 minutes)",
            stamp=tree.environment / "environment.stamp",
            digest=environment,
            products=(tree.python,),
            commands=(
                (_base_python(), "-m", "venv", "--clear", tree.environment),
                (*pip, "--require-hashes", "--requirement", tree.requirements),
            ),
        ),
        Stage(
            announcement="building the Rust crate (1 to 3 minutes the first time)",
            stamp=tree.environment / "project.stamp",
            digest=project,
            products=(library, tree.program("provnet")),
            commands=((*pip, "--verbose", "--no-deps", "--no-build-isolation", "--editable", "."),),
        ),
        Stage(
            announcement="building the circuits (about 20 seconds)",
            stamp=tree.build / "circuits.stamp",
            digest=project,
            products=(tree.circuits,),
            commands=((tree.python, "-c", _BUILD_CIRCUITS, tree.circuits),),
        ),
    ]


def set_up(tree: Tree, prepare: Callable[[Tree], Mapping[str, str]]) -> None:
    """Carry out the stages that are not done.

    :param prepare: checks the machine and returns the environment variables of the builds.
    :raises SetUpError: when the machine lacks something or a command fails.
    """
    if all(stage.is_done() for stage in stages_of(tree)):
        return
    tree.build.mkdir(exist_ok=True)
    with _locked(tree.build / "lock") as lock:
        if all(stage.is_done() for stage in stages_of(tree)):
            return
        variables = prepare(tree)
        with tree.log.open("w") as log:
            run = _runner(tree, variables, log, lock)
            for number in range(len(stages_of(tree))):
                # Built anew each time: a stage may look at what the one before has made.
                stage = stages_of(tree)[number]
                if not stage.is_done():
                    _carry_out(stage, run)


def _carry_out(stage: Stage, run: Run) -> None:
    say(f"{stage.announcement} ...")
    started = time.monotonic()
    stage.carry_out(run)
    say(f"done in {time.monotonic() - started:.0f} s")


def _runner(tree: Tree, variables: Mapping[str, str], log: IO[str], lock: int) -> Run:
    def run(*command: str | Path) -> None:
        print("$", *command, file=log, flush=True)
        # A group of its own, so that an interrupt ends all of it; the lock goes along, so that
        # nobody starts while something that outlived its parent still writes.
        child = subprocess.Popen(
            command,
            cwd=tree.root,
            env=os.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=[lock],
        )
        try:
            status = child.wait()
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise
        if status != 0:
            lines = tree.log.read_text(errors="replace").splitlines()[-_LINES_SHOWN_ON_FAILURE:]
            raise SetUpError(
                "\n".join(["a step of the set-up failed; its last lines were:", *lines]),
                f"everything it printed is in {tree.log}; the next run tries again",
            )

    return run


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for a set-up that runs already")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _build_settings(tree: Tree) -> str:
    settings = tomllib.loads((tree.root / "pyproject.toml").read_text())
    relevant = settings["build-system"], settings["project"], settings["tool"]["maturin"]
    return json.dumps(relevant, sort_keys=True)


def _named(tree: Tree, files: list[Path]) -> Iterator[str | Path]:
    for file in files:
        yield str(file.relative_to(tree.root))
        yield file


def _base_python() -> str:
    # The environment's own Python cannot rebuild the environment.
    return str(getattr(sys, "_base_executable", sys.executable))

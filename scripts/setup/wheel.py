"""The wheel, built and then used where there is no source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

from scripts.setup.terminal import SetUpError, say
from scripts.setup.tree import Tree

_PAGE = "scripts/service/page"
_FOREIGN_SUFFIXES = (".lock", ".pyc", ".rs", ".toml")


def check_wheel(tree: Tree, variables: Mapping[str, str]) -> int:
    """Build the wheel, look into it, install it in a second environment, and start ``provnet``.

    :returns: 0; the wheel is in ``.build/wheel``.
    :raises SetUpError: when a step fails or the wheel holds what it should not.
    """
    output, second = tree.build / "wheel", tree.build / "second"
    for folder in (output, second):
        shutil.rmtree(folder, ignore_errors=True)
    cargo_home = os.environ.get("CARGO_HOME", str(Path("~/.cargo").expanduser()))
    environment = os.environ | variables
    # Panic messages name source files. Other flags than the tests use, so another target folder.
    environment["RUSTFLAGS"] = (
        f"--remap-path-prefix={cargo_home}=cargo --remap-path-prefix={tree.root}=provnet"
    )
    environment["CARGO_TARGET_DIR"] = str(tree.build / "target")
    say("building the wheel (about 2 minutes the first time) ...")
    maturin = (tree.program("maturin"), "build", "--release", "--locked", "--out", output)
    _run(maturin, tree.root, environment)
    (wheel,) = output.glob("*.whl")
    faults = faults_of_wheel(wheel, (str(tree.root), cargo_home))
    faults += [f"it lacks {name}" for name in missing_from_wheel(wheel, tree.root)]
    if faults:
        raise SetUpError(f"the wheel is not clean: {'; '.join(faults)}.", f"unpack {wheel}")
    say("installing the wheel in a second environment (about a minute) ...")
    _run((tree.python, "-m", "venv", second), tree.root, environment)
    _run((second / "bin" / "python", "-m", "pip", "install", wheel), tree.root, environment)
    _run((second / "bin" / "provnet", "--help"), Path("/"), os.environ)
    say(f"the wheel is good: {wheel.name}, {wheel.stat().st_size / 1e6:.2f} MB")
    print("1 passed, 0 failed", flush=True)
    return 0


def faults_of_wheel(wheel: Path, secret_paths: tuple[str, ...]) -> list[str]:
    """What a wheel holds but should not: tests, Rust sources, and paths of this machine."""
    faults = []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if "tests" in name.split("/") or name.endswith(_FOREIGN_SUFFIXES):
                faults.append(f"{name} is no part of the product")
            content = archive.read(name)
            faults += [f"{name} names {path}" for path in secret_paths if path.encode() in content]
    return faults


def missing_from_wheel(wheel: Path, root: Path) -> list[str]:
    """Files of the product that are no Python and that a wheel must hold, but does not."""
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    wanted = (path for path in sorted((root / _PAGE).iterdir()) if path.is_file())
    return [name for path in wanted if (name := str(path.relative_to(root))) not in held]


def _run(command: tuple[str | Path, ...], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise SetUpError(
            f"{Path(command[0]).name} failed with exit code {done.returncode}.",
            "its messages are above",
        )

"""What this machine must have before anything is built, and the one line that installs it."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts.setup.terminal import SetUpError, say
from scripts.setup.tree import Tree

COMPILER_PACKAGES = ("gcc", "libc6-dev")
GMP_PACKAGES = ("libgmp-dev", "libgmp10")

# Where a Debian release has a current cargo: under its own name, beside the old one, or by rustup;
# and where the formatter and the linter come from, if not along with it.
CARGO_PACKAGES = {
    "cargo": ("rustfmt", "rust-clippy"),
    "cargo-web": ("rustfmt-web", "rust-web-clippy"),
    "rustup": (),
}

Version = tuple[int, int]


@dataclass(frozen=True)
class Missing:
    """Something that the machine lacks.

    :param what: its name in a sentence.
    :param packages: the Debian packages that bring it; empty if there are none.
    :param command: what to run after the packages are installed.
    """

    what: str
    packages: tuple[str, ...] = ()
    command: str = ""


def check_machine(tree: Tree, *, for_tests: bool = False) -> dict[str, str]:
    """Find every tool of the build, or say in one line how to install all that is missing.

    :param for_tests: also ask for the formatter and the linter of Rust.
    :returns: the environment variables for pip and cargo.
    :raises SetUpError: when something is missing that only root can install.
    """
    missing = [
        *_missing_of_python(),
        *_missing_compiler(),
        *missing_cargo(tree, for_tests=for_tests),
    ]
    variables = {} if missing else _variables_for_gmp(tree)
    if variables is None or (missing and not _has_gmp()):
        missing.append(Missing("the headers of GMP", GMP_PACKAGES[:1]))
    if missing:
        raise SetUpError(
            f"this machine lacks {', '.join(item.what for item in missing)}.",
            install_line(missing, is_root=_is_root()),
        )
    return build_variables(tree) | (variables or {})


def install_line(missing: Iterable[Missing], *, is_root: bool) -> str:
    """The one line that installs everything in ``missing``."""
    sudo = "" if is_root else "sudo "
    packages = " ".join(name for item in missing for name in item.packages)
    commands = [item.command for item in missing if item.command]
    if packages:
        commands[:0] = [f"{sudo}apt-get update", f"{sudo}apt-get install --yes {packages}"]
    words = [item.what for item in missing if not item.packages and not item.command]
    line = " && ".join(commands)
    if not words:
        return line
    by_hand = "get a current Rust with rustup, the installer of the Rust project"
    return f"{line}; then {by_hand}" if line else by_hand


def build_variables(tree: Tree) -> dict[str, str]:
    """The environment for every build: cargo is on PATH, nothing asks, nothing is coloured."""
    cargo = find_cargo(minimal_cargo(tree))
    folders = [str(tree.environment / "bin"), os.environ.get("PATH", os.defpath)]
    if cargo is not None:
        folders.insert(1, str(cargo.parent))
    return {
        "PATH": os.pathsep.join(folders),
        "VIRTUAL_ENV": str(tree.environment),
        "CARGO_TERM_COLOR": "never",
        "MATURIN_NO_INSTALL_RUST": "1",
        "NO_COLOR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PYTHONNOUSERSITE": "1",
        # The same words as in pyproject.toml, for cargo without maturin.
        "RUSTC_BOOTSTRAP": "plonky2_field",
    }


def minimal_cargo(tree: Tree) -> Version:
    """The oldest Rust that the crate accepts."""
    manifest = tomllib.loads((tree.crate / "Cargo.toml").read_text())
    major, minor = manifest["package"]["rust-version"].split(".")[:2]
    return int(major), int(minor)


def find_cargo(minimum: Version) -> Path | None:
    """The first cargo on PATH or in cargo's own folder that is recent enough."""
    for folder in _folders_of_programs():
        cargo = folder / "cargo"
        if os.access(cargo, os.X_OK) and cargo_version(_output(cargo, "--version")) >= minimum:
            return cargo
    return None


def cargo_version(text: str) -> Version:
    """Read what ``cargo --version`` prints; anything else is version 0.0."""
    match = re.match(r"cargo (\d+)\.(\d+)\.", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _missing_of_python() -> list[Missing]:
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    missing = []
    if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        missing.append(Missing(f"the venv module of {name}", (f"{name}-venv",)))
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        missing.append(Missing(f"the headers of {name}", (f"{name}-dev",)))
    return missing


def _missing_compiler() -> list[Missing]:
    if _links('#include <stdio.h>\nint main(void) { return puts("") < 0; }'):
        return []
    return [Missing("a C compiler", COMPILER_PACKAGES)]


def missing_cargo(tree: Tree, *, for_tests: bool) -> list[Missing]:
    """What is missing of Rust: a recent cargo and, for the tests, its formatter and linter."""
    minimum = minimal_cargo(tree)
    cargo = find_cargo(minimum)
    tools = ("fmt", "clippy") if for_tests else ()
    if cargo and all(_output(cargo, tool, "--version") for tool in tools):
        return []
    words = "cargo with fmt and clippy" if for_tests else "cargo"
    what = f"{words} {minimum[0]}.{minimum[1]} or later"
    if rustup := _find_program("rustup"):
        commands = [f"{rustup} update stable", f"{rustup} default stable"]
        if for_tests:
            commands.append(f"{rustup} component add rustfmt clippy")
        return [Missing(what, (), " && ".join(commands))]
    for package, companions in CARGO_PACKAGES.items():
        candidate = re.search(r"Candidate: (\d+)\.(\d+)", _output("apt-cache", "policy", package))
        if package == "rustup" and candidate:
            return [Missing(what, (package,), "rustup default stable")]
        if candidate and (int(candidate[1]), int(candidate[2])) >= minimum:
            return [Missing(what, (package, *companions) if for_tests else (package,))]
    return [Missing(what)]


def _find_program(name: str) -> Path | None:
    found = (folder / name for folder in _folders_of_programs())
    return next((path for path in found if os.access(path, os.X_OK)), None)


def _variables_for_gmp(tree: Tree) -> dict[str, str] | None:
    """Make GMP usable: it is there, root installs it, or Debian's packages are unpacked.

    A dependency of libp2p (fastecdsa) comes as C source that needs it.
    """
    if _has_gmp():
        return {}
    if _is_root() and shutil.which("apt-get"):
        say("installing the headers of GMP with apt-get")
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        _output("apt-get", "update", variables=quiet)
        _output("apt-get", "install", "--yes", GMP_PACKAGES[0], variables=quiet)
        return {} if _has_gmp() else None
    return _unpack_gmp(tree.build / "gmp")


def _unpack_gmp(folder: Path) -> dict[str, str] | None:
    if not list(folder.rglob("gmp.h")):
        say("unpacking the headers of GMP into .build")
        folder.mkdir(parents=True, exist_ok=True)
        _output("apt-get", "download", *GMP_PACKAGES, folder=folder)
        for package in folder.glob("*.deb"):
            _output("dpkg-deb", "-x", package, folder)
    headers = {str(path.parent) for path in folder.rglob("gmp.h")}
    libraries = {str(path.parent) for path in folder.rglob("libgmp.so*")}
    variables = {
        "CPATH": os.pathsep.join([*headers, *_given("CPATH")]),
        "LIBRARY_PATH": os.pathsep.join([*libraries, *_given("LIBRARY_PATH")]),
    }
    if not _loads_gmp():
        paths = [f"-Wl,-rpath,{shlex.quote(library)}" for library in libraries]
        variables["LDFLAGS"] = " ".join([*_given("LDFLAGS"), *paths])
        # pip would keep the package that points into this folder for other clones.
        variables["PIP_NO_CACHE_DIR"] = "1"
    return variables if _has_gmp(variables) else None


def _given(name: str) -> list[str]:
    return [os.environ[name]] if os.environ.get(name) else []


def _folders_of_programs() -> list[Path]:
    own = os.environ.get("CARGO_HOME", Path("~/.cargo").expanduser())
    return [*map(Path, os.get_exec_path()), Path(own, "bin")]


def _is_root() -> bool:
    return os.geteuid() == 0


def _has_gmp(variables: dict[str, str] | None = None) -> bool:
    source = "#include <gmp.h>\nint main(void) { mpz_t number; mpz_init(number); return 0; }"
    return _links(source, "-lgmp", variables=variables)


def _loads_gmp() -> bool:
    try:
        ctypes.CDLL("libgmp.so.10")
    except OSError:
        return False
    return True


def _links(source: str, *flags: str, variables: Mapping[str, str] | None = None) -> bool:
    """Whether the C compiler makes a program of ``source``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "try.c")
        path.write_text(source)
        output = Path(folder, "try")
        _output("cc", path, "-o", output, *flags, variables=variables)
        return output.exists()


def _output(
    *command: str | Path, folder: Path | None = None, variables: Mapping[str, str] | None = None
) -> str:
    """What a command prints; nothing if it cannot be run."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"LC_ALL": "C"} | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout

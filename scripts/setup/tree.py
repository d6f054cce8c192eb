"""Where things lie in a clone."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

_NOT_SOURCES = {"target", "tests", "benches"}


@dataclass(frozen=True)
class Tree:
    """The paths of one clone."""

    root: Path

    @property
    def environment(self) -> Path:
        """The virtual environment."""
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        """The Python of the virtual environment."""
        return self.program("python")

    @property
    def requirements(self) -> Path:
        """The locked Python packages, with hashes."""
        return self.root / "requirements.lock"

    @property
    def crate(self) -> Path:
        """The folder of the Rust crate."""
        return self.root / "prover" / "circuits"

    @property
    def build(self) -> Path:
        """What the set-up makes beside the environment."""
        return self.root / ".build"

    @property
    def circuits(self) -> Path:
        """The circuit cache."""
        return self.build / "circuits"

    @property
    def log(self) -> Path:
        """What pip, cargo and the others printed."""
        return self.build / "setup.log"

    def program(self, name: str) -> Path:
        """The path of a program in the virtual environment."""
        return self.environment / "bin" / name

    def native_library(self) -> Path | None:
        """The built Rust crate, if it is there."""
        return next((self.root / "prover").glob("_native*.so"), None)

    def crate_sources(self) -> list[Path]:
        """Every file that goes into the native library, in a fixed order."""
        found: list[Path] = []
        for folder, subfolders, files in os.walk(self.crate):
            subfolders[:] = [name for name in subfolders if name not in _NOT_SOURCES]
            found += [Path(folder, name) for name in files]
        return sorted(found)


def digest_of(*parts: str | Path) -> str:
    """Hash texts and the contents of files, each length first so that none runs into the next."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()

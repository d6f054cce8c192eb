"""The shell entries: any folder, any link, no terminal, and a machine without Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = {
    "provnet": ["run"],
    "testnet": ["run", "testnet"],
    "join": ["run", "join"],
    "test": ["test"],
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The entries of a clone whose set-up prints its arguments."""
    scripts = tmp_path / "a clone" / "scripts"
    scripts.mkdir(parents=True)
    for name in ENTRIES:
        shutil.copy(ROOT / "scripts" / name, scripts)
    (scripts / "setup").mkdir()
    shutil.copy(ROOT / "scripts" / "setup" / "start", scripts / "setup")
    (scripts / "setup" / "__main__.py").write_text("import sys\nprint(sys.argv[1:])\n")
    return scripts.parent


def call(entry: Path, *arguments: str, folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [entry, *arguments],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_works_from_anywhere_and_through_links(
    clone: Path, tmp_path: Path, name: str
) -> None:
    link = tmp_path / "link"
    link.symlink_to(clone / "scripts" / name)
    for entry in (clone / "scripts" / name, link):
        done = call(entry, "--leaves", "8 8", folder=Path("/"), path=os.environ["PATH"])
        assert done.stderr == ""
        assert done.stdout == f"{[*ENTRIES[name], '--leaves', '8 8']}\n"


def test_without_a_python_one_line_says_what_to_install(clone: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "dirname", "readlink"):
        (programs / name).symlink_to(str(shutil.which(name)))
    done = call(clone / "scripts" / "testnet", folder=tmp_path, path=str(programs))
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error == "error: no Python from 3.11 to 3.13 was found."
    assert hint.startswith("hint: apt-get install --yes python3 python3-venv python3-dev gcc")
    assert " rustup" in hint

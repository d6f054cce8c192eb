"""The systemd unit in the docs, as systemd reads it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "docs" / "provnet-node.service"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed"
)


def verified(folder: Path, text: str) -> str:
    """What systemd has to say of a unit whose program exists."""
    path = folder / "provnet-node.service"
    path.write_text(text.replace("/opt/provnet/.venv/bin/provnet", "/bin/true"))
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path],
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stderr + run.stdout + ("" if run.returncode == 0 else f"exit {run.returncode}")


@needs_systemd
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    assert "provnet-node" not in verified(tmp_path, UNIT.read_text())


@needs_systemd
def test_a_misspelt_line_is_found(tmp_path: Path) -> None:
    assert "provnet-node" in verified(tmp_path, UNIT.read_text().replace("UMask=", "UMasc="))

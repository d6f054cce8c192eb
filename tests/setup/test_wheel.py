"""What a wheel must not hold."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from scripts.setup.wheel import faults_of_wheel


@pytest.mark.parametrize(
    ("name", "content", "faults"),
    [
        ("protocol/types.py", "", []),
        ("prover/_native.abi3.so", "panicked at provnet/src/lib.rs", []),
        ("tests/test_types.py", "", ["tests/test_types.py is no part of the product"]),
        (
            "prover/circuits/src/lib.rs",
            "",
            ["prover/circuits/src/lib.rs is no part of the product"],
        ),
        ("p2p/host.pyc", "", ["p2p/host.pyc is no part of the product"]),
        ("prover/_native.abi3.so", "at /a/clone/x.rs", ["prover/_native.abi3.so names /a/clone"]),
    ],
)
def test_what_does_not_belong_is_found(
    tmp_path: Path, name: str, content: str, faults: list[str]
) -> None:
    wheel = tmp_path / "provnet.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(name, content)
    assert faults_of_wheel(wheel, ("/a/clone",)) == faults

"""What a wheel must not hold."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from scripts.setup.wheel import faults_of_wheel, missing_from_wheel


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


def test_a_page_that_is_left_out_is_found(tmp_path: Path) -> None:
    page = tmp_path / "scripts" / "service" / "page"
    page.mkdir(parents=True)
    wheel = tmp_path / "provnet.whl"
    for name in ("index.html", "script.js"):
        (page / name).write_text("text")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("scripts/service/page/index.html", "text")
    assert missing_from_wheel(wheel, tmp_path) == ["scripts/service/page/script.js"]

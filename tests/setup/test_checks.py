"""All checks are run, and the last line counts them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts.setup import checks
from scripts.setup.checks import Check, check, checks_of
from scripts.setup.tree import Tree


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("codes", [(0, 0), (1, 0)])
def test_a_failing_check_does_not_hide_the_others(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    codes: tuple[int, ...],
    together: bool,
) -> None:
    planned = [
        Check(f"number {number}", tmp_path, (sys.executable, "-c", f"raise SystemExit({code})"))
        for number, code in enumerate(codes)
    ]
    grouped = [tuple(planned)] if together else [(one,) for one in planned]
    monkeypatch.setattr(checks, "checks_of", lambda _: grouped)
    assert check(Tree(tmp_path), {}) == int(any(codes))
    closing = f"{codes.count(0)} passed, {codes.count(1)} failed"
    assert capfd.readouterr().out.splitlines()[-1] == closing


def test_colour_is_left_to_the_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    source = "import os; print(os.environ.get('NO_COLOR'), os.environ['RUSTC_BOOTSTRAP'])"
    planned = [(Check("colour", tmp_path, (sys.executable, "-c", source)),)]
    monkeypatch.setattr(checks, "checks_of", lambda _: planned)
    variables = {"NO_COLOR": "1", "RUSTC_BOOTSTRAP": "plonky2_field"}
    monkeypatch.delenv("NO_COLOR", raising=False)
    check(Tree(tmp_path), variables)
    assert "None plonky2_field\n" in capfd.readouterr().out
    monkeypatch.setenv("NO_COLOR", "yes")
    check(Tree(tmp_path), variables)
    assert "yes plonky2_field\n" in capfd.readouterr().out


def test_what_runs_beside_another_check_is_shown_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    both = tuple(
        Check(name, tmp_path, (sys.executable, "-c", f"print('output of {name}')"))
        for name in ("one", "other")
    )
    monkeypatch.setattr(checks, "checks_of", lambda _: [both])
    assert check(Tree(tmp_path), {}) == 0
    lines = capfd.readouterr().out.splitlines()
    order = ["== one", "output of one", "== other", "output of other", "2 passed, 0 failed"]
    assert [line for line in lines if line in order] == order


def test_the_names_of_the_checks_differ(tmp_path: Path) -> None:
    names = [one.name for group in checks_of(Tree(tmp_path)) for one in group]
    assert len(set(names)) == len(names)

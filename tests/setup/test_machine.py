"""What is missing is found at once, and told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.setup import machine
from scripts.setup.machine import (
    Missing,
    build_variables,
    cargo_version,
    check_machine,
    find_cargo,
    install_line,
    missing_cargo,
)
from scripts.setup.terminal import SetUpError
from scripts.setup.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    made = Tree(tmp_path / "clone")
    made.crate.mkdir(parents=True)
    (made.crate / "Cargo.toml").write_text('[package]\nrust-version = "1.89"\n')
    return made


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no programs but those that a test puts into the folder."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "cargo"))
    monkeypatch.setattr(machine, "_is_root", lambda: False)
    return folder


def program(folder: Path, name: str, prints: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("cargo 1.95.0 (f2d3ce0bd 2026-03-21)\n", (1, 95)),
        ("cargo 1.66.0\n", (1, 66)),
        ("error: no default toolchain is configured\n", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_the_version_of_cargo_is_read(text: str, version: tuple[int, int]) -> None:
    assert cargo_version(text) == version


def test_an_old_cargo_on_path_gives_way_to_the_one_of_rustup(
    empty_machine: Path, tmp_path: Path, tree: Tree
) -> None:
    program(empty_machine, "cargo", "cargo 1.66.0")
    assert find_cargo((1, 89)) is None
    recent = program(tmp_path / "cargo" / "bin", "cargo", "cargo 1.95.0")
    assert find_cargo((1, 89)) == recent
    folders = build_variables(tree)["PATH"].split(":")
    assert folders.index(str(recent.parent)) < folders.index(str(empty_machine))


def told(tree: Tree) -> SetUpError:
    with pytest.raises(SetUpError) as caught:
        check_machine(tree)
    return caught.value


def test_an_empty_machine_is_told_everything_in_one_line(empty_machine: Path, tree: Tree) -> None:
    program(empty_machine, "apt-cache", "  Candidate: 1.96.0+dfsg1-1")
    error = told(tree)
    assert error.sentence == (
        "this machine lacks a C compiler, cargo 1.89 or later, the headers of GMP."
    )
    assert error.hint == (
        "sudo apt-get update && sudo apt-get install --yes gcc libc6-dev cargo libgmp-dev"
    )


def test_a_release_without_a_current_cargo_is_sent_to_rustup(
    empty_machine: Path, tree: Tree
) -> None:
    program(empty_machine, "apt-cache", "  Candidate: 0.66.0+ds1-1")
    assert told(tree).hint.endswith("gcc libc6-dev rustup libgmp-dev && rustup default stable")


def test_a_machine_without_apt_is_told_in_words(empty_machine: Path, tree: Tree) -> None:
    assert empty_machine.exists()
    assert told(tree).hint.endswith(
        "then get a current Rust with rustup, the installer of the Rust project"
    )


def test_rustup_without_a_recent_toolchain_is_used(empty_machine: Path, tree: Tree) -> None:
    program(empty_machine, "cargo", "cargo 1.66.0")
    rustup = program(empty_machine, "rustup", "")
    assert f"&& {rustup} update stable && {rustup} default stable" in told(tree).hint


def test_root_is_not_told_of_sudo() -> None:
    line = install_line([Missing("a C compiler", ("gcc",))], is_root=True)
    assert line == "apt-get update && apt-get install --yes gcc"


def test_nothing_is_said_of_apt_when_no_package_is_missing() -> None:
    assert install_line([Missing("cargo", (), "rustup update")], is_root=False) == "rustup update"


def test_the_tests_ask_for_the_formatter_and_the_linter(empty_machine: Path, tree: Tree) -> None:
    program(empty_machine, "apt-cache", "  Candidate: 1.96.0+dfsg1-1")
    cargo = program(empty_machine, "cargo", "cargo 1.95.0")
    assert missing_cargo(tree, for_tests=True) == []
    cargo.write_text('#!/bin/sh\ntest "$1" = --version && echo cargo 1.95.0\n')
    assert missing_cargo(tree, for_tests=False) == []
    (missing,) = missing_cargo(tree, for_tests=True)
    assert missing.packages == ("cargo", "rustfmt", "rust-clippy")
    rustup = program(empty_machine, "rustup", "")
    (missing,) = missing_cargo(tree, for_tests=True)
    assert missing.command.endswith(f"&& {rustup} component add rustfmt clippy")

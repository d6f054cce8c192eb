"""Stages: what is redone, what is left alone, and what an interrupt leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.setup import stages
from scripts.setup.stages import Stage, set_up, stages_of
from scripts.setup.terminal import SetUpError
from scripts.setup.tree import Tree

ROOT = Path(__file__).resolve().parents[2]

SETTINGS = """
[build-system]
requires = []
[project]
name = "provnet"
[tool.maturin]
locked = true
[tool.ruff]
line-length = 100
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A clone small enough to be set up in no time."""
    made = Tree(tmp_path)
    (made.crate / "src").mkdir(parents=True)
    (made.crate / "src" / "lib.rs").write_text("// one")
    (made.crate / "Cargo.toml").write_text('[package]\nrust-version = "1.89"\n')
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    made.requirements.write_text("trio==0.35.0\n")
    return made


@pytest.fixture
def carried_out(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces each stage's commands by one that makes its products and notes its title."""
    notes: list[str] = []

    def without_commands(of: Tree) -> list[Stage]:
        return [replace(stage, commands=((stage.announcement,),)) for stage in stages_of(of)]

    def runner(*_: object) -> Callable[[str], None]:
        def run(announcement: str) -> None:
            notes.append(announcement.split()[2])
            for stage in stages_of(tree):
                if stage.announcement == announcement:
                    make(stage)

        return run

    def make(stage: Stage) -> None:
        for product in stage.products:
            product.parent.mkdir(parents=True, exist_ok=True)
            product.touch()

    monkeypatch.setattr(stages, "stages_of", without_commands)
    monkeypatch.setattr(stages, "_runner", runner)
    return notes


def no_variables(_: Tree) -> dict[str, str]:
    return {}


ALL = ["Python", "Rust", "circuits"]


def test_a_fresh_clone_goes_through_all_stages_once(tree: Tree, carried_out: list[str]) -> None:
    set_up(tree, no_variables)
    set_up(tree, pytest.fail)
    assert carried_out == ALL


@pytest.mark.parametrize(
    ("name", "text", "redone"),
    [
        ("requirements.lock", "trio==0.36.0\n", ALL),
        ("prover/circuits/src/lib.rs", "// two", ALL[1:]),
        ("prover/circuits/Cargo.lock", "version = 4\n", ALL[1:]),
        ("prover/circuits/tests/attack.rs", "// a test", []),
        ("prover/circuits/target/release/made", "", []),
        ("pyproject.toml", SETTINGS.replace("locked = true", "locked = false"), ALL[1:]),
        ("pyproject.toml", SETTINGS.replace("100", "99"), []),
    ],
)
def test_only_what_a_change_concerns_is_redone(
    tree: Tree, carried_out: list[str], name: str, text: str, redone: list[str]
) -> None:
    set_up(tree, no_variables)
    carried_out.clear()
    (tree.root / name).parent.mkdir(parents=True, exist_ok=True)
    (tree.root / name).write_text(text)
    set_up(tree, no_variables)
    assert carried_out == redone


@pytest.mark.parametrize("product", [".venv/bin/provnet", "prover/_native.so", ".build/circuits"])
def test_a_lost_product_is_made_again(tree: Tree, carried_out: list[str], product: str) -> None:
    set_up(tree, no_variables)
    carried_out.clear()
    (tree.root / product).unlink()
    set_up(tree, no_variables)
    assert len(carried_out) == 1
    assert (tree.root / product).exists()


def test_another_python_redoes_everything(
    tree: Tree, carried_out: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(tree, no_variables)
    monkeypatch.setattr(sys, "version", "3.99.0")
    set_up(tree, no_variables)
    assert carried_out == ALL + ALL


def stage_that_runs(tree: Tree, source: str) -> Stage:
    return Stage(
        announcement="running a test command",
        stamp=tree.build / "tried.stamp",
        digest="digest",
        products=(),
        commands=((sys.executable, "-c", source),),
    )


@pytest.fixture
def only_stage(monkeypatch: pytest.MonkeyPatch) -> Callable[[Tree, str], None]:
    """Runs the real machinery on one stage with a real process."""

    def set_up_only(tree: Tree, source: str) -> None:
        monkeypatch.setattr(stages, "stages_of", lambda of: [stage_that_runs(of, source)])
        set_up(tree, no_variables)

    return set_up_only


def test_a_failure_shows_the_last_lines_and_leaves_no_stamp(
    tree: Tree, only_stage: Callable[[Tree, str], None]
) -> None:
    source = "print(*range(100), sep='\\n'); raise SystemExit(3)"
    with pytest.raises(SetUpError) as caught:
        only_stage(tree, source)
    assert caught.value.sentence.splitlines()[1:] == [str(number) for number in range(80, 100)]
    assert str(tree.log) in caught.value.hint
    assert not stage_that_runs(tree, source).is_done()


def test_a_stage_that_failed_is_tried_again(
    tree: Tree, only_stage: Callable[[Tree, str], None]
) -> None:
    source = "import pathlib; pathlib.Path('there').read_text()"
    with pytest.raises(SetUpError):
        only_stage(tree, source)
    (tree.root / "there").touch()
    only_stage(tree, source)
    assert stage_that_runs(tree, source).is_done()


SET_UP_IN_A_PROCESS = """
import sys
sys.path.insert(0, {root!r})
import signal
from pathlib import Path
from scripts.setup import command, stages
from scripts.setup.tree import Tree

def one_stage(tree):
    source = "open('log', 'a').write('begun '); import time; time.sleep({seconds}); " \\
        "open('log', 'a').write('done ')"
    return [stages.Stage("trying", tree.build / "tried.stamp", "digest", (),
                         ((sys.executable, "-c", source),))]

# a job in the background inherits that interrupts are ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
stages.stages_of = one_stage
command.check_machine = lambda tree, for_tests: {{}}
command.Tree = lambda root: Tree(Path({tree!r}))
command.become = lambda *arguments: 0
sys.exit(command.main(["run"]))
"""


def start(tree: Tree, seconds: float) -> subprocess.Popen[str]:
    source = SET_UP_IN_A_PROCESS.format(root=str(ROOT), tree=str(tree.root), seconds=seconds)
    return subprocess.Popen([sys.executable, "-I", "-c", source], stderr=subprocess.PIPE, text=True)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_at_once_do_the_work_once(tree: Tree) -> None:
    both = [start(tree, 0.5), start(tree, 0.5)]
    errors = [process.communicate(timeout=30)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert (tree.root / "log").read_text() == "begun done "
    assert sum("waiting for a set-up that runs already" in error for error in errors) <= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_the_work_and_leaves_no_stamp(tree: Tree, number: signal.Signals) -> None:
    process = start(tree, 60)
    log = tree.root / "log"
    wait_until(lambda: log.exists() and log.read_text() == "begun ")
    process.send_signal(number)
    _, error = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert not (tree.build / "tried.stamp").exists()
    again = start(tree, 0)
    again.communicate(timeout=10)
    assert again.returncode == 0
    assert log.read_text() == "begun begun done "


def test_work_that_outlives_a_killed_set_up_keeps_the_lock(tree: Tree) -> None:
    process = start(tree, 1.5)
    log = tree.root / "log"
    wait_until(lambda: log.exists() and log.read_text() == "begun ")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)
    again = start(tree, 0)
    again.communicate(timeout=30)
    assert again.returncode == 0
    assert log.read_text() == "begun done begun done "

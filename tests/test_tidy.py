"""Small rules of the house that no other tool checks."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (".ci", "docs", "p2p", "protocol", "prover", "scripts", "sequencer", "tests")
MADE_BY_TOOLS = {"__pycache__", "target", ".build", ".hypothesis"}
LOCKS = {"Cargo.lock", "requirements.lock"}
ENTRIES = (
    ".ci/run",
    "scripts/join",
    "scripts/provnet",
    "scripts/setup/start",
    "scripts/test",
    "scripts/testnet",
)

LINE_LIMIT = 100
FUNCTION_LIMIT = 70

LEFTOVERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|\bbreakpoint\(")
MACHINE_PATHS = re.compile(r"(?<![\w.*-])/(work|root|home|Users)/\w")
REGISTRY_HOSTS = re.compile(
    r"py[p]i\.org|python[h]osted\.org|crates\.[i]o|npm[j]s\.|debian\.[o]rg|go[l]ang\.org"
)
SLEEPS = re.compile(r"\btime\.sleep\(")

Finding = str
Inspection = Callable[[Path], Iterator[Finding]]


def text_files(root: Path) -> list[Path]:
    """Every text file that a person wrote, and the locks."""
    top = [path for path in root.iterdir() if path.is_file()]
    files = top + [path for name in FOLDERS for path in walk(root / name)]
    return sorted(path for path in files if is_text(path))


def walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in MADE_BY_TOOLS]
        yield from (Path(parent, name) for name in names)


def is_text(path: Path) -> bool:
    known = {".json", ".lock", ".md", ".py", ".pyi", ".rs", ".sh", ".toml", ".txt"}
    return path.suffix in known or path.read_bytes()[:2] == b"#!"


def long_lines(path: Path) -> Iterator[Finding]:
    if path.suffix in {".json", ".lock", ".md", ".txt"}:
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if len(line) > LINE_LIMIT:
            yield f"{path}:{number} has {len(line)} columns"


def long_functions(path: Path) -> Iterator[Finding]:
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LIMIT:
                yield f"{path}:{node.lineno} {node.name} has {length} lines"


def untidy_ends(path: Path) -> Iterator[Finding]:
    text = path.read_text()
    if not text:
        return
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield f"{path} does not end with one newline"
    for number, line in enumerate(text.splitlines(), 1):
        if line != line.rstrip() or ("\t" in line and path.suffix != ".lock"):
            yield f"{path}:{number} has a tab or a space at its end"


def leftovers(path: Path) -> Iterator[Finding]:
    yield from lines_with(LEFTOVERS, path, "a leftover")


def machine_paths(path: Path) -> Iterator[Finding]:
    yield from lines_with(MACHINE_PATHS, path, "a path of one machine")


def registry_hosts(path: Path) -> Iterator[Finding]:
    # cargo itself writes the name of its index into Cargo.lock.
    if path.name != "Cargo.lock":
        yield from lines_with(REGISTRY_HOSTS, path, "a host of a registry")


def sleeps(path: Path) -> Iterator[Finding]:
    """Waiting for real time: only tests that start processes may."""
    if "tests" in path.parts and not {"attacks", "processes", "setup"} & set(path.parts):
        yield from lines_with(SLEEPS, path, "a sleep")


def lines_with(pattern: re.Pattern[str], path: Path, what: str) -> Iterator[Finding]:
    if path == Path(__file__):
        return  # it has to name what it looks for
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if pattern.search(line):
            yield f"{path}:{number} {what}: {line.strip()}"


INSPECTIONS: list[Inspection] = [
    long_lines,
    long_functions,
    untidy_ends,
    leftovers,
    machine_paths,
    registry_hosts,
    sleeps,
]


@pytest.mark.parametrize("inspection", INSPECTIONS)
def test_the_tree_is_tidy(inspection: Inspection) -> None:
    files = text_files(ROOT)
    assert ROOT / "pyproject.toml" in files
    assert Path(__file__) in files
    assert [finding for path in files for finding in inspection(path)] == []


@pytest.mark.parametrize(
    ("inspection", "name", "text"),
    [
        (long_lines, "wrong.py", "#" * (LINE_LIMIT + 1) + "\n"),
        (long_functions, "wrong.py", "def long():\n" + "    pass\n" * FUNCTION_LIMIT),
        (untidy_ends, "wrong.md", "no newline"),
        (untidy_ends, "wrong.md", "two newlines\n\n"),
        (untidy_ends, "wrong.md", "a space \n"),
        (untidy_ends, "wrong.py", "\tpass\n"),
        (leftovers, "wrong.rs", "// TODO later\n"),
        (leftovers, "wrong.py", "breakpoint()\n"),
        (machine_paths, "wrong.md", "see /home/somebody/notes\n"),
        (machine_paths, "wrong.lock", "# --output /" + "work/somewhere/x\n"),
        (registry_hosts, "requirements.lock", "--index-url https://py" + "pi.org/simple\n"),
        (sleeps, "tests/protocol/test_wrong.py", "time.sleep(1)\n"),
    ],
)
def test_a_planted_fault_is_found(
    tmp_path: Path, inspection: Inspection, name: str, text: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert len(list(inspection(path))) == 1


@pytest.mark.parametrize(
    ("inspection", "name", "text"),
    [
        (long_lines, "right.py", "#" * LINE_LIMIT + "\n"),
        (long_lines, "right.md", "word " * LINE_LIMIT + "\n"),
        (long_functions, "right.py", "def short():\n" + "    pass\n" * (FUNCTION_LIMIT - 1)),
        (untidy_ends, "__init__.py", ""),
        (machine_paths, "right.md", "prover/circuits and .build/root/x\n"),
        (registry_hosts, "Cargo.lock", 'source = "crates.io-index"\n'),
        (sleeps, "tests/processes/test_right.py", "time.sleep(1)\n"),
    ],
)
def test_what_is_tidy_is_left_alone(
    tmp_path: Path, inspection: Inspection, name: str, text: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert list(inspection(path)) == []


def bare_test_folders(tests: Path) -> list[Path]:
    """Folders below ``tests`` that hold Python files but are no packages."""
    folders = {path.parent for path in walk(tests) if path.suffix == ".py"}
    return sorted(folder for folder in folders if not (folder / "__init__.py").exists())


def test_every_tests_folder_is_a_package(tmp_path: Path) -> None:
    assert bare_test_folders(ROOT / "tests") == []
    planted = tmp_path / "unit" / "test_planted.py"
    planted.parent.mkdir()
    planted.touch()
    assert bare_test_folders(tmp_path) == [planted.parent]


def loose_requirements(project: str) -> list[str]:
    """Dependencies that are not pinned, or not justified on their line."""
    settings = tomllib.loads(project)
    named = settings["project"]["dependencies"] + settings["dependency-groups"]["dev"]
    pinned = re.compile(r'"([\w.-]+==[\w.]+)",? +# \S')
    justified = {match[1] for match in map(pinned.search, project.splitlines()) if match}
    return [requirement for requirement in named if requirement not in justified]


def test_every_dependency_is_pinned_and_justified() -> None:
    assert loose_requirements((ROOT / "pyproject.toml").read_text()) == []
    planted = (
        '[project]\ndependencies = [\n"a==1",\n"b>=1",  # why\n"c==1",  # why\n]\n'
        '[dependency-groups]\ndev = [\n"d",\n]\n'
    )
    assert loose_requirements(planted) == ["a==1", "b>=1", "d"]


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_is_executable(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)

"""Who may import whom, and what the pure core may not touch.

Each check reads source as a syntax tree and returns its findings, so that the same function is
shown to find planted faults and to find none in the tree.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("p2p", "protocol", "prover", "scripts", "sequencer")

MAY_IMPORT = {
    "protocol": {"protocol"},
    "p2p": {"p2p", "protocol"},
    "prover": {"prover", "protocol"},
    "sequencer": {"sequencer", "protocol"},
    "scripts": set(PACKAGES),
}

BANNED_IN_PROTOCOL = {
    "asyncio",
    "datetime",
    "io",
    "libp2p",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
    "trio",
}
BANNED_CALLS_IN_PROTOCOL = {"__import__", "eval", "exec", "float", "hash", "id", "input", "open"}

Finding = str
Inspection = Callable[[Path, Path], Iterator[Finding]]


def python_files(root: Path, package: str) -> list[Path]:
    return sorted((root / package).rglob("*.py"))


def is_public_testing(root: Path, path: Path) -> bool:
    """protocol.testing drives the protocol with hypothesis; it is not part of a replica."""
    return path.relative_to(root).parts[:2] == ("protocol", "testing")


def imported_modules(root: Path, path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every imported module by its absolute name, wherever in the file it is imported."""
    package = path.relative_to(root).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            yield node.lineno, ".".join([*above, *([node.module] if node.module else [])])


def wrong_directions(root: Path, path: Path) -> Iterator[Finding]:
    """Imports against the direction protocol <- p2p, prover, sequencer <- scripts."""
    owner = path.relative_to(root).parts[0]
    for line, module in imported_modules(root, path, ast.parse(path.read_text())):
        top = module.split(".")[0]
        if top == "tests" or (top in PACKAGES and top not in MAY_IMPORT[owner]):
            yield f"{path}:{line} {owner} imports {module}"


def impure_imports(root: Path, path: Path) -> Iterator[Finding]:
    """Modules that bring a clock, randomness, files, threads or logging into protocol."""
    for line, module in imported_modules(root, path, ast.parse(path.read_text())):
        if module.split(".")[0] in BANNED_IN_PROTOCOL:
            yield f"{path}:{line} protocol imports {module}"


def impure_expressions(root: Path, path: Path) -> Iterator[Finding]:
    """Floats, true division, and built-ins whose answer differs between processes."""
    if is_public_testing(root, path):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Constant(value=float() | complex()):
                yield f"{path}:{node.lineno} a float"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield f"{path}:{node.lineno} true division"
            case ast.Call(func=ast.Name(id=name)) if name in BANNED_CALLS_IN_PROTOCOL:
                yield f"{path}:{node.lineno} a call of {name}"


def is_set(node: ast.AST) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in {"difference", "intersection", "symmetric_difference", "union"}
        case ast.BinOp(left=left, right=right, op=ast.BitAnd() | ast.BitOr() | ast.Sub()):
            return is_set(left) or is_set(right)
    return False


def iterated(node: ast.AST) -> Iterator[ast.expr]:
    """What ``node`` takes items from in an order that its outcome shows."""
    match node:
        case ast.For(iter=source) | ast.comprehension(iter=source) | ast.Starred(value=source):
            yield source
        case ast.Call(func=ast.Name(id="list" | "tuple" | "enumerate" | "iter"), args=[source, *_]):
            yield source
        case ast.Call(func=ast.Attribute(attr="join"), args=[source]):
            yield source


def unordered_iterations(_root: Path, path: Path) -> Iterator[Finding]:
    """Iteration over a set, whose order differs between processes; sort it first."""
    tree = ast.parse(path.read_text())
    ordered = {
        id(generator) for node in ast.walk(tree) for generator in order_free_generators(node)
    }
    for node in ast.walk(tree):
        if id(node) not in ordered and any(is_set(source) for source in iterated(node)):
            yield f"{path}:{getattr(node, 'lineno', '?')} iteration over a set"


def order_free_generators(node: ast.AST) -> list[ast.comprehension]:
    """The generators whose order cannot be seen: inside sorted, sum, any, or a new set."""
    match node:
        case ast.SetComp(generators=generators):
            return generators
        case ast.Call(
            func=ast.Name(
                id="sorted" | "sum" | "any" | "all" | "min" | "max" | "set" | "frozenset"
            ),
            args=[
                ast.GeneratorExp(generators=generators) | ast.ListComp(generators=generators),
                *_,
            ],
        ):
            return generators
    return []


INSPECTIONS: list[tuple[Inspection, tuple[str, ...]]] = [
    (wrong_directions, PACKAGES),
    (impure_imports, ("protocol",)),
    (impure_expressions, ("protocol",)),
    (unordered_iterations, ("protocol",)),
]


@pytest.mark.parametrize(
    ("inspection", "packages"), INSPECTIONS, ids=[item[0].__name__ for item in INSPECTIONS]
)
def test_the_tree_obeys(inspection: Inspection, packages: tuple[str, ...]) -> None:
    files = [path for package in packages for path in python_files(ROOT, package)]
    assert files
    assert [finding for path in files for finding in inspection(ROOT, path)] == []


PLANTED = [
    (wrong_directions, "protocol/wrong.py", "import p2p.host"),
    (wrong_directions, "protocol/wrong.py", "def late():\n    from prover import pool"),
    (wrong_directions, "p2p/wrong.py", "from sequencer.builder import build"),
    (wrong_directions, "prover/wrong.py", "import p2p"),
    (wrong_directions, "sequencer/wrong.py", "from prover import agent"),
    (wrong_directions, "sequencer/wrong.py", "import scripts.main"),
    (wrong_directions, "p2p/wrong.py", "from tests import helper"),
    (wrong_directions, "p2p/deep/wrong.py", "from ...prover import agent"),
    *((impure_imports, "protocol/wrong.py", f"import {name}") for name in BANNED_IN_PROTOCOL),
    (impure_imports, "protocol/testing/wrong.py", "from os.path import join"),
    (impure_expressions, "protocol/wrong.py", "half = 0.5"),
    (impure_expressions, "protocol/wrong.py", "half = 1 / 2"),
    (impure_expressions, "protocol/wrong.py", "half = 1\nhalf /= 2"),
    *(
        (impure_expressions, "protocol/wrong.py", f"{name}('1')")
        for name in BANNED_CALLS_IN_PROTOCOL
    ),
    (unordered_iterations, "protocol/wrong.py", "for item in {1, 2}: pass"),
    (unordered_iterations, "protocol/wrong.py", "for item in set(names): pass"),
    (unordered_iterations, "protocol/wrong.py", "for item in set(names) - others: pass"),
    (unordered_iterations, "protocol/wrong.py", "for item in one.union(other): pass"),
    (unordered_iterations, "protocol/wrong.py", "rows = [item for item in frozenset(names)]"),
    (unordered_iterations, "protocol/wrong.py", "rows = list({item for item in names})"),
    (unordered_iterations, "protocol/wrong.py", "rows = [*set(names)]"),
    (unordered_iterations, "protocol/wrong.py", "text = ', '.join(set(names))"),
]


@pytest.mark.parametrize(
    ("inspection", "name", "source"), PLANTED, ids=[f"{row[1]}: {row[2]}" for row in PLANTED]
)
def test_a_planted_fault_is_found(
    tmp_path: Path, inspection: Inspection, name: str, source: str
) -> None:
    assert len(list(inspection(tmp_path, plant(tmp_path, name, source)))) == 1


HARMLESS = [
    (wrong_directions, "protocol/right.py", "from protocol.types import Tick"),
    (wrong_directions, "protocol/proving/right.py", "from ..types import Tick"),
    (wrong_directions, "p2p/right.py", "import protocol, trio, libp2p"),
    (wrong_directions, "scripts/right.py", "import p2p, protocol, prover, sequencer"),
    (impure_imports, "protocol/right.py", "import hashlib\nfrom protocol import timeouts"),
    (impure_expressions, "protocol/right.py", "half = 1 // 2\nname = 'a/b'"),
    (impure_expressions, "protocol/testing/right.py", "half = 0.5"),
    (unordered_iterations, "protocol/right.py", "for item in sorted(set(names)): pass"),
    (unordered_iterations, "protocol/right.py", "sum(item.stake for item in set(names))"),
    (unordered_iterations, "protocol/right.py", "found = name in {1, 2} and len(set(names))"),
]


@pytest.mark.parametrize(
    ("inspection", "name", "source"), HARMLESS, ids=[f"{row[1]}: {row[2]}" for row in HARMLESS]
)
def test_what_is_allowed_is_left_alone(
    tmp_path: Path, inspection: Inspection, name: str, source: str
) -> None:
    assert list(inspection(tmp_path, plant(tmp_path, name, source))) == []


def plant(root: Path, name: str, source: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True)
    path.write_text(source + "\n")
    return path

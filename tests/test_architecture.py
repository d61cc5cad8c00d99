"""The house: arrows between rooms run one way, files stay short, names say something."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("renderers", "crosspoint", "scene", "eval")  # each may import those before it
COMPOSITION_ROOT = ROOT / "crosspoint" / "cli.py"


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported_rooms(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative imports hide where a name comes from"
            found.add(node.module.split(".")[0])
    return found & set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_run_one_way(room: str) -> None:
    assert files(room)
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    for path in files(room):
        if path != COMPOSITION_ROOT:
            foreign = imported_rooms(ast.parse(path.read_text())) - allowed
            assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


def test_the_composition_root_imports_other_rooms_inside_functions() -> None:
    tree = ast.parse(COMPOSITION_ROOT.read_text())
    top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    assert imported_rooms(top) == {"crosspoint"}
    assert {"renderers", "eval"} <= imported_rooms(tree)


def test_a_wrong_arrow_would_be_seen() -> None:
    assert imported_rooms(ast.parse("def f():\n    from eval.linear import linear_svm")) == {"eval"}


def test_files_are_short_and_names_say_something() -> None:
    paths = [path for room in ROOMS for path in files(room)]
    lengths = {path: len(path.read_text().splitlines()) for path in paths}
    assert max(lengths.values()) <= 400
    assert not {"utils", "util", "misc", "common", "helpers"} & {
        part for path in paths for part in (path.stem, path.parent.name)
    }


def test_public_names() -> None:
    from crosspoint import DGCNN, CrossPoint, PointNet, load_encoder, nt_xent
    from eval import few_shot, linear_svm
    from renderers import load_mesh, orbit, render

    for name in (DGCNN, CrossPoint, PointNet, load_encoder, nt_xent, few_shot, linear_svm, load_mesh, orbit, render):
        assert name.__doc__


@pytest.mark.parametrize("module", ["crosspoint.dgcnn", "crosspoint.pointnet", "crosspoint.losses"])
def test_examples_in_docstrings(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


def test_importing_starts_nothing() -> None:
    """No window, no network, no plotting, no training engine until it is asked for."""
    code = (
        "import sys, crosspoint, renderers; "
        "print(sorted({'lightning', 'sklearn', 'matplotlib.pyplot', 'torch_geometric'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"

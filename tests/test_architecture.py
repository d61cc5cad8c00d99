"""The layout: imports run one way, files stay short, names say something, one namespace is installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("renderers", "crosspoint", "scene", "eval")  # each may import those before it
COMPOSITION_ROOT = ROOT / "crosspoint" / "cli"  # the commands, where the folders meet


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def folder_of(module: str) -> str | None:
    """The folder that holds an imported module; None where it is not one of ours."""
    package, _, rest = module.partition(".")
    if package != "crosspoint":
        assert package not in FOLDERS, f"{module} is imported by its bare name"
        return None
    inner = rest.split(".")[0]
    return inner if inner in FOLDERS else "crosspoint"


def imported_folders(tree: ast.AST) -> set[str]:
    found: set[str | None] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {folder_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative imports hide where a name comes from"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {folder_of(name) for name in (names if node.module == "crosspoint" else [node.module])}
    return {name for name in found if name is not None}


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_run_one_way(folder: str) -> None:
    assert files(folder)
    allowed = set(FOLDERS[: FOLDERS.index(folder) + 1])
    for path in files(folder):
        if COMPOSITION_ROOT not in path.parents:
            foreign = imported_folders(ast.parse(path.read_text())) - allowed
            assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


def test_the_composition_root_imports_other_folders_inside_functions() -> None:
    met: set[str] = set()
    for path in sorted(COMPOSITION_ROOT.glob("*.py")):
        tree = ast.parse(path.read_text())
        top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        assert imported_folders(top) <= {"renderers", "crosspoint"}, path
        met |= imported_folders(tree)
    assert met == {*FOLDERS}


@pytest.mark.parametrize(
    "line",
    [
        "from crosspoint.eval.protocols.linear_svm import linear_svm",
        "import crosspoint.eval",
        "from crosspoint import eval",
    ],
)
def test_a_wrong_import_would_be_seen(line: str) -> None:
    assert imported_folders(ast.parse(f"def f():\n    {line}")) == {"eval"}


def test_files_are_short_and_names_say_something() -> None:
    paths = [path for folder in FOLDERS for path in files(folder)]
    lengths = {path: len(path.read_text().splitlines()) for path in paths}
    assert max(lengths.values()) <= 400
    assert not {"utils", "util", "misc", "common", "helpers"} & {
        part for path in paths for part in (path.stem, path.parent.name)
    }


def test_every_folder_of_modules_is_a_package() -> None:
    """A folder without `__init__.py` works from a checkout, and is not in a wheel."""
    folders = {path.parent for folder in FOLDERS for path in files(folder)}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_public_names() -> None:
    from crosspoint import DGCNN, CrossPoint, PointNet, load_encoder, nt_xent
    from crosspoint.eval import few_shot, linear_svm
    from crosspoint.renderers import load_mesh, orbit, render

    for name in (DGCNN, CrossPoint, PointNet, load_encoder, nt_xent, few_shot, linear_svm, load_mesh, orbit, render):
        assert name.__doc__


def test_importing_starts_nothing() -> None:
    """No window, no network, no plotting, no training engine until it is asked for."""
    code = (
        "import sys, crosspoint, crosspoint.renderers; "
        "print(sorted({'lightning', 'sklearn', 'matplotlib.pyplot', 'torch_geometric'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("folder", ["scene", "eval", "renderers"])
def test_a_folder_is_not_imported_by_its_bare_name(folder: str) -> None:
    """A second copy of a module under another name would make `isinstance` fail without a word."""
    code = f"import sys; sys.path.insert(0, ''); import {folder}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 1
    assert run.stderr.strip().endswith(f"expected: import crosspoint.{folder}")


def test_our_names_do_not_collide_with_those_of_a_user(tmp_path: Path) -> None:
    """Most repositories of this field have an eval.py, a folder scene or a file renderers.py of their own."""
    (tmp_path / "scene").mkdir()
    for name in ("eval.py", "renderers.py", "scene/__init__.py"):
        (tmp_path / name).write_text("OWNER = 'user'\n")
    (tmp_path / "script.py").write_text(
        "import eval, renderers, scene\n"
        "import crosspoint.eval, crosspoint.renderers, crosspoint.scene.data.sample\n"
        "assert eval.OWNER == renderers.OWNER == scene.OWNER == 'user'\n"
        "assert crosspoint.eval.linear_svm and crosspoint.renderers.render\n"
    )
    run = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert subprocess.run([sys.executable, "-m", "crosspoint.cli", "--version"], cwd=tmp_path).returncode == 0

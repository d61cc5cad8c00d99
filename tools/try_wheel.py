"""Installs a wheel in a fresh environment and works with it: `python -m tools.try_wheel dist/NAME.whl`.

The environment takes dependencies from the one that runs this script, and the package from the wheel alone. Commands
run in a folder that holds files with our folders' names, as most repositories of this field do.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = {"crosspoint": "", "renderers": "renderers/", "scene": "scene/", "eval": "eval/"}  # to inside crosspoint/
TETRAHEDRON = "OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"
# Every module but those that start a program or need an optional library.
IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys
import crosspoint
assert pathlib.Path(crosspoint.__file__).is_relative_to(sys.prefix), crosspoint.__file__
names = [each.name for each in pkgutil.walk_packages(crosspoint.__path__, "crosspoint.")]
for name in names:
    if not name.endswith(("__main__", "renderers.pytorch3d", "spconv_backend")):
        importlib.import_module(name)
assert {"crosspoint.renderers", "crosspoint.scene", "crosspoint.eval"} <= {*names}
import eval, renderers, scene
assert eval.OWNER == renderers.OWNER == scene.OWNER == "user"
"""


DATA = ("py.typed", "models.json")


def expected_files(root: Path) -> set[str]:
    """Names inside the wheel of every module, page part, table, file of weights and marker of types in the checkout."""
    return {
        f"crosspoint/{inner}{path.relative_to(root / folder).as_posix()}"
        for folder, inner in FOLDERS.items()
        for path in (root / folder).rglob("*")
        if path.is_file() and (path.suffix == ".py" or path.parent.name in ("web", "weights") or path.name in DATA)
    }


def check_content(wheel: Path, root: Path = ROOT) -> None:
    """One top-level package, and in it what the checkout has.

    Raises:
        ValueError: naming what is missing or too much.
    """
    names = set(zipfile.ZipFile(wheel).namelist())
    found = {name for name in names if ".dist-info/" not in name}
    expected = expected_files(root)
    if found != expected:
        missing, surplus = sorted(expected - found), sorted(found - expected)
        raise ValueError(f"found a wheel that lacks {missing} and has {surplus}, expected the checkout's files")
    (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    if "License-Expression: MIT" not in zipfile.ZipFile(wheel).read(metadata).decode():
        raise ValueError(f"found no license in {metadata}, expected MIT: build with setuptools 77 or later")


def fresh_environment(folder: Path, wheel: Path) -> Path:
    """An environment that has the wheel, and sees this one's packages behind it; returns its folder of programs."""
    venv.create(folder, with_pip=False, symlinks=True)
    paths = {"base": str(folder), "platbase": str(folder)}
    inside = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    # A .pth file in a folder that is named so is not read, so an editable install of ours stays out.
    behind = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (inside / "dependencies.pth").write_text("\n".join(behind) + "\n")
    programs = Path(sysconfig.get_path("scripts", "venv", vars=paths))
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", "--force-reinstall", str(wheel)], check=True)
    return programs


def work(programs: Path, folder: Path) -> None:
    """Import every module and run commands in a folder that has an eval.py, a renderers.py and a scene/ of its own."""
    (folder / "scene").mkdir()
    for name in ("eval.py", "renderers.py", "scene/__init__.py"):
        (folder / name).write_text("OWNER = 'user'\n")
    for name in ("one", "two"):
        (folder / "meshes" / "tetrahedron").mkdir(parents=True, exist_ok=True)
        (folder / "meshes" / "tetrahedron" / f"{name}.off").write_text(TETRAHEDRON)
    (folder / "imports.py").write_text(IMPORT_ALL)
    for command in (
        ("python", "imports.py"),
        ("crosspoint", "--version"),
        ("crosspoint", "doctor"),
        ("crosspoint", "render", "meshes", "views", "--views=2", "--size=32", "--points=64", "--jobs=1"),
    ):
        print("$", *command, flush=True)
        subprocess.run([programs / command[0], *command[1:]], cwd=folder, check=True)
    if not list((folder / "views").glob("*.tar")):
        raise ValueError(f"found no shard in {sorted(p.name for p in (folder / 'views').iterdir())}")


def main() -> None:
    """Check the wheel that is named."""
    (wheel,) = map(Path, sys.argv[1:])
    check_content(wheel)
    with tempfile.TemporaryDirectory() as folder:
        programs = fresh_environment(Path(folder, "environment"), wheel.resolve())
        Path(folder, "elsewhere").mkdir()
        work(programs, Path(folder, "elsewhere"))
    print(f"{wheel.name}: installed, imported and used")


if __name__ == "__main__":
    main()

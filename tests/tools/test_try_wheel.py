from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tools.try_wheel import check_content, expected_files


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small one: modules, a page part, a marker of types, and what does not belong in a wheel."""
    for name in ("crosspoint/__init__.py", "scene/data/__init__.py", "eval/report/web/page.css", "renderers/py.typed",
                 "crosspoint/hub/weights/small.safetensors"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "scene" / "notes.txt").touch()
    return tmp_path


FILES = {
    "crosspoint/__init__.py",
    "crosspoint/scene/data/__init__.py",
    "crosspoint/eval/report/web/page.css",
    "crosspoint/renderers/py.typed",
    "crosspoint/hub/weights/small.safetensors",
}


def wheel_of(folder: Path, names: set[str], license: str = "License-Expression: MIT") -> Path:
    path = folder / "made.whl"
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, "")
        file.writestr("crosspoint3d-0.1.0.dist-info/METADATA", license)
    return path


def test_folders_are_found_inside_one_package(checkout: Path) -> None:
    assert expected_files(checkout) == FILES
    check_content(wheel_of(checkout, FILES), checkout)


@pytest.mark.parametrize(
    ("missing", "surplus"),
    [({"crosspoint/scene/data/__init__.py"}, set()), (set(), {"scene/__init__.py"}), (set(), {"tests/test_a.py"})],
)
def test_a_wheel_that_lacks_something_or_has_too_much_is_refused(
    checkout: Path, missing: set[str], surplus: set[str]
) -> None:
    with pytest.raises(ValueError, match=next(iter(missing | surplus))):
        check_content(wheel_of(checkout, (FILES - missing) | surplus), checkout)


def test_a_license_that_the_builder_did_not_know_is_seen(checkout: Path) -> None:
    with pytest.raises(ValueError, match="setuptools 77"):
        check_content(wheel_of(checkout, FILES, license="License: UNKNOWN"), checkout)

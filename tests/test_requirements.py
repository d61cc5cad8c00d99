"""What pyproject.toml asks for, and the two files of constraints that it is tested with."""

from __future__ import annotations

import re
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
ASKED = [Requirement(line) for line in requires("crosspoint3d") or []]
RUNTIME = [each for each in ASKED if each.marker is None]
TESTED = [each for each in ASKED if each.marker is None or each.marker.evaluate({"extra": "test"})]


def constraints(name: str, python: str) -> dict[str, Version]:
    found: dict[str, Version] = {}
    for line in (ROOT / name).read_text().splitlines():
        if line and not line.startswith("#"):
            each = Requirement(line)
            (pin,) = each.specifier
            assert pin.operator == "=="
            if each.marker is None or each.marker.evaluate({"python_version": python}):
                assert canonicalize_name(each.name) not in found, f"{each.name} is pinned twice on Python {python}"
                found[canonicalize_name(each.name)] = Version(pin.version)
    return found


def lowest(asked: Requirement) -> Version:
    (bound,) = (each.version for each in asked.specifier if each.operator in (">=", "=="))
    return Version(bound)


def test_constraints_pin_what_is_asked_for_in_versions_that_are_allowed() -> None:
    pinned = constraints("constraints.txt", "3.13")
    for each in ASKED:
        assert each.specifier.contains(pinned[canonicalize_name(each.name)]), each
    assert "crosspoint3d" not in pinned


@pytest.mark.parametrize("python", PYTHONS)
def test_minimum_constraints_are_the_lowest_versions_that_are_claimed(python: str) -> None:
    pinned = constraints("constraints-minimum.txt", python)
    claimed = {canonicalize_name(each.name): lowest(each) for each in TESTED}
    assert set(claimed) <= set(pinned)
    if python in ("3.10", "3.11"):
        assert {name: pinned[name] for name in claimed} == claimed
    else:  # the first release for a newer Python may be a later one
        assert all(pinned[name] >= version for name, version in claimed.items())


def imported_packages() -> set[str]:
    """Top-level names that the four folders import, here or inside functions."""
    line = re.compile(r"^\s*(?:from|import) (\w+)|import_module\(\"(\w+)", re.MULTILINE)
    folders = ("crosspoint", "scene", "eval", "renderers")
    texts = [path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {name for text in texts for found in line.findall(text) for name in found} - set(sys.stdlib_module_names)


def test_what_is_asked_for_is_imported() -> None:
    """Under the names that the distributions have when they are imported; TensorBoard is by Lightning's logger."""
    names = {
        "torch-geometric": "torch_geometric",
        "scikit-learn": "sklearn",
        "scikit-image": "skimage",
        "pillow": "PIL",
        "pyyaml": "yaml",
    }
    asked = {names.get(each.name, each.name) for each in RUNTIME}
    assert asked - imported_packages() <= {"tensorboard"}


def test_hooks_and_ci_run_what_make_check_runs() -> None:
    """One list of checks: a commit that passed the hooks passes CI, and the other way round."""
    makefile = (ROOT / "Makefile").read_text()
    (check,) = re.findall(r"^check: (.+)$", makefile, re.MULTILINE)
    hooks = re.findall(r"^\s+entry: make (.+)$", (ROOT / ".pre-commit-config.yaml").read_text(), re.MULTILINE)
    assert sorted(hooks) == sorted(check.split())
    ci = re.findall(r"^make (.+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert {*check.split()} - {"test-fast"} <= {*ci}
    assert "test" in ci  # all of them

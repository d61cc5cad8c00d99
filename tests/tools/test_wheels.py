"""Gathering wheels, with an index that is made here."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import wheels
from tools.wheels import Node, gather, name_and_version, needs


def make_wheel(folder: Path, name: str, version: str, *requires: str) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}-{version}.dist-info/METADATA", "\n".join(lines))
        file.writestr(f"{name}/vendor/other-1.dist-info/METADATA", "Name: other")
    return path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("torch==2.11.0+cu130", ("torch", "2.11.0+cu130")),
        ("Pillow", ("pillow", None)),
        ("numpy @ file:///build/numpy", ("numpy", None)),
        ("jsonargparse[signatures]==4.53.0 ; python_version > '3'", ("jsonargparse", "4.53.0")),
    ],
)
def test_lines_of_pip_freeze(line: str, expected: tuple[str, str | None]) -> None:
    assert name_and_version(line) == expected


def test_a_node_has_what_it_names_in_a_version_that_will_do() -> None:
    node = Node("3.12", "2.28", ["# a comment", "-e /src/mine", "torch==2.11.0+cu130", "Typing_Extensions", "rich==12"])
    assert node.has(Requirement("torch>=2.6"))
    assert node.has(Requirement("typing-extensions>=99"))
    assert not node.has(Requirement("rich>=14.3"))
    assert not node.has(Requirement("trimesh"))


def test_platforms_are_those_that_its_glibc_can_load() -> None:
    platforms = Node("3.12", "2.28", []).platforms
    assert {"manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"} <= set(platforms)
    assert "manylinux_2_29_x86_64" not in platforms


def test_markers_are_those_of_the_node_and_not_of_this_machine(tmp_path: Path) -> None:
    lines = ("old; python_version < '3.12'", "new; python_version >= '3.12'", "win; sys_platform == 'win32'")
    wheel = make_wheel(tmp_path, "one", "1", *lines, "more; extra == 'more'", "plain")
    assert [each.name for each in needs(wheel, [], Node("3.12", "2.28", []))] == ["new", "plain"]
    assert [each.name for each in needs(wheel, ["more"], Node("3.10", "2.28", []))] == ["old", "more", "plain"]


def test_what_is_needed_is_followed_and_what_is_present_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`a` needs `b` with an extra, which needs `c`; `torch`, and what it alone needs, is not touched."""
    index = tmp_path / "index"
    index.mkdir()
    shelf = {
        "setuptools": make_wheel(index, "setuptools", "80"),
        "b": make_wheel(index, "b", "2.0", "c; extra == 'x'", "d; extra == 'y'", "torch>=2"),
        "c": make_wheel(index, "c", "1.0", "b"),
        "pinned": make_wheel(index, "pinned", "5"),
    }
    asked_for = []

    def fetch(asked: Requirement, node: Node, out: Path) -> Path:
        asked_for.append(f"{asked.name}{asked.specifier}")
        return shelf[asked.name]

    monkeypatch.setattr(wheels, "fetch", fetch)
    monkeypatch.setattr(wheels, "pins", lambda node: {"pinned": "==5", "c": "==9"})
    ours = make_wheel(tmp_path, "a", "1", "b[x]>=1", "torch>=2", "pinned>=4", "c<2", "tests-only; extra == 'test'")
    found = gather(ours, Node("3.12", "2.28", ["torch==2.11.0"]), tmp_path, [])
    assert sorted(path.name.split("-")[0] for path in found) == ["b", "c", "pinned", "setuptools"]
    assert sorted(asked_for) == ["b>=1", "c<2", "pinned==5", "setuptools>=77"]  # a pin that does not suit is not taken


def test_extras_of_what_is_present_are_not_followed_but_its_missing_version_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = make_wheel(tmp_path, "b", "2.0", "e")
    made = {"b": newer, "e": make_wheel(tmp_path, "e", "1"), "setuptools": make_wheel(tmp_path, "setuptools", "80")}
    monkeypatch.setattr(wheels, "fetch", lambda asked, node, out: made[asked.name])
    monkeypatch.setattr(wheels, "pins", lambda node: {})
    ours = make_wheel(tmp_path, "a", "1", "b>=2")
    assert {path.name[0] for path in gather(ours, Node("3.12", "2.28", ["b==1.0"]), tmp_path, [])} == {"b", "e", "s"}


def test_constraints_that_its_python_cannot_have_are_not_taken() -> None:
    assert wheels.pins(Node("3.11", "2.28", []))["numpy"].startswith("==")
    assert "numpy" not in wheels.pins(Node("3.10", "2.28", []))

"""The documents: the Python of the start page, the tutorials and the FAQ runs as it stands; flags of commands exist."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from crosspoint import load_pretrained
from crosspoint.cli.main import main
from crosspoint.plugins import SHORT_NAMES
from crosspoint.renderers import render_folder
from crosspoint.scene import check_scenes, open_scenes
from tests.pages import DOCS, ROOT, command, commands, python_blocks

TUTORIALS = DOCS / "tutorials"
RUN_HERE = [DOCS / "index.md", DOCS / "faq.md", *sorted(TUTORIALS.glob("*.md"))]
CHOICES = ("--method", "--encoder", "--image_encoder", "--data.dataset", "--dataset", "--protocols")
OF_A_USER = re.compile(r"^(mine\.|[A-Z_]+(\.\w+)?$|NAME|run\.yaml)|…")  # what stands for something of the reader's


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """An empty folder to work in; modules that a page writes are forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("theirs", "mine"):
        sys.modules.pop(name, None)


def run(*blocks: str) -> dict[str, Any]:
    """Run blocks one after the other, as one program; returns its names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        exec(compile(block, "page", "exec"), names)
    return names


def help_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints as its help."""
    try:
        assert main(words) == 0, words
    except SystemExit as done:
        assert done.code == 0, words
    return capsys.readouterr().out


def test_the_start_page(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = python_blocks(DOCS / "index.md")
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    assert run(block)["features"].shape == (3, 1024)
    assert "tensor([1.0000, " in capsys.readouterr().out


def test_own_meshes(capsys: pytest.CaptureFixture[str]) -> None:
    write, find = python_blocks(TUTORIALS / "own_meshes.md")
    run(write)
    assert len([*Path("MESHES").rglob("*.glb")]) == 60
    names = np.array(["a", "b", "c"])
    np.savez("features.npz", names=names, features=np.array([[2.0, 0], [0, 1], [3, 1]]))
    run(find)
    assert capsys.readouterr().out.split() == ["1.000", "a", "0.949", "c", "0.000", "b"]


def test_own_rig(capsys: pytest.CaptureFixture[str]) -> None:
    page = TUTORIALS / "own_rig.md"
    write, use = python_blocks(page)
    run(write)
    frames = open_scenes("folder", "MY_RIG", split="train")
    check_scenes(frames, labels=True)
    assert len(frames) == 8 and frames.classes == ["ground", "wall"]
    assert main(command(page, "pretrain")) == 0
    assert run(use)["features"].shape[1] == 16


def test_other_encoder(capsys: pytest.CaptureFixture[str]) -> None:
    theirs, save, arrays = python_blocks(TUTORIALS / "other_encoder.md")
    Path("theirs.py").write_text(theirs)
    encoder = run(save)["encoder"]
    pretrained = load_pretrained("theirs.safetensors")
    cloud = np.random.default_rng(0).normal(size=(300, 3))
    assert pretrained.inputs.points == 256
    assert pretrained.encoder(pretrained.transform(cloud)).equal(encoder(pretrained.transform(cloud)))
    run(arrays)
    assert "knn/validated (%): accuracy" in capsys.readouterr().out


def test_own_method(capsys: pytest.CaptureFixture[str]) -> None:
    page = TUTORIALS / "own_method.md"
    write, check = python_blocks(page)
    Path("mine.py").write_text(write)
    parts = run(write, check)["parts"]
    assert parts["loss"] > 0
    said = help_of(command(page, "pretrain", "--method", "mine.VICReg", "--help"), capsys)
    assert "weight of the term that makes features uncorrelated" in " ".join(said.split())


def test_reproduce(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.json").write_text(json.dumps({"metrics": {"accuracy": 12.5}, "constants": {"C": 0.1}}))
    run(*python_blocks(TUTORIALS / "reproduce.md"))
    assert capsys.readouterr().out == "12.5 {'C': 0.1}\n"


def test_faq(capsys: pytest.CaptureFixture[str]) -> None:
    Path("meshes").mkdir()
    trimesh.creation.box().export("meshes/box.ply")
    render_folder("meshes", "data/views", views=2, size=16, points=32, jobs=1)
    run(*python_blocks(DOCS / "faq.md"))
    assert capsys.readouterr().out.endswith("torch.Size([2, 3, 3]) torch.Size([2, 3, 3]) torch.Size([2, 3])\n")


def test_every_page_of_these_is_run() -> None:
    with_python = {page.name for page in RUN_HERE if python_blocks(page)}
    names = {"index.md", "faq.md", "own_meshes.md", "own_rig.md", "other_encoder.md", "own_method.md", "reproduce.md"}
    assert with_python == names


def documented() -> dict[tuple[str, ...], set[str]]:
    """The flags that pages give, by the command and the classes that decide which flags there are."""
    found: dict[tuple[str, ...], set[str]] = {}
    for page in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]:
        for words in commands(page):
            names = words[: 2 if words[0] in ("evaluate", "data", "show") else 1]
            names += [word for word in words[1:2] if words[0] == "pretrain" and word.endswith(".yaml")]
            for flag, value in zip(words, [*words[1:], ""], strict=True):
                if flag in CHOICES:
                    names += [flag, value]
            if not any(OF_A_USER.search(name) for name in names):
                flags = {word.strip("[]") for word in words if word.strip("[]").startswith("--")}
                found.setdefault(tuple(names), set()).update(flags)
    return found


@pytest.mark.parametrize("name", ["evaluate", "pretrain", "data", "show", ""])
def test_flags_of_commands_exist(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # where configs/ lies
    monkeypatch.setenv("COLUMNS", "400")
    named = {key: flags for key, flags in documented().items() if key[0] == name or (not name and key[0] not in NAMED)}
    assert named
    for words, flags in named.items():
        known = {*re.findall(r"--[\w.]+", help_of([*words, "--help"], capsys)), "--help"}
        unknown = {flag for flag in flags - known if not flag.startswith("--settings.") and flag not in CHOICES}
        assert not unknown, f"crosspoint {' '.join(words)} has no {', '.join(sorted(unknown))}"


NAMED = ("evaluate", "pretrain", "data", "show")


def test_a_wrong_flag_would_be_seen() -> None:
    found = documented()
    assert "--variant" in found["evaluate", "linear", "--dataset", "modelnet40_hdf5"]
    measured = {words[1] for words in found if words[0] == "evaluate"}
    assert {"all", "knn", "semseg", "depth"} <= measured <= {*SHORT_NAMES["protocol"], "all"}

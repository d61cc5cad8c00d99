"""Rendered sets that are damaged, or say of themselves what cannot be: each is refused in one line."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from crosspoint.renderers import RenderedSet, render_folder
from tests.refusals import DEEP, command_refuses, refused, write

NPY = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("set")
    (root / "source" / "box").mkdir(parents=True)
    trimesh.creation.box((1, 2, 3)).export(root / "source" / "box" / "a.off")
    render_folder(root / "source", root / "out", views=2, size=16, points=8, jobs=1, progress=False)
    return root


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "out", tmp_path / "copy"))


def read_all(root: Path) -> None:
    objects = RenderedSet(root)
    for index in range(len(objects)):
        objects.points(index), objects.normals(index), objects.images(index), objects.cameras(index)
        objects.colors(index), objects.meta(index)


def changed(path: Path, place: list[Any], value: object) -> None:
    content = json.loads(path.read_text())
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    path.write_text(json.dumps(content))


TEXTS = ["", "{", "[]", "null", "3", '"x"', DEEP, '{"a":' * 10_000, "\xff", "9" * 10_000, '{"format": NaN}']


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("name", ["set.json", "all-000000.json"])
def test_texts_that_are_no_record(copy: Path, name: str, text: str) -> None:
    write(copy / name, text.encode("latin-1"))
    refused(lambda: read_all(copy), name)


@pytest.mark.parametrize(
    ("place", "values"),
    [
        (["format"], [..., "1", None, 99, 1.5, True]),
        (["classes"], [..., "box", [1], None, {}, [["box"]]]),
        (["shards"], [..., [], None, {"all": 10**9}, {"all": -1}, {"all": "1"}, {"../all": 1}]),
        (["settings"], [..., [], None, "x"]),
        (["settings", "views"], [..., 0, -1, 10**9, 10**400, "2", None, 1.5, True, [2]]),
        (["settings", "size"], [..., 0, 10**9, "16", None]),
        (["settings", "points"], [..., 0, -3, 10**12, "8"]),
        (["settings", "style"], [[], 3, {"gray": [[]]}]),
    ],
)
def test_values_of_set_json(copy: Path, place: list[Any], values: list[Any]) -> None:
    before = (copy / "set.json").read_text()
    for value in values:
        (copy / "set.json").write_text(before)
        changed(copy / "set.json", place, value)
        refused(lambda: RenderedSet(copy), "set.json")


@pytest.mark.parametrize(
    ("place", "values"),
    [
        (["bytes"], [..., -1, "x", 1, None, 10**30]),
        (["samples"], [..., {}, None, [1], [{}], [None]]),
        (["samples", 0, "key"], [..., 3, None, []]),
        (["samples", 0, "class"], [..., 3, []]),
        (["samples", 0, "members"], [..., [], None, {}]),
        (
            ["samples", 0, "members", "points.npy"],
            [..., [0], [0, -1], [-1, 5], [0, 10**12], "x", [0.5, 1], [0, 10**30]],
        ),
        (["samples", 0, "members", "view01.png"], [..., [0, 0]]),
        (["failures"], [3, [3], [{"path": 3}]]),
    ],
)
def test_values_of_an_index(copy: Path, place: list[Any], values: list[Any]) -> None:
    before = (copy / "all-000000.json").read_text()
    for value in values:
        (copy / "all-000000.json").write_text(before)
        changed(copy / "all-000000.json", place, value)
        refused(lambda: read_all(copy), "all-000000")


def npy(array: np.ndarray, **arguments: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **arguments)
    return file.getvalue()


def png(side: tuple[int, int], mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new(mode, side).save(file, "png")
    return file.getvalue()


POINTS = np.full((8, 3), 0.25, dtype=np.float32)
ONE_NAN = np.where(np.arange(24).reshape(8, 3) == 5, np.nan, POINTS).astype(np.float32)


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("points.npy", npy(POINTS.astype(np.float64))),
        ("points.npy", npy(POINTS.astype(np.int32))),
        ("points.npy", npy(POINTS.astype(np.complex64))),
        ("points.npy", npy(POINTS[:4])),
        ("points.npy", npy(POINTS[:, :2])),
        ("points.npy", npy(POINTS[:0])),
        ("points.npy", npy(np.asfortranarray(POINTS))),
        ("points.npy", npy(ONE_NAN)),
        ("points.npy", npy(POINTS * np.inf)),
        ("points.npy", npy(np.array([{}], dtype=object), allow_pickle=True)),
        ("points.npy", npy(POINTS)[:-4]),
        ("points.npy", npy(POINTS)[:20]),
        ("points.npy", b""),
        ("points.npy", b"\x93NUMPY\x09\x00"),
        ("points.npy", npy(POINTS).replace(b"(8, 3)", b"(8, 9)")),
        ("normals.npy", npy(POINTS[:, :2])),
        ("view00.png", png((17, 16))),
        ("view01.png", png((4000, 4000))),
        ("view01.png", b"GIF89a"),
        ("view01.png", png((16, 16))[:50]),
        ("cameras.npz", b"PK\x03\x04"),
        ("cameras.npz", npy(POINTS)),
        ("json", b"{"),
        ("json", b"[]"),
    ],
)
def test_members_of_another_kind(copy: Path, ending: str, content: bytes) -> None:
    """The member is replaced at the end of the shard, where there is room."""
    shard, index = copy / "all-000000.tar", copy / "all-000000.json"
    start = shard.stat().st_size
    with shard.open("ab") as file:
        file.write(content)
    changed(index, ["samples", 0, "members", ending], [start, len(content)])
    changed(index, ["bytes"], start + len(content))
    refused(lambda: read_all(copy), "all-000000.tar")


@pytest.mark.parametrize("text", ["[]", "{", '{"box/a.off": "x"}', '{"box/a.off": [1]}', DEEP, ""])
def test_a_begun_set_with_a_damaged_list_of_sources(
    made: Path, copy: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(copy / "sources.json", text)
    command_refuses(
        capsys, ["render", made / "source", copy, "--views", 2, "--size", 16, "--points", 8], "sources.json"
    )


def test_a_whole_set_is_read(copy: Path) -> None:
    read_all(copy)

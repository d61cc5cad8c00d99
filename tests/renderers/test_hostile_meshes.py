"""Meshes and folders made to stop a render: each mesh is listed as failed, the others are rendered."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import trimesh

from crosspoint.cli.main import main
from crosspoint.renderers.layouts import find_meshes
from tests.refusals import write


def cut_off(path: Path) -> None:
    text = trimesh.creation.icosphere(2).export(file_type="off")
    write(path, text[: int(len(text) * 0.7)])


def announced(path: Path) -> None:
    write(path, "OFF\n3 1000000000 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")


def cut_ply(path: Path) -> None:
    content = trimesh.creation.icosphere(2).export(file_type="ply")
    write(path, content[: int(len(content) * 0.8)])


def announced_ply(path: Path) -> None:
    header = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    faces = "element face 1000000000\nproperty list uchar int vertex_indices\nend_header\n"
    write(path, header + faces + "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")


def negative_ply(path: Path) -> None:
    header = "ply\nformat ascii 1.0\nelement vertex -4\nproperty float x\nproperty float y\nproperty float z\n"
    faces = "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    write(path, header + faces + "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")


def cut_stl(path: Path) -> None:
    content = trimesh.creation.icosphere(2).export(file_type="stl")
    write(path, content[: int(len(content) * 0.7)])


def announced_stl(path: Path) -> None:
    content = trimesh.creation.box().export(file_type="stl")
    write(path, content[:80] + struct.pack("<I", 10**9) + content[84:])


def cut_obj(path: Path) -> None:
    write(path, "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nf 1 2 9\n")


def huge_glb(path: Path) -> None:
    tree = json.dumps(
        {
            "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
            "accessors": [{"componentType": 5126, "count": 10**12, "type": "VEC3"}],
        }
    ).encode()  # fmt: skip
    tree += b" " * (-len(tree) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 20 + len(tree)) + struct.pack("<I4s", len(tree), b"JSON")
    write(path, head + tree)


def deep_gltf(path: Path) -> None:
    write(path, '{"asset": {"version": "2.0"}, "extras": ' + "[" * 100_000)


def packed_3mf(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("3D/3dmodel.model", bytes(2**27))


def dangling(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere.off")


def circular(path: Path) -> None:
    path.symlink_to(path)


def pipe(path: Path) -> None:
    os.mkfifo(path)


CASES: dict[str, Callable[[Path], None]] = {
    "cut.off": cut_off, "announced.off": announced, "cut.ply": cut_ply, "announced.ply": announced_ply,
    "negative.ply": negative_ply,
    "cut.stl": cut_stl, "announced.stl": announced_stl, "cut.obj": cut_obj, "huge.glb": huge_glb,
    "deep.gltf": deep_gltf, "packed.3mf": packed_3mf, "dangling.off": dangling, "circular.off": circular,
    "pipe.off": pipe,
}  # fmt: skip


def test_each_is_listed_as_failed_and_the_others_are_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("networkx")
    source = tmp_path / "source"
    source.mkdir()
    trimesh.creation.box().export(source / "sound.off")
    for name, make in CASES.items():
        make(source / name)
    flags = ["--views", 1, "--size", 16, "--points", 8, "--jobs", 1]
    assert main([str(word) for word in ["render", source, tmp_path / "out", *flags]]) == 0
    assert "Traceback" not in capsys.readouterr().err
    failures = [json.loads(line) for line in (tmp_path / "out" / "failures.jsonl").read_text().splitlines()]
    listed = {failure["path"] for failure in failures}
    expected = {name for name in CASES if name != "packed.3mf" or name in {i.path for i in find_meshes(source).items}}
    assert listed == expected
    for failure in failures:
        assert ("found " in failure["reason"] and "expected " in failure["reason"]) or "check or convert" in failure[
            "reason"
        ]


def test_a_pipe_among_materials_is_as_good_as_absent(tmp_path: Path) -> None:
    (tmp_path / "textures").mkdir()
    os.mkfifo(tmp_path / "box.mtl")
    os.mkfifo(tmp_path / "textures" / "wood.mtl")
    write(tmp_path / "box.obj", "mtllib box.mtl\nmtllib wood.mtl\nusemtl a\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    flags = ["--views", 1, "--size", 16, "--points", 8, "--jobs", 1]
    assert main([str(word) for word in ["render", tmp_path / "box.obj", tmp_path / "out", *flags]]) == 0
    assert json.loads((tmp_path / "out" / "not_found.jsonl").read_text())["path"] == "box.obj"


def test_a_folder_is_visited_once_however_many_links_lead_to_it(tmp_path: Path) -> None:
    trimesh.creation.box().export(tmp_path / "a.off")
    for name in ("here", "there"):
        (tmp_path / name).symlink_to(".")
    assert [item.path for item in find_meshes(tmp_path).items] == ["a.off"]

"""Readers of formats: the values are those of the file, and a broken one is refused for its true reason."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals

from crosspoint.renderers import load_mesh, sample_surface
from crosspoint.renderers.gltf import srgb

V = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1)]
Q = [(0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]
T = [t for a, b, c, d in Q for t in ((a, b, c), (a, c, d))]
VERTICES = "".join(f"{x} {y} {z}\n" for x, y, z in V)
QUADS = "".join(f"4 {a} {b} {c} {d}\n" for a, b, c, d in Q)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def colors(path: Path) -> list[list[int]]:
    found = sample_surface(load_mesh(path), 64).colors
    assert found is not None
    return np.unique(found, axis=0).tolist()


@pytest.mark.parametrize(
    ("header", "vertex", "face"),
    [
        ("COFF", " 255 0 0 255", ""), ("COFF", " 1.0 0.0 0.0 1.0", ""), ("OFF", " 255 0 0", ""),
        ("CNOFF", " 0 0 1 255 0 0 255", ""), ("off", "", " 255 0 0"), ("OFF", "", " 1.0 0.0 0.0 1.0"),
        ("NOFF", " 0 0 1", " 255 0 0 255"), ("STOFF", " 0.5 0.5", " 255 0 0"),
    ],
)  # fmt: skip
def test_off_keeps_its_colors(tmp_path: Path, header: str, vertex: str, face: str) -> None:
    text = f"{header}\n8 6 0 # counts\n" + VERTICES.replace("\n", f"{vertex}\n") + QUADS.replace("\n", f"{face}\n")
    path = write(tmp_path / "a.off", text)
    assert colors(path) == [[255, 0, 0]]
    mesh = load_mesh(path)
    assert len(mesh.faces) == 12 and mesh.area == pytest.approx(6.0)


def ply(kind: str, vertex: str, face: str, faces: int, body: bytes) -> bytes:
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    return (
        f"ply\nformat {kind} 1.0\nelement vertex 8\n{axes}{vertex}element face {faces}\n"
        f"property list uchar int vertex_indices\n{face}end_header\n"
    ).encode() + body


@pytest.mark.parametrize("order", ["<", ">"])
def test_binary_ply_may_mix_triangles_and_quads(tmp_path: Path, order: str) -> None:
    polygons = [Q[0][:3], (Q[0][0], *Q[0][2:]), *Q[1:]]
    kind = "binary_little_endian" if order == "<" else "binary_big_endian"
    body = np.array(V, order + "f4").tobytes()
    body += b"".join(struct.pack(f"{order}B{len(p)}i3B", len(p), *p, 255, 0, 0) for p in polygons)
    tint = "property uchar red\nproperty uchar green\nproperty uchar blue\n"
    path = write(tmp_path / "a.ply", ply(kind, "", tint, len(polygons), body))
    assert load_mesh(path).area == pytest.approx(6.0) and colors(path) == [[255, 0, 0]]
    write(path, path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"a\.ply \(PLY\).*face 6, expected 7.*cut off"):
        load_mesh(path)


@pytest.mark.parametrize(
    ("names", "kind", "value"),
    [
        ("red green blue", "uchar", "255 0 1"), ("diffuse_red diffuse_green diffuse_blue", "uchar", "255 0 1"),
        ("r g b", "uchar", "255 0 1"), ("red green blue", "ushort", "65535 0 257"),
        ("red green blue", "float", "1.0 0.0 0.00392"), ("red green blue", "float", "255 0 1"),
    ],
)  # fmt: skip
def test_ply_colors_of_any_name_and_type(tmp_path: Path, names: str, kind: str, value: str) -> None:
    properties = "".join(f"property {kind} {name}\n" for name in names.split())
    body = VERTICES.replace("\n", f" {value}\n") + QUADS
    path = write(tmp_path / "a.ply", ply("ascii", properties, "", 6, body.encode()))
    assert colors(path) == [[255, 0, 1]]


def test_obj_indices_count_back_from_where_they_stand(tmp_path: Path) -> None:
    def part(x: int) -> str:
        lines = "".join(f"v {a + x} {b} {c}\n" for a, b, c in V)
        return lines + "".join(f"f {a - 8} {b - 8} {c - 8}\n" for a, b, c in T)

    mesh = load_mesh(write(tmp_path / "a.obj", part(0) + "o right\n" + part(5)))
    assert len(mesh.faces) == 24 and mesh.area == pytest.approx(12.0)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [6, 1, 1])


def test_obj_fields_may_be_set_apart_by_tabs_and_continued(tmp_path: Path) -> None:
    text = "".join(f"\tv\t{a}\t{b} \t{c}\r\n" for a, b, c in V) + "".join(
        f"f\t{a + 1}\t{b + 1} \\\r\n {c + 1}\r\n" for a, b, c in T
    )
    assert load_mesh(write(tmp_path / "a.obj", text)).area == pytest.approx(6.0)


OBJ = "".join(f"v {a} {b} {c}\n" for a, b, c in V) + "".join(f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in T)
OFF = f"OFF\n8 6 0\n{VERTICES}{QUADS}"
STL = trimesh.creation.box().export(file_type="stl")
TEXT_STL = trimesh.creation.box().export(file_type="stl_ascii")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.off", OFF[:-20], r"found 1\d lines after the counts of a.off \(OFF\), expected 8 vertices and 6 faces"),
        ("a.off", OFF[:-4], r"found '4 3 0' in line 16 of a.off \(OFF\).*cut"),
        ("a.off", "OFF BINARY\n\0\0", "binary OFF"),
        ("a.off", "4OFF\n1 1 0\n", "three dimensions"),
        ("a.ply", ply("ascii", "", "", 6, (VERTICES + QUADS)[:-20].encode()), r"a.ply \(PLY\).*face 4, expected 6"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement", "no end_header"),
        ("a.obj", OBJ[:-3], r"face of 2 corners at the end of a.obj \(OBJ, line 20\)"),
        ("a.obj", OBJ.replace("f 1 4 3\n", "f 1 4 99\n"), r"vertex 99 in line 9 of a.obj \(OBJ\), expected 1…8"),
        ("a.stl", STL[:-60], r"bytes in a.stl \(STL\), expected 684"),
        ("a.stl", TEXT_STL[:-100], r"no end in a.stl \(STL\)"),
        ("a.obj", "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n", "pointer file of Git LFS"),
        ("a.glb", "\n<!DOCTYPE html><html>404</html>", "HTML page"),
        ("a.ply", "", "an empty file"),
        ("a.stl", bytes(200), "all zero"),
        ("a.gltf", '{"asset": {"version": "1.0"}}', r"glTF 1\.0 in a\.gltf"),
        ("a.dae", "not xml at all", "cannot be read as DAE"),
    ],
)
def test_a_broken_file_is_refused_for_its_true_reason(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    if name.endswith(".dae"):
        pytest.importorskip("collada")
    with pytest.raises(ValueError, match=message):
        load_mesh(write(tmp_path / name, content))


class Gltf:
    """A cube as a .gltf with its data inside."""

    def __init__(self) -> None:
        self.data, self.views, self.accessors = b"", [], []  # type: ignore[var-annotated]
        self.attributes = {"POSITION": self.add(np.array(V, "<f4"), 5126, "VEC3")}
        self.primitive = {
            "attributes": self.attributes,
            "indices": self.add(np.array(T, "<u2").ravel(), 5123, "SCALAR"),
        }
        self.tree = {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}]}
        self.tree["meshes"] = [{"primitives": [self.primitive]}]

    def view(self, raw: bytes) -> int:
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(raw)})
        self.data += raw + b"\0" * (-len(raw) % 4)
        return len(self.views) - 1

    def add(self, values: np.ndarray, component: int, shape: str, **more: object) -> int:
        accessor = {"bufferView": self.view(values.tobytes()), "componentType": component, "count": len(values)}
        self.accessors.append({**accessor, "type": shape, **more})
        return len(self.accessors) - 1

    def write(self, path: Path) -> Path:
        uri = "data:application/octet-stream;base64," + base64.b64encode(self.data).decode()
        tree = {**self.tree, "bufferViews": self.views, "accessors": self.accessors}
        path.write_text(json.dumps({**tree, "buffers": [{"uri": uri, "byteLength": len(self.data)}]}))
        return path


def textured(tmp_path: Path, transform: dict, uv: np.ndarray, component: int, **more: object) -> Path:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)  # red, green / blue, white
    pixels[:2, :2], pixels[:2, 2:], pixels[2:, :2], pixels[2:, 2:] = (255, 0, 0), (0, 255, 0), (0, 0, 255), 255
    Image.fromarray(pixels).save(tmp_path / "Skin 1.png")
    model = Gltf()
    model.attributes["TEXCOORD_1"] = model.add(uv, component, "VEC2", **more)
    texture = {"index": 0, "texCoord": 1, "extensions": {"KHR_texture_transform": transform}}
    model.tree |= {"images": [{"uri": "skin%201.png"}], "textures": [{"source": 0}]}
    model.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": texture}}]
    model.primitive["material"] = 0
    return model.write(tmp_path / "a.gltf")


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ({}, [255, 0, 0]),
        ({"offset": [0.5, 0]}, [0, 255, 0]),
        ({"offset": [0, 0.5]}, [0, 0, 255]),
        ({"scale": [3, 3]}, [255, 255, 255]),
        ({"rotation": np.pi / 2}, [0, 0, 255]),  # (0.25, 0.25) → (0.25, −0.25), which repeats at 0.75
    ],
)
def test_transforms_of_textures_are_applied(tmp_path: Path, transform: dict, expected: list[int]) -> None:
    assert colors(textured(tmp_path, transform, np.full((8, 2), 0.25, "<f4"), 5126)) == [expected]
    quantized = np.full((8, 2), 16384, "<u2")
    assert colors(textured(tmp_path, transform, quantized, 5123, normalized=True)) == [expected]


@pytest.mark.parametrize("component", [5126, 5123, 5121])
def test_linear_colors_become_srgb(tmp_path: Path, component: int) -> None:
    model = Gltf()
    linear = np.tile([0.5, 0.0, 1.0], (8, 1))
    kind, top = {5126: ("<f4", 1.0), 5123: ("<u2", 65535), 5121: ("<u1", 255)}[component]
    stored = linear if component == 5126 else (linear * top).round()
    model.attributes["COLOR_0"] = model.add(stored.astype(kind), component, "VEC3", normalized=True)
    assert np.abs(np.array(colors(model.write(tmp_path / "a.gltf"))) - [188, 0, 255]).max() <= 1
    model.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": [1, 1, 0.5, 1]}}]
    model.primitive["material"] = 0
    assert np.abs(np.array(colors(model.write(tmp_path / "a.gltf"))) - [188, 0, 188]).max() <= 1


def test_srgb_is_that_of_the_standard() -> None:
    np.testing.assert_allclose(
        srgb(np.array([0.0, 0.0031308, 0.2140, 0.5, 1.0])), [0, 0.04045, 0.5, 0.7354, 1], atol=1e-4
    )


def test_fans_and_sparse_positions(tmp_path: Path) -> None:
    model = Gltf()
    model.primitive["mode"] = 6
    model.primitive["indices"] = model.add(np.array([0, 1, 2, 3], "<u2"), 5123, "SCALAR")
    indices = {"bufferView": model.view(np.array([2], "<u2").tobytes()), "componentType": 5123}
    values = {"bufferView": model.view(np.array([[3, 1, 0]], "<f4").tobytes())}
    model.accessors[0]["sparse"] = {"count": 1, "indices": indices, "values": values}
    assert load_mesh(model.write(tmp_path / "a.gltf")).area == pytest.approx(2.0)  # a trapezoid of sides 1 and 3


def test_compressed_geometry_names_its_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    model = Gltf()
    del model.accessors[0]["bufferView"]
    model.primitive["extensions"] = {"KHR_draco_mesh_compression": {"bufferView": 0, "attributes": {"POSITION": 0}}}
    with pytest.raises(ValueError, match=r"Draco.*a\.gltf.*pip install DracoPy"):
        load_mesh(model.write(tmp_path / "a.gltf"))
    for unknown in ("EXT_meshopt_compression", "KHR_no_such_thing"):
        model = Gltf()
        model.tree["extensionsRequired"] = [unknown]
        with pytest.raises(ValueError, match=f"{unknown} required"):
            load_mesh(model.write(tmp_path / "a.gltf"))
    model = Gltf()
    model.tree["extensionsRequired"] = ["KHR_texture_transform", "KHR_materials_unlit"]
    assert len(load_mesh(model.write(tmp_path / "a.gltf")).faces)


def test_a_glb_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = trimesh.creation.box().export(file_type="glb")
    with pytest.raises(ValueError, match=rf"found {len(whole) - 9} bytes in a.glb \(GLB\), expected {len(whole)}"):
        load_mesh(write(tmp_path / "a.glb", whole[:-9]))


def test_vertex_colors_stay_beside_a_textured_part(tmp_path: Path) -> None:
    scene = trimesh.Scene()
    plain = trimesh.creation.box()
    plain.visual.vertex_colors = np.tile([0, 255, 0, 255], (8, 1))
    half = trimesh.creation.box()
    image = Image.fromarray(np.full((2, 2, 3), 70, dtype=np.uint8))
    half.visual = TextureVisuals(uv=np.zeros((8, 2)), material=PBRMaterial(baseColorTexture=image))
    scene.add_geometry(plain)
    scene.add_geometry(half, transform=trimesh.transformations.translation_matrix([3, 0, 0]))
    scene.export(tmp_path / "a.glb")
    assert colors(tmp_path / "a.glb") == [[0, 255, 0], [70, 70, 70]]

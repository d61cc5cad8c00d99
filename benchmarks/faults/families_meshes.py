"""Cases on meshes: eight formats with the files that they refer to, and folders of them."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path

from benchmarks.faults import inputs_objects as valid
from benchmarks.faults.damage import Damage, fifo, link, text
from benchmarks.faults.damage_trees import deep_json
from benchmarks.faults.family import Family

RENDER = "render in/m out --views 1 --size 16 --points 16 --jobs 1"
CORNERS = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
FACES = "3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n"


def _off(counts: str, corners: str = CORNERS, faces: str = FACES, name: str = "") -> Damage:
    return text("in/m/bad.off", f"OFF\n{counts}\n{corners}{faces}", "refused", name or f"counts {counts}")


def _gltf(name: str, **changes: object) -> Damage:
    """Keys of a glTF file replaced; a key with dots leads down."""

    def change(folder: Path) -> None:
        path = folder / "in" / "m" / "bad.gltf"
        tree = json.loads(path.read_text())
        for key, value in changes.items():
            holder, *way = tree, *key.split("__")
            for step in way[:-1]:
                holder = holder[int(step) if step.isdigit() else step]
            holder[int(way[-1]) if way[-1].isdigit() else way[-1]] = value
        path.write_text(json.dumps(tree))

    return Damage(f"glTF: {name}", "refused", change)


def _glb(name: str, tree: dict[str, object], announced: int | None = None) -> Damage:
    body = json.dumps(tree).encode()
    body += b" " * (-len(body) % 4)
    length = len(body) if announced is None else announced
    head = struct.pack("<4sII", b"glTF", 2, 20 + len(body)) + struct.pack("<I4s", length, b"JSON")
    return text("in/m/bad.glb", head + body, "refused", name)


def _accessor(count: int) -> dict[str, object]:
    position = {"componentType": 5126, "type": "VEC3", "count": count, "min": [0, 0, 0], "max": [1, 1, 1]}
    mesh = {"primitives": [{"attributes": {"POSITION": 0}, "mode": 4}]}
    return {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [mesh],
        "accessors": [position],
    }


def large_png(side: int) -> bytes:
    """A PNG of one color that takes side² × 3 bytes once it is unpacked."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + 3 * side)) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


EPS = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch {case}/canary) (w) file\n"
PLY = (
    "ply\nformat ascii 1.0\nelement vertex {n}\nproperty float x\nproperty float y\nproperty float z\n"
    "element face 4\nproperty list uchar int vertex_indices\nend_header\n" + CORNERS + FACES
)


def _links(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / "in" / "m" / name).symlink_to(".")


def _large_texture(folder: Path) -> None:
    for path in (folder / "in" / "m").glob("*.png"):
        path.write_bytes(large_png(20_000))


def _odd_names(folder: Path) -> None:
    good = folder / "in" / "m" / "good.off"
    for name in ("new\nline", "semi;colon $(touch canary)", "ü" * 100, "..off", "-v"):
        (good.parent / f"{name}.off").write_bytes(good.read_bytes())
    os.mkdir(good.parent / "folder.off")


CRAFTED: dict[str, tuple[Damage, ...]] = {
    "off": (
        _off("4 1000000000 0"),
        _off("1000000000 4 0"),
        _off("4 4 0", faces=FACES[:16], name="half of the faces"),
        _off("4 4 0", faces=FACES.replace("3 0 1 2", "3 0 1 9"), name="a corner that is not there"),
        _off("4 4 0", faces=FACES.replace("3 0 1 2", "3 0 1 -1"), name="corner −1"),
        _off("4 4 0", corners=CORNERS.replace("1 0 0", "nan 0 0"), name="a NaN"),
        _off("-4 4 0"),
        _off("4"),
        text("in/m/bad.off", "OFF\nnonsense"),
        text("in/m/bad.off", ""),
        text("in/m/bad.off", bytes(1000), name="zeros"),
        link("in/m/bad.off", "/nowhere/at/all.off"),
        fifo("in/m/bad.off"),
        link("in/m/bad.off", "bad.off"),
        Damage("two links to the folder itself", "any", _links),
        Damage("odd names of files", "any", _odd_names),
    ),
    "obj": (
        fifo("in/m/material.mtl"),
        text("in/m/bad.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", name="corner 9 of 3"),
        text("in/m/bad.obj", "v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", name="two coordinates"),
        text("in/m/bad.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", name="corner 0"),
        text("in/m/bad.obj", "v nan 0 0\nv inf 0 0\nv 0 1 0\nf 1 2 3\n", name="NaN"),
        text("in/m/bad.obj", "v 0 0 0\n" * 3 + "f 1 2 3\n", name="no area"),
        text(
            "in/m/material.mtl", "newmtl material_0\nmap_Kd ../../../../etc/passwd\n", "any", "another file as texture"
        ),
        text("in/m/material.mtl", "newmtl material_0\nmap_Kd {case}/elsewhere.png\n", "any", "an absolute texture"),
        text("in/m/material.mtl", "newmtl material_0\nKd nan 1e400 -7\nd 5\n", "any", "colors out of range"),
        Damage("texture of 20,000² pixels", "any", _large_texture),
        text("in/m/material_0.png", EPS, "any", "an EPS with code"),
    ),
    "ply": (
        text("in/m/bad.ply", PLY.format(n=10**9), name="10⁹ vertices"),
        text("in/m/bad.ply", PLY.format(n=-4), name="−4 vertices"),
        text("in/m/bad.ply", PLY.format(n=3), name="3 of 4 vertices"),
        text("in/m/bad.ply", PLY.format(n="four"), name="four"),
        text("in/m/bad.ply", PLY.format(n=4).replace("float x", "quad x"), name="an unknown type"),
        text("in/m/bad.ply", PLY.format(n=4)[:-20], name="half of the faces"),
        text("in/m/bad.ply", "ply\nformat binary_little_endian 1.0\n", name="the head alone"),
    ),
    "stl": (
        text("in/m/bad.stl", bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(50), name="2³² faces"),
        text("in/m/bad.stl", bytes(80) + struct.pack("<I", 3) + bytes(50), name="one of 3 faces"),
        text("in/m/bad.stl", "solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\n", name="cut off"),
        text(
            "in/m/bad.stl",
            bytes(80) + struct.pack("<I", 1) + struct.pack("<12f", *[float("nan")] * 12) + b"\0\0",
            name="NaN",
        ),
    ),
    "gltf": (
        _gltf("10¹² values", accessors__0__count=10**12),
        _gltf("−1 values", accessors__0__count=-1),
        _gltf("a buffer outside", buffers__0__uri="../../../../../etc/passwd"),
        _gltf("a length of −1", bufferViews__0__byteLength=-1),
        _gltf("an offset of 10¹⁵", bufferViews__0__byteOffset=10**15),
        _gltf("a node in itself", nodes__0__children=[0]),
        _gltf("no mesh", meshes=[]),
        _gltf("a broken data URI", buffers__0__uri="data:application/octet-stream;base64,%%%"),
        _gltf("an extension", extensionsRequired=["KHR_no_such_thing"]),
        text("in/m/bad.gltf", deep_json("meshes"), name="deep"),
    ),
    "glb": (
        _glb("10¹² values without a view", _accessor(10**12)),
        _glb("2·10⁸ values without a view", _accessor(2 * 10**8)),
        _glb("a chunk of 2³² bytes", _accessor(3), 2**32 - 1),
        text("in/m/bad.glb", b"glTF" + struct.pack("<II", 3, 12), name="version 3"),
        text("in/m/bad.glb", b"glTF", name="four bytes"),
        _glb("no scene", {"asset": {"version": "2.0"}}),
    ),
}

MESHES = [
    Family(
        "meshes",
        f"mesh-{kind}",
        lambda folder, kind=kind: valid.write_mesh(folder / "m", kind),
        RENDER,
        ("in/m/bad*", "in/m/mat*", "in/m/*.bin", "in/m/*.png"),
        CRAFTED.get(kind, ()),
    )
    for kind in ("obj", "off", "ply", "ply-ascii", "stl", "stl-ascii", "gltf", "glb")
]

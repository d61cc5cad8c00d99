"""Stanford PLY (Turk 1994, http://paulbourke.net/dataformats/ply/): polygons of any size, and colors wherever they are.

trimesh refuses binary files that mix triangles with quads (https://github.com/mikedh/trimesh/issues/1911), and returns
the first faces of a text file that is cut off.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual.material import MultiMaterial, SimpleMaterial
from trimesh.visual.texture import TextureVisuals

from crosspoint.renderers.companions import Companions
from crosspoint.renderers.polygons import fan

TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip

COLORS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
COORDINATES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"), ("tex_u", "tex_v"))
INDICES = ("vertex_indices", "vertex_index", "vertices")


@dataclass
class Element:
    """One element of the header."""

    name: str
    count: int
    properties: list[tuple[str, str, str | None]] = field(default_factory=list)  # name, type, type of a list's length


def read_ply(content: bytes, files: Companions) -> trimesh.Trimesh:
    """The surface of a PLY, with texture, or the colors of its vertices, or those of its faces.

    Raises:
        ValueError: if it is cut off or damaged, with the place, or has no surface.
    """
    name = files.file_name
    order, elements, textures, start = _header(content, name)
    read = _Text(content[start:], name) if order is None else _Binary(content[start:], order, name)
    data = {element.name: read.element(element) for element in elements}
    vertex, face = data.get("vertex", {}), data.get("face", {})
    if not all(axis in vertex for axis in "xyz"):
        raise ValueError(f"found no x, y, z of vertices in the header of {name} (PLY), expected them: it is no mesh")
    indices = next((face[key] for key in INDICES if key in face), None)
    if indices is None or len(indices) == 0:
        kind = "triangle strips" if "tristrips" in data else "vertices alone"
        raise ValueError(f"found no triangle in {name} (PLY: {kind}), expected faces: it cannot be rendered")
    points = np.stack([np.asarray(vertex[axis], dtype=np.float64) for axis in "xyz"], axis=1)
    triangles, of, corner = _triangles(indices)
    if len(triangles) and (triangles.min() < 0 or triangles.max() >= len(points)):
        wrong = int(triangles.max() if triangles.max() >= len(points) else triangles.min())
        raise ValueError(
            f"found faces of {name} (PLY) that use vertex {wrong}, expected missing vertices nowhere, but "
            f"0…{len(points) - 1}: the file is damaged"
        )
    visual = _texture(vertex, face, triangles, of, corner, textures, files)
    if visual is not None:
        uv, material, face_materials = visual
        made = TextureVisuals(uv=uv, material=material, face_materials=face_materials)
        if len(uv) == len(points):
            return trimesh.Trimesh(points, triangles, visual=made, process=False)
        split = np.arange(3 * len(triangles)).reshape(-1, 3)
        return trimesh.Trimesh(points[triangles.reshape(-1)], split, visual=made, process=False)
    mesh = trimesh.Trimesh(points, triangles, process=False)
    if (colors := _colors(vertex)) is not None:
        mesh.visual.vertex_colors = colors  # type: ignore[union-attr]
    elif (colors := _colors(face)) is not None:
        mesh.visual.face_colors = colors[of]  # type: ignore[union-attr]
    return mesh


def _header(content: bytes, name: str) -> tuple[str | None, list[Element], list[str], int]:
    """Byte order (None for text), elements, names of textures, and where the data begin."""
    end = content.find(b"end_header")
    if not content.startswith(b"ply") or end < 0:
        what = "no end_header" if content.startswith(b"ply") else "no header"
        raise ValueError(f"found {what} in {name}, expected that of a PLY: the file is damaged or something else")
    begin = content.index(b"\n", end) + 1 if b"\n" in content[end:] else len(content)
    order: str | None = "?"
    elements: list[Element] = []
    textures: list[str] = []
    for line in content[:end].decode("utf-8", "replace").splitlines():
        words = line.split()
        match words:
            case ["format", kind, *_]:
                order = {"ascii": None, "binary_little_endian": "<", "binary_big_endian": ">"}.get(kind, "?")
            case ["element", element, count]:
                if int(count) < 0:
                    raise ValueError(f"found {count} of {element} in {name} (PLY), expected 0 or more: it is damaged")
                elements.append(Element(element, int(count)))
            case ["property", "list", length, kind, prop] if kind in TYPES and length in TYPES and elements:
                elements[-1].properties.append((prop, TYPES[kind], TYPES[length]))
            case ["property", kind, prop] if kind in TYPES and elements:
                elements[-1].properties.append((prop, TYPES[kind], None))
            case ["property", *_]:
                raise ValueError(f"found {line.strip()!r} in the header of {name} (PLY), expected a known type")
            case ["comment", keyword, *rest] if keyword.lower() == "texturefile":
                textures.append(" ".join(rest))
    if order == "?":
        raise ValueError(f"found no known format in the header of {name} (PLY), expected ascii or binary")
    return order, elements, textures, begin


class _Text:
    """Data of a text PLY: a line an entry."""

    def __init__(self, content: bytes, name: str) -> None:
        self.lines = [line for line in content.decode("utf-8", "replace").splitlines() if line.strip()]
        self.name, self.at = name, 0

    def element(self, element: Element) -> dict[str, Any]:
        lines = self.lines[self.at : self.at + element.count]
        self.at += len(lines)
        if len(lines) < element.count:
            raise ValueError(_cut(self.name, element, len(lines)))
        names = [name for name, _, _ in element.properties]
        if not any(length for _, _, length in element.properties):
            table = np.array([self._numbers(line, element, i, len(names)) for i, line in enumerate(lines)])
            columns = zip(element.properties, table.reshape(-1, len(names)).T, strict=True)
            return {name: column.astype(kind) for (name, kind, _), column in columns}
        found: dict[str, list[Any]] = {name: [] for name in names}
        for i, line in enumerate(lines):
            words = iter(line.split())
            try:
                for name, _, length in element.properties:
                    if length is None:
                        found[name].append(float(next(words)))
                    else:
                        found[name].append([float(next(words)) for _ in range(int(next(words)))])
            except (StopIteration, ValueError):
                raise ValueError(_cut(self.name, element, i)) from None
        return {
            name: values if length else np.array(values).astype(kind)
            for (name, kind, length), values in zip(element.properties, found.values(), strict=True)
        }

    def _numbers(self, line: str, element: Element, index: int, count: int) -> list[float]:
        words = line.split()
        try:
            if len(words) >= count:
                return [float(word) for word in words[:count]]
        except ValueError:
            pass
        raise ValueError(_cut(self.name, element, index))


class _Binary:
    """Data of a binary PLY."""

    def __init__(self, content: bytes, order: str, name: str) -> None:
        self.content, self.order, self.name, self.at = content, order, name, 0

    def element(self, element: Element) -> dict[str, Any]:
        if element.count == 0:
            return {name: [] for name, _, _ in element.properties}
        fast = self._uniform(element)
        return self._one_by_one(element) if fast is None else fast

    def _uniform(self, element: Element) -> dict[str, Any] | None:
        """All entries at once, where every list is as long as that of the first; None otherwise."""
        fields: list[Any] = []
        place = self.at
        for name, kind, length in element.properties:
            size = 1
            if length is not None:
                size = self._length(place, length, element)
                fields.append((f"{name} length", self.order + length))
                place += np.dtype(length).itemsize
            fields.append((name, self.order + kind, (size,)) if length else (name, self.order + kind))
            place += size * np.dtype(kind).itemsize
        kind_of_row = np.dtype(fields)
        end = self.at + kind_of_row.itemsize * element.count
        lists = [name for name, _, length in element.properties if length]
        if end > len(self.content):
            if lists:
                return None
            raise ValueError(_cut(self.name, element, (len(self.content) - self.at) // kind_of_row.itemsize))
        rows = np.frombuffer(self.content, kind_of_row, element.count, self.at)
        if any((rows[f"{name} length"] != rows[f"{name} length"][0]).any() for name in lists):
            return None
        self.at = end
        return {name: rows[name] for name, _, _ in element.properties}

    def _length(self, place: int, length: str, element: Element) -> int:
        size = np.dtype(length).itemsize
        if place + size > len(self.content):
            raise ValueError(_cut(self.name, element, 0))
        return int(np.frombuffer(self.content, self.order + length, 1, place)[0])

    def _one_by_one(self, element: Element) -> dict[str, Any]:
        found: dict[str, list[Any]] = {name: [] for name, _, _ in element.properties}
        place = self.at
        for i in range(element.count):
            for name, kind, length in element.properties:
                count = 1
                if length is not None:
                    if place + np.dtype(length).itemsize > len(self.content):
                        raise ValueError(_cut(self.name, element, i))
                    count = int(np.frombuffer(self.content, self.order + length, 1, place)[0])
                    place += np.dtype(length).itemsize
                end = place + count * np.dtype(kind).itemsize
                if count < 0 or end > len(self.content):
                    raise ValueError(_cut(self.name, element, i))
                values = np.frombuffer(self.content, self.order + kind, count, place)
                found[name].append(values if length else values[0])
                place = end
        self.at = place
        return {name: found[name] if length else np.array(found[name]) for name, _, length in element.properties}


def _cut(name: str, element: Element, index: int) -> str:
    return (
        f"found the end of {name} (PLY) or damaged data at {element.name} {index}, expected {element.count} of them: "
        "the file is cut off or damaged, fetch or export it again"
    )


def _triangles(indices: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles (T, 3), the face (T,) of each, and which of its face's corners (T, 3) they take."""
    if isinstance(indices, np.ndarray) and indices.ndim == 2 and indices.shape[1] == 3:
        count = len(indices)
        return indices.astype(np.int64), np.arange(count), np.tile(np.arange(3), (count, 1))
    polygons = [[int(index) for index in polygon] for polygon in indices]
    triangles, of = fan(polygons)
    corner, _ = fan([range(len(polygon)) for polygon in polygons])
    return triangles, of, corner


def _colors(values: dict[str, Any]) -> np.ndarray | None:
    """Colors (n, 4) uint8 of an element: whole numbers by the range of their type, others 0…1 or, if above, 0…255."""
    names = next((names for names in COLORS if all(name in values for name in names)), None)
    if names is None:
        return None
    rgb = np.stack([np.asarray(values[name]) for name in names], axis=1)
    whole, rgb = rgb.dtype.kind in "iu", np.asarray(rgb, dtype=np.float64)
    top = rgb.max(initial=0.0)
    if top > 255.0:
        rgb = rgb / 257.0  # 65535 → 255
    elif not whole and top <= 1.0:
        rgb = rgb * 255.0
    rgba = np.full((len(rgb), 4), 255, dtype=np.uint8)
    rgba[:, :3] = np.nan_to_num(rgb).round().clip(0, 255)
    return rgba


def _texture(
    vertex: dict[str, Any],
    face: dict[str, Any],
    triangles: np.ndarray,
    of: np.ndarray,
    corner: np.ndarray,
    names: list[str],
    files: Companions,
) -> tuple[np.ndarray, Any, np.ndarray | None] | None:
    """Coordinates of vertices (V, 2) or of corners (3 T, 2), material and material of each triangle; None without."""
    pair = next((pair for pair in COORDINATES if all(name in vertex for name in pair)), None)
    if not names or (pair is None and "texcoord" not in face):
        return None
    images = []
    for name in names:
        try:
            image = Image.open(io.BytesIO(files.get(name)))
            image.load()
        except (OSError, SyntaxError, ValueError):
            files.miss(name)
            image = None
        images.append(image)
    if not any(images):
        return None
    if "texcoord" in face:
        flat = [np.asarray(values, dtype=np.float64).reshape(-1, 2) for values in face["texcoord"]]
        if any(len(flat[f]) <= c.max() for f, c in zip(of, corner, strict=True)):
            return None
        uv = np.concatenate([flat[f][c] for f, c in zip(of, corner, strict=True)])
    else:
        assert pair is not None
        uv = np.stack([np.asarray(vertex[name], dtype=np.float64) for name in pair], axis=1)
    if len(images) == 1:
        return uv, SimpleMaterial(image=images[0]), None
    numbers = np.asarray(face.get("texnumber", np.zeros(len(of))), dtype=np.int64)[of] if "texnumber" in face else None
    of_face = np.zeros(len(of), dtype=np.int64) if numbers is None else numbers.clip(0, len(images) - 1)
    return uv, MultiMaterial([SimpleMaterial(image=image) for image in images]), of_face

"""Object File Format (http://www.geomview.org/docs/html/OFF.html): text, with colors of vertices and faces."""

from __future__ import annotations

import re

import numpy as np
import trimesh
from trimesh.util import decode_text

from crosspoint.renderers.polygons import fan

HEADER = re.compile(r"(ST)?(C)?(N)?(4)?(n)?OFF", re.IGNORECASE)


def read_off(content: bytes, name: str) -> trimesh.Trimesh:
    """A mesh of OFF's text, with its vertex colors, or else its face colors.

    Raises:
        ValueError: if it is binary, of other than three dimensions, cut off or not OFF, with the line.
    """
    lines = [(number, line.split("#")[0].split()) for number, line in enumerate(_lines(content), 1)]
    lines = [(number, words) for number, words in lines if words]
    header = HEADER.match(lines[0][1][0]) if lines else None
    if header is None:
        raise ValueError(f"found no OFF header in {name}, expected OFF in its first line: it is no OFF file")
    if header[4] or header[5]:
        raise ValueError(f"found the header {lines[0][1][0]} in {name}, expected three dimensions: convert it")
    rest = lines[0][1][0][header.end() :]
    words = ([rest] if rest else []) + lines[0][1][1:]
    if words and words[0].upper() == "BINARY":
        raise ValueError(f"found binary OFF in {name}, expected text: convert it, for example with meshlab")
    if words:  # counts in the line of the header, as in some files of ModelNet
        lines[0] = (lines[0][0], words)
    else:
        lines = lines[1:]
    if not lines:
        raise ValueError(f"found no counts in {name} (OFF), expected vertices, faces and edges: it is cut off")
    vertices, faces = _integers(lines[0], name)[:2] if len(lines[0][1]) > 1 else (-1, -1)
    if vertices < 0 or faces < 0:
        raise ValueError(f"found {' '.join(lines[0][1])!r} in line {lines[0][0]} of {name} (OFF), expected its counts")
    if len(lines) - 1 < vertices + faces:
        raise ValueError(
            f"found {len(lines) - 1} lines after the counts of {name} (OFF), expected {vertices} vertices and {faces} "
            "faces: the file is cut off, fetch or export it again"
        )
    points, colors = _vertices(lines[1 : 1 + vertices], header, name)
    polygons, tints = _faces(lines[1 + vertices : 1 + vertices + faces], vertices, name)
    triangles, of = fan(polygons)
    mesh = trimesh.Trimesh(points, triangles, process=False)
    if colors is not None and len(of):
        mesh.visual.vertex_colors = colors  # type: ignore[union-attr]
    elif tints is not None and len(of):
        mesh.visual.face_colors = tints[of]  # type: ignore[union-attr]
    return mesh


def _lines(content: bytes) -> list[str]:
    return str(decode_text(content)).lstrip("\ufeff").splitlines()


def _integers(line: tuple[int, list[str]], name: str) -> list[int]:
    try:
        return [int(word) for word in line[1]]
    except ValueError:
        raise ValueError(
            f"found {' '.join(line[1])!r} in line {line[0]} of {name} (OFF), expected whole numbers"
        ) from None


def _vertices(
    lines: list[tuple[int, list[str]]], header: re.Match[str], name: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Points (V, 3), and colors (V, 4) uint8 where there are any."""
    rows = []
    for number, words in lines:
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) < 3:
            raise ValueError(f"found {' '.join(words)!r} in line {number} of {name} (OFF), expected a vertex")
        rows.append(row)
    points = np.array([row[:3] for row in rows], dtype=np.float64).reshape(-1, 3)
    start = 6 if header[3] else 3
    widths = {len(row) for row in rows}
    width = widths.pop() - start - (2 if header[1] else 0) if len(widths) == 1 else 0
    # A plain OFF with three more numbers has colors as well: several exporters leave the C out.
    if width < 3 or not (header[2] or width in (3, 4)):
        return points, None
    whole = all(re.fullmatch(r"\d+", word) for _, words in lines for word in words[start : start + 3])
    return points, _rgba(np.array([row[start : start + min(width, 4)] for row in rows]), whole)


def _faces(lines: list[tuple[int, list[str]]], vertices: int, name: str) -> tuple[list[list[int]], np.ndarray | None]:
    """Polygons, and their colors (F, 4) uint8 where any has one; light gray for one that has none."""
    polygons, found = [], {}
    for place, (number, words) in enumerate(lines):
        try:
            count = int(words[0])
            polygon = [int(word) for word in words[1 : 1 + count]]
        except ValueError:
            count, polygon = -1, []
        if count < 0 or len(polygon) != count:
            raise ValueError(
                f"found {' '.join(words)!r} in line {number} of {name} (OFF), expected a face: the file is "
                "damaged or cut"
            )
        if polygon and (min(polygon) < 0 or max(polygon) >= vertices):
            raise ValueError(
                f"found vertex {max(polygon)} in line {number} of {name} (OFF), expected missing vertices nowhere, "
                f"but 0…{vertices - 1}: the file is damaged"
            )
        polygons.append(polygon)
        if len(words) - 1 - count in (3, 4):
            found[place] = words[1 + count :]
    if not found:
        return polygons, None
    tints = np.full((len(polygons), 4), (204, 204, 204, 255), dtype=np.uint8)
    for place, words in found.items():
        values = np.array([[float(word) for word in words]])
        tints[place] = _rgba(values, all(re.fullmatch(r"\d+", word) for word in words[:3]))[0]
    return polygons, tints


def _rgba(values: np.ndarray, whole: bool) -> np.ndarray:
    """Colors (n, 3 or 4), 0…255 if whole, otherwise 0…1 → (n, 4) uint8."""
    scaled = values[:, :3] if whole or values[:, :3].max(initial=0.0) > 1.0 else values[:, :3] * 255.0
    rgba = np.full((len(values), 4), 255, dtype=np.uint8)
    rgba[:, :3] = scaled.round().clip(0, 255)
    return rgba

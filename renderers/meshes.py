"""Meshes from files: loaded whole, checked, turned y up and scaled into the unit sphere, sampled."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import trimesh

from crosspoint.renderers.appearance import Appearance
from crosspoint.renderers.files import regular_file
from crosspoint.renderers.mesh_files import read_parts
from crosspoint.renderers.parts import join

UpAxis = Literal["x", "y", "z"]

TO_Y_UP = {
    "x": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    "y": np.eye(3),
    "z": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
}


def load_mesh(path: str | Path, root: str | Path | None = None) -> trimesh.Trimesh:
    """Load a mesh of any format that trimesh reads (OFF, OBJ, PLY, STL, GLB, …) as one checked `Trimesh`.

    A scene is flattened. Textures, materials and vertex or face colors are kept: with several materials the visual
    is a `TextureVisuals` of a `MultiMaterial`, whose `face_materials` (F,) number the material of each face.
    Vertices are left as they are in the file, duplicates included.

    Args:
        path: the file.
        root: folder that its textures and materials may lie in, at any depth; nothing outside of it is read. By
            default the mesh's own folder, or the one above where that is called models, meshes or the like. What
            could not be found is listed in `mesh.metadata["not_found"]`, and a warning says so.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the mesh cannot be used, see `check`.
    """
    mesh = read_mesh(path, root)
    if mesh.metadata["not_found"]:
        names = ", ".join(mesh.metadata["not_found"])
        warnings.warn(f"found no {names}, expected what {Path(path).name} names: it lacks their colors", stacklevel=2)
    return mesh


def read_mesh(path: str | Path, root: str | Path | None = None) -> trimesh.Trimesh:
    """The same without a warning: what was not found is in `mesh.metadata["not_found"]` alone."""
    path = Path(path)
    regular_file(path, "a mesh")
    parts, not_found = read_parts(path, root)
    if not parts:
        raise ValueError(f"found no triangle in {path.name}, expected a surface: it cannot be rendered")
    mesh = parts[0] if len(parts) == 1 else join(parts)
    mesh.metadata["not_found"] = not_found
    check(mesh, path.name)
    return mesh


def check(mesh: trimesh.Trimesh, name: str = "the mesh") -> None:
    """Make sure that a mesh has a surface that can be seen and sampled.

    Raises:
        ValueError: if it is empty, uses vertices that do not exist, that are NaN or infinite, or has no area.
    """
    if len(mesh.faces) == 0 or len(mesh.vertices) == 0:
        raise ValueError(f"found no triangle in {name}, expected a surface: it cannot be rendered")
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
        raise ValueError(f"found faces of {name} that use missing vertices, expected 0…{len(mesh.vertices) - 1}")
    corners = mesh.vertices[mesh.faces].view(np.ndarray)
    if not np.isfinite(corners).all():
        raise ValueError(f"found NaN or infinite vertices in {name}, expected finite ones: repair the file")
    extent = float(np.ptp(corners, axis=(0, 1)).max())
    # Relative to the size, so that neither tiny nor huge units decide; NaN (0 / 0) fails the comparison, too.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        area = _face_areas((corners - corners[0, 0]) / extent).sum()
    if not (np.isfinite(extent) and area > 1e-12):
        raise ValueError(f"found zero surface area in {name}, expected a surface: it cannot be rendered")


def normalizing_transform(mesh: trimesh.Trimesh, up_axis: UpAxis = "y") -> np.ndarray:
    """The similarity (4, 4) that turns `up_axis` to y, moves the bounding box's center to 0 and the radius to 1.

    Raises:
        ValueError: if the axis is unknown.
    """
    if up_axis not in TO_Y_UP:
        raise ValueError(f"found the up axis {up_axis!r}, expected one of {', '.join(TO_Y_UP)}")
    used = mesh.vertices.view(np.ndarray)[np.unique(mesh.faces)]
    center = (used.min(axis=0) + used.max(axis=0)) / 2
    scale = 1.0 / np.sqrt(((used - center) ** 2).sum(axis=1).max())
    transform = np.eye(4)
    transform[:3, :3] = scale * TO_Y_UP[up_axis]
    transform[:3, 3] = -transform[:3, :3] @ center
    return transform


def normalize(mesh: trimesh.Trimesh, up_axis: UpAxis = "y") -> trimesh.Trimesh:
    """A copy in the frame of the toolkit: y up, bounding box centered on the origin, in the unit sphere."""
    transform = normalizing_transform(mesh, up_axis)
    moved = mesh.copy(include_cache=False)
    # Not a matrix product, whose rounding may depend on the number of threads.
    moved.vertices = np.einsum("nd,ed->ne", mesh.vertices, transform[:3, :3]) + transform[:3, 3]
    return moved


class SurfaceSample(NamedTuple):
    """Points drawn from a mesh's surface."""

    points: np.ndarray  # (N, 3) float32
    normals: np.ndarray  # (N, 3) float32, of the faces as they are wound in the file
    faces: np.ndarray  # (N,) int64
    colors: np.ndarray | None  # (N, 3) uint8, None where the mesh has none


def sample_surface(mesh: trimesh.Trimesh, n: int, seed: int | np.random.Generator = 0) -> SurfaceSample:
    """Draw `n` points uniformly by area.

    Raises:
        ValueError: if `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"found {n} points to sample, expected at least one")
    generator = np.random.default_rng(seed)
    corners = mesh.vertices.view(np.ndarray)[mesh.faces]
    cumulative = np.cumsum(_face_areas(corners))
    faces = np.searchsorted(cumulative, generator.uniform(0.0, cumulative[-1], n), side="right")
    root, v = np.sqrt(generator.uniform(size=n)), generator.uniform(size=n)  # uniform over a triangle (Osada 2002)
    weights = np.stack([1.0 - root, root * (1.0 - v), root * v], axis=1)
    picked = corners[faces]
    points = np.einsum("nc,ncd->nd", weights, picked)
    normals = np.cross(picked[:, 1] - picked[:, 0], picked[:, 2] - picked[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colors = Appearance.of(mesh).sampled_colors(faces, weights)
    return SurfaceSample(points.astype(np.float32), normals.astype(np.float32), faces, colors)


def _face_areas(corners: np.ndarray) -> np.ndarray:
    """Areas (F,) of triangles (F, 3, 3)."""
    return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2

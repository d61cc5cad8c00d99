"""The cloud of an object in any file that people have: a mesh, of which points are sampled, or points alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import trimesh

from crosspoint.datasets.cloud_files import read_fields, read_named
from crosspoint.datasets.field_columns import as_shares, missing_fields, unnamed_fields
from crosspoint.fields import Field, channels_of
from crosspoint.renderers import load_mesh, sample_surface
from crosspoint.renderers.mesh_tree import mesh_suffixes
from crosspoint.renderers.meshes import SurfaceSample

TEXT = (".xyz", ".txt", ".pts", ".csv")
POINTS = (".npy", ".npz", *TEXT, ".pcd", ".las", ".laz")
NAMES = ("points", "xyz", "data", "pc", "cloud", "pointcloud", "arr_0")  # of the cloud in an archive of numpy
WIDEST = 9  # columns of text that are read: x y z, a normal and a color
HEAD = 4096  # bytes in which a PLY says whether it has faces


def cloud_suffixes() -> set[str]:
    """Suffixes of the files that `read_cloud` reads."""
    return {*POINTS, *mesh_suffixes()}


def is_mesh(path: Path) -> bool:
    """Whether `read_cloud` samples the surface of a file."""
    suffix = path.suffix.lower()
    return suffix in mesh_suffixes() and suffix not in POINTS and (suffix != ".ply" or _has_faces(path))


def read_cloud(path: Path, points: int, name: str, fields: Sequence[Field] = ()) -> np.ndarray:
    """The cloud of a file.

    Args:
        path: a mesh, or points: .npy and .npz of numpy, rows of text, .ply without faces, and .pcd, .las and .laz with
            the packages that read them.
        points: sampled on the surface of a mesh; clouds come as they are.
        name: decides the sample, so that it does not hang on the order of files.
        fields: normals, colors: of the mesh's surface, of named fields, or of the columns behind x y z.

    Returns:
        (N, 3 + 3 F) float32.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if the package that reads it is not installed.
        ValueError: if it is damaged, empty, lacks a field, or holds something else.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise FileNotFoundError(f"found no file {path}, expected a mesh or a cloud: check the path")
    if (suffix == ".ply" and not _has_faces(path)) or suffix in (".npy", ".pcd", ".las", ".laz"):
        cloud = read_fields(path, fields) if fields else read_named(path)
    elif suffix == ".npz":
        cloud = _whole(path, _archive)
    elif suffix in TEXT:
        cloud = _whole(path, partial(_text, columns=WIDEST if fields else 3))
    elif suffix in mesh_suffixes():
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        mesh: trimesh.Trimesh = load_mesh(path)
        return surface_cloud(sample_surface(mesh, points, seed), fields, path)
    else:
        raise ValueError(f"found {path}, expected a mesh or one of {', '.join(POINTS)}: convert it")
    if cloud.ndim != 2 or cloud.shape[1] < 3 or len(cloud) == 0:
        raise ValueError(f"found numbers of shape {cloud.shape} in {path}, expected a cloud (N, 3): a file for each")
    if fields and suffix in (".npz", *TEXT):
        cloud = np.concatenate([cloud[:, :3], unnamed_fields(cloud[:, 3:], fields, path)], axis=1)
    cloud = np.ascontiguousarray(cloud[:, : channels_of(fields)], dtype=np.float32)
    if not np.isfinite(cloud).all():
        raise ValueError(f"found NaN or infinite numbers in {path}, expected finite ones: remove those points")
    return cloud


def surface_cloud(sample: SurfaceSample, fields: Sequence[Field], where: object) -> np.ndarray:
    """Points drawn from a mesh's surface with fields behind them, (N, 3 + 3 F) float32.

    Raises:
        ValueError: if colors are wanted and the mesh has none.
    """
    return with_fields(sample.points, sample.normals, sample.colors, fields, where)


def with_fields(
    points: np.ndarray, normals: np.ndarray, colors: np.ndarray | None, fields: Sequence[Field], where: object
) -> np.ndarray:
    """Points (N, 3) with normals (N, 3) and colors (N, 3) uint8 behind them, as far as they are wanted.

    Raises:
        ValueError: if colors are wanted and there are none.
    """
    if "colors" in fields and colors is None:
        raise missing_fields(["colors"], where)
    values = {"normals": normals, "colors": None if colors is None else as_shares(colors)}
    return np.concatenate([points, *(values[field] for field in fields)], axis=1) if fields else points


def _has_faces(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(HEAD).split(b"end_header")[0]
    lines = [line.split() for line in head.splitlines()]
    return any(line[:2] == [b"element", b"face"] and line[2:3] != [b"0"] for line in lines)


def _whole(path: Path, read: Callable[[Path], np.ndarray]) -> np.ndarray:
    try:
        return read(path)
    except (OSError, ValueError, KeyError, EOFError) as error:
        why = " ".join(str(error).split())[:160]
        raise ValueError(f"found a cloud that cannot be read, {path} ({why}), expected rows of x y z") from None


def _archive(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        named = [name for name in NAMES if name in file.files] or (file.files if len(file.files) == 1 else [])
        if not named:
            raise ValueError(f"no array called {', '.join(NAMES[:3])} among {', '.join(file.files[:6])}")
        return np.asarray(file[named[0]])


def _text(path: Path, columns: int) -> np.ndarray:
    """Rows of numbers with spaces, commas or semicolons between; a first row of words is passed over."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.replace(",", " ").replace(";", " ").split() for line in lines if line.strip() and line[0] not in "#/"]
    if rows and not _number(rows[0][0]):
        rows = rows[1:]
    elif rows and len(rows[0]) == 1 and len(rows) > 1 and len(rows[1]) > 1:  # the count of rows, as .pts files begin
        rows = rows[1:]
    return np.array([[float(word) for word in row[:columns]] for row in rows], dtype=np.float64)


def _number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True

"""Sweeps in files that say themselves what they hold: .npy, .ply, .pcd and .las beside headless .bin.

`.npy` is numpy's own array, (M, 3 or more) or with named fields; `.ply` is read by trimesh, `.pcd` (ASCII, binary,
compressed) by pypcd4 (https://github.com/MapIV/pypcd4), `.las` and `.laz` by laspy (https://laspy.readthedocs.io). The
last two are optional: pip install 'crosspoint3d[clouds]'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crosspoint.datasets.field_columns import named_fields, unnamed_fields
from crosspoint.fields import Field
from crosspoint.renderers.arrays import read_header

SUFFIXES = (".bin", ".npy", ".ply", ".pcd", ".las", ".laz")
INTENSITIES = ("intensity", "i", "reflectivity", "reflectance", "remission", "scalar_intensity")  # names of fields


def read_named(path: Path) -> np.ndarray:
    """The rows of a file that says how long they are.

    Args:
        path: a file with one of `SUFFIXES` but .bin.

    Returns:
        (M, 3) or (M, 4 or more) float32: x y z; then the intensity where there is one; then the columns of an array
        without names.

    Raises:
        ImportError: if the package that reads it is not installed.
        ValueError: if it is damaged, or has no x y z.
    """
    rows = _read(path, lambda content: content if isinstance(content, np.ndarray) else _columns(content))
    if rows.ndim != 2 or rows.shape[1] < 3:
        raise ValueError(f"found numbers of shape {rows.shape} in {path}, expected rows x y z intensity")
    if rows.dtype.kind not in "fiu":
        raise ValueError(f"found numbers of type {rows.dtype} in {path}, expected real ones")
    return np.ascontiguousarray(rows, dtype=np.float32)


def read_fields(path: Path, fields: Sequence[Field]) -> np.ndarray:
    """The points of a file with fields behind them.

    Args:
        path: a file with one of `SUFFIXES` but .bin.
        fields: normals, colors: by their names where the file has names, else by what the columns behind x y z hold.

    Returns:
        (M, 3 + 3 F) float32.

    Raises:
        ImportError: if the package that reads it is not installed.
        ValueError: if it is damaged, or has no x y z or no such fields.
    """
    content = _read(path, _with_coordinates)
    if isinstance(content, np.ndarray):
        if content.ndim != 2 or content.shape[1] < 3 or content.dtype.kind not in "fiu":
            raise ValueError(f"found {content.dtype} of shape {content.shape} in {path}, expected rows of real numbers")
        points, values = content[:, :3], unnamed_fields(content[:, 3:], fields, path)
    else:
        points, values = _columns(content)[:, :3], named_fields(content, fields, path)
    return np.concatenate([points, values], axis=1).astype(np.float32)


def _read(path: Path, take: Callable[[Any], Any]) -> Any:
    """What `take` makes of a file's content, an array or columns by name."""
    try:
        return take(_READERS[path.suffix.lower()](path))
    except ImportError:
        raise
    except Exception as error:  # whatever a library raises at a damaged file
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"found a sweep that cannot be read, {path} ({why}), expected a whole one") from None


def _with_coordinates(content: Any) -> Any:
    """The content as it is, if x y z are in it."""
    if not isinstance(content, np.ndarray):
        _columns(content)
    return content


def _npy(path: Path) -> np.ndarray | Mapping[str, np.ndarray]:
    with path.open("rb") as file:
        announced = read_header(file, path).bytes
        left = path.stat().st_size - file.tell()
    if announced != left:
        raise ValueError(f"found {left} bytes of numbers, expected {announced}: it is cut off")
    array = np.load(path, allow_pickle=False)
    if array.dtype.names:
        return {name: array[name] for name in array.dtype.names}
    return np.asarray(array)


def _ply(path: Path) -> Mapping[str, np.ndarray]:
    import trimesh

    with path.open("rb") as file:
        vertices = trimesh.exchange.ply.load_ply(file)["metadata"]["_ply_raw"]["vertex"]["data"]
    names = vertices.dtype.names if isinstance(vertices, np.ndarray) else tuple(vertices)
    return {name: np.asarray(vertices[name]) for name in names}


def _pcd(path: Path) -> Mapping[str, np.ndarray]:
    try:
        from pypcd4 import PointCloud
    except ImportError:
        raise ImportError(_missing(path, "pypcd4")) from None
    cloud = PointCloud.from_path(path)
    return {name: cloud.pc_data[name] for name in cloud.fields}


def _las(path: Path) -> Mapping[str, np.ndarray]:
    try:
        import laspy
    except ImportError:
        raise ImportError(_missing(path, "laspy")) from None
    cloud = laspy.read(path)
    colors = [name for name in ("red", "green", "blue") if name in {*cloud.point_format.dimension_names}]
    return {name: np.asarray(getattr(cloud, name)) for name in ("x", "y", "z", "intensity", *colors)}


_READERS: Mapping[str, Callable[[Path], np.ndarray | Mapping[str, np.ndarray]]] = {
    ".npy": _npy,
    ".ply": _ply,
    ".pcd": _pcd,
    ".las": _las,
    ".laz": _las,
}


def _columns(fields: Mapping[str, Any]) -> np.ndarray:
    """x y z and the intensity, by their names in any case."""
    lower = {name.lower(): np.asarray(values).reshape(-1) for name, values in fields.items()}
    absent = [name for name in "xyz" if name not in lower]
    if absent:
        raise ValueError(f"no field {', '.join(absent)} among {', '.join(fields)}")
    given = [name for name in INTENSITIES if name in lower][:1]
    return np.stack([lower[name].astype(np.float64) for name in ("x", "y", "z", *given)], axis=1)


def _missing(path: Path, package: str) -> str:
    return (
        f"found {path} but no {package} to read it, expected it: pip install {package}, or convert it to .npy or .bin"
    )

"""Clouds in HDF5 archives, checked whole before any of them is read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from crosspoint.datasets.field_columns import unnamed_fields
from crosspoint.fields import Fields
from crosspoint.renderers.files import reading, regular_file, short

AGAIN = "download it again"
NORMALS = "normal"  # where ModelNet40's archive keeps them
ALWAYS = 2**26  # bytes that any dataset may unpack to
MOST_RATIO = 100.0  # of a dataset's numbers to the bytes that hold them; labels of one class pack best


class Archive(NamedTuple):
    """What the files of one split hold, one after another."""

    points: np.ndarray  # (n, N, 3 + 3 F) float32
    labels: np.ndarray  # (n,) int64
    parts: np.ndarray | None  # (n, N) int64


def find_archives(root: Path, pattern: str, source: str) -> list[Path]:
    """The files right below a folder whose names match, sorted; or those of the only folder below it that has some.

    Args:
        root: the folder.
        pattern: of file names, as glob takes it.
        source: where these files come from, for the error.

    Raises:
        FileNotFoundError: if there is no such folder or no such file.
        ValueError: if several folders below have such files.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"found no folder {root}, expected the one that holds {pattern}: {source}")
    paths = sorted(path for path in root.glob(pattern) if path.is_file() and not path.name.startswith("."))
    if not paths:
        below = sorted({path.parent for path in root.glob(f"*/{pattern}") if not path.name.startswith(".")})
        if len(below) == 1:
            return find_archives(below[0], pattern, source)
        if below:
            names = ", ".join(path.name for path in below)
            raise ValueError(f"found {pattern} in several folders of {root} ({names}), expected one: give one of them")
        inside = sorted(path.name for path in root.iterdir())[:5]
        raise FileNotFoundError(f"found {', '.join(inside) or 'nothing'} in {root}, expected {pattern}: {source}")
    return paths


def read_archives(paths: Sequence[Path], points: int, part_keys: Sequence[str] = (), fields: Fields = ()) -> Archive:
    """Read `data` (n, ≥ N, 3), `label` (n,) or (n, 1), and part labels (n, ≥ N); the first N points of each cloud.

    Of `data` (n, ≥ N, 6), xyz with normals or colors, the first three columns are read, and the others where fields are
    wanted. Normals may also stand in `normal` (n, ≥ N, 3), as in ModelNet40's archive.

    Files are opened read-only, and only those points are read from them.

    Args:
        paths: files of one split.
        points: N, points of a cloud.
        part_keys: names that the part labels may have; none where there are none.
        fields: normals, colors, behind x y z.

    Raises:
        ValueError: if a file is no HDF5 file, lacks a key or a field, holds no cloud or too few points, or if lengths
            differ.
    """
    check_archives(paths, points, part_keys)
    clouds, labels, parts = [], [], []
    for path in paths:
        with open_archive(path) as file:
            read = np.asarray(file["data"][:, :points, :3], dtype=np.float32)
            clouds.append(np.concatenate([read, _fields(file, path, points, fields)], axis=2) if fields else read)
            labels.append(file["label"][()].reshape(-1).astype(np.int64))
            part_key = part_key_of(file, part_keys)
            if part_key is not None:
                parts.append(file[part_key][:, :points].astype(np.int64))
    return Archive(np.concatenate(clouds), np.concatenate(labels), np.concatenate(parts) if parts else None)


def _fields(file: h5py.File, path: Path, points: int, fields: Fields) -> np.ndarray:
    """Fields (n, N, 3 F) of the columns behind x y z, and of `normal`."""
    parts = [file["data"][:, :points, 3:]]
    if NORMALS in file:
        if not _is_own_dataset(file, NORMALS) or file[NORMALS].shape != (*file["data"].shape[:2], 3):
            raise ValueError(f"{path}: found {NORMALS} of another shape than data, expected (n, N, 3): {AGAIN}")
        _check_stored(file[NORMALS], NORMALS, str(path))
        parts.append(file[NORMALS][:, :points])
    return unnamed_fields(np.concatenate(parts, axis=2), fields, path)


def part_key_of(file: h5py.File, part_keys: Sequence[str]) -> str | None:
    """The name that part labels have in a file: the first that is there, else the first; None if none is wanted."""
    return next((key for key in part_keys if key in file), part_keys[0] if part_keys else None)


def check_archives(paths: Sequence[Path], points: int, part_keys: Sequence[str] = ()) -> None:
    """Look at keys, shapes and types alone; arguments and errors as those of `read_archives`."""
    if points < 1:
        raise ValueError(f"found {points} points, expected at least 1")
    for path in paths:
        with open_archive(path) as file:
            _check(file, str(path), points, part_key_of(file, part_keys))


@contextmanager
def open_archive(path: Path) -> Iterator[h5py.File]:
    """One file, open read-only within the block.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no HDF5 file, or is found to be damaged within the block.
    """
    regular_file(path, "an HDF5 archive")
    with reading(path, "an HDF5 archive", AGAIN), h5py.File(path, "r") as file:
        yield file


def _check(file: h5py.File, name: str, points: int, part_key: str | None) -> None:
    keys = ["data", "label", *([part_key] if part_key is not None else [])]
    missing = [key for key in keys if not _is_own_dataset(file, key)]
    if missing:
        raise ValueError(
            f"{name}: found the keys {short(sorted(file))}, expected {keys}: this is another archive, "
            "whose data this reader does not know; give the folder of the archive that its documentation names"
        )
    for key in keys:
        _check_stored(file[key], key, name)
    data, label = file["data"].shape, file["label"].shape
    if len(data) != 3 or data[2] not in (3, 6):  # with normals or colors, which are not read
        raise ValueError(
            f"{name}: found data of shape {data}, expected (clouds, points, 3) of xyz, or 6 with normals: "
            "store the first three columns, data[:, :, :3]"
        )
    if data[0] == 0:
        raise ValueError(f"{name}: found no cloud, expected at least one: download it again")
    if data[1] < points:
        raise ValueError(f"{name}: found {data[1]} points in a cloud, expected at least {points}: ask for fewer points")
    if label not in ((data[0],), (data[0], 1)):
        raise ValueError(f"{name}: found label of shape {label}, expected one label for each of {data[0]} clouds")
    if part_key is not None and file[part_key].shape != data[:2]:
        raise ValueError(
            f"{name}: found {part_key} of shape {file[part_key].shape}, expected one label per point {data[:2]}"
        )
    if file["data"].dtype.kind not in "fiu":
        raise ValueError(f"{name}: found data of type {short(file['data'].dtype)}, expected real numbers: {AGAIN}")
    for key in keys[1:]:
        if file[key].dtype.kind not in "iu":
            raise ValueError(f"{name}: found {key} of type {file[key].dtype}, expected whole numbers")


def _is_own_dataset(file: h5py.File, key: str) -> bool:
    """Whether a name leads to a dataset of this file: no link is followed, which may lead out of it or in circles."""
    return isinstance(file.get(key, getlink=True), h5py.HardLink) and file.get(key, getclass=True) is h5py.Dataset


def _check_stored(dataset: h5py.Dataset, key: str, name: str) -> None:
    """Make sure that the numbers of a dataset are in this file, and not far more than its bytes can hold."""
    if dataset.shape is None:
        raise ValueError(f"{name}: found {key} without a shape, expected numbers: {AGAIN}")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name}: found {key} whose numbers lie in other files, expected them here: store them in it")
    count = max(dataset.size, math.prod(dataset.chunks or ()))  # a chunk is unpacked whole
    size, stored = count * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if size > max(ALWAYS, MOST_RATIO * stored):
        raise ValueError(
            f"{name}: found {key} of shape {dataset.shape}, of which {stored:,} bytes are stored, expected {size:,}: "
            f"the file is incomplete, {AGAIN}"
        )

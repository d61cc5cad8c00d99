"""Clouds in HDF5 archives, checked whole before any of them is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np


class Archive(NamedTuple):
    """What the files of one split hold, one after another."""

    points: np.ndarray  # (n, N, 3) float32
    labels: np.ndarray  # (n,) int64
    parts: np.ndarray | None  # (n, N) int64


def find_archives(root: Path, pattern: str, source: str) -> list[Path]:
    """The files right below a folder whose names match, sorted.

    Args:
        root: the folder.
        pattern: of file names, as glob takes it.
        source: where these files come from, for the error.

    Raises:
        FileNotFoundError: if there is no such folder or no such file.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"found no folder {root}, expected the one that holds {pattern}: {source}")
    paths = sorted(path for path in root.glob(pattern) if path.is_file() and not path.name.startswith("."))
    if not paths:
        inside = sorted(path.name for path in root.iterdir())[:5]
        raise FileNotFoundError(f"found {', '.join(inside) or 'nothing'} in {root}, expected {pattern}: {source}")
    return paths


def read_archives(paths: Sequence[Path], points: int, part_key: str | None = None) -> Archive:
    """Read `data` (n, ≥ N, 3), `label` (n,) or (n, 1), and part labels (n, ≥ N); the first N points of each cloud.

    Files are opened read-only, and only those points are read from them.

    Args:
        paths: files of one split.
        points: N, points of a cloud.
        part_key: name of the part labels, None where there are none.

    Raises:
        ValueError: if a file is no HDF5 file, lacks a key, holds no cloud or too few points, or if lengths differ.
    """
    check_archives(paths, points, part_key)
    clouds, labels, parts = [], [], []
    for path in paths:
        with open_archive(path) as file:
            clouds.append(np.asarray(file["data"][:, :points], dtype=np.float32))
            labels.append(file["label"][()].reshape(-1).astype(np.int64))
            if part_key is not None:
                parts.append(file[part_key][:, :points].astype(np.int64))
    return Archive(np.concatenate(clouds), np.concatenate(labels), np.concatenate(parts) if parts else None)


def check_archives(paths: Sequence[Path], points: int, part_key: str | None = None) -> None:
    """Look at keys, shapes and types alone; arguments and errors as those of `read_archives`."""
    if points < 1:
        raise ValueError(f"found {points} points, expected at least 1")
    for path in paths:
        with open_archive(path) as file:
            _check(file, path.name, points, part_key)


def open_archive(path: Path) -> h5py.File:
    """Open one file, read-only.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no HDF5 file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"found no file {path}, expected an HDF5 archive: check the path")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"found {path} that cannot be read as HDF5 ({error}): download it again") from error


def _check(file: h5py.File, name: str, points: int, part_key: str | None) -> None:
    keys = ["data", "label", *([part_key] if part_key is not None else [])]
    missing = [key for key in keys if not isinstance(file.get(key), h5py.Dataset)]
    if missing:
        raise ValueError(f"{name}: found the keys {sorted(file)}, expected {keys}: this is another archive")
    data, label = file["data"].shape, file["label"].shape
    if len(data) != 3 or data[2] != 3:
        raise ValueError(f"{name}: found data of shape {data}, expected (clouds, points, 3)")
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
    for key in keys[1:]:
        if file[key].dtype.kind not in "iu":
            raise ValueError(f"{name}: found {key} of type {file[key].dtype}, expected whole numbers")

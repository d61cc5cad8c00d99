"""Miniature copies of the layouts of datasets: a few sweeps, each with labels that a test knows."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROWS = np.array([[10, 0, 0, 51], [0, 0, 0, 0], [20, -4, -1, 255], [5, 5, 5, 0], [9, 9, 9, 102]], dtype=np.float32)
KEPT = [0, 2, 3, 4]  # the second return met nothing


def write_sweep(path: Path, columns: int = 4, scale: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.column_stack([ROWS[:, :3], ROWS[:, 3] / 255 * scale, np.zeros((len(ROWS), columns - 4))])
    rows.astype(np.float32).tofile(path)


def write_labels(path: Path, labels: Sequence[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.array(labels, dtype="<u4").tofile(path)


def write_frames(
    folder: Path,
    labels: Sequence[int],
    count: int = 2,
    sweeps: str = "velodyne",
    columns: int = 4,
    scale: float = 255.0,
) -> Path:
    """A sequence of equal frames; the numbers in their names do not begin at 0."""
    for number in range(3, 3 + count):
        write_sweep(folder / sweeps / f"{number:06}.bin", columns, scale)
        write_labels(folder / "labels" / f"{number:06}.label", labels)
    return folder


def write_synth4d(root: Path, labels: Sequence[int], part: str = "kitti_synth") -> Path:
    """Two towns of three sweeps, and lists: the first two of each to train, the last to validate."""
    listed: dict[str, dict[str, np.ndarray]] = {"training": {}, "validation": {}}
    for town in ("Town06", "Town03"):
        for number in range(3):
            for kind, values in (("velodyne", ROWS * [1, 1, 1, 1 / 255]), ("labels", np.array(labels))):
                path = root / part / town / kind / f"{number:06}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, values)
        listed["training"][town] = np.array(["000001", "000000"])
        listed["validation"][town] = np.array(["000002"])
    (root / "splits" / part).mkdir(parents=True)
    for name, towns in listed.items():
        (root / "splits" / part / f"{name}_split.pkl").write_bytes(pickle.dumps(towns))
    return root

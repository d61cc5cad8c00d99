"""Frames of a few boxes on a plane, as a folder of scenes: what detection is tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.datasets.folder_writing import write_frame, write_split
from crosspoint.scene.ops.voxels import VoxelConfig

VOXELS = VoxelConfig("cartesian", 0.2, extent=(0, -6.4, -4, 12.8, 6.4, 4), features="xyz_intensity", average=True)
NAMES = ["car", "person"]
SIZES = np.array([[3.6, 1.6, 1.5], [0.8, 0.7, 1.7]])
SPLITS = {"train": range(4), "val": range(4, 6)}


def surface(box: Sequence[float], count: int, rng: np.random.Generator) -> np.ndarray:
    """Points (count, 3) on the faces of a box."""
    points = rng.uniform(-0.5, 0.5, (count, 3))
    axis = rng.integers(0, 3, count)
    points[np.arange(count), axis] = rng.choice([-0.49, 0.49], count)
    points *= np.array(box[3:6])
    cos, sin = np.cos(box[6]), np.sin(box[6])
    return points @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) + np.array(box[:3])


def toy_frame(number: int) -> LidarSample:
    """A plane with two cars and a person on it, apart from each other."""
    rng = np.random.default_rng(number)
    geometry = []
    for place, kind in enumerate([0, 1, 0]):
        size = SIZES[kind] * rng.uniform(0.95, 1.05, 3)
        x, y = rng.uniform(2.5, 10), -4.2 + 4.2 * place
        geometry.append([x, y, -1.5 + size[2] / 2, *size, rng.uniform(-3.1, 3.1)])
    ground = np.column_stack([rng.uniform(0, 12.8, 300), rng.uniform(-6.4, 6.4, 300), np.full(300, -1.5)])
    points = np.concatenate([ground, *(surface(box, 120, rng) for box in geometry)]).astype(np.float32)
    boxes = Boxes(torch.tensor(geometry, dtype=torch.float64), torch.tensor([0, 1, 0]))
    intensity = torch.from_numpy(rng.random(len(points)).astype(np.float32))
    return LidarSample(f"{number}", torch.from_numpy(points), {"intensity": intensity}, boxes=boxes)


def write_traffic(root: Path, splits: Mapping[str, Sequence[int]] = SPLITS) -> Path:
    """A folder of toy frames."""
    root.mkdir()
    (root / "calibration.yaml").write_text(f"cameras: []\nbox_classes: [{', '.join(NAMES)}]\n")
    for name, numbers in splits.items():
        for number in numbers:
            write_frame(root, toy_frame(number))
        write_split(root, name, [str(number) for number in numbers])
    return root

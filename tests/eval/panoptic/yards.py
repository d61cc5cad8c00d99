"""Frames with objects that a tiny network can learn, and settings for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from crosspoint.eval.panoptic.config import BranchConfig, PanopticConfig
from crosspoint.eval.panoptic.grouping import GroupingConfig
from crosspoint.eval.panoptic.polar_grid import PolarGrid
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.config import Resources
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import IGNORED, LidarSample
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.voxels import VoxelConfig

CLASSES = ["ground", "wall", "crate"]
VOXELS = VoxelConfig(kind="cartesian", size=0.4)
CPU = Resources(accelerator="cpu", evaluation_batch=2)
BRANCH = BranchConfig(PolarGrid(reach=8.0, cells=(16, 24)), (8, 12, 16), drop=0.1)
RECIPE = PanopticConfig(epochs=2, batch_size=2, milestones=(1,), sigma=1.0, norm_momentum=0.2)
GROUPING = GroupingConfig(neighborhood=3)


class CrateYard(LidarDataset):
    """Flat ground, a wall, and crates of different places; the name of the class with objects is known."""

    things = ("crate",)
    least_points = 10

    def __init__(self, frames: int, seed: int = 0, crates: int = 3, name: str = "yard") -> None:
        self.frames, self.seed, self.crates, self.name, self.classes = frames, seed, crates, name, list(CLASSES)

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, index: int) -> LidarSample:
        rng = np.random.default_rng([self.seed, index])
        ground = np.column_stack([rng.uniform(-7, 7, (500, 2)), np.zeros(500)])
        wall = np.column_stack([np.full(100, 6.5), rng.uniform(-5, 5, 100), rng.uniform(0.8, 2.5, 100)])
        angles = rng.uniform(-0.2, 0.2) + 2 * np.pi * np.arange(self.crates) / max(1, self.crates) + np.pi
        middles = 4 * np.column_stack([np.cos(angles), np.sin(angles), np.full(self.crates, 0.15)])
        crates = [middle + rng.uniform(-0.5, 0.5, (60, 3)) * [1, 1, 0.2] + [0, 0, 0.9] for middle in middles]
        points = np.concatenate([ground, wall, *crates])
        labels = np.concatenate([np.zeros(500), np.ones(100), np.full(60 * self.crates, 2)]).astype(np.int64)
        objects = np.concatenate([np.zeros(600), np.repeat(np.arange(self.crates), 60) + 1]).astype(np.int64)
        labels[rng.random(len(labels)) < 0.05] = IGNORED
        order = rng.permutation(len(points))
        fields = {
            "intensity": np.where(labels == 2, 0.9, rng.random(len(points))),
            "label": labels,
            "instance": objects,
        }
        return LidarSample(
            f"{self.name} {index}",
            torch.from_numpy(points[order]).float(),
            {
                name: torch.from_numpy(values[order]).to(torch.float32 if name == "intensity" else torch.int64)
                for name, values in fields.items()
            },
        )


def tiny(seed: int = 0, **changes: Any) -> MinkUNet:
    torch.manual_seed(seed)
    sizes = {"stem": 8, "encoder": (8, 16), "encoder_blocks": (1, 1), "decoder": (16, 12), "decoder_blocks": (1, 1)}
    return MinkUNet(**sizes | changes)


def epochs(result: Result) -> list[dict[str, Any]]:
    return [row for row in result.records if "epoch" in row]

"""Frames whose classes show in the voxels around a point alone, and a network small enough to learn them in a test."""

import numpy as np
import torch

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.voxels import VoxelConfig
from tests.scene.frames import made_frame

CLASSES = ["ground", "wall", "pole", "never"]
VOXELS = VoxelConfig(kind="cartesian", size=0.25)


class Yard(LidarDataset):
    """Frames of flat ground, upright walls and thin poles; what a point is shows in the voxels around it alone."""

    def __init__(self, frames, seed=0, classes=CLASSES, name="yard"):
        self.frames, self.seed, self.classes, self.name = frames, seed, list(classes), name

    def __len__(self):
        return self.frames

    def __getitem__(self, index):
        rng = np.random.default_rng([self.seed, index])
        ground = np.column_stack([rng.uniform(-4, 4, (500, 2)), np.zeros(500)])
        x, y = rng.uniform(-3.5, 3.5, 2)
        wall = np.column_stack([np.full(250, x), rng.uniform(-3, 3, 250), rng.uniform(0.3, 2.5, 250)])
        pole = np.column_stack([np.full((60, 1), x + 1.5), np.full((60, 1), y), rng.uniform(0.3, 3, (60, 1))])
        xyz = np.concatenate([ground, wall, pole]) + rng.normal(0, 0.01, (810, 3))
        labels = np.repeat([0, 1, 2], [500, 250, 60])
        labels[rng.random(810) < 0.1] = IGNORED
        points = np.column_stack([xyz, rng.random(810)]).astype(np.float32)
        order = rng.permutation(810)
        cameras = Cameras(torch.zeros(0, 3, 3), torch.zeros(0, 3, 3), torch.zeros(0, 3), (4, 4))
        images = torch.zeros(0, 3, 4, 4, dtype=torch.uint8)
        return made_frame(f"{self.name} {index}", points[order], images, cameras, labels[order])


def tiny(seed=0, **changes):
    torch.manual_seed(seed)
    sizes = {"stem": 8, "encoder": (8, 16), "encoder_blocks": (1, 1), "decoder": (16, 12), "decoder_blocks": (1, 1)}
    return MinkUNet(**sizes | changes)

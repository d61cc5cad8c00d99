"""Augmentations of frames with boxes: mirrors, a turn, a scale; points, boxes, cameras and pose move alike.

The distributions are those of SECOND and CenterPoint in OpenPCDet (https://github.com/open-mmlab/OpenPCDet).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Generator

from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.data.transforms import moved


@dataclass(frozen=True)
class BoxAugmentation:
    """How training frames of a detector are changed, in this order; the defaults are SECOND's on KITTI.

    Args:
        mirror_x: probability of mirroring front and back; CenterPoint has 0.5 on nuScenes
        mirror_y: probability of mirroring left and right
        rotation: largest angle about z to either side, in degrees; CenterPoint has 22.5
        scale: sizes and positions are scaled by a uniform factor between these
    """

    mirror_x: float = 0.0
    mirror_y: float = 0.5
    rotation: float = 45.0
    scale: tuple[float, float] = (0.95, 1.05)

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"found scale {list(self.scale)}, expected two positive factors, the smaller first")
        if not (0 <= self.mirror_x <= 1 and 0 <= self.mirror_y <= 1 and 0 <= self.rotation <= 180):
            raise ValueError(
                f"found mirror_x {self.mirror_x}, mirror_y {self.mirror_y} and rotation {self.rotation}, expected "
                "probabilities, and degrees up to 180"
            )

    def __call__(self, sample: LidarSample, generator: Generator) -> LidarSample:
        """The sample, augmented; what is given is left as it was."""
        draws = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        signs = [-1.0 if draws[0] < self.mirror_x else 1.0, -1.0 if draws[1] < self.mirror_y else 1.0]
        angle = math.radians(self.rotation) * (2 * draws[2] - 1)
        low, high = self.scale
        return scale_cloud(turn_cloud(mirror_cloud(sample, *signs), angle), low + (high - low) * draws[3])


def mirror_cloud(sample: LidarSample, x: float, y: float) -> LidarSample:
    """The sample with its x and its y multiplied by 1 or −1."""
    signs = torch.tensor([x, y, 1.0], dtype=torch.float64)
    return moved(sample, sample.points * signs.to(sample.points), signs.diag())


def turn_cloud(sample: LidarSample, angle: float) -> LidarSample:
    """The sample turned about z by an angle in radians, counterclockwise from above."""
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    return moved(sample, (sample.points.double() @ matrix.mT).to(sample.points), matrix)


def scale_cloud(sample: LidarSample, factor: float) -> LidarSample:
    """The sample with all distances from the sensor, all sizes and all velocities multiplied by a factor.

    Cameras move away likewise, so that every point keeps its pixel; the pose still leads to the world.
    """
    cameras, boxes, pose = sample.cameras, sample.boxes, sample.pose
    if cameras is not None:
        cameras = replace(cameras, t=cameras.t * factor)
    if boxes is not None:
        geometry = torch.cat([boxes.geometry[:, :6] * factor, boxes.geometry[:, 6:]], dim=1)
        boxes = Boxes(geometry, boxes.labels, None if boxes.velocities is None else boxes.velocities * factor)
    if pose is not None:
        pose = torch.cat([torch.cat([pose[:3, :3] / factor, pose[:3, 3:]], dim=1), pose[3:]])
    return replace(sample, points=sample.points * factor, cameras=cameras, boxes=boxes, pose=pose)

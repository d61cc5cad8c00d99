"""Views of a frame for test-time augmentation: turned about z and mirrored, the same ones in every run.

Public codes of segmentation average the probabilities of such views: MMDetection3D's MinkUNet and Cylinder3D over the
mirror images along x and y (https://github.com/open-mmlab/mmdetection3d, Seg3DTTAModel), WaffleIron over random turns
and mirrors (Puy et al., 2023, https://arxiv.org/abs/2301.10100). Here they are drawn by rule, not at random.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch

from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.transforms import moved

MOST_VIEWS = 64

Sample = TypeVar("Sample")


def turned(sample: Sample, view: int, views: int) -> Sample | LidarSample:
    """A frame as one of several views sees it: every second one is mirrored in y, and pairs are turned by equal steps.

    View 0 is the frame itself. View v is mirrored where v is odd, then turned about z by 2π · ⌊v / 2⌋ / ⌈views / 2⌉.
    So two views are the frame and its mirror image, and four are it, its mirror images in y and in x, and both at once.

    Args:
        sample: a `LidarSample`; view 0 takes anything.
        view: from 0 to views − 1.
        views: how many there are.
    """
    if view == 0:
        return sample
    assert isinstance(sample, LidarSample)
    angle, sign = 2 * math.pi * (view // 2) / -(-views // 2), 1 - 2 * (view % 2)
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = torch.tensor([[cos, -sin * sign, 0], [sin, cos * sign, 0], [0, 0, 1]], dtype=torch.float64)
    points = (sample.points.double() @ matrix.mT).to(sample.points.dtype)
    return moved(sample, points, matrix)

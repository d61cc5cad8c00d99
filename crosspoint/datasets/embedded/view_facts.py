"""Facts of a view beside its embedding: where its camera stood, and the colors that its image has.

CrossJEPA (https://arxiv.org/abs/2511.18424) tells its predictor both: a shape alone says neither.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crosspoint.renderers import Cameras

CAMERA = 16  # numbers of `camera_facts`
BINS = 4  # along each of red, green and blue
COLORS = BINS**3  # numbers of `color_shares`


def camera_facts(cameras: Cameras) -> Tensor:
    """Rotation row by row (9), translation (3), focal lengths and center as shares of the image (4): (V, 16) float32.

    World and camera are those of `Cameras`: OpenCV's convention, world → camera.
    """
    height, width = cameras.size
    size = torch.tensor([width, height], dtype=torch.float64)
    focal = torch.stack([cameras.K[:, 0, 0], cameras.K[:, 1, 1]], dim=1) / size
    center = cameras.K[:, :2, 2] / size
    return torch.cat([cameras.R.flatten(1), cameras.t, focal, center], dim=1).float()


def turn_cameras(facts: Tensor, turn: Tensor) -> Tensor:
    """The facts (B, V, 16) of cameras that see turned clouds as they saw the clouds before.

    A point x becomes Q x, so that R becomes R Qᵀ; nothing else changes.

    Args:
        facts: of `camera_facts`.
        turn: (B, 3, 3), Q of each cloud.
    """
    rotations = facts[..., :9].unflatten(-1, (3, 3)) @ turn[:, None].mT
    return torch.cat([rotations.flatten(-2), facts[..., 9:]], dim=-1)


def color_shares(images: Tensor) -> Tensor:
    """How many pixels have which color: shares (I, 64) float32 of images (I, 3, H, W) uint8, in 4 × 4 × 4 bins."""
    bins = (images.long() * BINS) // 256
    place = (bins[:, 0] * BINS + bins[:, 1]) * BINS + bins[:, 2]
    rows = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    counts = torch.bincount((place + rows * COLORS).flatten(), minlength=len(images) * COLORS)
    return counts.view(len(images), COLORS).float() / (images.shape[2] * images.shape[3])

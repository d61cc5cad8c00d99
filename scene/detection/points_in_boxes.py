"""Membership of points in boxes."""

from __future__ import annotations

import torch
from torch import Tensor


def points_in_boxes(points: Tensor, boxes: Tensor) -> Tensor:
    """Whether points lie in upright boxes, their faces included.

    Args:
        points: (N, 3) meters.
        boxes: (n, 7), as in `crosspoint.scene.data.sample.Boxes`.

    Returns:
        (N, n) bool, computed in float64.
    """
    offset = points.double().unsqueeze(1) - boxes[:, :3].double()
    cos, sin = boxes[:, 6].double().cos(), boxes[:, 6].double().sin()
    along = offset[..., 0] * cos + offset[..., 1] * sin
    across = offset[..., 1] * cos - offset[..., 0] * sin
    reach = torch.stack([along, across, offset[..., 2]], dim=2).abs()
    return (reach <= boxes[:, 3:6].double() / 2).all(dim=2)

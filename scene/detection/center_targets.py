"""Targets of CenterPoint's head: heat around the centers of objects, and numbers of the objects at their cells.

Yin et al., Center-based 3D Object Detection and Tracking, 2021, https://arxiv.org/abs/2006.11275; the radius after Law
and Deng, CornerNet, 2018, https://arxiv.org/abs/1808.01244.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

MOST = 500  # objects of a frame
LEAST_RADIUS = 2  # cells
OVERLAP = 0.1  # IoU that a box within the radius still has


class CenterTargets(NamedTuple):
    """Of one frame and one group of classes."""

    heat: Tensor  # (K, H, W) float32, 1 at the cells of centers
    cells: Tensor  # (n,) int64, row · W + column
    codes: Tensor  # (n, 8): offset x y in cells, z, logarithms of length, width, height, cosine and sine of the heading
    velocities: Tensor | None = None  # (n, 2) float32, m/s, NaN where not known; None where none are given


def gaussian_radius(length: float, width: float, overlap: float = OVERLAP) -> float:
    """Cells by which a box may be misplaced and still overlap the object.

    The smallest of CornerNet's three cases, each as that code has it: (b + √(b² − 4ac)) / 2 whatever a is, where the
    roots of the quadratic would be divided by 2a.

    Args:
        length: of the object in cells.
        width: likewise.
        overlap: IoU.
    """
    area, half = length * width, length + width
    cases = [
        (1.0, half, area * (1 - overlap) / (1 + overlap)),
        (4.0, 2 * half, (1 - overlap) * area),
        (4 * overlap, -2 * overlap * half, (overlap - 1) * area),
    ]
    return min((b + math.sqrt(b * b - 4 * a * c)) / 2 for a, b, c in cases)


def center_targets(
    boxes: Tensor,
    labels: Tensor,
    classes: int,
    size: tuple[int, int],
    corner: tuple[float, float],
    cell: float,
    velocities: Tensor | None = None,
) -> CenterTargets:
    """Targets of one frame.

    Args:
        boxes: (n, 7); what has no area from above, or its center outside of the map, is left out.
        labels: (n,) int64, from 0 to K − 1.
        classes: K.
        size: H and W of the map.
        corner: x and y in meters where the map begins.
        cell: meters along an edge of a cell.
        velocities: (n, 2) m/s, or None.
    """
    height, width = size
    heat = torch.zeros(classes, height, width)
    place = (boxes[:, :2].double() - torch.tensor(corner, dtype=torch.float64)) / cell
    floor = place.floor()
    inside = ((floor >= 0) & (floor < torch.tensor([width, height]))).all(dim=1) & (boxes[:, 3:6] > 0).all(dim=1)
    rows = inside.nonzero().squeeze(1)[:MOST]
    for row in rows.tolist():
        length, breadth = (float(side) / cell for side in boxes[row, 3:5])
        radius = max(LEAST_RADIUS, int(gaussian_radius(length, breadth)))
        column, line = floor[row].long().tolist()
        _draw(heat[int(labels[row])], column, line, radius)
    boxes, floor, place = boxes[rows].double(), floor[rows], place[rows]
    heading = torch.stack([boxes[:, 6].cos(), boxes[:, 6].sin()], dim=1)
    codes = torch.cat([place - floor, boxes[:, 2:3], boxes[:, 3:6].log(), heading], dim=1)
    cells = (floor[:, 1] * width + floor[:, 0]).long()
    return CenterTargets(heat, cells, codes.float(), None if velocities is None else velocities[rows].float())


def _draw(heat: Tensor, column: int, row: int, radius: int) -> None:
    """Raise a map (H, W) to a Gaussian around a cell, as far as its window of ± radius."""
    height, width = heat.shape
    sigma = (2 * radius + 1) / 6
    top, bottom = max(0, row - radius), min(height, row + radius + 1)
    left, right = max(0, column - radius), min(width, column + radius + 1)
    y, x = torch.arange(top, bottom) - row, torch.arange(left, right) - column
    bump = torch.exp(-(x.float() ** 2 + y.float().unsqueeze(1) ** 2) / (2 * sigma**2))
    window = heat[top:bottom, left:right]
    torch.maximum(window, bump, out=window)

"""Ball query: the first K points inside each of some balls, the neighborhoods of PointNet++.

Qi et al., 2017, https://arxiv.org/abs/1706.02413. "First" is in the order of the cloud, as the CUDA kernels of public
codes have it (https://github.com/sshaoshuai/Pointnet2.PyTorch, mmdetection3d), so a cloud is shuffled before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from crosspoint.ops.precision import full_precision

DISTANCES_CPU = 2**20  # distances held at once: four megabytes stay near the core
DISTANCES_GPU = 2**26


class Ball(NamedTuple):
    """How far a neighborhood reaches, and how many of its points are taken."""

    radius: float  # meters; a point at this distance is outside
    neighbors: int
    inner: float = 0.0  # meters; closer points are left out, but for those at the center itself


@torch.no_grad()
def ball_query(points: Tensor, centers: Tensor, balls: Sequence[Ball]) -> list[Tensor]:
    """The first points inside balls around centers.

    A ball with fewer points than are asked for repeats its first one. An empty ball, which has no center among the
    points, repeats the point nearest to its center (the CUDA kernels leave point 0 there, wherever that is).

    Args:
        points: (B, N, 3) float, meters.
        centers: (B, M, 3).
        balls: all of them around every center; one pass over the distances serves them all.

    Returns:
        For each ball (B, M, neighbors) int64, rows of points, ascending but for the repetitions.

    Raises:
        ValueError: if there is no point, or a ball's numbers make no sense.
    """
    _check(points, balls)
    points, centers = full_precision(points), full_precision(centers)
    batch, size, _ = points.shape
    found = [torch.empty(*centers.shape[:2], ball.neighbors, dtype=torch.int64, device=points.device) for ball in balls]
    rows = max(1, (DISTANCES_GPU if points.is_cuda else DISTANCES_CPU) // size)
    for cloud in range(batch):
        axes = points[cloud].T.contiguous()
        for first in range(0, centers.shape[1], rows):
            part = slice(first, first + rows)
            squares = _squared_distances(centers[cloud, part], axes)
            for ball, result in zip(balls, found, strict=True):
                result[cloud, part] = _first_inside(squares, ball)
    return found


def _squared_distances(centers: Tensor, axes: Tensor) -> Tensor:
    """centers (m, 3), axes (3, N) → (m, N). By differences: |x|² − 2 x·y + |y|² loses centimeters at 80 meters."""
    squares = centers.new_zeros(len(centers), axes.shape[1])
    difference = torch.empty_like(squares)
    for center, axis in zip(centers.T, axes, strict=True):
        torch.sub(axis, center.unsqueeze(1), out=difference)
        squares.addcmul_(difference, difference)
    return squares


def _first_inside(squares: Tensor, ball: Ball) -> Tensor:
    """squares (m, N) → the columns of the first points inside (m, neighbors)."""
    inside = squares < ball.radius**2
    if ball.inner > 0:
        inside &= (squares >= ball.inner**2) | (squares == 0)
    row, column = inside.nonzero(as_tuple=True)  # ordered by row, then by column
    number = torch.zeros(len(squares), dtype=torch.int64, device=row.device).index_add_(0, row, torch.ones_like(row))
    start = number.cumsum(0) - number
    place = torch.arange(len(row), device=row.device) - start[row]
    if bool((number == 0).any()):
        first = squares.argmin(dim=1)
        first[row[place == 0]] = column[place == 0]
    else:
        first = column[start]
    found = first.unsqueeze(1).repeat(1, ball.neighbors)
    taken = place < ball.neighbors
    found[row[taken], place[taken]] = column[taken]
    return found


def _check(points: Tensor, balls: Sequence[Ball]) -> None:
    if points.shape[1] == 0:
        raise ValueError("found clouds without points, expected one or more: drop the frame")
    for ball in balls:
        if not (0 <= ball.inner < ball.radius and ball.neighbors >= 1):
            raise ValueError(f"found {ball}, expected 0 ≤ inner < radius and one neighbor or more")

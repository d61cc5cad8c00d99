"""Features of points from those of a few others near them, as PointNet++ carries them back to the whole cloud.

Qi et al., 2017, https://arxiv.org/abs/1706.02413, section 3.4: the three nearest, weighted by one over the square of
their distance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crosspoint.ops.plain import plain, squared_distances
from crosspoint.ops.precision import full_precision

SMALLEST = 1e-8  # squared distance added to each, so that a point on a center takes that center's features


def interpolate_nearest(points: Tensor, centers: Tensor, features: Tensor, *, neighbors: int = 3) -> Tensor:
    """Features of `points`: means of those of their nearest centers, weighted by one over the squared distance.

    Args:
        points: (B, N, 3).
        centers: (B, G, 3).
        features: (B, G, C) of the centers.
        neighbors: how many centers count; fewer where there are not as many.

    Returns:
        (B, N, C).
    """
    with torch.no_grad(), torch.autocast(points.device.type, enabled=False):
        points, centers = full_precision(points), full_precision(centers)
        squares = squared_distances(points, centers) if plain() else torch.cdist(points, centers).square()
        near = squares.topk(min(neighbors, centers.shape[1]), dim=-1, largest=False)
        # The same up to a factor, which goes: optimizers of exported graphs take an added 1e-8 for nothing.
        weights = 1 / (1 + near.values / SMALLEST) if plain() else 1 / (near.values + SMALLEST)
        weights = (weights / weights.sum(dim=-1, keepdim=True)).to(features.dtype)  # (B, N, K)
    rows = torch.arange(points.shape[0], device=points.device)[:, None, None]
    return (features[rows, near.indices] * weights[..., None]).sum(dim=2)

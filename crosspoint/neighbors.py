"""Nearest neighbours inside each cloud of a batch, by brute force: at these sizes a GEMM and a top-k beat any tree."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_DISTANCES = 2**28  # entries of the distance matrix held at once: 1 GiB in float32


@torch.no_grad()
def knn(points: Tensor, k: int) -> Tensor:
    """The k nearest neighbours of each point in its own cloud, the point itself included.

    Distances are taken in float32 or better, also under autocast: half precision would change the neighbours.
    The order within a row is unspecified. Among points at the same distance (copies, say) any may be chosen, so a
    point with k copies of itself need not be among its own neighbours.

    Args:
        points: (B, N, C) float.
        k: how many neighbours, 1 ≤ k ≤ N.

    Returns:
        (B, N, k) int64, indices into N.

    Raises:
        ValueError: if a cloud has fewer than k points.
    """
    batch, count, _ = points.shape
    if not 1 <= k <= count:
        raise ValueError(f"found clouds of {count} points, expected at least k = {k}: give more points or a smaller k")
    with torch.autocast(points.device.type, enabled=False):
        points = points if points.dtype == torch.float64 else points.float()
        points = points - points.mean(dim=1, keepdim=True)  # far from the origin |x|² would swallow the distances
        step = max(1, MAX_DISTANCES // (count * count))
        return torch.cat([_nearest(chunk, k) for chunk in points.split(step)]) if batch > step else _nearest(points, k)


def _nearest(points: Tensor, k: int) -> Tensor:
    # |x_i|² is constant along a row and does not change its order.
    squares = points.square().sum(dim=-1).unsqueeze(1)
    distances = torch.baddbmm(squares, points, points.transpose(1, 2), alpha=-2)
    return distances.topk(k, dim=-1, largest=False, sorted=False).indices

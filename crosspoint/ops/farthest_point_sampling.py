"""Farthest point sampling: points that cover a cloud evenly.

Eldar et al., The Farthest Point Strategy for Progressive Image Sampling, 1997; in PointNet++ (Qi et al., 2017,
https://arxiv.org/abs/1706.02413) and in most protocols that reduce a cloud to fewer points.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from crosspoint.ops.plain import plain
from crosspoint.ops.precision import full_precision


@torch.no_grad()
def farthest_points(
    points: Tensor, count: int, *, generator: Generator | None = None, first: Tensor | None = None
) -> Tensor:
    """Indices of `count` points, each the farthest from those before it.

    All clouds advance together, one point a step; a step costs two passes over the distances of all points to the
    points chosen so far. Of several equally far points the first is taken, so the result depends on the start alone.

    Args:
        points: (B, N, 3) float.
        count: how many, 1 ≤ count ≤ N.
        generator: draws the first point of each cloud; without it that is point 0.
        first: (B,) int64, the first point of each cloud, where it is neither drawn nor point 0.

    Returns:
        (B, count) int64, in the order of their choice: any leading part covers the cloud, too.

    Raises:
        ValueError: if a cloud has fewer than `count` points.
    """
    batch, size, _ = points.shape
    if not 1 <= count <= size:
        raise ValueError(f"found clouds of {size} points, expected at least the {count} asked for: ask for fewer")
    axes = (
        full_precision(points).permute(2, 0, 1).contiguous()
    )  # (3, B, N): one coordinate after the other runs along memory
    chosen = torch.empty(batch, count, dtype=torch.int64, device=points.device)
    if first is None:
        first = torch.zeros(batch, dtype=torch.int64, device=points.device)
    if generator is not None:
        first = torch.randint(size, (batch,), generator=generator, device=points.device)
    if plain():
        return _by_plain_operations(full_precision(points), count, first)
    nearest = axes.new_full((batch, size), torch.inf)  # squared distance to the nearest chosen point
    distance, difference = torch.empty_like(nearest), torch.empty_like(nearest)
    current = first.unsqueeze(1)
    for step in range(count):
        chosen[:, step] = current.squeeze(1)
        distance.zero_()
        for axis in axes:
            torch.sub(axis, axis.gather(1, current), out=difference)
            distance.addcmul_(difference, difference)
        torch.minimum(nearest, distance, out=nearest)
        current = nearest.argmax(dim=1, keepdim=True)
    return chosen


def _by_plain_operations(points: Tensor, count: int, first: Tensor) -> Tensor:
    """The same without writing into memory: points (B, N, 3), first (B,) → (B, count)."""
    current, chosen = first.unsqueeze(1), []
    nearest = torch.full_like(points[..., 0], torch.inf)
    for _ in range(count):
        chosen.append(current)
        place = points.gather(1, current.unsqueeze(2).expand(-1, -1, points.shape[2]))
        nearest = torch.minimum(nearest, (points - place).square().sum(dim=2))
        current = nearest.argmax(dim=1, keepdim=True)
    return torch.cat(chosen, dim=1)

"""Patches of a cloud: evenly spread centers, each with its nearest points, and a small PointNet that describes them.

As Point-BERT (Yu et al., CVPR 2022, https://arxiv.org/abs/2111.14819) and Point-MAE (Pang et al., ECCV 2022,
https://arxiv.org/abs/2203.06604) cut clouds for their transformers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from crosspoint.ops.farthest_point_sampling import farthest_points
from crosspoint.ops.plain import plain, squared_distances
from crosspoint.ops.precision import full_precision


class Patches(NamedTuple):
    """Patches of B clouds, G of each with S points."""

    points: Tensor  # (B, G, S, 3), relative to the center, or (B, G, S, 3 + 3 F) with fields as they are behind
    centers: Tensor  # (B, G, 3)


def cut_patches(points: Tensor, groups: int, size: int) -> Patches:
    """Cut clouds (B, N, 3) into patches: `groups` farthest points as centers, and the `size` points nearest to each.

    Patches overlap. The first center is the point farthest from the mean, so that patches do not depend on the order of
    points. Coordinates are compared in float32 or better, also under autocast. Of clouds with fields, (B, N, 3 + 3 F),
    x y z decide.

    Raises:
        ValueError: if a cloud has fewer points than centers, or than a patch has points.
    """
    count = points.shape[1]
    if count < max(groups, size):
        raise ValueError(
            f"found clouds of {count} points, expected at least {max(groups, size)} for {groups} patches of {size}: "
            "give more points, or an encoder with fewer or smaller patches"
        )
    with torch.autocast(points.device.type, enabled=False):
        points = full_precision(points)
        points, values = points[..., :3], points[..., 3:]
        rows = torch.arange(points.shape[0], device=points.device)  # len() would fix the number of clouds in a graph
        with torch.no_grad():
            first = (points - points.mean(dim=1, keepdim=True)).square().sum(dim=-1).argmax(dim=1)
            centers = points[rows[:, None], farthest_points(points, groups, first=first)]
            distances = squared_distances(centers, points) if plain() else torch.cdist(centers, points)
            nearest = distances.topk(size, dim=-1, largest=False, sorted=False).indices
        cut = points[rows[:, None, None], nearest] - centers[:, :, None]
        if values.shape[-1]:
            cut = torch.cat([cut, values[rows[:, None, None], nearest]], dim=-1)
        return Patches(cut, centers)


class PatchEmbedding(nn.Module):
    """Small PointNet: patches (B, G, S, C) → tokens (B, G, width), the same for any order of a patch's points.

    Two shared layers of 128 and 256; the maximum over the patch beside each point; two of 512 and `width`; the maximum.

    Args:
        width: number of features of a token.
        channels: C, numbers of a point.
    """

    def __init__(self, width: int, channels: int = 3) -> None:
        super().__init__()
        self.first = nn.Sequential(_SharedNorm(channels, 128), nn.Linear(128, 256))
        self.second = nn.Sequential(_SharedNorm(512, 512), nn.Linear(512, width))

    def forward(self, patches: Tensor) -> Tensor:
        """patches (B, G, S, C) → (B, G, width)."""
        features = self.first(patches)
        whole = features.amax(dim=2, keepdim=True).expand_as(features)
        tokens: Tensor = self.second(torch.cat([whole, features], dim=-1)).amax(dim=2)
        return tokens


class _SharedNorm(nn.Module):
    """A linear layer, BatchNorm over all points, and ReLU, on channels that come last."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(c_in, c_out)
        self.norm = nn.BatchNorm1d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.norm(self.linear(x).flatten(0, -2))
        return rows.relu().view(*x.shape[:-1], -1)

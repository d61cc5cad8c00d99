"""Points that images see, and the values of a feature map where they are seen."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from crosspoint.ops.precision import full_precision
from crosspoint.scene.data.batch import LidarBatch


class VisiblePoints(NamedTuple):
    """Those of the sampled points that an image sees, each in the first image that does."""

    samples: Tensor  # (P,) int64, among the B · S samples
    images: Tensor  # (P,) int64
    pixels: Tensor  # (P, 2) float32, x and y


def find_visible(batch: LidarBatch, rows: Tensor) -> VisiblePoints:
    """Which of some points images see, and where.

    A point without a pair is outside of all images. Of several pairs the first counts: with both, the same feature
    would stand among the keys twice, a negative equal to the positive.

    Args:
        batch: frames with pairs.
        rows: (S,) int64, of `batch.points`.
    """
    pairs = len(batch.pair_point)
    numbers = torch.arange(pairs, device=rows.device)
    first = torch.full((len(batch.points),), pairs, device=rows.device)
    first.scatter_reduce_(0, batch.pair_point, numbers, "amin")
    pair = first[rows]
    samples = (pair < pairs).nonzero().squeeze(1)
    pair = pair[samples]
    return VisiblePoints(samples, batch.pair_image[pair], batch.pair_pixel[pair])


def sample_bilinear(maps: Tensor, images: Tensor, pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Features at pixels, between the centers of the cells into which a map divides its image.

    Beyond the outermost centers the outermost cells are continued. As `grid_sample` without align_corners and with
    padding "border", but each position picks its own map.

    Args:
        maps: (I, C, h, w).
        images: (P,) int64, a map for each position.
        pixels: (P, 2), x and y in an image of `size`.
        size: H and W of the images.

    Returns:
        (P, C) float32 or better.
    """
    maps = full_precision(maps)
    height, width = maps.shape[2:]
    x = (pixels[:, 0] * (width / size[1]) - 0.5).clamp(0, width - 1)
    y = (pixels[:, 1] * (height / size[0]) - 0.5).clamp(0, height - 1)
    left, top = x.floor(), y.floor()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    across, down = x - left, y - top
    base = images * (height * width)
    corners = torch.stack([base + (r * width + c).long() for r in (top, bottom) for c in (left, right)], dim=1)
    shares = torch.stack([v * h for v in (1 - down, down) for h in (1 - across, across)], dim=1)
    cells = maps.permute(0, 2, 3, 1).flatten(0, 2)
    return F.embedding_bag(corners, cells, per_sample_weights=shares.to(cells.dtype), mode="sum")

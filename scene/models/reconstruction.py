"""Reconstruction of masked images from features in which points stand in for what is masked.

Geometry-enhanced masked image modeling, as a figure of CMCR (https://arxiv.org/abs/2412.08973) shows it. Its public
code reconstructs images from their own features alone.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from crosspoint.ops.precision import full_precision
from crosspoint.scene.ops.segments import mean_by_segment


def check_stride(stride: int, size: tuple[int, int], patch: int) -> None:
    """Raise ValueError if images of a size (H, W) and their patches are no multiples of a stride."""
    if stride < 1 or patch % stride or size[0] % stride or size[1] % stride:
        raise ValueError(
            f"found reconstruction_stride {stride} with images of {size[0]} × {size[1]} and patches of {patch} pixels, "
            "expected a divisor of all three: take 1, 2 or 4"
        )


def replace_masked(pixels: Tensor, masked: Tensor, points: Tensor, row: Tensor, cell: Tensor) -> Tensor:
    """Features of masked cells, replaced by the mean of the points that are seen there.

    Args:
        pixels: (S, C) features of the cells of all images.
        masked: (S,) bool.
        points: (M, C) features of points or voxels.
        row: (P,) int64, which of these is seen.
        cell: (P,) int64, in which cell.

    Returns:
        (S, C): cells that are not masked, and those without a point, keep theirs.
    """
    inside = masked[cell].nonzero().squeeze(1)
    if len(inside) == 0:
        return pixels + points.sum() * 0.0  # the network of points takes part in every step
    cells, place = cell[inside].unique(return_inverse=True)
    means, _ = mean_by_segment(points.index_select(0, row[inside]), place, len(cells))
    return pixels.index_copy(0, cells, means.to(pixels.dtype))


class Reconstruction(nn.Module):
    """Decoder of images: three convolutions with channels C, C / 2, C / 4 and 3, then a sigmoid.

    Args:
        channels: of the features; C.
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        widths = [channels, max(1, channels // 2), max(1, channels // 4)]
        self.layers = nn.Sequential(
            nn.Conv2d(widths[0], widths[1], 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(widths[1], widths[2], 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(widths[2], 3, 3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features (I, C, h, w) → images (I, 3, h, w) in (0, 1)."""
        return full_precision(self.layers(features)).sigmoid()

    def loss(self, features: Tensor, images: Tensor) -> Tensor:
        """The mean squared error against whole images (I, 3, H, W) uint8 at the size of the features: a scalar."""
        stride = images.shape[2] // features.shape[2]
        target = images.to(full_precision(features).dtype) / 255
        return F.mse_loss(self(features), F.avg_pool2d(target, stride) if stride > 1 else target)

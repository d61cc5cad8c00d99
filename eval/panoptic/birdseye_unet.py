"""The instance branch: a 2D U-Net from features of polar cells to a heat map of centers and offsets to them.

Panoptic-PolarNet (Zhou et al., 2021, https://arxiv.org/abs/2103.14962); the two last stages of the decoder are there
twice, as in CSC (Chen et al., 2024, https://github.com/chenhaomingbob/CSC), one for each map.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import DropBlock2d

from crosspoint.renderers.ranges import CHANNELS, all_in_range

BLOCK = 7  # cells along the edge of what DropBlock sets to zero
SEPARATE = 2  # stages of the decoder, the last ones, that each map has for itself


class BirdsEyeUNet(nn.Module):
    """Maps of the objects' centers from features of polar cells.

    Args:
        in_channels: features of a cell.
        widths: of the encoder's stages; each after the first halves the resolution. A stage of the decoder has half the
            width of the encoder's stage beside it.
        drop: share of the decoder's features that DropBlock sets to zero in training.
        circular: whether a convolution sees the first column beside the last one.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        *,
        drop: float = 0.5,
        circular: bool = True,
    ) -> None:
        super().__init__()
        all_in_range("widths", widths, 2, CHANNELS[1])
        self.down = nn.ModuleList(_stage(a, b, circular) for a, b in pairwise([in_channels, *widths]))
        self.up, self.center, self.offset = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        below = widths[-1]
        for level in reversed(range(len(widths) - 1)):
            for part in [self.center, self.offset] if level < SEPARATE else [self.up]:
                part.append(_Up(below + widths[level], widths[level] // 2, drop, circular))
            below = widths[level] // 2
        self.center_head, self.offset_head = nn.Conv2d(below, 1, 1), nn.Conv2d(below, 2, 1)

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Cells (B, C, H, W) → a heat map (B, H, W), and offsets (B, 2, H, W) in cells: rows, then columns."""
        x, levels = cells, []
        for number, stage in enumerate(self.down):
            x = stage(F.max_pool2d(x, 2) if number else x)
            levels.append(x)
        levels.pop()
        for up in self.up:
            x = up(x, levels.pop())
        center = offset = x
        for mine, theirs in zip(self.center, self.offset, strict=True):
            beside = levels.pop()
            center, offset = mine(center, beside), theirs(offset, beside)
        return self.center_head(center)[:, 0], self.offset_head(offset)


class _Up(nn.Module):
    """What is below at the resolution of what is beside it, and both together through two convolutions."""

    def __init__(self, in_channels: int, channels: int, drop: float, circular: bool) -> None:
        super().__init__()
        self.circular = circular
        self.convolutions = _stage(in_channels, channels, circular)
        self.drop = DropBlock2d(drop, BLOCK)

    def forward(self, below: Tensor, beside: Tensor) -> Tensor:
        finer = enlarge(below, (beside.shape[2], beside.shape[3]), circular=self.circular)
        return self.drop(self.convolutions(torch.cat([beside, finer], dim=1)))


def enlarge(maps: Tensor, size: tuple[int, int], *, circular: bool) -> Tensor:
    """Interpolate maps (B, C, H, W) linearly to a larger size; if circular, between the last column and the first."""
    if not circular:
        return F.interpolate(maps, size, mode="bilinear")
    width = maps.shape[3]
    tall = F.interpolate(maps, (size[0], width), mode="bilinear")
    at = (torch.arange(size[1], device=maps.device) + 0.5) * (width / size[1]) - 0.5
    left = at.floor().long()
    share = (at - left).to(maps.dtype)
    return tall[..., left % width] * (1 - share) + tall[..., (left + 1) % width] * share


def _stage(in_channels: int, channels: int, circular: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (in_channels, channels):
        if circular:
            layers.append(nn.CircularPad2d((1, 1, 0, 0)))
        layers.append(nn.Conv2d(before, channels, 3, padding=(1, 0) if circular else 1))
        layers += [nn.BatchNorm2d(channels), nn.LeakyReLU(inplace=True)]
    return nn.Sequential(*layers)

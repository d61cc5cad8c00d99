"""The 2D network of SECOND: levels of convolutions on a map from above, brought back to one resolution and joined.

Yan et al., 2018, https://doi.org/10.3390/s18103337; sizes as in OpenPCDet (pcdet/models/backbones_2d).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from crosspoint.renderers.ranges import CHANNELS, all_in_range

EPS, MOMENTUM = 1e-3, 0.01  # of its BatchNorms


class BirdsEyeBackbone(nn.Module):
    """Map from above (B, in_channels, H, W) → (B, channels, H, W).

    Level i works at stride 2ⁱ of the map. With SECOND's sizes and 256 inputs it has 4,576,768 parameters.

    Args:
        in_channels: of the map.
        widths: of the levels.
        layers: convolutions of each level after its first one.
        up: channels of each level in what comes out.

    Attributes:
        channels: of the output, `up` for each level.
    """

    def __init__(
        self, in_channels: int, widths: Sequence[int] = (128, 256), layers: Sequence[int] = (5, 5), up: int = 256
    ) -> None:
        super().__init__()
        all_in_range("widths", [*widths, up], *CHANNELS)
        if len(widths) != len(layers) or min(layers) < 0:
            raise ValueError(f"found widths {list(widths)} and layers {list(layers)}, expected as many of each")
        self.channels = up * len(widths)
        self.levels, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, (width, count) in enumerate(zip(widths, layers, strict=True)):
            first = nn.Conv2d(in_channels, width, 3, stride=2 if level else 1, padding=1, bias=False)
            others = [nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(count)]
            self.levels.append(nn.Sequential(*(_layer(convolution) for convolution in (first, *others))))
            self.ups.append(_layer(nn.ConvTranspose2d(width, up, 2**level, stride=2**level, bias=False)))
            in_channels = width

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) → (B, channels, H, W)."""
        height, width = x.shape[2:]
        joined = []
        for level, up in zip(self.levels, self.ups, strict=True):
            x = level(x)
            joined.append(up(x)[..., :height, :width])  # what a level rounded up goes
        return torch.cat(joined, dim=1)


def _layer(convolution: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels, eps=EPS, momentum=MOMENTUM), nn.ReLU())

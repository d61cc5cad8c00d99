"""A second view of clouds, turned, scaled, shifted and mirrored, and the way back from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor


class Similarity(NamedTuple):
    """x → A x + t, where A keeps all angles: one for each cloud."""

    matrix: Tensor  # (B, 3, 3) float64
    shift: Tensor  # (B, 3) float64, meters

    def apply(self, positions: Tensor) -> Tensor:
        """Positions (B, N, 3) in the second view."""
        return (positions.double() @ self.matrix.mT + self.shift.unsqueeze(1)).to(positions.dtype)

    def restore(self, positions: Tensor) -> Tensor:
        """Positions (B, N, 3) of the second view, back where they came from."""
        squared_scale = self.matrix[:, 0].square().sum(dim=1).view(-1, 1, 1)  # A Aᵀ = scale² · 1
        return ((positions.double() - self.shift.unsqueeze(1)) @ (self.matrix / squared_scale)).to(positions.dtype)


@dataclass(frozen=True)
class SimilarityAugmentation:
    """How a cloud's second view differs, the draws of SimIPU (Li et al., 2022, https://arxiv.org/abs/2112.04680).

    Applied in this order, about the sensor. SimIPU turns and scales about the middle of KITTI's range: that shifts
    the outcome, and PointNet++ sees no shift.

    Args:
        rotation: largest angle about z to either side, in degrees
        scale: the cloud is scaled by a uniform factor between these
        translation: standard deviation along each axis, in meters; SimIPU has 0
        flip: probability of mirroring y, left and right
    """

    rotation: float = 90.0
    scale: tuple[float, float] = (0.75, 1.25)
    translation: float = 0.0
    flip: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"found scale {list(self.scale)}, expected two positive numbers, the smaller first")
        if not (0 <= self.rotation <= 180 and self.translation >= 0 and 0 <= self.flip <= 1):
            raise ValueError(
                f"found rotation {self.rotation}, translation {self.translation} and flip {self.flip}, "
                "expected degrees up to 180, meters from 0 and a probability"
            )

    def draw(self, clouds: int, generator: Generator) -> Similarity:
        """One similarity for each of so many clouds, on the generator's device."""
        device = generator.device
        draws = torch.rand(clouds, 3, generator=generator, device=device, dtype=torch.float64)
        angle = (2 * draws[:, 0] - 1) * math.radians(self.rotation)
        scale = self.scale[0] + (self.scale[1] - self.scale[0]) * draws[:, 1]
        side = torch.where(draws[:, 2] < self.flip, -1.0, 1.0)
        shift = self.translation * torch.randn(clouds, 3, generator=generator, device=device, dtype=torch.float64)
        mirror = torch.stack([torch.ones_like(side), side, torch.ones_like(side)], dim=1)
        cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
        turn = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).view(-1, 3, 3)
        return Similarity(mirror.unsqueeze(2) * scale.view(-1, 1, 1) * turn, mirror * shift)

"""One linear layer shared by all points (or edges), with BatchNorm and LeakyReLU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crosspoint.ops.plain import plain

SLOPE = 0.2  # of every LeakyReLU in DGCNN


class SharedMLP(nn.Module):
    """The same linear map, BatchNorm and LeakyReLU at every point: (…, C) → (…, D)."""

    def __init__(self, in_channels: int, out_channels: int, *, slope: float = SLOPE) -> None:
        super().__init__()
        self.slope = slope
        self.linear = nn.Linear(in_channels, out_channels, bias=False)
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """x (…, C) → (…, D)."""
        rows = self.linear(x.flatten(0, -2))
        return F.leaky_relu(self.norm(rows), self.slope, inplace=True).view(*x.shape[:-1], -1)


def maximum_over_points(values: Tensor) -> Tensor:
    """(B, N, D) → (B, D).

    Compiled, the winners are kept by their numbers. `amax` looks for them again in its backward pass, among values that
    the compiler may have computed anew in another precision: under autocast none is equal, and 0 / 0 is the gradient.
    """
    return values.max(dim=1).values if torch.compiler.is_compiling() and not plain() else values.amax(dim=1)

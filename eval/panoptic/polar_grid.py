"""The ground around a LiDAR in polar cells, on which objects are found: rows are ranges, columns are angles.

As Panoptic-PolarNet divides it (Zhou et al., 2021, https://arxiv.org/abs/2103.14962). Its code makes cells a little too
large, so that the angle π has a column of its own; here it is −π, whose neighbor on the other side is the last column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PolarGrid:
    """How the ground is divided.

    Args:
        reach: meters from the sensor to the end of the last row, which holds all points beyond, too
        cells: rows along the range, and columns around the sensor
    """

    reach: float = 50.0
    cells: tuple[int, int] = (480, 360)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.reach) and self.reach > 0):
            raise ValueError(f"found a reach of {self.reach}, expected meters above 0, e.g. 50")
        if len(self.cells) != 2 or min(self.cells) < 1 or max(self.cells) > 8192:
            raise ValueError(f"found cells {list(self.cells)}, expected two numbers from 1 to 8192, e.g. [480, 360]")

    def positions(self, points: Tensor) -> Tensor:
        """Where points (N, 2 or more) are, in cells: (N, 2) float64; whole numbers are the borders between cells."""
        x, y = points[:, :2].double().unbind(dim=1)
        rows, columns = self.cells
        turn = (torch.atan2(y, x) + math.pi) / (2 * math.pi)
        return torch.stack([torch.hypot(x, y) * (rows / self.reach), turn * columns], dim=1)

    def cells_of(self, points: Tensor) -> Tensor:
        """The cells (N, 2) int64, row and column, that hold points (N, 2 or more)."""
        rows, columns = self.cells
        row, column = self.positions(points).floor().long().unbind(dim=1)
        return torch.stack([row.clamp(max=rows - 1), column % columns], dim=1)

    def wrapped(self, steps: Tensor) -> Tensor:
        """Steps (…, 2) between cells, the one around the sensor by the shorter way: at most half of the columns."""
        columns = self.cells[1]
        around = (steps[..., 1] + columns / 2) % columns - columns / 2
        return torch.stack([steps[..., 0], around], dim=-1)

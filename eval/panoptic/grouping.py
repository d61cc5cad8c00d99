"""Objects from classes, heat map and offsets: peaks of the map, and for every voxel of a thing the nearest one.

Panoptic-DeepLab's rule (Cheng et al., 2020, https://arxiv.org/abs/1911.10194) in polar cells, as Panoptic-PolarNet has
it. That code takes the shorter way around the sensor along the range instead of the angle; here it is along the angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from crosspoint.eval.panoptic.polar_grid import PolarGrid
from crosspoint.renderers.ranges import in_range

MOST = 32767  # objects of a frame: what an int16 holds


@dataclass(frozen=True)
class GroupingConfig:
    """How objects are found in what the network says.

    Args:
        threshold: least height of a peak of the heat map
        neighborhood: edge in cells of the square in which a peak is the highest, odd
        most: peaks of a frame, the highest ones
    """

    threshold: float = 0.1
    neighborhood: int = 5
    most: int = 100

    def __post_init__(self) -> None:
        in_range("most", self.most, 1, MOST)
        in_range("threshold", self.threshold, 0.0, 1.0)
        if self.neighborhood < 1 or self.neighborhood % 2 == 0:
            raise ValueError(f"found a neighborhood of {self.neighborhood} cells, expected an odd number, e.g. 5")


def find_centers(heat: Tensor, grouping: GroupingConfig) -> Tensor:
    """The cells (n, 2) int64 of the peaks of a heat map (H, W), the highest first.

    The neighborhood goes on beyond the last column in the first. All cells of a plateau are peaks.
    """
    half, columns = grouping.neighborhood // 2, heat.shape[1]
    beside = torch.arange(-half, columns + half, device=heat.device) % columns
    padded = F.pad(heat[:, beside], (0, 0, half, half), value=-torch.inf)
    highest = F.max_pool2d(padded[None, None], grouping.neighborhood, stride=1)[0, 0]
    peaks = ((heat == highest) & (heat > grouping.threshold)).nonzero()
    heights = heat[peaks[:, 0], peaks[:, 1]]
    return peaks[heights.argsort(descending=True, stable=True)[: grouping.most]]


def group_voxels(
    probabilities: Tensor,
    cells: Tensor,
    heat: Tensor,
    offset: Tensor,
    *,
    things: Tensor,
    grid: PolarGrid,
    grouping: GroupingConfig,
) -> tuple[Tensor, Tensor]:
    """The class and the object of each voxel of one frame.

    A voxel whose likeliest class has objects goes to the peak that is nearest to where its cell's offset leads, in
    cells. An object has the class whose probabilities at its voxels add up to most, among classes with objects; its
    voxels take it. In a frame without peaks voxels keep their classes, and have no object.

    Args:
        probabilities: (M, K), rows that add up to 1.
        cells: (M, 2) int64, row and column of each voxel.
        heat: (H, W).
        offset: (2, H, W) in cells.
        things: (K,) bool, the classes with objects.
        grid: of H rows and W columns.
        grouping: how peaks are found.

    Returns:
        Classes (M,) int64, and objects (M,) int64, 0 for none, numbers from 1 on in the order of the peaks' heights.
    """
    classes = probabilities.argmax(dim=1)
    objects = torch.zeros_like(classes)
    chosen = things[classes].nonzero()[:, 0]
    centers = find_centers(heat, grouping)
    if len(centers) == 0 or len(chosen) == 0:
        return classes, objects
    row, column = cells[chosen].unbind(dim=1)
    pointed = cells[chosen] + offset[:, row, column].T
    steps = grid.wrapped(pointed[:, None] - (centers + 0.5))  # a peak is the middle of its cell
    nearest = steps.square().sum(dim=2).argmin(dim=1)
    objects[chosen] = nearest + 1
    votes = probabilities.new_zeros(len(centers), probabilities.shape[1])
    votes.index_add_(0, nearest, probabilities[chosen])
    classes[chosen] = votes.masked_fill(~things, -torch.inf).argmax(dim=1)[nearest]
    return classes, objects

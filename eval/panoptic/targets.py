"""Targets of the instance branch: a map with a hill at the center of every object, and the way there from its cells.

Panoptic-PolarNet (Zhou et al., 2021, https://arxiv.org/abs/2103.14962), in its code the polar case of
`PanopticLabelGenerator`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from crosspoint.eval.panoptic.polar_grid import PolarGrid
from crosspoint.scene.data.sample import IGNORED

LOWEST = 0.01  # of a hill, below which a cell is as far from objects as any other


class PanopticTargets(NamedTuple):
    """The maps of B frames, H rows and W columns each."""

    heat: Tensor  # (B, H, W) float32 from 0 to 1: 1 at the cell that holds an object's center
    offset: Tensor  # (B, 2, H, W) float32: rows and columns from a cell's index to its object's center
    labeled: Tensor  # (B, H, W) bool: some point of the cell has a class
    object: Tensor  # (B, H, W) bool: some point of the cell is of an object


def panoptic_targets(
    points: Tensor,
    labels: Tensor,
    objects: Tensor,
    frames: Tensor,
    *,
    count: int,
    things: Tensor,
    grid: PolarGrid,
    sigma: float,
) -> PanopticTargets:
    """Draw the maps of some frames.

    The center of an object is the mean x and y of its points. Its hill is a Gaussian of cells around the center's,
    to three deviations and one cell more; where hills meet, the higher one counts; they go on beyond the last column in
    the first. A cell belongs to the object that has most of its points, of two with as many to the lower number.
    Objects whose center is out of reach are in no map.

    Args:
        points: (N, 3) meters.
        labels: (N,) int64, classes or `IGNORED`.
        objects: (N,) int64, numbers within the frame; 0 for none.
        frames: (N,) int64, the frame of each point.
        count: B, how many frames there are.
        things: (K,) bool, the classes with objects: numbers of other classes do not count.
        grid: of H rows and W columns.
        sigma: deviation of the Gaussian in cells.
    """
    rows, columns = grid.cells
    size, device = rows * columns, points.device
    heat, offset = torch.zeros(count * size, device=device), torch.zeros(count * size, 2, device=device)
    member = (labels != IGNORED) & (objects > 0) & things[labels.clamp(min=0)]
    cells = grid.cells_of(points)
    place = frames * size + cells[:, 0] * columns + cells[:, 1]
    labeled, filled = (torch.zeros(count * size, dtype=torch.bool, device=device) for _ in range(2))
    labeled[place[labels != IGNORED]] = True
    if bool(member.any()):
        key = frames[member] * (int(objects.max()) + 1) + objects[member]
        numbers, of_point = key.unique(return_inverse=True)  # of all frames, in order
        sums = points.new_zeros(len(numbers), 2, dtype=torch.float64)
        sums.index_add_(0, of_point, points[member, :2].double())
        center = grid.positions(sums / of_point.bincount(minlength=len(numbers))[:, None])
        near = center[:, 0] < rows
        frame = numbers // (int(objects.max()) + 1)
        _raise_hills(heat, center[near], frame[near], grid, sigma)
        cell, owner = _majority(place[member], of_point, len(numbers))
        cell, owner = cell[near[owner]], owner[near[owner]]
        index = torch.stack([cell % size // columns, cell % columns], dim=1)
        offset[cell] = grid.wrapped(center[owner] - index).float()
        filled[cell] = True
    shape = (count, rows, columns)
    return PanopticTargets(
        heat.view(shape), offset.view(*shape, 2).movedim(3, 1), labeled.view(shape), filled.view(shape)
    )


def _raise_hills(heat: Tensor, center: Tensor, frame: Tensor, grid: PolarGrid, sigma: float) -> None:
    """Draw a Gaussian around the cell of each center (n, 2) into the maps (B · H · W,)."""
    rows, columns = grid.cells
    half = round(3 * sigma) + 1
    step = torch.arange(-half, half + 1, device=heat.device)
    peak = center.floor().long()
    row = (peak[:, 0, None, None] + step[:, None]).expand(-1, -1, len(step))
    column = (peak[:, 1, None, None] + step).expand(-1, len(step), -1) % columns
    height = torch.exp(-(step[:, None].square() + step.square()) / (2 * sigma**2)).expand_as(row)
    inside = (row >= 0) & (row < rows)
    place = (frame[:, None, None] * rows + row) * columns + column
    heat.scatter_reduce_(0, place[inside], height[inside], "amax")


def _majority(place: Tensor, owner: Tensor, owners: int) -> tuple[Tensor, Tensor]:
    """The places (c,) that occur, and for each the most frequent owner there, the lowest of several."""
    pairs, times = (place * owners + owner).unique(return_counts=True)
    order = torch.argsort(times, descending=True, stable=True)  # of one place the most frequent first, then the lowest
    order = order[torch.argsort(pairs[order] // owners, stable=True)]
    where = pairs[order] // owners
    first = torch.ones_like(where, dtype=torch.bool)
    first[1:] = where[1:] != where[:-1]
    return where[first], (pairs[order] % owners)[first]

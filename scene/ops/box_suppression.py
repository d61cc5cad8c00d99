"""Non-maximum suppression of boxes from above: of those that overlap, or lie close together, the best one stays.

Boxes are taken by descending score; of equal scores the first comes first. Each that is still there is kept, and
removes the later ones that it suppresses. Here a block of boxes is settled at once, and what it keeps then meets the
rest, so boxes that fall early are never compared with all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from crosspoint.ops.precision import full_precision
from crosspoint.scene.ops.rotated_boxes import Outlines, checked_boxes

BLOCK = 128  # boxes that are settled at once

# Rows (n,) and columns (m,) of boxes → (n, m) bool: whether the box of the row removes that of the column
Removes = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def rotated_nms(boxes: Tensor, scores: Tensor, threshold: float, most: int | None = None) -> Tensor:
    """Non-maximum suppression by IoU from above.

    Args:
        boxes: (N, 7): center x y z, length, width, height in meters, heading in radians.
        scores: (N,).
        threshold: a box is removed by a better one with which its IoU is above this, from 0 to 1.
        most: boxes that are kept at most; None for all.

    Returns:
        Rows (K,) int64 of the kept boxes, by descending score.

    Raises:
        ValueError: if boxes are no finite (N, 7) of sizes from 0, scores do not fit them or are NaN, or threshold or
            most are out of range.
    """
    boxes = checked_boxes(boxes)
    if not 0 <= threshold <= 1:
        raise ValueError(f"found a threshold of {threshold}, expected an IoU from 0 to 1")
    order = _by_score(scores, len(boxes), most)
    outlines = Outlines(boxes[order])
    area, log_area = outlines.area, outlines.area.log()

    def removes(rows: Tensor, columns: Tensor) -> Tensor:
        found = outlines.near(rows, outlines, columns)
        if threshold > 0:  # the smaller of two boxes bounds what they share; a box without area shares nothing
            found &= (log_area[rows, None] - log_area[columns]).abs_() <= 0.001 - math.log(threshold)
        row, column = found.nonzero(as_tuple=True)
        shared = outlines.overlap(rows[row], outlines, columns[column])
        union = area[rows[row]] + area[columns[column]] - shared
        found[row, column] = shared > threshold * union
        return found

    return order[_keep(removes, len(boxes), most, boxes.device)]


@torch.no_grad()
def circle_nms(centers: Tensor, scores: Tensor, radius: float, most: int | None = None) -> Tensor:
    """Non-maximum suppression by the distance of centers, as in CenterPoint (https://arxiv.org/abs/2006.11275).

    Args:
        centers: (N, 2) meters, from above.
        scores: (N,).
        radius: meters; a box is removed by a better one at this distance or nearer. What configurations of CenterPoint
            call `min_radius` (4, 12, 10, 1, 0.85, 0.175) is compared with squares there: give the root of those.
        most: boxes that are kept at most; None for all.

    Returns:
        Rows (K,) int64 of the kept boxes, by descending score.

    Raises:
        ValueError: if centers are no finite (N, 2), scores do not fit them or are NaN, or radius or most are out of
            range.
    """
    if centers.ndim != 2 or centers.shape[1] != 2 or not bool(centers.isfinite().all()):
        raise ValueError(
            f"found centers of shape {tuple(centers.shape)} or NaN or infinite ones, expected finite (N, 2): x and y"
        )
    if not radius >= 0:
        raise ValueError(f"found a radius of {radius}, expected meters from 0")
    order = _by_score(scores, len(centers), most)
    x, y = full_precision(centers)[order].T.contiguous()

    def removes(rows: Tensor, columns: Tensor) -> Tensor:
        square = (x[rows, None] - x[columns]).square_() + (y[rows, None] - y[columns]).square_()
        return square <= radius**2

    return order[_keep(removes, len(centers), most, centers.device)]


def _by_score(scores: Tensor, count: int, most: int | None) -> Tensor:
    """Rows (N,) by descending score, and of equal scores by ascending row."""
    if scores.shape != (count,):
        raise ValueError(f"found scores of shape {tuple(scores.shape)}, expected ({count},): one for each box")
    if bool(scores.isnan().any()):
        raise ValueError(
            f"found {int(scores.isnan().sum())} scores that are NaN, expected numbers: look at the network"
        )
    if most is not None and most < 1:
        raise ValueError(f"found {most} boxes to keep at most, expected 1 or more, or None for all")
    return torch.sort(scores, descending=True, stable=True).indices


def _keep(removes: Removes, count: int, most: int | None, device: torch.device) -> Tensor:
    """Rows (K,) that stay, of boxes 0 … count − 1 by descending score."""
    there = torch.arange(count, device=device)
    kept: list[Tensor] = []
    missing = count if most is None else most
    while len(there) and missing > 0:
        block, there = there[:BLOCK], there[BLOCK:]
        stay = block[torch.from_numpy(_settled(removes(block, block).cpu().numpy())).to(device)][:missing]
        kept.append(stay)
        missing -= len(stay)
        if len(there) and missing > 0:
            there = there[~removes(stay, there).any(dim=0)]
    return torch.cat(kept) if kept else there


def _settled(removes: np.ndarray) -> np.ndarray:
    """Which boxes (n,) bool of a block stay: `removes` (n, n), the best box first."""
    stay = np.ones(len(removes), dtype=bool)
    for place in np.flatnonzero(np.triu(removes, 1).any(axis=1)):
        if stay[place]:
            stay[place + 1 :] &= ~removes[place, place + 1 :]
    return stay

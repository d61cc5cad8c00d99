"""Overlap of upright boxes that are turned about the vertical: areas and volumes of intersection, and IoU, exactly.

By Green's theorem the area of a polygon P within the rectangle |x| ≤ a, |y| ≤ b is the integral of clamp(x, −a, a) dy
along those parts of P's border where |y| ≤ b. So two boxes are compared in the frame of one of them, edge by edge of
the other, and no corner of the intersection is ever looked for. Every term is continuous in the boxes: touching,
nested and identical ones need no case of their own, unlike where corners are sorted.

Boxes are rows of seven as in `crosspoint.scene.data.sample.Boxes`: center x y z, length, width, height in meters,
heading in radians about z from x. Nothing here has gradients.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from crosspoint.ops.precision import full_precision

PAIRS_CPU = 2**14  # of boxes that are compared at once: what is held of them stays near the core
PAIRS_GPU = 2**22
DISTANCES_CPU = 2**18
DISTANCES_GPU = 2**26

_FRONT, _LEFT = (1, -1, -1, 1), (1, 1, -1, -1)  # of the corners, counterclockwise from the front left one


@torch.no_grad()
def box_corners(boxes: Tensor) -> Tensor:
    """Corners from above, counterclockwise from the front left one.

    Args:
        boxes: (N, 7).

    Returns:
        (N, 4, 2): x and y in meters.

    Raises:
        ValueError: if boxes are not (N, 7), hold NaN or infinite numbers, or a negative size.
    """
    boxes = checked_boxes(boxes)
    forward = torch.stack([boxes[:, 6].cos(), boxes[:, 6].sin()], dim=1)
    left = torch.stack([-forward[:, 1], forward[:, 0]], dim=1)
    along = boxes.new_tensor(_FRONT)[:, None] * (0.5 * boxes[:, 3, None] * forward)[:, None]
    across = boxes.new_tensor(_LEFT)[:, None] * (0.5 * boxes[:, 4, None] * left)[:, None]
    return boxes[:, None, :2] + along + across


def rotated_overlap(a: Tensor, b: Tensor) -> Tensor:
    """Areas of intersection from above.

    Args:
        a: (N, 7).
        b: (M, 7).

    Returns:
        (N, M) square meters, in float32 or better.

    Raises:
        ValueError: as `box_corners`.
    """
    return _overlaps(checked_boxes(a), checked_boxes(b))


def rotated_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union from above: (N, M) from 0 to 1, 0 where both areas are 0; else as `rotated_overlap`."""
    a, b = checked_boxes(a), checked_boxes(b)
    return _over_union(_overlaps(a, b), a[:, 3] * a[:, 4], b[:, 3] * b[:, 4])


def rotated_iou_3d(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of volumes: (N, M) from 0 to 1, 0 where both are 0; else as `rotated_overlap`."""
    a, b = checked_boxes(a), checked_boxes(b)
    shared = _overlaps(a, b) * _interval_overlap(a[:, 2], a[:, 5], b[:, 2], b[:, 5])
    return _over_union(shared, a[:, 3:6].prod(dim=1), b[:, 3:6].prod(dim=1))


@torch.no_grad()
def aligned_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU from above of boxes that are turned to the nearer axis, as SECOND matches anchors.

    Yan et al. 2018, https://doi.org/10.3390/s18103337. A box that is turned by more than 45° from x, either way, has
    its length along y; one at 45° keeps it along x.

    Args:
        a: (N, 7).
        b: (M, 7).

    Returns:
        (N, M) from 0 to 1, 0 where both areas are 0.

    Raises:
        ValueError: as `box_corners`.
    """
    a, b = checked_boxes(a), checked_boxes(b)
    (ax, ay), (bx, by) = _aligned_sides(a), _aligned_sides(b)
    shared = _interval_overlap(a[:, 0], ax, b[:, 0], bx) * _interval_overlap(a[:, 1], ay, b[:, 1], by)
    return _over_union(shared, ax * ay, bx * by)


def checked_boxes(boxes: Tensor) -> Tensor:
    """Boxes (N, 7) in float32 or better; ValueError if they are no such array, not finite, or of negative size."""
    if boxes.ndim != 2 or boxes.shape[1] != 7:
        raise ValueError(
            f"found boxes of shape {tuple(boxes.shape)}, expected (N, 7): center x y z, length, width, height, heading"
        )
    boxes = full_precision(boxes)
    wrong = ~boxes.isfinite().all(dim=1)
    if bool(wrong.any()):
        raise ValueError(f"found NaN or infinite numbers in {_named(boxes, wrong)}, expected finite ones: drop the box")
    wrong = (boxes[:, 3:6] < 0).any(dim=1)
    if bool(wrong.any()):
        raise ValueError(f"found a negative size in {_named(boxes, wrong)}, expected meters from 0")
    return boxes


class Outlines:
    """Boxes as they are compared from above, each property an array of its own so that pairs of them are gathered fast.

    Args:
        boxes: (N, 7), checked.
    """

    def __init__(self, boxes: Tensor) -> None:
        self.x, self.y = boxes[:, 0].contiguous(), boxes[:, 1].contiguous()
        self.half_length, self.half_width = 0.5 * boxes[:, 3], 0.5 * boxes[:, 4]
        self.cos, self.sin = boxes[:, 6].cos(), boxes[:, 6].sin()
        self.radius = torch.hypot(self.half_length, self.half_width)
        self.area = boxes[:, 3] * boxes[:, 4]

    def near(self, rows: Tensor | slice, others: Outlines, columns: Tensor | slice = slice(None)) -> Tensor:
        """Whether circumscribed circles meet: rows (n,) of these boxes, columns (m,) of others → (n, m) bool."""
        square = (self.x[rows].unsqueeze(1) - others.x[columns]).square_()
        square += (self.y[rows].unsqueeze(1) - others.y[columns]).square_()
        return square < (self.radius[rows].unsqueeze(1) + others.radius[columns]).square_()

    def overlap(self, rows: Tensor, others: Outlines, columns: Tensor) -> Tensor:
        """Areas of intersection of pairs: rows (P,) of these boxes, columns (P,) of others → (P,)."""
        at_once = PAIRS_GPU if self.x.is_cuda else PAIRS_CPU
        parts = zip(rows.split(at_once), columns.split(at_once), strict=True)
        areas = [self._pairs(row, others, column) for row, column in parts]
        return torch.cat(areas) if areas else self.x.new_zeros(0)

    def _pairs(self, row: Tensor, others: Outlines, column: Tensor) -> Tensor:
        """The first boxes (P,) in the frames of the second: their borders' integrals of clamp(x) dy."""
        cos, sin = others.cos[column], others.sin[column]
        dx, dy = self.x[row] - others.x[column], self.y[row] - others.y[column]
        own_cos, own_sin = self.cos[row], self.sin[row]
        turn_cos, turn_sin = own_cos * cos + own_sin * sin, own_sin * cos - own_cos * sin
        length, width = self.half_length[row], self.half_width[row]
        front, left = self.x.new_tensor(_FRONT)[:, None], self.x.new_tensor(_LEFT)[:, None]
        x = (cos * dx + sin * dy) + front * (length * turn_cos) - left * (width * turn_sin)  # (4, P)
        y = (cos * dy - sin * dx) + front * (length * turn_sin) + left * (width * turn_cos)
        a, b = others.half_length[column], others.half_width[column]
        area = _clamped_integral(x, y, a, b).sum(dim=0)
        return torch.minimum(area.clamp_(min=0), torch.minimum(self.area[row], others.area[column]))


def _clamped_integral(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """∫ clamp(x, −a, a) dy along each edge (4, P) of a closed polygon, where |y| ≤ b.

    Divisions are by what an edge spans. Where that is next to nothing the quotient means nothing, but then it weighs
    a difference that is next to nothing, too; so it is only kept from 0 to 1.
    """
    tiny = torch.finfo(x.dtype).tiny  # makes 0 / 0 a 0
    step_x, step_y = x.roll(-1, 0).sub_(x), y.roll(-1, 0).sub_(y)
    from_y, to_y = torch.clamp(y, -b, b), torch.clamp(y + step_y, -b, b)
    step_y += tiny
    start = ((from_y - y) / step_y).clamp_(0, 1).mul_(step_x).add_(x)
    end = ((to_y - y) / step_y).clamp_(0, 1).mul_(step_x).add_(x)
    from_x, to_x = torch.clamp(start, -a, a), torch.clamp(end, -a, a)
    # The mean of clamp(x): from_x up to where x enters the band, evenly on to to_x, and to_x from where x leaves it
    change = to_x - from_x
    late = torch.add(end - to_x, change, alpha=0.5).div_(end.sub_(start).add_(tiny)).clamp_(0, 1)
    return late.mul_(change).add_(from_x).mul_(to_y.sub_(from_y))


@torch.no_grad()
def _overlaps(a: Tensor, b: Tensor) -> Tensor:
    """All areas (N, M): only pairs whose circumscribed circles meet are compared."""
    boxes, others = Outlines(a), Outlines(b)
    areas = torch.zeros(len(a), len(b), dtype=torch.promote_types(a.dtype, b.dtype), device=a.device)
    at_once = max(1, (DISTANCES_GPU if a.is_cuda else DISTANCES_CPU) // max(1, len(b)))
    for first in range(0, len(a), at_once):
        row, column = boxes.near(slice(first, first + at_once), others).nonzero(as_tuple=True)
        row = row + first
        areas[row, column] = boxes.overlap(row, others, column)
    return areas


def _over_union(shared: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Intersections (N, M) over unions, from the sizes (N,) and (M,); 0 where the union is 0."""
    union = a[:, None] + b - shared
    return torch.where(union > 0, shared / union, 0).clamp_(max=1)


def _interval_overlap(center: Tensor, size: Tensor, other_center: Tensor, other_size: Tensor) -> Tensor:
    """What intervals (N,) and (M,) share: (N, M)."""
    low = torch.maximum((center - 0.5 * size)[:, None], other_center - 0.5 * other_size)
    high = torch.minimum((center + 0.5 * size)[:, None], other_center + 0.5 * other_size)
    return (high - low).clamp_(min=0)


def _aligned_sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Extents along x and y (N,) of boxes that are turned to the nearer axis."""
    turn = boxes[:, 6] - math.pi * torch.round(boxes[:, 6] / math.pi)  # from −90° to 90°
    across = turn.abs() > math.pi / 4
    length, width = boxes[:, 3], boxes[:, 4]
    return torch.where(across, width, length), torch.where(across, length, width)


def _named(boxes: Tensor, wrong: Tensor) -> str:
    """The first box that is wrong, and how many are."""
    first = int(wrong.int().argmax())
    values = ", ".join(f"{value:.4g}" for value in boxes[first].tolist())
    return f"box {first} ({values}), one of {int(wrong.sum())} such boxes of {len(boxes)}"

"""Anchors: boxes of each class's usual size at every cell of a map from above, and which of them answer for an object.

Yan et al., SECOND, 2018, https://doi.org/10.3390/s18103337; as in OpenPCDet's AxisAlignedTargetAssigner.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from crosspoint.scene.ops.rotated_boxes import aligned_iou

BACKGROUND, UNDECIDED = -1, -2  # in place of the row of an anchor's object
HEADINGS = (0.0, math.pi / 2)


@dataclass(frozen=True)
class AnchorClass:
    """The anchors of a class.

    Args:
        name: of the class
        size: length, width and height in meters
        bottom: z of the bottom face in meters
        matched: IoU with an object from which on an anchor answers for it
        unmatched: IoU with all objects below which an anchor is to say that there is none
    """

    name: str
    size: tuple[float, float, float]
    bottom: float
    matched: float = 0.5
    unmatched: float = 0.35

    def __post_init__(self) -> None:
        if len(self.size) != 3 or not min(self.size) > 0:
            raise ValueError(f"found anchors of {self.name} of size {list(self.size)}, expected three meters above 0")
        if not 0 < self.unmatched <= self.matched <= 1:
            raise ValueError(
                f"found anchors of {self.name} matched from {self.matched} and unmatched below {self.unmatched}, "
                "expected two IoUs from 0 to 1, the second not above the first"
            )


KITTI = (
    AnchorClass("Car", (3.9, 1.6, 1.56), -1.78, 0.6, 0.45),
    AnchorClass("Pedestrian", (0.8, 0.6, 1.73), -0.6),
    AnchorClass("Cyclist", (1.76, 0.6, 1.73), -0.6),
)


def anchor_grid(classes: Sequence[AnchorClass], extent: Sequence[float], size: tuple[int, int]) -> Tensor:
    """Anchors of all cells, of every class along x and along y.

    Centers are spread over the extent from end to end: the first column's lie on its border.

    Args:
        classes: K of them.
        extent: lowest and highest x y z in meters.
        size: H and W of the map.

    Returns:
        (H, W, K, 2, 7) float32.
    """
    height, width = size
    y, x = torch.linspace(extent[1], extent[4], height), torch.linspace(extent[0], extent[3], width)
    anchors = torch.zeros(height, width, len(classes), len(HEADINGS), 7)
    anchors[..., 0], anchors[..., 1] = x.view(1, -1, 1, 1), y.view(-1, 1, 1, 1)
    for place, kind in enumerate(classes):
        anchors[:, :, place, :, 2] = kind.bottom + kind.size[2] / 2
        anchors[:, :, place, :, 3:6] = torch.tensor(kind.size)
    anchors[..., 6] = torch.tensor(HEADINGS)
    return anchors


def match_anchors(anchors: Tensor, boxes: Tensor, kind: AnchorClass) -> Tensor:
    """Which object of a class each of its anchors answers for.

    An anchor answers for the object with which its IoU is highest, if that is at least `matched`, or if no other anchor
    is nearer to some object. IoU is that of boxes turned to the nearer axis, from above.

    Args:
        anchors: (A, 7).
        boxes: (n, 7), objects of the class.
        kind: the class.

    Returns:
        (A,) int64: the row of the object, `BACKGROUND`, or `UNDECIDED` for anchors that no loss looks at.
    """
    if len(boxes) == 0:
        return torch.full((len(anchors),), BACKGROUND, device=anchors.device)
    iou = aligned_iou(anchors, boxes.to(anchors))
    best, row = iou.max(dim=1)
    highest = iou.max(dim=0).values
    nearest = ((iou == highest) & (highest > 0)).any(dim=1)
    undecided = torch.where(best < kind.unmatched, BACKGROUND, UNDECIDED)
    return torch.where((best >= kind.matched) | nearest, row, undecided)


def anchors_of_boxes(names: Sequence[str], boxes: Tensor, labels: Tensor) -> list[AnchorClass]:
    """Anchors of the mean size and the mean bottom of each class's boxes; long objects are matched as KITTI's cars are.

    Args:
        names: of the classes.
        boxes: (n, 7), of many frames.
        labels: (n,) int64.

    Raises:
        ValueError: if a class has no box of a size above 0.
    """
    made = []
    for label, name in enumerate(names):
        own = boxes[(labels == label) & (boxes[:, 3:6] > 0).all(dim=1)]
        if len(own) == 0:
            raise ValueError(
                f"found no box of the class {name} to take the size of anchors from, expected some: give "
                "detector.anchors, or the head center, which has none"
            )
        size, bottom = own[:, 3:6].mean(dim=0).tolist(), float((own[:, 2] - own[:, 5] / 2).mean())
        thresholds = (0.6, 0.45) if size[0] > 3 else (0.5, 0.35)
        made.append(AnchorClass(name, (size[0], size[1], size[2]), bottom, *thresholds))
    return made

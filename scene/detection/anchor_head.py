"""The head of SECOND: each anchor gets a score for every class, a correction of its box, and a direction.

Yan et al., 2018, https://doi.org/10.3390/s18103337; numbers as in OpenPCDet's second.yaml.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crosspoint.ops.precision import full_precision
from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.detection.anchors import HEADINGS, UNDECIDED, AnchorClass, anchor_grid, match_anchors
from crosspoint.scene.detection.box_codes import (
    decode_boxes,
    directed,
    encode_boxes,
    heading_directions,
    sine_difference,
)
from crosspoint.scene.detection.found_boxes import FoundBoxes, suppress
from crosspoint.scene.detection.head import DetectionHead
from crosspoint.scene.detection.losses import sigmoid_focal, smooth_l1

CANDIDATES, KEPT = 4096, 500


class AnchorsSaid(NamedTuple):
    """What a head says of A anchors of B frames."""

    scores: Tensor  # (B, A, K) logits of the classes
    codes: Tensor  # (B, A, 7)
    directions: Tensor  # (B, A, 2) logits


class AnchorHead(DetectionHead):
    """Boxes from anchors.

    The loss of a frame: 1 · focal loss of all decided anchors, 2 · smooth L1 of the codes and 0.2 · cross entropy of
    the directions of those that answer for an object, all divided by the number of these; then the mean of the frames.

    Args:
        in_channels: of the map.
        classes: the anchors of each class, in the order of the classes.
        extent: lowest and highest x y z in meters.
        size: H and W of the map.
        score: least score of a detection.
        overlap: IoU from above with a better detection above which one goes.
    """

    anchors: Tensor

    def __init__(
        self,
        in_channels: int,
        classes: Sequence[AnchorClass],
        extent: Sequence[float],
        size: tuple[int, int],
        *,
        score: float = 0.1,
        overlap: float = 0.01,
    ) -> None:
        super().__init__()
        self.classes, self.score, self.overlap = list(classes), score, overlap
        each = len(classes) * len(HEADINGS)
        self.class_layer = nn.Conv2d(in_channels, each * len(classes), 1)
        self.box_layer = nn.Conv2d(in_channels, each * 7, 1)
        self.direction_layer = nn.Conv2d(in_channels, each * 2, 1)
        assert self.class_layer.bias is not None
        nn.init.constant_(self.class_layer.bias, -math.log(99))  # a score of 0.01 everywhere
        nn.init.normal_(self.box_layer.weight, std=1e-3)
        self.register_buffer("anchors", anchor_grid(classes, extent, size).flatten(0, 1), persistent=False)

    def forward(self, maps: Tensor) -> AnchorsSaid:
        """Maps (B, C, H, W) → of every anchor: rows, columns, classes, headings."""
        parts = [self.class_layer, self.box_layer, self.direction_layer]
        said = [full_precision(part(maps)).permute(0, 2, 3, 1) for part in parts]
        cells, each = len(self.anchors), len(self.classes) * len(HEADINGS)
        if said[0].shape[1] * said[0].shape[2] != cells:
            raise ValueError(f"found a map of {tuple(maps.shape[2:])} cells, expected {cells} as of the anchors")
        return AnchorsSaid(*(part.reshape(len(maps), cells * each, -1) for part in said))

    def match(self, boxes: Boxes) -> Tensor:
        """The row of the object of a frame that each anchor answers for, or what `match_anchors` says: (A,) int64."""
        rows = []
        for label, kind in enumerate(self.classes):
            own = (boxes.labels == label).nonzero().squeeze(1).to(self.anchors.device)
            found = match_anchors(self.anchors[:, label].flatten(0, 1), boxes.geometry.to(self.anchors)[own], kind)
            rows.append(torch.where(found >= 0, own[found.clamp(min=0)] if len(own) else found, found))
        return torch.stack([part.view(-1, len(HEADINGS)) for part in rows], dim=1).flatten()

    def loss(self, said: AnchorsSaid, boxes: Sequence[Boxes]) -> dict[str, Tensor]:
        """See `DetectionHead.loss`: "classes", "boxes", "directions"."""
        frames = [self._frame_loss(*parts) for parts in zip(*said, boxes, strict=True)]
        totals = torch.stack([torch.stack(parts) for parts in frames]).mean(dim=0)
        return dict(zip(("classes", "boxes", "directions"), totals.unbind(), strict=True))

    def _frame_loss(
        self, scores: Tensor, codes: Tensor, directions: Tensor, boxes: Boxes
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows = self.match(boxes)
        answering = (rows >= 0).nonzero().squeeze(1)
        count = max(1, len(answering))
        truth = boxes.geometry.to(codes)[rows[answering]]
        wanted = torch.zeros_like(scores)
        wanted[answering, boxes.labels.to(rows.device)[rows[answering]]] = 1
        decided = rows != UNDECIDED
        focal = sigmoid_focal(scores[decided], wanted[decided]).sum()
        targets = encode_boxes(truth, self.anchors.flatten(0, 2)[answering])
        regression = smooth_l1(sine_difference(codes[answering], targets)).sum()
        turned = F.cross_entropy(directions[answering], heading_directions(truth[:, 6]), reduction="sum")
        return focal / count, 2.0 * regression / count, 0.2 * turned / count

    def detect(self, said: AnchorsSaid) -> list[FoundBoxes]:
        """Of each frame the anchors of the highest scores, corrected, that no better one overlaps."""
        return [self._frame_boxes(*parts) for parts in zip(*said, strict=True)]

    def _frame_boxes(self, scores: Tensor, codes: Tensor, directions: Tensor) -> FoundBoxes:
        best, labels = scores.sigmoid().max(dim=1)
        rows = (best >= self.score).nonzero().squeeze(1)
        geometry = decode_boxes(codes[rows], self.anchors.flatten(0, 2)[rows])
        headings = directed(geometry[:, 6], directions[rows].argmax(dim=1))
        geometry = torch.cat([geometry[:, :6], headings.unsqueeze(1)], dim=1)
        found = FoundBoxes(geometry, labels[rows], best[rows])
        return suppress(found, score=self.score, overlap=self.overlap, before=CANDIDATES, after=KEPT)

"""Boxes that a detector finds in a frame, and those that are kept of many candidates."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from crosspoint.scene.ops.box_suppression import rotated_nms


class FoundBoxes(NamedTuple):
    """Boxes with scores, the best first."""

    geometry: Tensor  # (n, 7) float32, as in `Boxes`
    labels: Tensor  # (n,) int64, index into the dataset's box classes
    scores: Tensor  # (n,) float32, from 0 to 1

    def to_cpu(self) -> FoundBoxes:
        """The same in the memory of the CPU."""
        return FoundBoxes(*(part.detach().cpu() for part in self))


def join_found(parts: list[FoundBoxes]) -> FoundBoxes:
    """Boxes of several sources as one list, the best first."""
    joined = [torch.cat(values) for values in zip(*parts, strict=True)]
    order = joined[2].argsort(descending=True, stable=True)
    return FoundBoxes(*(part[order] for part in joined))


def suppress(found: FoundBoxes, *, score: float, overlap: float, before: int, after: int) -> FoundBoxes:
    """The boxes that stay of many candidates, whatever their classes.

    Args:
        found: candidates, in any order.
        score: candidates below it go.
        overlap: IoU from above of a box with a better one above which it goes.
        before: how many of the best are looked at.
        after: how many are kept.
    """
    good = (found.scores >= score) & found.geometry.isfinite().all(dim=1)  # an early network's sizes may be infinite
    scores, rows = found.scores[good].topk(min(before, int(good.sum())))
    geometry, labels = found.geometry[good][rows], found.labels[good][rows]
    kept = rotated_nms(geometry, scores, overlap, after) if len(rows) else rows
    return FoundBoxes(geometry[kept], labels[kept], scores[kept])

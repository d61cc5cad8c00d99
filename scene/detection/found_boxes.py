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
    velocities: Tensor | None = None  # (n, 2) float32, as in `Boxes`, none NaN; None where the detector says none

    def to_cpu(self) -> FoundBoxes:
        """The same in the memory of the CPU."""
        geometry, labels, scores, velocities = self
        moved = None if velocities is None else velocities.detach().cpu()
        return FoundBoxes(geometry.detach().cpu(), labels.detach().cpu(), scores.detach().cpu(), moved)

    def keep(self, rows: Tensor) -> FoundBoxes:
        """Some of the boxes: those of row numbers (m,) int64, or those for which (n,) bool is true."""
        geometry, labels, scores, velocities = self
        return FoundBoxes(geometry[rows], labels[rows], scores[rows], None if velocities is None else velocities[rows])


def join_found(parts: list[FoundBoxes]) -> FoundBoxes:
    """Boxes of several sources as one list, the best first; with velocities where all have them."""
    geometry, labels, scores = (torch.cat([part[place] for part in parts]) for place in range(3))  # type: ignore[misc]
    velocities = [part.velocities for part in parts if part.velocities is not None]
    joined = FoundBoxes(geometry, labels, scores, torch.cat(velocities) if len(velocities) == len(parts) else None)
    return joined.keep(scores.argsort(descending=True, stable=True))


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
    if found.velocities is not None:
        good &= found.velocities.isfinite().all(dim=1)
    found = found.keep(good)
    found = found.keep(found.scores.topk(min(before, len(found.scores))).indices)
    return found.keep(rotated_nms(found.geometry, found.scores, overlap, after)) if len(found.scores) else found

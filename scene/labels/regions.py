"""Regions without classes: an image in the parts that Segment Anything sees in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.labels.foundation_model import FoundationModel
from crosspoint.scene.labels.labeler import Labeler, Painter
from crosspoint.scene.labels.manifest import Kind
from crosspoint.scene.labels.segment_anything import SegmentAnything, check_type


@dataclass(frozen=True)
class RegionLabeler(Labeler):
    """Regions of an image, with numbers from 1, as Seal (Liu et al., 2023, https://arxiv.org/abs/2306.09347) uses them.

    A number means something in its own image alone.

    Args:
        model: SAM or SAM 2, hub id or folder.
        revision: of the hub's repository.
        points: of the grid, along each side.
        predicted_iou: the network's own guess of a mask's quality must be higher; 0.8 is SAM 2's default, SAM's 0.88.
        stability: IoU of a mask under a small shift of the threshold must be higher.
        overlap: of two masks whose boxes have a higher IoU, one is left out.

    Raises:
        ValueError: if there is no point, or another setting lies outside 0…1.
    """

    model: str = "facebook/sam2.1-hiera-large"
    revision: str | None = None
    points: int = 32
    predicted_iou: float = 0.8
    stability: float = 0.95
    overlap: float = 0.7

    kind: ClassVar[Kind] = "regions"

    def __post_init__(self) -> None:
        if self.points < 1 or not all(0 <= each <= 1 for each in (self.predicted_iou, self.stability, self.overlap)):
            raise ValueError(
                f"found {self.points} points, predicted_iou {self.predicted_iou}, stability {self.stability} and "
                f"overlap {self.overlap}, expected at least 1 point, and 0 to 1"
            )

    @property
    def names(self) -> list[str]:
        """None."""
        return []

    def recipe(self) -> JsonObject:
        """The network's identity and the settings."""
        check_type(self._foundation)
        settings = {name: getattr(self, name) for name in ("points", "predicted_iou", "stability", "overlap")}
        return {"labels": "regions", **self._foundation.identity(), **settings}

    def load(self, device: str) -> Painter:
        """The network."""
        segment = SegmentAnything(self._foundation, device)

        def paint(images: Sequence[np.ndarray]) -> list[np.ndarray]:
            settings = (self.points, self.predicted_iou, self.stability, self.overlap)
            return [paint_regions(segment.everywhere(image, *settings), image.shape[:2]) for image in images]

        return paint

    @property
    def _foundation(self) -> FoundationModel:
        return FoundationModel(self.model, self.revision)


def paint_regions(masks: Iterable[Tensor], size: tuple[int, int]) -> np.ndarray:
    """A map of regions from masks that overlap: the largest is painted first, so that parts lie on their wholes.

    Args:
        masks: (H, W) bool.
        size: H, W.

    Returns:
        (H, W) int64: 1…R in the order of painting, without a gap: masks that others hide have no number. 0: no mask.
    """
    canvas = torch.zeros(size, dtype=torch.int64)
    found = [mask.cpu() for mask in masks]
    areas = [int(mask.sum()) for mask in found]
    for number, place in enumerate(sorted(range(len(found)), key=lambda place: -areas[place]), start=1):
        canvas[found[place]] = number
    seen = torch.unique(canvas)
    return torch.searchsorted(seen[seen > 0], canvas, right=True).numpy()

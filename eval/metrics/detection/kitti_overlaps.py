"""Overlaps of what is found with what is labeled, of all frames of KITTI at once, as a list of pairs.

A frame has few objects and a benchmark thousands of frames, so all pairs within frames are compared in one go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from crosspoint.eval.metrics.detection.assignment import all_pairs
from crosspoint.scene.datasets.kitti_labels import DONT_CARE, KittiLabels
from crosspoint.scene.ops.rotated_boxes import Outlines


class Objects:
    """The objects of all frames, one after the other.

    Args:
        frames: their labels or results.
    """

    def __init__(self, frames: Sequence[KittiLabels]) -> None:
        self.counts = np.array([len(frame) for frame in frames], dtype=np.int64)
        self.frame = np.repeat(np.arange(len(frames)), self.counts)
        self.names = np.array([name.lower() for frame in frames for name in frame.names], dtype=str)
        self.image_boxes = np.concatenate([frame.image_boxes for frame in frames] or [np.zeros((0, 4))])
        self.height = self.image_boxes[:, 3] - self.image_boxes[:, 1]  # in pixels
        self.upright = np.concatenate([frame.upright() for frame in frames] or [np.zeros((0, 7))])
        self.truncation, self.occlusion, self.alpha, self.scores = (
            np.concatenate([getattr(frame, name) for frame in frames if getattr(frame, name) is not None] or [[]])
            for name in ("truncation", "occlusion", "alpha", "scores")
        )


class Overlaps(NamedTuple):
    """Pairs of a found and a labeled object of one frame, and how far they overlap."""

    found: np.ndarray  # (P,) int64
    truth: np.ndarray  # (P,) int64
    share: np.ndarray  # (P,) float64, intersection over union

    def above(self, least: float) -> Overlaps:
        """Those pairs that overlap by more than `least`."""
        kept = self.share > least
        return Overlaps(self.found[kept], self.truth[kept], self.share[kept])


def overlaps(found: Objects, truth: Objects, metric: str) -> Overlaps:
    """All pairs that overlap.

    Args:
        found: D objects.
        truth: G objects; DontCare overlaps nothing.
        metric: "2d" for boxes in the image, "bev" for boxes from above, "3d" for volumes.
    """
    one, other = all_pairs(found.counts, truth.counts)
    kept = truth.names[other] != DONT_CARE.lower()
    one, other = one[kept], other[kept]
    if metric == "2d":
        shared = _shared_image(found.image_boxes[one], truth.image_boxes[other])
        sizes, other_sizes = _image_area(found.image_boxes), _image_area(truth.image_boxes)
    else:
        one, other, shared = _shared_above(found.upright, truth.upright, one, other)
        sides = slice(3, 5)
        if metric == "3d":
            shared = shared * _shared_height(found.upright[one], truth.upright[other])
            sides = slice(3, 6)
        sizes, other_sizes = found.upright[:, sides].prod(axis=1), truth.upright[:, sides].prod(axis=1)
    there = shared > 0
    one, other, shared = one[there], other[there], shared[there]
    return Overlaps(one, other, shared / (sizes[one] + other_sizes[other] - shared))


def most_in_dont_care(found: Objects, truth: Objects) -> np.ndarray:
    """The largest share (D,) of each found image box that lies within one region of DontCare."""
    one, other = all_pairs(found.counts, truth.counts)
    kept = truth.names[other] == DONT_CARE.lower()
    one, other = one[kept], other[kept]
    shared = _shared_image(found.image_boxes[one], truth.image_boxes[other])
    area, most = _image_area(found.image_boxes), np.zeros(len(found.frame))
    there = shared > 0
    np.maximum.at(most, one[there], shared[there] / area[one[there]])
    return most


def _image_area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _shared_image(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Areas of intersection of pairs of image boxes (P, 4)."""
    low, high = np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])
    return np.clip(high - low, 0, None).prod(axis=1)


def _shared_above(
    boxes: np.ndarray, others: np.ndarray, one: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Those of the pairs whose circumscribed circles meet, and their areas of intersection from above."""
    reach, other_reach = (np.hypot(each[:, 3], each[:, 4]) / 2 for each in (boxes, others))
    square = ((boxes[one, :2] - others[other, :2]) ** 2).sum(axis=1)
    near = square < (reach[one] + other_reach[other]) ** 2
    one, other = one[near], other[near]
    outlines, other_outlines = Outlines(torch.from_numpy(boxes)), Outlines(torch.from_numpy(others))
    shared = outlines.overlap(torch.from_numpy(one), other_outlines, torch.from_numpy(other))
    return one, other, shared.numpy()


def _shared_height(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    low = np.maximum(boxes[:, 2] - boxes[:, 5] / 2, others[:, 2] - others[:, 5] / 2)
    high = np.minimum(boxes[:, 2] + boxes[:, 5] / 2, others[:, 2] + others[:, 5] / 2)
    return np.clip(high - low, 0, None)

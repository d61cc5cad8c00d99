"""Boxes around objects: their colors, the names of those that occur, and their lines in an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.viz.class_colors import class_colors

NEAREST = 0.1  # meters before the camera: what is nearer is cut off
_UNNAMED = np.full(3, 255, dtype=np.uint8)


class BoxKind(NamedTuple):
    """The boxes of one class."""

    name: str
    color: np.ndarray  # (3,) uint8
    geometry: np.ndarray  # (k, 7), as in `Boxes`


def box_kinds(boxes: Boxes | None, classes: Sequence[str]) -> list[BoxKind]:
    """The boxes of each class that occurs; of all classes together, in white, where these have no names."""
    if boxes is None or len(boxes.geometry) == 0:
        return []
    geometry, labels = boxes.geometry.numpy(), boxes.labels.numpy()
    if not classes:
        return [BoxKind("boxes", _UNNAMED, geometry)]
    table, present = class_colors(classes), np.unique(labels).tolist()
    return [BoxKind(f"box: {classes[kind]}", table[kind], geometry[labels == kind]) for kind in present]


def image_lines(lines: np.ndarray, cameras: Cameras, view: int) -> np.ndarray:
    """Line segments as an image shows them, in pixels x and y: (k, 2, 2) float64; what lies outside it is not cut off.

    Of a line that crosses the plane `NEAREST` before the camera the part behind it is cut off, before it is projected:
    a position behind the camera has a pixel too, on the wrong side of the image.

    Args:
        lines: (m, 2, 3) meters in the LiDAR's frame.
        cameras: V.
        view: the image's place among them.
    """
    K, R, t = (value[view].numpy() for value in (cameras.K, cameras.R, cameras.t))
    ends = lines @ R.T + t
    ends = ends[(ends[..., 2] > NEAREST).any(axis=1)]
    depth, far = ends[..., 2], ends[:, ::-1]
    step = np.where(depth < NEAREST, far[..., 2] - depth, 1.0)  # of the other end, which is beyond the plane
    share = np.clip((NEAREST - depth) / step, 0.0, 1.0)[..., None]
    homogeneous = np.where(depth[..., None] < NEAREST, ends + share * (far - ends), ends) @ K.T
    return homogeneous[..., :2] / homogeneous[..., 2:]

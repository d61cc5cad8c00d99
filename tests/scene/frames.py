"""Samples from arrays, and arrays from samples, as tests write and compare them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.sample import Boxes, LidarSample


def made_frame(
    name: str,
    points: np.ndarray,
    images: Tensor,
    cameras: Cameras,
    labels: np.ndarray | None = None,
    instances: np.ndarray | None = None,
    boxes: Boxes | None = None,
) -> LidarSample:
    """A frame of rows x y z intensity (N, 4)."""
    xyz, intensity = torch.from_numpy(points[:, :3].copy()), torch.from_numpy(points[:, 3].copy())
    frame = LidarSample(name, xyz, {"intensity": intensity}, images, cameras=cameras, boxes=boxes)
    return with_field(with_field(frame, "label", labels), "instance", instances)


def with_field(frame: LidarSample, name: str, values: ArrayLike | None) -> LidarSample:
    """The frame with another point field; without it, where the values are None."""
    fields = {key: field for key, field in frame.point_fields.items() if key != name}
    return replace(frame, point_fields=fields if values is None else {**fields, name: torch.tensor(np.array(values))})


def with_returns(frame: LidarSample, points: np.ndarray) -> LidarSample:
    """The frame with other rows x y z intensity (N, 4) and no other field."""
    xyz, intensity = torch.from_numpy(points[:, :3].copy()), torch.from_numpy(points[:, 3].copy())
    return replace(frame, points=xyz, point_fields={"intensity": intensity})


def made_boxes(geometry: ArrayLike, labels: ArrayLike) -> Boxes:
    return Boxes(torch.tensor(np.array(geometry, dtype=np.float64)), torch.tensor(np.array(labels, dtype=np.int64)))


def returns(frame: LidarSample) -> np.ndarray:
    """Rows x y z intensity (N, 4)."""
    return frame.points_with("intensity").numpy()


def boxes_of(frame: LidarSample) -> Boxes:
    """The boxes of a frame that has some."""
    assert frame.boxes is not None
    return frame.boxes


def labels_of(frame: LidarSample) -> np.ndarray | None:
    return frame.point_fields["label"].numpy() if "label" in frame.point_fields else None


def instances_of(frame: LidarSample) -> np.ndarray | None:
    return frame.point_fields["instance"].numpy() if "instance" in frame.point_fields else None

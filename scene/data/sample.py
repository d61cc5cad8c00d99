"""What the scene room passes around: a frame as a sensor rig took it, and a frame as pairs of points and pixels.

One frame of reference: meters in the LiDAR's frame at its timestamp, x forward, y left, z up. Cameras map that frame to
pixels, ego motion between the timestamps included. Pixels are (x, y) with the center of the top-left one at (0.5, 0.5),
so the pixel that holds a position is its floor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from torch import Tensor

from crosspoint.renderers.cameras import Cameras

IGNORED = -1  # label of points that no figure counts


@dataclass(frozen=True, eq=False)
class Boxes:
    """Upright 3D boxes around objects.

    Args:
        geometry: (n, 7) float64: center x y z, length, width and height in meters, heading in radians about z from x.
        labels: (n,) int64, index into the dataset's box classes.
    """

    geometry: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class SceneFrame:
    """One LiDAR sweep with the images taken around it.

    Args:
        name: for messages: which frame of which sequence.
        points: (N, 4) float32: x y z in meters, intensity in [0, 1].
        images: (V, 3, H, W) uint8.
        cameras: V cameras, from the LiDAR's frame to pixels.
        labels: (N,) int64, index into the dataset's classes or `IGNORED`; None where nothing is labeled.
        instances: (N,) int64, numbers of objects within the frame, 0 for none; None where nothing is labeled.
        boxes: of objects; None where nothing is labeled.
    """

    name: str
    points: np.ndarray
    images: Tensor
    cameras: Cameras
    labels: np.ndarray | None = None
    instances: np.ndarray | None = None
    boxes: Boxes | None = None


class SceneDataset(Protocol):
    """A map-style dataset of frames; whatever an access draws depends on its index alone."""

    name: str
    classes: list[str]  # of the labels; empty where there are none

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> SceneFrame: ...


class ScenePair(NamedTuple):
    """A frame as a cloud, images, and which point is seen at which pixel; augmentations map a pair to a pair."""

    points: Tensor  # (N, 4) float32
    images: Tensor  # (V, 3, H, W) uint8
    pair_point: Tensor  # (P,) int64, rows of points
    pair_view: Tensor  # (P,) int64
    pair_pixel: Tensor  # (P, 2) float32, x and y
    labels: Tensor  # (N,) int64, IGNORED everywhere where nothing is labeled
    regions: Tensor | None = None  # (V, H, W) int64, superpixels of each image from 0; None where no method asks

"""The sample of scenes: a LiDAR frame with images and labels, and which of its points is seen at which pixel.

One frame of reference: meters in the LiDAR's frame at its timestamp, x forward, y left, z up. Cameras map that frame to
pixels, ego motion between the timestamps included. Pixels are (x, y) with the center of the top-left one at (0.5, 0.5),
so the pixel that holds a position is its floor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from crosspoint.renderers.cameras import Cameras

IGNORED = -1  # label of points that no figure counts


class Boxes(NamedTuple):
    """Upright 3D boxes around objects."""

    geometry: Tensor  # (n, 7) float64: center x y z, length, width, height in meters, heading in radians about z from x
    labels: Tensor  # (n,) int64, index into the dataset's box classes
    velocities: Tensor | None = None  # (n, 2) float64, m/s along x and y, NaN where not known; None: the data have none

    def keep(self, rows: Tensor) -> Boxes:
        """Some of the boxes: those of row numbers (m,) int64, or those for which (n,) bool is true."""
        return Boxes(self.geometry[rows], self.labels[rows], None if self.velocities is None else self.velocities[rows])


@dataclass(frozen=True, eq=False)
class LidarSample:
    """One frame of a LiDAR; images, labels and pairs of points and pixels are there where the data have them.

    Point fields, pixel maps and pair fields may have any name: augmentations treat all of them alike. These names have
    a meaning:

    - intensity: (N,) float32, from 0 to 1.
    - label: (N,) int64, index into the dataset's classes, or `IGNORED`.
    - instance: (N,) int64, numbers of objects within the frame, 0 for none.
    - ring: (N,) int64, which of the LiDAR's beams.
    - time: (N,) float32, seconds before the frame's own time; sweep: (N,) int64, 0 for the frame's own points. Both are
      there where several sweeps are aggregated.
    - superpixels: a map (V, H, W) int64, numbers of regions from 0 in each image, −1 for pixels of no region.
    - weak_labels: a map (V, H, W) int64, 0 for pixels of which nothing is said, classes from 1.
    - weak_label: pair field (P,) int64, what the map weak_labels says of the pair's pixel: 0 for nothing, else a class.

    Args:
        name: for messages: which frame of which sequence.
        points: (N, 3) float32: x y z in meters.
        point_fields: what is known of each point: tensors (N, …) by name.
        images: (V, 3, H, W) uint8; V is 0 where there are none. Images of several sizes lie at the top left of arrays
            that hold the largest; `cameras.sizes` says how far each reaches.
        pixel_maps: what is known of each pixel: tensors (V, H, W, …) by name.
        cameras: V cameras, from the frame's points to its pixels; None where they are not known.
        boxes: of objects; None where nothing is labeled.
        pose: (4, 4) float64, from the LiDAR's frame to the world; None where it is not known.
        pair_point: (P,) int64, rows of the points that a pixel sees; P is 0 before points and pixels are paired.
        pair_view: (P,) int64, the image of each pair.
        pair_pixel: (P, 2) float32, x and y of each pair in its image.
        pair_fields: what is known of each pair: tensors (P, …) by name.

    Raises:
        ValueError: if the parts do not fit each other.
    """

    name: str
    points: Tensor
    point_fields: Mapping[str, Tensor] = field(default_factory=dict)
    images: Tensor = field(default_factory=lambda: torch.zeros((0, 3, 1, 1), dtype=torch.uint8))
    pixel_maps: Mapping[str, Tensor] = field(default_factory=dict)
    cameras: Cameras | None = None
    boxes: Boxes | None = None
    pose: Tensor | None = None
    pair_point: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    pair_view: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    pair_pixel: Tensor = field(default_factory=lambda: torch.zeros(0, 2))
    pair_fields: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the images' array."""
        return self.images.shape[2], self.images.shape[3]

    @property
    def image_sizes(self) -> Tensor:
        """H and W of each image within the array, at its top left: (V, 2) int64; the rest of the array is black."""
        if self.cameras is not None:
            return self.cameras.image_sizes
        return torch.tensor(self.image_size).expand(len(self.images), 2)

    def points_with(self, *names: str) -> Tensor:
        """Points beside some of their fields, as networks take them: (N, 3 + fields) float32.

        Raises:
            ValueError: if a field is not there.
        """
        return join_fields(self.points, self.point_fields, names, self.name)

    def keep_points(self, keep: Tensor) -> LidarSample:
        """The sample with those points alone for which `keep` (N,) bool is true, and with their pairs."""
        kept = self.keep_pairs(keep[self.pair_point])
        return replace(
            kept,
            points=self.points[keep],
            point_fields={name: values[keep] for name, values in self.point_fields.items()},
            pair_point=(keep.cumsum(0) - 1)[kept.pair_point],
        )

    def keep_views(self, views: Tensor) -> LidarSample:
        """The sample with some of its images alone, `views` (v,) int64 in this order, and with their pairs."""
        place = torch.full((len(self.images),), -1)
        place[views] = torch.arange(len(views))
        kept = self.keep_pairs(place[self.pair_view] >= 0)
        return replace(
            kept,
            images=self.images[views],
            pixel_maps={name: values[views] for name, values in self.pixel_maps.items()},
            cameras=None if self.cameras is None else self.cameras[views.tolist()],
            pair_view=place[kept.pair_view],
        )

    def keep_pairs(self, keep: Tensor) -> LidarSample:
        """The sample with those pairs alone for which `keep` (P,) bool is true."""
        return replace(
            self,
            pair_point=self.pair_point[keep],
            pair_view=self.pair_view[keep],
            pair_pixel=self.pair_pixel[keep],
            pair_fields={name: values[keep] for name, values in self.pair_fields.items()},
        )


def join_fields(points: Tensor, fields: Mapping[str, Tensor], names: tuple[str, ...], where: str) -> Tensor:
    """Points (N, 3) beside some of their fields (N,): (N, 3 + fields) float32; ValueError if one is not there."""
    absent = [name for name in names if name not in fields]
    if absent:
        raise ValueError(
            f"found no point field {absent[0]!r} in {where}, expected it beside {', '.join(fields) or 'no other'}: "
            "give the sample this field"
        )
    return torch.cat([points, *(fields[name].to(points.dtype).unsqueeze(1) for name in names)], dim=1)


def _check(sample: LidarSample) -> None:
    where, points, images = sample.name, sample.points, sample.images
    parts = {"points": points, "images": images, **sample.point_fields, **sample.pixel_maps}
    for what, part in parts.items():
        if not isinstance(part, Tensor):
            raise ValueError(f"found {what} of type {type(part).__name__} in {where}, expected a tensor: convert it")
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(
            f"found points of shape {tuple(points.shape)} in {where}, expected (N, 3), x y z: give the intensity and "
            "all else as point_fields"
        )
    for what, values in sample.point_fields.items():
        if values.shape[:1] != points.shape[:1]:
            raise ValueError(
                f"found the point field {what} of shape {tuple(values.shape)} in {where}, expected one row for each of "
                f"{len(points)} points"
            )
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"found images of shape {tuple(images.shape)} in {where}, expected (V, 3, H, W)")
    expected = (len(images), *images.shape[2:])
    for what, values in sample.pixel_maps.items():
        if tuple(values.shape[:3]) != expected:
            raise ValueError(
                f"found the pixel map {what} of shape {tuple(values.shape)} in {where}, expected {expected} as its "
                "images: one value for each pixel"
            )
    cameras = sample.cameras
    if cameras is not None and (len(cameras) != len(images) or (len(images) and cameras.size != sample.image_size)):
        raise ValueError(
            f"found images {tuple(images.shape)} in {where}, expected {(len(cameras), 3, *cameras.size)} as its "
            "cameras say"
        )
    pairs = (sample.pair_point, sample.pair_view, sample.pair_pixel, *sample.pair_fields.values())
    if sample.pair_pixel.shape[1:] != (2,) or len({len(part) for part in pairs}) > 1:
        raise ValueError(
            f"found pairs of shapes {', '.join(str(tuple(part.shape)) for part in pairs)} in {where}, expected "
            "(P,), (P,), (P, 2), and P rows in each pair field"
        )

"""Correspondences of points and pixels: every point of a frame projected into every image."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.sample import LidarSample

BUFFER_ROWS = 100  # cells of the depth buffer along the image's height: 9 pixels of nuScenes, 4 of KITTI
REACH = 4  # cells to each side in which something nearer is looked for: wider than the gap between two of 32 beams
RELATIVE = 0.02  # of the depth, added to the tolerance: what lies within is one rough surface


def pair_points(
    sample: LidarSample, *, min_depth: float = 1.0, margin: float = 1.0, occlusion: float | None = None
) -> LidarSample:
    """Pair each point with the pixels that see it; a point that two cameras see yields two pairs.

    As SLidR (Sautier et al. 2022, https://arxiv.org/abs/2203.16258) pairs them, who follow nuScenes' devkit, but that
    positions are not rounded. Pairs are ordered by view, then by point.

    The LiDAR and a camera do not stand in one place, so a camera has points in its image that it does not see. With
    `occlusion`, a point is hidden if nearer ones surround it in the image: if each of the four quadrants around it
    holds one that is nearer by more than `occlusion` + 2 % of its depth. The image is divided into coarse cells (100
    along its height) that keep their nearest depth; a quadrant is the 4 × 4 cells diagonally beyond the point's own.
    Nearer points on one side alone hide nothing, and in a plane, however slanted, the nearer points are all on one
    side: ground that falls 2 meters back from one row of pixels to the next hides no part of itself, as it would in a
    plain depth buffer. The price: what is hidden by things thinner than a cell, or within a cell of an outline or the
    image's border, remains a pair.

    Where several sweeps are aggregated, the points of earlier ones make no pairs: what moved since is no longer where
    the images show it.

    Args:
        sample: with its images and cameras; pairs that it has are replaced.
        min_depth: meters before the camera that a point must exceed.
        margin: pixels from the image's border that a pixel must exceed.
        occlusion: meters, see above; None, as all public codes, tests nothing.

    Raises:
        ValueError: if no image sees any point, the sample has no cameras, a coordinate is not finite, or a number is
            negative.
    """
    cameras = _check(sample, min_depth, margin, occlusion)
    pixels, depth = cameras.project(sample.points)
    pixels = pixels.float()  # before the bounds are tested: rounding moves a position onto a border
    ends = cameras.image_sizes.flip(1).to(pixels) - margin  # x and y
    within = (pixels > margin) & (pixels < ends[:, None])
    seen = within.all(dim=2) & (depth > min_depth)  # (V, N)
    if "sweep" in sample.point_fields:
        seen &= sample.point_fields["sweep"] == 0
    view, point = seen.nonzero(as_tuple=True)
    if occlusion is not None:
        sizes = [(height, width) for height, width in cameras.image_sizes.tolist()]
        for v in range(len(seen)):
            seen[v, point[view == v]] = ~_hidden(pixels[v, seen[v]], depth[v, seen[v]], sizes[v], occlusion)
        view, point = seen.nonzero(as_tuple=True)
    if len(point) == 0:
        raise ValueError(
            f"found none of {len(sample.points):,} points of {sample.name} in its {len(seen)} images, expected some: "
            "check the calibration (LiDAR to camera, not its inverse; cameras in the order of the images)"
        )
    return replace(sample, pair_point=point, pair_view=view, pair_pixel=pixels[view, point], pair_fields={})


def label_pairs(sample: LidarSample, maps: str, field: str) -> LidarSample:
    """The sample with a pair field that says what a pixel map has at the pixel of each pair.

    To be called before any augmentation: the pixel is then the one that sees the point, not one of a resized map.

    Raises:
        ValueError: if the sample does not have the map.
    """
    if maps not in sample.pixel_maps:
        raise ValueError(
            f"found no pixel map {maps!r} in {sample.name}, expected one: give the dataset a folder of {maps}"
        )
    x, y = sample.pair_pixel.floor().long().unbind(dim=1)
    values = sample.pixel_maps[maps][sample.pair_view, y, x]
    return replace(sample, pair_fields={**sample.pair_fields, field: values})


def pair_colors(sample: LidarSample) -> Tensor:
    """The color of the pixel of each pair: (P, 3) uint8."""
    x, y = sample.pair_pixel.floor().long().unbind(dim=1)
    return sample.images[sample.pair_view, :, y, x]


def _hidden(pixels: Tensor, depth: Tensor, size: tuple[int, int], tolerance: float) -> Tensor:
    """Which points, at pixels (P, 2) of one image and depths (P,), nearer ones surround: (P,) bool."""
    cell = max(1, round(size[0] / BUFFER_ROWS))
    rows, columns = (-(-side // cell) for side in size)
    column, row = (pixels.long() // cell).unbind(dim=1)
    buffer = depth.new_full((rows * columns,), torch.inf)
    buffer.scatter_reduce_(0, row * columns + column, depth, "amin")
    padded = F.pad(buffer.view(rows, columns), [REACH] * 4, value=torch.inf)
    nearest = -F.max_pool2d(-padded[None], REACH, stride=1)[0]  # [i, j]: of the cells from i − REACH, j − REACH onwards
    beyond = REACH + 1
    quadrants = [nearest[row + down, column + right] for down in (0, beyond) for right in (0, beyond)]
    return torch.stack(quadrants).amax(dim=0) < depth - (tolerance + RELATIVE * depth)


def _check(sample: LidarSample, min_depth: float, margin: float, occlusion: float | None) -> Cameras:
    if not (min_depth >= 0 and margin >= 0 and (occlusion is None or occlusion >= 0)):
        raise ValueError(
            f"found min_depth {min_depth}, margin {margin} and occlusion {occlusion}, expected none below 0"
        )
    if sample.cameras is None:
        raise ValueError(
            f"found {len(sample.images)} images without cameras in {sample.name}, expected cameras that say where "
            "points are seen: give the sample its calibration"
        )
    finite = sample.points.isfinite().all(dim=1)
    if not bool(finite.all()):
        raise ValueError(
            f"found {int((~finite).sum())} points with NaN or infinite numbers in {sample.name}, expected none: "
            "drop them"
        )
    return sample.cameras

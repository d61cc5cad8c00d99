"""Range images of Waymo Open as points.

As `range_image_utils.extract_point_cloud_from_range_image` of
https://github.com/waymo-research/waymo-open-dataset.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Calibration(NamedTuple):
    """How a LiDAR is mounted, and where its beams look."""

    extrinsic: np.ndarray  # (4, 4): from the LiDAR's frame to the vehicle's
    lowest: float  # radians; of beams spread evenly
    highest: float
    inclinations: np.ndarray | None  # (H,) radians, the lowest first; None where beams are spread evenly


def range_points(
    ranges: np.ndarray,
    calibration: Calibration,
    pixel_pose: np.ndarray | None = None,
    from_world: np.ndarray | None = None,
) -> np.ndarray:
    """Points of the pixels that met something, row by row.

    Args:
        ranges: (H, W) meters; 0 or less where a beam met nothing. Row 0 is the highest beam, column 0 looks back.
        calibration: of the LiDAR.
        pixel_pose: (H, W, 6) roll, pitch, yaw, x, y, z: from the vehicle to the world when the pixel was taken; None
            where the vehicle stood.
        from_world: (4, 4) from the world to the vehicle at the frame's time; goes with `pixel_pose`.

    Returns:
        (N, 3) float64 in the vehicle's frame.

    Raises:
        ValueError: if there are not as many inclinations as rows.

    Example:
        >>> ahead = Calibration(np.eye(4), -0.5, 0.5, None)
        >>> range_points(np.array([[0.0, 2.0, 0.0]]), ahead).tolist()
        [[2.0, 0.0, 0.0]]
    """
    height, width = ranges.shape
    hit = ranges > 0
    rows, columns = np.nonzero(hit)
    inclination = _inclinations(calibration, height)[rows]
    turned = np.arctan2(calibration.extrinsic[1, 0], calibration.extrinsic[0, 0])
    azimuth = ((width - columns - 0.5) / width * 2 - 1) * np.pi - turned
    reach = ranges[hit].astype(np.float64)
    flat = np.cos(inclination) * reach
    points = np.stack([np.cos(azimuth) * flat, np.sin(azimuth) * flat, np.sin(inclination) * reach], axis=1)
    points = points @ calibration.extrinsic[:3, :3].T + calibration.extrinsic[:3, 3]
    if pixel_pose is None or from_world is None:
        return points
    pose = pixel_pose[hit].astype(np.float64)
    world = np.einsum("nij,nj->ni", rotations(*pose[:, :3].T), points) + pose[:, 3:]
    moved: np.ndarray = world @ from_world[:3, :3].T + from_world[:3, 3]
    return moved


def rotations(roll: np.ndarray, pitch: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Rz(yaw) Ry(pitch) Rx(roll) for angles (N,) in radians: (N, 3, 3)."""
    (sx, cx), (sy, cy), (sz, cz) = ((np.sin(angle), np.cos(angle)) for angle in (roll, pitch, yaw))
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)


def _inclinations(calibration: Calibration, height: int) -> np.ndarray:
    """The inclination of each row, the highest first."""
    found = calibration.inclinations
    if found is None:
        span = calibration.highest - calibration.lowest
        found = calibration.lowest + (np.arange(height) + 0.5) / height * span
    if len(found) != height:
        raise ValueError(
            f"found {len(found)} inclinations for a range image of {height} rows, expected one each: the tables are of "
            "several versions"
        )
    return found[::-1]

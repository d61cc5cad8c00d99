"""The point that all others are compared with: the one in the middle of what is shown, or near a position."""

from __future__ import annotations

import numpy as np

from crosspoint.scene.data.sample import LidarSample


def central_point(frame: LidarSample) -> int:
    """The row of the point nearest to the middle: of the first image that sees one, of the first box, or of the cloud.

    Args:
        frame: N points, N > 0, paired with its images where it has some; without images its first box counts, and
            without boxes the median of its points.
    """
    if len(frame.pair_point):
        view = int(frame.pair_view.min())
        first = frame.pair_view == view
        height, width = frame.image_sizes[view].tolist()
        away = frame.pair_pixel[first].numpy() - [width / 2, height / 2]
        return int(frame.pair_point[first][np.linalg.norm(away, axis=1).argmin()])
    points = frame.points.numpy()
    if frame.boxes is not None and len(frame.boxes.geometry):
        return nearest_point(points, frame.boxes.geometry[0, :3].numpy())
    return nearest_point(points, np.median(points, axis=0))


def nearest_point(points: np.ndarray, position: np.ndarray) -> int:
    """The row of the point (N, 3), N > 0, that is nearest to a position (3,); the first of equally near ones."""
    return int(np.linalg.norm(points.astype(np.float64) - position, axis=1).argmin())

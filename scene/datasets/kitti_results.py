"""Boxes of the LiDAR's frame as KITTI's columns have them, and back.

KITTI's boxes stand upright in the first camera's rectified frame, which is not quite level in the LiDAR's. Headings are
turned so that `to_lidar` and `to_results` undo each other; −(turn + 90°), as toolboxes have it, is off by the tilt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike

from crosspoint.scene.data.calibration import invert
from crosspoint.scene.datasets.kitti_labels import KittiLabels
from crosspoint.scene.ops.rotated_boxes import checked_boxes

_NEAR = 0.01  # meters ahead of the camera: what is nearer, or behind it, has no place in the image
_CORNERS = np.array([[x, y, z] for x in (1, -1) for y in (1, -1) for z in (1, -1)]) / 2
_EDGES = np.array([(a, b) for a in range(8) for b in range(a) if abs(_CORNERS[a] - _CORNERS[b]).sum() == 1])


def to_lidar(labels: KittiLabels, to_rectified: ArrayLike) -> np.ndarray:
    """Boxes in the LiDAR's frame.

    Args:
        labels: objects of a frame; what DontCare gives makes no sense.
        to_rectified: (4, 4) LiDAR → first camera's rectified frame.

    Returns:
        (n, 7) float64, as `crosspoint.scene.data.sample.Boxes`.

    Raises:
        ValueError: if the transform is not rigid.
    """
    back = invert(to_rectified)
    height, width, length = labels.sizes.T
    middle = labels.positions - np.stack([0 * height, height / 2, 0 * height], axis=1)
    center = middle @ back[:3, :3].T + back[:3, 3]
    ahead = np.stack([np.cos(labels.rotation_y), np.sin(labels.rotation_y)], axis=1) @ _level(back).T
    heading = np.arctan2(ahead[:, 1], ahead[:, 0])
    return np.concatenate([center, np.stack([length, width, height, heading], axis=1)], axis=1)


def to_results(
    geometry: ArrayLike,
    names: Sequence[str],
    scores: ArrayLike,
    to_rectified: ArrayLike,
    projection: ArrayLike,
    size: tuple[int, int],
) -> KittiLabels:
    """Detections with all columns of a result file; what the image does not show is left out.

    The image box holds what of the box's corners lies ahead of the camera, cut at the image's border. Alpha is the turn
    less the direction of the box's bottom from the camera.

    Args:
        geometry: (n, 7) in the LiDAR's frame, as `crosspoint.scene.data.sample.Boxes`.
        names: the class of each, of KITTI's.
        scores: (n,).
        to_rectified: (4, 4) LiDAR → first camera's rectified frame.
        projection: (3, 4) P2 of the calibration: that frame → pixels of the left color image.
        size: (H, W) of the image.

    Returns:
        Those of the objects that reach into the image, in their order.

    Raises:
        ValueError: if lengths differ, a number is not finite, a size is negative, a class is unknown, or the transform
            is not rigid.
    """
    boxes = checked_boxes(torch.as_tensor(geometry, dtype=torch.float64).cpu()).numpy()
    values = torch.as_tensor(scores, dtype=torch.float64).cpu().numpy()
    projection = np.asarray(projection, dtype=np.float64)
    if values.shape != (len(boxes),) or len(names) != len(boxes):
        raise ValueError(
            f"found {len(boxes)} boxes, {len(names)} classes and scores {values.shape}, expected one for each box"
        )
    if projection.shape != (3, 4) or not np.isfinite(projection).all():
        raise ValueError(
            f"found a projection of shape {projection.shape}, expected P2 of the calibration, finite (3, 4)"
        )
    forth, back = np.asarray(to_rectified, dtype=np.float64), invert(to_rectified)
    ahead = np.stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6])], axis=1) @ np.linalg.inv(_level(back)).T
    turn = np.arctan2(ahead[:, 1], ahead[:, 0])
    length, width, height = boxes[:, 3:6].T
    sizes = np.stack([height, width, length], axis=1)
    positions = boxes[:, :3] @ forth[:3, :3].T + forth[:3, 3]
    positions[:, 1] += height / 2  # y points down, so the bottom lies at larger y
    alpha = turn - np.arctan2(positions[:, 0], positions[:, 2])
    alpha = (alpha + np.pi) % (2 * np.pi) - np.pi
    image_boxes, seen = _image_boxes(sizes, positions, turn, projection, size)
    none = np.full(len(boxes), -1.0)
    every = KittiLabels(names, none, none, alpha, image_boxes, sizes, positions, turn, values)
    columns = (every.truncation, every.occlusion, alpha, image_boxes, sizes, positions, turn, values)
    kept = [name for name, is_seen in zip(names, seen, strict=True) if is_seen]
    return KittiLabels(kept, *(column[seen] for column in columns))


def _level(back: np.ndarray) -> np.ndarray:
    """What the LiDAR sees from above (2, 2) of a turn's cosine and sine: of the camera's x and −z."""
    return back[:2, [0, 2]] * [1.0, -1.0]


def _image_boxes(
    sizes: np.ndarray, positions: np.ndarray, turn: np.ndarray, projection: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Left, top, right, bottom (n, 4) within the image, and which boxes (n,) bool reach into it."""
    height, width, length = sizes.T
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    along, across, up = length[:, None] * _CORNERS[:, 0], width[:, None] * _CORNERS[:, 1], _CORNERS[:, 2] + 0.5
    corners = positions[:, None] + np.stack(
        [cos * along + sin * across, -height[:, None] * up, cos * across - sin * along], axis=-1
    )  # (n, 8, 3)
    seen = (
        np.concatenate([corners, np.ones((*corners.shape[:2], 1))], axis=-1) @ projection.T
    )  # x·depth, y·depth, depth
    ends, starts = seen[:, _EDGES[:, 0]], seen[:, _EDGES[:, 1]]
    step = ends[..., 2] - starts[..., 2]
    crossing = (starts[..., 2] - _NEAR) * (ends[..., 2] - _NEAR) < 0  # edges from ahead of the camera to behind it
    share = (_NEAR - starts[..., 2]) / np.where(crossing, step, 1.0)
    cut = starts + np.where(crossing, share, 0.0)[..., None] * (ends - starts)
    points = np.concatenate([seen, cut], axis=1)
    ahead = np.concatenate([seen[..., 2] >= _NEAR, crossing], axis=1)[..., None]
    pixels = points[..., :2] / np.where(ahead, points[..., 2:], 1.0)
    low, high = np.where(ahead, pixels, np.inf).min(axis=1), np.where(ahead, pixels, -np.inf).max(axis=1)
    most = np.array([size[1] - 1, size[0] - 1], dtype=np.float64)
    reaches = ((high > 0) & (low < most) & (high > low)).all(axis=1)
    boxes = np.concatenate([np.clip(low, 0, most), np.clip(high, 0, most)], axis=1)
    return np.where(reaches[:, None], boxes, 0.0), reaches

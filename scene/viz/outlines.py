"""Lines around boxes and from cameras, in the LiDAR's frame."""

from __future__ import annotations

import numpy as np
import torch

from crosspoint.renderers.cameras import Cameras

# Corner c of a box lies at these signs of its half length, half width and half height: first the bottom, then the top,
# each from the front left around to the left.
_SIGNS = np.array([[1, 1, -1], [1, -1, -1], [-1, -1, -1], [-1, 1, -1], [1, 1, 1], [1, -1, 1], [-1, -1, 1], [-1, 1, 1]])
_EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]])


def box_corners(geometry: np.ndarray) -> np.ndarray:
    """Corners (n, 8, 3) of boxes (n, 7): the four of the bottom, then those above them; 0, 1, 4 and 5 are the front."""
    center, size, heading = geometry[:, :3], geometry[:, 3:6], geometry[:, 6]
    offsets = _SIGNS * size[:, None] / 2
    cos, sin = np.cos(heading)[:, None], np.sin(heading)[:, None]
    x, y, z = offsets[..., 0], offsets[..., 1], offsets[..., 2]
    return center[:, None] + np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=-1)


def box_lines(geometry: np.ndarray) -> np.ndarray:
    """Line segments (n * 14, 2, 3) of boxes (n, 7): their edges, and a cross on the front."""
    crossed = np.concatenate([_EDGES, [[0, 5], [1, 4]]])
    return box_corners(geometry)[:, crossed].reshape(-1, 2, 3)


def camera_lines(cameras: Cameras, length: float) -> np.ndarray:
    """Line segments (V * 8, 2, 3): from each camera to its image's corners `length` meters before it, and between them.

    The corners are those of the top left, top right, bottom right and bottom left, in this order.
    """
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]) * cameras.image_sizes.flip(1)[:, None]
    depth = torch.full((len(cameras), 4), length)
    far = cameras.unproject(corners, depth).numpy()
    centers = np.broadcast_to(cameras.centers.numpy()[:, None], far.shape)
    rays, frame = np.stack([centers, far], axis=2), np.stack([far, np.roll(far, -1, axis=1)], axis=2)
    return np.concatenate([rays, frame], axis=1).reshape(-1, 2, 3)

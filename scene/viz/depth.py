"""A frame's images beside their depth: as it was measured, and as a network tells it."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure
from scipy.ndimage import grey_dilation

from crosspoint.scene.viz import colors
from crosspoint.scene.viz.images import depth_bar

_WIDTH = 16.0  # inches
_GAP = 0.35  # inches above a row, and of its titles
_VIEWS = 6  # images of a frame, at most
_DISC = 200  # rows of an image for which a measured pixel is drawn one more wide


def draw_depth(images: np.ndarray, truth: np.ndarray, told: np.ndarray) -> Figure:
    """A row for each image: the image, the depth that was measured, the depth that a network tells, on one scale.

    Args:
        images: (V, 3, H, W) uint8.
        truth: (V, H, W) meters, 0 where nothing is measured; pixels with depth are drawn larger than they are.
        told: (V, H, W) meters.

    Returns:
        A figure that belongs to no window.

    Raises:
        ValueError: if shapes differ, or nothing is measured.
    """
    if truth.shape != told.shape or images.shape != (len(truth), 3, *truth.shape[1:]):
        raise ValueError(
            f"found images {images.shape}, depth {truth.shape} and predictions {told.shape}, expected (V, 3, H, W), "
            "(V, H, W) and (V, H, W)"
        )
    if not (truth > 0).any():
        raise ValueError("found no pixel with a depth, expected some: draw another frame")
    views = min(len(images), _VIEWS)
    scale = colors.depth_scale(truth[truth > 0])
    height = views * (_WIDTH / 3 * truth.shape[1] / truth.shape[2] + _GAP)
    figure = Figure(figsize=(_WIDTH, height + _GAP), layout="constrained")
    axes = figure.subplots(views, 3, squeeze=False)
    for row, image, measured, answer in zip(axes, images, truth, told, strict=False):
        drawn = (
            ("image", image.transpose(1, 2, 0)),
            ("measured", measured_colors(measured, scale)),
            ("told", colors.depth_colors(answer.ravel(), scale).reshape(*answer.shape, 3)),
        )
        for cell, (title, pixels) in zip(row, drawn, strict=True):
            cell.imshow(pixels)
            cell.axis("off")
            cell.set_title(title, fontsize=9, loc="left", color=colors.INK, pad=3)
    depth_bar(figure, scale, list(axes.flat))
    return figure


def measured_colors(depth: np.ndarray, scale: LogNorm) -> np.ndarray:
    """Colors (H, W, 3) uint8 of a sparse map (H, W); of depths that meet, the nearest is on top."""
    side = 1 + 2 * max(1, depth.shape[0] // _DISC)
    nearness = np.where(depth > 0, -depth, -np.inf)
    grown = -grey_dilation(nearness, size=(side, side))
    painted = np.empty((*depth.shape, 3), dtype=np.uint8)
    painted[:] = np.round(255 * np.array(to_rgb(colors.GROUND)))
    known = np.isfinite(grown)
    painted[known] = colors.depth_colors(grown[known], scale)
    return painted

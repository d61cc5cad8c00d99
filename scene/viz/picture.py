"""One picture of a frame: its images with points by depth, then by truth and prediction, and the cloud from above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.viz.colorings import by_class
from crosspoint.scene.viz.colors import INK, legible
from crosspoint.scene.viz.grid import image_grid
from crosspoint.scene.viz.images import draw_answers, draw_images
from crosspoint.scene.viz.maps import draw_maps

_WIDTH = 16.0  # inches
_IMAGES = 8.0  # inches of all images' height, at most
_MAPS = 7.2  # inches of the maps' height


def draw_frame(
    frame: LidarSample,
    classes: Sequence[str],
    predictions: np.ndarray | None = None,
    box_classes: Sequence[str] = (),
) -> Figure:
    """Draw a frame whose parts fit each other.

    Args:
        frame: N points, and V images with pairs, which may be none; the outlines of its pixel map "superpixels" are
            drawn, where it has one.
        classes: names of the labels.
        predictions: (N,) integers, labels that a network gives; None for none.
        box_classes: names of the boxes' labels.

    Returns:
        A figure that belongs to no window.
    """
    paired = len(frame.images) > 0
    answers = [] if not paired or predictions is None else [*by_class(frame, classes, predictions)][:2]
    grids = [_grid(frame, parts) for parts in (1, len(answers)) if parts] if paired else []
    heights = [*(height for _, height in grids), _MAPS]
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    title = f"{legible(frame.name)}: {len(frame.points):,} points"
    figure.suptitle(title, fontsize=12, color=INK, parse_math=False)
    rows = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    if paired:
        draw_images(rows[0], frame, grids[0][0], box_classes)
        if answers:
            draw_answers(rows[1], frame, grids[1][0], answers)
    draw_maps(rows[-1], frame, classes, predictions, (_WIDTH, _MAPS), box_classes)
    return figure


def _grid(frame: LidarSample, parts: int) -> tuple[int, float]:
    """Columns and inches of height of a grid of a frame's images that fills one of several parts of the width."""
    return image_grid(len(frame.images), frame.image_size, (_WIDTH - 1) / parts, _IMAGES)

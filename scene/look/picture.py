"""One picture of a frame: its images with points on them, and the cloud from above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from scene.frames import SceneFrame, ScenePair
from scene.look.colours import INK, legible
from scene.look.images import columns, draw_images
from scene.look.maps import draw_maps

_WIDTH = 16.0  # inches
_IMAGES = 8.0  # inches of all images' height, at most
_MAPS = 7.2  # inches of the maps' height
_MARGINS = (2.6, 0.8)  # inches beside and around the maps: legend, axes, title


def draw_frame(
    frame: SceneFrame,
    pair: ScenePair | None,
    classes: Sequence[str],
    predictions: np.ndarray | None = None,
    regions: Tensor | None = None,
) -> Figure:
    """Draw a frame whose parts fit each other.

    Args:
        frame: N points and V images.
        pair: its pairs of points and pixels; None where there is no image.
        classes: names of the labels.
        predictions: (N,) integers, labels that a network gives; None for none.
        regions: (V, H, W) integers, superpixels whose outlines are drawn; None for none.

    Returns:
        A figure that belongs to no window.
    """
    maps_size = (_WIDTH - _MARGINS[0], _MAPS - _MARGINS[1])
    images = 0.0 if pair is None else _images_height(len(frame.images), frame.cameras.size)
    figure = Figure(figsize=(_WIDTH, images + _MAPS), layout="constrained")
    title = f"{legible(frame.name)}: {len(frame.points):,} points"
    figure.suptitle(title, fontsize=12, color=INK, parse_math=False)
    if pair is None:
        draw_maps(figure, frame, classes, predictions, maps_size)
        return figure
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[images, _MAPS])[:, 0]
    draw_images(upper, frame, pair, regions)
    draw_maps(lower, frame, classes, predictions, maps_size)
    return figure


def _images_height(views: int, size: tuple[int, int]) -> float:
    """Inches of a grid of images (H, W) that fills the width, if that is not too high."""
    side = columns(views, size)
    return min(_IMAGES, -(-views // side) * ((_WIDTH - 1) / side * size[0] / size[1] + 0.3))

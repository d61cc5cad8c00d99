"""Boxes that a detector finds beside those that are labeled: in the images, and from above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.viz import colors
from crosspoint.scene.viz.birdseye import draw_cloud, window
from crosspoint.scene.viz.boxes import BoxKind, box_kinds
from crosspoint.scene.viz.grid import image_grid
from crosspoint.scene.viz.images import draw_boxes
from crosspoint.scene.viz.maps import draw_legend
from crosspoint.scene.viz.outlines import box_corners

SCORE = 0.3  # of the boxes that are drawn: below it detectors guess
_WIDTH, _IMAGES, _MAPS = 16.0, 8.0, 7.2  # inches, as of `draw_frame`
_LEGEND, _LABELS = 2.2, 0.8  # inches of the legend's width, and around each map
_POINTS = (96, 102, 112)  # their color: that of boxes says what they are


def confident(found: Boxes, scores: np.ndarray) -> Boxes:
    """The boxes with a score of `SCORE` or more."""
    good = torch.from_numpy(np.asarray(scores) >= SCORE)
    return Boxes(found.geometry[good].double(), found.labels[good])


def draw_found_boxes(frame: LidarSample, found: Boxes, scores: np.ndarray, box_classes: Sequence[str]) -> Figure:
    """Draw the found boxes with a score of `SCORE` or more in the colors of their classes.

    Each image has them over the true ones, in white. Of two maps from above the first has the true boxes, the second
    the found ones over the true ones.

    Args:
        frame: N points, its true boxes, and V images with their cameras, which may be none.
        found: of the frame.
        scores: (n,) of the found boxes, from 0 to 1.
        box_classes: names of the boxes' labels.

    Returns:
        A figure that belongs to no window.
    """
    shown = confident(found, scores)
    true = 0 if frame.boxes is None else len(frame.boxes.labels)
    views = len(frame.images) if frame.cameras is not None else 0
    columns, height = image_grid(views, frame.image_size, _WIDTH, _IMAGES) if views else (0, 0.0)
    heights = [height, _MAPS] if views else [_MAPS]
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.4), layout="constrained")
    title = f"{colors.legible(frame.name)}: {true} boxes, {len(shown.labels)} found with a score of {SCORE} or more"
    figure.suptitle(title, fontsize=12, color=colors.INK, parse_math=False)
    rows = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    if views:
        _draw_images(rows[0], frame, shown, columns, box_classes)
    _draw_maps(rows[-1], frame, shown, box_classes)
    return figure


def _draw_images(figure: SubFigure, frame: LidarSample, found: Boxes, columns: int, box_classes: Sequence[str]) -> None:
    assert frame.cameras is not None
    axes = figure.subplots(-(-len(frame.images) // columns), columns, squeeze=False)
    for cell in axes.flat:
        cell.axis("off")
    for view, cell in enumerate(axes.flat[: len(frame.images)]):
        height, width = frame.image_sizes[view].tolist()
        image = frame.images[view, :, :height, :width].permute(1, 2, 0).numpy()
        cell.imshow(image, extent=(0, width, height, 0))
        cell.set_title(f"image {view}: true boxes are white", fontsize=9, loc="left", color=colors.INK, pad=3)
        draw_boxes(cell, box_kinds(frame.boxes, ()), frame.cameras, view, width=0.9)
        draw_boxes(cell, box_kinds(found, box_classes), frame.cameras, view)


def _draw_maps(figure: SubFigure, frame: LidarSample, found: Boxes, box_classes: Sequence[str]) -> None:
    aspect = ((_WIDTH - _LEGEND) / 2 - _LABELS) / (_MAPS - _LABELS)
    bounds = window(frame.points.numpy(), aspect)
    painted = np.tile(np.array(_POINTS, dtype=np.uint8), (len(frame.points), 1))
    left, right = figure.subplots(1, 2)
    draw_cloud(left, frame, painted, bounds, "true boxes", box_classes)
    draw_cloud(right, replace(frame, boxes=found), painted, bounds, "boxes found; true ones are dotted", box_classes)
    if frame.boxes is not None:
        _dot(right, frame.boxes)
    kinds: dict[str, BoxKind] = {}
    for boxes in (frame.boxes, found):
        for kind in box_kinds(boxes, box_classes):
            kinds.setdefault(kind.name, kind)
    marks: dict[str, Artist] = {
        colors.legible(name.removeprefix("box: ")): Patch(
            facecolor="none", edgecolor=colors.hexadecimal(kind.color), linewidth=1.5
        )
        for name, kind in sorted(kinds.items())
    }
    if frame.boxes is not None:
        marks["true box"] = Line2D([], [], color="#9aa1ab", linewidth=1.2, linestyle=":")
    if marks:
        draw_legend(figure, marks, 1)


def _dot(axes: Axes, boxes: Boxes) -> None:
    """Outlines of the true boxes over the others."""
    corners = box_corners(boxes.geometry.numpy())[:, [0, 1, 2, 3, 0], :2]
    axes.add_collection(LineCollection(list(corners), colors=colors.ACCENT, linewidths=0.9, linestyles=":", zorder=4))

"""A cloud from above: x to the right, y up, as a map whose reader drives from left to right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.viz.boxes import box_kinds
from crosspoint.scene.viz.colors import ACCENT, GROUND, QUIET, hexadecimal
from crosspoint.scene.viz.outlines import box_corners, camera_lines
from crosspoint.scene.viz.ring import draw_ring

_SHARE = 0.02  # of the points at either end of each axis that may lie outside the map


def window(
    points: np.ndarray, aspect: float, marked: int | None = None
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Bounds of x and of y in meters of the part of a cloud (N, 3 or more), N > 0, that is worth drawing.

    Args:
        points: x, y, … in meters.
        aspect: width over height of the map.
        marked: row of a point that belongs on the map, too; None for none.
    """
    low, high = np.quantile(points[:, :2], [_SHARE, 1 - _SHARE], axis=0)
    if marked is not None:
        low, high = np.minimum(low, points[marked, :2]), np.maximum(high, points[marked, :2])
    low, high = np.minimum(low, 0) - 2, np.maximum(high, 0) + 2  # the sensor belongs on the map, with some paper around
    half_y = max((high[1] - low[1]) / 2, (high[0] - low[0]) / 2 / aspect)
    (x, y), half_x = (low + high) / 2, aspect * half_y
    return (x - half_x, x + half_x), (y - half_y, y + half_y)


def draw_cloud(
    axes: Axes,
    frame: LidarSample,
    colors: np.ndarray,
    bounds: tuple[tuple[float, float], tuple[float, float]],
    title: str,
    box_classes: Sequence[str] = (),
    marked: int | None = None,
) -> None:
    """Draw the cloud with its boxes, and where the cameras look.

    Args:
        axes: to draw on.
        frame: N points.
        colors: (N, 3) uint8.
        bounds: of x and of y in meters, as `window` gives them.
        title: above the map.
        box_classes: names of the boxes' labels.
        marked: row of the point that gets a ring, where the map shows it; None for none.
    """
    (left, right), (bottom, top) = bounds
    x, y, z = frame.points.numpy().T
    seen = np.flatnonzero((x > left) & (x < right) & (y > bottom) & (y < top))
    order = seen[np.argsort(z[seen], kind="stable")]  # what is high hides what is low
    axes.set_facecolor(GROUND)
    side = float(np.clip(300 / np.sqrt(max(1, len(order))), 1.0, 2.0))  # points of 1/72 inch
    axes.scatter(x[order], y[order], s=side**2, c=colors[order] / 255.0, marker="s", linewidths=0)
    views = len(frame.images)
    if views and frame.cameras is not None:
        lines = camera_lines(frame.cameras, (right - left) / 12).reshape(views, 8, 2, 3)[:, :2, :, :2]
        axes.add_collection(LineCollection(list(lines.reshape(-1, 2, 2)), colors=ACCENT, alpha=0.6, linewidths=0.8))
    axes.plot(0, 0, marker="+", color=ACCENT, markersize=7)
    for kind in box_kinds(frame.boxes, box_classes):
        corners = box_corners(kind.geometry)[:, :4, :2]
        outlines = corners[:, [0, 1, 2, 3, 0]]
        heading = np.stack([corners.mean(axis=1), corners[:, :2].mean(axis=1)], axis=1)  # from the center to the front
        axes.add_collection(LineCollection([*outlines, *heading], colors=hexadecimal(kind.color), linewidths=0.9))
    if marked is not None:
        draw_ring(axes, float(x[marked]), float(y[marked]))
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    axes.set_title(title, fontsize=10, loc="left", parse_math=False)
    axes.set_xlabel("x forward, m", fontsize=8, color=QUIET)
    axes.set_ylabel("y left, m", fontsize=8, color=QUIET)
    axes.tick_params(labelsize=8, color=QUIET, labelcolor=QUIET)
    axes.spines[:].set_visible(False)

"""A frame's images with its points on them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.viz import colors
from crosspoint.scene.viz.boxes import BoxKind, box_kinds, image_lines
from crosspoint.scene.viz.colorings import Coloring
from crosspoint.scene.viz.outlines import box_lines
from crosspoint.scene.viz.overlay import paint_outlines, paint_points
from crosspoint.scene.viz.ring import draw_ring

_COVERED = 0.09  # share of the images' area that discs of points may hide
_SHOWN = 1500  # pixels of the picture's width: finer lines of images side by side are lost
_TICKS = (0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 100, 200)  # meters


def draw_images(figure: SubFigure, frame: LidarSample, columns: int, box_classes: Sequence[str] = ()) -> None:
    """Draw all images with points colored by depth on one scale, superpixels' outlines below them, boxes above.

    Args:
        figure: to draw on.
        frame: V images and pairs; the outlines are those of its pixel map "superpixels", where it has one.
        columns: images in a row.
        box_classes: names of the boxes' labels.
    """
    depth = pair_depths(frame)
    scale = colors.depth_scale(depth)
    painted = colors.depth_colors(depth, scale)
    superpixels = frame.pixel_maps.get("superpixels")
    axes = _draw_views(figure, frame, columns, depth, painted, "", _COVERED, superpixels, box_classes)
    depth_bar(figure, scale, axes)


def depth_bar(figure: Figure | SubFigure, scale: LogNorm, axes: Sequence[Axes]) -> None:
    """Draw the colors of depths beside some axes, with whole meters at them."""
    bar = figure.colorbar(ScalarMappable(scale, colors.NEAR_TO_FAR), ax=axes, fraction=0.02, pad=0.01, aspect=30)
    near, far = bar.ax.get_ylim()
    ticks = [meters for meters in _TICKS if near <= meters <= far]
    bar.set_ticks(ticks, labels=[f"{meters:g}" for meters in ticks])
    bar.minorticks_off()
    bar.set_label("depth, m", fontsize=9, color=colors.QUIET)
    bar.ax.tick_params(labelsize=8, labelcolor=colors.QUIET)


def draw_colored(
    figure: SubFigure, frame: LidarSample, columns: int, colorings: Sequence[Coloring], marked: int | None = None
) -> None:
    """Draw all images once for each of some colorings of the points, side by side: the truth and a prediction.

    Args:
        figure: to draw on.
        frame: N points, V images and pairs.
        columns: images of one coloring in a row.
        colorings: of its points.
        marked: row of the point that gets a ring; None for none.
    """
    depth = pair_depths(frame)
    parts = figure.subfigures(1, len(colorings), squeeze=False)[0]
    rings = (frame.pair_point == (-1 if marked is None else marked)).nonzero()[:, 0].tolist()
    for part, one in zip(parts, colorings, strict=True):
        painted = one.of_points[frame.pair_point.numpy()]
        cells = _draw_views(part, frame, columns, depth, painted, one.title, _COVERED * len(colorings))
        for pair in rings:
            draw_ring(cells[int(frame.pair_view[pair])], *frame.pair_pixel[pair].tolist())


def overlay(
    frame: LidarSample,
    depth: np.ndarray,
    painted: np.ndarray,
    view: int,
    superpixels: np.ndarray | None = None,
    radius: int = 1,
    thickness: int = 1,
) -> np.ndarray:
    """One image with its points over the outlines of its superpixels.

    Args:
        frame: with its images and pairs.
        depth: (P,) meters before the camera, as `pair_depths` gives them.
        painted: (P, 3) uint8, the color of each pair.
        view: the image's place.
        superpixels: (H, W) integers; None for none.
        radius: of a point in pixels; 0 for the one pixel that holds it.
        thickness: of the outlines in pixels.

    Returns:
        (H, W, 3) uint8, of the image's own size.
    """
    height, width = frame.image_sizes[view].tolist()
    image = np.array(frame.images[view, :, :height, :width].permute(1, 2, 0).numpy(), order="C")
    if superpixels is not None:
        paint_outlines(image, superpixels[:height, :width], thickness)
    seen = (frame.pair_view == view).numpy()
    paint_points(image, frame.pair_pixel[seen].numpy(), depth[seen], painted[seen], radius)
    return image


def pair_depths(frame: LidarSample) -> np.ndarray:
    """How far before their camera the points of all pairs lie: (P,) float64 meters; ValueError if there is no pair."""
    if frame.cameras is None or not len(frame.pair_point):
        raise ValueError(f"found no pairs of points and pixels in {frame.name}, expected some: give it to pair_points")
    _, depth = frame.cameras.project(frame.points)
    return depth[frame.pair_view, frame.pair_point].numpy()


def _draw_views(
    figure: SubFigure,
    frame: LidarSample,
    columns: int,
    depth: np.ndarray,
    painted: np.ndarray,
    what: str,
    covered: float,
    superpixels: Tensor | None = None,
    box_classes: Sequence[str] | None = None,
) -> list[Axes]:
    """All images in a grid; boxes are drawn unless their classes are None. Colors (P, 3) are those of the pairs."""
    views, (height, width) = len(frame.images), frame.image_size
    axes = figure.subplots(-(-views // columns), columns, squeeze=False)
    disc = covered * views * height * width / len(depth)  # pixels
    radius = min(max(1, round(math.sqrt(disc / math.pi))), 1 + height // 200)
    thickness = max(1, round(columns * width / _SHOWN))
    for cell in axes.flat:
        cell.axis("off")
    for view, cell in enumerate(axes.flat[:views]):
        outlined = None if superpixels is None else superpixels[view].numpy()
        image = overlay(frame, depth, painted, view, outlined, radius, thickness)
        cell.imshow(image, extent=(0, image.shape[1], image.shape[0], 0))  # centers of pixels at +0.5
        title = f"{what}, image {view}" if what else f"image {view}: {int((frame.pair_view == view).sum()):,} points"
        cell.set_title(title, fontsize=9, loc="left", color=colors.INK, pad=3)
        if box_classes is not None:
            assert frame.cameras is not None
            draw_boxes(cell, box_kinds(frame.boxes, box_classes), frame.cameras, view)
    return list(axes.flat)


def draw_boxes(axes: Axes, kinds: Sequence[BoxKind], cameras: Cameras, view: int, width: float = 1.5) -> None:
    """Draw wireframes, each line on a broader dark one: what lies below has any color.

    Args:
        axes: of the image.
        kinds: the boxes of each class.
        cameras: V.
        view: the image's place among them.
        width: of the lines, in points of 1/72 inch.
    """
    for kind in kinds:
        lines = list(image_lines(box_lines(kind.geometry), cameras, view))
        for order, color, breadth in ((2, colors.GROUND, 2 * width), (3, colors.hexadecimal(kind.color), width)):
            drawn = LineCollection(lines, colors=color, linewidths=breadth, zorder=order)
            axes.add_collection(drawn, autolim=False)

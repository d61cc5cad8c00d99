"""A frame's images with its points on them."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import SubFigure
from torch import Tensor

from scene.frames import SceneFrame, ScenePair
from scene.look import colours
from scene.look.overlay import paint_outlines, paint_points

_COVERED = 0.09  # share of the images' area that discs of points may hide
_SHOWN = 1500  # pixels of the picture's width: finer lines of images side by side are lost
_TICKS = (0.5, 1, 2, 3, 5, 10, 20, 30, 50, 100, 200)  # metres


def columns(views: int, size: tuple[int, int]) -> int:
    """How many images of size (H, W) stand side by side: wide ones, as KITTI's, one, or they would be too low."""
    return max(1, min(views, 3 if size[1] < 2.5 * size[0] else 1))


def draw_images(figure: SubFigure, frame: SceneFrame, pair: ScenePair, regions: Tensor | None) -> None:
    """Draw all images with their points coloured by depth, on one scale, and superpixels' outlines below the points.

    Args:
        figure: to draw on.
        frame: V images.
        pair: its pairs of points and pixels.
        regions: (V, H, W) int64; None for none.
    """
    depth = pair_depths(frame, pair)
    scale = colours.depth_scale(depth)
    views, size = len(frame.images), frame.cameras.size
    side = columns(views, size)
    axes = figure.subplots(-(-views // side), side, squeeze=False)
    covered = _COVERED * views * size[0] * size[1] / len(depth)  # pixels of one disc
    thickness = max(1, round(side * size[1] / _SHOWN))
    radius = min(max(1, round(math.sqrt(covered / math.pi))), 1 + size[0] // 200)
    for cell in axes.flat:
        cell.axis("off")
    for view, cell in enumerate(axes.flat[:views]):
        outlined = None if regions is None else regions[view].numpy()
        cell.imshow(overlay(frame, pair, depth, scale, view, outlined, radius, thickness))
        found = int((pair.pair_view == view).sum())
        cell.set_title(f"image {view}: {found:,} points", fontsize=9, loc="left", color=colours.INK, pad=3)
    mappable = ScalarMappable(scale, colours.NEAR_TO_FAR)
    bar = figure.colorbar(mappable, ax=list(axes.flat), fraction=0.02, pad=0.01, aspect=30)
    near, far = bar.ax.get_ylim()
    ticks = [metres for metres in _TICKS if near <= metres <= far]
    bar.set_ticks(ticks, labels=[f"{metres:g}" for metres in ticks])
    bar.minorticks_off()
    bar.set_label("depth, m", fontsize=9, color=colours.QUIET)
    bar.ax.tick_params(labelsize=8, labelcolor=colours.QUIET)


def overlay(
    frame: SceneFrame,
    pair: ScenePair,
    depth: np.ndarray,
    scale: LogNorm,
    view: int,
    regions: np.ndarray | None = None,
    radius: int = 1,
    thickness: int = 1,
) -> np.ndarray:
    """One image with its points, coloured by depth, over the outlines of its superpixels.

    Args:
        frame: with its images.
        pair: its pairs.
        depth: (P,) metres before the camera, as `pair_depths` gives them.
        scale: of the colours.
        view: the image's place.
        regions: (H, W) integers; None for none.
        radius: of a point in pixels; 0 for the one pixel that holds it.
        thickness: of the outlines in pixels.

    Returns:
        (H, W, 3) uint8.
    """
    image = np.array(frame.images[view].permute(1, 2, 0).numpy(), order="C")
    if regions is not None:
        paint_outlines(image, regions, thickness)
    seen = (pair.pair_view == view).numpy()
    painted = colours.depth_colours(depth[seen], scale)
    paint_points(image, pair.pair_pixel[seen].numpy(), depth[seen], painted, radius)
    return image


def pair_depths(frame: SceneFrame, pair: ScenePair) -> np.ndarray:
    """How far before their camera the points of all pairs lie: (P,) float64 metres."""
    _, depth = frame.cameras.project(pair.points[:, :3])
    return depth[pair.pair_view, pair.pair_point].numpy()

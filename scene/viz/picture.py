"""One picture of a frame: its images with points by depth, then by other colorings, and the cloud from above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.viz.colorings import Coloring, by_class, by_height, by_weak_label
from crosspoint.scene.viz.colors import INK, legible
from crosspoint.scene.viz.grid import image_grid
from crosspoint.scene.viz.images import draw_colored, draw_images
from crosspoint.scene.viz.maps import draw_maps
from crosspoint.scene.viz.point_features import PointFeatures, by_components, by_similarity

_WIDTH = 16.0  # inches
_IMAGES = 8.0  # inches of all images' height, at most
_MAPS = 7.2  # inches of the maps' height
_ABREAST = 3  # maps in a row, at most


def draw_frame(
    frame: LidarSample,
    classes: Sequence[str],
    predictions: np.ndarray | None = None,
    box_classes: Sequence[str] = (),
    features: PointFeatures | None = None,
    weak_classes: Sequence[str] = (),
    further: Sequence[Coloring] = (),
) -> Figure:
    """Draw a frame whose parts fit each other.

    Args:
        frame: N points, and V images with pairs, which may be none; the outlines of its pixel map "superpixels" are
            drawn, where it has one.
        classes: names of the labels.
        predictions: (N,) integers, labels that a network gives; None for none.
        box_classes: names of the boxes' labels.
        features: of all points, which are drawn in images of their own and on maps; None for none.
        weak_classes: names of the weak labels, by which points are colored beside the truth; empty for none.
        further: colorings side by side, in images of their own and on maps, such as true and found objects.

    Returns:
        A figure that belongs to no window.
    """
    named = list(by_class(frame, classes, predictions))
    marked = None if features is None else features.chosen
    described: list[Coloring] = [] if features is None else [by_components(features), by_similarity(features)]
    weak: list[Coloring] = []
    if weak_classes and len(frame.images):
        weak = [by_weak_label(frame, classes, weak_classes)]
    answers: list[Coloring] = [*named[:2], *weak] if weak or predictions is not None else []
    colored = [part for part in (answers, [*further], described) if part] if len(frame.images) else []
    maps = _rows([*named] if named else [by_height(frame)], weak, [*further], _named(described, marked))
    grids = [_grid(frame, parts) for parts in (1, *map(len, colored))] if len(frame.images) else []
    heights = [height for _, height in grids] + [_MAPS] * len(maps)
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    title = f"{legible(frame.name)}: {len(frame.points):,} points"
    figure.suptitle(title, fontsize=12, color=INK, parse_math=False)
    rows = iter(figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
    if grids:
        draw_images(next(rows), frame, grids[0][0], box_classes)
    for part, (columns, _) in zip(colored, grids[1:], strict=False):
        draw_colored(next(rows), frame, columns, part, marked if part is described else None)
    for row in maps:
        draw_maps(next(rows), frame, row, (_WIDTH, _MAPS), box_classes, marked)
    return figure


def _rows(*groups: list[Coloring]) -> list[list[Coloring]]:
    """Maps in as few rows as hold them; those of a group stand in one."""
    rows = [groups[0]]
    for group in filter(None, groups[1:]):
        if len(rows[-1] + group) <= _ABREAST:
            rows[-1] = rows[-1] + group
        else:
            rows.append(group)
    return rows


def _named(described: list[Coloring], marked: int | None) -> list[Coloring]:
    """Colorings by features for maps: that by similarity says to which point."""
    return [*described[:1], *(replace(one, title=f"similarity to point {marked:,}") for one in described[1:])]


def _grid(frame: LidarSample, parts: int) -> tuple[int, float]:
    """Columns and inches of height of a grid of a frame's images that fills one of several parts of the width."""
    return image_grid(len(frame.images), frame.image_size, (_WIDTH - 1) / parts, _IMAGES)

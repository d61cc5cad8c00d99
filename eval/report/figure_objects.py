"""Pictures in strips and clouds in parts by matplotlib, without its global state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from crosspoint.eval.report.figure_charts import INK, QUIET, RIGHT, WRONG, legible
from crosspoint.eval.report.page_data import parts_by_category
from crosspoint.eval.report.palette import palette
from crosspoint.eval.report.report_model import Retrieved, Segmented
from crosspoint.eval.report.thumbnails import open_picture
from crosspoint.eval.report.viewpoint import three_quarter


def draw_strips(retrieved: Sequence[Retrieved]) -> Figure:
    """Queries with their nearest shapes; wrong ones have a dashed frame and a cross."""
    columns = 1 + max(len(strip.found) for strip in retrieved)
    figure = Figure(figsize=(1.25 * columns, 1.45 * len(retrieved)))
    grid = figure.subplots(len(retrieved), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, strip in zip(grid, retrieved, strict=True):
        _framed(row[0], strip.query, legible(strip.label, 14), INK, "-")
        for axes, (picture, label) in zip(row[1:], strip.found, strict=False):
            right = label == strip.label
            _framed(
                axes,
                picture,
                f"{'✓' if right else '✗'} {legible(label, 13)}",
                RIGHT if right else WRONG,
                "-" if right else "--",
            )
    return figure


def draw_parts(segmented: Sequence[Segmented]) -> Figure:
    """Truth beside prediction, in a fixed three-quarter view."""
    columns = min(3, len(segmented))
    rows = -(-len(segmented) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.3 * rows))
    grid = figure.subplots(rows, 2 * columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    parts = parts_by_category(segmented)
    for axes, cloud in zip(grid.reshape(-1, 2), segmented, strict=False):
        colors = np.array(palette(len(parts[cloud.category])))
        right, up, towards = three_quarter(cloud.points).T
        order = np.argsort(towards)
        for panel, name, given in zip(axes, ("truth", "prediction"), (cloud.truth, cloud.predicted), strict=True):
            index = np.searchsorted(parts[cloud.category], given[order])
            panel.scatter(right[order], up[order], s=3, c=colors[index], linewidths=0)
            panel.set_aspect("equal")
            panel.set_title(f"{legible(cloud.category)}, {name}", fontsize=8, color=QUIET, parse_math=False)
    return figure


def _framed(axes: Axes, picture: bytes, caption: str, color: str, line: str) -> None:
    axes.set_axis_on()
    axes.imshow(np.asarray(open_picture(picture).convert("RGB")))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(caption, fontsize=7, color=color, parse_math=False)
    for side in axes.spines.values():
        side.set(color=color, linestyle=line, linewidth=1.4)

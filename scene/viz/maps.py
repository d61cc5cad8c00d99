"""Maps of a cloud from above, side by side: truth, prediction and mistakes; its height; or features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import SubFigure
from matplotlib.patches import Patch

from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.viz import colors
from crosspoint.scene.viz.birdseye import draw_cloud, window
from crosspoint.scene.viz.boxes import BoxKind, box_kinds
from crosspoint.scene.viz.colorings import Categorical, Coloring, Continuous

_AXES, _BAR = (0.7, 0.8), 1.1  # inches beside and around each map: labels, title; and of a bar of colors
_MARK, _LETTER = 0.5, 0.085  # inches of a legend's column: its mark and the paper around, and each letter
_COLUMN = 32  # names in a column of the legend


def draw_maps(
    figure: SubFigure,
    frame: LidarSample,
    maps: Sequence[Coloring],
    size: tuple[float, float],
    box_classes: Sequence[str] = (),
    marked: int | None = None,
) -> None:
    """Draw the maps with their legend.

    Args:
        figure: to draw on.
        frame: N points.
        maps: colorings of its points.
        size: width and height of the figure in inches.
        box_classes: names of the boxes' labels.
        marked: row of the point that gets a ring; None for none.
    """
    named = [one for one in maps if isinstance(one, Categorical)]
    measured = [one for one in maps if isinstance(one, Continuous)]
    marks = _marks(named, box_kinds(frame.boxes, box_classes))
    columns = -(-len(marks) // _COLUMN)
    beside = columns * (_MARK + _LETTER * max(map(len, marks), default=0)) + _BAR * len(measured)
    # Constrained layout forgets the labels of axes of fixed aspect that get less width than they could fill.
    width = max(size[0] / 2, size[0] - beside) / len(maps) - _AXES[0]
    bounds = window(frame.points.numpy(), width / (size[1] - _AXES[1]), marked)
    axes = figure.subplots(1, len(maps), squeeze=False)
    for cell, one in zip(axes.flat, maps, strict=True):
        draw_cloud(cell, frame, one.of_points, bounds, one.title, box_classes, marked)
    if marks:
        draw_legend(figure, marks, columns)
    for one in measured:
        scale = ScalarMappable(Normalize(*one.limits), colors.LOW_TO_HIGH)
        bar = figure.colorbar(scale, ax=list(axes.flat), fraction=0.02, pad=0.01, aspect=30)
        bar.set_label(one.title, fontsize=9, color=colors.QUIET)
        bar.ax.tick_params(labelsize=8, labelcolor=colors.QUIET)


def _marks(named: list[Categorical], boxes: list[BoxKind]) -> dict[str, Patch]:
    """What each name looks like: of the classes that occur, of right and wrong, and of boxes."""
    table = named[0].names if named else []
    present = {(one.names != table, place): one for one in named for place in np.unique(one.places).tolist()}
    marks: dict[str, Patch] = {}
    for (_, place), one in sorted(present.items(), key=lambda item: item[0]):
        name, color = colors.legible(one.names[place]), colors.hexadecimal(one.colors[place])
        marks.setdefault(name, Patch(facecolor=color))
    for kind in boxes:
        color = colors.hexadecimal(kind.color)
        marks[colors.legible(kind.name)] = Patch(facecolor="none", edgecolor=color, linewidth=1.5)
    return marks


def draw_legend(figure: SubFigure, marks: Mapping[str, Artist], columns: int) -> None:
    """Draw names beside what stands for them, to the right of all maps.

    Args:
        figure: of the maps.
        marks: what stands for each name.
        columns: of the legend.
    """
    legend = figure.legend(
        list(marks.values()),
        [""] * len(marks),
        loc="outside right upper",
        frameon=False,
        fontsize=9,
        handlelength=1,
        ncols=columns,
    )
    for text, name in zip(legend.get_texts(), marks, strict=True):
        text.set_parse_math(False)  # a name may hold a dollar
        text.set_text(name)

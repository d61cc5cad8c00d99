"""Maps of a cloud from above, side by side: truth, prediction, and mistakes; or its height."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch

from scene.frames import SceneFrame
from scene.look import colours
from scene.look.birdseye import draw_cloud, window
from scene.look.colourings import Colouring, Named, by_class, by_height


def draw_maps(
    figure: Figure | SubFigure,
    frame: SceneFrame,
    classes: Sequence[str],
    predictions: np.ndarray | None,
    size: tuple[float, float],
) -> None:
    """Draw the maps with their legend.

    Args:
        figure: to draw on.
        frame: N points.
        classes: names of the labels.
        predictions: (N,) integers; None for none.
        size: width and height of all maps together, in inches.
    """
    named = list(by_class(frame, classes, predictions))
    maps: list[Colouring] = [*named] if named else [by_height(frame)]
    axes = figure.subplots(1, len(maps), squeeze=False)
    bounds = window(frame.points, size[0] / len(maps) / size[1])
    for cell, one in zip(axes.flat, maps, strict=True):
        draw_cloud(cell, frame, one.of_points, bounds, one.title)
    if named:
        _draw_legend(figure, named)
        return
    scale = ScalarMappable(Normalize(*by_height(frame).limits), colours.LOW_TO_HIGH)
    bar = figure.colorbar(scale, ax=list(axes.flat), fraction=0.02, pad=0.01, aspect=30)
    bar.set_label("height z, m", fontsize=9, color=colours.QUIET)
    bar.ax.tick_params(labelsize=8, labelcolor=colours.QUIET)


def _draw_legend(figure: Figure | SubFigure, named: list[Named]) -> None:
    """Names of the classes that occur, beside the maps."""
    first = named[0]
    classes = [one.places for one in named if one.names == first.names]  # not of the mistakes, whose title tells them
    present = np.unique(np.concatenate(classes)).tolist()
    patches = [Patch(facecolor=colours.hexadecimal(first.colours[place])) for place in present]
    legend = figure.legend(
        patches,
        [""] * len(present),
        loc="outside right upper",
        frameon=False,
        fontsize=9,
        handlelength=1,
        ncols=1 + len(present) // 32,
    )
    for text, place in zip(legend.get_texts(), present, strict=True):
        text.set_parse_math(False)  # a name may hold a dollar
        text.set_text(colours.legible(first.names[place]))

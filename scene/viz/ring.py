"""A ring around the chosen point, in images and on maps."""

from __future__ import annotations

from matplotlib.axes import Axes

from crosspoint.scene.viz.colors import ACCENT, GROUND

_SIZE = 13  # points of 1/72 inch


def draw_ring(axes: Axes, x: float, y: float) -> None:
    """Draw a light ring on a broader dark one, as what lies below has any color; limits of the axes stay."""
    for color, width in ((GROUND, 4.0), (ACCENT, 1.8)):
        axes.plot(x, y, "o", fillstyle="none", color=color, markersize=_SIZE, markeredgewidth=width, zorder=5)

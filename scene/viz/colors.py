"""Colors of all that is drawn, the same in pictures and on pages."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap, LogNorm

GROUND = "#14161a"  # behind clouds: the palette and the ramps are legible on black
INK, QUIET, ACCENT = "#1c1f24", "#626973", "#ffffff"  # text, quiet text; boxes and outlines on dark
UNKNOWN = (66, 70, 78)  # what has no class, or no color
RIGHT, WRONG = (150, 158, 168), (255, 66, 66)
NEAR_TO_FAR = matplotlib.colormaps["turbo_r"]  # red near, blue far
LOW_TO_HIGH = ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0.2, 1.0, 256)))  # the rest is lost on black
_SHARE = 0.01  # of values at either end that a ramp leaves out: a bird and a hole must not set its range


def depth_scale(depth: np.ndarray) -> LogNorm:
    """From meters (P,) to 0…1: by their logarithm, for near things move farthest in an image. P > 0."""
    near, far = np.quantile(depth, [_SHARE, 1 - _SHARE])
    return LogNorm(near, max(far, 1.01 * near), clip=True)


def depth_colors(depth: np.ndarray, scale: LogNorm) -> np.ndarray:
    """Colors (P, 3) uint8 of depths (P,), red near and blue far."""
    return NEAR_TO_FAR(scale(depth), bytes=True)[:, :3]


def limits(values: np.ndarray) -> tuple[float, float]:
    """Where a ramp over some values (N,), N > 0, begins and ends."""
    low, high = map(float, np.quantile(values, [_SHARE, 1 - _SHARE]))
    return low, max(high, low + 1e-3)


def ramp() -> np.ndarray:
    """256 colors from low to high: (256, 3) uint8."""
    return LOW_TO_HIGH(np.arange(256), bytes=True)[:, :3]


def hexadecimal(color: np.ndarray | tuple[int, int, int]) -> str:
    """A color as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*map(int, color))


def legible(name: str) -> str:
    """A name as matplotlib can draw it: on one line, without the lone surrogates that names of files may hold."""
    return " ".join(name.encode("utf-8", "replace").decode().split())

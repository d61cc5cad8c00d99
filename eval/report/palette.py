"""Colors and markers that tell many classes apart, on white and on black paper."""

from __future__ import annotations

from functools import cache

import numpy as np

MARKERS = ("o", "s", "^", "D", "v")  # as matplotlib names them; class c has MARKERS[c % 5] on the page as well

LIGHTNESS = (0.50, 0.76)  # darker is lost on black, lighter on white
CHROMA = (0.07, 0.19)  # less is gray, more glares
SEED = (70, 130, 200)  # the first color, a quiet blue


def oklab(rgb: np.ndarray) -> np.ndarray:
    """sRGB (n, 3), 0 … 255, in OKLab, where distances are about as large as they look.

    Source: Björn Ottosson, 2020, https://bottosson.github.io/posts/oklab
    """
    value = rgb / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    cones = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return np.cbrt(cones) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )


@cache
def palette(count: int) -> tuple[str, ...]:
    """`count` colors as "#rrggbb", each the one farthest in OKLab from all before it.

    Distance from a color with another marker counts twice, since the marker tells those two apart as well. A longer
    palette begins with the shorter ones, so a class keeps its color when classes are added after it.

    Example:
        >>> palette(2) == palette(40)[:2]
        True
    """
    steps = np.arange(0, 256, 5)
    rgb = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = oklab(rgb)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    legible = (LIGHTNESS[0] <= lab[:, 0]) & (lab[:, 0] <= LIGHTNESS[1]) & (CHROMA[0] <= chroma) & (chroma <= CHROMA[1])
    rgb, lab = rgb[legible], lab[legible]

    chosen = [int(np.linalg.norm(lab - oklab(np.array([SEED])), axis=1).argmin())]
    distance = np.full((len(MARKERS), len(lab)), np.inf)  # from the nearest chosen color that has this marker
    while len(chosen) < count:
        last = distance[(len(chosen) - 1) % len(MARKERS)]
        np.minimum(last, np.linalg.norm(lab - lab[chosen[-1]], axis=1), out=last)
        weight = np.full((len(MARKERS), 1), 2.0)
        weight[len(chosen) % len(MARKERS)] = 1.0
        chosen.append(int((weight * distance).min(axis=0).argmax()))
    return tuple("#{:02x}{:02x}{:02x}".format(*rgb[index]) for index in chosen[:count])

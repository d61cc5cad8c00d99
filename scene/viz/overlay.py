"""Points and superpixels painted over an image, pixel by pixel."""

from __future__ import annotations

import numpy as np

OUTLINE = (255, 255, 255)


def paint_points(image: np.ndarray, pixels: np.ndarray, depth: np.ndarray, colors: np.ndarray, radius: int) -> None:
    """Paint discs over an image, in place; near ones hide far ones.

    Args:
        image: (H, W, 3) uint8.
        pixels: (P, 2) x and y within the image, pixel centers at +0.5.
        depth: (P,) meters.
        colors: (P, 3) uint8.
        radius: in pixels; 0 paints the pixel that holds the position alone.
    """
    height, width = image.shape[:2]
    order = np.argsort(-depth, kind="stable")
    x, y = np.floor(pixels[order]).astype(np.int64).T
    down, right = np.mgrid[-radius : radius + 1, -radius : radius + 1].reshape(2, -1)
    disc = down**2 + right**2 <= radius**2 + radius  # + radius: rounder than a diamond where radii are small
    rows, columns = y[:, None] + down[disc], x[:, None] + right[disc]  # (P, K), K pixels of a disc
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    # Of repeated positions the last assignment holds: the nearest, for the order is that of points, far to near.
    image[rows[inside], columns[inside]] = np.broadcast_to(colors[order][:, None], (*rows.shape, 3))[inside]


def paint_outlines(image: np.ndarray, regions: np.ndarray, thickness: int = 1) -> None:
    """Paint lines between superpixels over an image (H, W, 3) uint8, in place.

    Args:
        image: (H, W, 3) uint8.
        regions: (H, W) integers.
        thickness: of the lines in pixels.
    """
    across, along = np.nonzero(regions[:, 1:] != regions[:, :-1]), np.nonzero(regions[1:] != regions[:-1])
    for rows, columns in (across, along):
        for shift in range(thickness):
            image[np.minimum(rows + shift, len(image) - 1), columns] = OUTLINE
            image[rows, np.minimum(columns + shift, image.shape[1] - 1)] = OUTLINE

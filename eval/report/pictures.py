"""Small pictures of clouds and views, as PNG."""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from crosspoint.eval.report.viewpoint import three_quarter
from crosspoint.renderers import RenderedSet

SIZE = 112  # pixels a side
RADIUS = 1.8  # of a point, in pixels
NEAR, FAR = np.array([38, 70, 120]), np.array([205, 216, 230])  # RGB of the nearest and the farthest point


def cloud_picture(points: np.ndarray, size: int = SIZE) -> bytes:
    """A cloud (N, 3), y up, seen from the front, right and above; near points are dark, fields behind x y z not seen.

    Args:
        points: of any scale; the picture shows all of them.
        size: side in pixels.
    """
    points = points[:, :3]
    centered = points.astype(np.float64) - points.mean(axis=0)
    x, y, depth = three_quarter(centered).T
    reach = max(float(np.hypot(x, y).max()), 1e-9)
    scale = (size / 2 - RADIUS - 1) / reach
    columns, rows = size / 2 + scale * x, size / 2 - scale * y
    nearness = (depth - depth.min()) / max(float(np.ptp(depth)), 1e-9)
    colors = FAR + nearness[:, None] * (NEAR - FAR)

    span = int(np.ceil(RADIUS))
    offsets = np.mgrid[-span : span + 1, -span : span + 1].reshape(2, -1).T
    order = np.argsort(depth, kind="stable")  # far points first, so that near ones cover them
    canvas = np.full((size, size, 3), 255.0)
    row, column = (np.floor(each[order]).astype(int)[:, None] for each in (rows, columns))
    row, column = row + offsets[:, 0], column + offsets[:, 1]  # (N, offsets)
    inside = np.hypot(row + 0.5 - rows[order][:, None], column + 0.5 - columns[order][:, None]) <= RADIUS
    point = np.broadcast_to(order[:, None], row.shape)
    canvas[row[inside], column[inside]] = colors[point[inside]]
    return encoded(canvas.round().astype(np.uint8))


def view_picture(rendered: RenderedSet, index: int, view: int = 0, size: int = SIZE) -> bytes:
    """A view of an object of a rendered set, scaled down where it is larger."""
    image = rendered.images(index, [view])
    if image.shape[-1] > size:
        image = F.interpolate(image, size=(size, size), mode="bilinear", antialias=True)
    return encoded(np.ascontiguousarray(image[0].permute(1, 2, 0).to(torch.uint8).numpy()))


def encoded(pixels: np.ndarray) -> bytes:
    """PNG of pixels (H, W, 3) uint8."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()

"""A grid for the images of a frame: as large as the paper allows."""

from __future__ import annotations

_CAPTION = 0.3  # inches above each image
_ABREAST = 3  # images in a row, at most


def image_grid(views: int, size: tuple[int, int], width: float, height: float) -> tuple[int, float]:
    """The number of columns, up to three, with which images are largest, and the inches of height that they take.

    Args:
        views: V, above 0.
        size: (H, W) of the images.
        width: inches that there are.
        height: inches that there are.
    """
    shape = size[0] / size[1]

    def largest(columns: int) -> float:
        return min(width / columns, (height / -(-views // columns) - _CAPTION) / shape)

    columns = max(range(1, min(views, _ABREAST) + 1), key=largest)
    return columns, min(height, -(-views // columns) * (width / columns * shape + _CAPTION))

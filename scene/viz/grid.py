"""A grid for the images of a frame: as large as the paper allows."""

from __future__ import annotations

_CAPTION = 0.3  # inches above each image
_ABREAST = 3  # images in a row, at most
_NEARLY = 0.9  # of the largest


def image_grid(views: int, size: tuple[int, int], width: float, height: float) -> tuple[int, float]:
    """The number of columns, up to three, with which images are largest, and the inches of height that they take.

    Of columns that make them nearly as large, the most: fewer would leave paper beside them.

    Args:
        views: V, above 0.
        size: (H, W) of the images.
        width: inches that there are.
        height: inches that there are.
    """
    shape = size[0] / size[1]

    def largest(columns: int) -> float:
        return min(width / columns, (height / -(-views // columns) - _CAPTION) / shape)

    choices = range(1, min(views, _ABREAST) + 1)
    enough = _NEARLY * max(map(largest, choices))
    columns = max(columns for columns in choices if largest(columns) >= enough)
    return columns, min(height, -(-views // columns) * (width / columns * shape + _CAPTION))

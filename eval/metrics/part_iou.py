"""IoU of segmented parts by shape, by instance and by category.

A shape's IoU is the mean over the parts of its category, whether they occur in it or not; a part that neither the truth
nor the prediction has counts as found, IoU = 1. So do ShapeNetPart's authors (Yi et al., 2016,
https://doi.org/10.1145/2980179.2980238) and all who compare with PointNet (https://arxiv.org/abs/1612.00593). A point
that is given a part of another category is missed by its own part, and costs nothing else.
"""

from __future__ import annotations

import numpy as np


def part_ious(predicted: np.ndarray, truth: np.ndarray, parts: int) -> np.ndarray:
    """IoU of every part in every shape, from the diagonal and the margins of each shape's confusion matrix.

    Args:
        predicted: (n, N) integer parts of the points of n shapes.
        truth: (n, N) integer parts.
        parts: how many there are.

    Returns:
        (n, parts) float64 from 0 to 1; 1 where neither has the part.

    Raises:
        ValueError: if shapes differ, are not (n, N), or if a part is not one of 0 … parts − 1.
    """
    if predicted.shape != truth.shape or truth.ndim != 2 or truth.size == 0:
        raise ValueError(f"found predictions {predicted.shape} of parts {truth.shape}, expected the same (n, N)")
    for name, given in (("predicted", predicted), ("true", truth)):
        if given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= parts:
            raise ValueError(
                f"found {name} parts {given.min()}…{given.max()} of type {given.dtype}, expected integers from 0 to "
                f"{parts - 1}"
            )

    first_cell = parts * np.arange(len(truth), dtype=np.int64)[:, None]

    def points_by_part(cells: np.ndarray) -> np.ndarray:
        return np.bincount(cells.ravel(), minlength=len(truth) * parts).reshape(len(truth), parts)

    true_cells = first_cell + truth
    intersection = points_by_part(true_cells[predicted == truth])
    union = points_by_part(true_cells) + points_by_part(first_cell + predicted) - intersection
    return np.where(union > 0, intersection / np.maximum(union, 1), 1.0)


def shape_ious(
    predicted: np.ndarray, truth: np.ndarray, categories: np.ndarray, parts_of_category: np.ndarray
) -> np.ndarray:
    """Mean IoU of each shape, over the parts of its category.

    Args:
        predicted: (n, N) integer parts.
        truth: (n, N) integer parts.
        categories: (n,) integer category of each shape.
        parts_of_category: (categories, parts) bool, the parts of each category.

    Returns:
        (n,) float64 from 0 to 1.

    Raises:
        ValueError: as `part_ious`, or if the category of a shape has no part.
    """
    ious = part_ious(predicted, truth, parts_of_category.shape[1])
    mine = parts_of_category[categories]
    count = mine.sum(axis=1)
    if count.min() == 0:
        raise ValueError(f"found category {categories[count.argmin()]} without parts, expected at least one part each")
    return (ious * mine).sum(axis=1) / count


def category_ious(ious: np.ndarray, categories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The categories (c,) that occur in `categories` (n,), and the mean of the shapes' `ious` (n,) in each, (c,)."""
    present, index = np.unique(categories, return_inverse=True)
    return present, np.bincount(index, weights=ious) / np.bincount(index)


def part_scores(
    predicted: np.ndarray, truth: np.ndarray, categories: np.ndarray, parts_of_category: np.ndarray
) -> dict[str, float]:
    """What papers report of a segmentation, in percent; arguments and errors as those of `shape_ious`.

    - instance_miou: mean IoU over shapes.
    - category_miou: mean over the categories that occur, of the mean over the shapes of each.
    - point_accuracy: points with the right part, over all points of all shapes.

    Example:
        >>> parts_of_category = np.array([[True, True, False], [False, False, True]])
        >>> part_scores(np.array([[0, 0], [0, 2]]), np.array([[0, 1], [2, 2]]), np.array([0, 1]), parts_of_category)
        {'instance_miou': 37.5, 'category_miou': 37.5, 'point_accuracy': 50.0}
    """
    ious = shape_ious(predicted, truth, categories, parts_of_category)
    return {
        "instance_miou": 100.0 * float(ious.mean()),
        "category_miou": 100.0 * float(category_ious(ious, categories)[1].mean()),
        "point_accuracy": 100.0 * float(np.mean(predicted == truth)),
    }

"""Scores of classified points: the confusion matrix, IoU by class, and their mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from crosspoint.renderers.json_object import JsonObject


def confusion_matrix(predicted: Tensor, truth: Tensor, classes: int, *, ignored: int = -1) -> Tensor:
    """How many points of each class are given which label.

    Args:
        predicted: (N,) int64, from 0 to `classes` − 1.
        truth: (N,) int64, from 0 to `classes` − 1 or `ignored`.
        classes: how many there are.
        ignored: label of points that do not count, whatever they are given.

    Returns:
        (classes, classes) int64: row, the truth; column, the prediction. Matrices of parts add up.

    Raises:
        ValueError: if shapes differ or a label is out of range.
    """
    if predicted.shape != truth.shape or truth.ndim != 1:
        raise ValueError(
            f"found predictions {tuple(predicted.shape)} of labels {tuple(truth.shape)}, expected the same (N,)"
        )
    counted = truth != ignored
    predicted, truth = predicted[counted], truth[counted]
    for name, given in (("predicted", predicted), ("true", truth)):
        if len(given) and not (0 <= int(given.min()) and int(given.max()) < classes):
            raise ValueError(
                f"found {name} labels {int(given.min())}…{int(given.max())}, expected 0 to {classes - 1}: pass the "
                "number of classes"
            )
    return torch.bincount(truth * classes + predicted, minlength=classes**2).view(classes, classes)


def class_ious(confusion: np.ndarray) -> np.ndarray:
    """Points in both, over points in either of truth and prediction; NaN for a class that neither has.

    Args:
        confusion: (K, K) integers, row the truth.

    Returns:
        (K,) float64 from 0 to 1, or NaN.
    """
    intersection = np.diagonal(confusion).astype(np.float64)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - intersection
    return np.divide(intersection, union, out=np.full(len(confusion), np.nan), where=union > 0)


def segmentation_scores(confusion: np.ndarray) -> dict[str, float]:
    """What is reported of a segmentation, in percent.

    - miou: mean IoU of the classes that the truth or the prediction has. A class that is only predicted counts, with 0.
    - miou_absent_as_100: of all classes, those that neither has counting as found, as SLidR's code averages (Sautier
      et al., 2022, https://arxiv.org/abs/2203.16258). Equal where every class occurs, as in the benchmarks' full
      validation splits; higher elsewhere.
    - point_accuracy: points with the right label.

    Args:
        confusion: (K, K) integers, row the truth.

    Raises:
        ValueError: if no point counts.

    Example:
        >>> two_of_four = np.pad([[1, 1], [0, 4]], (0, 2))  # IoU ½ and ⅘, and two classes that are absent
        >>> segmentation_scores(two_of_four)
        {'miou': 65.0, 'miou_absent_as_100': 82.5, 'point_accuracy': 83.33333333333333}
    """
    points = int(confusion.sum())
    if points == 0:
        raise ValueError("found no labeled point, expected some: check the labels of the split")
    ious = class_ious(confusion)
    return {
        "miou": 100.0 * float(np.nanmean(ious)),
        "miou_absent_as_100": 100.0 * float(np.nan_to_num(ious, nan=1.0).mean()),
        "point_accuracy": 100.0 * float(np.trace(confusion)) / points,
    }


def class_rows(confusion: np.ndarray, classes: Sequence[str]) -> list[JsonObject]:
    """One row per class, as JSON holds it: its name, its IoU in percent or None, and its row of the matrix."""
    return [
        {"class": name, "iou": None if np.isnan(iou) else 100.0 * float(iou), "points_given": row.tolist()}
        for name, iou, row in zip(classes, class_ious(confusion), confusion, strict=True)
    ]

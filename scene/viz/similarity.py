"""Cosine similarity of features to that of one point, and features short enough for a page to compute it by itself."""

from __future__ import annotations

import numpy as np

from crosspoint.scene.viz.principal_axes import principal_axes

DIMENSIONS = 32  # of a feature on a page: a byte each
_STEPS = 127  # of a byte, on either side of 0
_ASKED = 64  # points that a reduction is judged by


def unit_features(features: np.ndarray) -> np.ndarray:
    """Features (N, C) at length 1, float32; those of length 0 stay 0."""
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    return (features / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def cosines(rows: np.ndarray, chosen: int) -> np.ndarray:
    """Cosine similarity of every row (N, C) to one of them: (N,) float64; 0 where a row has no length."""
    units = unit_features(rows).astype(np.float64)
    return (units @ units[chosen]).clip(-1, 1)


def reduced(units: np.ndarray, dimensions: int = DIMENSIONS) -> np.ndarray:
    """Features as a few bytes whose cosines are near those of the features.

    They are projected on the directions that keep most of their dot products, about 0 and not about their mean, as
    cosines are. A cosine does not know lengths, so each row is stretched until its largest number is ±127.

    Args:
        units: (N, C) of length 1, or 0.
        dimensions: at most; fewer where C is less.

    Returns:
        (N, k) int8.
    """
    axes, _ = principal_axes(units, dimensions)
    scores = units.astype(np.float64) @ axes
    largest = np.abs(scores).max(axis=1, keepdims=True)
    return np.rint(scores / np.where(largest > 0, largest, 1.0) * _STEPS).astype(np.int8)


def reduction_error(units: np.ndarray, rows: np.ndarray) -> float:
    """How far cosines of reduced rows (N, k) are from those of the features (N, C): the mean difference.

    It is over all points, seen from up to 64 of them that are spread evenly over the rows.
    """
    asked = np.unique(np.linspace(0, len(units) - 1, _ASKED).astype(int))
    short = unit_features(rows).astype(np.float32)
    return float(np.abs(short[asked] @ short.T - units[asked] @ units.T).mean())

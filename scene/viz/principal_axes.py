"""Principal components of features, and what they look like as colors.

The components of features of length 1: cosines compare such features, and so do the losses that trained them; lengths,
which differ by a factor between near and far points, would else be the first component. Channels are not brought to
one deviation, as that depends on how the feature space is turned: turning it changes no cosine and no color here.
"""

from __future__ import annotations

import numpy as np

DARKEST = 40  # of 255, as points stand on black
_SHARE = 0.02  # of the points at either end of a component that its color leaves out
_CONSTANT = 1e-4  # range of a component, of features of length 1, below which it is rounding


def principal_axes(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The directions that hold most of the sum of squares of some rows, and how much each holds.

    Of rows less their mean these are the principal components (Pearson, 1901). Of rows as they are, projections on
    them have the dot products that are nearest to the rows' own (Eckart and Young, 1936).

    Args:
        rows: (N, C).
        count: how many directions, k; there are no more than C.

    Returns:
        (C, k) float64, orthonormal columns with arbitrary signs, most first; and (k,), their shares of the sum, zeros
        where the sum is 0. k is C where that is less.
    """
    rows = rows.astype(np.float64)
    squares, axes = np.linalg.eigh(rows.T @ rows)  # in ascending order
    squares, axes = squares[::-1].clip(min=0), axes[:, ::-1]
    return axes[:, :count], squares[:count] / max(squares.sum(), np.finfo(np.float64).tiny)


def component_colors(features: np.ndarray) -> tuple[np.ndarray, float]:
    """The first three principal components as red, green and blue.

    Each goes from `DARKEST` to 255 between its 2nd and its 98th percentile. Its sign makes the mean of its cubes
    positive, so that what differs from most is bright; like the components, this does not depend on how the feature
    space is turned. Components that are constant, or not there, are halfway.

    Args:
        features: (N, C) of length 1, N > 0.

    Returns:
        (N, 3) uint8, and the share of the variance that the three hold.
    """
    centered = features - features.mean(axis=0, dtype=np.float64)
    axes, shares = principal_axes(centered, 3)
    scores = np.zeros((len(features), 3))
    scores[:, : axes.shape[1]] = centered @ axes
    scores *= np.where((scores**3).mean(axis=0) < 0, -1, 1)
    low, high = np.quantile(scores, [_SHARE, 1 - _SHARE], axis=0)
    constant = high - low < _CONSTANT
    places = np.where(constant, 0.5, (scores - low) / np.where(constant, 1.0, high - low)).clip(0, 1)
    return np.rint(DARKEST + (255 - DARKEST) * places).astype(np.uint8), float(shares.sum())

"""Linear support vector machines for many values of C at the price of one Gram matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.svm import SVC


def svm_predictions(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, costs: Sequence[float], *, iterations: int = -1
) -> list[np.ndarray]:
    """Predictions of `SVC(kernel="linear", C=C)` for every C in `costs`.

    libsvm computes a linear kernel one dot product at a time, anew for each pair of classes and each C. Here two
    matrix products serve them all. libsvm rounds its kernel to float32 in both cases, so the last float64 digits,
    where the two ways differ, do not reach the optimiser. Memory: 8 n (n + m) bytes.

    Args:
        train_x: (n, C) features.
        train_y: (n,) labels.
        test_x: (m, C) features.
        costs: values of C, all positive.
        iterations: of libsvm for one pair of classes, -1 for as many as it takes.

    Returns:
        One (m,) array of labels per cost; fewer where some cost asks for more iterations, at which the list ends.
    """
    train_x, test_x = np.asarray(train_x, dtype=np.float64), np.asarray(test_x, dtype=np.float64)
    gram, cross = train_x @ train_x.T, test_x @ train_x.T
    predictions: list[np.ndarray] = []
    for cost in costs:
        machine = SVC(kernel="precomputed", C=cost, max_iter=iterations).fit(gram, train_y)
        if machine.fit_status_ != 0:
            break
        predictions.append(machine.predict(cross))
    return predictions


def accuracy(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Share of equal labels, in percent."""
    return 100.0 * float(np.mean(predicted == truth))


def class_accuracy(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the classes of `truth` of the share found in each, in percent."""
    return float(np.mean([accuracy(predicted[truth == label], label) for label in np.unique(truth)]))


def check_features(features: np.ndarray, labels: np.ndarray, where: str) -> None:
    """Check that `features` are (n, C) and finite, and `labels` (n,).

    Raises:
        ValueError: if not.
    """
    if features.ndim != 2 or features.size == 0:
        raise ValueError(f"{where}: found features of shape {features.shape}, expected (n, C) with n and C at least 1")
    if labels.shape != (len(features),):
        raise ValueError(f"{where}: found labels of shape {labels.shape}, expected ({len(features)},)")
    if labels.dtype.kind == "f":
        raise ValueError(f"{where}: found labels of type {labels.dtype}, expected integers: convert them")
    broken = int((~np.isfinite(features).all(axis=1)).sum())
    if broken:
        raise ValueError(f"{where}: found NaN or infinite values in {broken} feature rows, expected finite ones")

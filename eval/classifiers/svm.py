"""Linear support vector machines for many values of C at the price of one Gram matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.svm import SVC

from crosspoint.eval.classifiers.svm_answers import gram_matrix, machine_answers
from crosspoint.eval.classifiers.svm_pairs import predictions_by_pairs

GRAM_BYTES = 4 * 2**30  # that Gram matrices may take: those of 23,000 samples, or of two classes that have as many


def svm_predictions(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    costs: Sequence[float],
    *,
    iterations: int = -1,
    memory: int = GRAM_BYTES,
) -> list[np.ndarray]:
    """Predictions of `SVC(kernel="linear", C=C)` for every C in `costs`, the same ones.

    libsvm computes a linear kernel one dot product at a time, anew for each pair of classes, each C and each answer.
    Here one Gram matrix serves all pairs and costs, and pairs answer by their normal vectors. Where it would be larger
    than `memory`, it is one of two classes at a time, and the answers are the same.

    Memory: 8 n (n + C) bytes, or 8 n C and `memory`, and 200 MB for libsvm.

    Args:
        train_x: (n, C) features.
        train_y: (n,) labels.
        test_x: (m, C) features.
        costs: values of C, all positive.
        iterations: of libsvm for one pair of classes, -1 for as many as it takes.
        memory: bytes that Gram matrices may take.

    Returns:
        One (m,) array of labels per cost; fewer where some cost asks for more iterations, at which the list ends.
    """
    # libsvm orders the samples like this itself, but by pointers; now a pair of classes reads whole runs of a row.
    order = np.argsort(train_y, kind="stable")
    train_x, train_y = np.asarray(train_x)[order].astype(np.float64, copy=False), np.asarray(train_y)[order]
    test_x = np.asarray(test_x, dtype=np.float64)
    if 8 * len(train_x) ** 2 > memory:
        return predictions_by_pairs(train_x, train_y, test_x, costs, iterations=iterations, memory=memory)
    gram = gram_matrix(train_x)
    predictions: list[np.ndarray] = []
    for cost in costs:
        machine = SVC(kernel="precomputed", C=cost, max_iter=iterations).fit(gram, train_y)
        if machine.fit_status_ != 0:
            break
        predictions.append(machine_answers(machine, train_x, test_x))
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


def check_split(train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> None:
    """Check that (n, C) and (m, C) features and their labels fit each other, and that the test split has known classes.

    Raises:
        ValueError: if not.
    """
    check_features(train_x, train_y, "training split")
    check_features(test_x, test_y, "test split")
    if train_x.shape[1] != test_x.shape[1]:
        raise ValueError(f"found {test_x.shape[1]} test features, expected {train_x.shape[1]} as in the training split")
    unknown = np.setdiff1d(test_y, train_y)
    if len(unknown):
        raise ValueError(f"found test labels {unknown.tolist()} that are absent from training, expected known classes")

"""Linear support vector machines for many values of C at the price of one Gram matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg.blas import ddot
from sklearn.svm import SVC


def svm_predictions(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, costs: Sequence[float], *, iterations: int = -1
) -> list[np.ndarray]:
    """Predictions of `SVC(kernel="linear", C=C)` for every C in `costs`, the same ones.

    libsvm computes a linear kernel one dot product at a time, anew for each pair of classes, each C and each answer.
    Here one Gram matrix serves all pairs and costs, and pairs answer by their normal vectors.

    Memory: 8 n (n + C) bytes, and 200 MB for libsvm.

    Args:
        train_x: (n, C) features.
        train_y: (n,) labels.
        test_x: (m, C) features.
        costs: values of C, all positive.
        iterations: of libsvm for one pair of classes, -1 for as many as it takes.

    Returns:
        One (m,) array of labels per cost; fewer where some cost asks for more iterations, at which the list ends.
    """
    # libsvm orders the samples like this itself, but by pointers; now a pair of classes reads whole runs of a row.
    order = np.argsort(train_y, kind="stable")
    train_x, train_y = np.asarray(train_x)[order].astype(np.float64, copy=False), np.asarray(train_y)[order]
    test_x = np.asarray(test_x, dtype=np.float64)
    gram = gram_matrix(train_x)
    predictions: list[np.ndarray] = []
    for cost in costs:
        machine = SVC(kernel="precomputed", C=cost, max_iter=iterations).fit(gram, train_y)
        if machine.fit_status_ != 0:
            break
        predictions.append(_answers(machine, train_x, test_x))
    return predictions


def gram_matrix(x: np.ndarray) -> np.ndarray:
    """Products (n, n) of all rows of x (n, C) float64, on which libsvm finds the solution of its own linear kernel.

    libsvm optimizes on a kernel rounded to float32. That swallows the last digits, where a matrix product and a dot
    product differ (but for values within 1e-15 of the border between two roundings). The diagonal alone it takes as
    float64, so that comes from the function which libsvm calls itself: the solutions then agree bit for bit.
    """
    gram = x @ x.T
    np.fill_diagonal(gram, [ddot(row, row) for row in x])
    return gram


def _answers(machine: SVC, train_x: np.ndarray, test_x: np.ndarray) -> np.ndarray:
    """Labels (m,) of test_x (m, C) from a machine fitted on the Gram matrix of train_x (n, C).

    A machine's own `predict` sums thousands of products one by one for each answer and pair of classes.
    """
    classes = len(machine.classes_)
    first, second = np.triu_indices(classes, 1)  # the two classes of each pair, in libsvm's order
    sign = -1.0 if classes == 2 else 1.0  # scikit-learn turns a single pair round
    # Row j − 1 holds the coefficients of a class against a later class j, row i those against an earlier class i.
    coefficients = np.split(sign * machine.dual_coef_, machine.n_support_.cumsum()[:-1], axis=1)
    support = np.split(train_x[machine.support_], machine.n_support_.cumsum()[:-1])
    normals = np.stack([c @ x for c, x in zip(coefficients, support, strict=True)])
    decisions = test_x @ (normals[first, second - 1] + normals[second, first]).T + sign * machine.intercept_
    # Votes won minus votes lost order the classes as votes do, and the first of equals wins, as in libsvm.
    identity = np.eye(classes)
    votes = np.where(decisions > 0, 1.0, -1.0) @ (identity[first] - identity[second])
    answers = machine.classes_[votes.argmax(axis=1)]

    # Two orders of summation differ by less than the rounding of all terms, were they all of one sign.
    reaches = np.stack([abs(c) @ np.linalg.norm(x, axis=1) for c, x in zip(coefficients, support, strict=True)])
    reach = np.outer(np.linalg.norm(test_x, axis=1), reaches[first, second - 1] + reaches[second, first])
    terms = train_x.shape[1] + 2 * int(machine.n_support_.max())
    in_doubt = abs(decisions) <= 2 * np.finfo(np.float64).eps * terms * reach
    rows = np.flatnonzero(in_doubt.any(axis=1))
    if len(rows):
        pairs = [np.union1d(first[each], second[each]) for each in in_doubt[rows]]
        answers[rows] = machine.predict(_kernel_in_doubt(machine, train_x, test_x[rows], pairs))
    return answers


def _kernel_in_doubt(machine: SVC, train_x: np.ndarray, x: np.ndarray, classes: list[np.ndarray]) -> np.ndarray:
    """Products (r, n) of x (r, C) and train_x (n, C), rounded as libsvm does.

    Only those with the support vectors of `classes` (r lists) are: what rounding decides must be rounded alike.
    """
    kernel = x @ train_x.T
    owner = np.arange(len(machine.classes_)).repeat(machine.n_support_)
    for products, row, each in zip(kernel, x, classes, strict=True):
        for index in machine.support_[np.isin(owner, each)]:
            products[index] = ddot(row, train_x[index])
    return kernel


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

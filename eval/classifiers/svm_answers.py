"""Answers of linear support vector machines by their normal vectors, the same as libsvm gives one product at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg.blas import ddot
from sklearn.svm import SVC


def gram_matrix(x: np.ndarray) -> np.ndarray:
    """Products (n, n) of all rows of x (n, C) float64, on which libsvm finds the solution of its own linear kernel.

    libsvm optimizes on a kernel rounded to float32. That swallows the last digits, where a matrix product and a dot
    product differ (but for values within 1e-15 of the border between two roundings). The diagonal alone it takes as
    float64, so that comes from the function which libsvm calls itself: the solutions then agree bit for bit.
    """
    gram = x @ x.T
    np.fill_diagonal(gram, [ddot(row, row) for row in x])
    return gram


def machine_answers(machine: SVC, train_x: np.ndarray, test_x: np.ndarray) -> np.ndarray:
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


class Plane(NamedTuple):
    """What a machine of two classes decides by: x belongs to the first where x · normal + intercept is above 0."""

    normal: np.ndarray  # (C,)
    intercept: float
    rounding: float  # of a decision, at most, for each unit of the length of x

    @classmethod
    def of(cls, machine: SVC, train_x: np.ndarray) -> Plane:
        """From a machine fitted on train_x (n, C) or its Gram matrix."""
        coefficients, support = -machine.dual_coef_[0], train_x[machine.support_]  # scikit-learn turns a pair round
        reach = float(abs(coefficients) @ np.linalg.norm(support, axis=1))
        terms = train_x.shape[1] + 2 * int(machine.n_support_.max())
        return cls(coefficients @ support, -float(machine.intercept_[0]), 2 * np.finfo(np.float64).eps * terms * reach)


def exact_answers(machine: SVC, train_x: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Labels (r,) of x (r, C) from a machine of two classes fitted on train_x (n, C), summed as libsvm does."""
    if machine.kernel == "linear":
        return np.asarray(machine.predict(x))
    return np.asarray(machine.predict(_kernel_in_doubt(machine, train_x, x, [np.arange(2)] * len(x))))

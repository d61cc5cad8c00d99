"""Linear support vector machines on more samples than one Gram matrix has room for: one pair of classes after another.

libsvm's machine of many classes is a machine for each pair of classes, fitted on the samples of these two alone. So
fitting one pair at a time changes no solution, and needs the products of two classes instead of those of all samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.svm import SVC

from crosspoint.eval.classifiers.svm_answers import Plane, exact_answers, gram_matrix


def predictions_by_pairs(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    costs: Sequence[float],
    *,
    iterations: int = -1,
    memory: int,
) -> list[np.ndarray]:
    """Predictions of `SVC(kernel="linear", C=C)` for every C in `costs`, the same ones, as `svm_predictions`.

    A pair of classes of p samples takes 8 p² bytes. Of a pair for which that is more than `memory`, libsvm computes the
    products one by one.

    Args:
        train_x: (n, C) float64 features, sorted by class.
        train_y: (n,) labels, sorted.
        test_x: (m, C) float64 features.
        costs: values of C, all positive.
        iterations: of libsvm for one pair of classes, -1 for as many as it takes.
        memory: bytes that Gram matrices may take.

    Returns:
        One (m,) array of labels per cost; fewer where some cost asks for more iterations, at which the list ends.
    """
    classes, sizes = np.unique(train_y, return_counts=True)
    products = _Products(np.split(train_x, sizes.cumsum()[:-1]), memory)
    lengths = np.linalg.norm(test_x, axis=1)
    votes = [np.zeros((len(test_x), len(classes)), dtype=np.int32) for _ in costs]
    for first in range(len(classes) - 1):
        fitted: list[list[_Pair]] = [[] for _ in votes]
        for second in range(first + 1, len(classes)):
            x, labels = products.samples(first, second)
            machines = list(_machines(products.gram(first, second), x, labels, costs[: len(fitted)], iterations))
            del fitted[len(machines) :]
            for pairs, machine in zip(fitted, machines, strict=True):
                pairs.append(_Pair(second, machine, Plane.of(machine, x)))
        del votes[len(fitted) :]
        for tally, pairs in zip(votes, fitted, strict=True):
            won = _won(first, pairs, test_x, lengths, products)
            tally[:, first] += won.sum(axis=1)
            tally[:, first + 1 :] += ~won
    return [classes[each.argmax(axis=1)] for each in votes]  # the first of equals wins, as in libsvm


class _Pair(NamedTuple):
    """The machine of a class and a later one."""

    second: int
    machine: SVC
    plane: Plane


def _won(
    first: int, pairs: Sequence[_Pair], test_x: np.ndarray, lengths: np.ndarray, products: _Products
) -> np.ndarray:
    """Where a class wins against each later one, (m, pairs) bool: one product with all their normal vectors.

    Args:
        first: the class.
        pairs: its machines.
        test_x: (m, C) features.
        lengths: (m,) of them.
        products: have the samples that the machines were fitted on.
    """
    planes = [pair.plane for pair in pairs]
    decisions = test_x @ np.stack([plane.normal for plane in planes]).T + [plane.intercept for plane in planes]
    won = decisions > 0
    in_doubt = abs(decisions) <= np.outer(lengths, [plane.rounding for plane in planes])
    for column in np.flatnonzero(in_doubt.any(axis=0)).tolist():
        rows, pair = np.flatnonzero(in_doubt[:, column]), pairs[column]
        x, _ = products.samples(first, pair.second)
        won[rows, column] = exact_answers(pair.machine, x, test_x[rows]) == 0
    return won


def _machines(
    gram: np.ndarray | None, x: np.ndarray, labels: np.ndarray, costs: Sequence[float], iterations: int
) -> Iterator[SVC]:
    """Machines of one pair of classes, up to the first cost that asks for more iterations."""
    for cost in costs:
        if gram is None:
            machine = SVC(kernel="linear", C=cost, max_iter=iterations).fit(x, labels)
        else:
            machine = SVC(kernel="precomputed", C=cost, max_iter=iterations).fit(gram, labels)
        if machine.fit_status_ != 0:
            return
        yield machine


class _Products:
    """Gram matrices of pairs of classes; those within a class, which all its pairs need, are kept where they fit.

    Args:
        members: (n_i, C) samples of each class.
        memory: bytes.
    """

    def __init__(self, members: Sequence[np.ndarray], memory: int) -> None:
        self.members, self.memory = members, memory
        self.keep = 8 * sum(len(each) ** 2 for each in members) <= memory // 2
        self.within: dict[int, np.ndarray] = {}

    def samples(self, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
        """The samples of two classes, and which of the two each is of, 0 or 1."""
        one, other = self.members[first], self.members[second]
        return np.concatenate([one, other]), np.repeat([0, 1], [len(one), len(other)])

    def gram(self, first: int, second: int) -> np.ndarray | None:
        """Their products (p, p); None where they do not fit."""
        one, other = self.members[first], self.members[second]
        count = len(one) + len(other)
        if 8 * count**2 > self.memory:
            return None
        gram = np.empty((count, count))
        gram[: len(one), : len(one)] = self._within(first)
        gram[len(one) :, len(one) :] = self._within(second)
        np.matmul(one, other.T, out=gram[: len(one), len(one) :])
        gram[len(one) :, : len(one)] = gram[: len(one), len(one) :].T
        return gram

    def _within(self, number: int) -> np.ndarray:
        if number not in self.within:
            if not self.keep:
                return gram_matrix(self.members[number])
            self.within[number] = gram_matrix(self.members[number])
        return self.within[number]

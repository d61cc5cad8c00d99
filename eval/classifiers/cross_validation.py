"""The choice of C for a linear SVM by cross-validation, over a grid that grows until its best value is inside it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from crosspoint.eval.classifiers.svm import GRAM_BYTES, svm_predictions
from crosspoint.renderers.json_object import JsonObject

Scaling = Literal["raw", "standardized"]
Folds = list[tuple[np.ndarray, np.ndarray]]

STEPS_PER_DECADE = 2
FIRST_STEPS = range(-2, 3)  # relative C from 0.1 to 10: where classes overlap, libsvm's time grows with C
MARGIN = 2  # steps that the grid reaches past the chosen one, on both sides
LAST_STEP = 20  # the grid grows no further than a relative C of 1e-10 and 1e10
# Separable classes saturate before this many libsvm iterations; where classes overlap, every further step takes three
# times as many, without end and without use.
GROWTH_ITERATIONS = 200_000
MEMORY = 8 * 2**30  # bytes that folds may take together, beside the features
LEAST = 2**28  # bytes of Gram matrices of a fold, whatever the features take
COPIES = 3  # of a fold's features in float64: as they are, standardized, sorted by class


@dataclass(frozen=True)
class CostSearch:
    """What cross-validation found for one scaling of the features."""

    scaling: Scaling
    cost: float  # the chosen C
    accuracy: float  # of the chosen C, in percent of all held-out samples
    inside: bool  # the grid reaches past the chosen C on both sides; False where its growth came to an end before
    tied: list[float]  # lowest and highest C of the same accuracy
    records: list[JsonObject]  # one row per C


def stratified_folds(labels: np.ndarray, folds: int, seed: int) -> Folds:
    """Indices of the training and the held-out part of each fold; fewer folds where a class has fewer members.

    Raises:
        ValueError: if a class of `labels` (n,) has a single member, or `folds` is below 2.
    """
    if folds < 2:
        raise ValueError(f"found {folds} folds, expected at least 2")
    classes, members = np.unique(labels, return_counts=True)
    if members.min() < 2:
        lonely = classes[members < 2].tolist()
        raise ValueError(f"found a single training sample in classes {lonely}, expected 2 or more: leave them out")
    splitter = StratifiedKFold(min(folds, int(members.min())), shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(labels)), labels))


def scaled(train: np.ndarray, test: np.ndarray, scaling: Scaling) -> tuple[np.ndarray, np.ndarray]:
    """Both parts (n, C) and (m, C) in float64, standardized by the mean and deviation of the first where asked."""
    train, test = train.astype(np.float64), test.astype(np.float64)
    if scaling == "raw":
        return train, test
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), scaler.transform(test)


def search_cost(x: np.ndarray, y: np.ndarray, folds: Folds, scaling: Scaling, jobs: int = 1) -> CostSearch:
    """Find the C of the highest cross-validated accuracy; the scaler is fitted anew in each fold's training part.

    The solution of a linear SVM depends on C times the squared scale of the features and not on their origin. The
    grid is therefore even in `C * s`, s the total variance of the features: it suits features of any scale.

    Args:
        x: (n, C) features.
        y: (n,) labels.
        folds: as `stratified_folds` gives them.
        scaling: of the features.
        jobs: threads.
    """
    known = scaled(x, x[:1], scaling)[0]
    variance = float(known.var(axis=0).sum())
    if variance <= float(np.finfo(np.float32).eps) ** 2 * float(np.square(known).mean(axis=0).sum()):
        variance = 1.0  # a collapsed encoder: what is left is rounding, and any C gives chance
    del known
    threads, memory = share_memory(len(x), x.shape[1], len(folds), jobs)
    correct: dict[int, list[int]] = {}
    steps, iterations, converged = list(FIRST_STEPS), -1, True
    while steps and converged:
        costs = [_relative(step) / variance for step in steps]
        with warnings.catch_warnings():  # here and not in the threads, which share the filters
            warnings.simplefilter("ignore", ConvergenceWarning)
            # Threads: libsvm and the matrix products release the interpreter, and the features are shared.
            counts = Parallel(n_jobs=threads, prefer="threads")(
                delayed(_held_out_correct)(x, y, *fold, scaling, costs, iterations, memory) for fold in folds
            )
        # A fold ends its counts at the first C that does not converge.
        by_step = list(zip(*counts, strict=False))
        correct.update({step: list(each) for step, each in zip(steps, by_step, strict=False)})
        converged = len(by_step) == len(steps)
        best, wanted = choose_step({step: sum(each) for step, each in correct.items()})
        steps, iterations = [step for step in wanted if abs(step) <= LAST_STEP], GROWTH_ITERATIONS
    tied = [step for step in sorted(correct) if sum(correct[step]) == sum(correct[best])]
    return CostSearch(
        scaling=scaling,
        cost=_relative(best) / variance,
        accuracy=100.0 * sum(correct[best]) / len(y),
        inside=not wanted,
        tied=[_relative(tied[0]) / variance, _relative(tied[-1]) / variance],
        records=[
            {"scaling": scaling, "C": _relative(step) / variance, "relative_C": _relative(step)}
            | _accuracies(correct[step], folds)
            for step in sorted(correct)
        ],
    )


def share_memory(samples: int, features: int, folds: int, jobs: int) -> tuple[int, int]:
    """How many folds are fitted at a time, and the bytes that the Gram matrices of each may take.

    Which they are changes no result.

    Args:
        samples: of all folds.
        features: of a sample.
        folds: of the cross-validation.
        jobs: threads that were asked for.
    """
    copies = COPIES * 8 * samples * features
    threads = max(1, min(effective_n_jobs(jobs), folds, 2 * MEMORY // (3 * copies)))
    return threads, min(GRAM_BYTES, max(LEAST, MEMORY // threads - copies))


def choose_step(correct: dict[int, int]) -> tuple[int, list[int]]:
    """The best step of a grid so far, and the steps outside it that must be tried before it may be believed.

    For large C a separable problem saturates at the hard margin, for small C at the class means: there the accuracy
    is a plateau that reaches the edge of any grid. So what lies beyond the edge matters only while no step well inside
    the grid does as well as those near it. Of equal steps inside, the smallest is chosen.

    Args:
        correct: number of right answers for each of the consecutive steps of the grid.
    """
    lowest, highest, most = min(correct), max(correct), max(correct.values())
    winners = sorted(step for step, count in correct.items() if count == most)
    inside = [step for step in winners if lowest + MARGIN <= step <= highest - MARGIN]
    if inside:
        return inside[0], []
    return winners[0], [*range(winners[0] - MARGIN, lowest), *range(highest + 1, winners[-1] + MARGIN + 1)]


def _relative(step: int) -> float:
    return float(10.0 ** (step / STEPS_PER_DECADE))


def _accuracies(correct: Sequence[int], folds: Folds) -> JsonObject:
    sizes = [len(held_out) for _, held_out in folds]
    return {
        "validation_accuracy": 100.0 * sum(correct) / sum(sizes),
        "fold_accuracy": [100.0 * count / size for count, size in zip(correct, sizes, strict=True)],
    }


def _held_out_correct(
    x: np.ndarray,
    y: np.ndarray,
    train: np.ndarray,
    held_out: np.ndarray,
    scaling: Scaling,
    costs: Sequence[float],
    iterations: int,
    memory: int,
) -> list[int]:
    known, asked = scaled(x[train], x[held_out], scaling)
    answers = svm_predictions(known, y[train], asked, costs, iterations=iterations, memory=memory)
    return [int((answer == y[held_out]).sum()) for answer in answers]

"""Nearest neighbors on frozen features: no weights to fit, so it shows what the distances alone have learnt.

The weighted vote is that of instance discrimination (Wu et al., CVPR 2018, https://arxiv.org/abs/1805.01978); DINO
(Caron et al., ICCV 2021, https://arxiv.org/abs/2104.14294) keeps its temperature and finds it best at k = 20.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.neighbors import NearestNeighbors

from crosspoint.eval.arrays import as_array
from crosspoint.eval.classifiers.cross_validation import stratified_folds
from crosspoint.eval.classifiers.svm import accuracy, check_split, class_accuracy
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.benchmarks import clouds_label, published_key
from crosspoint.eval.protocols.frozen_classifier import FrozenClassifier
from crosspoint.eval.protocols.protocol import Column, Measured, on_dataset
from crosspoint.eval.results import Result
from crosspoint.renderers.json_object import JsonObject

Metric = Literal["cosine", "euclidean"]
Weights = Literal["uniform", "temperature"]

NEAREST = 20  # DINO's best
K_GRID = (1, 3, 5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class Knn(FrozenClassifier):
    """Vote of the nearest training samples on frozen features.

    Args:
        variant: validated: how many vote is found by cross-validation; fixed: as many as nearest says
        nearest: how many vote in the fixed variant, 20 by default; the validated one finds its own
        metric: distance between features
        weights: uniform: all votes count alike; temperature: exp(cosine / 0.07), as in instance discrimination
    """

    name = "knn"

    variant: Literal["validated", "fixed"] = "validated"
    nearest: int | None = None
    metric: Metric = "cosine"
    weights: Weights = "uniform"

    def check_settings(self, data: EvaluationData) -> None:
        """Refuse a number of votes that would not be used."""
        if self.nearest is not None and self.variant == "validated":
            raise ValueError(
                f"found nearest {self.nearest} for the validated variant, which finds its own, expected none: leave "
                "--nearest out, or give --variant fixed"
            )

    def run(self, run: EvaluationRun) -> Measured:
        """Accuracy."""
        train, test = run.data.clouds("train"), run.data.clouds("test")
        result = knn_classify(
            run.features("train"),
            train.labels,
            run.features("test"),
            test.labels,
            protocol=self.variant,
            k=NEAREST if self.nearest is None else self.nearest,
            metric=self.metric,
            weights=self.weights,
            seed=run.seed,
            jobs=run.jobs,
        )
        return on_dataset(result, train.name), {}

    def columns(self, data: EvaluationData) -> list[Column]:
        """Accuracy."""
        test = data.clouds("test")
        title = f"kNN, {clouds_label(test, data.root)}"
        return [Column(title, self.name, "accuracy", published_key(self.name, test))]


def knn_classify(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    test_y: np.ndarray,
    *,
    protocol: Literal["fixed", "validated"] = "fixed",
    k: int = 20,
    metric: Metric = "cosine",
    weights: Weights = "uniform",
    temperature: float = 0.07,
    folds: int = 5,
    seed: int = 0,
    jobs: int = 1,
) -> Result:
    """Accuracy of a vote among the k nearest training samples, in percent: scikit-learn's `KNeighborsClassifier`.

    - "fixed": k as given.
    - "validated": k of `K_GRID` chosen by stratified cross-validation on the training split, the smallest of equal
      ones, and then used once on the test split. The table of all candidates is in `records`.

    Of classes with equal votes the first in sorted order wins. Which of several neighbors at the same distance is
    among the k depends on their order in the training split.

    Args:
        train_x: (n, C) features, used in the precision they have.
        train_y: (n,) labels.
        test_x: (m, C) features.
        test_y: (m,) labels, all of classes that are in `train_y`.
        protocol: which of the two.
        k: of "fixed"; "validated" finds its own.
        metric: "cosine" does not see the length of a feature, "euclidean" does.
        weights: "uniform" counts neighbors; "temperature" weighs each by `exp(cosine similarity / temperature)`.
        temperature: of the weights.
        folds: of "validated"; fewer are used where the smallest class has fewer members.
        seed: of the folds.
        jobs: threads, -1 for one per core.

    Raises:
        ValueError: if shapes do not fit, a value is not finite, a test class was never trained, a number is out of
            range, weights do not suit the metric, or a class has a single member ("validated").
    """
    train_x, train_y, test_x, test_y = (as_array(each) for each in (train_x, train_y, test_x, test_y))
    check_split(train_x, train_y, test_x, test_y)
    _check_vote(metric, weights, temperature)
    constants: JsonObject = {"metric": metric, "weights": weights}
    if weights == "temperature":
        constants["temperature"] = float(temperature)
    heat = constants.get("temperature")
    records: list[JsonObject] = []
    if protocol == "validated":
        parts = stratified_folds(train_y, folds, seed)
        records = validate_k(train_x, train_y, parts, metric, heat, jobs)
        best = max(records, key=lambda row: row["validation_accuracy"])  # the first, smallest, of equal ones
        k = best["k"]
        grid = [row["k"] for row in records]
        constants |= {"grid": grid, "folds": len(parts), "folds_asked": folds, "seed": seed}
    elif protocol != "fixed":
        raise ValueError(f'found protocol "{protocol}", expected "fixed" or "validated"')
    elif not 1 <= k <= len(train_y):
        raise ValueError(f"found k {k}, expected 1 to {len(train_y)}, the number of training samples")
    predicted = knn_predictions(train_x, train_y, test_x, [k], metric=metric, temperature=heat, jobs=jobs)[0]
    metrics = {"accuracy": accuracy(predicted, test_y), "class_accuracy": class_accuracy(predicted, test_y)}
    if records:
        metrics["validation_accuracy"] = best["validation_accuracy"]
    split = {
        "train": len(train_y),
        "test": len(test_y),
        "classes": len(np.unique(train_y)),
        "features": train_x.shape[1],
    }
    return Result(f"knn/{protocol}", metrics, {"k": k, **constants, **split}, records)


def knn_predictions(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    counts: Sequence[int],
    *,
    metric: Metric = "cosine",
    temperature: float | None = None,
    jobs: int = 1,
) -> list[np.ndarray]:
    """Labels (m,) of test_x (m, C) for every k in `counts`, at the price of one search.

    Args:
        train_x: (n, C) features.
        train_y: (n,) labels.
        test_x: (m, C) features.
        counts: values of k, from 1 to n.
        metric: of the search.
        temperature: of the weights `exp(-distance / temperature)`, None for equal ones.
        jobs: threads.
    """
    classes, codes = np.unique(train_y, return_inverse=True)
    search = NearestNeighbors(n_neighbors=max(counts), metric=metric, algorithm="brute", n_jobs=jobs).fit(train_x)
    distances, nearest = search.kneighbors(test_x)  # (m, k) each, nearest first
    if temperature is None:
        weights = np.ones(distances.shape)
    else:  # relative to the nearest, so that no temperature makes all of them vanish
        distances = distances.astype(np.float64)
        weights = np.exp((distances[:, :1] - distances) / temperature)
    votes = codes[nearest]
    predictions = []
    for k in counts:
        tally = [np.where(votes[:, :k] == code, weights[:, :k], 0).sum(axis=1) for code in range(len(classes))]
        predictions.append(classes[np.argmax(tally, axis=0)])
    return predictions


def validate_k(
    x: np.ndarray,
    y: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    metric: Metric,
    temperature: float | None,
    jobs: int = 1,
) -> list[JsonObject]:
    """One row per k of `K_GRID` that every fold's training part can serve, with its cross-validated accuracy."""
    grid = [k for k in K_GRID if k <= min(len(train) for train, _ in folds)]
    answers = np.empty((len(grid), len(y)), y.dtype)
    for train, held_out in folds:
        answers[:, held_out] = knn_predictions(
            x[train], y[train], x[held_out], grid, metric=metric, temperature=temperature, jobs=jobs
        )
    return [
        {
            "k": k,
            "validation_accuracy": accuracy(answer, y),
            "fold_accuracy": [accuracy(answer[held_out], y[held_out]) for _, held_out in folds],
        }
        for k, answer in zip(grid, answers, strict=True)
    ]


def _check_vote(metric: str, weights: str, temperature: float) -> None:
    if metric not in ("cosine", "euclidean"):
        raise ValueError(f'found metric "{metric}", expected "cosine" or "euclidean"')
    if weights not in ("uniform", "temperature"):
        raise ValueError(f'found weights "{weights}", expected "uniform" or "temperature"')
    if weights == "temperature" and metric != "cosine":
        raise ValueError(
            f'found temperature weights with metric "{metric}", expected "cosine": they weigh similarities'
        )
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"found temperature {temperature}, expected a positive number")

"""Linear SVM on frozen features: the figure most papers of self-supervised 3D learning report.

At a fixed C the scale of the features decides the accuracy: a network whose features are small looks bad whatever it
has learnt. The "paper" protocol is kept to compare with print; "validated" gives every network its own C, and never
looks at the test split before it is chosen.

CrossPoint (CVPR 2022, https://arxiv.org/abs/2203.00680) reports `SVC(kernel="linear")` on raw features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from crosspoint.eval.arrays import as_array
from crosspoint.eval.classifiers.cross_validation import CostSearch, scaled, search_cost, stratified_folds
from crosspoint.eval.classifiers.svm import accuracy, check_split, class_accuracy, svm_predictions
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.benchmarks import clouds_label, published_key
from crosspoint.eval.protocols.frozen_classifier import FrozenClassifier
from crosspoint.eval.protocols.protocol import Column, Measured, on_dataset
from crosspoint.eval.report.report_model import Contribution
from crosspoint.eval.results import Result
from crosspoint.renderers.json_object import JsonObject

PAPER_C = 0.1


@dataclass(frozen=True)
class Linear(FrozenClassifier):
    """Linear SVM on frozen features, trained on the train split and scored once on the test split.

    Args:
        variant: validated: C and scaling by cross-validation; paper: raw features at the given C
        C: penalty C of the paper's variant, 0.1 by default; the validated one finds its own
    """

    name = "linear"
    study_flags: ClassVar[Mapping[str, str]] = {"svm": "variant"}

    variant: Literal["validated", "paper"] = "validated"
    C: float | None = None

    def check_settings(self, data: EvaluationData) -> None:
        """Refuse a C that would not be used."""
        if self.C is not None and self.variant == "validated":
            raise ValueError(
                f"found C {self.C:g} for the validated variant, which finds its own, expected none: leave --C out, or "
                "give --variant paper"
            )

    def run(self, run: EvaluationRun) -> Measured:
        """Accuracy, and the class given to each test cloud."""
        train, test = run.data.clouds("train"), run.data.clouds("test")
        result, predicted = answer_linear_svm(
            run.features("train"),
            train.labels,
            run.features("test"),
            test.labels,
            protocol=self.variant,
            C=self._cost,
            seed=run.seed,
            jobs=run.jobs,
        )
        return on_dataset(result, train.name), {"predicted": predicted}

    @property
    def _cost(self) -> float:
        return PAPER_C if self.C is None else self.C

    def columns(self, data: EvaluationData) -> list[Column]:
        """Accuracy."""
        test = data.clouds("test")
        title = f"linear SVM, {clouds_label(test, data.root)}"
        return [Column(title, self.name, "accuracy", published_key(self.name, test))]

    def facts(self) -> dict[str, str]:
        """How C was found."""
        validated = self.variant == "validated"
        return {"linear SVM": "C and scaling by cross-validation" if validated else f"raw features, C = {self._cost:g}"}

    def show(self, run: EvaluationRun, result: Result, arrays: Mapping[str, np.ndarray]) -> Contribution:
        """Its answers, for the map and the confusion matrix."""
        return Contribution(answers=arrays["predicted"])


def linear_svm(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    test_y: np.ndarray,
    *,
    protocol: Literal["paper", "validated"] = "validated",
    C: float = 0.1,
    folds: int = 5,
    seed: int = 0,
    jobs: int = 1,
) -> Result:
    """Accuracy of a linear SVM on frozen features, in percent.

    - "paper": `SVC(kernel="linear", C=C)` on the features as they are.
    - "validated": C, and whether features are standardized, chosen by stratified cross-validation on the training
      split; the pair is then fitted on all of it and scored once on the test split. The best of raw and of
      standardized features are reported beside it, and the table of all candidates in `records`.

    Args:
        train_x: (n, C) features.
        train_y: (n,) labels.
        test_x: (m, C) features.
        test_y: (m,) labels, all of classes that are in `train_y`.
        protocol: which of the two.
        C: of "paper"; "validated" finds its own.
        folds: of "validated"; fewer are used where the smallest class has fewer members.
        seed: of the folds.
        jobs: threads, -1 for one per core.

    Raises:
        ValueError: if shapes do not fit, a value is not finite, a test class was never trained, there are fewer than
            two classes, or one has a single member ("validated").
    """
    return answer_linear_svm(
        train_x, train_y, test_x, test_y, protocol=protocol, C=C, folds=folds, seed=seed, jobs=jobs
    )[0]


def answer_linear_svm(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    test_y: np.ndarray,
    *,
    protocol: Literal["paper", "validated"] = "validated",
    C: float = 0.1,
    folds: int = 5,
    seed: int = 0,
    jobs: int = 1,
) -> tuple[Result, np.ndarray]:
    """`linear_svm`, and the labels (m,) that it gives to the test split."""
    train_x, train_y, test_x, test_y = (as_array(each) for each in (train_x, train_y, test_x, test_y))
    check_split(train_x, train_y, test_x, test_y)
    classes = np.unique(train_y)
    if len(classes) < 2:
        raise ValueError(f"found {len(classes)} training class, expected at least 2")
    split = {"train": len(train_y), "test": len(test_y), "classes": len(classes), "features": train_x.shape[1]}
    if protocol == "paper":
        return _paper(train_x, train_y, test_x, test_y, C, split)
    if protocol == "validated":
        return _validated(train_x, train_y, test_x, test_y, folds, seed, jobs, split)
    raise ValueError(f'found protocol "{protocol}", expected "paper" or "validated"')


def _paper(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, C: float, split: dict[str, int]
) -> tuple[Result, np.ndarray]:
    if not (np.isfinite(C) and C > 0):
        raise ValueError(f"found C {C}, expected a positive number")
    predicted = svm_predictions(train_x, train_y, test_x, [C])[0]
    metrics = {"accuracy": accuracy(predicted, test_y), "class_accuracy": class_accuracy(predicted, test_y)}
    return Result("linear_svm/paper", metrics, {"C": float(C), "scaling": "raw", **split}), predicted


def _validated(
    train_x: np.ndarray,
    train_y: np.ndarray,
    test_x: np.ndarray,
    test_y: np.ndarray,
    folds: int,
    seed: int,
    jobs: int,
    split: dict[str, int],
) -> tuple[Result, np.ndarray]:
    parts = stratified_folds(train_y, folds, seed)
    searches = [
        search_cost(train_x, train_y, parts, "raw", jobs),
        search_cost(train_x, train_y, parts, "standardized", jobs),
    ]
    chosen = max(searches, key=lambda search: search.accuracy)  # the first, raw, where both are equal
    constants: JsonObject = {
        "C": chosen.cost,
        "scaling": chosen.scaling,
        "folds": len(parts),
        "folds_asked": folds,
        "seed": seed,
        **split,
    }
    metrics: dict[str, float] = {}
    for search in sorted(searches, key=lambda search: search is not chosen):
        train, test = scaled(train_x, test_x, search.scaling)
        predicted = svm_predictions(train, train_y, test, [search.cost])[0]
        if search is chosen:
            metrics["accuracy"] = accuracy(predicted, test_y)
            metrics["class_accuracy"] = class_accuracy(predicted, test_y)
            metrics["validation_accuracy"] = search.accuracy
            answers = predicted
        metrics[f"{search.scaling}_accuracy"] = accuracy(predicted, test_y)
        metrics[f"{search.scaling}_validation_accuracy"] = search.accuracy
        constants[search.scaling] = describe(search)
    records = [row for search in searches for row in search.records]
    return Result("linear_svm/validated", metrics, constants, records), answers


def describe(search: CostSearch) -> JsonObject:
    """The constants of one search, as `Result` keeps them."""
    return {
        "C": search.cost,
        "C_inside_grid": search.inside,
        "C_of_equal_accuracy": search.tied,
        "grid": [row["C"] for row in search.records],
    }

"""Classifiers on frozen features of both splits: what a protocol of one needs, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crosspoint.eval.classifiers.cross_validation import stratified_folds
from crosspoint.eval.classifiers.svm import check_split
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.protocols.protocol import Protocol

FOLDS = 5


@dataclass(frozen=True)
class FrozenClassifier(Protocol):
    """Base of protocols that fit a classifier on the train split; the variant "validated" cross-validates there."""

    variant: str = "validated"

    def feature_splits(self) -> tuple[str, ...]:
        """Of both splits."""
        return "train", "test"

    def check(self, data: EvaluationData) -> None:
        """Refuse splits that do not fit each other, and classes too small for cross-validation."""
        train, test = data.clouds("train"), data.clouds("test")
        check_split(np.zeros((len(train), 1)), train.labels, np.zeros((len(test), 1)), test.labels)
        data.refuse_overlap(train, test)
        if self.variant == "validated":
            stratified_folds(train.labels, FOLDS, data.seed)

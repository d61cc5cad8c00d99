"""Training, validation and test clouds for supervised protocols: stratified, seeded, with a share of the labels."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.splits import split_holdout
from crosspoint.fields import described
from crosspoint.renderers.json_object import JsonObject


class Splits(NamedTuple):
    """Three sets of clouds without a cloud in common."""

    train: Clouds
    validation: Clouds | None  # None: the last epoch is taken
    test: Clouds

    @property
    def present(self) -> dict[str, Clouds]:
        """Those that there are, by name."""
        return {name: clouds for name, clouds in self._asdict().items() if clouds is not None}

    def constants(self) -> JsonObject:
        """Where they come from, and how many clouds of how many points."""
        held = self.validation
        return {
            "data": self.train.name,
            "train": len(self.train),
            "validation": 0 if held is None else len(held),
            "validation_split": None if held is None else held.split,
            "test": len(self.test),
            "classes": len(self.train.classes),
            "points": self.train.points.shape[1],
        }


def split_clouds(train: Clouds, test: Clouds, validation: Clouds | float, fraction: float, seed: int) -> Splits:
    """Set a validation part aside, then keep a fraction of the labels of what is left to train on.

    Args:
        train: the training split.
        test: the test split.
        validation: clouds of their own, or the share of each class of `train`; 0 sets none aside.
        fraction: of the remaining clouds of each class that is trained on, at least one of each; with the same seed,
            a smaller fraction is part of a larger one.
        seed: of both draws.

    Raises:
        ValueError: if a share is out of range, if classes differ, if a class of the test split is in no training
            cloud, or if too few clouds are left.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"found a label fraction of {fraction}, expected a share above 0 and up to 1")
    chosen, held = np.arange(len(train)), None
    if isinstance(validation, Clouds):
        held = validation
    elif not 0 <= validation < 1:
        raise ValueError(f"found a validation share of {validation}, expected 0 ≤ share < 1")
    elif validation > 0:
        chosen, aside = split_holdout(train.labels, validation, seed)
        if len(aside) == 0:
            raise ValueError(
                f"found no class of {train.name} with enough clouds to set {validation:g} of them aside, expected a "
                "validation part: raise the share, or give 0 to take the last epoch"
            )
        held = _take(train, aside, f"{validation:g} of {train.split}")
    chosen = chosen[label_subset(train.labels[chosen], fraction, seed)]
    if len(chosen) < 2:
        raise ValueError(f"found {len(chosen)} training cloud, expected at least 2: raise the label fraction")
    for other in [test] if held is None else [held, test]:
        if other.classes != train.classes:
            raise ValueError(
                f"found {len(train.classes)} classes in {train.name} ({train.split}) and {len(other.classes)} in "
                f"{other.name} ({other.split}), expected the same names in the same order"
            )
        if other.fields != train.fields:
            raise ValueError(
                f"found clouds of {described(train.fields)} in {train.name} ({train.split}) and of "
                f"{described(other.fields)} in {other.name} ({other.split}), expected the same: read both alike"
            )
        if other.points.shape[1] != train.points.shape[1]:
            warnings.warn(
                f"found {train.points.shape[1]} points a cloud in {train.name} ({train.split}) and "
                f"{other.points.shape[1]} in {other.name} ({other.split})",
                stacklevel=3,
            )
    unknown = np.setdiff1d(test.labels, train.labels[chosen])
    if len(unknown):
        raise ValueError(f"found test labels {unknown.tolist()} that are absent from training, expected known classes")
    return Splits(_take(train, chosen, train.split), held, test)


def label_subset(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Sorted indices of a stratified share of labels (n,): rounded in each class, at least one of each."""
    generator = np.random.default_rng([seed, 2])
    kept = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        kept.append(members[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate(kept))


def _take(clouds: Clouds, chosen: np.ndarray, split: str) -> Clouds:
    parts = None if clouds.parts is None else clouds.parts[chosen]
    return replace(clouds, points=clouds.points[chosen], labels=clouds.labels[chosen], parts=parts, split=split)

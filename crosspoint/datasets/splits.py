"""Splits of labeled items, by classes and by a seed."""

from __future__ import annotations

import numpy as np


def split_holdout(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices for training and for a hold-out, a share of every class.

    A class keeps at least one item for training; without labels nothing is held out, as nothing could be probed.

    Args:
        labels: (n,) classes, -1 where unknown.
        share: of each class that is held out.
        seed: of the choice.

    Raises:
        ValueError: if the share is not from 0 to below 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"found a hold-out share of {share}, expected 0 ≤ share < 1: change probe.holdout")
    generator = np.random.default_rng([seed, 1])
    held = [np.zeros(0, dtype=np.int64)]
    for label in np.unique(labels[labels >= 0]):
        members = generator.permutation(np.flatnonzero(labels == label))
        held.append(members[: min(round(share * len(members)), len(members) - 1)])
    holdout = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), holdout), holdout


def stratified_subset(labels: np.ndarray, count: int, seed: int, *, least: int = 5) -> np.ndarray:
    """Indices of about `count` items, a share of every class; all, where there are no more.

    Args:
        labels: (n,) classes.
        count: wanted. Classes below `least` items may take it above that.
        seed: of the choice.
        least: items that every class keeps, as far as it has them: a cross-validation needs some.
    """
    if len(labels) <= count:
        return np.arange(len(labels))
    generator = np.random.default_rng([seed, 2])
    kept = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        kept.append(members[: max(least, len(members) * count // len(labels))])
    return np.sort(np.concatenate(kept))

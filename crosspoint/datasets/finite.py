"""Finite clouds: one that is not is named when it is read, not when the loss has broken."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from crosspoint.datasets.pairs import ObjectPair, PairDataset

LARGEST = 1e18  # coordinates whose squares float32 can add up


def check_finite(values: Tensor | np.ndarray, where: str) -> None:
    """Refuse numbers (N, …) that are NaN, infinite, or too large for float32 to square.

    Args:
        values: of a cloud.
        where: what they are and where they lie, for the message.

    Raises:
        ValueError: if there is one.
    """
    values = torch.as_tensor(values)
    fit = values.abs() < LARGEST  # NaN is below nothing
    if bool(fit.all()):
        return
    rows = int((~fit.flatten(1).all(dim=1)).sum()) if values.ndim > 1 else int((~fit).sum())
    first = float(values[~fit].flatten()[0])
    raise ValueError(
        f"found {first:g} in {rows} of {len(values)} {where}, expected finite numbers below {LARGEST:g}: repair it, "
        "or leave it out"
    )


class FinitePairs(PairDataset):
    """Pairs of which each cloud is checked when it is read.

    Args:
        pairs: the dataset.
    """

    def __init__(self, pairs: PairDataset) -> None:
        self.pairs, self.classes, self.labels = pairs, pairs.classes, pairs.labels

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, item: tuple[int, int]) -> ObjectPair:
        pair = self.pairs[item]
        check_finite(pair.points, f"points of {self.where(item[0])}")
        return pair

    def read_points(self, index: int) -> np.ndarray:
        """The cloud alone, (N, 3) float32."""
        points = self.pairs.read_points(index)
        check_finite(points, f"points of {self.where(index)}")
        return points

    def where(self, index: int) -> str:
        """The object, for messages."""
        return self.pairs.where(index)
